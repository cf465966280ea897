"""The ledger's face to asyncio: decide on memory at once, answer when the record is durable.

Owns the order of things: a command is decided and applied with no await in between, its records join the
journal in that order, and nobody is told before the disk has them. One event loop, one writer thread; all
state is touched on the loop alone. Invariant: no hold is returned that is not durable, or left to nobody.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.acks import Acks, Listener
from spendguard_daemon.ledger.admission import refusal
from spendguard_daemon.ledger.commands import AddKey, Command, HoldCall, VoidCall
from spendguard_daemon.ledger.compaction import Compaction
from spendguard_daemon.ledger.desk import RefusalDesk
from spendguard_daemon.ledger.faults import check_file_system, disk_fault, fault
from spendguard_daemon.ledger.journal import Journal
from spendguard_daemon.ledger.opening import Opened, open_folder
from spendguard_daemon.ledger.refusals import Refusal
from spendguard_daemon.ledger.rolling import SEGMENT_BYTES
from spendguard_daemon.ledger.room import LIMITS, Ballast, Room, RoomLimits
from spendguard_daemon.ledger.state import State
from spendguard_daemon.ledger.turns import Lock
from spendguard_daemon.ledger.waiting import Granted, Waiter, Waiting
from spendguard_daemon.ports import Clock, Disk, DiskFile, Rng


class Ledger:
    """Who may spend what, what is held, what was spent. `state` and `history` are for reading."""

    journal_kind: ClassVar[type[Journal]] = Journal
    compaction_kind: ClassVar[type[Compaction]] = Compaction
    """A simulator writes and compacts without a thread."""

    def __init__(
        self, opened: Opened, room: Room, lock: DiskFile, fatal: Callable[[BaseException], None]
    ) -> None:
        """Take up an opened folder; `Ledger.open` is the way to make one."""
        self._book = opened.book
        self.now = opened.book.now
        self.state, self.history, self.recovered = opened.book.state, opened.book.history, opened.report
        self._room, self._lock, self._fatal = room, lock, fatal
        self._journal = self.journal_kind(
            opened.writer,
            on_durable=self._on_durable,
            on_failure=self._on_failure,
            at_once=self._stop_for_good,
        )
        self._book.sink = self._journal.append
        self._acks = Acks(opened.book.seq)
        self._waiting = Waiting(self._grant, self._abandon, self._locked_out, self._ends_ns, self.now)
        self._desk = RefusalDesk(opened.book, room, lambda: self._journal.failure is None)
        self._compaction = self.compaction_kind(
            opened.folder,
            opened.disk,
            covered_seq=opened.covered_seq,
            record=self._checkpoint,
            on_failure=self._on_failure,
        )
        self._closing = self._stopped = False

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        disk: Disk,
        clock: Clock,
        rng: Rng,
        fatal: Callable[[BaseException], None],
        version: str,
        segment_bytes: int = SEGMENT_BYTES,
        limits: RoomLimits = LIMITS,
        unsafe_fs: bool = False,
    ) -> "Ledger":
        """Lock, read and recover the ledger in `folder`; calls found open are charged at worst. Blocks.

        All that recovery writes is durable on return. `fatal` is called once if the disk fails later, on the
        thread that finds out. Raises HOME_UNSAFE for a file system whose locks and syncs cannot be trusted,
        unless `unsafe_fs` allows it, LEDGER_LOCKED, LEDGER_DAMAGED, LEDGER_NEWER, LEDGER_FULL or DISK_FAILED.
        """
        try:
            disk.make_folder(folder)
            if not unsafe_fs:
                check_file_system(folder, disk)
            lock = disk.lock(folder / "lock")
            if lock is None:
                raise fault(Code.LEDGER_LOCKED)
            try:
                ballast = Ballast(folder, limits.ballast_bytes, disk=disk, rng=rng)
                with ballast.given_for_recovery():
                    opened = open_folder(
                        folder, disk=disk, clock=clock, rng=rng, version=version, segment_bytes=segment_bytes
                    )
                opened.writer.ballast = ballast
                room = Room(folder, ballast, limits, disk=disk, clock=clock)
                if room.wants_ballast():
                    ballast.make()
            except BaseException:
                lock.close()
                raise
        except OSError as error:
            raise disk_fault(error) from error
        return cls(opened, room, lock, fatal)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write on a thread from now on, and answer on `loop`; before, each command blocks until durable."""
        self._journal.start(loop)
        self._desk.start(loop)
        self._compaction.start(loop)
        self._compaction.poll(self._journal.closed_seq)

    def post(self, command: Command) -> tuple[ev.Event, ...]:
        """Decide, apply and queue; the record becomes durable with the next batch, an overrun at once.

        Raises what `decide` raises, DISK_FAILED after a failure, SHUTTING_DOWN after `close`.
        """
        return self._execute(command)[0]

    async def submit(self, command: Command) -> tuple[ev.Event, ...]:
        """Do as `post`, and return when it is durable; raise DISK_FAILED where it never will be.

        Cancelling the caller does not undo the record.
        """
        events, seq = self._execute(command)
        await self.durable(seq)
        return events

    async def durable(self, seq: int | None = None) -> None:
        """Return when record `seq`, or the last one, is durable; raise DISK_FAILED if it never will be."""
        self._journal.hurry()
        await self._acks.until(self._book.seq if seq is None else seq)

    async def hold(self, command: HoldCall, held_wait_seconds: float) -> ev.Hold:
        """Return a durable hold, if need be after a wait: as long as the command asks, for all that may mend.

        Where it asks for none, money that others hold is waited for, at most `held_wait_seconds`. Raises what
        `admit` raises, as `post` otherwise. A caller that is cancelled leaves no hold behind.
        """
        if self._room.wants_ballast():
            await self._journal.run(self._room.ballast.make)
        try:
            hold, seq = self._admit(command)
        except SpendGuardError as refused:
            hold, seq = await self._waiting.wait(command, refused, held_wait_seconds)
        try:
            await self.durable(seq)
        except asyncio.CancelledError:
            self._abandon(hold)
            raise
        return hold

    def refuse(self, refusal: Refusal) -> None:
        """Note a call that got no hold: shown at once, journaled soon, and counted with others like it."""
        if not self._closing:
            self._desk.note(refusal)

    def detach(self, call_id: str) -> None:
        """Note that the call's client left: the call keeps its hold, but not its agent's lock."""
        call = self.state.open_calls.get(call_id)
        if call is not None and self.state.turns.attached(call_id):
            self.state.turns.detach(call_id, self._book.now().monotonic_ns)
            self._waiting.serve((call.hold.agent_id,))

    def waiting(self, agent_id: str | None = None) -> list[Waiter]:
        """Return the waiting calls of an agent, or of all, the longest waiting first."""
        return self._waiting.all() if agent_id is None else self._waiting.of(agent_id)

    def limit_waiting(self, most: int, most_of_agent: int) -> None:
        """Set how many calls that were asked to wait may do so; the next is refused at once."""
        self._waiting.limit(most, most_of_agent)

    def stop_waiting(self) -> None:
        """Let no call wait any more, since the daemon stops: those that do are refused, as others will be."""
        self._waiting.refuse_all(fault(Code.SHUTTING_DOWN))

    def lock(self, agent_id: str) -> Lock | None:
        """Return who has an agent's lock now, None where no call with a client is in flight."""
        return self.state.turns.lock(agent_id, self._book.now())

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` on the loop with each event, its seq and its wall time, once it is durable."""
        self._acks.subscribe(listener)

    def subscribe_refusals(self, listener: Callable[[Refusal], None]) -> None:
        """Call `listener` on the loop with each refusal, as soon as it is shown."""
        self._desk.listener = listener

    async def close(self, reason: str) -> None:
        """Refuse new commands, make all that is queued and a `close` record durable, give up the lock."""
        if self._closing:
            return
        self._closing = True
        self.stop_waiting()
        try:
            await self._compaction.stop()
            self._desk.close()
            if self._journal.failure is None:
                self._book.record(ev.Close(reason=reason))
                await self.durable()
        finally:
            self._journal.stop()
            self._lock.close()

    def _check_open(self) -> None:
        self._check_disk()
        if self._closing:
            raise fault(Code.SHUTTING_DOWN)

    def _check_disk(self) -> None:
        if self._journal.failure is not None:
            raise fault(Code.DISK_FAILED, self._journal.failure)

    def _execute(self, command: Command) -> tuple[tuple[ev.Event, ...], int]:
        self._check_open()
        if isinstance(command, HoldCall) or (isinstance(command, AddKey) and command.kind == "child"):
            self._room.check()  # what agents begin; the last room is for ends, and for operators
        events = self._book.execute(command)
        seq = self._book.seq
        if any(isinstance(event, ev.Overrun) for event in events):
            self._journal.hurry()  # the one record whose loss would count too little
        self._check_disk()
        if events and self._waiting:
            self._serve_after(events[-1])
        return events, seq

    def _admit(self, command: HoldCall) -> Granted:
        """Decide a hold now; BUDGET_HELD also where an earlier call of the agent waits for held money."""
        self._check_open()
        if self._waiting.wants_lock(command.agent_id) and self.lock(command.agent_id) is None:
            self._waiting.serve((command.agent_id,))  # by now the lock may be theirs
        return self._grant(command, queued=self._waiting.bars(command.agent_id))

    def _grant(self, command: HoldCall, *, queued: bool) -> Granted:
        self._room.check()
        try:
            if queued:
                self._book.check(command)
                raise refusal(self.state, command)
            events = self._book.execute(command)
        except SpendGuardError as refused:
            if refused.code is Code.BUDGET_LOCKED and (
                command.wait_seconds or refused.facts["worth_waiting"]
            ):
                self.state.turns.claim(command.agent_id, command.run_id, self._book.now().monotonic_ns)
            raise
        self._check_disk()
        return next(event for event in events if isinstance(event, ev.Hold)), self._book.seq

    def _locked_out(self, command: HoldCall) -> bool:
        """Tell whether another run keeps this one from the lock; only for calls that met it before."""
        return self.state.turns.block(command.agent_id, command.run_id, self._book.now()) is not None

    def _ends_ns(self, command: HoldCall) -> int | None:
        """Return when the first key of a call expires (wall ns), None where none does."""
        keys = (self.state.agent_keys.get(key_id) for key_id in command.keys)
        return min((key.expires_ns for key in keys if key and key.expires_ns is not None), default=None)

    def _abandon(self, hold: ev.Hold) -> None:
        """Void a hold that nobody will use: not a byte of its call has left."""
        with suppress(SpendGuardError):  # after a disk failure nothing is written, and nothing leaves either
            self.post(VoidCall(hold.call_id, "client left before sending", None))

    def _serve_after(self, event: ev.Event) -> None:
        """Let waiting calls try again: the agent's own, or everyone's where a daemon cap is shared by all."""
        if isinstance(event, ev.Hold | ev.Sent):
            return
        agent_id, cap_nusd = ev.agent_of(event), self.state.daemon.limit_nusd
        whose = (agent_id,) if agent_id and cap_nusd is None else None
        ended = isinstance(event, ev.Settle | ev.SettleWorst | ev.Void)  # an overrun may freeze its agent
        self._waiting.serve(whose, all_of_them=not ended)

    def _on_durable(self, seq: int) -> None:
        self._acks.advance(seq, self._book.fresh)
        self._compaction.poll(self._journal.closed_seq)

    async def _checkpoint(self, event_of: Callable[[State], ev.Event]) -> None:
        self._check_disk()
        self._book.record(event_of(self.state))
        await self.durable()

    def _on_failure(self, failure: BaseException) -> None:
        self._journal.failure = failure  # where a compaction failed, the journal does not know yet
        error = fault(Code.DISK_FAILED, failure)
        self._acks.fail(error)
        self._waiting.refuse_all(error)
        self._stop_for_good(failure)

    def _stop_for_good(self, failure: BaseException) -> None:
        """Tell the process, on whatever thread this is: in the daemon that ends it here and now."""
        if not self._stopped:
            self._stopped = True
            self._fatal(failure)
