"""Locks and waiting calls, in the order in which a person looks at them. Pure."""

from rich.text import Text

from spendguard_cli.remedies import ways_out
from spendguard_cli.render import count
from spendguard_cli.views.ink import CARE, QUIET
from spendguard_cli.watch.board import Board, Flight, Row, seconds
from spendguard_cli.watch.explained import typed
from spendguard_cli.watch.telling import agent_now, ago, begin, key_of, left, name, ref, span, usd
from spendguard_daemon import wire
from spendguard_daemon.errors import Code
from spendguard_daemon.text import safe

CALLS_SHOWN = 5
HELD_UNLESS = "unless its cost is known by then"


def locks(board: Board) -> list[Row]:
    """Return the agents that a run has locked, the longest first."""
    held = [row for row in board.rows.values() if row.money.locked_run_id is not None]
    return sorted(held, key=lambda row: (seconds(row.money.locked_since or ""), row.agent.agent_id))


def waiting(board: Board) -> list[wire.Waiting]:
    """Return the calls that wait, as many as are told of each agent, the longest first."""
    waits = [one for row in board.rows.values() for one in row.waiting]
    return sorted(waits, key=lambda one: (seconds(one.since), one.call_id))


def holders(board: Board, row: Row) -> list[Flight]:
    """Return the calls in flight of the run that has an agent's lock, the oldest first."""
    calls = [
        flight
        for flight in board.flights.values()
        if flight.call.agent_id == row.agent.agent_id and flight.call.run_id == row.money.locked_run_id
    ]
    return sorted(calls, key=lambda flight: (seconds(flight.call.created_at), flight.call.call_id))


def explained(board: Board, row: Row, now_seconds: float) -> Text:
    """Explain a lock: who has it, since when, until when at the latest, and how it ends sooner."""
    agent_id, money = row.agent.agent_id, row.money
    who, calls = name(board, agent_id), holders(board, row)
    said = begin(f"run {safe(money.locked_run_id or '')} holds agent {who}", style="bold")
    said.append(f"\nsince {ago(money.locked_since, now_seconds)}")
    if money.locked_expires_at is not None:  # of the past it is not known
        said.append(f"; its calls are cut at the latest {left(money.locked_expires_at, now_seconds)}")
    if board.may_act and calls:
        said.append("\n-> ", style=CARE)
        said.append(
            f"press {key_of('abort')} to cut its oldest call: it is charged at its hold, {HELD_UNLESS}",
            style="bold",
        )
    for flight in calls[:CALLS_SHOWN]:
        call = flight.call
        age = ago(call.created_at, now_seconds)
        said.append(f"\n  {safe(call.model)}, {age}, holds {usd(call.hold_usd)}{_progress(flight)}")
    if len(calls) > CALLS_SHOWN:
        said.append(f"\n  and {count(len(calls) - CALLS_SHOWN, 'call')} more", style=QUIET)
    if not calls:
        said.append("\n  its calls in flight are not told", style=QUIET)
    if board.link == "past":
        return said
    found = ways_out(Code.BUDGET_LOCKED, {}, agent_now(row), ref=ref(board, agent_id))
    return said.append_text(typed(found))


def _progress(flight: Flight) -> str:
    told = flight.progress
    if told is None:
        return ""
    silent = f", silent for {span(told.idle_seconds)}" if told.idle_seconds else ""
    return silent + ("" if told.attached else ", its client has left")
