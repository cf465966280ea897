"""Who pays: every combination of path, header and key slots that name two agents (issue 7, done line 2).

A small oracle says from the rules alone what each combination must come to. Money moves only for the one
agent that all places name, and never beyond its key; of all else nothing is forwarded: the upstream counts.
"""

import http.client
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from recorded import Act, Received, RecordedUpstream, Reply, load
from sidecar import Sidecar
from till import nusd

JSON = {"content-type": "application/json"}
SETTINGS = {
    "SPENDGUARD_LIMITS_AGENT_REQUESTS_PER_SECOND": "100000",
    "SPENDGUARD_POLICY_EXACT_COUNT": "never",  # a call that does not fit asks the provider nothing
}

ABSENT, OF_A, OF_B, UNKNOWN, OTHER = "absent", "A's key", "B's key", "unknown key", "other value"
NAMES = (ABSENT, "A", "B")
VALUES = (ABSENT, OF_A, OF_B, UNKNOWN, OTHER)
SLOTS = ("authorization", "x-api-key", "x-goog-api-key", "?key=")
STRANGER = "sg_agent_00000000000000aa.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
FOREIGN = "sk-of-the-client-0123456789"

INPUT_TOKENS, OUTPUT_TOKENS = 10, 16
COST_NUSD = INPUT_TOKENS * 300 + OUTPUT_TOKENS * 2_500
"""gemini-2.5-flash as its provider publishes it: 0.30 and 2.50 USD per million."""

LIMIT_B_NUSD = 10_000_000


@dataclass(frozen=True, slots=True)
class Combination:
    """What each place says: path and header a name, key slots a value."""

    path: str = ABSENT
    header: str = ABSENT
    slots: tuple[tuple[str, str], ...] = ()

    def verdict(self) -> tuple[int, str]:
        """Return the status that the rules ask for, and who pays or which code is told.

        A's key is of the kind that leaves its id enough by itself, B's is not.
        """
        keys = {value for _, value in self.slots} & {OF_A, OF_B, UNKNOWN}
        names = {self.path, self.header} - {ABSENT}
        if len(keys) > 1:
            return 403, "identity_conflict"
        if keys == {UNKNOWN}:
            return 401, "key_unknown"
        names |= {"A" if key == OF_A else "B" for key in keys}
        if not names:
            return 400, "missing_agent"
        if len(names) > 1:
            return 403, "identity_conflict"
        (name,) = names
        return (401, "key_required") if name == "B" and not keys else (200, name)


@dataclass(frozen=True, slots=True)
class Form:
    """A wire format: its provider's root, what follows it, and a body."""

    provider: str
    tail: str
    body: dict[str, Any] = field(repr=False)
    slots: tuple[str, ...] = SLOTS[:3]


HELLO = [{"role": "user", "content": "hi"}]
GEMINI = Form(
    "gemini",
    "v1beta/models/gemini-2.5-flash:generateContent",
    {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "generationConfig": {"maxOutputTokens": OUTPUT_TOKENS},
    },
    SLOTS,
)
FORMS = (
    Form("openai", "v1/chat/completions", {"model": "gpt-4o-mini", "max_tokens": 16, "messages": HELLO}),
    Form("openai", "v1/responses", {"model": "gpt-4o-mini", "max_output_tokens": 16, "input": "hi"}),
    Form("anthropic", "v1/messages", {"model": "claude-sonnet-4-5", "max_tokens": 16, "messages": HELLO}),
    GEMINI,
)
USAGE = {
    "promptTokenCount": INPUT_TOKENS,
    "candidatesTokenCount": OUTPUT_TOKENS,
    "totalTokenCount": INPUT_TOKENS + OUTPUT_TOKENS,
}
ANSWERS = {
    "generateContent": {
        "candidates": [{"content": {"parts": [{"text": "hi"}]}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": USAGE,
        "modelVersion": "gemini-2.5-flash",
    },
    "messages": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [{"type": "text", "text": "hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 3, "service_tier": "standard"},
    },
}


def answer(received: Received) -> Act | None:
    """Answer in the format that was asked."""
    told = next((told for tail, told in ANSWERS.items() if received.path.endswith(tail)), None)
    if told is not None:
        return Act(reply=Reply(200, JSON, json.dumps(told).encode()))
    responses = received.path.endswith("/responses")
    return Act(reply=load("12-openai-responses-plain").reply) if responses else None


class World:
    """Two agents with a key each, B's good for one cent; a daemon, and a provider that counts."""

    def __init__(self, sidecar: Sidecar, upstream: RecordedUpstream):
        self.sidecar, self.upstream = sidecar, upstream
        self.agents = {name: sidecar.agent(name=name, concurrency="shared") for name in "AB"}
        self.keys = {OF_A: self.key("A", kind="exec"), OF_B: self.key("B", limit_cents=1)}
        self.values = {UNKNOWN: STRANGER, OTHER: FOREIGN} | {
            name: made["key"] for name, made in self.keys.items()
        }
        self._http = http.client.HTTPConnection("127.0.0.1", sidecar.port, timeout=60)

    def key(self, agent: str, **body: object) -> dict[str, Any]:
        """Make a key of an agent."""
        made: dict[str, Any] = self.sidecar.control("POST", f"/v1/agents/{self.agents[agent]}/keys", body)
        return made

    def spent(self, agent: str) -> int:
        """Return what an agent has spent, in nUSD; nothing may be held."""
        budget = self.sidecar.budget(self.agents[agent])
        assert nusd(budget["held_usd"]) == 0
        return nusd(budget["settled_usd"])

    def spent_by(self, key: str) -> int:
        """Return what went over a key."""
        made = self.keys[key]
        told = self.sidecar.control("GET", f"/v1/agents/{made['agent_id']}/keys/{made['key_id']}")
        return nusd(told["settled_usd"])

    def ask(self, form: Form, said: Combination) -> tuple[int, dict[str, Any]]:
        """Send a call that says so."""
        root = f"/{form.provider}"
        if said.path != ABSENT:
            root = f"/v1/agents/{self.agents[said.path]}/runs/r1{root}"
        headers, query = dict(JSON), ""
        if said.header != ABSENT:
            headers["X-Cynsta-Agent-Id"] = self.agents[said.header]
        for slot, value in said.slots:
            if value == ABSENT:
                continue
            sent = self.values[value]
            if slot == "?key=":
                query = f"?key={sent}"
            else:
                headers[slot] = f"bearer  {sent}" if slot == "authorization" else sent
        self._http.request("POST", f"{root}/{form.tail}{query}", json.dumps(form.body), headers)
        response = self._http.getresponse()
        raw = response.read()
        seen = repr(response.getheaders()).encode() + raw
        for value in self.values.values():
            assert value.encode() not in seen
        told: dict[str, Any] = {} if response.status == 200 else json.loads(raw)["spendguard"]
        return response.status, told

    def close(self) -> None:
        """Hang up."""
        self._http.close()


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world of its own for each test."""
    with RecordedUpstream() as upstream:
        upstream.director = answer
        with Sidecar(tmp_path_factory.mktemp("keys") / "home", upstream.base_url, env=SETTINGS) as sidecar:
            made = World(sidecar, upstream)
            yield made
            made.close()


def play(world: World, form: Form, combinations: Iterator[Combination]) -> Counter[str]:
    """Send every combination; return how many calls each agent, and B beyond its key, came to."""
    calls: Counter[str] = Counter()
    for said in combinations:
        before = world.upstream.arrived
        status, told = world.ask(form, said)
        wanted, who = said.verdict()
        if wanted == 200:
            if who == "B" and status == 402:
                assert told["code"] == "key_limit", said
                who = "beyond"
            else:
                assert status == 200, (said, told)
                assert not calls["beyond"] or who == "A", "once it does not fit, it never does again"
            calls[who] += 1
        else:
            assert (status, told["code"]) == (wanted, who), said
        assert world.upstream.arrived - before == (1 if status == 200 else 0), said
    return calls


def check_nothing_leaked(world: World) -> None:
    """No key of any kind reached the provider or the disk."""
    secrets = [value.rpartition(".")[2].encode() for value in world.values.values()]
    for received in world.upstream.received:
        seen = repr((received.path, received.query, received.headers, received.body)).encode()
        assert not [secret for secret in secrets if secret in seen]
    for path in world.sidecar.home.root.rglob("*"):
        if path.is_file():
            raw = path.read_bytes()
            assert not [secret for secret in secrets if secret in raw], path


def every_combination(form: Form) -> Iterator[Combination]:
    """Return all there are."""
    for path, header in itertools.product(NAMES, NAMES):
        for values in itertools.product(VALUES, repeat=len(form.slots)):
            yield Combination(path, header, tuple(zip(form.slots, values, strict=True)))


def every_two_places(form: Form) -> Iterator[Combination]:
    """Return what any two places may say between them, the others saying nothing."""
    places = ("path", "header", *form.slots)
    seen = set()
    for two in itertools.combinations(places, 2):
        for said in itertools.product(*(NAMES if place in ("path", "header") else VALUES for place in two)):
            by = dict(zip(two, said, strict=True))
            slots = tuple((slot, by[slot]) for slot in form.slots if slot in by)
            made = Combination(by.get("path", ABSENT), by.get("header", ABSENT), slots)
            if made not in seen:
                seen.add(made)
                yield made


@pytest.mark.sweep
def test_the_whole_matrix(world: World) -> None:
    """5,625 requests: path, header and four key slots."""
    calls = play(world, GEMINI, every_combination(GEMINI))
    assert calls["A"] == 260 + 48, "with A's key, and without any"
    assert calls["B"] + calls["beyond"] == 260
    assert calls["beyond"] > 0, "the cent is used up within the matrix"
    assert world.spent("A") == calls["A"] * COST_NUSD
    assert world.spent("B") == world.spent_by(OF_B) == calls["B"] * COST_NUSD
    assert LIMIT_B_NUSD - 2 * COST_NUSD < world.spent("B") <= LIMIT_B_NUSD
    assert world.spent_by(OF_A) == 260 * COST_NUSD
    check_nothing_leaked(world)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.provider}-{form.tail.rpartition('/')[2]}")
def test_any_two_places(world: World, form: Form) -> None:
    """In every wire format."""
    calls = play(world, form, every_two_places(form))
    assert calls["A"]
    assert calls["B"]
    for agent in "AB":
        told = [
            nusd(call["cost_usd"]) for call in world.sidecar.calls(world.agents[agent]) if call["cost_usd"]
        ]
        assert world.spent(agent) == sum(told)
    assert world.spent_by(OF_B) == world.spent("B") <= LIMIT_B_NUSD
    check_nothing_leaked(world)
