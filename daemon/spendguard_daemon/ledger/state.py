"""The ledger's state in memory: accounts, open calls, ended calls that may still be adjusted.

Only data; `apply` alone changes it. Invariants: a call is open or ended, never both; an account's `held_nusd`
is the sum of its open holds; the daemon's `settled_nusd` and `held_nusd` are the sums over all agents,
deleted ones too; nothing is clamped.
"""

from dataclasses import dataclass, field
from typing import Literal

from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.turns import Turns

ENDED_MAX = 10_000
"""How many ended calls are kept at hand for `adjust`, besides the unconfirmed ones."""

UNCONFIRMED_MAX = 100_000
"""How many unconfirmed calls are kept at hand, the latest. Older ones stay in the sums and in the journal."""

RESTORED = "restored"
"""Why an agent is frozen that came back with a backup."""

Outcome = Literal["settled", "settled_worst", "voided", "overrun"]


@dataclass(slots=True)
class Account:
    """One agent and its money. `limit_nusd` None means that no budget was ever set.

    `restored`: it came back with a backup, and nobody has entered yet what it spent since.
    """

    agent_id: str
    name: str | None
    created_ns: int
    concurrency: ev.Concurrency
    overflow: ev.Overflow
    mock: bool
    deleted: bool = False
    frozen_reason: str | None = None
    limit_nusd: int | None = None
    funded_nusd: int = 0
    settled_nusd: int = 0
    held_nusd: int = 0
    calls_open: int = 0
    restored: bool = False
    policy: ev.AgentPolicy | None = None

    @property
    def remaining_nusd(self) -> int:
        """Granted and not spent; negative after an overrun or a negative correction, never clamped."""
        return self.funded_nusd - self.settled_nusd

    @property
    def available_nusd(self) -> int:
        """Remaining and not held: what a new call may cost."""
        return self.funded_nusd - self.settled_nusd - self.held_nusd


@dataclass(slots=True)
class DaemonAccount:
    """The money of all agents together; `limit_nusd` and `funded_nusd` are None where there is no cap."""

    limit_nusd: int | None = None
    funded_nusd: int | None = None
    settled_nusd: int = 0
    held_nusd: int = 0

    @property
    def remaining_nusd(self) -> int | None:
        """Granted to all and not spent; None without a cap."""
        return None if self.funded_nusd is None else self.funded_nusd - self.settled_nusd

    @property
    def available_nusd(self) -> int | None:
        """Remaining for all and not held; None without a cap."""
        remaining = self.remaining_nusd
        return None if remaining is None else remaining - self.held_nusd


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A call that has its hold and no end yet: the hold's record, when (wall ns), and whether it was sent."""

    hold: ev.Hold
    held_ns: int
    sent: bool = False


@dataclass(frozen=True, slots=True)
class EndedCall:
    """A call that has ended, with what it was charged; `confirmed` is False while that is only a bound."""

    call_id: str
    agent_id: str
    run_id: str
    provider: str
    model: str
    outcome: Outcome
    hold_nusd: int
    cost_nusd: int
    reason: str
    ended_ns: int
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Bound:
    """What an Idempotency-Key stands for, since `bound_ns` (wall ns): a call, or the answer to an operator.

    `cost_nusd` is None while the call is open; `event` is what the answer was made from.
    """

    body: str
    bound_ns: int
    call_id: str | None = None
    cost_nusd: int | None = None
    event: ev.BudgetSet | ev.DaemonLimitSet | ev.AgentNew | ev.Adjust | None = None


@dataclass(slots=True)
class State:
    """All that decisions rest on. Read it freely; only `apply` changes it.

    `unconfirmed` are the calls that were charged at a bound, or above it, and that nobody has looked at;
    `unconfirmed_calls` and `unconfirmed_nusd` count all of them. `keys` are the Idempotency-Keys of calls by
    scope, `answers` those of operators' requests, both the oldest first. `distrusted` holds (provider, model,
    rung) whose bound an overrun proved wrong; `prices` is the document in use, `high_water` the latest one of
    each key; `turns` lives beside the journal and is not compared.
    """

    accounts: dict[str, Account] = field(default_factory=dict)
    daemon: DaemonAccount = field(default_factory=DaemonAccount)
    open_calls: dict[str, OpenCall] = field(default_factory=dict)
    ended: dict[str, EndedCall] = field(default_factory=dict)
    unconfirmed: dict[str, EndedCall] = field(default_factory=dict)
    unconfirmed_calls: int = 0
    unconfirmed_nusd: int = 0
    keys: dict[str, Bound] = field(default_factory=dict)
    answers: dict[str, Bound] = field(default_factory=dict)
    distrusted: set[tuple[str, str, str]] = field(default_factory=set)
    prices: ev.PriceAccept | None = None
    high_water: dict[str, ev.PriceAccept] = field(default_factory=dict)
    generation: int = 0
    turns: Turns = field(default_factory=Turns, compare=False, repr=False)

    def ended_call(self, call_id: str) -> EndedCall | None:
        """Return an ended call that can still be adjusted."""
        return self.ended.get(call_id) or self.unconfirmed.get(call_id)
