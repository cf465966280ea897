"""Other requests to Gemini that are to be accepted: embeddings, and chat as OpenAI's SDK sends it."""

from typing import Any

from hypothesis import strategies as st

from billing.cases import Case, case
from billing.gemini_requests import (
    PICTURE,
    READING,
    cap,
    file,
    heard,
    listed,
    mpeg,
    shown,
    spellings,
    written,
)
from billing.openai_requests import chat_messages, function
from billing.texts import piece, schema, text, word

# Embeddings
plain = st.fixed_dictionaries({"text": text})
options: dict[str, st.SearchStrategy[Any]] = {
    "taskType": st.sampled_from(["RETRIEVAL_DOCUMENT", "SEMANTIC_SIMILARITY"]),
    "title": piece,
    "outputDimensionality": st.integers(1, 3_072),
}


def contents_of(part: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw one content with such parts."""
    return st.fixed_dictionaries({"parts": st.lists(part, min_size=1, max_size=3)})


def _embeddings(endpoint: str, *, many: bool) -> st.SearchStrategy[Case]:
    drawn = []
    for model, part in (
        ("gemini-embedding-001", plain),
        ("gemini-embedding-2", plain | shown | heard | file),
    ):
        one = {"content": contents_of(part)}
        each = st.fixed_dictionaries(one | {"model": st.just(f"models/{model}")}, optional=options)
        bodies = st.fixed_dictionaries(one, optional=options)
        if many:
            bodies = st.fixed_dictionaries({"requests": st.lists(each, min_size=1, max_size=4)})
        drawn.append(case("gemini", endpoint, bodies, model=listed(model)))
    return st.builds(written, st.one_of(drawn), spellings)


embed_cases = _embeddings("embedContent", many=False)
batch_cases = _embeddings("batchEmbedContents", many=True)

# Chat, as OpenAI's SDK sends it
seen = st.fixed_dictionaries(
    {
        "type": st.just("image_url"),
        "image_url": st.fixed_dictionaries(
            {
                "url": st.sampled_from(
                    [
                        f"data:image/png;base64,{PICTURE}",
                        "data:application/pdf;base64,JVBERi0xLjcK",
                        "https://example.com/film.mp4",
                    ]
                )
            },
            optional={"detail": st.sampled_from(["auto", "low", "high"])},
        ),
    }
)
sound = st.fixed_dictionaries(
    {
        "type": st.just("input_audio"),
        "input_audio": st.fixed_dictionaries({"data": mpeg, "format": st.just("mp3")}),
    }
)
chat_tool = st.fixed_dictionaries({"type": st.just("function"), "function": function})
told = st.fixed_dictionaries({"type": st.just("text"), "text": text})
attached = st.sampled_from(
    [
        {"type": "file", "file": {"filename": "a", "file_data": f"data:{kind};base64,JVBERi0="}}
        for kind in ("application/pdf", "audio/mp3", "video/mp4")
    ]
)
chat_options: dict[str, st.SearchStrategy[Any]] = {
    "n": st.integers(1, 8),
    "stream": st.booleans(),
    "temperature": st.floats(0, 2),
    "reasoning_effort": st.sampled_from(["none", "low", "medium", "high"]),
    "tools": st.lists(chat_tool, min_size=1, max_size=3),
    "tool_choice": st.sampled_from(["auto", "none", "required"]),
    "response_format": st.fixed_dictionaries(
        {
            "type": st.just("json_schema"),
            "json_schema": st.fixed_dictionaries({"name": word, "schema": schema}),
        }
    ),
    "stream_options": st.fixed_dictionaries({"include_usage": st.booleans()}),
    "stop": st.just(["x"]),
    "extra_body": st.sampled_from(
        [
            {"google": {"thinking_config": {"thinking_budget": budget, "include_thoughts": True}}}
            for budget in (0, 512)
        ]
    ),
}
chat_cases = case(
    "gemini",
    "chat/completions",
    st.one_of(
        [
            st.fixed_dictionaries(
                {"model": listed(*READING), "messages": chat_messages(part)} | capped, optional=chat_options
            )
            for part in (told | seen, told | sound, told | told | attached)
            for capped in ({}, {"max_tokens": cap}, {"max_completion_tokens": cap})
        ]
    ),
)
