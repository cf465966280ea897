"""The locks view: who holds an agent, what waits, and how both end."""

import msgspec
import pytest

from canned import Tap, agent, at, hostile, money, snapshot, standings, uuid, waiting
from looks import check_looks
from spendguard_cli.watch.app import WatchApp
from spendguard_cli.watch.messages import Happened
from spendguard_cli.watch.screens.locks import LocksView
from spendguard_cli.watch.subject import Subject
from spendguard_cli.watch.telling import waits_for
from spendguard_cli.watch.widgets.lines import LineTable
from spendguard_daemon.feed_wire import Event, Standing
from views_kit import opened, text_of


async def test_a_lock_is_told_whole() -> None:
    """Holder, age, deadline, the calls in flight behind it, and how it ends sooner."""
    view = LocksView()
    async with opened(view, size=(100, 30)) as (app, _):
        told = text_of(app)
        assert view.subject() == Subject(uuid(3), uuid(1075))
    assert "1 agent locked, 1 call waiting; the longest first" in told
    assert "run nightly-7 holds agent locked" in told
    assert "since 1 min 15 s; its calls are cut at the latest in 8 min 45 s" in told
    assert "press x to cut its oldest call" in told
    assert "spendguard agent set locked --concurrency shared" in told


async def test_a_waiting_call_is_told_whole() -> None:
    """Whose it is, why it waits in words, what is lacking, for how long, and the keys that help."""
    view = LocksView()
    async with opened(view, size=(100, 30)) as (app, pilot):
        await pilot.press("down")
        await pilot.pause()
        assert view.subject() == Subject(uuid(6), uuid(2020), waiting=True)
        told = text_of(app)
    assert "a call of waiting waits: Insufficient budget" in told
    assert "it can cost $1.5 at worst" in told
    assert "it has waited for 20 s, and is refused in 4 min 40 s" in told
    assert "lacks $0.75; press w to let it through, or t to top the agent up" in told


async def test_the_longest_comes_first() -> None:
    """Locks by age, then waiting calls by age, whatever the order in which they were told."""
    locked = [
        Standing(
            agent=agent(n, f"locked-{n}"),
            money=money(locked_run_id="r", locked_since=at(-age), calls_waiting=1),
        )
        for n, age in ((1, 5), (2, 500), (3, 50))
    ]
    waits = [
        msgspec.structs.replace(one, agent=msgspec.structs.replace(one.agent, waiting=[waiting(number, n)]))
        for n, (one, number) in enumerate(zip(locked, (7, 70, 30), strict=True), start=1)
    ]
    view = LocksView()
    async with opened(view, snapshot(waits)):
        keys = list(view.query_one(LineTable).keys)
    assert keys == [
        *(f"lock/{uuid(n)}" for n in (2, 3, 1)),
        *(f"wait/{uuid(2000 + n)}" for n in (70, 30, 7)),
    ]


async def test_a_lock_that_ends_leaves_the_list() -> None:
    """When nothing is locked and nothing waits any more it says so."""
    view = LocksView()
    async with opened(view) as (app, pilot):
        free = Event(seq=101, at=at(1), kind="lock", agent_id=uuid(3), money=money())
        gone = Event(
            seq=102, at=at(1), kind="waiting", agent_id=uuid(6), money=money("2", "1.25"), waiting=[]
        )
        app.board.hear(Happened((gone, free)), 0.0)
        app.redraw()
        await pilot.pause()
        assert "no agent is locked, no call waits" in text_of(app)
        assert view.subject() == Subject()


async def test_more_wait_than_are_told() -> None:
    """It says how many of those that wait it shows."""
    crowded = [
        msgspec.structs.replace(one, money=money("2", "1.25", calls_waiting=31)) for one in standings()[5:6]
    ]
    async with opened(LocksView(), snapshot(crowded)) as (app, _):
        assert "31 calls waiting, of which 1 are shown" in text_of(app)


async def test_before_anything_is_known() -> None:
    """Without a word from the sidecar nothing is claimed."""
    app = WatchApp(Tap(), local_seconds=lambda: 0.0)
    async with app.run_test(size=(80, 24)) as pilot:
        await app.push_screen(LocksView())
        await pilot.pause()
        assert "locks are not known yet" in text_of(app)


async def test_hostile_names() -> None:
    """No name steers the terminal or breaks a line."""
    async with opened(LocksView(), hostile(), size=(100, 40)) as (app, pilot):
        for key in ("home", "end"):
            await pilot.press(key)
            await pilot.pause()
            told = text_of(app)
            assert not {"\x1b", "\u202e", "\x07"} & set(told)
            assert "[red]" in told


async def test_looks(request: pytest.FixtureRequest) -> None:
    """It looks as it did, at every size and in both colours."""
    async with opened(LocksView()) as (app, pilot):
        await check_looks(app, pilot, "locks-{0}-{2}", request)


async def test_where_one_only_looks_no_key_is_named() -> None:
    """What cannot be pressed is not advised: the state is told, and what a person may type elsewhere."""
    view = LocksView()
    async with opened(view, size=(100, 30), read_only=True) as (app, pilot):
        lock = text_of(app)
        await pilot.press("down")
        await pilot.pause()
        waits = text_of(app)
    assert "press" not in lock + waits
    assert "spendguard agent set locked --concurrency shared" in lock
    assert "-> waiting lacks $0.75" in waits


async def test_what_a_call_waits_for_fits_its_column() -> None:
    """In few cells: how much is lacking, and of whom; else why."""
    one = waiting(1, 6)
    told = {
        "lacks $0.75": msgspec.structs.replace(one, code="insufficient_budget", lacking_cents=75),
        "cap lacks $0.75": msgspec.structs.replace(one, code="daemon_cap", lacking_cents=75),
        "locked": msgspec.structs.replace(one, code="budget_locked", lacking_cents=None),
        "Budget is held by calls in flight": msgspec.structs.replace(
            one, code="budget_held", lacking_cents=None
        ),
    }
    assert {said: waits_for(which) for said, which in told.items()} == {said: said for said in told}


async def test_of_the_past_no_command_is_told() -> None:
    """Who held the lock then, and with which calls; what would end it is of no use now."""
    world = snapshot()
    unknown = [
        msgspec.structs.replace(one, money=msgspec.structs.replace(one.money, locked_expires_at=None))
        for one in world.agents
    ]
    view = LocksView()
    async with opened(view, msgspec.structs.replace(world, agents=unknown), size=(100, 30), past=True) as (
        app,
        _,
    ):
        told = text_of(app)
    assert "run nightly-7 holds agent locked" in told
    assert "since 1 min 15 s\n" in told.replace(" \n", "\n")
    assert "cut at the latest" not in told
    assert "$ spendguard" not in told
