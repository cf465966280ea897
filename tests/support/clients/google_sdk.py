"""The google-genai SDK: a stream of parts, and a Python function that it calls by itself."""

from typing import Any


def stream(made: dict[str, Any], model: str) -> str:
    """Return the text of a stream."""
    chunks = made["client"].models.generate_content_stream(model=model, contents="Say hello.")
    return "".join(chunk.text or "" for chunk in chunks)


def tools(made: dict[str, Any], model: str) -> str:
    """Return what is said after the function's result went back."""

    def weather(place: str) -> str:
        """Tell the weather of a place."""
        return f"warm in {place}"

    config = made["types"].GenerateContentConfig(tools=[weather])
    return str(made["client"].models.generate_content(model=model, contents="Weather?", config=config).text)
