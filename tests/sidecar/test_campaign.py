"""A share of the campaign (`python -m tests.campaign`), from new seeds each time; and proof that it can fail.

SPENDGUARD_TEST_SEED fixes the seeds. A seed that fails is named, and belongs into `test_seeds`.
"""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from simulator import bare, bitflip, guarded, powercut
from simulator.disk import SimDisk, SimFile
from simulator.inode import Inode
from spendguard_daemon.ledger.acks import Acks
from spendguard_daemon.ledger.journal import Writer
from spendguard_daemon.ledger.state import Account

SEED = int(os.environ.get("SPENDGUARD_TEST_SEED", random.SystemRandom().randrange(10**6)))
SUPPORT = Path(__file__).parents[1] / "support"


@pytest.mark.parametrize("part", range(6))
def test_whole_histories_keep_every_invariant(part: int) -> None:
    """Guard, planner, ledger and prices on virtual time, through crashes and restarts: I1 to I12 hold."""
    for seed in range(SEED + part * 1_000, SEED + part * 1_000 + 3):
        report = guarded.run(seed)
        assert report.billed_nusd <= report.charged_nusd, f"guarded.run({seed})"


@pytest.mark.parametrize("part", range(4))
def test_the_ledger_alone_keeps_every_invariant(part: int) -> None:
    """The same witness, faster and without a guard."""
    for seed in range(SEED + part * 1_000, SEED + part * 1_000 + 3):
        assert bare.run(seed).calls >= 1_000


@pytest.mark.parametrize("part", range(4))
def test_whatever_a_power_cut_leaves_opens_with_all_that_was_acknowledged(part: int) -> None:
    """Byte prefixes, lost sectors, names in any order."""
    report = powercut.run(SEED + part * 1_000, states=500)
    assert set(report.kinds) == {"byte prefixes", "lost sectors", "names"}


@pytest.mark.parametrize("part", range(2))
def test_flipped_bits_are_refused(part: int) -> None:
    """Some of a 20 kB journal; the campaign flips them all."""
    assert bitflip.run(SEED, part, 2, most=4_000).flips == 4_000


def test_a_seed_is_the_same_history_in_every_process() -> None:
    """What fails once fails again: also where sets and dicts of strings come in another order."""
    code = "from simulator.guarded import run; print([run(seed).digest for seed in range(5, 7)])"
    seen = set()
    for hash_seed in ("1", "2"):
        env = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join([str(SUPPORT), *sys.path])}
        seen.add(
            subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True).stdout
        )
    assert len(seen) == 1


def forget_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hold is returned before it is durable."""

    async def until(self: Acks, seq: int) -> None:
        return

    monkeypatch.setattr(Acks, "until", until)


def forget_to_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk lies about syncs of every second batch."""
    sync, calls = SimFile.sync, iter(range(10**9))
    monkeypatch.setattr(SimFile, "sync", lambda file: sync(file) if next(calls) % 2 else None)


def forget_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are not made durable."""
    monkeypatch.setattr(SimDisk, "sync_folder", lambda disk, folder: None)


def spend_the_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held counts as available."""
    monkeypatch.setattr(Account, "available_nusd", property(lambda account: account.remaining_nusd))


def lose_old_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut takes the last of what was synced."""
    durable = Inode.durable
    monkeypatch.setattr(Inode, "durable", lambda inode: durable(inode)[:-40])


def mark_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """The head names a batch that is not synced yet."""
    write = Writer.write

    def too_early(writer: Writer, entries: list[object]) -> int:
        sync = writer._segment.sync
        writer._segment.sync = lambda: None  # type: ignore[method-assign]
        try:
            return write(writer, entries)  # type: ignore[arg-type]
        finally:
            writer._segment.sync = sync  # type: ignore[method-assign]
            sync()

    monkeypatch.setattr(Writer, "write", too_early)


SABOTAGE = [forget_to_wait, forget_to_sync, forget_the_head, spend_the_held, lose_old_bytes]


@pytest.mark.parametrize("sabotage", SABOTAGE, ids=lambda sabotage: sabotage.__name__)
def test_the_simulator_finds_a_broken_ledger(sabotage, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """A check that cannot fail proves nothing."""
    sabotage(monkeypatch)
    with pytest.raises((AssertionError, KeyError)):
        for seed in range(20):
            guarded.run(seed)


def test_power_cuts_find_a_head_that_comes_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Written before its batch is synced, it makes an honest tear look like damage."""
    mark_too_early(monkeypatch)
    with pytest.raises(AssertionError, match="false refusal"):
        powercut.run(0, states=20_000)
