"""llm and curl: their block is a command, and the other ways to call are its options."""

import subprocess
from typing import Any

WEATHER = "def weather(place: str) -> str:\n    'Tell the weather of a place.'\n    return 'warm in ' + place"


def stream(made: dict[str, Any], model: str) -> str:
    """Return what is said in the way that the block does not use: whole by llm, a stream by curl."""
    if model == "llm":
        return shell(made["text"].replace("llm ", "llm --no-stream ", 1))
    return shell(
        made["text"].replace("curl -sS", "curl -sSN").replace('"messages"', '"stream": true, "messages"')
    )


def tools(made: dict[str, Any], model: str) -> str:
    """Return what llm says after the function's result went back."""
    with_tool = made["text"].replace("llm ", f'llm --functions "{WEATHER}" ', 1)
    return shell(with_tool.replace("Say hello.", "Weather?"))


class CommandError(Exception):
    """A command failed; the text is all that it said."""


def shell(text: str) -> str:
    """Run commands; return what they print, raise CommandError where one fails."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        raise CommandError(done.stdout + done.stderr)
    return done.stdout
