"""What stands around every view: where one is, whether what is shown is true now, the sums, the keys. Pure.

Each line is exactly as wide as it is asked to be. What does not fit is left out by its weight, never cut in
the middle of a number: half an amount is a wrong amount.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.cells import cell_len
from rich.text import Text

from spendguard_cli.render import count
from spendguard_cli.views.ink import BAD, CARE, GOOD, QUIET, nusd
from spendguard_cli.watch.board import Board, seconds
from spendguard_cli.watch.figures import short_age, short_usd
from spendguard_cli.watch.keys import KEYS, Key
from spendguard_daemon.money import from_cents
from spendguard_daemon.text import safe

SUM_CELLS = 11
WHY_LENGTH_MAX = 400
BANNER_LINES_MAX = 4
HELP = "? help"
NAME = "spendguard"


@dataclass(frozen=True, slots=True)
class Part:
    """Something worth saying: at length, in short, and how soon it is left out (the heaviest stays)."""

    weight: int
    long: str
    short: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Tab:
    """One of the views: its key, its mode and its name."""

    key: str
    mode: str
    name: str


def tabs() -> tuple[Tab, ...]:
    """Return the views, as the table of keys has them."""
    return tuple(
        Tab(key.key, key.action.removeprefix("view('").removesuffix("')"), key.short)
        for key in KEYS
        if key.action.startswith("view(")
    )


def title(board: Board, mode: str, cells: int) -> Text:
    """Write the views with the one in sight marked, and in a word whether the source is heard."""
    state, style = _link(board)
    room = cells - len(state) - 1
    words = next(
        (made for made in _tab_words(mode) if sum(map(len, made)) <= room), [f" {tab.key} " for tab in tabs()]
    )
    line = Text(no_wrap=True)
    if sum(map(len, words)) + len(NAME) + 3 <= room:
        line.append(f" {NAME}  ", style="bold")
    for tab, word in zip(tabs(), words, strict=True):
        line.append(word, style="reverse bold" if tab.mode == mode else QUIET)
    gap = cells - line.cell_len - len(state)
    if gap >= 1:
        line.append(" " * gap).append(state, style=style)
    return _filled(line, cells)


def _tab_words(mode: str) -> list[list[str]]:
    """Return how the views may be written, the widest first: with less air, then only the one in sight."""
    return [
        [f" {tab.key} {tab.name} " for tab in tabs()],
        [f"{tab.key} {tab.name} " for tab in tabs()],
        [f" {tab.key} {tab.name} " if tab.mode == mode else f" {tab.key} " for tab in tabs()],
    ]


def sums(board: Board, cells: int) -> Text:
    """Write the sums over all agents in one line; in words that need no colour."""
    parts = _parts(board)
    for texts in ([part.long for part in parts], [part.short for part in parts]):
        if sum(map(len, texts)) + 2 * len(texts) <= cells:
            return _joined(parts, texts, cells)
    kept = list(parts)
    while kept and sum(len(part.short) for part in kept) + 2 * len(kept) > cells:
        kept.remove(min(kept, key=lambda part: part.weight))
    return _joined(kept, [part.short for part in kept], cells)


def banner(board: Board, silent_seconds: float, cells: int, moment: str = "") -> list[Text]:
    """Write what must not be overlooked, over the full width: silence, or the past; else nothing.

    `moment` says which one of the past, where the program knows more than the board.
    """
    command: list[str] = []
    match board.link:
        case "past":
            at = datetime.fromtimestamp(board.at_seconds, UTC)
            words = moment or (
                f"PAST {at:%H:%M:%S} of {at:%Y-%m-%d} (UTC), from the journal: look, but do not act"
            )
            style = "bold reverse yellow"
        case "away":
            ago = f" since {short_age(silent_seconds)}" if board.epoch else ""
            words = f"the sidecar is away{ago}: {safe(board.why, WHY_LENGTH_MAX)}"
            if board.remedy:
                words += "; type:"
                command = [safe(board.remedy, WHY_LENGTH_MAX)]
            style = "bold reverse red"
        case _:
            return []
    lines = _wrapped([*words.split(), *command], max(1, cells - 2))[:BANNER_LINES_MAX]
    return [_filled(Text(f" {line}"), cells, style) for line in lines]


def foot(keys: Sequence[Key], cells: int) -> Text:
    """Write keys, as many as fit; the one for help is always there."""
    line = Text(" ", no_wrap=True)
    left = cells - len(HELP) - 1
    for key in keys:
        word = f"{named(key.key)} {key.short}"
        if cell_len(word) + 2 > left:
            continue
        line.append(named(key.key), style="bold").append(f" {key.short}  ", style=QUIET)
        left -= cell_len(word) + 2
    return _filled(line.append("?", style="bold").append(" help", style=QUIET), cells)


def named(key: str) -> str:
    """Return a key as it stands on a keyboard."""
    signs = {
        "question_mark": "?",
        "slash": "/",
        "right_square_bracket": "]",
        "left_square_bracket": "[",
        "plus": "+",
        "minus": "-",
        "escape": "esc",
    }
    return signs.get(key, key)


def _link(board: Board) -> tuple[str, str]:
    match board.link:
        case "live":
            draining = board.totals is not None and board.totals.state == "draining"
            return ("draining ", CARE) if draining else ("live ", GOOD)
        case "away":
            return "AWAY ", BAD
        case "past":
            return "PAST ", CARE
        case _:
            return "connecting ", CARE


def _parts(board: Board) -> list[Part]:
    """Return all that may be said, in its order."""
    totals, status = board.totals, board.status
    if totals is None:
        return [Part(9, "nothing is known yet", "nothing is known yet", QUIET)]
    cap = totals.cap
    settled, held = (short_usd(nusd(one), SUM_CELLS, up=True) for one in (cap.settled_usd, cap.held_usd))
    agents = count(totals.agents, "agent")
    parts = [Part(2, agents, agents)]
    parts += [Part(8, f"settled {settled}", f"settled {settled}"), Part(7, f"held {held}", f"held {held}")]
    if cap.hard_limit_cents is not None and cap.remaining_usd is not None:
        left = short_usd(nusd(cap.remaining_usd), SUM_CELLS)
        whole = short_usd(from_cents(cap.hard_limit_cents), SUM_CELLS)
        style = BAD if nusd(cap.remaining_usd) <= 0 else ""
        parts.append(Part(6, f"cap {left} left of {whole}", f"cap {left}", style))
    parts.append(Part(5, f"{totals.calls_in_flight} in flight", count(totals.calls_in_flight, "call")))
    waits, refused = totals.calls_waiting, totals.refusals
    if board.link != "past":  # which calls waited was never written
        parts.append(Part(7 if waits else 0, f"{waits} waiting", f"{waits} wait", CARE if waits else ""))
    told = f"{refused} refused{_counted(board)}"
    parts.append(Part(5 if refused else 0, told, told, CARE if refused else ""))
    if totals.unconfirmed_calls:
        sum_usd = short_usd(nusd(totals.unconfirmed_usd), SUM_CELLS, up=True)
        short = f"{sum_usd} unconfirmed"
        parts.append(Part(4, f"{short} ({totals.unconfirmed_calls})", short, CARE))
    if status is not None and status.warnings:
        words = count(len(status.warnings), "warning")
        parts.append(Part(5, words, words, CARE))
    if status is not None and status.pricing is not None and status.pricing.self_signed:
        parts.append(Part(1, "self-signed prices", "self-signed", QUIET))
    return parts


def _counted(board: Board) -> str:
    """Say in which time refusals were counted: from the start of the sidecar, not from ever."""
    since = seconds(board.refusals_since or "")
    return f" in {short_age(board.at_seconds - since)}" if since else ""


def _joined(parts: Sequence[Part], texts: Sequence[str], cells: int) -> Text:
    line = Text(no_wrap=True)
    for place, (part, text) in enumerate(zip(parts, texts, strict=True)):
        line.append("  " if place else " ").append(text, style=part.style)
    return _filled(line, cells)


def _wrapped(words: Sequence[str], cells: int) -> list[str]:
    """Put words into lines of at most so many cells; a longer one stays whole, on a line of its own."""
    lines = [""]
    for word in words:
        if lines[-1] and cell_len(lines[-1]) + 1 + cell_len(word) > cells:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


def _filled(line: Text, cells: int, style: str = "") -> Text:
    line.truncate(max(0, cells), pad=True)
    if style:
        line.stylize(style)
    return line
