"""The field lists are complete for the official SDK that is installed."""

from typing import Any, Literal, get_args, get_origin, get_type_hints

from openai.types import chat
from openai.types.chat import completion_create_params as params
from openai.types.chat.chat_completion_content_part_param import File

from spendguard_daemon.providers import fields


def literals(hint: Any) -> set[str]:
    """Return the words of the Literal somewhere inside a type hint."""
    if get_origin(hint) is Literal:
        return set(get_args(hint))
    return {word for inner in get_args(hint) for word in literals(inner)}


def words(shape: Any, key: str) -> set[str]:
    """Return what the member `key` of a TypedDict may be."""
    return literals(get_type_hints(shape)[key])


def test_every_field_the_sdk_can_send_is_listed_and_no_other() -> None:
    known = set(get_type_hints(params.CompletionCreateParamsStreaming))
    assert set(fields.CHAT_FIELDS) == known


def test_every_role_is_listed_and_no_other() -> None:
    shapes = get_args(chat.ChatCompletionMessageParam)
    assert {word for shape in shapes for word in words(shape, "role")} == fields.CHAT_ROLES


def test_every_part_type_is_listed_and_no_other() -> None:
    shapes = [
        chat.ChatCompletionContentPartTextParam,
        chat.ChatCompletionContentPartRefusalParam,
        chat.ChatCompletionContentPartImageParam,
        chat.ChatCompletionContentPartInputAudioParam,
        File,
    ]
    assert set(get_args(chat.ChatCompletionContentPartParam)) <= set(shapes)
    listed = fields.CHAT_PARTS | fields.CHAT_PARTS_UNBOUNDED
    assert {word for shape in shapes for word in words(shape, "type")} == listed
    assert not fields.CHAT_PARTS & fields.CHAT_PARTS_UNBOUNDED


def test_every_tool_type_is_listed_and_no_other() -> None:
    shapes = get_args(chat.ChatCompletionToolUnionParam)
    assert {word for shape in shapes for word in words(shape, "type")} == fields.CHAT_TOOLS


def test_every_service_tier_is_known_to_the_sdk() -> None:
    known = words(params.CompletionCreateParamsStreaming, "service_tier")
    assert known >= fields.CHAT_TIERS_DEFAULT - {"standard"}


def test_each_entry_has_a_source_and_refused_fields_have_no_types() -> None:
    for name, entry in fields.CHAT_FIELDS.items():
        assert entry.source.startswith("[sdk]"), name
        assert bool(entry.kinds) == (entry.use is not fields.Use.REFUSED), name
