"""What may stand at the cursor: the words before it, followed through the tree of commands. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Kind(Enum):
    """What is asked for, where the tree itself does not know it."""

    KNOWN = "known"
    FILES = "files"
    AGENTS = "agents"
    RUNS = "runs"
    CALLS = "calls"
    KEYS = "keys"
    PROVIDERS = "providers"
    MODELS = "models"
    SETTINGS = "settings"
    CHECKS = "checks"
    FAILURES = "failures"


Candidate = tuple[str, str]
"""What may be typed, and what it is."""

BY_METAVAR = {
    "AGENT": Kind.AGENTS,
    "[AGENT] [NAME]": Kind.AGENTS,
    "CALL": Kind.CALLS,
    "[CALL]": Kind.CALLS,
    "ID": Kind.RUNS,
    "RUN": Kind.RUNS,
    "[MODEL]": Kind.MODELS,
    "MODEL": Kind.MODELS,
    "PATTERN": Kind.MODELS,
    "SECTION.NAME": Kind.SETTINGS,
    **dict.fromkeys(
        ("DIR", "FILE", "PATH", "[PATH]", "TARGET", "BACKUP", "OLD", "NEW", "[CONTENT]", "FILE-or-URL"),
        Kind.FILES,
    ),
}
BY_PLACE = {
    ("provider set-key", "name"): Kind.PROVIDERS,
    ("provider test", "name"): Kind.PROVIDERS,
    ("doctor", "provider"): Kind.PROVIDERS,
    ("doctor", "check"): Kind.CHECKS,
    ("doctor", "subject"): Kind.FAILURES,
    ("agent key", "rotate"): Kind.KEYS,
    ("agent key", "revoke"): Kind.KEYS,
    ("exec", "command"): Kind.FILES,
}


@dataclass(slots=True)
class Asked:
    """What is asked for at the cursor. `before` is the part of the word that stands before the value.

    `given` are the options and arguments typed so far, by the names of their parameters.
    """

    kind: Kind = Kind.KNOWN
    candidates: list[Candidate] = field(default_factory=list)
    before: str = ""
    given: dict[str, str] = field(default_factory=dict)


class _Walk:
    """The way through the tree, word by word."""

    def __init__(self, root: Any):
        self.command = root
        self.path: list[str] = []
        self.given: dict[str, str] = {}
        self.used: set[str] = set()
        self.pending: Any = None
        self.places = 0
        self.only_arguments = False

    @property
    def is_group(self) -> bool:
        return hasattr(self.command, "commands")

    def take(self, word: str) -> bool:
        """Go one word on; return False where nothing of ours can follow."""
        if self.pending is not None:
            self.given[self.pending.name], self.pending = word, None
        elif word == "--" and not self.only_arguments:
            self.only_arguments = True
        elif word.startswith("-") and word != "-" and not self.only_arguments:
            self._option(word)
        elif self.is_group:
            if word not in self.command.commands:
                return False
            self.command = self.command.commands[word]
            self.path.append(word)
        else:
            place = self.argument()
            if place is not None:
                self.given.setdefault(place.name, word)
            self.places += 1
            return bool(self.command.context_settings.get("allow_interspersed_args", True))
        return True

    def _option(self, word: str) -> None:
        name, is_whole, value = word.partition("=")
        param = self.option(name)
        if param is None:
            return
        self.used.add(param.name)
        if is_whole:
            self.given[param.name] = value
        elif not param.is_flag:
            self.pending = param

    def option(self, name: str) -> Any:
        """Return the option of this name."""
        return next((param for param in self.options() if name in (*param.opts, *param.secondary_opts)), None)

    def options(self) -> list[Any]:
        """Return the options of the command that was reached."""
        return [param for param in self.command.params if param.param_type_name == "option"]

    def argument(self) -> Any:
        """Return the argument whose turn it is; the last one where it takes any number."""
        places = [param for param in self.command.params if param.param_type_name == "argument"]
        if self.places < len(places):
            return places[self.places]
        return places[-1] if places and places[-1].nargs == -1 else None


def asked(root: Any, words: Sequence[str], partial: str) -> Asked:
    """Tell what may follow `words`, with `partial` typed of it."""
    walk = _Walk(root)
    for word in words:
        if not walk.take(word):
            return Asked(kind=Kind.FILES if not walk.is_group else Kind.KNOWN)
    if walk.pending is not None:
        return _values(walk, walk.pending)
    if partial.startswith("-") and not walk.only_arguments:
        name, is_whole, _ = partial.partition("=")
        param = walk.option(name)
        if is_whole:
            return Asked() if param is None else _values(walk, param, f"{name}=")
        return Asked(candidates=_options(walk))
    if walk.is_group:
        children = walk.command.commands.items()
        return Asked(candidates=[(name, _first(child)) for name, child in children if not child.hidden])
    place = walk.argument()
    return Asked() if place is None or "agent_option" in walk.used else _values(walk, place)


def _values(walk: _Walk, param: Any, before: str = "") -> Asked:
    choices = param.type_descriptor.choices if param.type_descriptor.is_choice else None
    if choices:
        return Asked(candidates=[(str(choice), "") for choice in choices], before=before)
    kind = BY_PLACE.get((" ".join(walk.path), param.name)) or BY_METAVAR.get(param.metavar or "", Kind.KNOWN)
    if param.metavar == "[AGENT] [NAME]" and walk.places > 0:
        kind = Kind.KNOWN
    return Asked(kind=kind, before=before, given=walk.given)


def _options(walk: _Walk) -> list[Candidate]:
    shown = [("--help", "Show this message and exit.")]
    for param in walk.options():
        if param.hidden or (param.name in walk.used and not param.multiple):
            continue
        text = " ".join((param.help or "").replace("\\[", "[").split())
        shown += [(name, text) for name in (*param.opts, *param.secondary_opts)]
    return shown


def _first(command: Any) -> str:
    return " ".join((command.help or "").replace("\\[", "[").partition("\n\n")[0].split())
