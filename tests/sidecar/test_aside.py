"""Large readings are done aside, one at a time; small ones at once."""

import asyncio
import threading

import pytest

from spendguard_daemon.aside import LARGE_BYTES, aside


async def test_small_work_is_done_at_once() -> None:
    assert await aside(threading.get_ident, LARGE_BYTES - 1) == threading.get_ident()


async def test_the_loop_goes_on_while_large_work_is_done_one_at_a_time() -> None:
    """The first would wait for ever if the loop stood still, the second if both ran at once."""
    go, running = threading.Event(), 0

    def first() -> int:
        assert go.wait(20)
        return running

    def second() -> int:
        nonlocal running
        running += 1
        return running

    async def let_go() -> None:
        go.set()

    work = [aside(first, LARGE_BYTES), aside(second, LARGE_BYTES), let_go()]
    assert await asyncio.gather(*work) == [0, 1, None]


async def test_errors_come_back() -> None:
    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await aside(fail, LARGE_BYTES)


async def test_a_caller_that_leaves_holds_nobody_up() -> None:
    go = threading.Event()
    task = asyncio.create_task(aside(go.wait, LARGE_BYTES))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    go.set()
    assert await aside(lambda: "next", LARGE_BYTES) == "next"
