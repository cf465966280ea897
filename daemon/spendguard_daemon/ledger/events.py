"""What happened, as frozen records: one type for each kind of journal line, the `t` of the line its tag.

Owns the names and fields of the journal's bodies, which never change meaning once written: a field may be
added with a default, a record type may be added. Money is integer nano-USD. Every event that moves an
agent's money carries the account as it stands afterwards (`funded_nusd`, `settled_nusd`, `held_nusd`), so
that replay can check each step and a person with `less` can follow it.
"""

from typing import Literal

import msgspec

from spendguard_daemon.errors import Fact

Concurrency = Literal["exclusive", "shared"]
Overflow = Literal["clamp", "refuse"]
KeyKind = Literal["agent", "exec", "child"]
"""Made by an operator; made by `spendguard exec`, revoked at its end; taken up when it was first used."""

CostLine = dict[str, int | str]
"""One line of a bill: name, quantity, unit, rate, and cost_nusd as an exact decimal string."""


class AgentPolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one agent's requests are read by in place of `[policy]`, and whether they wait; absent: as there.

    `allow` does not replace the operator's list: its features are allowed beside those of `[policy] allow`.
    """

    hosted_tools: Literal["strip", "refuse", "allow"] | None = None
    hosted_tool_uses: int | None = None
    server_state: Literal["window", "refuse"] | None = None
    exact_count: Literal["on_deny", "never"] | None = None
    allow: list[str] | None = None
    on_insufficient: Literal["refuse", "wait"] | None = None
    wait_seconds: int | None = None


class Idempotency(msgspec.Struct, frozen=True):
    """The Idempotency-Key of a request, the route it is for, and half the SHA-256 of its body (32 hex)."""

    key: str
    route: str
    body: str


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


class AgentNew(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="agent_new", omit_defaults=True):
    """An agent was made; it has no money yet."""

    agent_id: str
    name: str | None
    concurrency: Concurrency
    overflow: Overflow
    mock: bool
    actor: str
    idempotency: Idempotency | None = None
    policy: AgentPolicy | None = None


class AgentSet(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="agent_set", omit_defaults=True):
    """An agent's settings changed; None leaves one as it was. `policy` takes the place of the one before."""

    agent_id: str
    actor: str
    name: str | None = None
    concurrency: Concurrency | None = None
    overflow: Overflow | None = None
    policy: AgentPolicy | None = None
    needs_key: bool | None = None


class AgentDel(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="agent_del"):
    """An agent was hidden and gets no new calls; its history and its id stay for ever."""

    agent_id: str
    actor: str


class BudgetSet(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="budget_set", omit_defaults=True
):
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
    idempotency: Idempotency | None = None


class DaemonLimitSet(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="daemon_limit_set", omit_defaults=True
):
    """The cap above all agents was set or topped up, or lifted (`limit_nusd` None); as `BudgetSet`."""

    limit_nusd: int | None
    applied_nusd: int
    ignored_nusd: int
    cut_nusd: int
    actor: str
    funded_nusd: int | None
    settled_nusd: int
    held_nusd: int
    idempotency: Idempotency | None = None


class Freeze(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="freeze"):
    """An operator, or an overrun, stopped an agent."""

    agent_id: str
    reason: str
    actor: str


class Unfreeze(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="unfreeze"):
    """An operator let an agent go on."""

    agent_id: str
    actor: str


class KeyAdd(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="key_add"):
    """An agent has one key more; its whole secret is never written, only `public`, 64 hex digits.

    `expires_at` is ISO 8601 to the millisecond, for a child never later than its parent's; `limit_nusd` is
    the most that the key may ever spend, None as much as its agent may; `models` are patterns, None is all.
    With one of kind `agent` the agent's id alone is not enough any more, until an `agent_set` says so.
    A reader that does not know this must not go on: it would let a key be exceeded.
    """

    agent_id: str
    key_id: str
    public: str
    kind: KeyKind
    actor: str
    parent_id: str | None = None
    limit_nusd: int | None = None
    expires_at: str | None = None
    models: list[str] | None = None
    label: str = ""
    run_id: str | None = None
    idempotency: Idempotency | None = None
    crit: bool = True


class KeyRotate(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="key_rotate"):
    """A key got another secret and keeps all else; the keys that were made from the old secret have ended."""

    agent_id: str
    key_id: str
    public: str
    actor: str
    crit: bool = True


class KeyRevoke(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="key_revoke"):
    """A key was ended, and all that were made from it; calls that it has under way still settle."""

    agent_id: str
    key_id: str
    actor: str
    crit: bool = True


class PriceAccept(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="price_accept"):
    """A verified price document came into use: the high-water mark against older ones."""

    sequence: int
    document_sha256: str
    key_id: str
    source: str


class Hold(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="hold", omit_defaults=True):
    """Money was set aside for one call: the most it can cost, `amount_nusd`.

    `input_tokens` is the bound of rung `rung`; `output_tokens` the cap per choice that was held, which the
    request must carry; `rates` are the prices that the call will be settled at. `keys` are the key that the
    call came with and those that it was made from, the first of all first; each of them pays for the call.
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
    idempotency: Idempotency | None = None
    keys: list[str] = []


class Sent(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="sent"):
    """The call is on its way to the provider; `changed` lists what we changed in it."""

    call_id: str
    agent_id: str
    changed: list[str]


ANSWERED_BY = "answered by model "
"""In the reason of a `settle`: another model answered, which is dearer, and its rates were charged."""


class Settle(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="settle", omit_defaults=True):
    """The real cost is known and within the hold.

    `answer_id` is the provider's name for the answer, where a later request may go on from it; `state_tokens`
    the most that it then adds to that request's input, None where that is not known.
    """

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
    answer_id: str | None = None
    state_tokens: int | None = None


class SettleWorst(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="settle_worst", omit_defaults=True
):
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
    answer_id: str | None = None


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


class Overrun(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="overrun", omit_defaults=True):
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
    answer_id: str | None = None
    state_tokens: int | None = None


class Adjust(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="adjust", omit_defaults=True):
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
    idempotency: Idempotency | None = None


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="refused"):
    """`count` calls of an agent got no hold, for the reason `code`, from `at` to `until` (ISO 8601).

    `call_id` and all that follows are the first one's; `facts` are the numbers of its sum (`*_usd` in USD),
    or what else explains it. Usually all are within a second; an agent that is refused without end has its
    records further apart, but no refusal goes uncounted.
    """

    agent_id: str
    code: str
    at: str
    until: str
    call_id: str
    run_id: str
    provider: str
    endpoint: str
    model: str
    http_status: int
    detail: str
    count: int
    facts: dict[str, Fact]


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="checkpoint"):
    """The state after record `through_seq`, whose hash is `through_h`, is durable in the file `snapshot`.

    `sha256` is that file's own, over its bytes before `,\\n"sha256"`; a reader older than `min_reader` must
    not go on from it. The rest is what was so when this record was written, for replay to check: how many
    agents there were and calls were open, and the sums over all agents.
    """

    through_seq: int
    through_h: str
    snapshot: str
    bytes: int
    sha256: str
    generation: int
    min_reader: int
    agents: int
    calls_open: int
    settled_nusd: int
    held_nusd: int


class Restored(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="restored"):
    """What stands before this was put back from a backup; what was spent since then is not in it.

    Every agent that is not deleted is frozen until its `restore_confirmed`, and all its keys have ended:
    which were revoked since, and what each had left, is not known. `backup_ts` is when the backup was made,
    `manifest_sha256` the hash in its manifest. A reader that does not know this must not go on.
    """

    generation: int
    backup_ts: str
    manifest_sha256: str
    actor: str
    crit: bool = True


class RestoreConfirmed(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="restore_confirmed"):
    """An operator entered what an agent had spent between the backup and its restore, and let it go on."""

    agent_id: str
    spent_nusd: int
    reason: str
    actor: str
    funded_nusd: int
    settled_nusd: int
    held_nusd: int
    crit: bool = True


EndEvent = Settle | SettleWorst | Void | Overrun
"""The four ways in which a call ends; each call has exactly one."""

CallEvent = Hold | Sent | EndEvent | Adjust
AgentEvent = AgentNew | AgentSet | AgentDel | BudgetSet | Freeze | Unfreeze | RestoreConfirmed
KeyEvent = KeyAdd | KeyRotate | KeyRevoke
DaemonEvent = Open | Close | Torn | DaemonLimitSet | PriceAccept | Checkpoint | Restored
MoneyEvent = Hold | EndEvent | Adjust | BudgetSet | RestoreConfirmed
KeyedEvent = Hold | BudgetSet | AgentNew | DaemonLimitSet | Adjust | KeyAdd
"""What a request with an Idempotency-Key may lead to."""

Event = CallEvent | AgentEvent | KeyEvent | DaemonEvent | Refused


def agent_of(event: Event) -> str | None:
    """Return the id of the agent that an event concerns, None where it concerns the daemon."""
    return None if isinstance(event, DaemonEvent) else event.agent_id
