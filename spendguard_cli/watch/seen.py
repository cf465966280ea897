"""What `watch --once` tells, as values: field names are the keys that scripts read."""

import msgspec

from spendguard_daemon import wire


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One agent. Money is null until a budget is set, `seconds_to_empty` while nothing is spent.

    `danger` is calm, care, bad or stopped; `why` says it in a few words, or what is going on. `spent_usd` are
    the last fifteen minutes of spending in steps of ten seconds, oldest first, from the first spending on.
    """

    agent_id: str
    name: str
    danger: str
    why: str
    limit_usd: str | None
    remaining_usd: str | None
    available_usd: str | None
    settled_usd: str
    held_usd: str
    usd_per_minute: str
    usd_per_minute_of_15: str
    seconds_to_empty: int | None
    calls_in_flight: int
    calls_waiting: int
    refusals: int
    frozen_reason: str | None
    locked_run_id: str | None
    locked_since: str | None
    locked_expires_at: str | None
    spent_usd: list[str]


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Calls of one agent that were refused with one code lately; `next` is what to type, where that helps."""

    agent_id: str
    name: str
    code: str
    times: int
    reason: str
    last_at: str
    next: list[str]


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """The sums over the agents shown. `left_usd` is what they may still spend, no more than the cap of all.

    `refusals` are counted since `refusals_since`, when the sidecar started. `cap_remaining_usd` is null while
    there is no cap above all agents.
    """

    agents: int
    left_usd: str
    settled_usd: str
    held_usd: str
    usd_per_minute: str
    usd_per_minute_of_15: str
    seconds_to_empty: int | None
    calls_in_flight: int
    calls_waiting: int
    refusals: int
    refusals_since: str | None
    cap_remaining_usd: str | None
    unconfirmed_usd: str
    unconfirmed_calls: int


class Glance(msgspec.Struct, frozen=True, kw_only=True):
    """All of it, as of `at`. `state` is up, draining, or past; `next` are the commands that help first."""

    at: str
    state: str
    sums: Sums
    agents: list[Seen]
    waiting: list[wire.Waiting]
    refused: list[Refusal]
    unconfirmed: list[wire.Unconfirmed]
    next: list[str]
