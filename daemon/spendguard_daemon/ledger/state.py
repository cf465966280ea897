"""The ledger's state in memory: accounts, open calls, ended calls that may still be adjusted.

Only data; `apply` alone changes it. Invariants: a call is open or ended, never both; an account's `held_nusd`
is the sum of its open holds; the daemon's `settled_nusd` and `held_nusd` are the sums over all agents,
deleted ones too; a key's `held_nusd` is the sum of the open holds that name it; nothing is clamped.
"""

from collections.abc import Collection
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


class ContradictionError(Exception):
    """An event cannot follow from the state: the journal is damaged, or there is a bug here."""


@dataclass(slots=True)
class Account:
    """One agent and its money. `limit_nusd` None means that no budget was ever set.

    `restored`: it came back with a backup, and nobody has entered yet what it spent since. `needs_key`: its
    id alone is not enough; so from its first key of kind "agent" on, whatever becomes of that, until an
    operator says otherwise.
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
    needs_key: bool = False

    @property
    def remaining_nusd(self) -> int:
        """Granted and not spent; negative after an overrun or a negative correction, never clamped."""
        return self.funded_nusd - self.settled_nusd

    @property
    def available_nusd(self) -> int:
        """Remaining and not held: what a new call may cost."""
        return self.funded_nusd - self.settled_nusd - self.held_nusd


@dataclass(slots=True)
class AgentKey:
    """A key of an agent, and what it has spent: on its own calls and on those of the keys made from it.

    `public` is the public half of its secret (hex). `expires_ns` (wall ns) is never later than its parent's.
    `orphan`: a key that it was made from was revoked or rotated, so that no signature holds for it any more.
    """

    key_id: str
    agent_id: str
    parent_id: str | None
    public: str
    kind: ev.KeyKind
    limit_nusd: int | None
    expires_ns: int | None
    models: list[str] | None
    label: str
    run_id: str | None
    created_ns: int
    revoked: bool = False
    settled_nusd: int = 0
    held_nusd: int = 0
    orphan: bool = False

    @property
    def remaining_nusd(self) -> int | None:
        """Not spent of its limit, None without one; negative after an overrun or a raised charge."""
        return None if self.limit_nusd is None else self.limit_nusd - self.settled_nusd

    @property
    def available_nusd(self) -> int | None:
        """Remaining and not held; None without a limit."""
        remaining = self.remaining_nusd
        return None if remaining is None else remaining - self.held_nusd

    def expired(self, now_ns: int) -> bool:
        """Tell whether its time is over."""
        return self.expires_ns is not None and now_ns >= self.expires_ns

    def live(self, now_ns: int) -> bool:
        """Tell whether it is good for a call."""
        return not self.revoked and not self.expired(now_ns)

    def over(self, now_ns: int) -> bool:
        """Tell whether it could not be taken up again, were it forgotten.

        A child that was revoked by itself could: its parent's signature holds until it expires.
        """
        return self.expired(now_ns) or (self.revoked and (self.parent_id is None or self.orphan))


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
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bound:
    """What an Idempotency-Key stands for, since `bound_ns` (wall ns): a call, or the answer to an operator.

    `cost_nusd` is None while the call is open; `event` is what the answer was made from.
    """

    body: str
    bound_ns: int
    call_id: str | None = None
    cost_nusd: int | None = None
    event: ev.BudgetSet | ev.DaemonLimitSet | ev.AgentNew | ev.Adjust | ev.KeyAdd | None = None


@dataclass(slots=True)
class State:
    """All that decisions rest on. Read it freely; only `apply` changes it.

    `unconfirmed` are the calls that were charged at a bound, or above it, and that nobody has looked at;
    `unconfirmed_calls` and `unconfirmed_nusd` count all of them. `keys` are the Idempotency-Keys of calls by
    scope, `answers` those of operators' requests, both the oldest first. `distrusted` holds (provider, model,
    rung) whose bound an overrun proved wrong; `prices` is the document in use, `high_water` the latest one of
    each key; `agent_keys` are agents' keys by id, oldest first. `turns` lives beside the journal and is not
    compared.
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
    agent_keys: dict[str, AgentKey] = field(default_factory=dict)
    turns: Turns = field(default_factory=Turns, compare=False, repr=False)
    _keys_of: dict[str, dict[str, AgentKey]] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        self._keys_of = {}
        for key in self.agent_keys.values():
            self._keys_of.setdefault(key.agent_id, {})[key.key_id] = key

    def keys_of(self, agent_id: str) -> Collection[AgentKey]:
        """Return the keys of an agent, the oldest first."""
        return self._keys_of.get(agent_id, {}).values()

    def add_key(self, key: AgentKey) -> None:
        """Take up a key that was not there."""
        self.agent_keys[key.key_id] = self._keys_of.setdefault(key.agent_id, {})[key.key_id] = key

    def forget_key(self, key: AgentKey) -> None:
        """Drop a key that is there."""
        del self.agent_keys[key.key_id], self._keys_of[key.agent_id][key.key_id]

    def ended_call(self, call_id: str) -> EndedCall | None:
        """Return an ended call that can still be adjusted."""
        return self.ended.get(call_id) or self.unconfirmed.get(call_id)
