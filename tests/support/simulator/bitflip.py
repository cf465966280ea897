"""Every single flipped bit of a journal of 20 kB: each must be refused, by name of its file, line and byte.

The head file is right, as it is after every batch. Where it is the head itself that rots, nothing is lost.
"""

import random
from dataclasses import dataclass
from functools import lru_cache

from journals import RecordedJournal, long_script, record_journal
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger.opening import FIRST_SEGMENT
from spendguard_daemon.ledger.recovery import Segment, plan

JOURNAL_BYTES = 20_000


@dataclass
class FlipReport:
    """How many bits were flipped, and of how many there are."""

    flips: int
    bits: int


@lru_cache(maxsize=2)
def journal(seed: int) -> RecordedJournal:
    """Return a journal of at least 20 kB."""
    steps = 18
    while len((recorded := record_journal(long_script(seed, steps))).raw) < JOURNAL_BYTES:
        steps += 1
    return recorded


def run(seed: int, share: int = 0, shares: int = 1, most: int | None = None) -> FlipReport:
    """Flip one share of all bits, or `most` of them by chance; raise AssertionError at one that passes."""
    recorded = journal(seed)
    head = recorded.batches[-1].head
    bits = range(share, 8 * len(recorded.raw), shares)
    chosen = bits if most is None else random.Random(seed * shares + share).sample(bits, most)
    for bit in chosen:
        flipped = bytearray(recorded.raw)
        flipped[bit // 8] ^= 1 << bit % 8
        check_refused(bytes(flipped), head, bit // 8)
    for bit in range(share, 8 * len(head), shares):
        rotten = bytearray(head)
        rotten[bit // 8] ^= 1 << bit % 8
        found = plan([Segment(FIRST_SEGMENT, recorded.raw)], bytes(rotten))
        assert found.seq == recorded.batches[-1].seq, f"bit {bit} of the head"
    return FlipReport(len(chosen), 8 * len(recorded.raw))


def check_refused(raw: bytes, head: bytes, byte: int) -> None:
    """Check that damage at `byte` is refused, and that the place named is its line or one after it."""
    try:
        plan([Segment(FIRST_SEGMENT, raw)], head)
    except SpendGuardError as refusal:
        assert refusal.code is Code.LEDGER_DAMAGED, f"byte {byte}: {refusal.code}"
        assert int(str(refusal.facts["byte"])) <= byte + 1, f"byte {byte}: named {refusal.facts}"
        return
    raise AssertionError(f"a flipped bit in byte {byte} was not seen")
