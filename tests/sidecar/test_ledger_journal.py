"""The pen: batches, short writes, group commit on a thread, and the stop at the first failure."""

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from ledger_kit import FOLDER, HEAD, SEGMENT
from sim import Gate, SimDisk
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.journal import Entry, Journal, Writer
from spendguard_daemon.ledger.lines import GENESIS, SLOT_BYTES, decode_slot, encode_body, open_line
from spendguard_daemon.ledger.rolling import RollingSegment

BODY = encode_body(ev.Close(reason="x"))


def entries(*seqs: int) -> Sequence[Entry]:
    """Return entries with these numbers."""
    return [Entry(seq, 1_800_000_000 * 10**9, BODY) for seq in seqs]


def make_writer(disk: SimDisk) -> Writer:
    """Return a writer on empty files."""
    return Writer(
        RollingSegment(FOLDER, disk, first_seq=1),
        disk.open_update(HEAD),
        seq=0,
        h=GENESIS,
        generation=1,
        next_slot=0,
    )


def test_a_segment_is_closed_by_the_batch_that_fills_it() -> None:
    """To the byte; and the next one begins with nothing in it."""
    disk = SimDisk()
    segment = RollingSegment(FOLDER, disk, first_seq=1, limit_bytes=10)
    segment.begin(1)
    assert segment.write(b"9 bytes, ") == 9
    segment.begin(2)
    assert (segment.size(), segment.closed_seq) == (9, 0)
    segment.write(b".")
    segment.begin(3)
    assert (segment.size(), segment.closed_seq) == (0, 2)
    segment.write(b"more")
    assert (segment.size(), disk.read(FOLDER / "seg-000000000003.jsonl")) == (4, b"more")


class Heard:
    """Callbacks of a journal that remember."""

    def __init__(self) -> None:
        self.durable: list[int] = []
        self.failures: list[BaseException] = []
        self.changed = asyncio.Event()

    def on_durable(self, seq: int) -> None:
        self.durable.append(seq)
        self.changed.set()

    def on_failure(self, error: BaseException) -> None:
        self.failures.append(error)
        self.changed.set()

    async def change(self) -> None:
        await asyncio.wait_for(self.changed.wait(), 20)
        self.changed.clear()


def start(disk: SimDisk, heard: Heard) -> Journal:
    """Return a journal that writes on its thread."""
    journal = Journal(make_writer(disk), on_durable=heard.on_durable, on_failure=heard.on_failure)
    journal.start(asyncio.get_running_loop())
    return journal


def test_a_batch_acknowledges_the_one_before() -> None:
    """`ack` is the last seq that was synced when the batch began; the chain runs through."""
    disk = SimDisk()
    writer = make_writer(disk)
    writer.write(entries(1, 2))
    writer.write(entries(3))
    writer.write(entries(4, 5))
    lines = [open_line(line) for line in disk.read(SEGMENT).splitlines()]
    assert [(line.seq, line.ack) for line in lines] == [(1, 0), (2, 0), (3, 2), (4, 3), (5, 3)]
    assert [line.prev for line in lines] == [GENESIS, *(line.h for line in lines[:-1])]


def test_the_head_is_written_after_the_sync_in_two_slots_by_turns() -> None:
    """And is itself not synced."""
    disk = SimDisk()
    writer = make_writer(disk)
    for seq in (1, 2, 3):
        writer.write(entries(seq))
    slots = [decode_slot(disk.read(HEAD)[start : start + SLOT_BYTES]) for start in (0, SLOT_BYTES)]
    assert [slot and slot.seq for slot in slots] == [3, 2]
    names = [(operation, name) for operation, name in disk.operations if operation != "open"]
    assert names[:3] == [("write", SEGMENT.name), ("sync", SEGMENT.name), ("write_at", "head")]
    assert ("sync", "head") not in names


@pytest.mark.parametrize("most", [1, 10])
def test_short_writes_are_carried_on(most: int) -> None:
    """A file that takes a few bytes at a time gets the same bytes."""
    plain, short = SimDisk(), SimDisk()
    short.write_bytes_max = most
    for disk in (plain, short):
        make_writer(disk).write(entries(1, 2, 3))
    assert short.read(SEGMENT) == plain.read(SEGMENT)
    assert short.read(HEAD) == plain.read(HEAD)


def test_a_file_that_takes_nothing_is_a_failure() -> None:
    """Not an endless loop."""
    disk = SimDisk()
    disk.write_bytes_max = 0
    with pytest.raises(OSError, match="no more bytes"):
        make_writer(disk).write(entries(1))


async def test_what_comes_while_a_batch_is_synced_is_the_next_batch() -> None:
    """Nothing is acknowledged before its sync has returned, and one sync serves many."""
    disk, heard, gate = SimDisk(), Heard(), Gate()
    disk.hook = gate
    journal = start(disk, heard)
    journal.append(entries(1))
    assert await asyncio.to_thread(gate.reached.acquire, timeout=20)
    for seq in range(2, 102):
        journal.append(entries(seq))
    await asyncio.sleep(0)
    assert heard.durable == []
    assert len(disk.read(SEGMENT).splitlines()) == 1
    gate.open.release()
    await heard.change()
    assert heard.durable == [1]
    assert await asyncio.to_thread(gate.reached.acquire, timeout=20)
    assert heard.durable == [1]
    gate.open.release()
    await heard.change()
    assert heard.durable == [1, 101]
    journal.stop()
    assert len(disk.read(SEGMENT).splitlines()) == 101


@pytest.mark.parametrize("operation", ["write", "sync", "write_at"])
async def test_a_failure_is_final(operation: str) -> None:
    """Reported once, nothing acknowledged, nothing tried again."""
    disk, heard = SimDisk(), Heard()
    journal = start(disk, heard)
    journal.append(entries(1))
    await heard.change()
    tried: list[str] = []

    def fail(name: str, path: Path) -> None:
        tried.append(name)
        if name == operation:
            raise OSError(5, "Input/output error")

    disk.hook = fail
    journal.append(entries(2))
    await heard.change()
    journal.append(entries(3))
    journal.stop()
    await asyncio.sleep(0)
    assert heard.durable == [1]
    assert [str(error) for error in heard.failures] == ["[Errno 5] Input/output error"]
    assert journal.failure is heard.failures[0]
    assert tried.count(operation) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_bug_on_the_thread_is_a_failure_too() -> None:
    """Whatever ends the thread, its callers hear of it."""
    heard = Heard()
    journal = start(SimDisk(), heard)
    journal.append([Entry(1, 0, None)])  # type: ignore[arg-type]
    await heard.change()
    journal.stop()
    assert len(heard.failures) == 1


async def test_stopping_writes_what_is_queued() -> None:
    """Then the files are closed."""
    disk, heard = SimDisk(), Heard()
    journal = start(disk, heard)
    assert journal._thread is not None
    assert journal._thread.daemon, "an exit without a stop must not hang"
    for seq in range(1, 50):
        journal.append(entries(seq))
    journal.stop()
    assert len(disk.read(SEGMENT).splitlines()) == 49
    await heard.change()
    assert heard.durable[-1] == 49


def test_a_failure_after_the_loop_is_gone_is_still_heard() -> None:
    """On the writer's own thread, as there is no other."""
    disk = SimDisk()
    heard = asyncio.run(_make_heard())
    loop = asyncio.new_event_loop()
    journal = Journal(make_writer(disk), on_durable=heard.on_durable, on_failure=heard.on_failure)
    journal.start(loop)
    loop.close()
    journal.append(entries(1))
    disk.hook = _fail
    journal.append(entries(2))
    journal.stop()
    assert heard.durable == []
    assert len(heard.failures) == 1


def test_what_comes_after_the_loop_is_gone_is_written_at_once() -> None:
    """There is no later in which it could ride along."""
    disk, synced = SimDisk(), threading.Event()
    heard = asyncio.run(_make_heard())
    loop = asyncio.new_event_loop()
    journal = Journal(make_writer(disk), on_durable=heard.on_durable, on_failure=heard.on_failure)
    journal.start(loop)
    loop.close()
    disk.hook = lambda operation, path: synced.set() if operation == "sync" else None
    journal.append(entries(1))
    assert synced.wait(20)
    journal.stop()


async def _make_heard() -> Heard:
    return Heard()


def _fail(operation: str, path: Path) -> None:
    raise OSError(5, "Input/output error")


def test_before_it_is_started_it_writes_at_once() -> None:
    """And reports on the spot."""
    disk = SimDisk()
    heard = asyncio.run(_make_heard())
    journal = Journal(make_writer(disk), on_durable=heard.on_durable, on_failure=heard.on_failure)
    journal.append(entries(1))
    journal.append(entries(2, 3))
    assert heard.durable == [1, 3]
    disk.hook = _fail
    journal.append(entries(4))
    assert (heard.durable, len(heard.failures)) == ([1, 3], 1)
    assert journal.failure is heard.failures[0]
    journal.stop()


@pytest.mark.parametrize("started", [False, True])
async def test_a_failure_is_told_at_once_and_then_on_the_loop(started: bool) -> None:
    """First where nothing can come between, on whatever thread that is."""
    disk, told, done = SimDisk(), list[str](), asyncio.Event()

    def on_failure(error: BaseException) -> None:
        told.append("on the loop")
        done.set()

    journal = Journal(
        make_writer(disk),
        on_durable=lambda seq: None,
        on_failure=on_failure,
        at_once=lambda error: told.append("at once"),
    )
    if started:
        journal.start(asyncio.get_running_loop())
    disk.hook = _fail
    journal.append(entries(1))
    journal.hurry()
    await asyncio.wait_for(done.wait(), 20)
    journal.stop()
    assert told == ["at once", "on the loop"]


async def test_jobs_are_done_in_their_order_between_batches() -> None:
    """On the journal's thread, one after the other."""
    done, begun, go_on = list[str](), threading.Event(), threading.Event()
    journal = start(SimDisk(), Heard())

    def first() -> None:
        begun.set()
        assert go_on.wait(20)
        done.append("first")

    jobs = [asyncio.ensure_future(journal.run(first))]
    assert await asyncio.to_thread(begun.wait, 20)
    jobs += [
        asyncio.ensure_future(journal.run(lambda name=name: done.append(name)))
        for name in ("second", "third")
    ]
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.wait_for(asyncio.gather(*jobs), 20)
    journal.stop()
    assert done == ["first", "second", "third"]
