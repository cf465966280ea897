"""What a snapshot holds: the state after one record, so that replay can begin there. `sealed` has its form.

Pure: bytes and values only. Invariant: what `decode` returns adds up, and makes the state that went in.
"""

from collections import Counter

import msgspec

from spendguard_daemon.ledger.deeds import Deed
from spendguard_daemon.ledger.events import PriceAccept
from spendguard_daemon.ledger.history import History
from spendguard_daemon.ledger.lines import READER
from spendguard_daemon.ledger.recovery import Origin
from spendguard_daemon.ledger.sealed import Pause, SealError, go_on, opened, read, seal
from spendguard_daemon.ledger.state import (
    Account,
    AgentKey,
    Bound,
    DaemonAccount,
    EndedCall,
    OpenCall,
    State,
)
from spendguard_daemon.ledger.times import format_time, parse_time
from spendguard_daemon.ledger.views import AgentRun, CallView, Kept

VERSION = 1


class SnapshotError(Exception):
    """A snapshot is not one that we wrote whole; says what is wrong with it."""


class NewerSnapshotError(SnapshotError):
    """A snapshot is not for this reader."""


class _Version(msgspec.Struct, frozen=True):
    """What is read of a snapshot before all else: the rest may have a form that is not known here."""

    snapshot: int
    min_reader: int


class KeyBound(msgspec.Struct, frozen=True):
    """An Idempotency-Key in its scope, and what it stands for."""

    scope: str
    bound: Bound


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All that is so after record `seq`, whose hash is `h` and whose time is `ts`.

    Accounts and agents' keys are in the order of their making; open and ended calls, keys, answers and the
    kept history oldest first. Readers of version 1 wrote no `agent_keys`: there were none. Where there are no
    `deeds`, whoever wrote it did not know them.
    """

    snapshot: int
    min_reader: int
    org: str
    seq: int
    h: str
    generation: int
    ts: str
    daemon: DaemonAccount
    prices: PriceAccept | None
    high_water: list[PriceAccept]
    distrusted: list[tuple[str, str, str]]
    unconfirmed_calls: int
    unconfirmed_nusd: int
    accounts: list[Account]
    open_calls: list[OpenCall]
    unconfirmed: list[EndedCall]
    ended: list[EndedCall]
    keys: list[KeyBound]
    answers: list[KeyBound]
    runs: list[AgentRun]
    calls: list[CallView]
    refusals: list[CallView]
    agent_keys: list[AgentKey] = []
    deeds: list[Deed] = []

    @property
    def origin(self) -> Origin:
        """The record after which replay goes on."""
        return Origin(self.seq, self.h, self.generation)

    @property
    def wall_ns(self) -> int:
        """The time of the last record, in wall ns."""
        return parse_time(self.ts)

    def state(self) -> State:
        """Return a new state."""
        return State(
            accounts={account.agent_id: account for account in self.accounts},
            daemon=self.daemon,
            open_calls={call.hold.call_id: call for call in self.open_calls},
            ended={call.call_id: call for call in self.ended},
            unconfirmed={call.call_id: call for call in self.unconfirmed},
            unconfirmed_calls=self.unconfirmed_calls,
            unconfirmed_nusd=self.unconfirmed_nusd,
            keys={key.scope: key.bound for key in self.keys},
            answers={key.scope: key.bound for key in self.answers},
            distrusted=set(self.distrusted),
            prices=self.prices,
            high_water={prices.key_id: prices for prices in self.high_water},
            generation=self.generation,
            agent_keys={key.key_id: key for key in self.agent_keys},
        )

    def history(self) -> History:
        """Return a new history."""
        kept = Kept(runs=self.runs, calls=self.calls, refusals=self.refusals, deeds=self.deeds)
        return History.of(kept)


def snapshot_of(state: State, history: History, seq: int, h: str, wall_ns: int) -> Snapshot:
    """Return the snapshot of a state; it shares the state's accounts, so encode it before they change."""
    kept = history.kept()
    return Snapshot(
        snapshot=VERSION,
        min_reader=READER,
        org="local",
        seq=seq,
        h=h,
        generation=state.generation,
        ts=format_time(wall_ns),
        daemon=state.daemon,
        prices=state.prices,
        high_water=list(state.high_water.values()),
        distrusted=sorted(state.distrusted),
        unconfirmed_calls=state.unconfirmed_calls,
        unconfirmed_nusd=state.unconfirmed_nusd,
        accounts=list(state.accounts.values()),
        open_calls=list(state.open_calls.values()),
        unconfirmed=list(state.unconfirmed.values()),
        ended=list(state.ended.values()),
        keys=[KeyBound(scope, bound) for scope, bound in state.keys.items()],
        answers=[KeyBound(scope, bound) for scope, bound in state.answers.items()],
        runs=kept.runs,
        calls=kept.calls,
        refusals=kept.refusals,
        agent_keys=list(state.agent_keys.values()),
        deeds=kept.deeds,
    )


def encode(snapshot: Snapshot, pause: Pause) -> tuple[bytes, str]:
    """Return the file's bytes, all ASCII, and the hash at its end."""
    return seal(snapshot, pause)


def decode(raw: bytes, pause: Pause = go_on) -> tuple[Snapshot, str]:
    """Return a snapshot and the hash at the end of its file.

    Raises SnapshotError, above all NewerSnapshotError where another reader is needed.
    """
    try:
        members, digest = opened(raw)
        _check_version(read(members, _Version, pause))
        snapshot = read(members, Snapshot, pause)
        parse_time(snapshot.ts)
    except (SealError, ValueError) as error:
        raise SnapshotError(str(error)) from None
    _check_sums(snapshot)
    return snapshot, digest


def _check_version(version: _Version) -> None:
    if version.snapshot > VERSION:
        raise NewerSnapshotError(f"a snapshot of version {version.snapshot}")
    if version.min_reader > READER:
        raise NewerSnapshotError(f"a snapshot for readers of version {version.min_reader} or later")
    if version.snapshot != VERSION:
        raise SnapshotError(f"it is of version {version.snapshot}, not {VERSION}")


def _check_sums(snapshot: Snapshot) -> None:
    """Check that the accounts are what their open calls say, and the daemon's what its agents' say (I9)."""
    held_nusd: Counter[str] = Counter()
    held_by_key: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for call in snapshot.open_calls:
        held_nusd[call.hold.agent_id] += call.hold.amount_nusd
        calls[call.hold.agent_id] += 1
        held_by_key.update(dict.fromkeys(call.hold.keys, call.hold.amount_nusd))
    for account in snapshot.accounts:
        if (account.held_nusd, account.calls_open) != (held_nusd[account.agent_id], calls[account.agent_id]):
            raise SnapshotError(f"what agent {account.agent_id} holds is not what its open calls hold")
    if {key.key_id: key.held_nusd for key in snapshot.agent_keys if key.held_nusd} != +held_by_key:
        raise SnapshotError("what agents' keys hold is not what their open calls hold")
    sums = (
        sum(account.settled_nusd for account in snapshot.accounts),
        sum(account.held_nusd for account in snapshot.accounts),
    )
    if sums != (snapshot.daemon.settled_nusd, snapshot.daemon.held_nusd):
        raise SnapshotError("the daemon's sums are not those of its agents")
