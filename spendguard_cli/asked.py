"""Whether JSON was asked for, told from the words themselves: an error may come before they are parsed."""

from collections.abc import Sequence
from typing import Any


def is_json_asked(root: Any, words: Sequence[str]) -> bool:
    """Tell whether `--json` is among the words that are ours: not behind `--`, not of the program of exec."""
    command = root
    rest = iter(words)
    for word in rest:
        if word == "--":
            return False
        if word == "--json":
            return True
        if word.startswith("-"):
            if word in _takers(command) or word in _takers(root):
                next(rest, None)
        elif _is_group(command):
            command = command.commands.get(word, command)
        elif not command.context_settings.get("allow_interspersed_args", True):
            return False
    return False


def _is_group(command: Any) -> bool:
    return hasattr(command, "commands")


def _takers(command: Any) -> set[str]:
    """Return the names of the options that take a value."""
    return {
        name
        for param in command.params
        if param.param_type_name == "option" and not param.is_flag
        for name in param.opts
    }
