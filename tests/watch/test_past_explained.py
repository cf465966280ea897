"""A call of the past, explained: by the journal alone, and by nothing that was written later."""

import asyncio
import tempfile
import threading
from collections.abc import Callable
from datetime import UTC
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_kit import AGENT, grant, hold_call, new_agent, open_ledger
from looks import look
from pasts import history_of, put, read
from sim import SimClock, SimDisk
from spendguard_cli.explain.life import Life, amount
from spendguard_cli.explain.story import Story
from spendguard_cli.ledger import past as past_module
from spendguard_cli.ledger.past import Past
from spendguard_cli.ledger.told import snapshot
from spendguard_cli.watch.board import Board
from spendguard_cli.watch.modals import Explained
from spendguard_cli.watch.past_app import PastApp
from spendguard_cli.watch.replay import Player, Replay
from spendguard_cli.watch.stories import CUT_OFF, Then, past_story
from spendguard_daemon.ledger import commands as cmd
from told_ledger import told_ledger
from until import until

SECOND = 10**9
FIRST_NS = SimClock().wall


async def seen(look: Callable[[], object]) -> None:
    """Wait for what the player brings about, while the program runs."""
    await asyncio.to_thread(until, look)


def told_at(past: Past, at_ns: int, call_id: str) -> Story | None:
    """Tell a call as the program does that stands still at a moment."""
    player, board = Player(past, at_ns), Board(link="past")
    for message in player.turn(0.0):
        board.hear(message, 0.0)
    then = Then.of(board, player.at_seconds)
    known = {key: one.call for key, one in board.flights.items()} | board.ended
    life, damage = player.life(call_id, then.seq)
    return past_story(then, life, known.get(call_id), "", damage)


def steps(story: Story | None) -> list[str]:
    """Return the names of its steps."""
    assert story is not None
    return [step.step for step in story.steps]


def said(story: Story | None, step: str) -> str:
    """Return all that a step says."""
    assert story is not None
    return " ".join(" ".join([one.said, *one.more]) for one in story.steps if one.step == step)


@pytest.fixture
def past(tmp_path: Path) -> Past:
    """Return a past of one call: held at 10 s, sent at 11, at worst at 20, set to its bill at 30."""
    disk, clock = SimDisk(), SimClock()
    ledger = open_ledger(disk, clock)
    ledger.post(new_agent(name="then"))
    ledger.post(grant(100_000))
    for after_seconds, command in (
        (10, hold_call("c1")),
        (1, cmd.MarkSent("c1", ["max_tokens: none -> 10"])),
        (9, cmd.SettleAtWorst("c1", "torn", 200)),
        (10, cmd.AdjustCall("c1", 500, "the bill of May", "anna")),
        (10, cmd.ChangeAgent(AGENT, "now", None, None, "test")),
    ):
        clock.advance(after_seconds)
        ledger.post(command)
    return put(disk, tmp_path / "ledger")


def test_what_was_known_then(past: Past) -> None:
    """In flight, it says for how long; its end is told once it had ended, its correction once it had one."""
    assert told_at(past, FIRST_NS + 9 * SECOND, "c1") is None
    held, sent, ended, adjusted = (
        told_at(past, FIRST_NS + seconds * SECOND, "c1") for seconds in (10, 15, 25, 45)
    )
    assert steps(held) == ["asked", "bound", "price", "held", "in_flight"]
    assert steps(sent) == ["asked", "bound", "price", "held", "changed", "sent", "in_flight"]
    assert "Held for 5 s." in said(sent, "in_flight")
    assert "Still in flight" in said(sent, "in_flight")
    assert "input: 0.15 USD per 1M tokens" in said(sent, "price")
    assert "Before: $0.0001 granted" in said(sent, "held")
    assert steps(ended)[-1] == "settled_worst"
    assert "It stays so until a person corrects it" in said(ended, "settled_worst")
    assert (ended and ended.cost_usd, adjusted and adjusted.cost_usd) == ("0.000001", "0.0000005")
    assert "Adjusted by anna from $0.000001 to $0.0000005: the bill of May." in said(adjusted, "adjusted")
    for story in (held, sent, ended, adjusted):
        assert story is not None
        assert (story.sources, story.damage, story.notes) == (["journal"], [], [])
        assert not any(step.commands for step in story.steps)
    assert [story and story.agent_name for story in (ended, adjusted)] == ["then", "now"]


def test_no_sidecar_was_up_then(tmp_path: Path) -> None:
    """Where the journal says that it had stopped, a call that is open then is not in flight."""
    disk, clock = SimDisk(), SimClock()
    ledger = open_ledger(disk, clock)
    ledger.post(new_agent())
    ledger.post(grant(100_000))
    ledger.post(hold_call("c1"))
    asyncio.run(ledger.close("stopped"))
    story = told_at(put(disk, tmp_path / "ledger"), clock.wall, "c1")
    assert "no sidecar is running" in said(story, "in_flight")


@given(seed=st.integers(0, 10_000), apart=st.sampled_from([1_000, 7]))
@settings(max_examples=6, deadline=None)
def test_a_story_is_of_the_moment_that_is_shown(seed: int, apart: int) -> None:
    """At each moment the journal tells of each call in sight its state and cost, and of no other call."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as home:
        patch.setattr(past_module, "MARK_RECORDS", apart)
        past = history_of(seed, Path(home) / "ledger")
        last = past.snapshot(past.last_ns or 0)
        everyone = {call.call_id for call in [*last.calls, *last.ended]}
        for number in range(0, past.records, 5):
            moment = past.after(number).moment
            told = snapshot(moment, moment.wall_ns)
            known = {call.call_id: call for call in [*told.calls, *told.ended]}
            for call_id, call in known.items():
                life, damage = past.life(call_id, moment.journal_seq)
                assert life is not None
                assert (life.state, damage) == (call.state, [])
                assert life.cost_nusd == (None if call.cost_usd is None else amount(call.cost_usd))
            for call_id in everyone - known.keys():
                assert past.life(call_id, moment.journal_seq)[0] is None


def test_of_every_kind(tmp_path: Path) -> None:
    """Calls that ended in every way, refused ones too, have their story; the ways out of now are not told."""
    told = told_ledger(tmp_path)
    past = read(told.home / "ledger")
    stories = {name: told_at(past, past.last_ns or 0, call_id) for name, call_id in told.ids.items()}
    for name in ("settled", "settled_worst", "voided", "overrun", "adjusted"):
        assert name in steps(stories[name])
    assert steps(stories["insufficient_budget"]) == ["asked", "worst_case", "refused", "fits", "charged"]
    assert stories["wrong"] is not None
    assert stories["wrong"].wrong


def test_where_its_first_records_were_taken_away(tmp_path: Path) -> None:
    """What the board knows of it is told then, and that the rest is not there."""
    told = told_ledger(tmp_path)
    for path in (told.home / "ledger" / "archive").iterdir():
        path.unlink()
    past = read(told.home / "ledger")
    shown = past.snapshot(past.last_ns or 0)
    assert told.ids["settled_worst"] in {one.call_id for one in shown.totals.unconfirmed}
    assert told_at(past, past.last_ns or 0, told.ids["settled_worst"]) is None
    call = shown.calls[0]
    story = past_story(Then(shown.seq, 0.0, True), None, call, "n", [])
    assert story is not None
    assert (story.state, story.notes) == ("held", [CUT_OFF])


async def test_by_its_key(past: Past) -> None:
    """e tells of the call under the cursor, as of the moment that is shown; a step on, it tells more."""
    app = PastApp(Replay(Player(past, FIRST_NS + 15 * SECOND)), zone=UTC)
    async with app.run_test(size=(100, 60), notifications=True) as pilot:
        await seen(lambda: AGENT in app.board.rows)
        app.open_agent(AGENT)
        await pilot.pause()
        await pilot.press("e")
        await seen(lambda: isinstance(app.screen, Explained))
        await pilot.pause()
        assert "Held for 5 s." in look(app)
        assert "input: 0.15 USD per 1M tokens" in look(app)
        await pilot.press("escape", "right_square_bracket")
        await seen(lambda: not app.board.flights)
        await pilot.press("tab", "e")
        await seen(lambda: isinstance(app.screen, Explained))
        await pilot.pause()
        assert "at worst: torn" in look(app)
        assert "the bill of May" not in look(app)


async def test_a_journal_that_is_gone(past: Past, tmp_path: Path) -> None:
    """Nothing is told in its place, and why is said."""
    app = PastApp(Replay(Player(past, FIRST_NS + 15 * SECOND)), zone=UTC)
    async with app.run_test(size=(100, 60), notifications=True) as pilot:
        await seen(lambda: AGENT in app.board.rows)
        app.open_agent(AGENT)
        await pilot.pause()
        (tmp_path / "ledger").rename(tmp_path / "elsewhere")
        await pilot.press("e")
        await seen(lambda: app._notifications)
        (toast,) = app._notifications
        assert toast.message.startswith("the journal cannot be read: [Errno 2] No such file")
        (tmp_path / "ledger").mkdir()
        (tmp_path / "ledger" / "seg-000000000001.jsonl").mkdir()
        await pilot.press("e")
        await seen(lambda: isinstance(app.screen, Explained))
        await pilot.pause()
        assert "cannot be read: Is a directory" in look(app)
        assert CUT_OFF not in look(app)


def test_the_end_of_a_story_in_play(past: Past) -> None:
    """While time goes on, a story is of what was posted, not of what the player has reached since."""
    player, board = Player(past, FIRST_NS + 15 * SECOND, playing=True), Board(link="past")
    for message in player.turn(0.0):
        board.hear(message, 0.0)
    shown_seq = board.seq
    player.turn(8.0)
    life, _ = player.life("c1", shown_seq)
    assert life is not None
    assert life.state == "held"
    for _ in range(300):
        player.step(1)
        player.turn(0.1)
        player.step(-1)
        player.turn(0.1)
    assert player.life("c1", shown_seq)[0] == life
    assert player.life("c1", 0)[0] is None


async def test_a_journal_that_takes_long(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often e is pressed, one story comes; it does not come over what one has turned to since."""
    player, gate, asked = Player(past, FIRST_NS + 15 * SECOND), threading.Event(), list[str]()
    life = player.life

    def slowly(call_id: str, seq: int) -> tuple[Life | None, list[str]]:
        asked.append(call_id)
        gate.wait(30)
        return life(call_id, seq)

    monkeypatch.setattr(player, "life", slowly)
    app = PastApp(Replay(player), zone=UTC)
    async with app.run_test(size=(100, 60), notifications=True) as pilot:
        await seen(lambda: AGENT in app.board.rows)
        app.open_agent(AGENT)
        await pilot.pause()
        await pilot.press("e", "e", "e")
        await seen(lambda: len(asked) == 3)
        await pilot.press("question_mark")
        gate.set()
        await app.workers.wait_for_complete([one for one in app.workers if not one.is_cancelled])
        await pilot.pause()
        assert not any(isinstance(screen, Explained) for screen in app.screen_stack)
        gate.clear()
        await pilot.press("escape", "e", "e")
        await seen(lambda: len(asked) == 5)
        gate.set()
        await seen(lambda: isinstance(app.screen, Explained))
        await app.workers.wait_for_complete([one for one in app.workers if not one.is_cancelled])
        await pilot.pause()
        assert sum(isinstance(screen, Explained) for screen in app.screen_stack) == 1


def test_a_stray_byte_ends_no_line(past: Past, tmp_path: Path) -> None:
    """Damage that looks like the end of a line elsewhere does not make the moment an earlier one."""
    segment = tmp_path / "ledger" / "seg-000000000001.jsonl"
    raw = segment.read_bytes()
    head, mark, tail = raw.partition(b'"t":"agent_new"')
    segment.write_bytes(head + mark.replace(b"_", b"\r") + tail)
    life, damage = past.life("c1", 5)
    assert life is not None
    assert life.sent_at is not None
    assert "line 2: " in damage[0]
