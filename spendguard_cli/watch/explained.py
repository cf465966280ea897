"""A refusal or a failed call explained: what happened, the sum, whose it is, and what to press or type. Pure.

The ways out are those of `doctor`, by the agent's money as it is now: money that has come since is seen.
"""

from collections.abc import Iterator

from rich.text import Text

from spendguard_cli.doctor.lately import sums
from spendguard_cli.remedies import Way, facts_of, ways_out
from spendguard_cli.render import count
from spendguard_cli.views.ink import BAD, CARE, GOOD, QUIET, nusd
from spendguard_cli.watch.board import Board
from spendguard_cli.watch.failing import Failed, is_confirmed, kind
from spendguard_cli.watch.telling import (
    agent_now,
    ago,
    begin,
    key_of,
    known_code,
    least_usd,
    name,
    ref,
    span,
    title,
    usd,
)  # fmt: skip
from spendguard_cli.ways.case import SOME_AGENT, Case
from spendguard_cli.ways.money import AGAIN
from spendguard_daemon import wire
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code
from spendguard_daemon.money import from_cents
from spendguard_daemon.text import safe

AGENTS_SHOWN = 4
WAYS_SHOWN = 4

_HAPPENED = {
    "overrun": ("Dearer than its hold", "The provider billed more than was held: our bound was too low."),
    "aborted": ("Cut", "The call was cut before its answer was whole, so that its real cost is not known."),
    "crash": ("Cut by the end of the sidecar", "The sidecar ended while the call was in flight."),
}
"""Failures that have no code of ours: a title, and what happened."""


def failed(board: Board, group: Failed, now_seconds: float) -> Text:
    """Explain a group of failures by its newest call."""
    call, said = group.newest, Text()
    heading, happened = _what(group.code)
    status = f" ({call.http_status})" if call.http_status and str(call.http_status) not in heading else ""
    said.append(f"{heading}{status}", style="bold")
    when = ago(call.ended_at or call.created_at, now_seconds)
    said.append(f"\n{count(group.count, 'time')}, last {when} ago: {_whose(board, group)}")
    for line in advice(board, call, now_seconds):
        said.append("\n").append_text(line)
    said.append(f"\nwhy: {happened}")
    said.append_text(_told(call))
    said.append_text(_sum(call))
    return said if board.link == "past" else said.append_text(typed(ways(board, call)))


def advice(board: Board, call: wire.Call, now_seconds: float) -> Iterator[Text]:
    """Yield what is so now, and which key acts on it; in the past, where nothing can be done, no key."""
    state, style = _now(board, call, now_seconds)
    if state:
        yield begin("-> ", style=style).append(state, style="bold")
    if board.link != "past":
        said = f"   press {key_of('explain')} to explain the latest call, {key_of('copy')} to copy its id"
        yield Text(said, style=QUIET)


def ways(board: Board, call: wire.Call) -> list[Way]:
    """Return doctor's ways out of what became of a call, by its agent's money now."""
    code = known_code(kind(call) if call.state != "refused" else call.code)
    if code is None and call.state == "settled_worst":
        code = Code.UPSTREAM_FAILED
    row = board.rows.get(call.agent_id)
    if code is None or (call.state == "settled_worst" and is_confirmed(board, call)):
        return []
    return ways_out(
        code,
        facts_of(call),
        None if row is None else agent_now(row),
        ref=SOME_AGENT if row is None else ref(board, call.agent_id),
        daemon=None if board.totals is None else board.totals.cap,
    )


def typed(found: list[Way]) -> Text:
    """Write ways out as what to type, the best first."""
    said = Text()
    first = True
    for one in [one for one in found if one is not AGAIN][:WAYS_SHOWN]:
        lead = "do: " if first else "or: "
        # Where a command lacks what nobody knows here it is told as a deed: `do this: spendguard ...`.
        about, _, deed = safe(one.about, 400).partition(": spendguard ")
        said.append(f"\n{lead}", style="" if first else QUIET).append(about)
        for command in (*one.commands, *([f"spendguard {deed}"] if deed else [])):
            said.append("\n  $ ", style="cyan").append(safe(command, 400))
        first = False
    return said


def stranger(one: wire.Stranger, now_seconds: float) -> Text:
    """Explain requests that named no agent."""
    said = begin(f"{title(one.code)}: {count(one.count, 'request')} that named no agent", style="bold")
    whom = " ".join(safe(word) for word in (one.provider, one.endpoint) if word)
    said.append(
        f"\nof {safe(one.program) or 'a program'} to {whom}, last {ago(one.last_at, now_seconds)} ago"
    )
    said.append(f"\nwhy: {safe(one.detail, 400)}")
    if one.agent_id:
        said.append(f"\nit named agent {safe(one.agent_id)} without its key")
    said.append_text(typed(ways_out(one.code, {"provider": one.provider}, ref=one.agent_id or SOME_AGENT)))
    return said


def _what(code: str) -> tuple[str, str]:
    """Return the title of a failure, and what happened."""
    known = known_code(code)
    if known is not None:
        return f"{known.value}: {TABLE[known].title}", TABLE[known].cause
    if code in _HAPPENED:
        return _HAPPENED[code]
    return (
        f"The provider {safe(code)}",
        "The provider refused or failed the call; it says why in its own words.",
    )


def _whose(board: Board, group: Failed) -> str:
    names = [f"{name(board, one)} ({times})" for one, times in group.agents.items()]
    call = group.newest
    model = f", {safe(call.provider)}:{safe(call.model)}" if call.model else ""
    if len(names) == 1:
        return f"agent {name(board, call.agent_id)}, run {safe(call.run_id)}{model}"
    rest = f" and {len(names) - AGENTS_SHOWN} more" if len(names) > AGENTS_SHOWN else ""
    return (
        f"agents {', '.join(names[:AGENTS_SHOWN])}{rest}; the latest of {name(board, call.agent_id)}{model}"
    )


def _told(call: wire.Call) -> Text:
    said = Text()
    code = known_code(call.code)
    if call.reason and (code is None or call.reason != TABLE[code].title):
        said.append(f"\nit said: {safe(call.reason, 400)}")
    if call.state == "refused":
        money = TABLE[code].money.value if code else "nothing was charged"
        said.append(f"\nmoney: {money}", style=QUIET)
    else:
        said.append(f"\nmoney: {usd(call.cost_usd)} charged, {usd(call.hold_usd)} was held", style=QUIET)
    return said


def _sum(call: wire.Call) -> Text:
    said = Text()
    for line in sums(call):
        said.append(f"\n  {safe(line, 400)}")
    return said


def _now(board: Board, call: wire.Call, now_seconds: float) -> tuple[str, str]:
    """Return what is in the way now, with the key that mends it, and in which colour."""
    row = board.rows.get(call.agent_id)
    if row is None:
        return "this agent is not there any more", QUIET
    if call.state in ("settled_worst", "overrun"):
        if is_confirmed(board, call):
            return "a person has confirmed since what it cost", GOOD
        if call.state == "overrun":
            return _acting(board, "look at the provider's bill", "press {confirm} to confirm it"), CARE
        return _acting(board, "what it cost is not known", "press {confirm} to enter it once it is"), CARE
    if call.state != "refused":
        return "nothing was charged; it can be sent again", GOOD
    return _refused(board, call, now_seconds)


def _refused(board: Board, call: wire.Call, now_seconds: float) -> tuple[str, str]:
    row = board.rows[call.agent_id]
    agent, who, code = agent_now(row), f"agent {name(board, call.agent_id)}", known_code(call.code)
    match code:
        case Code.INSUFFICIENT_BUDGET | Code.BUDGET_NOT_SET:
            case = Case(call.code or "", call.facts, None, "", None)
            return needs(board, agent, who, case.nusd("worst_case_usd", "needed_usd"))
        case Code.AGENT_FROZEN | Code.RESTORE_UNCONFIRMED:
            if not agent.frozen:
                return f"{who} is not frozen any more: send it again", GOOD
            if agent.restored:
                return f"{who} waits for what it spent since the backup: type the command below", BAD
            return _acting(board, f"{who} is frozen", "press {unfreeze} to unfreeze it"), BAD
        case Code.BUDGET_LOCKED:
            if agent.locked_run_id is None:
                return f"{who} is not locked any more: send it again", GOOD
            since = ago(row.money.locked_since, now_seconds)
            does = "press {view('locks')} to see its calls in flight, which can be cut there"
            return _acting(board, f"run {safe(agent.locked_run_id)} has held {who} for {since}", does), CARE
        case Code.BUDGET_HELD:
            if nusd(row.money.held_usd) == 0:
                return "what was held is free again: send it again", GOOD
            held = f"{usd(row.money.held_usd)} is held by {count(agent.calls_in_flight, 'call')} in flight"
            return _acting(board, held, "wait, or press {topup} to top it up"), CARE
    return "", QUIET


def needs(board: Board, agent: wire.Agent, who: str, needed: int | None) -> tuple[str, str]:
    """Say how much money an agent needs for what costs `needed` nUSD at worst, and the key for it."""
    if agent.remaining_usd is None or agent.hard_limit_cents is None:
        want = f" of {least_usd(needed)} or more" if needed else ""
        return _acting(board, f"{who} has no budget", f"press {{limit}} to give it one{want}"), BAD
    if needed is None:
        return _acting(
            board, f"{who} has {usd(agent.remaining_usd)} left", "press {topup} to top it up"
        ), CARE
    lacking = needed - nusd(agent.remaining_usd)
    if lacking <= 0:
        return f"{who} has {usd(agent.remaining_usd)} now, which is enough: send it again", GOOD
    said = f"{who} needs {least_usd(lacking)} more"
    if needed > from_cents(agent.hard_limit_cents):
        said += f", above its limit of {usd_limit(agent)}"
        return _acting(board, said, f"press {{limit}} to set it to {least_usd(needed)}, then {{topup}}"), BAD
    return _acting(board, said, "press {topup} to top it up"), BAD


def usd_limit(agent: wire.Agent) -> str:
    """Write an agent's limit; a dash where it has none."""
    return "-" if agent.hard_limit_cents is None else least_usd(from_cents(agent.hard_limit_cents))


def _acting(board: Board, said: str, does: str) -> str:
    """Add which key acts, where any does."""
    if not board.may_act:
        return said
    for action in ("topup", "limit", "unfreeze", "confirm", "view('locks')"):
        does = does.replace(f"{{{action}}}", key_of(action))
    return f"{said}; {does}"


def waiting(board: Board, one: wire.Waiting, now_seconds: float) -> Text:
    """Explain a call that waits for money or a lock."""
    who, row = name(board, one.agent_id), board.rows.get(one.agent_id)
    until = span(seconds_left(one, now_seconds))
    said = begin(f"a call of {who} waits: {title(one.code)}", style="bold")
    said.append(
        f"\n{safe(one.model)}, run {safe(one.run_id)}; it can cost {usd(one.worst_case_usd)} at worst"
    )
    said.append(f"\nit has waited for {ago(one.since, now_seconds)}, and is refused in {until}")
    lacks = (
        ""
        if one.lacking_cents is None
        else f"{_owner(one, who)} lacks {least_usd(from_cents(one.lacking_cents))}"
    )
    if board.may_act and row is not None:
        does = f"press {key_of('let')} to let it through"
        if one.lacking_cents is not None and one.code != Code.DAEMON_CAP:
            does += f", or {key_of('topup')} to top the agent up"
        said.append("\n-> ", style=CARE).append(f"{lacks}; {does}" if lacks else does, style="bold")
    elif lacks:
        said.append("\n-> ", style=CARE).append(lacks, style="bold")
    if board.link == "past":
        return said
    facts = {"worst_case_usd": one.worst_case_usd, "call_id": one.call_id, "run_id": one.run_id}
    agent = None if row is None else agent_now(row)
    cap = None if board.totals is None else board.totals.cap
    return said.append_text(typed(ways_out(one.code, facts, agent, ref=ref(board, one.agent_id), daemon=cap)))


def seconds_left(one: wire.Waiting, now_seconds: float) -> float:
    """Return for how long a call may wait still, in seconds."""
    from spendguard_cli.watch.board import seconds

    return max(0.0, seconds(one.until) - now_seconds)


def _owner(one: wire.Waiting, who: str) -> str:
    return "the cap above all agents" if one.code == Code.DAEMON_CAP else who
