"""The unconfirmed view: money charged at a bound, whose, why, and how it is put right."""

import msgspec
import pytest

from canned import hostile, snapshot, unconfirmed, uuid
from looks import check_looks
from spendguard_cli.watch.messages import Snapped
from spendguard_cli.watch.screens.unconfirmed import UnconfirmedView
from spendguard_cli.watch.subject import Subject
from spendguard_cli.watch.widgets.lines import LineTable
from spendguard_daemon.feed_wire import Snapshot
from views_kit import opened, text_of


def _with(calls: int, of: int, usd: str) -> Snapshot:
    """Return the world with so many unconfirmed calls told, of so many that there are."""
    world = snapshot()
    told = [
        msgspec.structs.replace(unconfirmed()[0], call_id=uuid(1300 + n), model=f"model-{n}")
        for n in range(calls)
    ]
    totals = msgspec.structs.replace(
        world.totals, unconfirmed=told, unconfirmed_calls=of, unconfirmed_usd=usd
    )
    return msgspec.structs.replace(world, totals=totals)


async def test_the_sum_the_reason_and_the_keys() -> None:
    """The sum stands on top; the line and its pane say whose, why, since when; keys are named."""
    view = UnconfirmedView()
    async with opened(view) as (app, _):
        told = text_of(app)
        assert view.subject() == Subject(uuid(2), uuid(1300))
    assert "$0.05 charged to 1 call at a bound, not by a bill" in told
    assert "press c to confirm what a call was charged, e to explain it" in told
    assert "spending was charged $0.05: charged at its hold" in told
    assert "why: the connection was lost" in told
    assert uuid(1300) in told


async def test_more_than_are_told() -> None:
    """The sum is that of all; it says that only the newest are shown, and where all are."""
    async with opened(UnconfirmedView(), _with(3, 40, "12.345678901"), size=(160, 24)) as (app, _):
        told = text_of(app)
    assert "$12.345678901 charged to 40 calls" in told
    assert "the newest 3 are shown, all: spendguard ledger export --unconfirmed" in told


async def test_confirmed_calls_leave() -> None:
    """A call that is confirmed leaves the list, and the cursor goes to its neighbour."""
    view = UnconfirmedView()
    async with opened(view, _with(3, 3, "0.15")) as (app, pilot):
        await pilot.press("down")
        await pilot.pause()
        assert view.query_one(LineTable).key == uuid(1301)
        app.board.hear(Snapped(_with(1, 1, "0.05")), 0.0)
        app.redraw()
        await pilot.pause()
        assert view.subject() == Subject(uuid(2), uuid(1300))


async def test_nothing_is_unconfirmed() -> None:
    """It says so in words, and keys act upon nothing."""
    view = UnconfirmedView()
    async with opened(view, _with(0, 0, "0")) as (app, _):
        assert "nothing is unconfirmed" in text_of(app)
        assert view.subject() == Subject()


async def test_the_past_names_no_key() -> None:
    """In the past nothing can be confirmed."""
    async with opened(UnconfirmedView(), past=True) as (app, _):
        told = text_of(app)
    assert "$0.05 charged" in told
    assert "press c" not in told


async def test_hostile_names() -> None:
    """No name steers the terminal or breaks a line."""
    async with opened(UnconfirmedView(), hostile()) as (app, _):
        told = text_of(app)
    assert not {"\x1b", "\u202e", "\x07"} & set(told)
    assert "[red]" in told


async def test_looks(request: pytest.FixtureRequest) -> None:
    """It looks as it did, at every size and in both colours."""
    async with opened(UnconfirmedView()) as (app, pilot):
        await check_looks(app, pilot, "unconfirmed-{0}-{2}", request)


async def test_of_the_past_no_command_is_told() -> None:
    """What was charged then may have been confirmed since."""
    for past in (False, True):
        async with opened(UnconfirmedView(), size=(100, 30), past=past) as (app, _):
            told = text_of(app)
        assert "was charged" in told
        assert ("$ spendguard budget adjust --call" in told) is not past
