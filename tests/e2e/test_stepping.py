"""Stepping the balance from $1 to 0 in 200 steps, for each shape of request that has a minimum (done line 7).

At every step one request goes out or is refused. What goes out is judged twice: by a provider as strict as
the real ones, which must have nothing to refuse, and by an independent count of the most that it may bill,
which must be within what is left. Where it is refused, the `max_tokens` that the 402 names must go through.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from billing.holds import BILLS, Sent
from in_memory import in_memory
from published import catalogue_row
from recorded import RecordedUpstream
from scripted import ScriptedProvider, Turn, complaint, provider_of
from sidecar import Sidecar
from till import nusd

STEPS = 200
DOLLAR_NUSD = 10**9
STEP_NUSD = DOLLAR_NUSD // STEPS
FINE = range(0, 2 * STEP_NUSD, STEP_NUSD // 20)
"""Balances near nothing, where minimums matter most."""

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of request; `cap` is where its output cap stands, a member or a member of one.

    `least`: below this cap its provider answers 400; `useful`: design 5.3's floor.
    """

    name: str
    path: str
    body: Body
    cap: str
    least: int = 1
    useful: int = 1_024

    def asking(self, cap: int) -> Body:
        """Return the same request with another cap."""
        *outer, name = self.cap.split(".")
        if outer:
            return self.body | {outer[0]: {**self.body.get(outer[0], {}), name: cap}}
        return {name: value for name, value in self.body.items() if name not in CAPS} | {name: cap}

    @property
    def asked(self) -> int | None:
        """The cap that the request itself asks for."""
        return cap_of(self.body)

    @property
    def floor(self) -> int:
        """The least cap that may go out."""
        floor = max(self.least, min(self.useful, self.asked or self.useful))
        config = self.body.get("generationConfig") or {}
        budget = (self.body.get("thinking") or {}).get("budget_tokens")
        budget = (config.get("thinkingConfig") or {}).get("thinkingBudget", budget)
        return floor if budget is None else min(max(floor, budget + 1_024), self.asked or 0)

    @property
    def key(self) -> tuple[str, str]:
        """Provider and endpoint."""
        last = self.path.rpartition(":")[2] if ":" in self.path else self.path.rpartition("/v1/")[2]
        endpoint = CONTENT if last == "streamGenerateContent" else last.rpartition("openai/")[2]
        return provider_of(self.path, self.body), endpoint

    @property
    def model(self) -> str:
        """The model, which Gemini's paths name."""
        named: str = self.body.get("model") or self.path.rpartition("/")[2].partition(":")[0]
        return named


CAPS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
CONTENT = "generateContent"


def cap_of(body: Body) -> int | None:
    """Return the output cap that a request has, None where it has none."""
    found = [body[name] for name in CAPS if body.get(name) is not None]
    found += [cap for cap in [(body.get("generationConfig") or {}).get("maxOutputTokens")] if cap is not None]
    assert len(found) < 2
    return found[0] if found else None


HELLO = [{"role": "user", "content": "Say hello, at some length. é"}]
CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
GEMINI = "/v1beta/models/gemini-2.5-pro:generateContent"
COMPATIBLE = "/v1beta/openai/chat/completions"
CONTENTS = [{"role": "user", "parts": [{"text": "Say hello, at some length. é"}]}]
IN_CONFIG = "generationConfig.maxOutputTokens"
THINKING = {"type": "enabled", "budget_tokens": 4_096}

SHAPES = [
    Shape("chat", CHAT, {"model": "gpt-4.1", "messages": HELLO}, "max_completion_tokens"),
    Shape("chat-capped", CHAT, {"model": "gpt-4o", "messages": HELLO, "max_tokens": 16_000}, "max_tokens"),
    Shape(
        "chat-reasoning",
        CHAT,
        {"model": "gpt-5.5", "messages": HELLO, "max_completion_tokens": 30_000},
        "max_completion_tokens",
        useful=4_096,
    ),
    Shape("responses", RESPONSES, {"model": "gpt-4o", "input": "hi"}, "max_output_tokens", least=16),
    Shape(
        "responses-least",
        RESPONSES,
        {"model": "o1-pro", "input": "hi", "max_output_tokens": 16},
        "max_output_tokens",
        least=16,
        useful=4_096,
    ),
    Shape(
        "responses-pro",
        RESPONSES,
        {"model": "o1-pro", "input": "hi", "max_output_tokens": 1_500},
        "max_output_tokens",
        least=16,
        useful=4_096,
    ),
    Shape(
        "messages-thinking",
        MESSAGES,
        {"model": "claude-opus-4-1", "messages": HELLO, "max_tokens": 32_000, "thinking": THINKING},
        "max_tokens",
    ),
    Shape(
        "messages-thinking-tight",
        MESSAGES,
        {"model": "claude-opus-4-1", "messages": HELLO, "max_tokens": 4_200, "thinking": THINKING},
        "max_tokens",
    ),
    Shape("gemini", GEMINI, {"contents": CONTENTS}, IN_CONFIG, useful=4_096),
    Shape(
        "gemini-capped",
        GEMINI,
        {"contents": CONTENTS, "generationConfig": {"maxOutputTokens": 60_000, "candidateCount": 1}},
        IN_CONFIG,
        useful=4_096,
    ),
    Shape(
        "gemini-thinking",
        GEMINI,
        {
            "contents": CONTENTS,
            "generationConfig": {
                "maxOutputTokens": 32_000,
                "thinkingConfig": {"thinkingBudget": 8_192},
            },
        },
        IN_CONFIG,
        useful=4_096,
    ),
    Shape(
        "gemini-compatible",
        COMPATIBLE,
        {"model": "gemini-2.5-pro", "messages": HELLO, "max_tokens": 30_000},
        "max_tokens",
        useful=4_096,
    ),
    Shape(
        "grok-chat", CHAT, {"model": "grok-4.20-non-reasoning", "messages": HELLO}, "max_completion_tokens"
    ),
    Shape(
        "grok-responses",
        RESPONSES,
        {"model": "grok-4.3", "input": "hi", "max_output_tokens": 100_000},
        "max_output_tokens",
        useful=4_096,
    ),
]


def worst_nusd(shape: Shape, sent: Body) -> int:
    """Return the most that the provider may bill for what left us, counted apart from the code under test."""
    path = shape.path.partition("?")[0]
    return BILLS[shape.key](Sent(path, {}, sent, False, None)).nusd(datetime.now(UTC))


class Purse:
    """An agent with $1 whose balance is set by correcting what an earlier call of it cost."""

    def __init__(self, sidecar: Sidecar) -> None:
        self.sidecar = sidecar
        self.agent = sidecar.agent(cents=100)
        body = {"model": "gpt-4o-mini", "max_tokens": 16, "messages": HELLO}
        self.ballast = sidecar.send(CHAT, self.agent, body).headers["x-spendguard-call-id"]
        self.spent_nusd = 0
        self.ballast_nusd: int | None = None
        self.affordable = 0

    def leave(self, balance_nusd: int) -> None:
        """Let so much remain."""
        ballast_nusd = DOLLAR_NUSD - balance_nusd - self.spent_nusd
        if ballast_nusd != self.ballast_nusd:  # nothing was spent since, where a call was refused
            self._correct(self.ballast, ballast_nusd)
            self.ballast_nusd = ballast_nusd

    def forgive(self, call_id: str) -> None:
        """Let a call have cost nothing."""
        self._correct(call_id, 0)

    def _correct(self, call_id: str, cost_nusd: int) -> None:
        to_usd = f"{cost_nusd // 10**9}.{cost_nusd % 10**9:09}"
        path = f"/v1/calls/{call_id}/adjust"
        self.sidecar.control("POST", path, {"cost_usd": to_usd, "reason": "stepping"})

    def ask(self, path: str, body: Body) -> Any:
        """Send a request of this agent; note what it cost."""
        answer = self.sidecar.send(path, self.agent, body)
        if answer.status_code == 200:
            self.spent_nusd += nusd(answer.headers["x-spendguard-cost-usd"])
        return answer


@pytest.fixture(scope="module")
def provider() -> ScriptedProvider:
    """It bills a token of each kind, and is strict."""
    return ScriptedProvider(lambda _path, _body: Turn("ok", fresh=1, output=1))


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, provider: ScriptedProvider) -> Iterator[Sidecar]:
    """One daemon for all shapes."""
    with RecordedUpstream() as upstream, in_memory(tmp_path_factory.mktemp("stepping")) as folder:
        upstream.director = provider
        with Sidecar(folder / "home", upstream.base_url) as running:
            yield running


@pytest.mark.parametrize("shape", SHAPES, ids=[shape.name for shape in SHAPES])
def test_every_step_is_within_what_is_left(
    sidecar: Sidecar, provider: ScriptedProvider, shape: Shape
) -> None:
    """Sent at the floor or above and never for more than the balance, or refused with what would fit."""
    purse, sent_caps, named = Purse(sidecar), [], []
    provider.refused.clear()
    most = catalogue_row(shape.key[0], shape.model)
    wanted = min(shape.asked or 16_384, most["limits"]["max_output"])
    balances = [DOLLAR_NUSD - step * STEP_NUSD for step in range(1, STEPS + 1)]
    for balance_nusd in (*balances, *reversed(FINE)):
        purse.leave(balance_nusd)
        cap = step(purse, provider, shape, shape.body, balance_nusd)
        if cap is not None:
            assert min(shape.floor, wanted) <= cap <= wanted, f"{cap} at {balance_nusd}"
            sent_caps.append(cap)
            continue
        affordable = purse.affordable
        assert 0 <= affordable < min(shape.floor, wanted), f"{affordable} named at {balance_nusd}"
        if affordable:
            named.append(affordable)
            purse.leave(balance_nusd)
            again = step(purse, provider, shape, shape.asking(affordable), balance_nusd)
            assert again == affordable, f"{affordable} was named at {balance_nusd}, and refused or cut"
    assert provider.refused == []
    assert sent_caps == sorted(sent_caps, reverse=True)
    assert sent_caps[0] > sent_caps[-1] or shape.floor == wanted
    assert named or shape.floor == shape.least
    assert sidecar.budget(purse.agent)["held_usd"] == "0.00"


def step(purse: Purse, provider: ScriptedProvider, shape: Shape, body: Body, balance_nusd: int) -> int | None:
    """Make one call; return the cap that went out, None where the budget refused it."""
    before = len(provider.received)
    answer = purse.ask(shape.path, body)
    if answer.status_code == 402:
        facts = answer.json()["spendguard"]
        assert facts["code"] == "insufficient_budget"
        assert nusd(facts["remaining_usd"]) == balance_nusd
        assert nusd(facts["worst_case_usd"]) > balance_nusd
        assert len(provider.received) == before
        purse.affordable = facts["affordable_max_tokens"]
        fits = f"max_tokens {purse.affordable} would fit"
        assert (fits if purse.affordable else "no max_tokens would fit") in answer.json()["detail"]
        return None
    assert answer.status_code == 200, f"{answer.text} at {balance_nusd}; {provider.refused}"
    (sent,) = provider.received[before:]
    assert worst_nusd(shape, sent) <= nusd(answer.headers["x-spendguard-held-usd"]) <= balance_nusd
    cap = cap_of(sent)
    assert type(cap) is int
    return cap


EMBEDDING = "/v1beta/models/gemini-embedding-001:"
LONG = {"parts": [{"text": "Some thousands of words. " * 2_000}]}


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("embedContent", {"content": LONG}),
        ("batchEmbedContents", {"requests": [{"content": LONG, "model": "models/gemini-embedding-001"}] * 3}),
    ],
    ids=["embed", "batch"],
)
def test_what_has_no_output_goes_out_while_its_input_fits(
    sidecar: Sidecar, provider: ScriptedProvider, verb: str, body: Body
) -> None:
    """Embeddings have no cap to lower: they cost their hold, as no usage is reported, or are refused."""
    purse, shape, answered = Purse(sidecar), Shape(verb, EMBEDDING + verb, body, ""), []
    raw, worst = json.dumps(body).encode(), worst_nusd(shape, body)
    assert worst > STEP_NUSD, "it is refused while something is left"
    for step_nusd in range(STEPS + 1):
        balance_nusd = DOLLAR_NUSD - step_nusd * STEP_NUSD
        purse.leave(balance_nusd)
        answer, before = sidecar.send(shape.path, purse.agent, raw), len(provider.received)
        answered.append(answer.status_code)
        if answer.status_code == 200:
            held_nusd = nusd(answer.headers["x-spendguard-held-usd"])
            assert worst <= held_nusd <= balance_nusd
            assert nusd(answer.headers["x-spendguard-cost-usd"]) == held_nusd
            purse.forgive(answer.headers["x-spendguard-call-id"])
            continue
        facts = answer.json()["spendguard"]
        assert (answer.status_code, facts["code"]) == (402, "insufficient_budget")
        assert nusd(facts["worst_case_usd"]) > balance_nusd
        assert len(provider.received) == before
    assert answered == sorted(answered)
    assert {200, 402} == set(answered)


def test_the_provider_of_this_test_is_strict() -> None:
    """It refuses what the real ones would, so that a shape which passes has passed something."""
    refused = [
        (RESPONSES, {"model": "gpt-4o", "input": "hi", "max_output_tokens": 15}),
        (
            MESSAGES,
            {"model": "claude-opus-4-1", "messages": HELLO, "max_tokens": 4_096, "thinking": THINKING},
        ),
        (CHAT, {"model": "o1", "messages": HELLO, "max_tokens": 16}),
        (CHAT, {"model": "gpt-4o", "messages": HELLO, "max_tokens": 16_385}),
        (CHAT, {"model": "gpt-4o", "messages": HELLO, "max_tokens": 0}),
    ]
    assert all(complaint(path, body) for path, body in refused)
    assert not any(complaint(shape.path, json.loads(json.dumps(shape.body))) for shape in SHAPES)
    contents = {"contents": CONTENTS}
    configs = [
        {"maxOutputTokens": 0},
        {"maxOutputTokens": 65_537},
        {"candidateCount": 9},
        {"thinkingConfig": {"thinkingBudget": 40_000}},
        {"thinkingConfig": {"thinkingBudget": 0}},
    ]
    assert all(complaint(GEMINI, contents | {"generationConfig": config}) for config in configs)
    assert complaint(GEMINI, {"contents": []})
