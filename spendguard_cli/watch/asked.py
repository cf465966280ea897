"""What `spendguard watch` was asked for, and what does not go together. Pure."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from spendguard_cli.output import Form
from spendguard_daemon.errors import Code, SpendGuardError

Order = Literal["danger", "burn", "remaining", "empty", "held", "refusals", "name"]
"""As they are typed: one word each; `empty` is who is empty first."""

RANKED_AS: Mapping[str, str] = {"empty": "time to empty"}
"""Orders that are typed as one word, by what they are called on the screen."""

IN_BROWSER = "TEXTUAL_DRIVER"
"""Set by textual-serve for the program whose screen a browser is."""

SPEED_MIN, SPEED_MAX = 0.25, 64.0


@dataclass(frozen=True, slots=True)
class Begin:
    """What the screen shows first: the agents in an order of `ranking`, through a filter, or one of them."""

    order: str = "danger"
    filter_text: str = ""
    agent_ref: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of one invocation; None and False for what was not given."""

    once: bool = False
    compact: bool = False
    agent: str | None = None
    sort: Order | None = None
    text: str | None = None
    at: str | None = None
    replay: bool = False
    speed: float | None = None
    read_only: bool = False
    serve: bool = False
    serve_port: int | None = None

    @property
    def begin(self) -> Begin:
        """What the screen shows first."""
        order = self.sort or "danger"
        return Begin(RANKED_AS.get(order, order), self.text or "", self.agent)


def check(asked: Asked, *, form: Form, env: Mapping[str, str]) -> None:
    """Raise USAGE where options contradict each other, or where there is no screen to draw on."""
    for first, second, remedy in _CONFLICTS:
        if _given(asked, first) and _given(asked, second):
            raise _usage(f"--{first} and --{second} do not go together", remedy)
    for option, needed in _NEEDS:
        if _given(asked, option) and not _given(asked, needed):
            raise _usage(f"--{option} is for --{needed}", f"spendguard watch --{needed} --{option} ...")
    if asked.speed is not None and not (math.isfinite(asked.speed) and SPEED_MIN <= asked.speed <= SPEED_MAX):
        raise _usage(
            f"--speed goes from {SPEED_MIN:g} to {SPEED_MAX:g}", "spendguard watch --replay --speed 8"
        )
    if form is Form.JSON and not asked.once:
        raise _usage("watch --json needs --once", "spendguard watch --once --json")
    ends = asked.once or asked.compact or asked.serve
    if not ends and form is not Form.TERMINAL and not env.get(IN_BROWSER):
        raise _usage("watch needs a terminal to draw on, and stdout is none", "spendguard watch --once")
    if not ends and not sys.stdin.isatty() and not env.get(IN_BROWSER):
        raise _usage("watch reads keys from a terminal, and stdin is none", "spendguard watch --once")


_CONFLICTS = (
    ("once", "compact", "spendguard watch --once"),
    ("once", "serve", "spendguard watch --serve"),
    ("once", "replay", "spendguard watch --once --at 03:12"),
    ("compact", "serve", "spendguard watch --compact"),
    ("compact", "replay", "spendguard watch --compact"),
    ("compact", "at", "spendguard watch --once --at 03:12"),
    ("compact", "sort", "spendguard watch --once --sort danger"),
    ("agent", "filter", "spendguard watch --agent <name>"),
)
"""Pairs of options, and what to type in their place."""

_NEEDS = (("speed", "replay"), ("serve-port", "serve"))


def _given(asked: Asked, option: str) -> bool:
    name = {"filter": "text"}.get(option, option.replace("-", "_"))
    value = getattr(asked, name)
    return value is not None and value is not False


def _usage(detail: str, remedy: str) -> SpendGuardError:
    return SpendGuardError(Code.USAGE, detail, remedy=remedy)
