"""The clients of one life of a simulated daemon: they call, wait, leave, and come again."""

import asyncio
import random
import uuid

from simulator.deeds import Operator
from simulator.loop import SimLoop
from simulator.ports import SimClient
from simulator.refusals import REFUSALS, check_refusal, nusd
from simulator.temper import Request, draw_body
from simulator.world import World
from spendguard_daemon.call import AnswerTornError, Arrival
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.guard import Guard
from spendguard_daemon.ledger.ledger import Ledger


class Crowd:
    """Clients and an operator of one life of the daemon."""

    def __init__(
        self, world: World, ledger: Ledger, guard: Guard, dice: random.Random, loop: SimLoop
    ) -> None:
        self._world, self._guard, self._loop = world, guard, loop
        self._dice = random.Random(dice.random())
        self._operator = Operator(world, ledger, guard, self._dice)
        self._left = 0

    async def run(self, calls: int) -> None:
        """Make so many calls."""
        self._left = calls
        for _ in range(self._dice.randint(0, 2) if self._world.agents else 3):
            await self._operator.new_agent()
        crowd = [self._client(self._dice.random() ** 3 * 4) for _ in range(self._dice.randint(1, 14))]
        async with asyncio.TaskGroup() as group:
            clients = [group.create_task(client) for client in crowd]
            operator = group.create_task(self._operator.run())
            await asyncio.wait(clients)
            operator.cancel()

    async def _client(self, pause_seconds: float) -> None:
        dice = self._dice
        while self._left > 0:
            self._left -= 1
            await asyncio.sleep(dice.random() * pause_seconds)
            call_id = str(uuid.UUID(bytes=dice.randbytes(16), version=4))
            call = asyncio.create_task(self._call(call_id), name=f"client of {call_id}")
            if dice.random() < self._world.temper.leaving:
                await asyncio.wait((call,), timeout=dice.random() ** 2 * 8)
                call.cancel()
            await asyncio.wait((call,))
            if not call.cancelled() and call.exception() is not None:
                raise call.exception()  # type: ignore[misc]
            self._world.report.calls += 1

    async def _call(self, call_id: str) -> None:
        dice, report = self._dice, self._world.report
        request = self._request()
        request.call_ids.append(call_id)
        agent_id = request.agent_id
        arrival = Arrival(
            call_id=call_id,
            agent_id=agent_id,
            run_id=dice.choice((None, None, "r1", "r2")),
            provider=dice.choice(("", "openai")),
            endpoint="chat/completions",
            headers={},
            body=request.body,
            idempotency_key=request.key,
        )
        self._world.note_call()
        started = self._loop.time()
        try:
            answer = await self._guard.call(arrival, SimClient(dice))
        except SpendGuardError as refusal:
            assert refusal.code in REFUSALS, f"refused with {refusal.code}: {refusal.detail}"
            report.codes[refusal.code] += 1
            if started == self._loop.time():
                check_refusal(self._world.witness.shadow, agent_id, request.body, refusal)
        except AnswerTornError:
            report.codes["torn"] += 1
        else:
            report.codes["answered"] += 1
            if answer is not None and "x-spendguard-cost-usd" in answer.headers:
                _, cost, _ = self._world.witness.shadow.ends[call_id]
                assert nusd(answer.headers["x-spendguard-cost-usd"]) == cost

    def _request(self) -> Request:
        """Draw a new request, or one that was sent before, under its key."""
        dice, requests = self._dice, self._world.requests
        with_key = dice.random() < self._world.temper.repeating
        if with_key and requests and dice.random() < 0.6:
            old = dice.choice(requests[-20:])
            if old.key is not None:
                if dice.random() < 0.8:
                    return old
                new = Request(old.agent_id, draw_body(dice, str(len(requests))), old.key)
                requests.append(new)
                return new
        tag = str(len(requests))
        request = Request(
            self._world.draw_agent(dice), draw_body(dice, tag), f"key-{tag}" if with_key else None
        )
        requests.append(request)
        return request
