"""What tests of segments, snapshots and backups need: a busy ledger, small segments, power cuts."""

import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from ledger_kit import FOLDER, add_key, grant, hold_call, new_agent, open_ledger, settle
from sim import SimClock, SimDisk
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.basis import Basis, genesis, newest_basis
from spendguard_daemon.ledger.compaction import archive_covered, make_snapshot
from spendguard_daemon.ledger.events import Idempotency
from spendguard_daemon.ledger.folder import LedgerFolder
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.ledger.recovery import plan
from spendguard_daemon.ledger.replay import replay
from spendguard_daemon.ledger.state import AgentKey

SEGMENT_BYTES = 3_000
AGENTS = ("agent-1", "agent-2", "agent-é")


class PowerCutError(BaseException):
    """The machine is off: nothing in the program may catch it."""


def no_pause() -> None:
    """Do not wait for anybody."""


def busy(ledger: Ledger, clock: SimClock, steps: int, seed: int = 0) -> None:
    """Do what agents and operators do, by chance: all kinds of records, some calls left open."""
    chance = random.Random(seed)
    for _ in range(steps):
        clock.advance(chance.random())
        try:
            ledger.post(_command(ledger, chance))
        except SpendGuardError:
            continue


def first_steps(ledger: Ledger) -> None:
    """Make agents with money."""
    for agent_id in AGENTS:
        ledger.post(new_agent(agent_id, name=f"{agent_id} \N{SNOWMAN}", concurrency="shared"))
        ledger.post(grant(500_000, agent_id=agent_id))
        ledger.post(add_key(f"key-{agent_id[-1]}", agent_id=agent_id, limit_nusd=20_000))
    ledger.post(cmd.AcceptPrices(7, "d" * 64, "key-1", "local"))
    ledger.post(cmd.SetDaemonLimit(900_000, None, "test"))


def busy_ledger(disk: SimDisk, steps: int, seed: int = 0, segment_bytes: int = SEGMENT_BYTES) -> Ledger:
    """Return a ledger with a history in small segments."""
    clock = SimClock()
    ledger = open_ledger(disk, clock, segment_bytes=segment_bytes)
    first_steps(ledger)
    busy(ledger, clock, steps, seed)
    return ledger


def compact(ledger: Ledger, disk: SimDisk) -> None:
    """Do at once, on this thread, what the daemon does beside its loop."""
    made = make_snapshot(FOLDER, disk, ledger._journal.closed_seq, no_pause)
    ledger._book.record(made.checkpoint(ledger.state))
    archive_covered(FOLDER, disk, made.through_seq)


def from_genesis(disk: SimDisk, folder: Path = FOLDER) -> Basis:
    """Replay every record, from the first on, through archive and live segments."""
    return _replayed(disk, folder, genesis())


def from_snapshot(disk: SimDisk, folder: Path = FOLDER) -> Basis:
    """Replay as a start does, which must find no fault."""
    warnings: list[str] = []
    basis = newest_basis(LedgerFolder(folder, disk), warnings)
    assert warnings == []
    return _replayed(disk, folder, basis)


def _replayed(disk: SimDisk, folder: Path, basis: Basis) -> Basis:
    files = LedgerFolder(folder, disk)
    tail = files.after(basis.origin.seq)
    found = plan(files.read_all(tail), files.read_head(), origin=basis.origin, begun_seq=files.begun_seq)
    replay(files.read_all(tail), found, basis.state, basis.history, wall_ns=basis.wall_ns)
    return basis


def same_ledger(one: Basis, other: Basis) -> None:
    """Check that two replays made the same of the journal, the order of what is kept included."""
    assert one.state == other.state
    for name in (
        "accounts",
        "agent_keys",
        "open_calls",
        "ended",
        "unconfirmed",
        "keys",
        "answers",
        "high_water",
    ):
        assert list(getattr(one.state, name)) == list(getattr(other.state, name)), name
    assert one.history.kept() == other.history.kept()


def power_cuts(disk: SimDisk, chance: random.Random, most: int) -> Iterator[SimDisk]:
    """Yield disks that a power cut may leave: any of the changes of names that were not synced yet.

    A rename is one change, whichever folders it concerns.
    """
    names = {*disk.files, *disk.durable_names}
    changed = [path for path in names if disk.files.get(path) is not disk.durable_names.get(path)]
    changes: dict[int, list[Path]] = {}
    for path in changed:
        node = disk.files.get(path) or disk.durable_names[path]
        changes.setdefault(id(node), []).append(path)
    groups = sorted(changes.values())
    subsets = range(2 ** len(groups)) if len(groups) < 12 else iter(lambda: chance.randrange(2**12), -1)
    for subset in islice(subsets, most):
        after = disk.crash(chance)
        for index, paths in enumerate(groups):
            if subset >> index & 1:
                for path in paths:
                    if path in disk.files:
                        after.put(path, bytes(disk.files[path].durable))
                    else:
                        after.files.pop(path, None)
                        after.durable_names.pop(path, None)
        yield after


def _command(ledger: Ledger, chance: random.Random) -> cmd.Command:
    agent_id = chance.choice(AGENTS)
    open_calls = list(ledger.state.open_calls)
    ended = list(ledger.state.ended)
    if chance.random() < 0.15:
        return _key_command(ledger, agent_id, chance)
    dice = chance.randrange(20)
    if dice < 9 or (dice < 16 and not open_calls):
        key = Idempotency(str(chance.randrange(30)), "chat/completions", "b") if dice < 3 else None
        run_id = f"run-{chance.randrange(4)}"
        call_id = f"call-{ledger._book.seq}"
        live = [key for key in ledger.state.keys_of(agent_id) if key.live(ledger.now().wall_ns)]
        keys = _lineage(ledger, chance.choice([None, *live]))
        return hold_call(call_id, agent_id=agent_id, run_id=run_id, idempotency=key, keys=keys)
    if dice < 16:
        return _ending(chance.choice(open_calls), chance)
    if dice == 16 and ended:
        return cmd.AdjustCall(chance.choice(ended), chance.randrange(900), "the bill", "test")
    if dice == 17:
        key = Idempotency(str(chance.randrange(9)), "topup", "b")
        return cmd.TopUp(agent_id, chance.randrange(2_000), "test", key)
    if dice == 18:
        return cmd.Freeze(agent_id, "why", "test")
    return cmd.Unfreeze(agent_id, "test")


def _lineage(ledger: Ledger, key: AgentKey | None) -> tuple[str, ...]:
    """Return the keys that a call with this one names."""
    if key is None:
        return ()
    return (*_lineage(ledger, ledger.state.agent_keys.get(key.parent_id or "")), key.key_id)


def _key_command(ledger: Ledger, agent_id: str, chance: random.Random) -> cmd.Command:
    key_id = f"key-{ledger._book.seq}"
    parents = [None, *(key.key_id for key in ledger.state.keys_of(agent_id))]
    limit_nusd = chance.choice((None, 3_000, 20_000))
    dice = chance.randrange(8)
    if dice < 5:
        parent_id = chance.choice(parents)
        ends_ns = ledger.now().wall_ns + chance.randrange(1, 60) * 10**9
        return add_key(
            key_id, agent_id=agent_id, parent_id=parent_id, limit_nusd=limit_nusd, expires_ns=ends_ns
        )
    known = chance.choice(parents) or key_id
    if dice == 5:
        return cmd.RotateKey(agent_id, known, f"public {key_id}", "test")
    return cmd.RevokeKey(agent_id, known, "test")


def _ending(call_id: str, chance: random.Random) -> cmd.Command:
    kind = chance.randrange(6)
    if kind == 0:
        return cmd.SettleAtWorst(call_id, "timeout", 504)
    if kind == 1:
        return cmd.VoidCall(call_id, "refused", 429)
    if kind == 2:
        return cmd.MarkSent(call_id, ["max_tokens"])
    return settle(call_id, chance.choice((400, 999, 1_004)))
