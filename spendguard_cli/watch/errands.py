"""What an operator may have done from `watch`, as plain values: the question, and the deed behind it."""

from dataclasses import dataclass
from typing import Literal

Name = Literal["topup", "limit", "freeze", "unfreeze", "abort", "let", "confirm"]
"""The actions that change something, as the table of keys names them."""

NAMES: tuple[Name, ...] = ("topup", "limit", "freeze", "unfreeze", "abort", "let", "confirm")


@dataclass(frozen=True, slots=True)
class TopUp:
    """Add to an agent's balance, up to its hard limit."""

    agent_id: str
    cents: int


@dataclass(frozen=True, slots=True)
class SetLimit:
    """Set an agent's hard limit, and add `topup_cents`; None grants the whole limit where it is the first."""

    agent_id: str
    cents: int
    topup_cents: int | None = None


@dataclass(frozen=True, slots=True)
class TopUpDaemon:
    """Add to the cap above all agents, up to its limit."""

    cents: int


@dataclass(frozen=True, slots=True)
class SetDaemonLimit:
    """Set the limit of the cap above all agents, and add to it."""

    cents: int
    topup_cents: int


@dataclass(frozen=True, slots=True)
class Freeze:
    """Refuse an agent's new calls; an empty reason leaves it to the sidecar."""

    agent_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unfreeze:
    """Let a frozen agent call again."""

    agent_id: str


@dataclass(frozen=True, slots=True)
class Abort:
    """Cut a call in flight."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Confirm:
    """Set what an ended call was charged (an exact decimal of USD), and so confirm it."""

    call_id: str
    cost_usd: str


Errand = TopUp | SetLimit | TopUpDaemon | SetDaemonLimit | Freeze | Unfreeze | Abort | Confirm


@dataclass(frozen=True, slots=True)
class Field:
    """What is typed: what it is called, and what stands there at first."""

    label: str
    default: str


@dataclass(frozen=True, slots=True)
class Impossible:
    """It cannot be done, and why, in words fit for a terminal."""

    why: str


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked once, and what yes does.

    `says` are the consequences, a sentence each, fit for a terminal. `errand` is None where what was typed
    means nothing, and `wrong` says why. `verb` stands on the button that does it; `grave` where that
    should not be the one that Enter presses unasked.
    """

    title: str
    verb: str
    says: tuple[str, ...] = ()
    field: Field | None = None
    errand: Errand | None = None
    wrong: str = ""
    grave: bool = False
