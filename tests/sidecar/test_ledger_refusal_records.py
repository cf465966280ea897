"""Refused calls: shown at once, recorded together, bounded in bytes, and none uncounted."""

import asyncio
import json
from typing import Any

import pytest

from ledger_kit import AGENT, FOLDER, SEGMENT, grant, hold_call, new_agent, open_ledger
from sim import SimClock, SimDisk
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.commands import Now
from spendguard_daemon.ledger.events import Refused
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.ledger.lines import encode_body
from spendguard_daemon.ledger.refusals import (
    DAY_NS,
    ENVELOPE_BYTES,
    FACT_CHARS_MAX,
    HOUR_NS,
    LISTED_MAX,
    Refusal,
    Refusals,
    recorded,
)
from spendguard_daemon.ledger.room import RoomLimits
from spendguard_daemon.ledger.times import NS_PER_SECOND

START_NS = 1_800_000_000 * NS_PER_SECOND


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let records be due after 10 ms, for timers run by the real clock."""
    monkeypatch.setattr("spendguard_daemon.ledger.refusals.TOGETHER_NS", NS_PER_SECOND // 100)
    monkeypatch.setattr("spendguard_daemon.ledger.desk.BLOCKED_SECONDS", 3_600)


def at(seconds: float) -> Now:
    """Return a moment; the monotonic clock begins in the middle of nowhere."""
    ns = int(seconds * NS_PER_SECOND)
    return Now(START_NS + ns, 10 * DAY_NS + ns)


def refused(call_id: str = "c1", agent_id: str = AGENT, **changes: Any) -> Refusal:
    """Return a refusal for want of money."""
    values: dict[str, Any] = {
        "run_id": "run-1",
        "provider": "openai",
        "endpoint": "chat/completions",
        "model": "gpt-4o-mini",
        "code": Code.INSUFFICIENT_BUDGET,
        "detail": "Insufficient budget: this call can cost up to $0.01, $0.004 remains",
        "facts": {"worst_case_usd": "0.01", "remaining_usd": "0.004", "prompt": "a secret"},
    }
    return Refusal(call_id=call_id, agent_id=agent_id, **(values | changes))


def size(record: Refused) -> int:
    """Return what a record takes of a budget."""
    return len(encode_body(record)) + ENVELOPE_BYTES


def test_refusals_of_one_second_are_one_record() -> None:
    """With their count, when the first and the last were, and the first one's call and numbers."""
    desk = Refusals()
    for index in range(5):
        desk.note(refused(f"c{index}"), at(index * 0.2))
    assert desk.due(at(0.99)) == []
    assert desk.next_due_ns() == at(1).monotonic_ns
    (record,) = desk.due(at(1))
    assert record == Refused(
        agent_id=AGENT,
        code="insufficient_budget",
        at="2027-01-15T08:00:00.000Z",
        until="2027-01-15T08:00:00.800Z",
        call_id="c0",
        run_id="run-1",
        provider="openai",
        endpoint="chat/completions",
        model="gpt-4o-mini",
        http_status=402,
        detail="Insufficient budget: this call can cost up to $0.01, $0.004 remains",
        count=5,
        facts={"worst_case_usd": "0.01", "remaining_usd": "0.004"},
    )
    assert (desk.due(at(2)), desk.next_due_ns()) == ([], None)


def test_agents_and_codes_are_counted_apart() -> None:
    """Each pair has its own record, due a second after its own first refusal."""
    desk = Refusals()
    desk.note(refused("c1"), at(0))
    desk.note(refused("c2", code=Code.BUDGET_LOCKED, facts={"locked_run_id": "run-9"}), at(0.5))
    desk.note(refused("c3", "agent-2"), at(0.6))
    assert [record.call_id for record in desk.due(at(1))] == ["c1"]
    assert [(record.call_id, record.facts) for record in desk.due(at(2))] == [
        ("c2", {"locked_run_id": "run-9"}),
        ("c3", {"worst_case_usd": "0.01", "remaining_usd": "0.004"}),
    ]


def test_the_words_of_a_request_are_not_recorded() -> None:
    """Neither in the sentence, nor as model, nor in a path that is no plain name; long texts are cut."""
    desk = Refusals()
    quoting = {"path": "messages[0].my secret", "expected": "e" * 999, "feature": "web_search"}
    desk.note(refused(code=Code.MALFORMED_REQUEST, model="my secret", detail="secret", facts=quoting), at(0))
    desk.note(refused(code=Code.AGENT_FROZEN, detail="d" * 999, facts={"floor_output_tokens": 5}), at(0))
    malformed, frozen = desk.all()
    assert (malformed.model, malformed.detail) == ("", "Malformed request")
    assert malformed.facts == {"expected": "e" * 200, "feature": "web_search"}
    assert (frozen.detail, frozen.facts) == ("d" * 300, {"floor_output_tokens": 5})
    assert b"secret" not in encode_body(malformed) + encode_body(frozen)


def test_lists_are_short_and_a_setting_has_the_form_of_ours() -> None:
    """What a setting allows may be a client's word: recorded as a plain name, and never a key."""
    told = {
        "rates": ["input 0.15 USD per 1M tokens", "x" * 300],
        "held_by": [f"run {number}: 1 call, $0.01" for number in range(20)],
        "locked_calls": 2,
    }
    kept = recorded(told | {"words": ["a secret"]})
    assert kept == {
        "rates": ["input 0.15 USD per 1M tokens", "x" * FACT_CHARS_MAX],
        "held_by": [f"run {number}: 1 call, $0.01" for number in range(LISTED_MAX)],
        "locked_calls": 2,
    }
    for setting in (
        "[prices.overrides]",
        '[policy] hosted_tools = "allow"',
        "[policy] allow: grok.chat.cap:reasoning, grok.fee:violation",
    ):
        assert recorded({"setting": setting}) == {"setting": setting}
    for setting in (
        "[policy] allow: a secret plan",
        "[policy] allow: sk-proj-0123456789abcdefghijABCDEFGHIJ0123456789",
        "my words",
        None,
    ):
        assert recorded({"setting": setting}) == {}


def loop_for(desk: Refusals, agent_id: str, start: float, seconds: int) -> list[Refused]:
    """Let an agent be refused ten times a second, and take what is due each time."""
    records = []
    for tenth in range(seconds * 10):
        now = at(start + tenth / 10)
        desk.note(refused(f"c{start}-{tenth}", agent_id), now)
        records += desk.due(now)
    return records


def test_a_looping_agent_has_its_bytes_of_the_hour_and_its_count_after_it() -> None:
    """The record that ends the hour says how many there were since the last one."""
    desk = Refusals(agent_hour_bytes=3_000)
    records = loop_for(desk, AGENT, 0, 3_700)
    hour = [record for record in records if record.at < "2027-01-15T09:00:00"]
    assert 3_000 <= sum(map(size, hour[:-1])) < 3_700
    # A record a second while there are bytes, one for the rest of the hour, then one a second again.
    last = hour[-1]
    assert last.count > 35_000
    assert last.until >= "2027-01-15T08:59:59"
    assert records[len(hour)].at >= "2027-01-15T09:00:00"
    records += desk.all()
    assert sum(record.count for record in records) == 37_000


def test_all_agents_together_have_their_bytes_of_the_day_but_each_its_first_of_the_hour() -> None:
    """So that a crowd that is refused hides no one who is refused for the first time."""
    desk = Refusals(day_bytes=2_000)
    records = [record for index in range(10) for record in loop_for(desk, f"crowd-{index}", index * 3, 3)]
    assert sum(map(size, records)) > 2_000
    assert loop_for(desk, "crowd-0", 40, 5) == []
    desk.note(refused("new", "agent-new"), at(50))
    assert [record.call_id for record in desk.due(at(51))] == ["new"]
    desk.note(refused("next hour", "crowd-1", code=Code.AGENT_FROZEN), at(3_700))
    assert [record.call_id for record in desk.due(at(3_701))] == ["next hour"]
    # The day's end gives the counts.
    midnight = DAY_NS / NS_PER_SECOND
    assert desk.due(at(midnight - 1)) == []
    late = desk.due(at(midnight))
    assert len(late) == 10
    assert sum(record.count for record in late) == 10 * 30 + 50 - sum(r.count for r in records)
    desk.note(refused("fresh", "crowd-0"), at(midnight))
    desk.note(refused("fresh", "crowd-0", code=Code.AGENT_FROZEN), at(midnight))
    assert len(desk.due(at(midnight + 1))) == 2


def soon_after_each_other(desk: Refusals, start: float = 0) -> list[str]:
    """Let an agent be refused for two reasons; return those that are recorded a second later."""
    for code in (Code.INSUFFICIENT_BUDGET, Code.AGENT_FROZEN):
        desk.note(refused(code.value, code=code), at(start))
    return [record.call_id for record in desk.due(at(start + 1))]


BOTH, FIRST = ["insufficient_budget", "agent_frozen"], ["insufficient_budget"]


def test_only_the_first_record_of_an_agent_in_an_hour_is_free() -> None:
    """The second reason of the same moment is no first one; and nothing is used yet."""
    assert soon_after_each_other(Refusals()) == BOTH
    assert soon_after_each_other(Refusals(agent_hour_bytes=1)) == BOTH
    assert soon_after_each_other(Refusals(agent_hour_bytes=0)) == FIRST
    assert soon_after_each_other(Refusals(day_bytes=0)) == FIRST


def test_a_bound_is_reached_by_its_last_byte() -> None:
    """Of the hour and of the day; and a new day begins with nothing used."""
    desk = Refusals()
    desk.note(refused(), at(0))
    (record,) = desk.due(at(1))
    for bounds, waits in (
        ({"agent_hour_bytes": size(record)}, True),
        ({"agent_hour_bytes": size(record) + 1}, False),
        ({"day_bytes": size(record)}, True),
        ({"day_bytes": size(record) + 1}, False),
    ):
        desk = Refusals(**bounds)
        desk.note(refused(), at(0))
        assert len(desk.due(at(1))) == 1
        desk.note(refused(), at(2))
        assert (desk.due(at(3)) == []) == waits
    desk = Refusals(day_bytes=1)
    assert soon_after_each_other(desk) == BOTH
    assert soon_after_each_other(desk, DAY_NS / NS_PER_SECOND) == BOTH


def test_what_waits_is_bounded() -> None:
    """Above the bound the one that waits longest is written early."""
    desk = Refusals(waiting_max=3)
    for index in range(5):
        desk.note(refused(f"c{index}", f"agent-{index}"), at(0.1))
    assert [record.call_id for record in desk.due(at(0.2))] == ["c0", "c1"]
    assert len(desk.all()) == 3


def test_a_calendar_that_is_set_back_stops_no_record() -> None:
    """Hours and days are counted by the monotonic clock."""
    assert (HOUR_NS, DAY_NS) == (3_600 * 10**9, 86_400 * 10**9)
    desk = Refusals(agent_hour_bytes=1)
    desk.note(refused("c1"), Now(START_NS, 0))
    assert len(desk.due(Now(START_NS, 2 * NS_PER_SECOND))) == 1
    desk.note(refused("c2"), Now(5, 3 * NS_PER_SECOND))
    assert desk.due(Now(5, HOUR_NS - 1)) == []
    assert len(desk.due(Now(5, HOUR_NS))) == 1


# -- in the ledger ----------------------------------------------------------------------------------------


def opened(disk: SimDisk, clock: SimClock, **limits: int) -> Ledger:
    """Open a ledger that has one funded agent."""
    bare = {"free_bytes_min": 0, "ballast_bytes": 0}
    ledger = open_ledger(disk, clock, limits=RoomLimits(**(bare | limits)))
    if AGENT not in ledger.state.accounts:
        ledger.post(new_agent())
        ledger.post(grant(999))
    return ledger


def records(disk: SimDisk) -> list[dict[str, Any]]:
    """Return the refusals in the journal."""
    lines = [json.loads(line) for line in disk.read(SEGMENT).splitlines()]
    return [line for line in lines if line["t"] == "refused"]


def refuse_for_money(ledger: Ledger, call_id: str) -> None:
    """Let a call be refused, as the guard does."""
    with pytest.raises(SpendGuardError) as caught:
        ledger.post(hold_call(call_id))
    error = caught.value
    ledger.refuse(refused(call_id, code=error.code, detail=error.detail, facts=error.facts))


def test_the_journal_alone_tells_why_a_call_was_refused() -> None:
    """The whole sum, and after a restart the API shows it again, with how many it stands for."""
    disk, clock = SimDisk(), SimClock()
    ledger = opened(disk, clock)
    for index in range(3):
        refuse_for_money(ledger, f"c{index}")
        clock.advance(0.4)
    assert [call.call_id for call in ledger.history.calls(AGENT, 9)] == ["c2", "c1", "c0"]
    assert records(disk) == []
    clock.advance(1)
    refuse_for_money(ledger, "c3")
    (record,) = records(disk)
    assert (record["code"], record["count"], record["call_id"]) == ("insufficient_budget", 4, "c0")
    assert record["facts"] == {
        "budget": "agent",
        "worst_case_usd": "0.000001",
        "needed_usd": "0.000001",
        "short_usd": "0.000000001",
        "limit_usd": "0.000000999",
        "remaining_usd": "0.000000999",
        "available_usd": "0.000000999",
        "held_usd": "0.00",
        "input_tokens_bound": 100,
        "rung": "bytes",
        "asked_output_tokens": 10,
        "floor_output_tokens": 10,
        "affordable_max_tokens": 9,
    }
    again = opened(disk.killed(), clock)
    (shown,) = again.history.calls(AGENT, 9)
    assert (shown.state, shown.code, shown.count) == ("refused", "insufficient_budget", 4)
    assert shown.reason == record["detail"]
    assert shown.facts == record["facts"]
    assert shown.created_ns == 1_800_000_000 * NS_PER_SECOND
    assert again.state.accounts[AGENT] == ledger.state.accounts[AGENT]


async def test_a_record_is_written_also_when_nothing_else_happens(soon: None) -> None:
    """A timer does it; and a closing ledger writes what is left, before its `close`."""
    disk, clock = SimDisk(), SimClock()
    ledger = opened(disk, clock)
    heard = asyncio.Event()
    ledger.subscribe(lambda event, seq, wall_ns: heard.set() if isinstance(event, Refused) else None)
    ledger.start(asyncio.get_running_loop())
    refuse_for_money(ledger, "c1")
    clock.advance(2)
    refuse_for_money(ledger, "c2")  # the loop's own time has not moved: this one finds the first due
    await asyncio.wait_for(heard.wait(), 20)
    heard.clear()
    refuse_for_money(ledger, "c3")
    clock.advance(2)
    await asyncio.wait_for(heard.wait(), 20)
    refuse_for_money(ledger, "c4")
    await ledger.close("test")
    ledger.refuse(refused("late"))
    assert [(record["call_id"], record["count"]) for record in records(disk)] == [
        ("c1", 2),
        ("c3", 1),
        ("c4", 1),
    ]
    assert json.loads(disk.read(SEGMENT).splitlines()[-1])["t"] == "close"


async def test_an_earlier_record_is_not_kept_waiting_by_a_later_one(soon: None) -> None:
    """One agent's record is due at the end of the hour, another's in a second."""
    disk, clock = SimDisk(), SimClock()
    ledger = opened(disk, clock)
    ledger.post(new_agent("agent-2"))
    ledger._desk._refusals.agent_hour_bytes = 1
    ledger.start(asyncio.get_running_loop())
    heard: list[str] = []
    both = asyncio.Event()

    def listen(event: object, seq: int, wall_ns: int) -> None:
        if isinstance(event, Refused):
            heard.append(event.call_id)
            both.set()

    ledger.subscribe(listen)
    refuse_for_money(ledger, "c1")
    clock.advance(1)
    await asyncio.wait_for(both.wait(), 20)
    both.clear()
    refuse_for_money(ledger, "c3")  # waits for the end of the hour
    ledger.refuse(refused("d1", "agent-2"))
    clock.advance(1)
    await asyncio.wait_for(both.wait(), 20)
    assert heard == ["c1", "d1"]
    await ledger.close("test")
    assert [(r["call_id"], r["count"]) for r in records(disk)] == [("c1", 1), ("d1", 1), ("c3", 1)]


def test_a_full_disk_is_not_filled_further_with_refusals() -> None:
    """They are counted until there is room, and then recorded."""
    disk, clock = SimDisk(), SimClock()
    ledger = opened(disk, clock, free_bytes_min=1_000)
    disk.capacity_bytes = disk.used_bytes() + 500
    clock.advance(1)
    for index in range(3):
        with pytest.raises(SpendGuardError) as caught:
            ledger.post(hold_call(f"c{index}"))
        assert caught.value.code is Code.LEDGER_FULL
        ledger.refuse(refused(f"c{index}", code=caught.value.code, facts=caught.value.facts))
        clock.advance(2)
    assert records(disk) == []
    disk.capacity_bytes = None
    ledger.refuse(refused("c9", code=Code.LEDGER_FULL, facts={}))
    (record,) = records(disk)
    assert (record["code"], record["count"]) == ("ledger_full", 4)
    assert record["facts"] == {"free_bytes": 500, "needed_bytes": 1_000}


async def test_a_full_disk_is_looked_at_again(soon: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a timer, until the record can be written; and none is written at the end of a full one."""
    monkeypatch.setattr("spendguard_daemon.ledger.desk.BLOCKED_SECONDS", 0.01)
    disk, clock = SimDisk(), SimClock()
    ledger = opened(disk, clock, free_bytes_min=1_000)
    ledger.start(asyncio.get_running_loop())
    disk.capacity_bytes = disk.used_bytes()
    clock.advance(2)
    ledger.refuse(refused("c1"))
    clock.advance(2)
    looks = disk.operations.count(("free_bytes", FOLDER.name))
    async with asyncio.timeout(20):
        while disk.operations.count(("free_bytes", FOLDER.name)) < looks + 3:
            clock.advance(2)
            await asyncio.sleep(0.01)
    assert records(disk) == []
    disk.capacity_bytes = None
    async with asyncio.timeout(20):
        while not records(disk):
            clock.advance(2)
            await asyncio.sleep(0.01)
    disk.capacity_bytes = disk.used_bytes() + 900
    clock.advance(2)
    ledger.refuse(refused("c2"))
    await ledger.close("test")
    assert len(records(disk)) == 1


async def test_a_full_disk_is_not_looked_at_all_the_time() -> None:
    """Though the record is due; and after the close not at all."""
    disk, clock = SimDisk(), SimClock()
    ledger = opened(disk, clock, free_bytes_min=1_000)
    loop = asyncio.get_running_loop()
    ledger.start(loop)
    disk.capacity_bytes = disk.used_bytes() + 900
    clock.advance(2)
    ledger.refuse(refused("c1"))
    clock.advance(2)
    ledger._desk._on_timer()
    timer = ledger._desk._timer
    assert timer is not None
    assert 0.5 < timer.when() - loop.time() <= 1
    await ledger.close("test")
    assert timer.cancelled()


async def test_a_record_is_come_back_for_when_it_is_due() -> None:
    """Not before."""
    ledger = opened(SimDisk(), SimClock())
    loop = asyncio.get_running_loop()
    ledger.start(loop)
    ledger.refuse(refused("c1"))
    timer = ledger._desk._timer
    assert timer is not None
    assert 0.5 < timer.when() - loop.time() <= 1
    await ledger.close("test")


def test_after_a_failure_of_the_disk_nothing_is_recorded() -> None:
    """The calls are still shown."""
    disk, clock = SimDisk(), SimClock()
    failures: list[BaseException] = []
    ledger = open_ledger(disk, clock, failures.append)
    ledger.post(new_agent())

    def fail(operation: str, path: object) -> None:
        raise OSError(5, "Input/output error")

    disk.hook = fail
    with pytest.raises(SpendGuardError):
        ledger.post(grant(5))
    disk.hook = None
    ledger.refuse(refused("c1"))
    clock.advance(2)
    ledger.refuse(refused("c2"))
    assert records(disk) == []
    assert len(ledger.history.calls(AGENT, 9)) == 2
    assert len(failures) == 1


@pytest.mark.parametrize(
    "change", [{"agent_id": "nobody"}, {"at": "yesterday"}, {"at": "yesterdayZ"}, {"at": ""}]
)
def test_a_refusal_that_cannot_have_been_is_damage(change: dict[str, str]) -> None:
    """Of an agent that never was, or at no time."""
    disk, clock = SimDisk(), SimClock()
    ledger = opened(disk, clock)
    ledger._book._record = lambda events, now: None  # type: ignore[method-assign]
    ledger.refuse(refused("c1"))
    clock.advance(2)
    (record,) = ledger._desk._refusals.due(ledger._book.now())
    del ledger._book._record
    values = {name: getattr(record, name) for name in record.__struct_fields__} | change
    ledger._book.sink = ledger._journal.append
    raw = disk.read(SEGMENT)
    _append(disk, raw, encode_body(Refused(**values)))
    with pytest.raises(SpendGuardError) as caught:
        open_ledger(disk.killed())
    assert caught.value.code is Code.LEDGER_DAMAGED


def _append(disk: SimDisk, raw: bytes, body: bytes) -> None:
    """Add a whole line to the journal, as if a daemon had written it."""
    from spendguard_daemon.ledger.lines import seal

    last = json.loads(raw.splitlines()[-1])
    line, _ = seal(last["seq"] + 1, last["seq"], last["h"], START_NS, body)
    disk.files[SEGMENT].data += line


def test_operators_commands_are_not_held_back_by_a_full_disk() -> None:
    """Someone must be able to freeze an agent then."""
    disk, clock = SimDisk(), SimClock()
    ledger = opened(disk, clock, free_bytes_min=10**9)
    disk.capacity_bytes = disk.used_bytes() + 5_000
    clock.advance(2)
    assert ledger.post(cmd.Freeze(AGENT, "mad", "me"))


def test_who_listens_hears_of_each_refusal_at_once() -> None:
    """With what it says, before anything is recorded, and each of many; until then nobody need listen."""
    ledger = open_ledger(SimDisk(), SimClock())
    ledger.post(new_agent())
    ledger.refuse(refused("unheard"))
    heard: list[Refusal] = []
    ledger.subscribe_refusals(heard.append)
    for number in range(3):
        ledger.refuse(refused(f"c{number}"))
        shown = ledger.history.call(f"c{number}")
        assert shown is not None
        assert shown.code == "insufficient_budget"
        assert heard[-1] == refused(f"c{number}")
    assert len(heard) == 3
