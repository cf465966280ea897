"""The allow-lists of Gemini against the SDK of Google: a field that it learns to send fails here first."""

from typing import Any

import pytest
from google.genai import types

from spendguard_daemon.providers import gemini_fields
from spendguard_daemon.providers.fields import Use
from spendguard_daemon.providers.gemini_names import snake, spellings
from spendguard_daemon.providers.gemini_usage import COUNTS, MODALITIES


def fields(shape: Any) -> set[str]:
    """Return the names of a type's fields, as Python writes them."""
    return set(shape.model_fields)


def snakes(names: Any) -> set[str]:
    return {snake(name) for name in names}


def test_every_field_of_a_request_is_judged() -> None:
    config = fields(types.GenerateContentConfig)
    known = snakes(gemini_fields.FIELDS) | snakes(gemini_fields.CONFIG) | gemini_fields.CLIENT_ONLY
    assert config - known == set()
    assert fields(types.GenerationConfig) - snakes(gemini_fields.CONFIG) == set()
    assert config >= gemini_fields.CLIENT_ONLY


def test_nothing_is_listed_that_nobody_sends() -> None:
    sent = fields(types.GenerateContentConfig) | fields(types.GenerationConfig)
    beside = {"contents", "model", "generation_config", "_response_json_schema"}
    assert snakes(gemini_fields.FIELDS) | snakes(gemini_fields.CONFIG) <= sent | beside


def test_parts_thoughts_and_tools_are_judged() -> None:
    assert fields(types.Part) == snakes(gemini_fields.PARTS | gemini_fields.PART_ATTRIBUTES)
    assert fields(types.ThinkingConfig) == {
        name for name in gemini_fields.THINKING_NAMES if name == snake(name)
    }
    assert fields(types.Tool) == snakes(gemini_fields.TOOLS)


def test_media_in_function_answers_are_read_as_parts_are() -> None:
    known = snakes(gemini_fields.PARTS | gemini_fields.PART_ATTRIBUTES)
    assert fields(types.FunctionResponsePart) <= known
    assert fields(types.FileData) == {"display_name", "file_uri", "mime_type"}
    assert fields(types.Blob) == {"data", "display_name", "mime_type"}
    assert fields(types.PartMediaResolution) == {"level", "num_tokens"}
    assert {one.value for one in types.MediaProcessing} == {
        "MEDIA_PROCESSING_UNSPECIFIED",
        "STATIC",
        "AGENTIC",
    }


def test_words_with_a_price_are_judged() -> None:
    assert {one.value for one in types.ServiceTier} == set(gemini_fields.SERVICE_TIERS)
    assert {one.value for one in types.MediaModality} == MODALITIES
    unpriced = {"MODALITY_UNSPECIFIED", "VIDEO"}
    assert {one.value for one in types.Modality} == set(gemini_fields.OUTPUT_MODALITIES) | unpriced


def test_usage_is_read_whole() -> None:
    details = {
        "cache_tokens_details",
        "candidates_tokens_details",
        "prompt_tokens_details",
        "tool_use_prompt_tokens_details",
    }
    known = snakes(COUNTS) | details | {"traffic_type"}  # the last is of Vertex alone
    assert fields(types.GenerateContentResponseUsageMetadata) == known


def test_embeddings_are_judged() -> None:
    sent = fields(types.EmbedContentConfig) - gemini_fields.EMBED_VERTEX_ONLY
    assert sent == snakes(gemini_fields.EMBED_FIELDS) - {"content", "model"}


@pytest.mark.parametrize("table", [gemini_fields.FIELDS, gemini_fields.CONFIG, gemini_fields.EMBED_FIELDS])
def test_every_row_has_a_source_and_refused_ones_no_type(table: dict[str, Any]) -> None:
    for name, row in table.items():
        assert row.source.startswith(("[sdk]", "[rest]")), name
        assert bool(row.kinds) is (row.use is not Use.REFUSED), name


def test_both_spellings_are_those_of_the_sdk() -> None:
    """The SDK makes camel names of its snake ones by the same rule."""
    for shape in (types.GenerateContentConfig, types.Part, types.Tool, types.UsageMetadata):
        for name, field in shape.model_fields.items():
            camel = field.alias or name
            assert snake(camel) == name
            assert spellings([camel])[name] == camel
