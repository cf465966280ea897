"""What happened, as frozen records: one type for each kind of journal line, the `t` of the line its tag.

Owns the names and fields of the journal's bodies, which never change meaning once written: a field may be
added with a default, a record type may be added. Money is integer nano-USD. Every event that moves an
agent's money carries the account as it stands afterwards (`funded_nusd`, `settled_nusd`, `held_nusd`), so
that replay can check each step and a person with `less` can follow it.
"""

from typing import Literal

import msgspec

Concurrency = Literal["exclusive", "shared"]
Overflow = Literal["clamp", "refuse"]

CostLine = dict[str, int | str]
"""One line of a bill: name, quantity, unit, rate, and cost_nusd as an exact decimal string."""


class Open(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="open"):
    """A daemon of `version` began to write; a reader older than `min_reader` must not go on.

    `generation` rises with each restore from a backup; `session` is chance, so that no two daemons ever write
    the same chain.
    """

    version: str
    min_reader: int
    generation: int
    session: str


class Close(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="close"):
    """The daemon stopped in good order."""

    reason: str


class Torn(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="torn"):
    """At start, `bytes` bytes of a half-written tail were cut off, kept in `torn-<first_seq>.bin`."""

    bytes: int
    sha256: str
    first_seq: int


class AgentNew(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="agent_new"):
    """An agent was made; it has no money yet."""

    agent_id: str
    name: str | None
    concurrency: Concurrency
    overflow: Overflow
    mock: bool
    actor: str


class AgentSet(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="agent_set", omit_defaults=True):
    """An agent's settings changed; None leaves one as it was."""

    agent_id: str
    actor: str
    name: str | None = None
    concurrency: Concurrency | None = None
    overflow: Overflow | None = None


class AgentDel(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="agent_del"):
    """An agent was hidden and gets no new calls; its history and its id stay for ever."""

    agent_id: str
    actor: str


class BudgetSet(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="budget_set"):
    """An agent's limit was set or its money topped up.

    `applied_nusd` was added, `ignored_nusd` was asked for but did not fit below the limit, `cut_nusd` was
    taken away because the limit is now lower than what remained.
    """

    agent_id: str
    limit_nusd: int
    applied_nusd: int
    ignored_nusd: int
    cut_nusd: int
    actor: str
    funded_nusd: int
    settled_nusd: int
    held_nusd: int


class DaemonLimitSet(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="daemon_limit_set"):
    """The cap above all agents was set or topped up, or lifted (`limit_nusd` None); as `BudgetSet`."""

    limit_nusd: int | None
    applied_nusd: int
    ignored_nusd: int
    cut_nusd: int
    actor: str
    funded_nusd: int | None
    settled_nusd: int
    held_nusd: int


class Freeze(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="freeze"):
    """An operator, or an overrun, stopped an agent."""

    agent_id: str
    reason: str
    actor: str


class Unfreeze(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="unfreeze"):
    """An operator let an agent go on."""

    agent_id: str
    actor: str


class PriceAccept(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="price_accept"):
    """A verified price document came into use: the high-water mark against older ones."""

    sequence: int
    document_sha256: str
    key_id: str
    source: str


class Hold(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="hold"):
    """Money was set aside for one call: the most it can cost, `amount_nusd`.

    `input_tokens` is the bound of rung `rung`; `output_tokens` the cap per choice that was held, which the
    request must carry; `rates` are the prices that the call will be settled at.
    """

    call_id: str
    agent_id: str
    run_id: str
    provider: str
    endpoint: str
    model: str
    amount_nusd: int
    rung: str
    input_tokens: int
    choices: int
    asked_output_tokens: int | None
    output_tokens: int
    document_sha256: str
    rates: dict[str, int]
    funded_nusd: int
    settled_nusd: int
    held_nusd: int


class Sent(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="sent"):
    """The call is on its way to the provider; `changed` lists what we changed in it."""

    call_id: str
    agent_id: str
    changed: list[str]


class Settle(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="settle"):
    """The real cost is known and within the hold."""

    call_id: str
    agent_id: str
    cost_nusd: int
    hold_nusd: int
    usage: dict[str, int]
    lines: list[CostLine]
    http_status: int | None
    reason: str
    funded_nusd: int
    settled_nusd: int
    held_nusd: int


class SettleWorst(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="settle_worst"):
    """The outcome is unknown: the hold is charged whole, until a person adjusts it."""

    call_id: str
    agent_id: str
    cost_nusd: int
    hold_nusd: int
    http_status: int | None
    reason: str
    funded_nusd: int
    settled_nusd: int
    held_nusd: int


class Void(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="void"):
    """The hold was dropped: the call was provably not billed."""

    call_id: str
    agent_id: str
    hold_nusd: int
    http_status: int | None
    reason: str
    funded_nusd: int
    settled_nusd: int
    held_nusd: int


class Overrun(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="overrun"):
    """The provider billed more than the hold: booked in full, and a bug in our bound."""

    call_id: str
    agent_id: str
    cost_nusd: int
    hold_nusd: int
    usage: dict[str, int]
    lines: list[CostLine]
    http_status: int | None
    reason: str
    funded_nusd: int
    settled_nusd: int
    held_nusd: int


class Adjust(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="adjust"):
    """A person corrected what an ended call was charged, from one amount to another."""

    call_id: str
    agent_id: str
    from_nusd: int
    to_nusd: int
    reason: str
    actor: str
    funded_nusd: int
    settled_nusd: int
    held_nusd: int


EndEvent = Settle | SettleWorst | Void | Overrun
"""The four ways in which a call ends; each call has exactly one."""

CallEvent = Hold | Sent | EndEvent | Adjust
AgentEvent = AgentNew | AgentSet | AgentDel | BudgetSet | Freeze | Unfreeze
DaemonEvent = Open | Close | Torn | DaemonLimitSet | PriceAccept
MoneyEvent = Hold | EndEvent | Adjust | BudgetSet
Event = CallEvent | AgentEvent | DaemonEvent


def agent_of(event: Event) -> str | None:
    """Return the id of the agent that an event concerns, None where it concerns the daemon."""
    return None if isinstance(event, DaemonEvent) else event.agent_id
