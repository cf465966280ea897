"""The records of one call, found by a search of bytes through every segment, archived ones too.

Reads only, and beside a running sidecar. The chain is not followed from its beginning, which takes long for a
long history: a record that is found proves itself by its own hash, and the other lines of its segment are
looked at as well. Invariant: nothing is told from a line whose hash does not fit; what is damaged is said.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from spendguard_cli.explain.life import Adjusted, Ended, Held, Life, Money, of_call
from spendguard_cli.ledger.refused_call import call_of
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.folder import LedgerFolder, SegmentFile
from spendguard_daemon.ledger.lines import LineError, open_line, read_event, read_time
from spendguard_daemon.ports import Disk
from spendguard_daemon.wire import iso

Progress = Callable[[int, int], None]
Record = tuple[ev.Event, str]
"""What happened, and when (ISO 8601)."""

LARGE_BYTES = 64 * 1024 * 1024

_NAMING = (b'"t":"agent_new"', b'"t":"agent_set"')
_STATES = {ev.Settle: "settled", ev.SettleWorst: "settled_worst", ev.Void: "voided", ev.Overrun: "overrun"}
_CALL_ID = re.compile(rb'"call_id":"([^"\\]*)"')


@dataclass(slots=True)
class Search:
    """What a search through a ledger has found: the records of each call, names of agents, damage."""

    calls: dict[str, list[Record]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    signers: dict[str, str] = field(default_factory=dict)
    damage: list[str] = field(default_factory=list)

    def life(self, call_id: str) -> Life | None:
        """Return what the journal tells of a call; None where it tells nothing."""
        life: Life | None = None
        for event, at in self.calls.get(call_id, ()):
            life = _told(life, event, at)
        if life is None:
            return None
        signer = self.signers.get(life.held.document_sha256, "") if life.held else ""
        return replace(life, agent_name=self.names.get(life.agent_id, ""), signer=signer)


def is_large(path: Path, disk: Disk) -> bool:
    """Tell whether a search takes so long that somebody should see how far it is."""
    folder = LedgerFolder(path, disk)
    return sum(folder.size(file) for file in folder.segments) > LARGE_BYTES


def search(
    path: Path, begins: str, *, disk: Disk, on_progress: Progress, through_seq: int | None = None
) -> Search:
    """Find all records of calls whose id begins like this, none after record `through_seq` if it is given."""
    return _search(path, f'"call_id":"{begins}'.encode(), disk, on_progress, through_seq)


def last_call(path: Path, agent: str, *, disk: Disk, on_progress: Progress) -> str | None:
    """Return the id of the newest call of an agent, which is named by its id or its latest name."""
    folder = LedgerFolder(path, disk)
    agent_ids = {agent} | _ids_of(_search(path, b'"t":"agent_new"', disk, on_progress), agent)
    for file in reversed(folder.segments):
        raw = _read(folder, file, Search())
        for line in reversed(raw.splitlines()):
            kind = b'"t":"hold"' in line or b'"t":"refused"' in line
            if kind and any(f'"agent_id":"{one}"'.encode() in line for one in agent_ids):
                found = _CALL_ID.search(line)
                if found:
                    return found[1].decode()
    return None


def _ids_of(found: Search, name: str) -> set[str]:
    return {agent_id for agent_id, its_name in found.names.items() if its_name == name}


def _search(
    path: Path, needle: bytes, disk: Disk, on_progress: Progress, through_seq: int | None = None
) -> Search:
    folder, found = LedgerFolder(path, disk), Search()
    files = [file for file in folder.segments if through_seq is None or file.first_seq <= through_seq]
    for number, file in enumerate(files):
        raw = _through(_read(folder, file, found), file.first_seq, through_seq)
        hits = list(_lines(raw, needle))
        for mark in (*_NAMING, b'"t":"price_accept"'):
            for _, line in _lines(raw, mark):
                _learn(found, line)
        for start, line in hits:
            _note(found, folder.where(file), raw, start, line)
        if hits:
            _look_over(found, folder.where(file), raw)
        on_progress(number + 1, len(files))
    return found


def _through(raw: bytes, first_seq: int, through_seq: int | None) -> bytes:
    """Return the lines of a segment that are to be looked at: each record is one, without a gap."""
    if through_seq is None:
        return raw
    return raw[: len(raw) - len(raw.split(b"\n", through_seq - first_seq + 1)[-1])]


def _read(folder: LedgerFolder, file: SegmentFile, found: Search) -> bytes:
    try:
        return folder.read(file).raw
    except OSError as error:
        found.damage.append(f"{folder.where(file)} cannot be read: {error.strerror or error}")
        return b""


def _lines(raw: bytes, needle: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each whole line that has these bytes in it, with the byte at which it begins."""
    at = raw.find(needle)
    while at >= 0:
        start, end = raw.rfind(b"\n", 0, at) + 1, raw.find(b"\n", at)
        if end < 0:  # a write under way, or one that was cut off
            return
        yield start, raw[start:end]
        at = raw.find(needle, end)


def _learn(found: Search, line: bytes) -> None:
    """Take up how an agent is called, or who signed a price document."""
    try:
        event = read_event(line, open_line(line))
    except LineError:
        return  # said by those who read the line for itself
    match event:
        case ev.AgentNew(agent_id=agent_id, name=name):
            found.names[agent_id] = name or ""
        case ev.AgentSet(agent_id=agent_id, name=str(name)):
            found.names[agent_id] = name
        case ev.PriceAccept(document_sha256=sha256, key_id=key_id):
            found.signers[sha256] = key_id


def _note(found: Search, path: Path, raw: bytes, start: int, line: bytes) -> None:
    try:
        envelope = open_line(line)
        event, at = read_event(line, envelope), iso(read_time(envelope))
    except LineError as error:
        found.damage.append(f"{path}, line {raw.count(10, 0, start) + 1}: {error}")
        return
    if isinstance(event, ev.CallEvent | ev.Refused):
        found.calls.setdefault(event.call_id, []).append((event, at))


def _look_over(found: Search, path: Path, raw: bytes) -> None:
    """Say where a segment that holds records of the call is not whole."""
    for index, line in enumerate(raw.split(b"\n")[:-1]):
        try:
            open_line(line)
        except LineError as error:
            said = f"{path}, line {index + 1}: {error}"
            if said not in found.damage:
                found.damage.append(said)
            return


def _told(life: Life | None, event: ev.Event, at: str) -> Life | None:
    """Return what is known of a call after one record more."""
    match event:
        case ev.Hold():
            return _begun(event, at)
        case ev.Refused():
            return of_call(call_of(event))
        case ev.Sent() if life:
            return replace(life, sent_at=at, changed=tuple(event.changed))
        case ev.Settle() | ev.SettleWorst() | ev.Void() | ev.Overrun():
            return replace(life or _unknown(event), ended=_ended(event, at))
        case ev.Adjust():
            one = Adjusted(
                at=at,
                from_nusd=event.from_nusd,
                to_nusd=event.to_nusd,
                reason=event.reason,
                actor=event.actor,
            )
            life = life or _unknown(event)
            return replace(life, adjusted=(*life.adjusted, one))
    return life


def _unknown(event: ev.EndEvent | ev.Adjust) -> Life:
    """Return a call whose hold is not there: somebody took old segments away."""
    return Life(call_id=event.call_id, agent_id=event.agent_id, run_id="", provider="", endpoint="", model="")


def _begun(event: ev.Hold, at: str) -> Life:
    held = Held(
        at=at,
        amount_nusd=event.amount_nusd,
        rung=event.rung,
        input_tokens=event.input_tokens,
        choices=event.choices,
        asked_output_tokens=event.asked_output_tokens,
        output_tokens=event.output_tokens,
        document_sha256=event.document_sha256,
        rates=event.rates,
        money=_money(event),
    )
    return Life(
        call_id=event.call_id,
        agent_id=event.agent_id,
        run_id=event.run_id,
        provider=event.provider,
        endpoint=event.endpoint,
        model=event.model,
        keys=tuple(event.keys),
        held=held,
    )


def _ended(event: ev.EndEvent, at: str) -> Ended:
    known = event if isinstance(event, ev.Settle | ev.Overrun) else None
    return Ended(
        at=at,
        state=_STATES[type(event)],
        cost_nusd=0 if isinstance(event, ev.Void) else event.cost_nusd,
        usage=known.usage if known else {},
        lines=tuple(known.lines) if known else (),
        http_status=event.http_status,
        reason=event.reason,
        money=_money(event),
    )


def _money(event: ev.MoneyEvent) -> Money:
    return Money(event.funded_nusd, event.settled_nusd, event.held_nusd)
