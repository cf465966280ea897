"""Who is answered when: in the order of the records, and nobody before the disk has them."""

import asyncio
from collections import deque

import pytest

from ledger_desk import settled_down
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.acks import Acks
from spendguard_daemon.ledger.book import Booked

CLOSE = ev.Close(reason="x")


async def test_each_caller_is_answered_when_its_own_record_is_durable() -> None:
    """Not when a later one is; what is durable already is answered at once."""
    acks = Acks(4)
    await acks.until(4)
    first, second = (asyncio.ensure_future(acks.until(seq)) for seq in (5, 7))
    await settled_down()
    assert not first.done()
    acks.advance(6, deque())
    await settled_down()
    assert (first.done(), second.done()) == (True, False)
    acks.advance(7, deque())
    await settled_down()
    assert second.done()


def test_listeners_hear_of_each_event_once_it_is_durable() -> None:
    """In order, all of them, with number and time; the rest stays for the next time."""
    acks, heard = Acks(0), list[tuple[str, int, int]]()
    acks.subscribe(lambda event, seq, wall_ns: heard.append(("one", seq, wall_ns)))
    acks.subscribe(lambda event, seq, wall_ns: heard.append(("two", seq, wall_ns)))
    fresh = deque(Booked(CLOSE, seq, 10 * seq) for seq in (1, 2, 3))
    acks.advance(2, fresh)
    assert heard == [("one", 1, 10), ("two", 1, 10), ("one", 2, 20), ("two", 2, 20)]
    assert [booked.seq for booked in fresh] == [3]
    acks.advance(3, fresh)
    assert heard[4:] == [("one", 3, 30), ("two", 3, 30)]
    assert not fresh


async def test_after_a_failure_nobody_is_answered_any_more() -> None:
    """Who waits, who left, and who comes later; what was durable before stays so."""
    acks = Acks(1)
    waiting, leaving = (asyncio.ensure_future(acks.until(seq)) for seq in (2, 3))
    await settled_down()
    leaving.cancel()
    await settled_down()
    acks.fail(OSError("broken"))
    for late in (waiting, acks.until(4)):
        with pytest.raises(OSError, match="broken"):
            await late
    await acks.until(1)


async def test_a_caller_that_left_is_passed_over() -> None:
    """Those behind it are answered."""
    acks = Acks(0)
    leaving, staying = (asyncio.ensure_future(acks.until(seq)) for seq in (1, 2))
    await settled_down()
    leaving.cancel()
    await settled_down()
    acks.advance(2, deque())
    await staying
