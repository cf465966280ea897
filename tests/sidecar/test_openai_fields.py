"""The lists of what requests may hold are complete for the official SDK that is installed."""

import inspect
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from openai.types import chat, embedding_create_params, responses
from openai.types.chat import completion_create_params as chat_params
from openai.types.chat.chat_completion_content_part_param import File
from openai.types.responses import (
    input_token_count_params,
    response_create_params,
    response_input_content_param,
    response_input_item_param,
    response_output_item,
    service_tier,
    tool_choice_types_param,
    tool_param,
)

from spendguard_daemon.providers import openai_fields, openai_responses_fields
from spendguard_daemon.providers.fields import Field, Use

CHAT = get_type_hints(chat_params.CompletionCreateParamsStreaming)
RESPONSES = get_type_hints(response_create_params.ResponseCreateParamsStreaming)
EMBEDDINGS = get_type_hints(embedding_create_params.EmbeddingCreateParams)


def literals(hint: Any) -> set[str]:
    """Return the words of the Literal somewhere inside a type hint."""
    if get_origin(hint) is Literal:
        return set(get_args(hint))
    return {word for inner in get_args(hint) for word in literals(inner)}


def words(shape: Any, key: str) -> set[str]:
    """Return what the member `key` of a shape may be."""
    return literals(get_type_hints(shape)[key])


def shapes(union: Any) -> list[Any]:
    """Return the shapes of a union, however deep in annotations and lists."""
    if inspect.isclass(union):
        return [union]
    return [shape for inner in get_args(union) for shape in shapes(inner)]


def types_of(union: Any) -> set[str]:
    """Return the `type` words of a union of shapes."""
    return {word for shape in shapes(union) for word in _type_words(shape)}


def _type_words(shape: Any) -> set[str]:
    if hasattr(shape, "model_fields"):
        return literals(shape.model_fields["type"].annotation) if "type" in shape.model_fields else set()
    return words(shape, "type") if "type" in get_type_hints(shape) else set()


@pytest.mark.parametrize(
    ("listed", "known"),
    [
        (openai_fields.CHAT_FIELDS, CHAT),
        (openai_responses_fields.RESPONSES_FIELDS, RESPONSES),
        (openai_fields.EMBEDDINGS_FIELDS, EMBEDDINGS),
    ],
)
def test_every_field_the_sdk_can_send_is_listed_and_no_other(
    listed: dict[str, Field], known: dict[str, Any]
) -> None:
    of_sdk = {name for name, entry in listed.items() if entry.source.startswith("[sdk]")}
    assert of_sdk == set(known)
    assert set(listed) - of_sdk == ({"client_metadata"} if known is RESPONSES else set())
    for name, entry in listed.items():
        assert bool(entry.kinds) == (entry.use is not Use.REFUSED), name


def test_every_role_is_listed_and_no_other() -> None:
    messages = get_args(chat.ChatCompletionMessageParam)
    assert {word for shape in messages for word in words(shape, "role")} == openai_fields.CHAT_ROLES
    items = (responses.EasyInputMessageParam, response_input_item_param.Message)
    known = {word for shape in items for word in words(shape, "role")}
    assert known == openai_responses_fields.MESSAGE_ROLES


def test_every_part_type_is_listed_and_no_other() -> None:
    chat_parts = [
        chat.ChatCompletionContentPartTextParam,
        chat.ChatCompletionContentPartRefusalParam,
        chat.ChatCompletionContentPartImageParam,
        chat.ChatCompletionContentPartInputAudioParam,
        File,
    ]
    assert set(get_args(chat.ChatCompletionContentPartParam)) <= set(chat_parts)
    assert {word for shape in chat_parts for word in words(shape, "type")} == set(openai_fields.CHAT_PARTS)
    of_responses = types_of(response_input_content_param.ResponseInputContentParam)
    of_responses |= words(responses.ResponseInputAudioParam, "type")
    of_responses |= words(responses.ResponseOutputTextParam, "type")
    of_responses |= words(responses.ResponseOutputRefusalParam, "type")
    of_responses |= words(responses.ResponseComputerToolCallOutputScreenshotParam, "type")
    of_responses |= {"summary_text", "reasoning_text", "text"}
    assert of_responses == set(openai_responses_fields.RESPONSES_PARTS)


def test_every_chat_tool_type_is_listed_and_no_other() -> None:
    tools = get_args(chat.ChatCompletionToolUnionParam)
    assert {word for shape in tools for word in words(shape, "type")} == openai_fields.CHAT_TOOLS


def test_every_responses_tool_type_is_listed_and_no_other() -> None:
    ours = openai_responses_fields
    listed = (
        ours.CLIENT_TOOLS | ours.BUILT_IN_CLIENT_TOOLS.keys() | ours.HOSTED_TOOLS.keys() | {ours.NAMESPACE}
    )
    choices = words(tool_choice_types_param.ToolChoiceTypesParam, "type")
    assert types_of(tool_param.ToolParam) | choices == listed
    for name, row in ours.HOSTED_TOOLS.items():
        assert row.source.startswith("[sdk]"), name


def test_every_item_type_is_listed_and_no_other() -> None:
    known = types_of(response_input_item_param.ResponseInputItemParam)
    assert known == set(openai_responses_fields.RESPONSES_ITEMS)
    kept = {name for name, item in openai_responses_fields.RESPONSES_ITEMS.items() if item.name == "KEPT"}
    assert kept == set(openai_responses_fields.ITEM_BRINGS)


def test_all_that_an_answer_holds_can_be_sent_back() -> None:
    assert types_of(response_output_item.ResponseOutputItem) <= set(openai_responses_fields.RESPONSES_ITEMS)


def test_every_service_tier_is_listed() -> None:
    known = literals(service_tier.ServiceTier) | words(
        chat_params.CompletionCreateParamsStreaming, "service_tier"
    )
    assert set(openai_fields.SERVICE_TIERS) == known | {"standard"}


def test_every_modality_is_listed() -> None:
    assert words(chat_params.CompletionCreateParamsStreaming, "modalities") == openai_fields.MODALITIES


def test_what_the_count_endpoint_takes_is_asked() -> None:
    known = set(get_type_hints(input_token_count_params.InputTokenCountParams))
    assert set(openai_responses_fields.COUNTED_FIELDS) == known - {"conversation", "personality"}
    assert "personality" not in RESPONSES


def test_what_is_input_is_what_the_count_endpoint_takes() -> None:
    listed = openai_responses_fields.RESPONSES_FIELDS.items()
    inputs = {name for name, entry in listed if entry.use is Use.INPUT}
    assert inputs - {"prompt"} <= set(openai_responses_fields.COUNTED_FIELDS)
