"""Every action, by its keys, against a real sidecar and a provider that waits: asked and done once, told."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from textual.widgets import Input

from acting_stage import BODY, Watching, watching
from looks import look
from recorded import RecordedUpstream
from sidecar import Sidecar
from spendguard_cli.watch.acting import begin
from spendguard_cli.watch.modals import Ask, Explained
from spendguard_cli.watch.screens.view import View
from spendguard_cli.watch.subject import Subject

WAIT = "x-spendguard-wait"


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    """A provider."""
    with RecordedUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """A daemon; each test has agents of its own."""
    with Sidecar(tmp_path_factory.mktemp("acting") / "home", upstream.base_url) as sidecar:
        yield sidecar


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    """Callers beside the test."""
    with ThreadPoolExecutor(8) as pool:
        yield pool


@pytest.fixture
def held(upstream: RecordedUpstream) -> Iterator[RecordedUpstream]:
    """A provider that answers nothing until the test is over."""
    upstream.hold_open()
    yield upstream
    upstream.release()


async def in_flight(seat: Watching, agent_id: str) -> str:
    """Return the id of the agent's call in flight, once it is on the board."""
    flights = seat.app.board.flights
    return await seat.seen(
        lambda: next((key for key, one in flights.items() if one.call.agent_id == agent_id), "")
    )


def spend(sidecar: Sidecar, agent_id: str, pool: ThreadPoolExecutor, **more: str) -> Future[httpx.Response]:
    """Make a call on a thread."""
    return pool.submit(lambda: sidecar.chat(agent_id, BODY, **more))


async def test_top_up_by_its_keys(sidecar: Sidecar) -> None:
    """t asks; the sum is reckoned as one types; Enter does it once, however often it is pressed."""
    agent = sidecar.agent(cents=None, name="poor")
    sidecar.control("POST", f"/v1/agents/{agent}/budget", {"hard_limit_cents": 1000, "topup_cents": 250})
    async with watching(sidecar, agent) as seat:
        await seat.point(agent)
        await seat.press("t")
        await seat.seen(lambda: isinstance(seat.app.screen, Ask))
        await seat.pilot.pause()
        assert "adds $5.00 to poor: it then has $7.50 left of a limit of $10.00" in seat.says()
        seat.app.screen.query_one(Input).value = "$9"
        await seat.pilot.pause()
        assert "adds $7.50 to poor: it then has $10.00 left" in seat.says()
        assert "$1.50 of it is ignored" in seat.says()
        seat.app.screen.query_one(Input).value = "$1"
        await seat.press("enter", "enter", "enter")
        assert await seat.told("poor: topped up by $1.00, $3.50 left")
        await seat.seen(lambda: seat.app.board.rows[agent].money.remaining_usd == "3.50")
        assert sidecar.budget(agent)["remaining_usd"] == "3.50"
        (record,) = seat.records("budget_set", agent_id=agent, actor="watch")
        assert record["applied_nusd"] == 10**9
        assert record["idempotency"]["key"].startswith("watch-")


async def test_the_same_deed_twice_is_told_twice(sidecar: Sidecar) -> None:
    """Equal words of another agent name it; equal words of the same one say that it was done again."""
    twins = [sidecar.agent(cents=None, name=name) for name in ("left", "right")]
    for agent in twins:
        sidecar.control("POST", f"/v1/agents/{agent}/budget", {"hard_limit_cents": 1000, "topup_cents": 250})
    async with watching(sidecar, *twins) as seat:
        for agent, name in zip(twins, ("left", "right"), strict=True):
            question = await seat.ask("topup", Subject(agent))
            question.query_one(Input).value = "$5"
            await seat.press("enter")
            assert await seat.told(f"{name}: topped up by $5.00, $7.50 left")
        for name, words in (
            ("freeze", "left is frozen: "),
            ("unfreeze", "left is frozen no more"),
            ("freeze", " (2 times)"),
        ):
            is_frozen = name == "unfreeze"
            await seat.seen(lambda so=is_frozen: seat.app.board.rows[twins[0]].agent.frozen == so)  # type: ignore[misc]
            await seat.ask(name, Subject(twins[0]))
            await seat.pilot.click("#yes")
            assert await seat.told(words)


async def test_escape_does_nothing(sidecar: Sidecar) -> None:
    """Escape, and the other button, leave everything as it was; what is no amount is not sent either."""
    agent = sidecar.agent(cents=1000)
    async with watching(sidecar, agent) as seat:
        for name in ("topup", "limit", "freeze"):
            await seat.ask(name, Subject(agent))
            await seat.press("escape")
            assert isinstance(seat.app.screen, View)
        await seat.ask("limit", Subject(agent))
        seat.app.screen.query_one(Input).value = "12.5"
        await seat.press("enter")
        assert "could mean dollars or cents" in seat.says()
        assert isinstance(seat.app.screen, Ask)
        await seat.pilot.click("#no")
        await seat.pilot.pause()
        assert isinstance(seat.app.screen, View)
        assert seat.toasts() == []
    assert [
        one for one in sidecar.journal() if one.get("actor") == "watch" and one["agent_id"] == agent
    ] == []


async def test_set_the_limit(sidecar: Sidecar) -> None:
    """A first one grants all of it; a lower one says what it takes, and takes that."""
    agent = sidecar.agent(cents=None, name="limited")
    async with watching(sidecar, agent) as seat:
        await seat.ask("limit", Subject(agent))
        seat.app.screen.query_one(Input).value = "2000"
        await seat.pilot.pause()
        assert "a limit of $20.00, all of it granted; it then has $20.00 left" in seat.says()
        await seat.press("enter")
        await seat.told("limited: the hard limit is $20.00, topped up by $20.00, $20.00 left")
        await seat.seen(lambda: seat.app.board.rows[agent].money.remaining_usd == "20.00")
        await seat.ask("limit", Subject(agent))
        seat.app.screen.query_one(Input).value = "$5"
        await seat.pilot.pause()
        assert "it has $20.00 left: $15.00 of that is taken away, it then has $5.00 left" in seat.says()
        await seat.press("enter")
        await seat.told("the hard limit is $5.00, $5.00 left")
        assert sidecar.budget(agent)["remaining_usd"] == "5.00"
        assert len(seat.records("budget_set", agent_id=agent, actor="watch")) == 2


async def test_freeze_and_unfreeze(
    sidecar: Sidecar, held: RecordedUpstream, pool: ThreadPoolExecutor
) -> None:
    """Enter once freezes nobody, twice does; what is in flight goes on; u lets the agent call again."""
    agent = sidecar.agent(cents=1000, name="loops")
    answer = spend(sidecar, agent, pool)
    async with watching(sidecar, agent) as seat:
        await in_flight(seat, agent)
        await seat.ask("freeze", Subject(agent))
        assert "1 call in flight goes on and settles" in seat.says()
        seat.app.screen.query_one(Input).value = "loops at night"
        await seat.press("enter")
        assert isinstance(seat.app.screen, Ask)
        assert seat.app.board.rows[agent].money.frozen_reason is None
        await seat.press("enter")
        await seat.told("loops is frozen: loops at night")
        await seat.seen(lambda: seat.app.board.rows[agent].money.frozen_reason)
        assert (await seat.done(lambda: sidecar.chat(agent, BODY))).status_code != 200
        begin(seat.app, "freeze", Subject(agent))
        await seat.told("is frozen already: loops at night (key u unfreezes it)")
        await seat.ask("unfreeze", Subject(agent))
        assert "it was frozen for: loops at night" in seat.says()
        await seat.press("enter")
        await seat.told("loops is frozen no more")
        held.release()
        assert (await seat.done(lambda: answer.result(20))).status_code == 200
        for kind in ("freeze", "unfreeze"):
            assert seat.records(kind, agent_id=agent, actor="watch")


async def test_abort(sidecar: Sidecar, held: RecordedUpstream, pool: ThreadPoolExecutor) -> None:
    """The safe button has the focus; y cuts the call, which is charged at its hold, as was said."""
    agent = sidecar.agent(cents=1000, name="cut")
    answer = spend(sidecar, agent, pool)
    async with watching(sidecar, agent) as seat:
        call_id = await in_flight(seat, agent)
        hold_usd = seat.app.board.flights[call_id].call.hold_usd
        await seat.done(lambda: held.wait_arrived(1))
        await seat.ask("abort", Subject(agent, call_id))
        assert f"charged at its hold, ${hold_usd}" in seat.says()
        await seat.press("enter")
        assert sidecar.calls(agent)[0]["state"] == "held"
        await seat.point(agent)
        await seat.press("x")
        await seat.seen(lambda: isinstance(seat.app.screen, Ask))
        await seat.pilot.pause()
        await seat.press("y", "y")
        await seat.told(f"cut: charged at its hold, ${hold_usd}")
        assert (await seat.done(lambda: answer.result(20))).status_code == 502
        assert sidecar.calls(agent)[0]["cost_usd"] == hold_usd
        assert seat.records("settle_worst", call_id=call_id, reason="aborted by watch")
        await seat.seen(lambda: call_id in seat.app.board.ended)
        begin(seat.app, "abort", Subject(agent, call_id))
        await seat.told("This call has ended")


async def test_confirm_what_was_cut(
    sidecar: Sidecar, held: RecordedUpstream, pool: ThreadPoolExecutor
) -> None:
    """What was charged at a bound is set to the bill; the difference goes back, as was said."""
    agent = sidecar.agent(cents=1000, name="billed")
    spend(sidecar, agent, pool)
    async with watching(sidecar, agent) as seat:
        call_id = await in_flight(seat, agent)
        await seat.done(lambda: sidecar.control("POST", f"/v1/calls/{call_id}/abort"))
        await seat.seen(lambda: call_id in seat.app.board.ended)
        await seat.ask("confirm", Subject(agent, call_id))
        assert "and counts as confirmed" in seat.says()
        seat.app.screen.query_one(Input).value = "0.0001"
        await seat.pilot.pause()
        assert "it is then charged $0.0001" in seat.says()
        assert "billed then has $9.9999 left" in seat.says()
        await seat.press("enter")
        await seat.told("confirmed: the call was charged $0.0001")
        assert sidecar.budget(agent)["remaining_usd"] == "9.9999"
        assert seat.records("adjust", call_id=call_id, actor="watch")


@pytest.mark.parametrize("limit_cents", [1000, 1, None])
async def test_let_a_waiting_call_through(
    sidecar: Sidecar, pool: ThreadPoolExecutor, limit_cents: int | None
) -> None:
    """Exactly what is lacking is added, where need be the limit raised or set; the call gets its answer."""
    agent = sidecar.agent(cents=None, name="waits")
    if limit_cents is not None:
        grant = {"hard_limit_cents": limit_cents, "topup_cents": 0}
        sidecar.control("POST", f"/v1/agents/{agent}/budget", grant)
        sidecar.control("POST", f"/v1/agents/{agent}/budget", {"hard_limit_cents": 0})
        sidecar.control("POST", f"/v1/agents/{agent}/budget", grant)
    body = BODY | {"max_tokens": 16_000, "n": 2}
    answer = pool.submit(lambda: sidecar.chat(agent, body, **{WAIT: "60"}))
    async with watching(sidecar, agent) as seat:
        (waits,) = await seat.seen(lambda: seat.app.board.rows[agent].waiting)
        await seat.ask("let", Subject(agent))
        said = seat.says()
        assert f"may cost ${waits.worst_case_usd}" in said
        assert ("raises the hard limit" in said) == (limit_cents == 1)
        assert ("its first budget" in said) == (limit_cents is None)
        await seat.press("enter")
        assert (await seat.done(lambda: answer.result(30))).status_code == 200
        (record,) = seat.records("budget_set", agent_id=agent, actor="watch")
        assert record["applied_nusd"] == (waits.lacking_cents or 0) * 10**7
        await seat.seen(lambda: not seat.app.board.rows[agent].waiting)
        begin(seat.app, "let", Subject(agent, waits.call_id, waiting=True))
        await seat.told("does not wait any more")


async def test_what_was_done_before_and_while_one_looks(sidecar: Sidecar) -> None:
    """The history of an agent goes back to its making, and what anybody does to it appears there."""
    agent = sidecar.agent(cents=1000, name="old")
    path = f"/v1/agents/{agent}"
    sidecar.control("PATCH", path, {"frozen": True, "reason": "loops"})
    sidecar.control("PATCH", path, {"frozen": False})
    async with watching(sidecar, agent, size=(120, 30)) as seat:
        seat.app.open_agent(agent)
        await seat.press("shift+tab")
        await seat.seen(lambda: "[history 4]" in look(seat.app))
        for said in ("made it", "set the limit to $10.00, granted $10.00", "froze it: loops", "unfroze it"):
            assert said in look(seat.app)
        await seat.done(lambda: sidecar.control("POST", f"{path}/budget", {"hard_limit_cents": 300}))
        await seat.seen(lambda: "[history 5]" in look(seat.app))
        assert "set the limit to $3.00, it was $10.00, took back $7.00" in look(seat.app)


async def test_copy_and_explain(sidecar: Sidecar) -> None:
    """y copies the id; e tells the life of the call, with its sums, in a pane that Escape closes."""
    agent = sidecar.agent(cents=1000, name="told")
    call_id = sidecar.call_of(sidecar.chat(agent, BODY))["call_id"]
    async with watching(sidecar, agent) as seat:
        begin(seat.app, "copy", Subject(agent, call_id))
        await seat.told(f"copied: {call_id}")
        assert seat.app.clipboard == call_id
        begin(seat.app, "explain", Subject(agent, call_id))
        await seat.seen(lambda: isinstance(seat.app.screen, Explained))
        assert isinstance(seat.app.screen, Explained)
        await seat.press("escape")
        begin(seat.app, "explain", Subject(agent))
        await seat.told("The cursor stands on no call")


async def test_what_is_gone_or_away(tmp_path: Path) -> None:
    """A deleted agent, and a sidecar that is away, are said; nothing is done then, or later."""
    with Sidecar(tmp_path / "home") as sidecar:
        agent, other = sidecar.agent(cents=1000), sidecar.agent(cents=1000)
        async with watching(sidecar, agent, other) as seat:
            await seat.ask("topup", Subject(agent))
            await seat.done(lambda: sidecar.control("DELETE", f"/v1/agents/{agent}"))
            await seat.seen(lambda: agent not in seat.app.board.rows)
            await seat.seen(lambda: "This agent is gone" in seat.says())
            await seat.press("enter")
            assert isinstance(seat.app.screen, Ask)
            await seat.press("escape")
            begin(seat.app, "topup", Subject(agent))
            await seat.told("This agent is gone")
            await seat.ask("topup", Subject(other))
            sidecar.kill()
            await seat.press("enter")
            await seat.seen(seat.toasts)
            begin(seat.app, "freeze", Subject(other))
            sidecar.start()
            assert sidecar.budget(other)["remaining_usd"] == "10.00"
            assert seat.records("budget_set", actor="watch") == []


async def test_let_a_call_through_the_cap_by_its_keys(
    tmp_path: Path, upstream: RecordedUpstream, pool: ThreadPoolExecutor
) -> None:
    """Where the cap above all agents is in the way, w raises it as needed; the call gets its answer."""
    with Sidecar(tmp_path / "home", upstream.base_url) as sidecar:
        agent = sidecar.agent(cents=1000, name="capped")
        sidecar.control("POST", "/v1/daemon/budget", {"hard_limit_cents": 0, "topup_cents": 0})
        answer = pool.submit(lambda: sidecar.chat(agent, BODY, **{WAIT: "60"}))
        async with watching(sidecar, agent) as seat:
            await seat.seen(lambda: seat.app.board.rows[agent].waiting)
            await seat.point(agent)
            await seat.press("w")
            await seat.seen(lambda: isinstance(seat.app.screen, Ask))
            await seat.pilot.pause()
            assert "raises the cap above all agents from $0.00 to $0.01" in seat.says()
            await seat.press("enter")
            await seat.told("the cap above all agents is $0.01")
            assert (await seat.done(lambda: answer.result(30))).status_code == 200
            assert seat.records("daemon_limit_set", actor="watch")
