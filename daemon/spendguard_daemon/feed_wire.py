"""The shapes of the feed, `GET /v1/events` (design 6), shared with `watch`: what goes over the wire.

A feed is one `Snapshot` and then `Event`s. Within an `epoch`, one life of one daemon, each has the `seq` of
the one before and one more, so that a reader knows when it lost some, and asks for a snapshot. Every event
says what happened and carries the ABSOLUTE state of what it is about, as it stood when it was told: a reader
that lost, repeated or reordered events is never wrong by a sum, only behind, and the event with the greatest
`seq` about a thing is the truth about it. Amounts are exact decimals in USD, times ISO 8601 with zone. On the
wire each is one SSE message: `event:` is `snapshot` or the kind, `id:` is `<epoch>.<seq>`, `data:` this shape
as JSON. Unknown fields and kinds are ignored on reading.
"""

from typing import Literal

import msgspec

from spendguard_daemon import wire

SPEND_STEP_SECONDS = 10
SPEND_STEPS = 90
"""Fifteen minutes of spending, in steps, come with a snapshot."""

FLUSH_SECONDS = 0.1
"""Events of this time go out together; of one agent, only the last state is reckoned."""

TOTALS_SECONDS_MAX = 5.0
"""`totals` come at least this often: who hears nothing for twice as long has lost the feed."""

Kind = Literal["hold", "end", "adjust", "refused", "progress", "waiting", "lock", "agent", "price", "totals"]
"""What happened: a call got its hold or left, ended, was corrected, was refused; answers went on; the calls
that wait are others; a lock changed by time alone; an agent or its budget or keys were changed (made, set,
frozen, deleted, topped up); the prices or the daemon itself are others; the sums over all agents."""


class Money(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An agent's money as it stands, and what comes and goes with its calls.

    `hard_limit_usd`, `remaining_usd` and `available_usd` are null until a budget is set; `available_usd` is
    what a new call may hold. `refusals` counts since the daemon started. `locked_*` are null for an agent
    that nobody has locked, or that is shared.
    """

    hard_limit_usd: str | None = None
    remaining_usd: str | None = None
    available_usd: str | None = None
    funded_usd: str = "0"
    held_usd: str = "0"
    settled_usd: str = "0"
    calls_in_flight: int = 0
    calls_waiting: int = 0
    refusals: int = 0
    frozen_reason: str | None = None
    locked_run_id: str | None = None
    locked_since: str | None = None
    locked_expires_at: str | None = None


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far the answer to a call in flight has come.

    `output_tokens`: at least so many have come, one for each event of a stream; null before the first.
    `cost_usd`: what so many cost, with the whole input bound, at the call's prices; never above its hold.
    `idle_seconds`: how long the provider has been silent; `attached`: whether its client is still there.
    """

    call_id: str
    agent_id: str
    answer_bytes: int = 0
    output_tokens: int | None = None
    cost_usd: str = "0"
    idle_seconds: int = 0
    attached: bool = True


class Totals(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The sums over all agents, those deleted too, and the newest calls that nobody has confirmed.

    `state` is up, or draining. `cap` is the daemon's own budget.
    """

    state: str
    agents: int
    calls_in_flight: int
    calls_waiting: int
    refusals: int
    cap: wire.DaemonBudget
    unconfirmed_usd: str
    unconfirmed_calls: int
    unconfirmed: list[wire.Unconfirmed] = []


class Standing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An agent as it stands. `spent_usd` are its last SPEND_STEPS steps of spending, oldest first.

    Steps before its first spending are left out. `agent.waiting` are the first of its waiting calls.
    """

    agent: wire.Agent
    money: Money
    spent_usd: list[str] = []


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All there is to see, as of event `seq`. `calls` are in flight; `ended` the latest ends and refusals,
    newest first, of all agents together.
    """

    epoch: str
    seq: int
    at: str
    status: wire.Status
    totals: Totals
    agents: list[Standing]
    calls: list[wire.Call] = []
    progress: list[Progress] = []
    ended: list[wire.Call] = []


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something happened, and this is how what it is about stands now.

    `money` comes with every event of an agent, `deleted` in its place where that is gone. By `kind` there is
    also: `call` (hold, end, adjust, refused), `progress`, `waiting` (all that wait of that agent, at most
    20), `agent` (agent), `status` (price), `totals`. `actor` is who acted, where a person did.
    """

    seq: int
    at: str
    kind: Kind
    agent_id: str | None = None
    money: Money | None = None
    call: wire.Call | None = None
    progress: list[Progress] = []
    waiting: list[wire.Waiting] | None = None
    agent: wire.Agent | None = None
    deleted: bool = False
    status: wire.Status | None = None
    totals: Totals | None = None
    actor: str | None = None
