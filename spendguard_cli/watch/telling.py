"""Money, times, states and names in the words that all screens use. Pure; every text is safe."""

import msgspec
from rich.text import Text

from spendguard_cli.doctor.groups.failures import cut_by
from spendguard_cli.views.ink import BAD, CARE, GOOD, QUIET, STATE_STYLES, nusd
from spendguard_cli.watch.board import Board, Row, seconds
from spendguard_cli.watch.figures import short_age
from spendguard_cli.watch.frame import named
from spendguard_cli.watch.keys import KEYS
from spendguard_cli.ways.case import dollars
from spendguard_cli.ways_on import refs_of
from spendguard_daemon import wire
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code
from spendguard_daemon.money import cents_ceil, cents_floor, format_usd, from_cents
from spendguard_daemon.text import safe

UNKNOWN = "-"
"""What stands where a thing is not known, or is not there."""


STATES = {
    "held": "in flight",
    "settled": "paid",
    "settled_worst": "charged at its hold",
    "voided": "free of charge",
    "overrun": "dearer than its hold",
    "refused": "refused",
}
"""The states of a call, in words."""


def begin(text: str, style: str = "") -> Text:
    """Begin a text whose style ends with its first words."""
    return Text().append(text, style=style)


def usd(amount: str | None) -> str:
    """Write an exact amount with its sign in front, -$0.50; a dash where there is none."""
    return UNKNOWN if amount is None else dollars(amount)


def usd_of(amount_nusd: int) -> str:
    """Write an amount of nUSD exactly."""
    return dollars(format_usd(amount_nusd))


def least_usd(amount_nusd: int) -> str:
    """Write whole cents that are at least so much: what a person is asked to give."""
    return dollars(format_usd(cents_ceil(amount_nusd) * 10_000_000))


def span(total_seconds: float) -> str:
    """Write a length of time in its two largest units: 8 s, 5 min 10 s, 3 h 2 min, 12 d 4 h."""
    left = max(0, int(total_seconds))
    units = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    for place, (name, size) in enumerate(units):
        if left >= size:
            more = units[place + 1 : place + 2]
            rest = left % size // more[0][1] if more else 0
            return f"{left // size} {name}" + (f" {rest} {more[0][0]}" if rest else "")
    return "0 s"


def ago(iso: str | None, now_seconds: float) -> str:
    """Write how long ago a time was, without the word."""
    began = seconds(iso or "")
    return span(now_seconds - began) if began else UNKNOWN


def left(iso: str | None, now_seconds: float) -> str:
    """Write how long it is until a time: `in 5 min`, or how long it has been over."""
    end = seconds(iso or "")
    if not end:
        return UNKNOWN
    return f"in {span(end - now_seconds)}" if end >= now_seconds else f"over for {span(now_seconds - end)}"


def until(iso: str | None, now_seconds: float) -> str:
    """Write how long it is until a time, in few cells."""
    end = seconds(iso or "")
    return UNKNOWN if not end else f"in {short_age(end - now_seconds)}" if end >= now_seconds else "over"


def rest(iso: str | None, now_seconds: float) -> str:
    """Write for how long something may go on, in the fewest cells; a dash where that is not known."""
    end = seconds(iso or "")
    return UNKNOWN if not end else short_age(end - now_seconds) if end > now_seconds else "over"


def age(iso: str | None, now_seconds: float) -> str:
    """Write an age in few cells; a dash where there is no time."""
    return short_age(now_seconds - seconds(iso)) if iso else UNKNOWN


def clock(iso: str | None) -> str:
    """Write a time to the second, in UTC as it came."""
    return UNKNOWN if iso is None else safe(iso).replace("T", " ")[:19] + "Z"


def state(call: wire.Call) -> Text:
    """Write what became of a call, in words and in the colour of its state."""
    words = STATES.get(call.state, safe(call.state))
    if call.state == "refused" and call.code:
        words = f"refused: {safe(call.code)}"
    if call.state == "settled_worst" and cut_by(call):
        words = f"{words} ({safe(call.reason or '')})"
    return Text(words, style=STATE_STYLES.get(call.state, ""))


def title(code: str) -> str:
    """Write a code of ours in words; as it came where it is not known."""
    known = known_code(code)
    return TABLE[known].title if known else safe(code).replace("_", " ")


def waits_for(one: wire.Waiting) -> str:
    """Write in few cells what a call waits for: the money that is lacking, in whole cents, or what else."""
    if one.lacking_cents is not None:
        whose = "cap " if one.code == Code.DAEMON_CAP else ""
        return f"{whose}lacks {dollars(format_usd(from_cents(one.lacking_cents)))}"
    return "locked" if one.code == Code.BUDGET_LOCKED else title(one.code)


def known_code(code: str | None) -> Code | None:
    """Return a code that came as text; None for one that is not known here."""
    try:
        return Code(code or "")
    except ValueError:
        return None


def name(board: Board, agent_id: str) -> str:
    """Write whose it is: the agent's name, or its id where it has none, or is not there any more."""
    row = board.rows.get(agent_id)
    return (safe(row.agent.name).strip() if row else "") or safe(agent_id) or "no agent"


def ref(board: Board, agent_id: str) -> str:
    """Return how a command names an agent: by its name where no other has that, else by its id."""
    return refs_of({one: row.agent.name for one, row in board.rows.items()}).get(agent_id, safe(agent_id))


def agent_now(row: Row) -> wire.Agent:
    """Return an agent with its money, lock and freeze as they were told last, which events tell apart."""
    money = row.money
    limit = money.hard_limit_usd
    return msgspec.structs.replace(
        row.agent,
        frozen=money.frozen_reason is not None,
        frozen_reason=money.frozen_reason,
        hard_limit_cents=None if limit is None else cents_floor(nusd(limit)),
        remaining_cents=None if money.remaining_usd is None else cents_floor(nusd(money.remaining_usd)),
        remaining_usd=money.remaining_usd,
        held_usd=money.held_usd,
        settled_usd=money.settled_usd,
        calls_in_flight=money.calls_in_flight,
        locked_run_id=money.locked_run_id,
    )


def standing(row: Row) -> Text:
    """Write how an agent is, in words: frozen and why, overdrawn, locked by whom, or well."""
    money, said = row.money, Text()
    if money.frozen_reason is not None:
        why = safe(money.frozen_reason)
        said.append("FROZEN" + (f": {why}" if why else ""), style=BAD)
    elif money.remaining_usd is None:
        said.append("no budget yet: every call is refused", style=CARE)
    elif nusd(money.remaining_usd) < 0:
        said.append(f"overdrawn by {usd(money.remaining_usd[1:])}", style=BAD)
    elif nusd(money.remaining_usd) == 0:
        said.append("empty: every call is refused", style=BAD)
    elif money.calls_in_flight:
        said.append(f"{money.calls_in_flight} in flight", style=GOOD)
    else:
        said.append("ready", style=GOOD)
    if money.locked_run_id is not None:
        said.append(f", locked by run {safe(money.locked_run_id)}", style=CARE)
    if money.calls_waiting:
        said.append(f", {money.calls_waiting} waiting", style=CARE)
    said.append(f", {safe(row.agent.concurrency)}" + (", mock" if row.agent.mock else ""), style=QUIET)
    return said


def key_of(action: str) -> str:
    """Return the key that runs an act, as it is printed on it."""
    found = next((key.key for key in KEYS if key.action in (action, f"act('{action}')")), "")
    return named(found)
