"""What a person sees of `watch --once`. Pure: a glance in, Rich renderables out."""

from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from spendguard_cli.render import count
from spendguard_cli.views import accounts, ink
from spendguard_cli.views.ink import BAD, CARE, QUIET, nusd
from spendguard_cli.watch.figures import short_age, short_usd
from spendguard_cli.watch.rates import Spend
from spendguard_cli.watch.seen import Glance, Refusal, Seen

USD_CELLS = 10
SPARK_CELLS = 12
"""For the last fifteen minutes of an agent's spending."""


def glance(value: Glance) -> RenderableType:
    """All agents, then what waits, what was refused lately, what nobody has confirmed, and what to type."""
    parts: list[RenderableType] = [_head(value)]
    parts.append(
        ink.indent(_agents(value.agents, _seconds(value.at)))
        if value.agents
        else Text("no agents", style=QUIET)
    )
    names = {one.agent_id: one.name for one in value.agents}
    now_ns = int(_seconds(value.at)) * 1_000_000_000
    if value.waiting:
        parts += [Text(), ink.indent(accounts.waiting(value.waiting, names, now_ns))]
    if value.refused:
        parts += [Text(), ink.indent(_refusals(value.refused, now_ns))]
    if value.unconfirmed:
        parts += [Text(), ink.indent(_unconfirmed(value))]
    if value.next:
        parts += [Text(), Text("next:", style=QUIET), *map(ink.command, value.next)]
    return Group(*parts)


def _head(value: Glance) -> RenderableType:
    """The sums, in one line that wraps."""
    sums = value.sums
    head = Text("the past, " if value.state == "past" else "")
    head.append_text(ink.when(value.at))
    said = [f"  {count(sums.agents, 'agent')}", f"${sums.left_usd} left", f"${sums.held_usd} held"]
    said.append(f"${sums.settled_usd} settled")
    pace = max(nusd(sums.usd_per_minute), nusd(sums.usd_per_minute_of_15))
    said += [f"burn {short_usd(pace, USD_CELLS, up=True)}/m"] if pace else []
    if sums.seconds_to_empty is not None:
        said.append(f"{short_age(sums.seconds_to_empty)} to empty")
    said.append(f"{sums.calls_in_flight} in flight")
    said += [f"{sums.calls_waiting} waiting"] if sums.calls_waiting else []
    since = _seconds(sums.refusals_since or "")
    counted = f" in {short_age(_seconds(value.at) - since)}" if since else ""
    said += [f"{sums.refusals} refused{counted}"] if sums.refusals else []
    if sums.cap_remaining_usd is not None:
        said.append(f"cap of all: ${sums.cap_remaining_usd} left")
    if value.state == "draining":
        said.append("draining: no new calls")
    return Group(head.append(" · ".join(said)), Text())


def _agents(values: list[Seen], now_seconds: float) -> RenderableType:
    from spendguard_cli.watch.danger import MARKS, STYLES  # knows the board, which knows `ink`

    marks, styles = dict[str, str](MARKS.items()), dict[str, str](STYLES.items())
    made = ink.table(
        "AGENT", "STATE", "LEFT", "LIMIT", "HELD", "$/MIN", "15 MIN", "SPENT", "LASTS", "CALLS", "WAITS",
        "REFUSED", "LOCKED BY",
        right=("LEFT", "LIMIT", "HELD", "$/MIN", "15 MIN", "LASTS", "CALLS", "WAITS", "REFUSED"),
        whole=("STATE", "SPENT"),
        less=("SPENT", "15 MIN", "HELD", "LIMIT", "LOCKED BY", "CALLS", "$/MIN", "WAITS", "REFUSED"),
    )  # fmt: skip
    for value in values:
        made.add_row(
            ink.foreign(value.name, "bold"),
            ink.foreign(f"{marks[value.danger]} {value.why}", styles[value.danger]),
            ink.usd(value.remaining_usd),
            ink.usd(value.limit_usd),
            _spent(value.held_usd),
            _spent(value.usd_per_minute),
            _spent(value.usd_per_minute_of_15),
            Text(Spend.of(0, [*map(nusd, value.spent_usd)], now_seconds).spark(SPARK_CELLS, now_seconds)),
            Text("-", style=QUIET)
            if value.seconds_to_empty is None
            else Text(short_age(value.seconds_to_empty)),
            _number(value.calls_in_flight),
            _number(value.calls_waiting, CARE),
            _number(value.refusals, BAD),
            _lock(value, int(now_seconds) * 1_000_000_000),
        )
    return made


def _refusals(values: list[Refusal], now_ns: int) -> RenderableType:
    made = ink.table(
        "REFUSED", "WITH", "TIMES", "LAST", "WHY",
        right=("TIMES",), whole=("WITH", "LAST"), prose=("WHY",), less=("WHY", "LAST"),
    )  # fmt: skip
    for value in values:
        ago = Text(f"{short_age(now_ns // 1_000_000_000 - _seconds(value.last_at))} ago")
        made.add_row(
            ink.foreign(value.name, "bold"),
            ink.foreign(value.code, BAD),
            Text(str(value.times)),
            ago,
            ink.prose(value.reason),
        )
    return made


def _unconfirmed(value: Glance) -> RenderableType:
    made = ink.table(
        "AGENT", "CALL", "UNCONFIRMED", "WHY",
        right=("UNCONFIRMED",), fixed=("CALL",), prose=("WHY",),
    )  # fmt: skip
    for one in value.unconfirmed:
        made.add_row(
            ink.foreign(one.agent_name, "bold"),
            ink.foreign(one.call_id, QUIET),
            ink.usd(one.cost_usd),
            ink.prose(one.reason),
        )
    return made


def _lock(value: Seen, now_ns: int) -> Text:
    """Name the run that has the lock, and for how long it has had it."""
    if value.locked_run_id is None:
        return Text("-", style=QUIET)
    shown = ink.foreign(value.locked_run_id, "cyan")
    if value.locked_since is not None:
        shown.append(f" {short_age(now_ns // 1_000_000_000 - _seconds(value.locked_since))}", style="default")
    return shown


def _spent(usd: str) -> Text:
    amount = nusd(usd)
    return Text(short_usd(amount, USD_CELLS, up=True)) if amount else Text("-", style=QUIET)


def _number(number: int, style: str = "") -> Text:
    return Text(str(number), style=style) if number else Text("-", style=QUIET)


def _seconds(iso: str) -> float:
    try:
        return datetime.fromisoformat(iso).timestamp()
    except (ValueError, OverflowError):  # of no sidecar of ours: then it was never
        return 0.0
