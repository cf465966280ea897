"""The async face: nothing is answered before it is durable, and nothing after the disk has failed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ledger_desk import LONG, Desk, code_of, open_desk, settled_down
from ledger_kit import (
    AGENT,
    FOLDER,
    SEGMENT,
    Failures,
    grant,
    hold_call,
    new_agent,
    open_ledger,
    refused_code,
    settle,
)
from sim import Gate, SimClock, SimDisk, SimRng
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.system import SystemClock, SystemDisk, SystemRng


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """Yield a desk whose journal is checked in the end."""
    async with open_desk() as desk:
        yield desk


async def test_a_hold_is_returned_only_when_it_is_durable(desk: Desk) -> None:
    """While the disk is at it, nobody is answered; one sync then answers all."""
    ledger = await desk.fund(100_000)
    gate = Gate()
    desk.disk.hook = gate
    holds = [asyncio.ensure_future(ledger.hold(hold_call(f"c{index}"), 0)) for index in range(50)]
    assert await asyncio.to_thread(gate.reached.acquire, timeout=LONG)
    await settled_down()
    assert not any(hold.done() for hold in holds)
    assert len(ledger.state.open_calls) == 50
    gate.open.release()
    gate.open.release()
    assert len(await asyncio.wait_for(asyncio.gather(*holds), LONG)) == 50
    desk.disk.hook = None


async def test_what_is_answered_is_on_the_disk(desk: Desk) -> None:
    """A power cut at that very moment finds the record."""
    ledger = await desk.fund(100_000)
    for index in range(5):
        await ledger.hold(hold_call(f"c{index}"), 0)
        assert f'"c{index}"'.encode() in desk.disk.crash().read(SEGMENT)
    await ledger.submit(cmd.Freeze(AGENT, "mad", "me"))
    assert b'"mad"' in desk.disk.crash().read(SEGMENT)


async def test_ten_of_a_thousand_concurrent_calls_are_admitted(desk: Desk) -> None:
    """An agent funded for exactly ten worst cases: ten, at once, and not a nano-dollar more."""
    ledger = await desk.fund(10_000, overflow="refuse")
    calls = (ledger.hold(hold_call(f"c{index}"), 0) for index in range(1_000))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    admitted = [answer for answer in answers if isinstance(answer, ev.Hold)]
    refused = [answer for answer in answers if isinstance(answer, SpendGuardError)]
    assert (len(admitted), len(refused)) == (10, 990)
    assert {error.code for error in refused} == {Code.BUDGET_HELD}
    assert [hold.call_id for hold in admitted] == [f"c{index}" for index in range(10)]
    assert ledger.state.accounts[AGENT].available_nusd == 0


async def test_cancelling_a_submit_does_not_undo_the_record(desk: Desk) -> None:
    """What was decided stays decided."""
    ledger = await desk.fund(1_500)
    await ledger.hold(hold_call("c0"), 0)
    gate = Gate()
    desk.disk.hook = gate
    submitting = asyncio.ensure_future(ledger.submit(settle("c0", 7)))
    assert await asyncio.to_thread(gate.reached.acquire, timeout=LONG)
    submitting.cancel()
    await settled_down()
    desk.disk.hook = None
    gate.open.release()
    assert ledger.state.accounts[AGENT].settled_nusd == 7


async def test_a_repeated_command_is_answered_only_when_the_first_one_is_durable(desk: Desk) -> None:
    """It records nothing, but it must not promise what a power cut could still take."""
    ledger = await desk.fund(1_500)
    gate = Gate()
    desk.disk.hook = gate
    first = asyncio.ensure_future(ledger.submit(cmd.Freeze(AGENT, "mad", "me")))
    assert await asyncio.to_thread(gate.reached.acquire, timeout=LONG)
    second = asyncio.ensure_future(ledger.submit(cmd.Freeze(AGENT, "mad", "me")))
    await settled_down()
    assert not second.done()
    gate.open.release()
    assert [len(events) for events in await asyncio.wait_for(asyncio.gather(first, second), LONG)] == [1, 0]
    desk.disk.hook = None


@pytest.mark.parametrize("operation", ["write", "sync"])
async def test_a_failing_disk_stops_everything(desk: Desk, operation: str) -> None:
    """`fatal` once, no acknowledgement, waiting calls refused, and DISK_FAILED ever after."""
    ledger = await desk.fund(1_500)
    await ledger.hold(hold_call("c0"), 0)
    waiting = asyncio.ensure_future(ledger.hold(hold_call("c1"), LONG))
    await settled_down()

    def fail(name: str, path: Path) -> None:
        if name == operation:
            raise OSError(5, "Input/output error")

    desk.disk.hook = fail
    heard: list[ev.Event] = []
    ledger.subscribe(lambda event, seq, wall_ns: heard.append(event))
    gone = asyncio.ensure_future(ledger.submit(grant(1_500, 1)))
    await asyncio.sleep(0)
    gone.cancel()
    submits = [
        asyncio.ensure_future(ledger.submit(cmd.Freeze(AGENT, f"r{index}", "me"))) for index in range(3)
    ]
    for submit in submits:
        with pytest.raises(SpendGuardError, match="Input/output error") as caught:
            await asyncio.wait_for(submit, LONG)
        assert caught.value.code is Code.DISK_FAILED
    assert await code_of(waiting) in ("disk_failed", "agent_frozen")
    await settled_down()
    assert len(desk.failures.seen) == 1
    assert heard == []
    desk.disk.hook = None
    assert refused_code(lambda: ledger.post(settle("c0", 0))) == "disk_failed"
    with pytest.raises(SpendGuardError) as caught:
        await ledger.hold(hold_call("c9"), LONG)
    assert caught.value.code is Code.DISK_FAILED
    await ledger.close("test")
    assert b'"t":"close"' not in desk.disk.read(SEGMENT)


def test_a_failing_disk_before_the_start_is_fatal_too() -> None:
    """Commands that block fail on the spot."""
    disk, failures = SimDisk(), Failures()
    ledger = open_ledger(disk, fatal=failures)

    def fail(name: str, path: Path) -> None:
        raise OSError(28, "No space left on device")

    disk.hook = fail
    assert refused_code(lambda: ledger.post(new_agent())) == "disk_failed"
    assert len(failures.seen) == 1


async def test_listeners_hear_of_durable_events_in_order(desk: Desk) -> None:
    """Each with its seq and its time, and not before it is safe."""
    ledger = await desk.fund(5_000)
    heard: list[tuple[str, int]] = []
    ledger.subscribe(lambda event, seq, wall_ns: heard.append((type(event).__name__, seq)))
    gate = Gate()
    desk.disk.hook = gate
    ledger.post(hold_call("c1"))
    assert await asyncio.to_thread(gate.reached.acquire, timeout=LONG)
    assert heard == []
    desk.disk.hook = None
    gate.open.release()
    await ledger.submit(settle("c1", 1_100))
    assert heard == [("Hold", 4), ("Freeze", 5), ("Overrun", 6)]


async def test_closing_records_it_and_refuses_what_comes_after(desk: Desk) -> None:
    """Waiting calls are told; the lock is free for the next daemon; closing twice is harmless."""
    ledger = await desk.fund(1_500)
    await ledger.hold(hold_call("c0"), 0)
    waiting = asyncio.ensure_future(ledger.hold(hold_call("c1"), LONG))
    await settled_down()
    assert desk.disk.lock(FOLDER / "lock") is None
    await ledger.close("down")
    assert await code_of(waiting) == "shutting_down"
    await ledger.close("down")
    assert all(file.closed for file in desk.disk.opened)
    assert b'"t":"close","reason":"down"' in desk.lines()[-1]
    assert refused_code(lambda: ledger.post(settle("c0", 0))) == "shutting_down"
    again = open_ledger(desk.disk)
    assert again.recovered.settled_at_worst == ("c0",)
    await again.close("test")
    desk.ledger = again


async def test_a_close_that_cannot_be_written_says_so(desk: Desk) -> None:
    """The lock is given up all the same."""
    ledger = await desk.fund(1_500)

    def fail(name: str, path: Path) -> None:
        if name == "write":
            raise OSError(5, "Input/output error")

    desk.disk.hook = fail
    with pytest.raises(SpendGuardError, match="Input/output error"):
        await ledger.close("down")
    desk.disk.hook = None
    assert len(desk.failures.seen) == 1
    assert desk.disk.lock(FOLDER / "lock") is not None


def test_one_home_has_one_ledger() -> None:
    """The second daemon is refused while the first lives."""
    disk = SimDisk()
    open_ledger(disk)
    assert refused_code(lambda: open_ledger(disk)) == "ledger_locked"


def test_a_disk_that_fails_at_the_start_is_said_to_have_failed() -> None:
    """Not a traceback."""
    disk = SimDisk()

    def fail(operation: str, path: Path) -> None:
        if operation == "sync_folder":
            raise OSError(30, "Read-only file system")

    disk.hook = fail
    assert refused_code(lambda: open_ledger(disk)) == "disk_failed"


def test_a_first_start_leaves_one_durable_record() -> None:
    """Names and bytes survive a power cut right after it."""
    disk = SimDisk()
    ledger = Ledger.open(
        FOLDER, disk=disk, clock=SimClock(), rng=SimRng(3), fatal=Failures(), version="0.3.0"
    )
    assert (ledger.recovered.records, ledger.recovered.warnings) == (0, ())
    (line,) = disk.crash().read(SEGMENT).splitlines()
    opened = SimRng(3).token(8).hex()
    assert f'"t":"open","version":"0.3.0","min_reader":2,"generation":1,"session":"{opened}"'.encode() in line


async def test_on_the_real_disk(tmp_path: Path) -> None:
    """The same, with real files, a real thread and real syncs."""
    failures = Failures()

    def opened() -> Ledger:
        return Ledger.open(
            tmp_path / "home" / "ledger",
            disk=SystemDisk(),
            clock=SystemClock(),
            rng=SystemRng(),
            fatal=failures,
            version="0.3.0",
        )

    ledger = opened()
    ledger.start(asyncio.get_running_loop())
    await ledger.submit(new_agent())
    await ledger.submit(grant(10_000))
    answers = await asyncio.gather(
        *(ledger.hold(hold_call(f"c{index}"), 0) for index in range(100)), return_exceptions=True
    )
    assert sum(isinstance(answer, ev.Hold) for answer in answers) == 10
    with pytest.raises(SpendGuardError) as caught:
        opened()
    assert caught.value.code is Code.LEDGER_LOCKED
    await ledger.submit(settle("c0", 5))
    await ledger.close("down")
    again = opened()
    assert len(again.recovered.settled_at_worst) == 9
    assert again.state.accounts[AGENT].settled_nusd == 9_005
    assert again.recovered.warnings == ()
    await again.close("down")
    assert failures.seen == []
