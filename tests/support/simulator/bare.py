"""The ledger alone, without guard or event loop: as many seeded calls in a second as it can decide.

Commands are posted; at any moment the queue is written as one batch, or the process dies, or the power goes,
between batches or inside one. The witness is the same as for whole histories.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from simulator.disk import PowerCut, SimDisk
from simulator.hand import HandJournal, HandLedger
from simulator.journal import LIMITS
from simulator.keyed import OF_KEYS, key_command, lineage
from simulator.ports import SimRng, StepClock
from simulator.refusals import REFUSALS
from simulator.temper import CONCURRENCIES, OVERFLOWS
from simulator.watch import FOLDER, Witness
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.events import Hold
from spendguard_daemon.ledger.journal import Entry
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.money import LinearCost

RUNS = ("r1", "r2")
USAGE = {"input_tokens": 100, "output_tokens": 40}
RATES = {"input": 150_000, "output": 600_000}


@dataclass
class BareReport:
    """What one history of the ledger alone was."""

    seed: int
    calls: int = 0
    holds: int = 0
    records: int = 0
    records_lost: int = 0
    batches: int = 0
    snapshots: int = 0
    crashes: list[str] = field(default_factory=list)


class BareHistory:
    """One seeded history of the ledger alone."""

    def __init__(self, seed: int, calls: int = 1_500, lives: int = 2) -> None:
        self.report = BareReport(seed)
        self._dice = random.Random(f"bare {seed}")
        self._calls_of_life = calls // lives
        self._lives = lives
        self._witness = Witness()
        self._disk = SimDisk()
        self._clock = StepClock()
        self._agents: list[str] = []
        self._open: dict[str, int] = {}
        self._ended: list[str] = []
        self._keyed = self._dice.choice((0.0, 0.3, 0.9))
        self._number = 0
        self._ending = self._dice.uniform(0.3, 0.7)
        self._operating = self._dice.choice((0.005, 0.05, 0.2))
        self._writing = self._dice.choice((0.02, 0.1, 0.5))
        self._segment_bytes = self._dice.choice((100_000, 600_000, 10**7))
        self._size = 10 ** self._dice.uniform(3, 8)

    def run(self) -> BareReport:
        """Live through it all."""
        for _ in range(self._lives):
            self._live()
        self._reopen().pen.write_all()
        self._witness.check_whole()
        self.report.records = self._witness.seq
        return self.report

    def _on_entries(self, entries: Sequence[Entry]) -> None:
        self._witness.on_entries(entries)

    def _live(self) -> None:
        ledger, dice = self._reopen(), self._dice
        end = dice.choice(("kill", "power cut", "cut in an operation", "clean"))
        until = self.report.calls + self._calls_of_life
        try:
            while self.report.calls < until:
                self._step(ledger)
            if end == "cut in an operation":
                self._cut_soon()
                ledger.post(self._grant(self._agents[0]))
                ledger.pen.write_all()
        except PowerCut:
            pass
        if end == "clean":
            ledger.pen.write_all()
        self.report.crashes.append(end)
        disk, self._disk.dead = self._disk, True
        self._disk = disk.killed() if end in ("kill", "clean") else disk.cut(dice)

    def _reopen(self) -> HandLedger:
        disk = self._disk
        self._witness.watch_disk(disk)
        HandJournal.on_entries = self._on_entries
        ledger = HandLedger.open(
            FOLDER,
            disk=disk,
            clock=self._clock,
            rng=SimRng(self._dice),
            fatal=_failed,
            version="0.3.0",
            segment_bytes=self._segment_bytes,
            limits=LIMITS,
        )
        assert isinstance(ledger, HandLedger)
        self._recovered()
        self.report.records_lost += self._witness.after_restart(ledger)
        self._open.clear()
        alive = self._witness.shadow.purses
        self._agents = [agent_id for agent_id in self._agents if agent_id in alive]
        while len(self._agents) < 3:
            self._new_agent(ledger)
        return ledger

    def _recovered(self) -> None:
        """The ledger is open again, and nothing has happened since."""

    def _cut_soon(self) -> None:
        last = self._disk.operations + self._dice.randrange(4)

        def hook(operation: str, path: Path) -> None:
            if self._disk.operations > last:
                raise PowerCut

        self._disk.hook = hook

    def _step(self, ledger: HandLedger) -> None:
        """Do one thing: begin a call, end one, be the operator; then perhaps write."""
        dice, dicing = self._dice, self._dice.random()
        self._clock.now_ns += 1_000_000
        try:
            if dicing < self._operating:
                self._operate(ledger)
            elif self._open and dicing > self._ending:
                self._end_call(ledger)
            else:
                self.report.calls += 1
                self._begin_call(ledger)
        except SpendGuardError as refusal:
            assert refusal.code in REFUSALS | OF_KEYS or refusal.code is Code.BUDGET_NOT_FOUND, refusal.detail
        if dice.random() < self._writing:
            ledger.pen.write_all()
            self.report.batches += 1
            self.report.snapshots += ledger.compact(self._disk)

    def _begin_call(self, ledger: HandLedger) -> None:
        dice = self._dice
        self._number += 1
        call_id = f"call-{self._number}"
        fixed, each, wanted = dice.randrange(100_000), dice.choice((150_000, 600_000)), dice.randrange(2_000)
        offers: tuple[cmd.Offer, ...] = (cmd.Offer("bytes", 100, LinearCost(fixed * 1_000, each, 1_000)),)
        if dice.random() < 0.3:
            offers = (*offers, cmd.Offer("window", 10_000, LinearCost(fixed * 9_000, each, 1_000)))
        agent_id = dice.choice(self._agents)
        (hold,) = ledger.post(
            cmd.HoldCall(
                call_id=call_id,
                agent_id=agent_id,
                run_id=dice.choice(RUNS),
                provider="openai",
                endpoint="chat/completions",
                model="gpt-4o-mini",
                offers=offers,
                choices=1,
                asked_output_tokens=wanted,
                output_tokens=wanted,
                floor_output_tokens=wanted // 2,
                injected=dice.random() < 0.3,
                document_sha256="d" * 64,
                rates=RATES,
                deadline_ns=self._clock.wall_ns() + 3600 * 10**9,
                keys=lineage(ledger, agent_id, dice) if dice.random() < self._keyed else (),
            )
        )
        assert isinstance(hold, Hold)
        self._open[call_id] = hold.amount_nusd
        self.report.holds += 1

    def _end_call(self, ledger: HandLedger) -> None:
        dice = self._dice
        call_id = next(iter(self._open)) if dice.random() < 0.9 else dice.choice(list(self._open))
        hold_nusd = self._open[call_id]
        fate = dice.random()
        if fate < 0.3:
            ledger.post(cmd.MarkSent(call_id, ["max_tokens: 9 -> 5"]))
            return
        del self._open[call_id]
        self._ended.append(call_id)
        if fate < 0.85:
            cost = hold_nusd * dice.randrange(101) // 100
            line: dict[str, int | str] = {"name": "input", "quantity": 1, "unit": "token", "rate": 150_000}
            ledger.post(cmd.SettleCall(call_id, cost, USAGE, [line], 200, "reported usage"))
        elif fate < 0.92:
            ledger.post(cmd.SettleAtWorst(call_id, "no answer", None))
        elif fate < 0.995:
            ledger.post(cmd.VoidCall(call_id, "provider refused with 429", 429))
        else:
            ledger.post(
                cmd.SettleCall(call_id, hold_nusd + 1 + dice.randrange(9_000), USAGE, [], 200, "over")
            )

    def _operate(self, ledger: HandLedger) -> None:
        dice = self._dice
        agent_id = dice.choice(self._agents)
        match dice.randrange(12 if not self._keyed else 16):
            case 0 | 1 | 2:
                ledger.post(self._grant(agent_id))
            case 3 | 4:
                ledger.post(cmd.TopUp(agent_id, self._amount(), "op"))
            case 5:
                ledger.post(cmd.Freeze(agent_id, "mad", "op"))
            case 6 | 7:
                for each in self._agents:
                    ledger.post(cmd.Unfreeze(each, "op"))
            case 8:
                limit = self._amount() * 5 if dice.random() < 0.3 else None
                ledger.post(cmd.SetDaemonLimit(limit, None, "op"))
            case 9:
                kind, flow = dice.choice(CONCURRENCIES), dice.choice(OVERFLOWS)
                need = flow == "clamp" if self._keyed else None
                ledger.post(cmd.ChangeAgent(agent_id, concurrency=kind, overflow=flow, needs_key=need))
            case 10:
                if self._ended:
                    call_id = dice.choice(self._ended[-50:])
                    if ledger.state.ended_call(call_id):
                        ledger.post(cmd.AdjustCall(call_id, dice.randrange(10**6), "the bill", "op"))
            case 11:
                if dice.random() < 0.2:
                    ledger.post(cmd.DeleteAgent(agent_id, "op"))
                    self._agents.remove(agent_id)
                    self._new_agent(ledger)

            case _:
                self._number += 1
                command = key_command(ledger, agent_id, f"key-{self._number}", self._amount(), dice)
                ledger.post(command)

    def _new_agent(self, ledger: Ledger) -> None:
        self._number += 1
        agent_id = f"agent-{self._number}"
        kind, flow = (
            self._dice.choice(CONCURRENCIES),
            self._dice.choice(OVERFLOWS),
        )
        ledger.post(cmd.NewAgent(agent_id, None, kind, flow, False, "op"))
        ledger.post(self._grant(agent_id))
        self._agents.append(agent_id)

    def _grant(self, agent_id: str) -> cmd.GrantBudget:
        topup = self._amount() if self._dice.random() < 0.5 else None
        return cmd.GrantBudget(agent_id, self._amount(), topup, "op")

    def _amount(self) -> int:
        return int(self._size * 10 ** self._dice.uniform(2, 5))


def _failed(error: BaseException) -> None:
    raise AssertionError("the disk failed") from error


def run(seed: int, calls: int = 1_500) -> BareReport:
    """Run one history."""
    return BareHistory(seed, calls).run()
