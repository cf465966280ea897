"""The ring of what the feed told: bounded, and who goes on from a number misses nothing and hears nothing twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendguard_daemon.feed_wire import Event
from spendguard_daemon.gateway.feed_ring import CHUNK_BYTES, Ring

EPOCH = "e-1"
IDS = st.one_of(
    st.text(max_size=40),
    st.integers(-5, 300).map(lambda seq: f"{EPOCH}.{seq}"),
    st.text(alphabet="0123456789.²٣-+ e", max_size=30).map(lambda text: f"{EPOCH}.{text}"),
)
LENGTHS = st.lists(st.integers(0, 200), max_size=120)
BOUNDS = st.tuples(st.integers(1, 50), st.integers(200, 5_000))


def filled(lengths: list[int], bounds: tuple[int, int] = (10_000, 1 << 24)) -> Ring:
    """Return a ring that was told events of about these lengths."""
    ring = Ring(EPOCH, *bounds)
    for length in lengths:
        tell(ring, length)
    return ring


def tell(ring: Ring, length: int) -> None:
    """Tell one event more."""
    ring.tell(Event(seq=ring.seq + 1, at="t", kind="agent", agent_id="x" * length))


def seqs_in(told: bytes) -> list[int]:
    """Return the numbers of the messages in some bytes."""
    ids = [line for line in told.decode().splitlines() if line.startswith("id: ")]
    return [int(line.rpartition(".")[2]) for line in ids]


def kept(ring: Ring) -> int:
    """Return how many events can still be told."""
    return sum(ring.holds(seq) for seq in range(ring.seq + 1)) - 1


@given(LENGTHS, BOUNDS)
def test_it_is_bounded(lengths: list[int], bounds: tuple[int, int]) -> None:
    """In events and in bytes; it keeps as many of the last as there is room for, and no others."""
    ring = Ring(EPOCH, *bounds)
    sizes: list[int] = []
    for length in lengths:
        before = ring.seq
        tell(ring, length)
        sizes.append(len(ring.after(before)[0]) if ring.holds(before) else bounds[1] + 1)
        held = kept(ring)
        assert held <= bounds[0]
        assert sum(sizes[len(sizes) - held :]) <= bounds[1]
        if held < min(len(sizes), bounds[0]):
            assert sum(sizes[len(sizes) - held - 1 :]) > bounds[1]


@given(LENGTHS, BOUNDS, st.data())
def test_who_goes_on_hears_each_once(
    lengths: list[int], bounds: tuple[int, int], data: st.DataObject
) -> None:
    """From any number that is still held, while more is told in between: all that follows, in its order."""
    ring = filled(lengths, bounds)
    seq = data.draw(st.integers(0, ring.seq))
    resumed = ring.resume(f"{EPOCH}.{seq}")
    assert resumed == (seq if ring.holds(seq) else None)
    if resumed is None:
        return
    heard: list[int] = []
    more = data.draw(st.lists(st.integers(0, 50), max_size=5))
    while True:
        told, after = ring.after(resumed)
        heard += seqs_in(told)
        assert after == (heard[-1] if heard else seq)
        resumed = after
        if more:
            tell(ring, more.pop())
            if not ring.holds(resumed):
                return
        elif not told:
            break
    assert heard == [*range(seq + 1, ring.seq + 1)]


@given(LENGTHS, IDS)
def test_any_other_id_means_all_anew(lengths: list[int], last_id: str) -> None:
    """Only its own ids, in plain digits, of what it told and still holds."""
    ring = filled(lengths)
    resumed = ring.resume(last_id)
    if resumed is not None:
        epoch, _, number = last_id.rpartition(".")
        assert (epoch, number.lstrip("0") or "0") == (EPOCH, str(resumed))
        assert 0 <= resumed <= ring.seq


@given(LENGTHS, st.lists(st.integers(0, 50), max_size=5))
def test_what_was_forgotten_is_nobodys_place(lengths: list[int], later: list[int]) -> None:
    """After a pause in which nothing was noted, no id from before it goes on, whatever is told then."""
    ring = filled(lengths)
    before = ring.seq
    ring.forget()
    for length in later:
        tell(ring, length)
    assert [ring.resume(f"{EPOCH}.{seq}") for seq in range(before + 1)] == [None] * (before + 1)
    assert ring.resume(f"{EPOCH}.{before + 1}") == before + 1


def test_a_chunk_at_a_time() -> None:
    """Much is not joined at once: whole messages, until a chunk is full."""
    ring = filled([60_000] * 7)
    told, seq = ring.after(0)
    assert len(told) < CHUNK_BYTES + 61_000
    assert seqs_in(told) == [1, 2, 3]
    assert seq == 3
    assert ring.after(7) == (b"", 7)


def test_events_are_told_in_their_order() -> None:
    """One that does not follow is a fault of the feed's own."""
    ring = filled([1, 1])
    with pytest.raises(ValueError, match="event 2 does not follow 2"):
        ring.tell(Event(seq=2, at="t", kind="agent"))
