"""The calls of a journal that were charged something, each with all that its charge was made from. Pure.

Knows no prices. Invariant: a call is told once, at its end, with its hold; voided and open ones are not told.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from spendguard_cli.ledger.journal import Journal
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.recovery import damaged


@dataclass(frozen=True, slots=True)
class Charged:
    """One charged call. `cost_nusd` is what it was charged when it ended, `corrected_nusd` after an adjust.

    `answered_by` is the model of which the record says that it answered in place of the one asked for, empty
    where none did; `rates` are those of the hold.
    """

    call_id: str
    agent_id: str
    provider: str
    model: str
    state: str
    document_sha256: str
    held_ns: int
    ended_ns: int
    hold_nusd: int
    cost_nusd: int
    corrected_nusd: int | None
    input_tokens_bound: int
    output_tokens_held: int
    choices: int
    rates: Mapping[str, int]
    usage: Mapping[str, int] = field(default_factory=dict)
    lines: tuple[Mapping[str, int | str], ...] = ()
    answered_by: str = ""


def charged_calls(journal: Journal) -> Iterator[Charged]:
    """Yield them in the order of their ends; raise LEDGER_DAMAGED where one ends that was never begun."""
    held = {call_id: (call.hold, call.held_ns) for call_id, call in journal.earlier.open_calls.items()}
    for record in journal.records():
        match record.event:
            case ev.Hold() as hold:
                held[hold.call_id] = (hold, record.wall_ns)
            case ev.Settle() | ev.SettleWorst() | ev.Void() | ev.Overrun() as end:
                if end.call_id not in held:
                    raise damaged(record.place, f"call {end.call_id} ends, but it is not open")
                hold, held_ns = held.pop(end.call_id)
                if not isinstance(end, ev.Void):
                    yield _charged(hold, held_ns, end, record.wall_ns, journal)


def _charged(
    hold: ev.Hold,
    held_ns: int,
    end: ev.Settle | ev.SettleWorst | ev.Overrun,
    ended_ns: int,
    journal: Journal,
) -> Charged:
    known = None if isinstance(end, ev.SettleWorst) else end
    state = {ev.Settle: "settled", ev.SettleWorst: "settled_worst", ev.Overrun: "overrun"}[type(end)]
    _, _, told = end.reason.partition(ev.ANSWERED_BY)
    return Charged(
        call_id=hold.call_id,
        agent_id=hold.agent_id,
        provider=hold.provider,
        model=hold.model,
        state=state,
        document_sha256=hold.document_sha256,
        held_ns=held_ns,
        ended_ns=ended_ns,
        hold_nusd=hold.amount_nusd,
        cost_nusd=end.cost_nusd,
        corrected_nusd=journal.corrected_nusd.get(hold.call_id),
        input_tokens_bound=hold.input_tokens,
        output_tokens_held=hold.output_tokens,
        choices=hold.choices,
        rates=hold.rates,
        usage=known.usage if known else {},
        lines=tuple(known.lines) if known else (),
        answered_by=told.partition(";")[0] if known else "",
    )
