"""The lists of one agent: in flight, calls, failures, runs, keys, history. What each holds and says. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rich.text import Text

from spendguard_cli.views.ink import CARE, QUIET
from spendguard_cli.watch import account, explained
from spendguard_cli.watch.board import Board, Flight, seconds
from spendguard_cli.watch.deeds import Deed, older, told
from spendguard_cli.watch.failing import Failed, failures, kind
from spendguard_cli.watch.figures import short_age
from spendguard_cli.watch.sheet import Column, Sheet
from spendguard_cli.watch.subject import Subject
from spendguard_cli.watch.telling import age, begin, clock, rest, state, title, until, usd, waits_for
from spendguard_daemon import wire
from spendguard_daemon.text import safe

Thing = Flight | wire.Waiting | wire.Call | wire.Run | wire.AgentKey | Deed
Cells = list[Text | str]

NO_DEEDS = wire.Deeds(deeds=[], whole=False)
OLDER = "older"
"""The line that says that there was more."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What the sidecar was asked for: runs, keys, what was done to the agent; or `why` that is not known.

    An older sidecar tells no `deeds`.
    """

    why: str = "asking the sidecar"
    runs: tuple[wire.Run, ...] = ()
    keys: tuple[wire.AgentKey, ...] = ()
    deeds: wire.Deeds | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """One list: its name, its columns, what it holds, how a line and the pane of one are told.

    `empty` is what it says when it holds nothing; `asked` where it is asked for, not told by the feed.
    """

    name: str
    sheet: Sheet
    things: Callable[[Board, str, Fetched], Mapping[str, Thing]]
    cells: Callable[[Thing, float], Cells]
    pane: Callable[[Board, Thing, float], Text | None]
    empty: str
    asked: bool = False


def subject(agent_id: str, thing: Thing | None) -> Subject:
    """Return whom an action is about with the cursor on a line."""
    match thing:
        case Flight(call=call):
            return Subject(agent_id, call.call_id)
        case wire.Waiting(call_id=call_id):
            return Subject(agent_id, call_id, waiting=True)
        case wire.Call(call_id=call_id):
            return Subject(agent_id, call_id)
    return Subject(agent_id)


def _flights(board: Board, agent_id: str, _: Fetched) -> Mapping[str, Thing]:
    row = board.rows.get(agent_id)
    found: dict[str, Thing] = {one.call_id: one for one in (row.waiting if row else [])}
    flying = [one for one in board.flights.values() if one.call.agent_id == agent_id]
    flying.sort(key=lambda one: (seconds(one.call.created_at), one.call.call_id))
    return found | {one.call.call_id: one for one in flying}


def _flight_cells(thing: Thing, now: float) -> Cells:
    if isinstance(thing, wire.Waiting):
        times = [age(thing.since, now), rest(thing.until, now)]
        waits = Text(waits_for(thing), style=CARE)
        # It holds nothing: what it may cost at worst stands below.
        return [safe(thing.model), *times, "waits", "-", "-", "-", waits, safe(thing.run_id)]
    if not isinstance(thing, Flight):
        return []
    call, told = thing.call, thing.progress
    silent = short_age(told.idle_seconds) if told else "-"
    client = Text(account.client(thing), style=CARE if account.client(thing) == "has left" else "")
    times = [age(call.created_at, now), rest(call.expires_at, now)]
    cells: Cells = [safe(call.model), *times, usd(call.hold_usd), account.so_far(thing)]
    return [*cells, account.tokens(thing), silent, client, safe(call.run_id)]


def _flight_pane(board: Board, thing: Thing, now: float) -> Text | None:
    if isinstance(thing, wire.Waiting):
        return explained.waiting(board, thing, now)
    return account.flight(thing, now) if isinstance(thing, Flight) else None


def _calls(board: Board, agent_id: str, _: Fetched) -> Mapping[str, Thing]:
    return {call.call_id: call for call in board.of_agent(agent_id)}


def _call_cells(thing: Thing, now: float) -> Cells:
    if not isinstance(thing, wire.Call):
        return []
    used = thing.usage or {}
    spent = f"{used['input_tokens']}/{used.get('output_tokens', 0)}" if "input_tokens" in used else "-"
    when = age(thing.ended_at or thing.created_at, now)
    return [when, state(thing), usd(thing.cost_usd), safe(thing.model), spent, safe(thing.run_id)]


def _call_pane(_: Board, thing: Thing, now: float) -> Text | None:
    return account.ended(thing, now) if isinstance(thing, wire.Call) else None


def _failures(board: Board, agent_id: str, _: Fetched) -> Mapping[str, Thing]:
    return {call.call_id: call for call in failures(board.of_agent(agent_id))}


def _failure_cells(thing: Thing, now: float) -> Cells:
    if not isinstance(thing, wire.Call):
        return []
    code = kind(thing) or ""
    when = age(thing.ended_at or thing.created_at, now)
    said = Text(title(code), style=CARE)
    return [when, said, str(thing.count), usd(thing.cost_usd), safe(thing.model), safe(thing.run_id)]


def _failure_pane(board: Board, thing: Thing, now: float) -> Text | None:
    if not isinstance(thing, wire.Call):
        return None
    group = Failed(kind(thing) or "", thing, thing.count, {thing.agent_id: thing.count})
    return explained.failed(board, group, now)


def _run_cells(thing: Thing, now: float) -> Cells:
    if not isinstance(thing, wire.Run):
        return []
    ages = [age(thing.last_seen_at, now), age(thing.created_at, now)]
    return [safe(thing.run_id), str(thing.calls), usd(thing.cost_usd), *ages]


def _key_cells(thing: Thing, now: float) -> Cells:
    if not isinstance(thing, wire.AgentKey):
        return []
    how = "revoked" if thing.revoked else "expired" if thing.expired else "good"
    ends = "never" if thing.expires_at is None else until(thing.expires_at, now)
    label = safe(thing.label).strip() or safe(thing.key_id)
    rest = "no limit" if thing.limit_usd is None else usd(thing.remaining_usd)
    return [
        label,
        Text(how, style=QUIET if how != "good" else ""),
        rest,
        usd(thing.settled_usd),
        ends,
        thing.kind,
    ]


def _key_pane(_: Board, thing: Thing, now: float) -> Text | None:
    if not isinstance(thing, wire.AgentKey):
        return None
    said = Text(f"key {safe(thing.key_id)}, made {age(thing.created_at, now)} ago")
    limit = "" if thing.limit_usd is None else f"; limit {usd(thing.limit_usd)}"
    said.append(f"\nsettled {usd(thing.settled_usd)}, held {usd(thing.held_usd)}{limit}")
    models = "any that the agent may" if thing.models is None else ", ".join(map(safe, thing.models))
    return said.append(f"\nmodels: {models}")


def _history(board: Board, agent_id: str, asked: Fetched) -> Mapping[str, Thing]:
    """Return what was done to an agent, newest first; last of all, that there was more, where that is so."""
    found = board.deeds.get(agent_id, NO_DEEDS) if board.link == "past" else asked.deeds
    if found is None:
        row = board.rows.get(agent_id)
        heard = row.deeds[::-1] if row else []
        why = asked.why or "the sidecar is older: spendguard restart"
        deeds = [*heard, older(f"what was done before watch was opened: {why}")]
    else:
        deeds = told(found)
    count = sum(bool(one.at) for one in deeds)
    return {OLDER if not one.at else str(count - place): one for place, one in enumerate(deeds)}


def _deed_cells(thing: Thing, _: float) -> Cells:
    if not isinstance(thing, Deed):
        return []
    return [clock(thing.at or None), thing.actor, thing.said]


def _deed_pane(_: Board, thing: Thing, now: float) -> Text | None:
    """Tell a deed whole, which a narrow line cuts."""
    if not isinstance(thing, Deed):
        return None
    if not thing.at:
        return Text(thing.said)
    who = begin(f"{thing.actor}, {age(thing.at, now)} ago, {clock(thing.at)}", QUIET)
    return who.append(f"\n{thing.said}", style="bold")


def _nothing(_: Board, __: Thing, ___: float) -> Text | None:
    return None


_RUN = Column("RUN", 12, yields=2)
_MODEL = Column("MODEL", 10, grows=True)

SECTIONS: tuple[Section, ...] = (
    Section(
        "in flight",
        Sheet(_MODEL, Column("AGE", 6, right=True), Column("CUT IN", 6, right=True),
              Column("HOLD", 8, right=True), Column("SO FAR", 8, right=True), Column("TOKENS", 7, right=True),
              Column("IDLE", 5, right=True, yields=1), Column("CLIENT", 8, grows=True, yields=2),
              Column("RUN", 12, yields=3)),
        _flights, _flight_cells, _flight_pane, "no call is in flight, and none waits",
    ),
    Section(
        "calls",
        Sheet(Column("AGO", 6, right=True), Column("STATE", 14, grows=True), Column("COST", 12, right=True),
              _MODEL, Column("IN/OUT", 10, right=True, yields=1), _RUN),
        _calls, _call_cells, _call_pane, "no call of this agent has ended lately, as far as is told here",
    ),
    Section(
        "failures",
        Sheet(Column("AGO", 6, right=True), Column("WHAT", 16, grows=True), Column("TIMES", 5, right=True),
              Column("COST", 10, right=True), Column("MODEL", 12, yields=1), _RUN),
        _failures, _failure_cells, _failure_pane, "no call of this agent was refused or failed lately",
    ),
    Section(
        "runs",
        Sheet(Column("RUN", 16, grows=True), Column("CALLS", 6, right=True), Column("COST", 12, right=True),
              Column("LAST", 7, right=True), Column("BEGUN", 7, right=True)),
        lambda _, __, asked: {one.run_id: one for one in asked.runs},
        _run_cells, _nothing, "this agent had no run yet", asked=True,
    ),
    Section(
        "keys",
        Sheet(Column("KEY", 14, grows=True), Column("", 7), Column("LEFT", 10, right=True),
              Column("SETTLED", 10, right=True), Column("ENDS", 12, yields=1), Column("KIND", 5, yields=2)),
        lambda _, __, asked: {one.key_id: one for one in asked.keys},
        _key_cells, _key_pane, "this agent has no key", asked=True,
    ),
    Section(
        "history",
        Sheet(Column("AT", 20), Column("WHO", 10), Column("WHAT", 20, grows=True)),
        _history, _deed_cells, _deed_pane, "nothing was done to this agent",
    ),
)  # fmt: skip
