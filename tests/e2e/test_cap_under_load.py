"""The cap holds under load: a thousand callers of one agent, and fifty agents whose clients come and go."""

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit import Audit, audit
from raw_http import Answer, Leave, request, send
from recorded import Act, Received, RecordedUpstream
from sidecar import Sidecar
from till import INPUT_NUSD, MODEL, OUTPUT_NUSD, Till, chat, nusd

SEED = int(os.environ.get("SPENDGUARD_TEST_SEED", random.SystemRandom().randrange(2**32)))
CALLERS = 1_000
WORST_CASES = 10
WORST_NUSD = 3_000_000
"""One worst case is 0.3 cents, so that ten of them are whole cents."""
PROBE_TOKENS = 4_000

CROWDED = {
    "SPENDGUARD_LIMITS_CONNECTIONS_MAX": "4096",
    "SPENDGUARD_LIMITS_AGENT_CALLS_MAX": "2048",
    "SPENDGUARD_LIMITS_AGENT_REQUESTS_PER_SECOND": "1000",
}
"""It is the money that must hold all of them back."""

SLOW = {"SPENDGUARD_POLICY_HELD_WAIT_SECONDS": "30", **CROWDED}
QUICK = {"SPENDGUARD_POLICY_HELD_WAIT_SECONDS": "1", **CROWDED}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home for one daemon."""
    return tmp_path / "home"


def wanted(body: dict[str, Any], agent_id: str, port: int, run: str = "r") -> bytes:
    """Return a chat call as it goes over the wire."""
    headers = {"x-cynsta-agent-id": agent_id, "x-cynsta-run-id": run}
    return request(port, "/v1/chat/completions", headers, json.dumps(body).encode())


async def settled_down(sidecar: Sidecar) -> None:
    """Wait until no call is in flight."""
    async with asyncio.timeout(30):
        while (await asyncio.to_thread(sidecar.control, "GET", "/v1/status"))["calls_in_flight"]:
            await asyncio.sleep(0.05)


# -- one agent, ten worst cases, a thousand callers -------------------------------------------------------


async def worst_case_request(sidecar: Sidecar) -> dict[str, Any]:
    """Return a request whose hold is exactly WORST_NUSD, found out by asking what one like it is held at."""
    probe = {"model": MODEL, "max_tokens": PROBE_TOKENS, "messages": [{"role": "user", "content": "hi"}]}
    answer = await send(sidecar.port, wanted(probe, sidecar.agent(cents=100), sidecar.port))
    assert answer is not None and answer.status == 200
    bound = (nusd(answer.headers["x-spendguard-held-usd"]) - PROBE_TOKENS * OUTPUT_NUSD) // INPUT_NUSD
    left = WORST_NUSD // INPUT_NUSD - bound
    pad = left % (OUTPUT_NUSD // INPUT_NUSD)
    content = "hi" + "!" * pad
    return {
        "model": MODEL,
        "max_tokens": (left - pad) * INPUT_NUSD // OUTPUT_NUSD,
        "messages": [{"role": "user", "content": content}],
    }


def capped_agent(sidecar: Sidecar) -> str:
    """Make an agent that has money for exactly ten worst cases."""
    cents = WORST_CASES * WORST_NUSD // 10_000_000
    assert cents * 10_000_000 == WORST_CASES * WORST_NUSD
    return sidecar.agent(cents=cents, overflow="refuse")


async def test_of_a_thousand_concurrent_calls_exactly_ten_arrive(home: Path) -> None:
    """Funded for ten worst cases and held open: ten arrive, 990 hear why not, and the sums come out."""
    with (
        RecordedUpstream(
            bill=lambda _, prompt, tokens: prompt * INPUT_NUSD + tokens * OUTPUT_NUSD
        ) as upstream,
        Sidecar(home, upstream.base_url, env=QUICK) as sidecar,
    ):
        body = await worst_case_request(sidecar)
        probe_nusd, upstream.billed_nusd = upstream.billed_nusd, 0
        agent_id = capped_agent(sidecar)
        upstream.hold_open()
        raw = wanted(body, agent_id, sidecar.port)
        calls = [asyncio.create_task(send(sidecar.port, raw)) for _ in range(CALLERS)]
        refused, waiting = await wait_for(calls, CALLERS - WORST_CASES)
        assert len(waiting) == WORST_CASES
        assert upstream.arrived == 1 + WORST_CASES
        for call in refused:
            check_refusal(call.result())
        budget = sidecar.budget(agent_id)
        assert (budget["available_usd"], budget["held_usd"], budget["settled_usd"]) == (
            "0.00",
            "0.03",
            "0.00",
        )

        upstream.release()
        answers = [answer for answer in await asyncio.gather(*waiting) if answer is not None]
        assert [answer.status for answer in answers] == [200] * WORST_CASES
        assert {answer.headers["x-spendguard-held-usd"] for answer in answers} == {"0.003"}
        costs = sum(nusd(answer.headers["x-spendguard-cost-usd"]) for answer in answers)
        assert upstream.arrived == 1 + WORST_CASES
        sidecar.stop()
        found = audit(home / "ledger")
    agent = found.agents[agent_id]
    assert not found.open_calls
    assert (agent.settled, agent.held) == (upstream.billed_nusd, 0)
    assert costs == upstream.billed_nusd > 0
    assert sum(sums.settled for sums in found.agents.values()) == costs + probe_nusd
    assert [record["amount_nusd"] for record in found.holds.values()][1:] == [WORST_NUSD] * WORST_CASES


async def wait_for(
    calls: list[asyncio.Task[Answer | None]], count: int
) -> tuple[list[asyncio.Task[Answer | None]], list[asyncio.Task[Answer | None]]]:
    """Wait until `count` of the calls have ended; return those that have, and the rest."""
    async with asyncio.timeout(60):
        while sum(call.done() for call in calls) < count:
            await asyncio.wait([c for c in calls if not c.done()], return_when=asyncio.FIRST_COMPLETED)
    return [call for call in calls if call.done()], [call for call in calls if not call.done()]


def check_refusal(answer: Answer | None) -> None:
    """A refusal is a 402 that says it is worth trying again, with the whole sum."""
    assert answer is not None
    assert answer.status == 402
    assert answer.headers["x-should-retry"] == "true"
    said = answer.json()["spendguard"]
    assert said["code"] == "budget_held"
    sums = {name: said[name] for name in ("worst_case_usd", "remaining_usd", "available_usd", "held_usd")}
    assert sums == {
        "worst_case_usd": "0.003",
        "remaining_usd": "0.03",
        "available_usd": "0.00",
        "held_usd": "0.03",
    }


@pytest.mark.parametrize(("share", "arrive"), [(1, 10), (2, 19)], ids=["all of it", "half of it"])
async def test_money_that_is_freed_lets_the_next_in_and_no_more(home: Path, share: int, arrive: int) -> None:
    """Callers that wait get what earlier calls leave: at half their hold each, 19 fit and a 20th does not."""
    spent_nusd = WORST_NUSD // share

    def usage(body: dict[str, Any]) -> tuple[int, int]:
        if body["max_tokens"] == PROBE_TOKENS:
            return 1, 1
        tokens = min(body["max_tokens"], (spent_nusd - INPUT_NUSD) // OUTPUT_NUSD)  # no prompt is empty
        return (spent_nusd - tokens * OUTPUT_NUSD) // INPUT_NUSD, tokens

    with RecordedUpstream(usage=usage) as upstream, Sidecar(home, upstream.base_url, env=SLOW) as sidecar:
        body = await worst_case_request(sidecar)
        agent_id = capped_agent(sidecar)
        upstream.hold_open()
        raw = wanted(body, agent_id, sidecar.port)
        calls = [asyncio.create_task(send(sidecar.port, raw)) for _ in range(200)]
        await asyncio.to_thread(upstream.wait_arrived, 1 + WORST_CASES)
        upstream.release()
        answers = await asyncio.gather(*calls)
        arrived = upstream.arrived - 1
        sidecar.stop()
        found = audit(home / "ledger")
    statuses = Counter(answer.status for answer in answers if answer is not None)
    assert statuses == {200: arrive, 402: 200 - arrive}
    assert arrived == arrive
    assert found.agents[agent_id].settled == arrive * spent_nusd
    codes = {a.json()["spendguard"]["code"] for a in answers if a is not None and a.status == 402}
    assert codes == {"insufficient_budget"}


# -- fifty agents, clients that leave ---------------------------------------------------------------------

AGENTS = 50
CALLS_EACH = 20


class Storm:
    """What goes in: calls of all kinds by seeded chance. What comes out: the answers, by tag."""

    def __init__(self, sidecar: Sidecar) -> None:
        self.sidecar = sidecar
        self.answers: dict[str, Answer | None] = {}
        self._dice = random.Random(SEED)
        self.agents = [self._agent(index) for index in range(AGENTS)]

    def _agent(self, index: int) -> str:
        concurrency = ("exclusive", "shared")[index % 2]
        overflow = self._dice.choice(["clamp", "refuse"])
        # From a budget that is soon gone to one that is never short.
        cents = self._dice.choice([1, 1, 2, 3, 10])
        return self.sidecar.agent(cents=cents, concurrency=concurrency, overflow=overflow)

    def calls(self) -> Iterator[tuple[str, bytes, Leave]]:
        """Yield tag, request and when its client leaves, in a shuffled order."""
        orders = [(agent_id, number) for agent_id in self.agents for number in range(CALLS_EACH)]
        self._dice.shuffle(orders)
        for agent_id, number in orders:
            max_tokens = self._dice.choice([1, 200, 2_000, 8_000]) + number
            choices = self._dice.choice([1, 1, 2])
            body = chat(agent_id, max_tokens, stream=self._dice.random() < 0.5, n=choices)
            raw = wanted(body, agent_id, self.sidecar.port, run=self._dice.choice(["one", "one", "two"]))
            yield body["user"], raw, self._leave(len(raw))

    def _leave(self, request_bytes: int) -> Leave:
        """A third leave: before all is sent, while they wait, or anywhere in the answer."""
        if self._dice.random() >= 1 / 3:
            return Leave()
        match self._dice.randrange(3):
            case 0:
                return Leave(after_sent=self._dice.randrange(request_bytes + 1))
            case 1:
                return Leave(after_seconds=self._dice.uniform(0, 0.5))
            case _:
                return Leave(after_received=self._dice.randrange(1_200))

    async def blow(self, upstream: RecordedUpstream) -> None:
        """Let all calls loose at once, while the provider now holds them open and now answers."""

        async def one(tag: str, raw: bytes, leave: Leave) -> None:
            self.answers[tag] = await send(self.sidecar.port, raw, leave)

        tide = asyncio.create_task(self._tide(upstream))
        await asyncio.gather(*(one(*call) for call in self.calls()))
        tide.cancel()
        upstream.release()

    async def _tide(self, upstream: RecordedUpstream) -> None:
        while True:
            upstream.hold_open()
            await asyncio.sleep(self._dice.uniform(0.05, 0.3))
            upstream.release()
            await asyncio.sleep(self._dice.uniform(0.01, 0.1))


def unkind(received: Received) -> Act | None:
    """Now and then the provider resets the connection, or breaks off in the middle; told by the tag alone."""
    tag = json.loads(received.body)["user"]
    dice = random.Random(f"{SEED} {tag}")
    return (
        dice.choice([Act(reset=True), Act(cut_after=dice.randrange(600))]) if dice.random() < 0.06 else None
    )


async def test_fifty_agents_whose_clients_leave_stay_within_their_caps(home: Path) -> None:
    """Whatever the clients do: no hold stays, each call ends once, no agent spends past its money."""
    print(f"SPENDGUARD_TEST_SEED={SEED}")
    till = Till()
    with (
        RecordedUpstream(usage=till.usage) as upstream,
        Sidecar(home, upstream.base_url, env=QUICK) as sidecar,
    ):
        upstream.director = unkind
        storm = Storm(sidecar)
        await storm.blow(upstream)
        await settled_down(sidecar)
        upstream.director = lambda _: None
        check_locks_are_free(sidecar, storm)
        log = sidecar.home.log.read_text()
        sidecar.stop()
        found = audit(home / "ledger")
    assert '"error"' not in log and "Traceback" not in log, log[-3_000:]
    till.check(found)
    check_told(found, storm)
    statuses = Counter(answer.status for answer in storm.answers.values() if answer is not None)
    ends = Counter(end["t"] for end in found.ends.values())
    print(statuses, ends)
    # A storm in which nothing happened proves nothing.
    assert {200, 402, 409} <= set(statuses)
    assert {"settle", "settle_worst"} <= set(ends)
    assert ends["settle"] > 100


def check_told(found: Audit, storm: Storm) -> None:
    """What an answer said of its hold and its cost is what was booked."""
    for answer in storm.answers.values():
        if answer is None or "x-spendguard-held-usd" not in answer.headers:
            continue
        call_id = answer.headers["x-spendguard-call-id"]
        assert nusd(answer.headers["x-spendguard-held-usd"]) == found.holds[call_id]["amount_nusd"]
        if "x-spendguard-cost-usd" in answer.headers:
            assert nusd(answer.headers["x-spendguard-cost-usd"]) == found.cost(call_id)


def check_locks_are_free(sidecar: Sidecar, storm: Storm) -> None:
    """No agent is locked, and none refuses a run that it has never seen because of another one."""
    for agent in sidecar.control("GET", "/v1/agents")["agents"]:
        assert (agent["locked_run_id"], agent["held_usd"], agent["calls_in_flight"]) == (None, "0.00", 0)
    for agent_id in storm.agents:
        answer = sidecar.chat(agent_id, chat(agent_id, 100), run="three")
        assert answer.status_code in (200, 402), answer.text
