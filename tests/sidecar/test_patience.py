"""A deadline that passes while our own loop stood still cuts nothing that has arrived."""

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from spendguard_daemon import patience
from spendguard_daemon.patience import Patience

LONG_SECONDS = 60.0
SHORT_SECONDS = 0.02
uvloop = pytest.importorskip("uvloop")


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run on either loop: they take timers and sockets in another order."""

    def runner(work: Coroutine[Any, Any, Any]) -> Any:
        factory = asyncio.new_event_loop if request.param == "asyncio" else uvloop.new_event_loop
        with asyncio.Runner(loop_factory=factory) as on:
            return on.run(work)

    return runner


Run = Callable[[Coroutine[Any, Any, Any]], Any]


def test_what_arrived_while_the_loop_stood_still_is_taken(run: Run) -> None:
    """The byte is there in time; the loop is held up on purpose until well after the deadline."""

    async def wait() -> bytes:
        near, far = socket.socketpair()
        with far:
            reader, writer = await asyncio.open_connection(sock=near)

            def stall() -> None:
                far.sendall(b"x")
                time.sleep(5 * SHORT_SECONDS)

            asyncio.get_running_loop().call_soon(stall)
            try:
                async with Patience(SHORT_SECONDS):
                    return await reader.read(1)
            finally:
                writer.close()

    assert run(wait()) == b"x"


@pytest.mark.parametrize(("stall_seconds", "taken"), [(LONG_SECONDS, True), (SHORT_SECONDS, False)])
def test_a_delay_too_long_to_be_ours_counts(
    run: Run, monkeypatch: pytest.MonkeyPatch, stall_seconds: float, taken: bool
) -> None:
    """What comes a few turns after a stop is taken, but not where the stop was past the deadline by far."""
    monkeypatch.setattr(patience, "STALL_SECONDS", stall_seconds)

    async def wait() -> bool:
        arrived, loop = asyncio.Event(), asyncio.get_running_loop()

        def hop(turns: int) -> None:
            if turns:
                loop.call_soon(hop, turns - 1)
            else:
                arrived.set()

        def stall() -> None:
            time.sleep(5 * SHORT_SECONDS)
            loop.call_soon(hop, 2)

        loop.call_soon(stall)
        try:
            async with Patience(SHORT_SECONDS):
                return await arrived.wait()
        except TimeoutError:
            return False

    assert run(wait()) is taken


@pytest.mark.parametrize("seconds", [SHORT_SECONDS, 0, -1])
def test_what_never_arrives_is_cut(run: Run, seconds: float) -> None:
    async def wait() -> None:
        async with Patience(seconds):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        run(wait())


def test_a_block_that_ends_in_time_leaves_no_timer_behind(run: Run) -> None:
    async def wait() -> str:
        async with Patience(0):
            pass
        async with Patience(LONG_SECONDS):
            await asyncio.sleep(0)
        await asyncio.sleep(SHORT_SECONDS)
        return "uncut"

    assert run(wait()) == "uncut"


def test_errors_and_cancellation_pass_as_they_are(run: Run) -> None:
    async def fail() -> None:
        async with Patience(LONG_SECONDS):
            raise ValueError

    async def cancelled() -> bool:
        async def wait() -> None:
            async with Patience(LONG_SECONDS):
                await asyncio.Event().wait()

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    with pytest.raises(ValueError):
        run(fail())
    assert run(cancelled())
