"""Calls told from the journal: one row for each, at the moment when its money is known.

Pure over records. A row has what the call is charged by now: a later `adjust` is in it already. Beside calls
there are rows for refused calls (`count` may be above 1), and for what an operator entered after a restore.
Invariant: the costs of an agent's rows add up to what it has settled, if all records are there.
"""

from collections.abc import Iterator

import msgspec

from spendguard_cli.ledger.journal import Journal, Record
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.recovery import damaged
from spendguard_daemon.ledger.state import EndedCall
from spendguard_daemon.ledger.times import parse_time_ms
from spendguard_daemon.money import format_usd
from spendguard_daemon.wire import iso

TOKENS = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_input_tokens",
    "cache_write_1h_input_tokens",
    "output_tokens",
    "reasoning_output_tokens",
)
"""What is told of the usage; parts are included in their wholes."""

_BOUNDS = ("settled_worst", "overrun")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One call. The fields are the columns of an export, in their order.

    `state` is a call's (design 6), or `entered` for what was spent between a backup and its restore, or
    `adjusted` for a correction of a call whose own records are not there. `charged_nusd` is what it was
    charged at first, where it was adjusted since. `unconfirmed`: the cost is only a bound. `keys` are the
    agent's keys that paid for it, the first one first, with spaces between them.
    """

    call_id: str
    agent_id: str
    agent_name: str
    run_id: str = ""
    provider: str = ""
    endpoint: str = ""
    model: str = ""
    state: str
    code: str | None = None
    count: int = 1
    created_at: str | None = None
    ended_at: str | None = None
    http_status: int | None = None
    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    cache_write_1h_input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_output_tokens: int | None = None
    hold_usd: str = "0.00"
    hold_nusd: int = 0
    cost_usd: str = "0.00"
    cost_nusd: int = 0
    charged_nusd: int | None = None
    unconfirmed: bool = False
    reason: str | None = None
    keys: str = ""


Moment = tuple[int, Row]
"""When a row counts, in wall ns, and the row: an ended call when it ended, all others when they began."""


def calls(journal: Journal) -> Iterator[Moment]:
    """Yield every call of a ledger: those that ended in the order of their ends, then the open ones.

    Raises LEDGER_DAMAGED where a call ends that was never begun.
    """
    return _Teller(journal).tell()


class _Teller:
    """Remembers the calls that are open, and which corrections have not found their call yet."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._corrections = dict(journal.corrected_nusd)
        opened = journal.earlier.open_calls.items()
        self._open = {call_id: (call.hold, call.held_ns) for call_id, call in opened}

    def tell(self) -> Iterator[Moment]:
        for ended in self._journal.earlier.unconfirmed.values():
            yield self._ended_before(ended)
        for record in self._journal.records():
            moment = self._moment(record)
            if moment is not None:
                yield moment
        for hold, held_ns in self._open.values():
            yield held_ns, self._row(hold, held_ns, state="held")

    def _moment(self, record: Record) -> Moment | None:
        event, now_ns = record.event, record.wall_ns
        match event:
            case ev.Hold():
                self._open[event.call_id] = (event, now_ns)
            case ev.Settle() | ev.SettleWorst() | ev.Void() | ev.Overrun():
                if event.call_id not in self._open:
                    raise damaged(record.place, f"call {event.call_id} ends, but it is not open")
                return now_ns, self._end(event, now_ns)
            case ev.Refused():
                return parse_time_ms(event.at), self._refused(event)
            case ev.RestoreConfirmed():
                return now_ns, self._other("entered", event.agent_id, now_ns, event.spent_nusd, event.reason)
            case ev.Adjust() if event.call_id in self._corrections:
                difference_nusd = event.to_nusd - event.from_nusd
                row = self._other("adjusted", event.agent_id, now_ns, difference_nusd, event.reason)
                return now_ns, msgspec.structs.replace(row, call_id=event.call_id)
        return None

    def _row(self, hold: ev.Hold, held_ns: int, *, state: str) -> Row:
        return Row(
            call_id=hold.call_id,
            agent_id=hold.agent_id,
            agent_name=self._journal.names.get(hold.agent_id, ""),
            run_id=hold.run_id,
            provider=hold.provider,
            endpoint=hold.endpoint,
            model=hold.model,
            state=state,
            created_at=iso(held_ns),
            hold_usd=format_usd(hold.amount_nusd),
            hold_nusd=hold.amount_nusd,
            keys=" ".join(hold.keys),
        )

    def _end(self, event: ev.EndEvent, ended_ns: int) -> Row:
        hold, held_ns = self._open.pop(event.call_id)
        state, charged_nusd = _outcome(event)
        usage = event.usage if isinstance(event, ev.Settle | ev.Overrun) else None
        corrected_nusd = self._corrections.pop(event.call_id, None)
        cost_nusd = charged_nusd if corrected_nusd is None else corrected_nusd
        return msgspec.structs.replace(
            self._row(hold, held_ns, state=state),
            ended_at=iso(ended_ns),
            http_status=event.http_status,
            cost_usd=format_usd(cost_nusd),
            cost_nusd=cost_nusd,
            charged_nusd=None if corrected_nusd is None else charged_nusd,
            unconfirmed=state in _BOUNDS and corrected_nusd is None,
            reason=event.reason,
            **({} if usage is None else {name: usage.get(name, 0) for name in TOKENS}),
        )

    def _ended_before(self, ended: EndedCall) -> Moment:
        corrected_nusd = self._corrections.pop(ended.call_id, None)
        cost_nusd = ended.cost_nusd if corrected_nusd is None else corrected_nusd
        return ended.ended_ns, Row(
            call_id=ended.call_id,
            agent_id=ended.agent_id,
            agent_name=self._journal.names.get(ended.agent_id, ""),
            run_id=ended.run_id,
            provider=ended.provider,
            model=ended.model,
            state=ended.outcome,
            ended_at=iso(ended.ended_ns),
            hold_usd=format_usd(ended.hold_nusd),
            hold_nusd=ended.hold_nusd,
            cost_usd=format_usd(cost_nusd),
            cost_nusd=cost_nusd,
            charged_nusd=None if corrected_nusd is None else ended.cost_nusd,
            unconfirmed=corrected_nusd is None,
            reason=ended.reason,
            keys=" ".join(ended.keys),
        )

    def _refused(self, event: ev.Refused) -> Row:
        return Row(
            call_id=event.call_id,
            agent_id=event.agent_id,
            agent_name=self._journal.names.get(event.agent_id, ""),
            run_id=event.run_id,
            provider=event.provider,
            endpoint=event.endpoint,
            model=event.model,
            state="refused",
            code=event.code,
            count=event.count,
            created_at=event.at,
            ended_at=event.until,
            http_status=event.http_status,
            reason=event.detail,
        )

    def _other(self, state: str, agent_id: str, wall_ns: int, cost_nusd: int, reason: str) -> Row:
        return Row(
            call_id="",
            agent_id=agent_id,
            agent_name=self._journal.names.get(agent_id, ""),
            state=state,
            created_at=iso(wall_ns),
            ended_at=iso(wall_ns),
            cost_usd=format_usd(cost_nusd),
            cost_nusd=cost_nusd,
            reason=reason,
        )


def _outcome(event: ev.EndEvent) -> tuple[str, int]:
    """Return the state of a call after its end, and what it was charged."""
    match event:
        case ev.Void():
            return "voided", 0
        case ev.Settle():
            return "settled", event.cost_nusd
        case ev.SettleWorst():
            return "settled_worst", event.cost_nusd
        case ev.Overrun():
            return "overrun", event.cost_nusd
