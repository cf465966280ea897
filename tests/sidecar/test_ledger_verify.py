"""Verification: finds each thing that is wrong, names its place, and never cries over what is right."""

import asyncio
import json
import random
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from compacting import AGENTS, SEGMENT_BYTES, busy, busy_ledger, compact, first_steps, no_pause
from ledger_kit import AGENT, FOLDER, HEAD, NOW, add_key, funded_book, grant, hold_call, open_ledger, settle
from sim import SimClock, SimDisk, SimRng
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.audit import Auditor
from spendguard_daemon.ledger.folder import ARCHIVE, LedgerFolder, segment_name, snapshot_name
from spendguard_daemon.ledger.journal import Entry
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.ledger.lines import encode_body
from spendguard_daemon.ledger.snapshot import decode, encode
from spendguard_daemon.ledger.state import State
from spendguard_daemon.ledger.verify import FINDINGS_MAX, Finding, Report, verify
from spendguard_daemon.system import SystemDisk


@lru_cache
def files() -> dict[Path, bytes]:
    """Return a ledger with an archive, two snapshots and a tail, as bytes."""
    disk, clock = SimDisk(), SimClock()
    ledger = open_ledger(disk, clock, segment_bytes=SEGMENT_BYTES)
    first_steps(ledger)
    for seed in range(3):
        busy(ledger, clock, 25, seed)
        compact(ledger, disk)
    busy(ledger, clock, 4, 9)
    ledger.post(cmd.Unfreeze(AGENT, "test"))
    ledger.post(hold_call("open"))
    return {path: bytes(node.data) for path, node in disk.files.items()}


def whole() -> SimDisk:
    """Return a disk with that ledger."""
    disk = SimDisk()
    for path, raw in files().items():
        disk.put(path, raw)
    return disk


def found(disk: SimDisk) -> Finding:
    """Return the first finding."""
    finding = verify(FOLDER, disk=disk).findings[0]
    assert (finding.line == 1) == (finding.byte == 0), "only the first line begins at the first byte"
    assert f"byte {finding.byte}" not in finding.what, "the place stands beside it"
    return finding


def test_a_whole_ledger_has_no_findings_and_its_sums_are_told() -> None:
    """Every record, all snapshots, and the progress to its end."""
    disk, steps = whole(), list[tuple[int, int]]()
    report = verify(FOLDER, disk=disk, on_progress=lambda done, total: steps.append((done, total)))
    assert (report.ok, report.warnings, report.unfinished_bytes) == (True, (), 0)
    folder = LedgerFolder(FOLDER, disk)
    assert report.snapshots == tuple(snapshot_name(seq) for seq in folder.snapshots)
    total = sum(folder.size(file) for file in folder.segments)
    assert steps[-1] == (total, total) == (report.bytes, report.bytes)
    assert steps == sorted(steps)
    assert {whole for _, whole in steps} == {total}
    ledger = open_ledger(disk)
    assert (report.first_seq, report.last_seq) == (1, ledger.recovered.records)
    assert report.calls_open == len(ledger.recovered.settled_at_worst)
    journal = b"".join(folder.read(file).raw for file in folder.segments)
    assert report.calls == journal.count(b'"t":"hold"') > 10
    assert (report.segments, report.agents) == (len(folder.segments), len(AGENTS))
    daemon = ledger.state.daemon
    assert report.settled_nusd + report.held_nusd == daemon.settled_nusd
    assert json.loads(json.dumps(report.to_json()))["ok"] is True


def test_an_empty_folder_is_a_whole_ledger() -> None:
    """Nothing was ever written."""
    report = verify(FOLDER, disk=SimDisk())
    assert (report.ok, report.last_seq, report.bytes) == (True, 0, 0)


def test_every_damaged_byte_is_found_and_placed() -> None:
    """In any file but the head, of which one slot may be lost: file, line and byte of the record."""
    chance = random.Random(3)
    paths = [path for path in files() if path.name.startswith(("seg-", "snap-"))]
    for path in paths:
        raw = files()[path]
        for index in [0, len(raw) - 1, *(chance.randrange(len(raw)) for _ in range(6))]:
            disk = whole()
            damaged = bytearray(raw)
            damaged[index] ^= 1 << chance.randrange(8)
            disk.put(path, bytes(damaged))
            finding = found(disk)
            assert finding.file == path.name
            if path.name.startswith("seg-"):
                assert finding.byte == raw.rfind(b"\n", 0, index) + 1
                assert finding.line == raw[: finding.byte].count(b"\n") + 1


def test_a_missing_segment_a_cut_tail_and_another_head_are_found() -> None:
    """What recovery would refuse, too."""
    disk = whole()
    archived = disk.names(FOLDER / ARCHIVE)
    disk.files.pop(FOLDER / ARCHIVE / archived[1])
    assert found(disk).file == archived[2]
    disk = whole()
    last = LedgerFolder(FOLDER, disk).segments[-1]
    raw = disk.read(FOLDER / last.name)
    disk.put(FOLDER / last.name, raw[: raw[:-1].rindex(b"\n") + 1])
    assert "was durable" in found(disk).what
    disk = whole()
    disk.put(HEAD, disk.read(HEAD).replace(b",000001,", b",000002,"))
    assert verify(FOLDER, disk=disk).warnings == (
        "the head file was missing or damaged: the journal was judged by itself",
    )


def test_a_write_under_way_is_not_damage() -> None:
    """Half a line after the last whole one is counted, that is all."""
    disk = whole()
    last = LedgerFolder(FOLDER, disk).segments[-1]
    disk.put(FOLDER / last.name, disk.read(FOLDER / last.name) + b'{"v":1,"seq":')
    report = verify(FOLDER, disk=disk)
    assert (report.ok, report.unfinished_bytes) == (True, 13)


def test_a_ledger_whose_archive_was_taken_away_is_verified_from_its_snapshot() -> None:
    """With a warning; where there is no snapshot either, the missing records are the finding."""
    disk = whole()
    for name in disk.names(FOLDER / ARCHIVE):
        disk.files.pop(FOLDER / ARCHIVE / name)
    report = verify(FOLDER, disk=disk)
    newest = LedgerFolder(FOLDER, disk).snapshots[-1]
    assert (report.ok, report.first_seq) == (True, newest + 1)
    assert snapshot_name(newest) in report.warnings[0]
    raw = disk.read(FOLDER / snapshot_name(newest))
    disk.put(FOLDER / snapshot_name(newest), raw[:-1])
    assert "record 1 should follow" in found(disk).what
    disk.files.pop(FOLDER / snapshot_name(newest))
    assert "record 1 should follow" in found(disk).what


def test_a_snapshot_that_does_not_prove_itself_is_found() -> None:
    """A start would pass it over."""
    disk = whole()
    path = FOLDER / snapshot_name(LedgerFolder(FOLDER, disk).snapshots[0])
    disk.put(path, disk.read(path).replace(b"agent-2", b"agent-3"))
    finding = found(disk)
    assert (finding.file, finding.what) == (path.name, "its hash does not match its bytes")


def doctored(disk: SimDisk, seq: int, **changes: Any) -> None:
    """Put a snapshot in the place of one: whole in itself, but changed."""
    path = FOLDER / snapshot_name(seq)
    snapshot, _ = decode(disk.read(path))
    disk.put(path, encode(msgspec.structs.replace(snapshot, **changes), no_pause)[0])


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"h": "0" * 32}, "not the snapshot of"), ({"unconfirmed_nusd": 7}, "not the state that")],
)
def test_a_snapshot_that_is_not_the_state_of_the_records_is_found(changes: dict[str, Any], why: str) -> None:
    """Once by itself, once because the checkpoint names another."""
    disk = whole()
    seq = LedgerFolder(FOLDER, disk).snapshots[0]
    doctored(disk, seq, **changes)
    report = verify(FOLDER, disk=disk)
    assert [(finding.file, finding.line, finding.byte) for finding in report.findings] == [
        (snapshot_name(seq), 1, 0)
    ] * 2
    assert why in report.findings[0].what
    assert "checkpoint" in report.findings[1].what
    assert report.snapshots == (snapshot_name(LedgerFolder(FOLDER, disk).snapshots[1]),)


def test_the_order_of_what_is_forgotten_first_is_part_of_the_state() -> None:
    """Two dicts that are equal may forget different things later."""
    disk = whole()
    seq = LedgerFolder(FOLDER, disk).snapshots[0]
    snapshot, _ = decode(disk.read(FOLDER / snapshot_name(seq)))
    doctored(disk, seq, ended=list(reversed(snapshot.ended)))
    assert "not the state" in found(disk).what


def test_what_does_not_add_up_at_the_end_of_a_segment_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sums over all agents are dear, so they are taken once for each segment."""
    monkeypatch.setattr(Auditor, "sums", lambda _: iter(["I9: it does not add up"]))
    disk = whole()
    assert [(finding.file, finding.line, finding.byte) for finding in verify(FOLDER, disk=disk).findings] == [
        (file.name, 1, 0) for file in LedgerFolder(FOLDER, disk).segments
    ]


def test_progress_is_told_within_a_long_segment() -> None:
    """Not only at its end."""
    disk, steps = SimDisk(), list[int]()
    ledger = busy_ledger(disk, 0, segment_bytes=10**7)
    seq = ledger._book.seq
    ledger._journal.append([Entry(seq + 1 + index, 5, b'{"t":"remark"}') for index in range(2_500)])
    verify(FOLDER, disk=disk, on_progress=lambda done, total: steps.append(100 * done // total))
    assert steps[-1] == 100
    assert len([step for step in steps if 0 < step < 100]) == 2


def test_a_checkpoint_of_another_record_is_found() -> None:
    """It would make a start begin in the wrong place."""
    disk = SimDisk()
    ledger = busy_ledger(disk, 30)
    folder = LedgerFolder(FOLDER, disk)
    sums = ledger.state.daemon
    event = ev.Checkpoint(
        through_seq=folder.begun_seq,
        through_h="0" * 32,
        snapshot=snapshot_name(folder.begun_seq),
        bytes=1,
        sha256="0" * 64,
        generation=1,
        min_reader=1,
        agents=len(ledger.state.accounts),
        calls_open=len(ledger.state.open_calls),
        settled_nusd=sums.settled_nusd,
        held_nusd=sums.held_nusd,
    )
    ledger._book.record(event)
    assert "names another record" in found(disk).what


def test_a_newer_ledger_is_a_finding() -> None:
    """This version cannot say whether it is right."""
    disk = SimDisk()
    ledger = busy_ledger(disk, 0, segment_bytes=10**7)
    ledger._journal.append([Entry(ledger._book.seq + 1, 5, b'{"t":"splice","crit":true}')])
    finding = found(disk)
    assert "newer version" in finding.what
    assert finding.line == ledger._book.seq + 1
    assert verify(FOLDER, disk=disk).unfinished_bytes == 0


def test_unknown_harmless_records_are_passed_over() -> None:
    """As recovery does."""
    disk = SimDisk()
    ledger = busy_ledger(disk, 0)
    ledger._journal.append([Entry(ledger._book.seq + 1, 5, b'{"t":"remark"}')])
    assert verify(FOLDER, disk=disk).ok


def test_records_that_contradict_each_other_are_found() -> None:
    """Whole lines in a whole chain, but wrong sums."""
    disk = SimDisk()
    ledger = busy_ledger(disk, 0)
    ledger._journal.append(
        [Entry(ledger._book.seq + 1, 5, encode_body(ev.Freeze(agent_id="x", reason="", actor="")))]
    )
    assert found(disk).what.endswith("there is no agent x")


def test_findings_are_bounded() -> None:
    """A ledger of nothing but broken promises does not fill the memory."""
    disk = SimDisk()
    ledger = busy_ledger(disk, 0, segment_bytes=10**7)
    account = ledger.state.accounts[AGENT]
    seq, entries = ledger._book.seq, []
    for index in range(FINDINGS_MAX + 5):
        amount = account.funded_nusd + 1
        hold = _hold(f"c{index}", amount, account.funded_nusd, 0, amount)
        entries.append(Entry(seq + 1 + 2 * index, 5, encode_body(hold)))
        void = ev.Void(
            call_id=f"c{index}",
            agent_id=AGENT,
            hold_nusd=amount,
            http_status=None,
            reason="",
            funded_nusd=account.funded_nusd,
            settled_nusd=0,
            held_nusd=0,
        )
        entries.append(Entry(seq + 2 + 2 * index, 5, encode_body(void)))
    ledger._journal.append(entries)
    report = verify(FOLDER, disk=disk)
    assert len(report.findings) == FINDINGS_MAX
    assert report.findings[0].what.startswith("I1: the hold of call c0")


def _hold(call_id: str, amount: int, funded: int, settled: int, held: int, agent_id: str = AGENT) -> ev.Hold:
    book = funded_book(10_000, concurrency="shared")
    (hold,) = book.execute(hold_call(call_id))
    assert isinstance(hold, ev.Hold)
    return msgspec.structs.replace(
        hold,
        agent_id=agent_id,
        amount_nusd=amount,
        funded_nusd=funded,
        settled_nusd=settled,
        held_nusd=held,
    )


class Audited:
    """A book whose every record an auditor sees, applied by hand so that it may be wrong."""

    def __init__(self, limit_nusd: int = 10_000) -> None:
        self.book = funded_book(limit_nusd, concurrency="shared")
        self.auditor = Auditor.of(State())
        self.auditor.state = self.book.state
        self.broken = [
            promise
            for event in (
                _agent_new(),
                ev.BudgetSet(
                    agent_id=AGENT,
                    limit_nusd=limit_nusd,
                    applied_nusd=limit_nusd,
                    ignored_nusd=0,
                    cut_nusd=0,
                    actor="test",
                    funded_nusd=limit_nusd,
                    settled_nusd=0,
                    held_nusd=0,
                ),
            )
            for promise in self.auditor.check(event, NOW.wall_ns)
        ]

    def do(self, command: cmd.Command) -> list[str]:
        """Carry out a command; return the names of the promises that its records break."""
        return [
            promise.split(":")[0]
            for event in self.book.execute(command)
            for promise in self.auditor.check(event, NOW.wall_ns)
        ]

    def check(self, event: ev.Event) -> list[str]:
        """Show the auditor a record that was not applied."""
        return [promise.split(":")[0] for promise in self.auditor.check(event, NOW.wall_ns)]


RESTORED = ev.Restored(generation=2, backup_ts="", manifest_sha256="", actor="test")


def _agent_new() -> ev.AgentNew:
    return ev.AgentNew(
        agent_id=AGENT, name=None, concurrency="shared", overflow="clamp", mock=False, actor="test"
    )


def test_the_auditor_has_nothing_to_say_about_a_right_history() -> None:
    """Also where more was spent than granted, for a reason that is on record."""
    audited = Audited()
    assert audited.broken == []
    right: list[cmd.Command] = [
        hold_call("c1"),
        settle("c1", 400),
        hold_call("c2"),
        settle("c2", 1_004),
        grant(500),
        cmd.AdjustCall("c1", 9_000, "the bill", "test"),
        cmd.AdjustCall("c1", 0, "the bill", "test"),
    ]
    for command in right:
        assert audited.do(command) == []
    assert list(audited.auditor.sums()) == []


@pytest.mark.parametrize("limit", [999, 500])
def test_a_cut_limit_excuses_what_was_held_before(limit: int) -> None:
    """The holds stay, the money does not: be it a nano-dollar."""
    audited = Audited(1_000)
    assert audited.do(hold_call("c1")) == []
    assert audited.do(grant(limit)) == []
    assert audited.do(cmd.VoidCall("c1", "", None)) == []


def test_an_overrun_and_a_raised_charge_excuse_what_they_lead_to() -> None:
    """More was billed than was held, or than was thought."""
    audited = Audited(1_000)
    audited.do(hold_call("c1"))
    assert audited.do(settle("c1", 1_500)) == []
    audited = Audited(2_000)
    for call_id in ("c1", "c2"):
        audited.do(hold_call(call_id))
    assert audited.do(settle("c1", 1_000)) == [], "the whole hold is within the hold"
    assert audited.do(cmd.AdjustCall("c1", 1_001, "the bill", "test")) == []
    assert audited.do(cmd.VoidCall("c2", "", None)) == []


@pytest.mark.parametrize("to_nusd", [None, 1_000, 400])
def test_nothing_else_excuses_it(to_nusd: int | None) -> None:
    """A grant, a charge that was confirmed or lowered: the hold is past the grant, and so is the agent."""
    audited = Audited(3_000)
    if to_nusd is not None:
        audited.do(hold_call("c1"))
        audited.do(cmd.SettleAtWorst("c1", "", None))
        assert audited.do(cmd.AdjustCall("c1", to_nusd, "the bill", "test")) == []
    broken = audited.check(_hold("c2", 3_001, 3_000, to_nusd or 0, 3_001))
    assert broken.count("I1") == 2


def test_an_agent_that_is_overdrawn_in_a_trusted_state_is_excused() -> None:
    """Why is not in the records any more."""
    audited = Audited(1_000)
    audited.do(hold_call("c1"))
    audited.do(settle("c1", 1_500))
    auditor = Auditor.of(audited.book.state)
    (event,) = audited.book.execute(cmd.TopUp(AGENT, 100, "test"))
    assert list(auditor.check(event, NOW.wall_ns)) == []


def test_holds_may_take_all_there_is() -> None:
    """Of the agent, and of all agents together."""
    audited = Audited(1_000)
    assert audited.do(cmd.SetDaemonLimit(1_000, None, "test")) == []
    assert audited.do(hold_call("c1")) == []
    assert audited.book.state.daemon.available_nusd == 0


def test_what_was_entered_after_a_restore_may_exceed_the_grant() -> None:
    """It was spent, whatever was granted."""
    audited = Audited()
    audited.book.record(RESTORED)
    assert audited.do(cmd.ConfirmRestored(AGENT, 50_000, "the bill", "test")) == []
    assert audited.auditor.agents[AGENT].settled_nusd == 50_000


def test_the_auditor_goes_on_from_a_state() -> None:
    """Its sums and its open calls are those of the state."""
    audited = Audited()
    audited.do(hold_call("c1"))
    auditor = Auditor.of(audited.book.state)
    (event,) = audited.book.execute(settle("c1", 7))
    assert list(auditor.check(event, NOW.wall_ns)) == []
    assert list(auditor.sums()) == []


def test_each_broken_promise_is_told_by_its_name() -> None:
    """Records that `apply` might let pass, seen by the second pair of eyes."""
    assert "I1" in Audited(900).check(_hold("c1", 1_000, 900, 0, 1_000))
    audited = Audited()
    audited.do(hold_call("c1"))
    (worst,) = audited.book.execute(cmd.SettleAtWorst("c1", "", None))
    assert isinstance(worst, ev.SettleWorst)
    assert audited.check(msgspec.structs.replace(worst, cost_nusd=999, settled_nusd=999))[0] == "I7"

    audited = Audited()
    audited.do(hold_call("c1"))
    (ended,) = audited.book.execute(settle("c1", 400))
    assert isinstance(ended, ev.Settle)
    assert audited.check(msgspec.structs.replace(ended, cost_nusd=-1)) == ["I7", "I2", "I9", "I12"]

    audited = Audited()
    audited.do(hold_call("c1"))
    (over,) = audited.book.execute(settle("c1", 1_004))
    assert isinstance(over, ev.Overrun)
    assert "I7" in audited.check(msgspec.structs.replace(over, cost_nusd=1_000))


def test_rates_that_were_not_pinned_are_told() -> None:
    """A line's rate is one that the hold has for its name, in any tier or period; other names are let be."""
    audited = Audited()
    rates = {"output": 600_000, "output@272001": 900_000, "output+1": 700_000, "input": 150_000}
    for index, (name, rate, broken) in enumerate(
        [
            ("output", 900_000, []),
            ("output", 700_000, []),
            ("fee:x", 5, []),
            ("output", 150_000, ["I11"]),
        ]
    ):
        audited.do(hold_call(f"c{index}", rates=rates))
        line: ev.CostLine = {"name": name, "quantity": 1, "unit": "token", "rate": rate, "cost_nusd": "1"}
        usage = {"input_tokens": 100, "output_tokens": 1}  # as much input as was held for, and no more
        assert audited.do(cmd.SettleCall(f"c{index}", 1, usage, [line], 200, "")) == broken


def test_a_hold_while_a_crash_is_not_settled_is_told() -> None:
    """Money of calls that may still be billed must not be held again."""
    audited = Audited()
    audited.do(hold_call("c1"))
    audited.book.record(ev.Open(version="", min_reader=1, generation=1, session=""))
    audited.check(ev.Open(version="", min_reader=1, generation=1, session=""))
    assert audited.do(hold_call("c2")) == ["I5"]
    assert audited.do(hold_call("c3")) == []
    audited.check(ev.Open(version="", min_reader=1, generation=1, session=""))
    for call_id in ("c1", "c2", "c3"):
        audited.do(cmd.SettleAtWorst(call_id, "crash", None))
    assert audited.do(hold_call("c4")) == [], "all that were open then have ended"


def test_a_hold_past_the_daemons_cap_is_told() -> None:
    """Whatever the agent itself has left."""
    audited = Audited()
    audited.do(hold_call("c1"))
    audited.book.state.daemon.limit_nusd = audited.book.state.daemon.funded_nusd = 999
    assert audited.check(_hold("c2", 10, 10_000, 0, 1_010))[0] == "I1"


def test_a_hold_past_a_key_is_told() -> None:
    """Past its limit by a nano-dollar, or at the moment when its time is over; its parent's likewise."""
    audited = Audited(50_000)
    ends_ns = NOW.wall_ns + 10**9
    for command in (
        add_key("root", limit_nusd=3_000),
        add_key("child", parent_id="root", limit_nusd=1_500, expires_ns=ends_ns),
        hold_call("c1", keys=("root", "child")),
        hold_call("c2"),
    ):
        assert audited.do(command) == []
    assert audited.do(settle("c1", 1_000)) == []
    right = msgspec.structs.replace(_hold("c3", 500, 50_000, 1_000, 1_500), keys=["root", "child"])
    assert "I1" not in audited.check(right)
    assert audited.check(msgspec.structs.replace(right, call_id="c4", amount_nusd=1))[0] == "I1"
    assert "I1" not in audited.check(_hold("c5", 1, 50_000, 1_000, 1_502)), "no key, none is exceeded"
    late = msgspec.structs.replace(_hold("c6", 0, 50_000, 1_000, 1_502), keys=["root", "child"])
    (what,) = [what for what in audited.auditor.check(late, ends_ns) if "expired" in what]
    assert what == "I1: the hold of call c6 was given to key child, which had expired"
    assert not any("expired" in what for what in audited.auditor.check(late, ends_ns - 1))


def test_a_hold_by_a_key_that_a_restore_ended_is_told() -> None:
    """Also by who goes on from a state after it; a key that was made since is as any."""
    audited = Audited(50_000)
    audited.do(add_key("root"))
    audited.book.record(RESTORED)
    trusting = Auditor.of(audited.book.state)
    assert audited.check(RESTORED) == []
    audited.do(add_key("new"))
    hold = msgspec.structs.replace(_hold("c1", 1, 50_000, 0, 1), keys=["root"])
    for auditor in (audited.auditor, trusting):
        what, *_ = auditor.check(hold, NOW.wall_ns)
        assert what == "I1: the hold of call c1 was given to key root, which had ended"
    assert "I1" not in audited.check(msgspec.structs.replace(hold, call_id="c2", keys=["new"]))


def test_what_a_key_has_spent_is_added_up_once_more() -> None:
    """Ends, corrections; what was entered after a restore is no key's; a trusted state is gone on from."""
    audited = Audited(50_000)
    audited.do(add_key("root"))
    audited.do(add_key("child", parent_id="root", expires_ns=NOW.wall_ns + 10**12))
    for call_id in ("c1", "c2", "c3", "c4"):
        audited.do(hold_call(call_id, keys=("root", "child")))
    audited.do(settle("c1", 400))
    audited.do(cmd.VoidCall("c2", "", None))
    audited.do(cmd.AdjustCall("c1", 300, "the bill", "test"))
    audited.book.record(RESTORED)
    audited.check(RESTORED)
    audited.do(cmd.ConfirmRestored(AGENT, 7, "the bill", "test"))
    assert list(audited.auditor.sums()) == []
    trusting = Auditor.of(audited.book.state)
    (event,) = audited.book.execute(settle("c3", 5))
    for auditor in (audited.auditor, trusting):
        assert list(auditor.check(event, NOW.wall_ns)) == []
        assert list(auditor.sums()) == []
    keys = audited.book.state.agent_keys
    keys["root"].held_nusd += 1
    keys["child"].settled_nusd -= 1
    assert [what.split(" has")[0] for what in audited.auditor.sums()] == [
        "I2: what key root",
        "I2: what key child",
    ]
    keys["root"].held_nusd -= 1
    audited.book.state.forget_key(keys["child"])
    assert list(audited.auditor.sums()) == []
    audited.do(cmd.AdjustCall("c1", 1, "the bill", "test"))
    assert list(audited.auditor.sums()) == [], "what was forgotten has no sums any more"
    audited.auditor.keys.keys.clear()
    assert list(audited.auditor.sums()) == ["I2: key root is in no record"]


def test_a_correction_of_a_call_that_is_not_known_moves_no_key() -> None:
    """Only what was applied does."""
    audited = Audited(50_000)
    audited.do(add_key("root"))
    balances = {"funded_nusd": 50_000, "settled_nusd": 5, "held_nusd": 0}
    adjust = ev.Adjust(call_id="x", agent_id=AGENT, from_nusd=0, to_nusd=5, reason="", actor="", **balances)
    assert audited.check(adjust) == ["I9"]
    assert audited.auditor.keys.keys["root"].settled_nusd == 0


def test_sums_over_all_agents_are_told() -> None:
    """Once the state and the records part."""
    audited = Audited()
    audited.do(hold_call("c1"))
    audited.book.state.accounts[AGENT].settled_nusd += 1
    audited.book.state.open_calls.clear()
    assert [what.split(":")[0] for what in audited.auditor.sums()] == ["I9", "I5"]


def test_a_snapshot_that_vanishes_meanwhile_is_let_be() -> None:
    """The daemon drops the oldest one while we read."""
    disk = whole()
    gone = snapshot_name(LedgerFolder(FOLDER, disk).snapshots[0])

    def drop(operation: str, path: Path) -> None:
        if operation == "read" and path.name == gone:
            disk.files.pop(path, None)

    disk.hook = drop
    report = verify(FOLDER, disk=disk)
    assert report.ok
    assert len(report.snapshots) == 1


def test_a_segment_that_is_archived_meanwhile_is_found_there() -> None:
    """The list was made before it moved."""
    disk = SimDisk()
    busy_ledger(disk, 40)
    first = FOLDER / segment_name(1)
    disk.make_folder(FOLDER / ARCHIVE)

    def move(operation: str, path: Path) -> None:
        if operation == "read" and path == first and first in disk.files:
            disk.rename(first, FOLDER / ARCHIVE / first.name)

    disk.hook = move
    assert verify(FOLDER, disk=disk).ok
    folder = LedgerFolder(FOLDER, disk)
    size = folder.size(folder.segments[0])
    disk.hook = None
    disk.rename(FOLDER / ARCHIVE / first.name, first)
    listed = LedgerFolder(FOLDER, disk)
    disk.rename(first, FOLDER / ARCHIVE / first.name)
    assert listed.size(listed.segments[0]) == size


async def test_a_live_ledger_is_verified_beside_its_daemon(tmp_path: Path) -> None:
    """On a real disk, while it writes, rolls and compacts: never a finding."""
    reports: list[Report] = []
    ledger = Ledger.open(
        tmp_path / "ledger",
        disk=SystemDisk(),
        clock=SimClock(),
        rng=SimRng(),
        fatal=lambda error: None,
        version="1",
        segment_bytes=20_000,
    )
    ledger.start(asyncio.get_running_loop())
    first_steps(ledger)
    clock = SimClock()
    while len(reports) < 12 or not LedgerFolder(tmp_path / "ledger", SystemDisk()).snapshots:
        reading = asyncio.create_task(asyncio.to_thread(verify, tmp_path / "ledger", disk=SystemDisk()))
        part = 0
        while not reading.done():
            part += 1
            busy(ledger, clock, 5, 1_000 * len(reports) + part)
            await asyncio.sleep(0.001)
        reports.append(reading.result())
    await ledger.close("test")
    assert not any(report.findings for report in reports)
    assert reports[-1].last_seq > reports[0].last_seq
