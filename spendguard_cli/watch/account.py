"""One agent's money and calls in words: what was granted, is held, is left, and for how long. Pure."""

from rich.text import Text

from spendguard_cli.explain.sums import cost_sum
from spendguard_cli.render import count
from spendguard_cli.views.ink import BAD, CARE, GOOD, QUIET, nusd
from spendguard_cli.watch.board import Board, Flight, Row
from spendguard_cli.watch.danger import STYLES, danger, reason
from spendguard_cli.watch.figures import bar
from spendguard_cli.watch.telling import (
    ago,
    begin,
    key_of,
    left,
    ref,
    span,
    standing,
    state,
    usd,
    usd_of,
)  # fmt: skip
from spendguard_daemon import wire
from spendguard_daemon.text import safe

SPARK_CELLS = (90, 45, 30, 15)
"""Widths in which each cell of a spark is as long a time as every other."""

ID_CELLS_MIN = 70
"""Narrower than that the agent's id gives way: there is a key that copies it."""

_USED = {
    "input_tokens": "input",
    "cached_input_tokens": "of it cached",
    "cache_write_input_tokens": "written to the cache",
    "output_tokens": "output",
    "reasoning_output_tokens": "of it reasoning",
}


def top(row: Row, now_seconds: float, width: int) -> Text:
    """Write who the agent is, its money as a bar and in numbers, its pace, and its last 15 minutes."""
    said = begin(safe(row.agent.name).strip() or "an agent without a name", "bold").append("  ")
    said.append_text(standing(row))
    if width >= ID_CELLS_MIN:
        said.append(f"\n{safe(row.agent.agent_id)}", style=QUIET)
    said.append("\n").append_text(_money(row, now_seconds, width))
    said.append("\n").append_text(_pace(row, now_seconds))
    return said.append("\n").append_text(_spark(row, now_seconds, width))


def way_on(board: Board, row: Row) -> str:
    """Say how an agent gets going that no call gets through of; empty where one does, or none may act."""
    money, agent_id = row.money, row.agent.agent_id
    if not board.may_act:
        return ""
    if money.frozen_reason is not None and row.agent.restored:
        return (
            f"type: spendguard agent unfreeze {ref(board, agent_id)} --spent <what it spent since the backup>"
        )
    if money.frozen_reason is not None:
        return f"press {key_of('unfreeze')} to unfreeze it"
    if money.remaining_usd is None:
        return f"press {key_of('limit')} to give it a budget"
    if nusd(money.remaining_usd) <= 0:
        return f"press {key_of('topup')} to top it up"
    return ""


def _money(row: Row, now_seconds: float, width: int) -> Text:
    money = row.money
    if money.hard_limit_usd is None or money.available_usd is None:
        return Text(f"no budget was set; settled {usd(money.settled_usd)}", style=CARE)
    settled, held, free = (nusd(one) for one in (money.settled_usd, money.held_usd, money.available_usd))
    why = reason(row, now_seconds)
    said = bar(settled, held, free, max(nusd(money.funded_usd), 1), max(10, min(60, width - 16)))
    said.append(f" {why}\n" if why else "\n", style=STYLES[danger(row, now_seconds)])
    parts = [
        ("left", money.remaining_usd, "bold"),
        ("free", money.available_usd, ""),
        ("held", money.held_usd, ""),
        ("settled", money.settled_usd, ""),
        ("granted", money.funded_usd, ""),
        ("limit", money.hard_limit_usd, ""),
    ]
    for place, (word, amount, style) in enumerate(parts):
        said.append(", " if place else "").append(f"{word} ", style=QUIET)
        said.append(usd(amount), style=BAD if (amount or "").startswith("-") else style)
    return said


def _pace(row: Row, now_seconds: float) -> Text:
    one, fifteen = (row.spend.per_minute_nusd(minutes, now_seconds) for minutes in (1, 15))
    said = begin("burns ", QUIET).append(f"{usd_of(one)}/min", style="bold").append(" now, ", style=QUIET)
    said.append(f"{usd_of(fifteen)}/min").append(" over 15 min; ", style=QUIET)
    if row.money.remaining_usd is None:
        return said.append("nothing to spend", style=QUIET)
    lasts = row.spend.seconds_to_empty(nusd(row.money.remaining_usd), now_seconds)
    if lasts is None:
        return said.append("nothing is spent now", style=QUIET)
    return said.append(
        f"lasts {span(lasts)}" if lasts else "nothing is left",
        style=STYLES[danger(row, now_seconds)],
    )


def _spark(row: Row, now_seconds: float, width: int) -> Text:
    cells = next((one for one in SPARK_CELLS if one + 15 <= width), SPARK_CELLS[-1])
    drawn = row.spend.spark(cells, now_seconds)
    if not drawn.strip():
        return Text("nothing was spent in the last 15 minutes", style=QUIET)
    return begin("15 min ago ", QUIET).append(drawn, style=GOOD).append(" now", style=QUIET)


def so_far(flight: Flight) -> str:
    """Write what is sure to be spent by a call in flight; nothing before the first byte."""
    return usd(flight.progress.cost_usd) if flight.progress else "-"


def tokens(flight: Flight) -> str:
    """Write the output tokens so far, `310+`: at least so many have come."""
    told = flight.progress
    return "-" if told is None or told.output_tokens is None else f"{told.output_tokens}+"


def client(flight: Flight) -> str:
    """Write whether the program that asked is still there."""
    told = flight.progress
    attached = flight.call.attached if told is None else told.attached
    return {None: "not known", True: "attached", False: "has left"}[attached]


def flight(one: Flight, now_seconds: float) -> Text:
    """Tell all of a call in flight."""
    call = one.call
    said = begin(f"{safe(call.provider)}:{safe(call.model)}", "bold").append(
        f", in flight for {ago(call.created_at, now_seconds)}"
    )
    said.append(f"\nholds {usd(call.hold_usd)}, so far {so_far(one)}, output tokens {tokens(one)}")
    if call.output_tokens_held is not None:
        said.append(f" of {call.output_tokens_held} held")
    told = one.progress
    silent = (
        ""
        if told is None or not told.idle_seconds
        else f"; the provider is silent for {span(told.idle_seconds)}"
    )
    there = {"attached": "its client waits for it", "has left": "its client has left"}
    said.append(f"\n{there.get(client(one), 'whether its client is still there is not told')}{silent}")
    if call.expires_at is not None:
        said.append(f"\nis cut at the latest {left(call.expires_at, now_seconds)}")
    return said.append(f"\nrun {safe(call.run_id)}, call {safe(call.call_id)}", style=QUIET)


def ended(call: wire.Call, now_seconds: float) -> Text:
    """Tell all of a call that has ended: its state, its usage and its bill, line by line."""
    model = f"{safe(call.provider)}:{safe(call.model)} " if call.model else ""
    said = begin(model, "bold").append_text(state(call))
    when = ago(call.ended_at or call.created_at, now_seconds)
    said.append(f", {when} ago" + (f", answered {call.http_status}" if call.http_status else ""))
    said.append(f"\ncost {usd(call.cost_usd)}, {usd(call.hold_usd)} was held")
    if call.count > 1:
        said.append(f"; stands for {count(call.count, 'call')}")
    if call.reason:
        said.append(f"\n{safe(call.reason, 400)}")
    used = [
        f"{word} {call.usage[name]}" for name, word in _USED.items() if call.usage and call.usage.get(name)
    ]
    if used:
        said.append(f"\nused {', '.join(used)} tokens")
    for line in _bill(call):
        said.append(f"\n  {line}")
    for changed in call.changed:
        said.append(f"\nchanged {safe(changed)}", style=QUIET)
    return said.append(f"\nrun {safe(call.run_id)}, call {safe(call.call_id)}", style=QUIET)


def _bill(call: wire.Call) -> list[str]:
    """Write the lines of a bill, each with its rate: their sum is rounded up once."""
    made = cost_sum(call.lines, nusd(call.cost_usd or "0"), {})
    if made is None:
        return []
    per = {"token": "1M tokens", "event": "1,000"}
    return [
        f"{safe(one.name)}: {one.quantity} {safe(one.unit)}s at ${one.rate} for {per.get(one.unit, '1M')}"
        f" = ${one.usd}"
        for one in made.terms
    ]
