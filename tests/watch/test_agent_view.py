"""The agent view: money, pace, and in sections calls, failures, runs, keys and what was done."""

import threading
from typing import Self

import msgspec
import pytest

from canned import agent, at, call, hostile, money, snapshot, uuid
from looks import SIZES, check_looks
from spendguard_cli.watch.messages import Away, Happened, Snapped
from spendguard_cli.watch.screens.agent import AgentView
from spendguard_cli.watch.sections import SECTIONS
from spendguard_cli.watch.subject import Subject
from spendguard_cli.watch.widgets.lines import LineTable
from spendguard_daemon import wire
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.feed_wire import Event, Progress
from views_kit import opened, text_of

PLACES = {section.name: place for place, section in enumerate(SECTIONS)}


class FakeControl:
    """A sidecar that knows one run and one key of an agent; it tells on which thread it was asked.

    `done` is what was done to the agent, None for one of an older version, which has no such answer; `wait`
    holds back the next answer until it is set.
    """

    def __init__(self, error: SpendGuardError | None = None) -> None:
        self.error, self.threads = error, set[threading.Thread]()
        self.done: wire.Deeds | None = wire.Deeds(deeds=[], whole=False)
        self.asked = 0
        self.wait: threading.Event | None = None

    def control(self) -> "FakeControl":
        """Be the desk as well."""
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close nothing."""

    def runs(self, agent_id: str) -> list[wire.Run]:
        """Return its runs."""
        self.threads.add(threading.current_thread())
        if self.error:
            raise self.error
        return [
            wire.Run(run_id="nightly-7", calls=12, cost_usd="0.125", created_at=at(-900), last_seen_at=at(-5))
        ]

    def deeds(self, agent_id: str) -> wire.Deeds:
        """Return what was done to it when it was asked."""
        done, wait, self.wait = self.done, self.wait, None
        self.asked += 1
        if wait is not None:
            wait.wait(20)
        if done is None:
            raise SpendGuardError(Code.ROUTE_NOT_FOUND, "Route not found: no such path")
        return done

    def keys(self, agent_id: str) -> list[wire.AgentKey]:
        """Return its keys."""
        return [
            wire.AgentKey(
                key_id="k1",
                agent_id=agent_id,
                parent_id=None,
                kind="agent",
                label="ci",
                limit_usd="5",
                remaining_usd="4.5",
                settled_usd="0.5",
                held_usd="0",
                expires_at=at(7200),
                models=["openai/*"],
                run_id=None,
                created_at=at(-600),
                revoked=False,
                expired=False,
            )
        ]


async def test_the_money_and_the_pace() -> None:
    """The top tells all sums exactly, the pace of the last minute and 15, and for how long it lasts."""
    async with opened(AgentView(uuid(2)), size=(100, 30)) as (app, _):
        told = text_of(app)
    assert "spending  3 in flight, shared" in told
    assert "left $60, free $58.75, held $1.25, settled $40, granted $100, limit $100" in told
    assert "burns $1.20/min now, $0.75/min over 15 min; lasts 50 min" in told


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (5, "FROZEN: loops at night"),
        (7, "overdrawn by $0.5"),
        (8, "no budget yet: every call is refused"),
        (3, "locked by run nightly-7"),
    ],
)
async def test_its_state_in_words(number: int, said: str) -> None:
    """What is wrong is written, not only coloured."""
    async with opened(AgentView(uuid(number))) as (app, _):
        assert said in text_of(app)


async def test_calls_in_flight() -> None:
    """Each says its age, its hold, the money and tokens so far; the pane tells the rest."""
    view = AgentView(uuid(3))
    async with opened(view, size=(100, 30)) as (app, pilot):
        told = text_of(app)
        assert "310+" in told
        assert "$0.0021" in told
        assert "CUT IN" in told
        assert "58m45s" in told
        assert "is cut at the latest in 58 min 45 s" in told
        assert view.subject() == Subject(uuid(3), uuid(1075))
        later = Progress(
            call_id=uuid(1075),
            agent_id=uuid(3),
            output_tokens=400,
            cost_usd="0.003",
            idle_seconds=70,
            attached=False,
        )
        app.board.hear(Happened((Event(seq=101, at=at(1), kind="progress", progress=[later]),)), 0.0)
        app.redraw()
        await pilot.pause()
        told = text_of(app)
    assert "so far $0.003, output tokens 400+" in told
    assert "its client has left; the provider is silent for 1 min 10 s" in told


@pytest.mark.parametrize("width", [60, 80, 160])
async def test_age_and_deadline_of_each_call_at_every_width(width: int) -> None:
    """Also where other columns give way; of a waiting call it is when it is refused, and no guess is made."""
    shown = snapshot()
    calls = [msgspec.structs.replace(shown.calls[0], agent_id=uuid(6), expires_at=None), *shown.calls[1:]]
    async with opened(AgentView(uuid(6)), msgspec.structs.replace(shown, calls=calls), size=(width, 24)) as (
        app,
        _,
    ):
        lines = text_of(app).splitlines()
    head = next(line for line in lines if "AGE" in line)
    ages, ends = head.index("AGE") + 3, head.index("CUT IN") + 6
    waits, flies = lines[lines.index(head) + 1 : lines.index(head) + 3]
    assert [waits[:ages].split()[-1], waits[ages:ends].strip()] == ["20s", "4m40s"]
    assert waits[ends:].split()[:2] == ["waits", "-"]  # it holds nothing yet
    assert flies[ages:ends].strip() == "-"


async def test_sections_by_key_and_mouse() -> None:
    """Tab, the arrows and a click change the section; the cursor stands where it stood in each."""
    view = AgentView(uuid(2))
    async with opened(view, size=(100, 30)) as (app, pilot):
        await pilot.press("down", "tab")
        await pilot.pause()
        assert view.section.name == "calls"
        assert "paid, 14 s ago, answered 200" in text_of(app)
        assert "input: 1000 tokens at $0.15 for 1M tokens = $0.00015" in text_of(app)
        await pilot.press("left")
        await pilot.pause()
        assert view.section.name == "in flight"
        assert view.subject() == Subject(uuid(2), uuid(1020))
        await pilot.press("right", "right")
        await pilot.pause()
        assert view.section.name == "failures"
        await pilot.press("shift+tab")
        await pilot.click("#tabs", offset=(3, 0))
        await pilot.pause()
        assert view.section.name == "in flight"


async def test_failures_have_their_remedy() -> None:
    """A failure says what doctor would."""
    view = AgentView(uuid(4))
    async with opened(view, size=(100, 40)) as (app, pilot):
        view.open(PLACES["failures"])
        await pilot.pause()
        told = text_of(app)
    assert "agent nearly-empty needs $0.75 more; press t to top it up" in told
    assert "spendguard budget topup --agent nearly-empty --amount 75" in told


async def test_a_waiting_call_stands_among_those_in_flight() -> None:
    """It is marked as waiting, and so is what keys act upon."""
    view = AgentView(uuid(6))
    async with opened(view, size=(100, 30)) as (app, _):
        assert "a call of waiting waits: Insufficient budget" in text_of(app)
        assert view.subject() == Subject(uuid(6), uuid(2020), waiting=True)


async def test_runs_and_keys_are_asked_for() -> None:
    """They come from the sidecar, asked off the loop."""
    desk, view = FakeControl(), AgentView(uuid(2))
    async with opened(view, size=(100, 30), desk=desk) as (app, pilot):
        await app.workers.wait_for_complete()
        await pilot.pause()
        view.open(PLACES["runs"])
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "nightly-7" in text_of(app)
        assert "$0.125" in text_of(app)
        view.open(PLACES["keys"])
        await app.workers.wait_for_complete()
        await pilot.pause()
        told = text_of(app)
    assert "ci" in told
    assert "settled $0.5, held $0; limit $5" in told
    assert threading.main_thread() not in desk.threads


async def test_who_only_looks_is_told_runs_keys_and_history_too() -> None:
    """The sidecar is asked, which changes nothing; no key that acts is in the foot or is advised."""
    desk, view = FakeControl(), AgentView(uuid(6))
    async with opened(view, size=(100, 30), desk=desk, read_only=True) as (app, pilot):
        await app.workers.wait_for_complete()
        await pilot.press("t")
        await pilot.pause()
        told = text_of(app)
        assert app.screen is view
        assert "a place to look only" in "".join(one.message for one in app._notifications)
        assert "top up" not in told.splitlines()[-1]
        assert "press" not in told
        view.open(PLACES["runs"])
        await pilot.pause()
        assert "nightly-7" in text_of(app)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"frozen_reason": "loops"}, "-> press u to unfreeze it"),
        (
            {"hard_limit_usd": None, "remaining_usd": None, "available_usd": None},
            "-> press l to give it a bud",
        ),
        ({"remaining_usd": "0", "available_usd": "0"}, "-> press t to top it up"),
        ({"remaining_usd": "-1.5", "available_usd": "-1.5"}, "-> press t to top it up"),
    ],
)
async def test_an_agent_that_stands_still_says_what_to_press(change: dict[str, object], said: str) -> None:
    """On the smallest screen too; not where one only looks, nor of an agent that is well."""
    world = snapshot()
    still = [
        msgspec.structs.replace(one, money=msgspec.structs.replace(one.money, **change))
        if one.agent.agent_id == uuid(1)
        else one
        for one in world.agents
    ]
    for read_only in (False, True):
        async with opened(
            AgentView(uuid(1)),
            msgspec.structs.replace(world, agents=still),
            size=(60, 20),
            read_only=read_only,
        ) as (app, _):
            assert (said in text_of(app)) is not read_only
    async with opened(AgentView(uuid(1)), size=(60, 20)) as (app, _):
        assert "-> press" not in text_of(app)


async def test_a_deed_that_its_line_cuts_is_told_whole() -> None:
    """By whom, when, and all that was done."""
    view = AgentView(uuid(1))
    granted = msgspec.structs.replace(GRANTED, actor="watch")
    desk = FakeControl()
    desk.done = wire.Deeds(deeds=[granted, MADE], whole=True)
    async with opened(view, size=(60, 20), desk=desk) as (app, pilot):
        await app.workers.wait_for_complete()
        view.open(PLACES["history"])
        await pilot.pause()
        lines = [line.strip() for line in text_of(app).splitlines()]
    assert any(line.startswith("watch, ") and line.endswith("Z") for line in lines)
    assert "WHAT" in next(line for line in lines if line.startswith("AT"))
    assert "…" not in next(line for line in lines if line.startswith("AT"))


async def test_a_call_that_named_no_model_has_no_colon_in_front() -> None:
    """What was refused before its model was read begins with what became of it."""
    refused = call(1, 2, "refused", code="mock_only", provider="", model="")
    view = AgentView(uuid(2))
    async with opened(view, msgspec.structs.replace(snapshot(), ended=[refused]), size=(100, 30)) as (
        app,
        pilot,
    ):
        view.open(PLACES["calls"])
        await pilot.pause()
        lines = text_of(app).splitlines()
    assert any(line.strip(" │").startswith("refused: mock_only, ") for line in lines)


async def test_a_sidecar_that_does_not_answer() -> None:
    """Its error is told in place of what is not known."""
    desk, view = FakeControl(SpendGuardError(Code.NO_DAEMON, "nobody answers")), AgentView(uuid(2))
    async with opened(view, desk=desk) as (app, pilot):
        view.open(PLACES["runs"])
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "not known: " in text_of(app)
        assert "nobody answers" in text_of(app)


@pytest.mark.parametrize(
    ("past", "said"), [(True, "the past does not tell them"), (False, "cannot be asked")]
)
async def test_runs_that_are_not_known(past: bool, said: str) -> None:
    """In the past, or with nobody to ask, it says that they are not known."""
    view = AgentView(uuid(2))
    async with opened(view, past=past) as (app, pilot):
        view.open(PLACES["keys"])
        await pilot.pause()
        assert f"not known: {said}" in text_of(app).replace("the sidecar ", "")


MADE = wire.Deed(at=at(-90_000), kind="made", actor="cli")
GRANTED = wire.Deed(
    at=at(-86_400),
    kind="budget",
    actor="anna",
    hard_limit_usd="10",
    granted_usd="4",
    ignored_usd="0",
    taken_usd="0",
)


async def test_what_was_done_before_is_asked_for() -> None:
    """Also what was done long before watch was opened; how far back it goes is said."""
    desk, view = FakeControl(), AgentView(uuid(1))
    desk.done = wire.Deeds(deeds=[GRANTED, MADE], whole=True)
    async with opened(view, size=(120, 30), desk=desk) as (app, pilot):
        await app.workers.wait_for_complete()
        view.open(PLACES["history"])
        await pilot.pause()
        shown = text_of(app)
        assert "[history 2]" in shown
        assert "2026-11-29 03:12:00Z" in shown
        assert "anna" in shown
        assert "set the limit to $10, granted $4" in shown
        assert "made it" in shown
        assert desk.asked == 1
        desk.done = wire.Deeds(deeds=[GRANTED], whole=False)
        app.board.hear(Snapped(snapshot()), 0.0)  # it may have missed something
        app.redraw()
        await app.workers.wait_for_complete()
        await pilot.pause()
        shown = text_of(app)
    assert "[history 1]" in shown
    assert "the limit is $10, granted $4" in shown
    assert "this is all since 2026-11-29 03:12:00Z; what was done before is not at hand" in shown
    assert desk.asked == 2


async def test_a_sidecar_of_before() -> None:
    """One that cannot tell what was done tells its runs and keys all the same, and what to do is said."""
    desk, view = FakeControl(), AgentView(uuid(1))
    desk.done = None
    async with opened(view, size=(120, 30), desk=desk) as (app, pilot):
        await app.workers.wait_for_complete()
        view.open(PLACES["history"])
        await pilot.pause()
        assert "before watch was opened: the sidecar is older: spendguard restart" in text_of(app)
        view.open(PLACES["runs"])
        await pilot.pause()
        assert "nightly-7" in text_of(app)


async def test_what_is_done_while_one_looks() -> None:
    """It is asked for again once something was done; the answer to an earlier question says nothing then."""
    desk, view = FakeControl(), AgentView(uuid(1))
    desk.done = wire.Deeds(deeds=[MADE], whole=True)
    desk.wait = first = threading.Event()
    async with opened(view, size=(120, 30), desk=desk) as (app, pilot):
        view.open(PLACES["history"])
        await pilot.pause()
        assert "what was done before watch was opened: asking the sidecar" in text_of(app)
        assert "[history ?]" in text_of(app)
        desk.done = wire.Deeds(deeds=[GRANTED, MADE], whole=True)
        given = money("20", "2.5", funded_usd="15", remaining_usd="12.5", available_usd="12.5")
        event = Event(seq=101, at=at(1), kind="agent", agent_id=uuid(1), money=given, actor="anna")
        app.board.hear(Happened((event,)), 0.0)
        app.redraw()
        await pilot.pause()
        while desk.asked < 2 or "made it" not in text_of(app):
            await pilot.pause(0.02)
        first.set()
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "[history 2]" in text_of(app)
        app.redraw()
        await app.workers.wait_for_complete()
        assert desk.asked == 2
        app.board.hear(Away("gone"), 0.0)
        app.board.hear(Happened(()), 0.0)
        app.redraw()
        await app.workers.wait_for_complete()
        assert desk.asked == 2
        app.board.hear(Away("gone"), 0.0)
        view.draw()
        app.board.hear(Happened(()), 0.0)
        view.draw()
        await app.workers.wait_for_complete()
        assert desk.asked == 3


async def test_what_was_done_is_told_by_the_feed_where_nobody_can_be_asked() -> None:
    """Grants, limits and freezes appear with who did them, and that there was more before."""
    view = AgentView(uuid(1))
    async with opened(view, size=(120, 30)) as (app, pilot):
        given = money("20", "2.5", funded_usd="15", remaining_usd="12.5", available_usd="12.5")
        frozen = msgspec.structs.replace(given, frozen_reason="enough")
        told = (
            Event(seq=101, at=at(1), kind="agent", agent_id=uuid(1), money=given, actor="watch"),
            Event(seq=102, at=at(2), kind="agent", agent_id=uuid(1), money=frozen, actor="cli"),
        )
        app.board.hear(Happened(told), 0.0)
        view.open(PLACES["history"])
        await pilot.pause()
        shown = text_of(app)
        assert "set the limit to $20, it was $10, granted $5.00" in shown
        assert "froze it: enough" in shown
        assert "watch" in shown
        assert "[history 2]" in shown
        assert "what was done before watch was opened: not known: the sidecar cannot be asked" in shown
        assert view.subject() == Subject(uuid(1))


async def test_what_was_done_in_the_past() -> None:
    """It comes with the moment that is shown, and goes with it; where there was more it says so."""
    view = AgentView(uuid(1))
    async with opened(view, size=(120, 30), past=True) as (app, pilot):
        view.open(PLACES["history"])
        await pilot.pause()
        assert "what was done before is not at hand" in text_of(app)
        app.board.hear(Happened((), {uuid(1): wire.Deeds(deeds=[GRANTED, MADE], whole=True)}), 0.0)
        view.draw()
        await pilot.pause()
        assert "set the limit to $10, granted $4" in text_of(app)
        assert "not at hand" not in text_of(app)
        app.board.hear(Snapped(snapshot(), {uuid(1): wire.Deeds(deeds=[MADE], whole=True)}), 0.0)
        app.board.hear(Happened(()), 0.0)
        view.draw()
        await pilot.pause()
        assert "granted $4" not in text_of(app)
        assert "made it" in text_of(app)


async def test_an_agent_that_is_deleted() -> None:
    """It says so, and keeps what is known of its calls."""
    view = AgentView(uuid(2))
    async with opened(view) as (app, pilot):
        gone = Event(seq=101, at=at(1), kind="agent", agent_id=uuid(2), deleted=True)
        app.board.hear(Happened((gone,)), 0.0)
        view.open(PLACES["calls"])
        await pilot.pause()
        assert "this agent is not there any more" in text_of(app)
        assert "gpt-4o-mini" in text_of(app)


async def test_calls_end_while_one_looks() -> None:
    """A call that ends leaves the flights and stands on top of the calls."""
    view = AgentView(uuid(2))
    async with opened(view, size=(100, 30)) as (app, pilot):
        done = Event(
            seq=101,
            at=at(1),
            kind="end",
            agent_id=uuid(2),
            call=call(5, 2, "settled", cost_usd="0.01"),
            money=money("100", "40.01", "1.2", calls_in_flight=2),
        )
        app.board.hear(Happened((done,)), 0.0)
        app.redraw()
        await pilot.pause()
        assert uuid(1005) not in view.query_one(LineTable).keys
        view.open(PLACES["calls"])
        await pilot.pause()
        assert view.query_one(LineTable).keys[0] == uuid(1005)


async def test_hostile_names() -> None:
    """No name steers the terminal or breaks a line, in any section."""
    view = AgentView(agent(1, "x").agent_id)
    async with opened(view, hostile(), size=(100, 40)) as (app, pilot):
        for place in range(len(SECTIONS)):
            view.open(place)
            for key in ("home", "down", "down", "end"):
                await pilot.press(key)
                await pilot.pause()
                told = text_of(app)
                assert not {"\x1b", "\u202e", "\x07"} & set(told)
        assert "[red]" in told


@pytest.mark.parametrize("section", ["in flight", "calls", "failures"])
async def test_looks(section: str, request: pytest.FixtureRequest) -> None:
    """It looks as it did, at every size and in both colours."""
    view = AgentView(uuid(2))
    async with opened(view, size=SIZES[0]) as (app, pilot):
        view.open(PLACES[section])
        await check_looks(app, pilot, f"agent-{section.replace(' ', '-')}-{{0}}-{{2}}", request)
