"""The past of a ledger: the same shapes as the live feed, made from the journal alone."""

import hashlib
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compacting import SEGMENT_BYTES, busy, compact, first_steps
from ledger_files import put_down
from ledger_kit import AGENT, grant, hold_call, new_agent, open_ledger, settle
from pasts import history_of, put, quiet, read
from recorded import RecordedUpstream
from sidecar import Sidecar
from sim import SimClock, SimDisk
from spendguard_cli.ledger import past as past_module
from spendguard_cli.ledger.journal import Journal
from spendguard_cli.ledger.past import Past
from spendguard_cli.ledger.told import Doings, snapshot
from spendguard_cli.watch.board import Board, Row
from spendguard_cli.watch.messages import Happened, Snapped
from spendguard_daemon import shown
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.feed_wire import Snapshot
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.apply import apply
from spendguard_daemon.ledger.history import History
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.ledger.refusals import Refusal
from spendguard_daemon.ledger.state import State
from spendguard_daemon.system import SystemDisk
from spendguard_daemon.wire import iso
from told_ledger import told_ledger
from until import until

STATE = ("accounts", "daemon", "open_calls", "ended", "unconfirmed", "agent_keys", "prices", "distrusted")


def exclusive() -> tuple[SimDisk, SimClock, Ledger]:
    """Return a ledger with one exclusive agent that has money."""
    disk, clock = SimDisk(), SimClock()
    ledger = open_ledger(disk, clock)
    ledger.post(new_agent())
    ledger.post(grant(100_000))
    return disk, clock, ledger


def board_of(told: Snapshot) -> Board:
    """Return a board that was told this."""
    board = Board(link="past")
    board.hear(Snapped(told), 0.0)
    return board


def same(row: Row, other: Row, now_seconds: float) -> None:
    """Check that two rows show the same; the settings tell money too, as of when they were set."""
    assert row.money == other.money
    assert row.spend.settled_nusd == other.spend.settled_nusd
    assert row.spend.spark(90, now_seconds) == other.spend.spark(90, now_seconds)
    assert row.spend.per_minute_nusd(15, now_seconds) == other.spend.per_minute_nusd(15, now_seconds)
    for name in ("agent_id", "name", "concurrency", "frozen_reason", "policy", "needs_key", "restored"):
        assert getattr(row.agent, name) == getattr(other.agent, name)


@pytest.mark.parametrize("apart", [1_000, 7])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=6, deadline=None)
def test_each_moment_is_what_the_daemon_makes_of_the_journal(apart: int, seed: int) -> None:
    """After each record the money and the calls are those of the daemon's own replay up to there."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as home:
        patch.setattr(past_module, "MARK_RECORDS", apart)
        patch.setattr(past_module, "MARKS_MAX", 4)
        patch.setattr(past_module, "BACK_RECORDS", 5)
        folder = Path(home) / "ledger"
        past, state, history = history_of(seed, folder), State(), History()
        journal, doings = Journal.read(folder, disk=SystemDisk(), on_progress=quiet), Doings()
        for number, record in enumerate(journal.records(), start=1):
            apply(state, record.event, record.wall_ns)
            history.note(record.event, record.wall_ns)
            reel = past.after(number)
            assert (reel.moment.records, reel.moment.wall_ns) == (number, record.wall_ns)
            assert [getattr(reel.moment.state, name) for name in STATE] == [
                getattr(state, name) for name in STATE
            ]
            told = snapshot(reel.moment, record.wall_ns)
            assert doings.at(reel.moment) == {
                agent_id: shown.deeds(history.deeds.of(agent_id)) for agent_id in history.deeds.agents()
            }
            assert [call.call_id for call in reversed(told.calls)] == list(state.open_calls)
            if reel.next_ns is None or reel.next_ns > record.wall_ns:
                assert past.snapshot(record.wall_ns) == told
            for call in [*told.calls, *told.ended]:
                view = history.call(call.call_id)
                assert call.state == "refused" or (view is not None and call == shown.call(view))
        assert past.records == number


@given(seed=st.integers(0, 10_000), chance=st.floats(0, 1))
@settings(max_examples=12, deadline=None)
def test_a_snapshot_and_what_follows_is_the_later_snapshot(seed: int, chance: float) -> None:
    """A board that is told one moment and all events after it shows the end, as one told only the end."""
    with tempfile.TemporaryDirectory() as home:
        past = history_of(seed, Path(home) / "ledger")
        assert past.first_ns is not None
        assert past.last_ns is not None
        at_ns = past.first_ns + round((past.last_ns - past.first_ns) * chance)
        first, last = past.snapshot(at_ns), past.snapshot(past.last_ns)
        events = list(past.events(at_ns))
    assert [event.seq for _, event in events] == list(range(first.seq + 1, last.seq + 1))
    assert all(event.at == iso(wall_ns) for wall_ns, event in events)
    assert all(wall_ns > at_ns for wall_ns, _ in events)
    board, end = board_of(first), board_of(last)
    board.hear(Happened(tuple(event for _, event in events)), 0.0)
    assert list(board.rows) == list(end.rows)
    for agent_id, row in end.rows.items():
        same(board.rows[agent_id], row, end.at_seconds)
    assert board.totals == end.totals
    assert {one.call.call_id: one.call for one in board.flights.values()} == {
        one.call.call_id: one.call for one in end.flights.values()
    }
    assert board.ended == end.ended


def test_who_holds_the_lock(tmp_path: Path) -> None:
    """It is the run of the oldest call in flight, since it got it; when that must end is not known."""
    disk, clock, ledger = exclusive()
    clock.advance(10)
    held_ns = clock.wall
    ledger.post(hold_call("c1", run_id="nightly"))
    clock.advance(5)
    ledger.post(hold_call("c2", run_id="nightly"))
    clock.advance(5)
    ledger.post(settle("c1", 500))
    past = put(disk, tmp_path / "ledger")
    (one,) = past.snapshot(clock.wall).agents
    assert (one.money.locked_run_id, one.money.locked_since) == ("nightly", iso(held_ns))
    assert one.money.locked_expires_at is None
    assert one.agent.locked_run_id == "nightly"
    (before,) = past.snapshot(held_ns - 1).agents
    assert before.money.locked_run_id is None


def test_refusals_are_counted_since_the_daemon_began(tmp_path: Path) -> None:
    """Each record counts for as many as it stands for; a new daemon begins to count anew."""
    disk, clock, ledger = exclusive()
    for number in range(3):
        ledger.refuse(
            Refusal(f"r{number}", AGENT, "run-1", "openai", "chat/completions", "gpt-4o-mini",
                    Code.INSUFFICIENT_BUDGET, "Insufficient budget", {"short_usd": "0.01"})
        )  # fmt: skip
    clock.advance(2)
    ledger._desk.close()
    ledger.post(hold_call("c1"))
    ledger.post(cmd.VoidCall("c1", "aborted", None))
    refused_ns = clock.wall
    clock.advance(60)
    disk = disk.killed()
    open_ledger(disk, clock)
    past = put(disk, tmp_path / "ledger")
    then = past.snapshot(refused_ns)
    assert (then.agents[0].money.refusals, then.totals.refusals) == (3, 3)
    refused = next(call for call in then.ended if call.state == "refused")
    assert (refused.count, refused.code, refused.facts) == (3, "insufficient_budget", {"short_usd": "0.01"})
    now = past.snapshot(clock.wall)
    assert (now.agents[0].money.refusals, now.totals.refusals) == (0, 0)
    board = board_of(then)
    board.hear(Happened(tuple(event for _, event in past.events(refused_ns))), 0.0)
    assert board.rows[AGENT].money.refusals == 0


def test_prices_are_told_as_far_as_they_were_written(tmp_path: Path) -> None:
    """Hash, number and signer are known; that the rest is not, is said."""
    disk, clock, ledger = exclusive()
    before_ns = clock.wall
    clock.advance(30)
    ledger.post(cmd.AcceptPrices(7, "d" * 64, "key-1", "remote"))
    past = put(disk, tmp_path / "ledger")
    assert past.snapshot(before_ns).status.pricing is None
    pricing = past.snapshot(clock.wall + 60 * 10**9).status.pricing
    assert pricing is not None
    assert (pricing.sequence, pricing.document_sha256, pricing.key_id) == (7, "d" * 64, "key-1")
    assert (pricing.source, pricing.age_seconds, pricing.issued_at) == ("remote", 60, "")
    assert "not when it was issued" in pricing.warnings[0]


def test_before_the_first_record_there_is_nothing(tmp_path: Path) -> None:
    """An empty ledger, and the time before one, show an empty board."""
    folder = tmp_path / "ledger"
    folder.mkdir()
    (folder / "seg-000000000001.jsonl").touch()
    empty = read(folder)
    assert (empty.first_ns, empty.last_ns, empty.records) == (None, None, 0)
    assert list(empty.events(0)) == []
    told = empty.snapshot(10**18)
    assert (told.agents, told.calls, told.totals.agents, told.totals.state) == ([], [], 0, "down")
    disk, _, _ = exclusive()
    past = put(disk, tmp_path / "other")
    assert past.first_ns is not None
    assert past.snapshot(past.first_ns - 1).agents == []
    assert len(list(past.events(past.first_ns - 1))) == past.records


def test_where_old_segments_were_taken_away(tmp_path: Path) -> None:
    """The past begins with what the snapshot before the first record says."""
    disk, clock = SimDisk(), SimClock()
    ledger = open_ledger(disk, clock, segment_bytes=SEGMENT_BYTES)
    first_steps(ledger)
    ledger.post(hold_call("long", agent_id="agent-1"))
    busy(ledger, clock, 120, 3)
    compact(ledger, disk)
    busy(ledger, clock, 20, 4)
    past = put(disk, tmp_path / "ledger")
    whole, all_done = past.snapshot(clock.wall), past.after(10**9).moment.deeds
    for path in (tmp_path / "ledger" / "archive").iterdir():
        path.unlink()
    short = read(tmp_path / "ledger")
    assert 0 < short.records < past.records
    assert short.first_ns is not None
    assert short.snapshot(short.first_ns - 1).agents
    done = short.after(10**9).moment.deeds
    assert {one: done.of(one) for one in done.agents()} == {
        one: all_done.of(one) for one in all_done.agents()
    }
    assert done.of("agent-1")[0].kind == "made"
    mine = short.snapshot(clock.wall)
    assert {one.agent.agent_id: one.money for one in mine.agents} == {
        one.agent.agent_id: one.money for one in whole.agents
    }
    assert {call.call_id: call for call in mine.calls} == {call.call_id: call for call in whole.calls}


def test_calls_that_ended_in_every_way(tmp_path: Path) -> None:
    """Each is shown with what became of it, corrections too, and what nobody has confirmed is told."""
    told = told_ledger(tmp_path)
    past = read(told.home / "ledger")
    assert past.last_ns is not None
    end = past.snapshot(past.last_ns)
    by_id = {call.call_id: call for call in [*end.calls, *end.ended]}
    states = {name: by_id[call_id].state for name, call_id in told.ids.items()}
    assert {name: states[name] for name in ("settled", "settled_worst", "voided", "overrun", "held")} == {
        name: name for name in ("settled", "settled_worst", "voided", "overrun", "held")
    }
    assert by_id[told.ids["adjusted"]].cost_usd == "0.0000005"
    assert {one.call_id for one in end.totals.unconfirmed} == {told.ids["settled_worst"], told.ids["overrun"]}
    actors = [event.actor for _, event in past.events(0) if event.kind == "adjust"]
    assert actors == ["anna"]


def test_a_damaged_ledger_and_a_missing_one(tmp_path: Path) -> None:
    """Both are refused as everywhere: with the place, and what to do."""
    with pytest.raises(SpendGuardError) as missing:
        read(tmp_path / "nowhere")
    assert missing.value.code is Code.NO_DAEMON
    assert missing.value.remedy == "spendguard up"
    disk, _, _ = exclusive()
    put_down(disk, tmp_path / "ledger")
    path = next((tmp_path / "ledger").glob("seg-*"))
    path.write_bytes(path.read_bytes().replace(b'"limit_nusd":100000', b'"limit_nusd":900000', 1))
    with pytest.raises(SpendGuardError) as damaged:
        read(tmp_path / "ledger")
    assert damaged.value.code is Code.LEDGER_DAMAGED
    assert path.name in damaged.value.detail
    assert damaged.value.remedy


def test_a_record_without_a_time(tmp_path: Path) -> None:
    """Somebody wrote it so, and its hash fits: it is damage with a place, like any other."""
    disk, _, _ = exclusive()
    put_down(disk, tmp_path / "ledger")
    path = next((tmp_path / "ledger").glob("seg-*"))
    first = path.read_bytes().splitlines()[0].replace(b'"ts":"2027', b'"ts":"once')
    begun = first[: first.rindex(b',"h":')]
    digest = hashlib.sha256(begun).hexdigest()[:32].encode()
    path.write_bytes(begun + b',"h":"' + digest + b'"}\n')
    (tmp_path / "ledger" / "head").unlink()
    with pytest.raises(SpendGuardError) as damaged:
        read(tmp_path / "ledger")
    assert damaged.value.code is Code.LEDGER_DAMAGED
    assert "is not a time" in damaged.value.detail


def test_progress_is_told_while_it_reads_and_never_after(tmp_path: Path) -> None:
    """Reading says how far it is, to the end."""
    disk, _, _ = exclusive()
    put_down(disk, tmp_path / "ledger")
    told: list[tuple[int, int]] = []
    past = Past.read(tmp_path / "ledger", SystemDisk(), lambda done, of: told.append((done, of)))
    assert told == [(1, 2), (2, 2)]
    past.snapshot(10**19)
    assert len(told) == 2


def test_beside_a_running_sidecar_and_after_it(tmp_path: Path) -> None:
    """What the journal tells of now is what the sidecar says; it tells it also when none runs any more."""
    body = {"model": "gpt-4o-mini", "max_tokens": 20, "messages": [{"role": "user", "content": "hi"}]}
    with RecordedUpstream() as upstream, Sidecar(tmp_path / "home", upstream.base_url) as sidecar:
        busy_id, poor_id = sidecar.agent(name="busy"), sidecar.agent(name="poor", cents=0)
        assert sidecar.chat(busy_id, body, run="nightly").status_code == 200
        assert sidecar.chat(poor_id, body).status_code == 402
        upstream.hold_open()
        calling = threading.Thread(target=sidecar.chat, args=(busy_id, body), kwargs={"run": "nightly"})
        calling.start()
        upstream.wait_arrived(1)
        until(lambda: any(record["t"] == "refused" for record in sidecar.journal()))
        past = read(sidecar.home.ledger)
        assert past.last_ns is not None
        told = past.snapshot(past.last_ns)
        live = {one["agent_id"]: one for one in sidecar.control("GET", "/v1/agents")["agents"]}
        for standing in told.agents:
            now = live[standing.agent.agent_id]
            assert standing.agent.name == now["name"]
            for name in ("remaining_usd", "held_usd", "settled_usd", "calls_in_flight", "locked_run_id"):
                assert getattr(standing.money, name) == now[name]
        assert [(call.agent_id, call.run_id, call.state) for call in told.calls] == [
            (busy_id, "nightly", "held")
        ]
        (shown_call,) = [call for call in told.ended if call.agent_id == busy_id]
        live_call = sidecar.control("GET", f"/v1/calls/{shown_call.call_id}")
        assert (shown_call.cost_usd, shown_call.lines) == (live_call["cost_usd"], live_call["lines"])
        assert {one.agent.agent_id: one.money.refusals for one in told.agents} == {busy_id: 0, poor_id: 1}
        assert (told.totals.state, told.status.version) == (
            "up",
            sidecar.control("GET", "/v1/status")["version"],
        )
        upstream.release()
        calling.join()
    after = read(sidecar.home.ledger)
    assert after.last_ns is not None
    end = after.snapshot(after.last_ns)
    assert (end.calls, end.totals.state) == ([], "down")
    assert after.snapshot(past.last_ns) == told
