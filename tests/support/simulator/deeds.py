"""The operator of a simulated daemon: what it does, and when, is drawn from the history's temper."""

import asyncio
import random
import uuid
from contextlib import suppress

from simulator.temper import CONCURRENCIES, OVERFLOWS
from simulator.world import World
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.guard import Guard
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.ledger import Ledger


class Operator:
    """Grants, tops up, lowers, freezes, deletes, caps, adjusts, aborts; sets the clock, fills the disk."""

    def __init__(self, world: World, ledger: Ledger, guard: Guard, dice: random.Random) -> None:
        self._world, self._ledger, self._guard, self._dice = world, ledger, guard, dice

    async def run(self) -> None:
        """Do one thing after the other, for ever."""
        while True:
            await asyncio.sleep(self._dice.random() ** 2 * self._world.temper.operator_seconds)
            with suppress(SpendGuardError):
                await self._act()

    async def _act(self) -> None:
        dice, agents = self._dice, self._world.agents
        agent_id = dice.choice(agents)
        match dice.choice(self._world.temper.deeds):
            case 0 | 1:
                await self._do(cmd.GrantBudget(agent_id, self._amount(), _maybe(dice, self._amount()), "op"))
            case 2 | 3:
                await self._do(cmd.TopUp(agent_id, self._amount(), "op"))
            case 4:
                await self._do(cmd.Freeze(agent_id, "mad", "op"))
            case 5:
                for each in agents:
                    with suppress(SpendGuardError):
                        await self._do(cmd.Unfreeze(each, "op"))
            case 6:
                limit = _maybe(dice, self._amount() * 4)
                await self._do(cmd.SetDaemonLimit(limit, _maybe(dice, self._amount()), "op"))
            case 7:
                await self._do(cmd.TopUpDaemon(self._amount(), "op"))
            case 8:
                concurrency = dice.choice(CONCURRENCIES)
                overflow = dice.choice(OVERFLOWS)
                await self._do(cmd.ChangeAgent(agent_id, concurrency=concurrency, overflow=overflow))
            case 9:
                ended = list(self._ledger.state.ended)
                if ended:
                    to_nusd = dice.choice((0, dice.randrange(10**6)))
                    await self._do(cmd.AdjustCall(dice.choice(ended), to_nusd, "the bill", "op"))
            case 10:
                open_calls = list(self._ledger.state.open_calls)
                if open_calls:
                    await self._guard.abort(dice.choice(open_calls))
            case 11:
                if dice.random() < 0.3:
                    await self._do(cmd.DeleteAgent(agent_id, "op"))
                await self.new_agent()
            case 12:
                # A day would make keys be forgotten while their calls are open.
                days = 0.0 if self._world.temper.repeating else 1.0
                self._world.jump(dice.choice((-3600.0, -1.0, 1.0, 600.0, days * 86_400)))
            case 14:
                self._world.fill_disk(dice.randrange(60_000))
                await asyncio.sleep(dice.random() ** 2 * 20)
                self._world.fill_disk(None)
            case 13:
                await self._do(cmd.GrantBudget(agent_id, self._amount() * 100, None, "op"))

    async def new_agent(self) -> None:
        """Make an agent, nearly always with a budget."""
        dice = self._dice
        agent_id = str(uuid.UUID(bytes=dice.randbytes(16), version=4))
        concurrency, overflow = (
            dice.choice(CONCURRENCIES),
            dice.choice(OVERFLOWS),
        )
        await self._do(cmd.NewAgent(agent_id, "näme", concurrency, overflow, False, "op"))
        self._world.agents.append(agent_id)
        if dice.random() < 0.95:
            await self._do(cmd.GrantBudget(agent_id, self._amount(), None, "op"))

    async def _do(self, command: cmd.Command) -> None:
        events = await self._ledger.submit(command)
        self._world.witness.check_told(events)

    def _amount(self) -> int:
        return self._world.temper.amount(self._dice)


def _maybe(dice: random.Random, value: int) -> int | None:
    return value if dice.random() < 0.6 else None
