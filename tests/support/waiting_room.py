"""A ledger in virtual time with callers that wait, and a model that says who may go.

The money is that of `ModelLedger`, the lock that of `turns` (which has tests of its own). What is checked at
every hold, in the middle of the step that gives it: nobody was passed who could have gone, and nobody passed
one that waits for held money.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ledger_kit import BARE, FOLDER, hold_call, offer
from model_ledger import ModelLedger
from sim import SimDisk, SimRng
from simulator.journal import SimLedger, SteppedJournal
from simulator.loop import SimLoop
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.journal import Entry
from spendguard_daemon.ledger.waiting import MENDABLE

BEGIN_NS = 1_800_000_000 * 10**9
HELD_SECONDS = 3
STEADY = ("insufficient_budget", "budget_not_set", "daemon_cap")


class LoopClock:
    """Both clocks follow the loop's time."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop

    def wall_ns(self) -> int:
        return BEGIN_NS + self.monotonic_ns()

    def monotonic_ns(self) -> int:
        return 10**9 + int(self._loop.time() * 10**9)


@dataclass
class Ask:
    """One call as it was asked for."""

    command: cmd.HoldCall
    offers: list[tuple[str, int, int]]
    began: float
    task: "asyncio.Task[None] | None" = None


class WaitingRoom:
    """The ledger, its callers and the model."""

    def __init__(self) -> None:
        self.loop = SimLoop()
        self.clock = LoopClock(self.loop)
        self.model = ModelLedger()
        self.asks: dict[str, Ask] = {}
        self.refusals: list[str] = []
        SteppedJournal.chance = random.Random(0)
        SteppedJournal.on_power_cut = lambda: None
        SteppedJournal.on_entries = self._on_entries
        self.ledger = SimLedger.open(
            FOLDER,
            disk=SimDisk(),
            clock=self.clock,
            rng=SimRng(),
            fatal=_unexpected,
            version="0.3.0",
            limits=BARE,
        )
        self.ledger.start(self.loop)

    def close(self) -> None:
        """Shut down; whoever still waits hears of it."""
        self.run(self.ledger.close("test"))
        self.breathe()
        assert self.ledger.waiting() == []
        for ask in self.asks.values():
            assert ask.task is not None
            if not ask.task.cancelled():
                ask.task.result()  # raises what was wrong with a refusal, or with a hold
        SteppedJournal.on_entries = lambda _: None
        self.loop.tidy()
        assert self.loop.unhandled == []

    def run(self, doing: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(doing)

    def breathe(self) -> None:
        """Let all that is ready run, while no time passes."""
        self.run(_breathe())

    def sleep(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))
        self.breathe()

    def do(self, action: Callable[[], object]) -> None:
        """Do something on the loop; before time passes, nobody may be left waiting who could go."""

        async def doing() -> None:
            action()

        self.run(doing())
        assert self.could_go() is None
        self.breathe()
        assert self.could_go() is None

    def call(
        self, call_id: str, agent: str, run: str, offers: list[tuple[str, int, int]], **more: Any
    ) -> None:
        """Start a caller."""
        command = hold_call(
            call_id,
            agent_id=agent,
            run_id=run,
            offers=tuple(offer(fixed, each, rung) for rung, fixed, each in offers),
            **more,
        )
        ask = self.asks[call_id] = Ask(command, offers, self.loop.time())
        ask.task = self.loop.create_task(self._caller(ask))
        self.breathe()
        assert self.could_go() is None

    async def _caller(self, ask: Ask) -> None:
        try:
            await self.ledger.hold(ask.command, HELD_SECONDS)
        except SpendGuardError as error:
            self._check_refusal(ask, error)
        except asyncio.CancelledError:
            return

    def _check_refusal(self, ask: Ask, error: SpendGuardError) -> None:
        """A wait ends at its time or for good reason, and says what is so."""
        waited, code = self.loop.time() - ask.began, error.code
        self.refusals.append(code)
        if code == "shutting_down":
            return
        outcome, asked = self.outcome(ask), ask.command.wait_seconds
        wait = HELD_SECONDS if asked is None else asked
        mendable = code == "budget_held" if asked is None else code in MENDABLE
        if not mendable:
            assert outcome == code
        else:
            assert abs(waited - wait) < 0.001
            assert ("waited_seconds" in error.facts and error.facts["waited_seconds"] >= wait) or not asked
            assert outcome in (code, "budget_locked") or code not in STEADY

    def outcome(self, ask: Ask) -> Any:
        """Return what the model says of a call now: the hold as (rung, cap, amount), or a refusal's code."""
        command = ask.command
        agent, run = command.agent_id, command.run_id
        now = cmd.Now(self.clock.wall_ns(), self.clock.monotonic_ns())
        code = self.model.blocked(agent, run, None, now.wall_ns)
        if code in (None, "budget_locked"):
            exclusive = self.model.agents[agent]["concurrency"] == "exclusive"
            code = None
            if exclusive and self.ledger.state.turns.block(agent, run, now) is not None:
                code = "budget_locked"
        return code or self.model.choose(
            agent, ask.offers, command.output_tokens, command.floor_output_tokens, command.injected, None
        )

    def line(self) -> list[str]:
        """Return who waits, in order."""
        return [waiter.command.call_id for waiter in self.ledger.waiting() if not waiter.granted.done()]

    def could_go(self, before: str | None = None) -> str | None:
        """Return the first waiting call, of those `before`, that is next by the rules and would go."""
        barred = set()
        for call_id in self.line():
            if call_id == before:
                return None
            ask = self.asks[call_id]
            agent = ask.command.agent_id
            if agent in barred:
                continue
            outcome = self.outcome(ask)
            if isinstance(outcome, tuple):
                return call_id
            if outcome == "budget_held":
                barred.add(agent)
        return None

    def _on_entries(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            record = msgspec.json.decode(entry.body)
            if record["t"] == "hold":
                self._on_hold(record)
            elif record["t"] == "void":  # also of a caller that left when it had its hold already
                self.model_end(record["call_id"], 0)

    def _on_hold(self, record: dict[str, Any]) -> None:
        """Check a hold against the world as it was just before it."""
        call_id, agent = record["call_id"], record["agent_id"]
        ask = self.asks[call_id]
        assert self.could_go(before=call_id) is None
        ahead = self.line()
        ahead = ahead[: ahead.index(call_id)] if call_id in ahead else ahead
        for other in ahead:
            assert (
                self.asks[other].command.agent_id != agent or self.outcome(self.asks[other]) != "budget_held"
            )
        assert (record["rung"], record["output_tokens"], record["amount_nusd"]) == self.outcome(ask)
        assert record["settled_nusd"] + record["held_nusd"] <= record["funded_nusd"]
        self.model.calls[call_id] = {
            "agent": agent,
            "run": record["run_id"],
            "hold": record["amount_nusd"],
            "cost": None,
            "attached": True,
        }

    def model_end(self, call_id: str, cost_nusd: int) -> None:
        """Note an end in the model, where the call has a hold."""
        call = self.model.calls.get(call_id)
        if call is not None and call["cost"] is None:
            call.update(cost=cost_nusd, attached=False)


async def _breathe() -> None:
    for _ in range(12):
        await asyncio.sleep(0)


def _unexpected(error: BaseException) -> None:
    raise AssertionError("the disk failed") from error
