"""All agents as they stand, once: what `watch --once` prints, and what `--compact` makes a line of. Pure.

The same facts as in the agents view, reckoned by the same board. Amounts are exact decimals in USD; what is
spent a minute is the average of the last minute, and of the last fifteen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import dropwhile

import msgspec

from spendguard_cli.remedies import facts_of, first_commands, ways_out
from spendguard_cli.views.ink import nusd
from spendguard_cli.watch.asked import RANKED_AS, Order
from spendguard_cli.watch.board import Board, Row, seconds
from spendguard_cli.watch.danger import danger, reason
from spendguard_cli.watch.ranking import matching, ranked
from spendguard_cli.watch.seen import Glance, Refusal, Seen, Sums
from spendguard_cli.ways_on import refs, ways_on
from spendguard_daemon import wire
from spendguard_daemon.money import format_usd

LATELY_SECONDS = 15 * 60
"""For how long a refusal is told."""

REFUSALS_SHOWN = 5
FIRST = "spendguard agent create --name my-agent"
"""What to type where there is no agent yet."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which agents are shown, in which order: one by its id, those that a filter lets through, or all."""

    agent_id: str | None = None
    text: str = ""
    order: Order = "danger"


def glance(board: Board, now_seconds: float, wanted: Wanted | None = None) -> Glance:
    """Return what the board knows, as of `now_seconds` of the source's clock."""
    asked = wanted or Wanted()
    rows = _wanted(board, asked, now_seconds)
    order = ranked(rows, RANKED_AS.get(asked.order, asked.order), False, now_seconds)
    agents = [_seen(board.rows[agent_id], now_seconds) for agent_id in order]
    ids = {row.agent.agent_id for row in rows}
    whole = len(ids) == len(board.rows)
    unconfirmed = board.totals.unconfirmed if board.totals else []
    past = board.link == "past"
    refused = _refused(board, ids, now_seconds)
    told = [] if past else _next(board, rows, refused)
    return Glance(
        at=datetime.fromtimestamp(int(now_seconds), UTC).isoformat().replace("+00:00", "Z"),
        state="past" if past else board.totals.state if board.totals else "unknown",
        sums=_sums(board, rows, now_seconds, whole=whole),
        agents=agents,
        waiting=[one for row in rows for one in row.waiting],
        refused=[msgspec.structs.replace(one, next=[]) for one in refused] if past else refused,
        unconfirmed=[one for one in unconfirmed if one.agent_id in ids or whole],
        next=told,
    )


def without_steps(shown: Glance) -> Glance:
    """Return the same without each step of spending, for who reads lines."""
    return msgspec.structs.replace(
        shown, agents=[msgspec.structs.replace(one, spent_usd=[]) for one in shown.agents]
    )


def _wanted(board: Board, wanted: Wanted, now_seconds: float) -> list[Row]:
    if wanted.agent_id is not None:
        return [row for row in board.rows.values() if row.agent.agent_id == wanted.agent_id]
    return matching(board.rows.values(), wanted.text, now_seconds)


def _seen(row: Row, now_seconds: float) -> Seen:
    money, spend = row.money, row.spend
    remaining = None if money.remaining_usd is None else nusd(money.remaining_usd)
    to_empty = None if remaining is None else spend.seconds_to_empty(remaining, now_seconds)
    pace, slow_pace = spend.per_minute_nusd(1, now_seconds), spend.per_minute_nusd(15, now_seconds)
    return Seen(
        agent_id=row.agent.agent_id,
        name=row.agent.name,
        danger=danger(row, now_seconds),
        why=reason(row, now_seconds) or _doing(row),
        limit_usd=money.hard_limit_usd,
        remaining_usd=money.remaining_usd,
        available_usd=money.available_usd,
        settled_usd=money.settled_usd,
        held_usd=money.held_usd,
        usd_per_minute=format_usd(pace),
        usd_per_minute_of_15=format_usd(slow_pace),
        seconds_to_empty=to_empty,
        calls_in_flight=money.calls_in_flight,
        calls_waiting=money.calls_waiting,
        refusals=money.refusals,
        frozen_reason=money.frozen_reason,
        locked_run_id=money.locked_run_id,
        locked_since=money.locked_since,
        locked_expires_at=money.locked_expires_at,
        spent_usd=[*map(format_usd, dropwhile(lambda step: not step, spend.steps))],
    )


def _doing(row: Row) -> str:
    """Say what is going on where nothing is wrong."""
    if row.money.calls_waiting:
        return f"{row.money.calls_waiting} waiting"
    return f"{row.money.calls_in_flight} in flight" if row.money.calls_in_flight else ""


def _sums(board: Board, rows: Sequence[Row], now_seconds: float, *, whole: bool) -> Sums:
    moneys = [row.money for row in rows]
    left = sum(max(0, nusd(money.remaining_usd)) for money in moneys if money.remaining_usd is not None)
    totals = board.totals
    cap = totals.cap.remaining_usd if totals else None
    if cap is not None:
        left = min(left, max(0, nusd(cap)))
    pace = sum(row.spend.per_minute_nusd(1, now_seconds) for row in rows)
    slow_pace = sum(row.spend.per_minute_nusd(15, now_seconds) for row in rows)
    fastest = max(pace, slow_pace)
    ids = {row.agent.agent_id for row in rows}
    mine = [one for one in (totals.unconfirmed if totals else []) if one.agent_id in ids]
    return Sums(
        agents=len(rows),
        left_usd=format_usd(left),
        settled_usd=format_usd(sum(nusd(money.settled_usd) for money in moneys)),
        held_usd=format_usd(sum(nusd(money.held_usd) for money in moneys)),
        usd_per_minute=format_usd(pace),
        usd_per_minute_of_15=format_usd(slow_pace),
        seconds_to_empty=left * 60 // fastest if fastest else None,
        calls_in_flight=sum(money.calls_in_flight for money in moneys),
        calls_waiting=sum(money.calls_waiting for money in moneys),
        refusals=totals.refusals if totals and whole else sum(money.refusals for money in moneys),
        refusals_since=board.refusals_since,
        cap_remaining_usd=cap,
        unconfirmed_usd=totals.unconfirmed_usd
        if totals and whole
        else format_usd(sum(nusd(one.cost_usd) for one in mine)),
        unconfirmed_calls=totals.unconfirmed_calls if totals and whole else len(mine),
    )


def _refused(board: Board, ids: set[str], now_seconds: float) -> list[Refusal]:
    """Return the refusals of the last minutes, by agent and code, the newest first."""
    newest: dict[tuple[str, str], wire.Call] = {}
    times: dict[tuple[str, str], int] = {}
    for call in reversed(board.ended.values()):
        late = seconds(call.created_at) < now_seconds - LATELY_SECONDS
        if call.state != "refused" or call.code is None or call.agent_id not in ids or late:
            continue
        what = (call.agent_id, call.code)
        newest.setdefault(what, call)
        times[what] = times.get(what, 0) + call.count
    named = refs([row.agent for row in board.rows.values()])
    cap = board.totals.cap if board.totals else None
    return [
        _refusal(board.rows[agent_id], call, times[agent_id, code], named[agent_id], cap)
        for (agent_id, code), call in list(newest.items())[:REFUSALS_SHOWN]
    ]


def _refusal(row: Row, call: wire.Call, times: int, ref: str, cap: wire.DaemonBudget | None) -> Refusal:
    code = call.code or ""
    commands = first_commands(ways_out(code, facts_of(call), row.agent, ref=ref, daemon=cap))
    return Refusal(
        agent_id=call.agent_id,
        name=row.agent.name,
        code=code,
        times=times,
        reason=call.reason or "",
        last_at=call.created_at,
        next=list(commands),
    )


def _next(board: Board, rows: Sequence[Row], refused: Sequence[Refusal]) -> list[str]:
    """Return what to type: for calls that wait, then for what was refused, then for what is unconfirmed."""
    named = refs([row.agent for row in board.rows.values()])
    standing = [msgspec.structs.replace(row.agent, waiting=row.waiting) for row in rows]
    if not board.rows:
        return [FIRST]
    commands = ways_on(standing, board.totals.cap if board.totals else None, named)
    commands += [command for one in refused for command in one.next[:1]]
    if board.totals and board.totals.unconfirmed_calls:
        commands.append("spendguard ledger export --unconfirmed")
    return list(dict.fromkeys(commands))
