"""The names of all that can be billed: dimensions of tokens, and events with a fee each (costs.md A3)."""

INPUT_DIMENSIONS = frozenset(
    {
        "input",
        "cache_read",
        "cache_write",
        "cache_write_1h",
        "input_audio",
        "cache_read_audio",
        "input_image",
        "input_video",
    }
)
OUTPUT_DIMENSIONS = frozenset({"output", "reasoning_output", "output_audio", "output_image"})
DIMENSIONS = INPUT_DIMENSIONS | OUTPUT_DIMENSIONS
FEES = frozenset(
    {
        "web_search",
        "file_search",
        "x_search",
        "code_execution",
        "maps",
        "grounding_query",
        "grounded_request",
        "container_session",
        "container_hour",
        "request",
        "violation",
    }
)
