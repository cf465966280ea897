"""Every parameter of the official Anthropic SDK is classed: a new one fails here before a user finds it.

The SDK's own types are walked, of both sides (`messages` and `beta.messages`). A missing SDK fails.
"""

import sys
import types
from collections.abc import Iterator
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import anthropic
import pytest
from anthropic.types import (
    anthropic_beta_param,
    content_block_param,
    message_count_tokens_params,
    message_create_params,
    tool_union_param,
)
from anthropic.types import beta as beta_types
from anthropic.types.beta import (
    beta_content_block_param,
    beta_context_management_config_param,
    beta_message_param,
    beta_thinking_config_param,
    beta_tool_result_block_param,
    beta_tool_union_param,
)

from spendguard_daemon.providers import anthropic_betas, anthropic_fields
from spendguard_daemon.providers.fields import Use


def members(union: Any) -> Iterator[Any]:
    """Yield what a type may be, unions and lists opened."""
    origin = get_origin(union)
    if origin in (Union, types.UnionType):
        for one in get_args(union):
            yield from members(one)
    elif hasattr(union, "__metadata__"):
        yield from members(union.__origin__)
    elif not isinstance(union, TypeVar):
        yield union


def annotation(member: Any, name: str) -> Any:
    """Return the type of one field of a typed dictionary or a model, None where it has no such field."""
    kind = next((vars(c)["__annotations__"][name] for c in member.__mro__ if name in hints_of(c)), None)
    text = getattr(kind, "__forward_arg__", kind)
    return eval(text, vars(sys.modules[member.__module__])) if isinstance(text, str) else kind


def hints_of(member: Any) -> dict[str, Any]:
    found: dict[str, Any] = vars(member).get("__annotations__", {})
    return found


def words(kind: Any) -> set[str]:
    """Return the literals that a type allows."""
    if get_origin(kind) is Literal:
        return set(get_args(kind))
    return {word for inner in get_args(kind) for word in words(inner)}


def names_of(union: Any) -> set[str]:
    """Return the values of `type` that the members of a union may have."""
    typed = [member for member in members(union) if isinstance(member, type)]
    return {word for member in typed for word in words(annotation(member, "type"))}


BOTH = [message_create_params, beta_types.message_create_params]
COUNT = [message_count_tokens_params, beta_types.message_count_tokens_params]


def test_the_walk_finds_what_is_known_to_be_there() -> None:
    """The walk itself: were it to find nothing, every test below would pass."""
    assert {"text", "image", "tool_result"} <= names_of(content_block_param.ContentBlockParam)
    assert {"custom", "bash_20250124"} <= names_of(tool_union_param.ToolUnionParam)
    assert {"thinking", "tool_use"} <= names_of(anthropic.types.ContentBlock)
    assert {"model", "max_tokens", "messages"} <= set(
        message_create_params.MessageCreateParamsBase.__annotations__
    )


@pytest.mark.parametrize("side", BOTH)
def test_every_field_of_a_message_is_classed(side: Any) -> None:
    fields = set(side.MessageCreateParamsBase.__annotations__) | {"stream"}
    assert fields - set(anthropic_fields.FIELDS) == fields & anthropic_fields.HEADER_PARAMETERS


@pytest.mark.parametrize("side", COUNT)
def test_the_count_endpoint_takes_what_its_types_say(side: Any) -> None:
    fields = set(side.MessageCountTokensParams.__annotations__) - anthropic_fields.HEADER_PARAMETERS
    assert fields <= anthropic_fields.COUNT_FIELDS
    assert set(anthropic_fields.FIELDS) >= anthropic_fields.COUNT_FIELDS


@pytest.mark.parametrize(
    "union",
    [
        content_block_param.ContentBlockParam,
        beta_content_block_param.BetaContentBlockParam,
        beta_types.BetaContentBlock,
        anthropic.types.ContentBlock,
    ],
)
def test_every_block_passes_also_those_that_were_answered(union: Any) -> None:
    assert names_of(union) <= anthropic_fields.BLOCKS


def test_every_block_in_a_tool_result_passes() -> None:
    for content in members(beta_tool_result_block_param.Content):
        assert names_of(content) <= anthropic_fields.BLOCKS


@pytest.mark.parametrize("union", [tool_union_param.ToolUnionParam, beta_tool_union_param.BetaToolUnionParam])
def test_every_tool_is_classed(union: Any) -> None:
    assert names_of(union) <= set(anthropic_fields.TOOLS)


def test_a_hosted_tool_is_limited_where_its_type_has_a_limit() -> None:
    """`max_uses` in a tool's type makes it boundable; the advisor bills another model all the same."""
    for member in members(beta_tool_union_param.BetaToolUnionParam):
        for name in names_of(member):
            limited = "max_uses" in member.__annotations__ and not name.startswith("advisor")
            assert anthropic_fields.TOOLS[name].limited == limited, name


def test_every_edit_kind_of_thinking_and_role_is_known() -> None:
    edits = names_of(beta_context_management_config_param.Edit)
    assert edits == anthropic_fields.EDITS | anthropic_fields.EDITS_REFUSED
    assert names_of(beta_thinking_config_param.BetaThinkingConfigParam) == anthropic_fields.THINKING
    roles: set[str] = set()
    for member in members(beta_message_param.BetaMessageParam):
        roles |= words(annotation(member, "role"))
    assert roles == anthropic_fields.ROLES


def test_every_beta_is_sent_or_known_to_be_of_no_use() -> None:
    values = words(anthropic_beta_param.AnthropicBetaParam)
    assert len(values) > 50
    known = set(anthropic_betas.SENT) | set(anthropic_betas.NOT_SENT)
    assert [value for value in values if anthropic_betas.feature_of(value) not in known] == []
    assert set(anthropic_betas.SENT).isdisjoint(anthropic_betas.NOT_SENT)


def test_what_is_refused_or_decides_costs_says_where_that_is_from() -> None:
    for name, field in anthropic_fields.FIELDS.items():
        assert field.source.startswith(("[sdk]", "[docs]")), name
        assert field.kinds or field.use is Use.REFUSED, name
