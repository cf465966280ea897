"""What a person sees of the ledger's files: checked, copied, put back. Pure: values in, Rich out."""

from rich.console import Group, RenderableType
from rich.text import Text

from spendguard_cli.ledger import results
from spendguard_cli.render import count
from spendguard_cli.views import ink
from spendguard_cli.views.ink import BAD, CARE, GOOD, QUIET

Rows = list[tuple[str, RenderableType]]


def verified(value: results.Verified) -> RenderableType:
    """What a ledger holds, and whether it is whole."""
    head = Text("✓ ", style=GOOD) if value.ok else Text("✗ ", style=BAD)
    what = "backup" if value.backup else "ledger"
    head.append(f"{what} is whole" if value.ok else f"{what} is damaged", style="bold")
    risk = Text(f"for {count(value.unconfirmed_calls, 'call')}", style="")
    rows: Rows = [
        ("folder", ink.foreign(value.path)),
        ("records", Text(f"{value.first_seq} to {value.last_seq}, generation {value.generation}")),
        ("files", Text(f"{count(value.segments, 'segment')}, {_size(value.bytes)}; {_snapshots(value)}")),
        ("agents", Text(str(value.agents))),
        ("calls", Text(f"{value.calls}, of which {value.calls_open} open")),
        ("settled", ink.usd(value.settled_usd)),
        ("held", ink.usd(value.held_usd)),
        ("unconfirmed", ink.usd(value.unconfirmed_usd).append(" ").append_text(risk)),
    ]
    notes = [Text("! ", style=CARE).append_text(ink.prose(note, "default")) for note in value.warnings]
    return Group(head, ink.indent(ink.facts(rows)), *notes, *_flaws(value.flaws))


def _flaws(values: list[results.Flaw]) -> list[RenderableType]:
    if not values:
        return []
    made = ink.table("FILE", "LINE", "BYTE", "WHAT", right=("LINE", "BYTE"), prose=("FILE", "WHAT"))
    for value in values:
        made.add_row(
            ink.foreign(value.path),
            Text(str(value.line)),
            Text(str(value.byte)),
            ink.foreign(value.what, BAD),
        )
    return [Text(), made]


def backed_up(value: results.BackedUp) -> RenderableType:
    """A new backup."""
    rows: Rows = [
        ("folder", ink.foreign(value.path, "bold")),
        ("of", ink.when(value.created)),
        ("records", Text(f"1 to {value.last_seq}, generation {value.generation}")),
        ("files", Text(f"{value.files}, {_size(value.bytes)}")),
        ("agents", Text(str(value.agents))),
        ("settled", ink.usd(value.settled_usd)),
    ]
    return Group(_good("backed up, and verified"), ink.indent(ink.facts(rows)))


def put_back(value: results.PutBack) -> RenderableType:
    """A backup that is the ledger now; what to type for each agent that waits."""
    rows: Rows = [
        ("ledger", ink.foreign(value.path)),
        ("of", ink.when(value.created)),
        ("generation", Text(str(value.generation))),
        ("old ledger", ink.foreign(value.moved_to or "there was none")),
    ]
    shown: list[RenderableType] = [_good("the backup is the ledger now"), ink.indent(ink.facts(rows))]
    if value.agents:
        shown += [Text(), _frozen(value.agents), Text(), _orders(value.agents)]
    return Group(*shown)


def _frozen(values: list[results.Frozen]) -> RenderableType:
    made = ink.table(
        "FROZEN AGENT", "ID", "SETTLED", "SPENT SINCE",
        right=("SETTLED", "SPENT SINCE"), fixed=("ID",), less=("SETTLED", "ID"),
    )  # fmt: skip
    for value in values:
        made.add_row(
            ink.foreign(value.name, "bold"),
            ink.foreign(value.agent_id, QUIET),
            ink.usd(value.settled_usd),
            ink.usd(value.spent_since_usd),
        )
    return made


def _orders(values: list[results.Frozen]) -> RenderableType:
    """The commands, each on a line that is never broken, so that it can be copied."""
    why = "Each waits for what it spent since the backup (SPENT SINCE: by the old ledger; the bill decides):"
    orders = [ink.prose(f"  {value.next}") for value in values]
    for order in orders:
        order.no_wrap, order.overflow = True, "ignore"
    return Group(Text(why), *orders)


def exported(value: results.Exported) -> RenderableType:
    """A file that was written."""
    rows: Rows = [
        ("file", ink.foreign(value.path, "bold")),
        ("rows", ink.foreign(f"{value.rows}, by {value.by}, as {value.format}")),
        ("cost", ink.usd(value.cost_usd)),
    ]
    return Group(_good("exported"), ink.indent(ink.facts(rows)))


def _good(text: str) -> Text:
    return Text("✓ ", style=GOOD).append(text, style="bold not green")


def _snapshots(value: results.Verified) -> str:
    return f"{count(value.snapshots, 'snapshot')} agree" if value.snapshots else "no snapshot yet"


def _size(size_bytes: int) -> str:
    """Write a size for people."""
    for unit, step in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size_bytes >= step:
            return f"{size_bytes // step}.{size_bytes % step * 10 // step} {unit}"
    return f"{size_bytes} bytes"
