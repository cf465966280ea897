"""Every prefix, flipped bit and misplaced line: opened with all that was acknowledged, or refused."""

import random
from functools import lru_cache

import pytest

from journals import RecordedJournal, journal, long_script, record_journal, replayed
from ledger_kit import (
    grant,
    hold_call,
    new_agent,
    settle,
)
from sim import SECTOR_BYTES
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.history import History
from spendguard_daemon.ledger.lines import (
    GENESIS,
    Slot,
    encode_body,
    encode_slot,
    open_line,
    seal,
)
from spendguard_daemon.ledger.opening import FIRST_SEGMENT
from spendguard_daemon.ledger.recovery import Segment, plan
from spendguard_daemon.ledger.replay import replay
from spendguard_daemon.ledger.state import State


@lru_cache
def small_journal() -> RecordedJournal:
    """Return a journal short enough to flip its every bit."""
    script: list[list[cmd.Command]] = [
        [new_agent(), grant(9_000)],
        [hold_call("c1")],
        [settle("c1", 5), hold_call("c2")],
        [cmd.SettleAtWorst("c2", "timeout", 504), hold_call("c3")],
    ]
    return record_journal(script)


def refusal(segment: bytes, head: bytes | None = None, *others: Segment) -> SpendGuardError:
    """Return the refusal of a journal."""
    with pytest.raises(SpendGuardError) as caught:
        plan([Segment(FIRST_SEGMENT, segment), *others], head)
    error = caught.value
    assert error.code is Code.LEDGER_DAMAGED
    place = f"{error.facts['file']}, line {error.facts['line']}, byte {error.facts['byte']}: "
    assert error.detail.startswith(f"The ledger is damaged: {place}")
    return error


@pytest.mark.sweep
def test_every_prefix_without_a_head_opens_with_its_whole_records() -> None:
    """Nothing whole is lost, the rest is a torn tail, and the state is that of the records that are there."""
    recorded = journal()
    whole = 0
    for size in range(len(recorded.raw) + 1):
        while whole + 1 < len(recorded.line_ends) and recorded.line_ends[whole + 1] <= size:
            whole += 1
        found = plan([Segment(FIRST_SEGMENT, recorded.raw[:size])], None)
        assert found.seq == whole
        # Replayed are the records up to that one, whatever is torn: here no byte, one, or all but one.
        if {size, size - 1, size + 1} & set(recorded.line_ends):
            assert repr(replayed(recorded.raw[:size])[1]) == recorded.states[whole]
        torn = recorded.raw[recorded.line_ends[whole] : size]
        assert (found.torn.raw if found.torn else b"") == torn


@pytest.mark.sweep
def test_every_prefix_with_the_head_of_its_moment_opens_with_all_that_was_acknowledged() -> None:
    """The head is that of the batch before the one that was being written when the power went."""
    recorded = journal()
    for size in range(recorded.batches[0].size, len(recorded.raw) + 1):
        durable = [batch for batch in recorded.batches if batch.size <= size][-1]
        found = plan([Segment(FIRST_SEGMENT, recorded.raw[:size])], durable.head)
        assert found.seq >= durable.seq
        assert found.warnings == () or found.torn is not None


@pytest.mark.sweep
def test_every_prefix_with_a_later_head_is_refused_naming_the_place() -> None:
    """What the head knows to have been durable must be there."""
    recorded = journal()
    whole = 0
    for size in range(len(recorded.raw)):
        while recorded.line_ends[whole + 1] <= size:
            whole += 1
        later = next(batch for batch in recorded.batches if batch.size > size)
        error = refusal(recorded.raw[:size], later.head)
        assert error.facts == {"file": FIRST_SEGMENT, "line": whole + 1, "byte": recorded.line_ends[whole]}


@pytest.mark.sweep
def test_no_bit_flips_unseen_while_the_head_is_right() -> None:
    """Each of them is refused."""
    recorded = small_journal()
    head = recorded.batches[-1].head
    for index in range(len(recorded.raw)):
        for bit in range(8):
            flipped = bytearray(recorded.raw)
            flipped[index] ^= 1 << bit
            assert "was durable" not in refusal(bytes(flipped), head).detail  # but what is wrong there


@pytest.mark.sweep
def test_without_a_head_a_flipped_bit_is_refused_or_taken_for_a_tear_of_the_last_batch() -> None:
    """What a later batch proves to have been durable is never dropped."""
    recorded = small_journal()
    last = recorded.batches[-2]
    taken = 0
    for index in range(len(recorded.raw)):
        for bit in range(8):
            flipped = bytearray(recorded.raw)
            flipped[index] ^= 1 << bit
            if index < last.size:
                refusal(bytes(flipped))
                continue
            found = plan([Segment(FIRST_SEGMENT, bytes(flipped))], None)
            assert found.torn is not None
            assert found.seq >= last.seq
            taken += 1
    assert taken == 8 * (len(recorded.raw) - last.size)


def test_a_flipped_bit_in_the_head_costs_nothing_but_one_slot() -> None:
    """The other slot, or the journal itself, still says enough."""
    recorded = small_journal()
    for index in range(len(recorded.batches[-1].head)):
        flipped = bytearray(recorded.batches[-1].head)
        flipped[index] ^= 1
        assert plan([Segment(FIRST_SEGMENT, recorded.raw)], bytes(flipped)).seq == recorded.batches[-1].seq


@pytest.mark.parametrize("with_head", [True, False])
def test_deleted_repeated_and_swapped_lines_are_refused(with_head: bool) -> None:
    """Each line is whole in itself, so no tear can have done it: also in the batch never acknowledged."""
    recorded = journal()
    head = recorded.batches[-1].head if with_head else None
    lines = recorded.raw.splitlines(keepends=True)
    for index in range(len(lines)):
        refusal(b"".join(lines[: index + 1] + lines[index:]), head)
        if index + 1 < len(lines):
            refusal(b"".join(lines[:index] + lines[index + 1 :]), head)
            swapped = [*lines[:index], lines[index + 1], lines[index], *lines[index + 2 :]]
            refusal(b"".join(swapped), head)
    if with_head:
        refusal(b"".join(lines[:-1]), head)


def test_whole_lines_of_before_behind_a_tear_are_refused() -> None:
    """A tear loses bytes where they are; it does not bring an old line to a new place."""
    recorded = journal()
    lines = recorded.raw.splitlines(keepends=True)
    for old in (lines[3], lines[-1]):
        refusal(recorded.raw + b"half a li" + b"\n" + old)


def test_lost_sectors_of_the_last_batch_are_a_tear() -> None:
    """Any subset of its sectors may be missing: nothing acknowledged is lost, nothing is refused."""
    recorded = journal()
    chance = random.Random(2)
    for index in range(1, len(recorded.batches)):
        before, batch = recorded.batches[index - 1], recorded.batches[index]
        for _ in range(40):
            raw = bytearray(recorded.raw[: chance.randint(before.size, batch.size)])
            first_sector = before.size // SECTOR_BYTES * SECTOR_BYTES
            for start in range(first_sector, len(raw), SECTOR_BYTES):
                low = max(start, before.size)
                if chance.random() < 0.5:
                    raw[low : start + SECTOR_BYTES] = bytes(len(raw[low : start + SECTOR_BYTES]))
            found, state = replayed(bytes(raw), before.head)
            assert found.seq >= before.seq
            assert repr(state) == recorded.states[found.seq]


def test_another_history_than_the_heads_is_refused() -> None:
    """A journal of the same length, put in its place, does not have the head's hash."""
    recorded, other = journal(), record_journal(long_script(seed=5, steps=40))
    seq = recorded.batches[-1].seq
    error = refusal(other.raw, recorded.batches[-1].head)
    assert "another record" in error.detail
    assert error.facts["line"] == seq


def test_another_generation_than_the_heads_is_refused() -> None:
    """A head and a journal of different restores do not belong together."""
    recorded = journal()
    last = open_line(recorded.raw.splitlines()[-1])
    error = refusal(recorded.raw, encode_slot(Slot(last.seq, last.h, 2)) + bytes(128))
    assert "generation" in error.detail
    assert error.facts == {"file": "head", "line": 1, "byte": 0}


def test_a_last_record_that_is_gone_is_missed_at_the_end() -> None:
    """The head knows of it; what is there is whole."""
    recorded = journal()
    *_, before, end = recorded.line_ends
    assert end == len(recorded.raw)
    error = refusal(recorded.raw[:before], recorded.batches[-1].head)
    assert "was durable" in error.detail
    assert error.facts == {"file": FIRST_SEGMENT, "line": len(recorded.line_ends) - 1, "byte": before}


def test_what_stands_behind_the_heads_slots_does_not_count() -> None:
    """They are 128 bytes each, whatever follows."""
    recorded = journal()
    head = recorded.batches[-1].head
    assert plan([Segment(FIRST_SEGMENT, recorded.raw)], head + b"x").warnings == ()
    newest = max(head[:128], head[128:])
    for alone in (newest + bytes(128), bytes(128) + newest):
        assert plan([Segment(FIRST_SEGMENT, recorded.raw)], alone + b"x").warnings == ()


def test_a_first_line_that_was_cut_short_is_a_tear() -> None:
    """Nobody was told of any record; where there is a head, somebody was."""
    recorded = journal()
    torn = recorded.raw[: recorded.line_ends[1] - 1]
    found = plan([Segment(FIRST_SEGMENT, torn)], None)
    assert found.torn is not None
    assert (found.seq, found.torn.raw, found.torn.first_seq) == (0, torn, 1)
    refusal(torn, recorded.batches[0].head)


def chained(*records: bytes, first_seq: int = 1, prev: str = GENESIS) -> tuple[bytes, str]:
    """Return whole lines around bodies, each in a batch of its own, and the last hash."""
    raw = b""
    for index, body in enumerate(records):
        seq = first_seq + index
        line, prev = seal(seq, seq - 1, prev, 1_800_000_000 * 10**9, body)
        raw += line
    return raw, prev


OPEN = encode_body(ev.Open(version="9.9.9", min_reader=1, generation=1, session="00"))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"t":"open","version":"9","min_reader":3,"generation":1,"session":""}', "readers of version 3"),
        (b'{"t":"splice","crit":true}', "critical record of the unknown type 'splice'"),
    ],
)
def test_a_newer_journal_is_refused_as_such(body: bytes, why: str) -> None:
    """Not damage: an upgrade is what helps."""
    raw, _ = chained(OPEN, body)
    with pytest.raises(SpendGuardError, match=why) as caught:
        replayed(raw)
    assert caught.value.code is Code.LEDGER_NEWER
    assert caught.value.facts["line"] == 2


def test_unknown_harmless_records_are_passed_over() -> None:
    """A later version may add notes that this one need not know."""
    raw, _ = chained(OPEN, b'{"t":"remark","text":"hello"}', encode_body(ev.Close(reason="down")))
    assert replayed(raw)[0].seq == 3


@pytest.mark.parametrize(
    "body",
    [
        encode_body(
            ev.Void(
                call_id="x",
                agent_id="a",
                hold_nusd=0,
                http_status=None,
                reason="",
                funded_nusd=0,
                settled_nusd=0,
                held_nusd=0,
            )
        ),
        encode_body(ev.Freeze(agent_id="nobody", reason="r", actor="me")),
        b'{"t":"hold","call_id":"c"}',
        b'{"t":"close","reason":5}',
    ],
)
def test_records_that_contradict_the_others_are_refused_with_their_place(body: bytes) -> None:
    """A right hash does not make a wrong sum right."""
    first, _ = chained(OPEN)
    raw, _ = chained(OPEN, body)
    with pytest.raises(SpendGuardError) as caught:
        replayed(raw)
    assert caught.value.code is Code.LEDGER_DAMAGED
    assert caught.value.facts == {"file": FIRST_SEGMENT, "line": 2, "byte": len(first)}


def test_a_journal_may_lie_in_several_segments() -> None:
    """The chain runs through them; only the last may be torn; none may be missing."""
    raw = journal().raw
    cut = journal().line_ends[9]
    first, second = Segment(FIRST_SEGMENT, raw[:cut]), Segment("seg-000000000010.jsonl", raw[cut:])
    found, state = plan([first, second], None), State()
    replay([first, second], found, state, History())
    assert repr(state) == journal().states[-1]
    torn = plan([first, Segment(second.name, second.raw[:-3])], None).torn
    assert torn is not None
    assert torn.place.file == second.name
    for broken in (first.raw[:-3], first.raw[: journal().line_ends[8]], b""):
        refusal(broken, None, second)
    with pytest.raises(SpendGuardError, match="record 1 should follow here") as caught:
        plan([second], None)
    assert caught.value.facts == {"file": second.name, "line": 1, "byte": 0}
