"""`kill -9` of the real daemon under load, again and again: the provider's sum never exceeds the ledger's.

The upstream lives in this process, so it survives every kill and keeps its own till. What was acknowledged to
somebody (a grant, a settled call that the same client followed by another) must be in the journal after it.
Twelve kills here; `python -m tests.campaign --kills 200` runs this file again and again.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from audit import Audit, audit
from raw_http import Answer, Leave, request, send
from recorded import RecordedUpstream
from sidecar import Sidecar
from till import Till, chat, nusd

SEED = int(os.environ.get("SPENDGUARD_TEST_SEED", random.SystemRandom().randrange(2**32)))
KILLS = int(os.environ.get("SPENDGUARD_TEST_KILLS", "12"))
AGENTS = 6
WORKERS = 16
FIRST_CENTS = 20


@dataclass
class Told:
    """What the daemon told somebody, and therefore must remember."""

    answers: list[list[Answer]] = field(default_factory=list)
    """Of each worker in each life of the daemon: its whole answers, in order."""
    grants: list[tuple[str, int]] = field(default_factory=list)
    """Agent and cents of each top-up that was answered 200; no two have the same cents."""
    statuses: Counter[int] = field(default_factory=Counter)


class Load:
    """Workers that call without end, and an operator who tops up, until the daemon is gone."""

    def __init__(self, sidecar: Sidecar, agents: list[str]) -> None:
        self.dice = random.Random(SEED)
        self.told = Told()
        self._sidecar = sidecar
        self._agents = agents
        self._number = 1_000  # so that no top-up is as large as the first grant

    async def run_until_killed(self) -> None:
        """Put load on the daemon, kill it at a random moment, and wait until everyone has noticed."""
        crowd = [asyncio.create_task(self._work()) for _ in range(WORKERS)]
        crowd.append(asyncio.create_task(self._top_up()))
        await asyncio.sleep(self.dice.uniform(0.02, 0.6))
        self._sidecar.kill()
        await asyncio.gather(*crowd)

    async def _work(self) -> None:
        answers: list[Answer] = []
        self.told.answers.append(answers)
        while self._sidecar.process is not None:
            agent_id, number = self.dice.choice(self._agents), self._number
            self._number += 1
            body = chat(agent_id, number, stream=self.dice.random() < 0.5)
            headers = {"x-cynsta-agent-id": agent_id}
            raw = request(self._sidecar.port, "/v1/chat/completions", headers, json.dumps(body).encode())
            answer = await send(self._sidecar.port, raw, self._leave())
            if answer is None:
                continue
            self.told.statuses[answer.status] += 1
            if answer.whole:
                answers.append(answer)

    def _leave(self) -> Leave:
        """A third of the clients leave, somewhere in the answer or before there is one."""
        early = Leave(after_seconds=self.dice.uniform(0, 0.01))
        return self.dice.choice([Leave()] * 4 + [early, Leave(after_received=self.dice.randrange(1_000))])

    async def _top_up(self) -> None:
        while self._sidecar.process is not None:
            agent_id, cents = self.dice.choice(self._agents), self._number
            self._number += 1
            headers = {"authorization": f"Bearer {self._sidecar.token}"}
            body = json.dumps({"topup_cents": cents}).encode()
            raw = request(self._sidecar.port, f"/v1/agents/{agent_id}/budget/topup", headers, body)
            answer = await send(self._sidecar.port, raw)
            if answer is not None and answer.whole:
                assert answer.status == 200, answer.body
                self.told.grants.append((agent_id, cents))


def make_agents(sidecar: Sidecar) -> list[str]:
    """Make agents of both kinds, each with little money that top-ups may add to without limit."""
    agents = []
    for index in range(AGENTS):
        agent_id = sidecar.agent(cents=None, concurrency=("exclusive", "shared")[index % 2])
        grant = {"hard_limit_cents": 100_000_000, "topup_cents": FIRST_CENTS}
        sidecar.control("POST", f"/v1/agents/{agent_id}/budget", grant)
        agents.append(agent_id)
    return agents


def kill_while_starting(home: Path, dice: random.Random) -> None:
    """Start a daemon and kill it before, during or just after it recovers: recovery may be cut short too."""
    env = {"SPENDGUARD_HOME": str(home), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-P", "-m", "spendguard_daemon", "--port", "0"]
    process = subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    time.sleep(dice.uniform(0.15, 0.45))
    assert process.poll() is None, "it gave up by itself"
    process.send_signal(signal.SIGKILL)
    process.wait(30)


def check_remembers(found: Audit, told: Told) -> None:
    """All that was acknowledged is there, at the cost that was told."""
    for answers in told.answers:
        priced = [answer for answer in answers if "x-spendguard-held-usd" in answer.headers]
        for position, answer in enumerate(priced):
            call_id = answer.headers["x-spendguard-call-id"]
            assert nusd(answer.headers["x-spendguard-held-usd"]) == found.holds[call_id]["amount_nusd"]
            cost_usd = answer.headers.get("x-spendguard-cost-usd")
            # A settlement rides along with the next record. So only a worker's last one may be lost to the
            # kill, and its call is then charged at its hold; the hold of the one after it proves the rest.
            lost = position == len(priced) - 1 and found.ends[call_id]["reason"] == "crash"
            if cost_usd is not None and not lost:
                assert found.cost(call_id) == nusd(cost_usd)
    budgets = Counter((r["agent_id"], r["applied_nusd"]) for r in found.records if r["t"] == "budget_set")
    for agent_id, cents in told.grants:
        assert budgets[agent_id, cents * 10_000_000] == 1, f"a top-up of {cents} cents was lost"


def check_crashed(found: Audit) -> None:
    """What was open when the daemon died is charged at its hold."""
    for end in found.ends.values():
        if end["reason"] == "crash":
            assert (end["t"], end["cost_nusd"]) == ("settle_worst", end["hold_nusd"])


def check_says_so_too(sidecar: Sidecar, found: Audit) -> None:
    """The daemon itself shows the balances that the journal adds up to, and holds nothing."""
    assert sidecar.control("GET", "/v1/status")["calls_in_flight"] == 0
    for agent_id, sums in found.agents.items():
        budget = sidecar.budget(agent_id)
        assert (nusd(budget["settled_usd"]), nusd(budget["held_usd"])) == (sums.settled, 0)
        assert nusd(budget["funded_usd"]) == sums.funded


async def test_no_kill_makes_the_ledger_know_less_than_the_provider(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After each kill: it starts again, nothing acknowledged is lost, and no money is missing."""
    print(f"SPENDGUARD_TEST_SEED={SEED}")
    home, till = tmp_path / "home", Till()
    with RecordedUpstream(usage=till.usage) as upstream:
        sidecar = Sidecar(home, upstream.base_url)
        sidecar.start()
        load = Load(sidecar, make_agents(sidecar))
        for kill in range(KILLS):
            await load.run_until_killed()
            if kill % 4 == 3:
                await asyncio.to_thread(kill_while_starting, home, load.dice)
            await asyncio.to_thread(sidecar.start)
            found = audit(home / "ledger")
            check_remembers(found, load.told)
            till.check(found)
            check_crashed(found)
            check_says_so_too(sidecar, found)
        log = sidecar.home.log.read_text()
        sidecar.stop()
    ends = Counter((end["t"], end["reason"]) for end in found.ends.values())
    print(load.told.statuses, ends, f"{len(load.told.grants)} grants")
    assert "Traceback" not in log and '"error"' not in log, log[-3_000:]
    # A kill that hit nothing proves nothing.
    assert ends["settle_worst", "crash"] >= KILLS
    assert ends["settle", "reported usage"] >= 10 * KILLS
    assert len(load.told.grants) >= KILLS
