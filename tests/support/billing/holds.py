"""Hold and bill side by side: what the code under test holds for a request, and what its provider bills.

The hold is made as the planner makes it: the request is read, bounded by each rung, priced and rewritten to a
cap; the bill is made from the path, the headers and the bytes that would leave, by the provider's module.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

import signed_prices
from billing import (
    anthropic,
    anthropic_requests,
    gemini,
    gemini_more_requests,
    gemini_requests,
    grok,
    grok_requests,
    openai,
    openai_requests,
)
from billing.cases import Case
from billing.worst import Worst
from json_values import relaxed
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.planner import offer
from spendguard_daemon.pricing import catalogue
from spendguard_daemon.pricing.document import PriceBook, read_document
from spendguard_daemon.pricing.ratecard import RateCard
from spendguard_daemon.providers import FORMATS, Asked, Format, Request
from spendguard_daemon.usage import InputBound

CASES: dict[tuple[str, str], st.SearchStrategy[Case]] = {
    ("openai", "chat/completions"): openai_requests.chat_cases,
    ("openai", "responses"): openai_requests.responses_cases,
    ("openai", "embeddings"): openai_requests.embeddings_cases,
    ("anthropic", "messages"): anthropic_requests.messages_cases,
    ("gemini", "generateContent"): gemini_requests.generate_cases,
    ("gemini", "embedContent"): gemini_more_requests.embed_cases,
    ("gemini", "batchEmbedContents"): gemini_more_requests.batch_cases,
    ("gemini", "chat/completions"): gemini_more_requests.chat_cases,
    ("grok", "chat/completions"): grok_requests.chat_cases,
    ("grok", "responses"): grok_requests.responses_cases,
}
"""What is drawn, by provider and endpoint."""


@dataclass(frozen=True)
class Sent:
    """A request as its provider gets it. `counted`: by the model's vocabulary, where anyone has it."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    counted: bool
    state_tokens: int | None

    @property
    def model(self) -> str:
        """The model that the path names."""
        return self.path.rpartition("/")[2].partition(":")[0]


BILLS: dict[tuple[str, str], Callable[[Sent], Worst]] = {
    ("openai", "chat/completions"): lambda sent: openai.chat(sent.body, counted=sent.counted),
    ("openai", "responses"): lambda sent: openai.responses(
        sent.body, counted=sent.counted, state_tokens=sent.state_tokens
    ),
    ("openai", "embeddings"): lambda sent: openai.embeddings(sent.body, counted=sent.counted),
    ("anthropic", "messages"): lambda sent: anthropic.messages(sent.body, sent.headers),
    ("gemini", "generateContent"): lambda sent: gemini.generate(sent.body, sent.model),
    ("gemini", "embedContent"): lambda sent: gemini.embed(sent.body, sent.model),
    ("gemini", "batchEmbedContents"): lambda sent: gemini.embed(sent.body, sent.model),
    ("gemini", "chat/completions"): lambda sent: gemini.chat(sent.body),
    ("grok", "chat/completions"): lambda sent: grok.chat(sent.body),
    ("grok", "responses"): lambda sent: grok.responses(sent.body, state_tokens=sent.state_tokens),
}
"""The most that each provider may bill for what left us."""


def countable(provider: str, question: dict[str, Any]) -> dict[str, Any]:
    """Return the request that a question is about, with what it need not say but its bill must know."""
    match provider:
        case "openai":
            return question | {"max_output_tokens": 1, "max_tokens": 1}
        case "anthropic":
            return question | {"max_tokens": 1, "service_tier": "standard_only"}
    asked = dict(question["generateContentRequest"])
    config = gemini.said(asked, "generationConfig") or {}
    kept = {k: v for k, v in config.items() if not k.startswith(("maxOutput", "max_output"))}
    asked.pop("generation_config", None)
    return asked | {"generationConfig": kept | {"maxOutputTokens": 1}}


DEFAULT_CAP = 16_384
UNKNOWN_STATE_TOKENS = 5_000
"""What earlier responses hold that only the provider knows the size of."""

HOUR_NS = 3_600 * 10**9
BOOK = PriceBook(
    read_document(signed_prices.body(providers=catalogue.merge(catalogue.bundled().models)), "00" * 32),
    catalogue.MOCK_CARDS,
    self_signed=True,
)


def check(case: Case) -> str:
    """Return how a case went; raise AssertionError where a bill exceeds its hold."""
    form = FORMATS[case.provider, case.endpoint]
    asked = Asked(case.raw, policy=case.policy, headers=case.headers, model=case.model, stream=case.stream)
    try:
        request = form.read(asked)
        card = BOOK.card(case.provider, request.model)
        rungs = list(_rungs(form, asked, request, card, case))
        from_ns = int(case.begins.timestamp()) * 10**9
        offers = [offer(rung, request, card, from_ns, from_ns + HOUR_NS) for rung, _ in rungs]
    except SpendGuardError as refusal:
        return f"refused: {refusal.code.value}"
    cap = _cap(case, form, request, card)
    body = json.loads(form.rewrite(request, output_tokens=cap).body)
    bills: dict[tuple[bool, int | None], int] = {}
    for one, (_, state_tokens) in zip(offers, rungs, strict=True):
        counted = one.rung in ("local", "counted") and case.provider == "openai"
        if (counted, state_tokens) not in bills:
            sent = Sent(form.path(request), dict(request.headers), body, counted, state_tokens)
            bills[counted, state_tokens] = BILLS[case.provider, case.endpoint](sent).nusd(case.begins)
        billed, held = bills[counted, state_tokens], one.cost.at(cap)
        assert billed <= held, f"billed {billed} > held {held} nUSD by {one.rung} ({one.input_tokens} tokens)"
    return "accepted"


def run(key: tuple[str, str], examples: int, *, seed: int | None = None) -> Counter[str]:
    """Draw so many cases of an endpoint and check each; return how they went, or raise for the first bad one.

    With a seed the cases are always the same, and nothing is kept for other runs.
    """
    went: Counter[str] = Counter()

    @given(CASES[key])
    def one(case: Case) -> None:
        went[check(case)] += 1

    if seed is None:
        settings(relaxed, max_examples=examples)(one)()
    else:
        settings(relaxed, max_examples=examples, database=None)(seeded(seed)(one))()
    return went


def _rungs(
    form: Format, asked: Asked, request: Request, card: RateCard, case: Case
) -> Iterator[tuple[InputBound, int | None]]:
    """Yield each bound, and the size of the earlier responses if it was made from that."""
    for bound in form.bounds(request, card.limits, case.state_tokens):
        yield bound, case.state_tokens
    local = form.local_bound(asked, request, card.limits, case.state_tokens)
    if local is not None:
        yield local, case.state_tokens
    if case.cap_share % 4:
        return  # a fourth of the cases is enough for the slowest rung
    state_tokens = case.state_tokens
    if request.state_ids and state_tokens is None:
        state_tokens = UNKNOWN_STATE_TOKENS
    counted = _counted(form, asked, request, case, state_tokens)
    if counted is not None:
        yield counted, state_tokens


def _counted(
    form: Format, asked: Asked, request: Request, case: Case, state_tokens: int | None
) -> InputBound | None:
    """Ask the provider's count endpoint, which answers the truth about what it is asked, and no more."""
    question = form.count_question(asked, request)
    if question is None:
        return None
    body = countable(case.provider, json.loads(question.body))
    sent = Sent(question.path, dict(request.headers), body, counted=True, state_tokens=state_tokens)
    truth = BILLS[case.provider, case.endpoint](sent).input_tokens
    if truth >= openai.WINDOW:
        return None  # it would count a file, whose text nobody here knows
    answer = {"object": "response.input_tokens", "input_tokens": truth, "totalTokens": truth}
    return form.count_bound(request, 200, json.dumps(answer).encode())


def _cap(case: Case, form: Format, request: Request, card: RateCard) -> int:
    """Return an output cap that a clamp could leave: anything from the floor to what is wanted."""
    if request.capless:
        return 0
    floor = form.floor_output_tokens(
        request, output_tokens_min=card.output_tokens_min, reasoning=card.reasoning
    )
    wanted = DEFAULT_CAP if request.asked_output_tokens is None else request.asked_output_tokens
    wanted = min(wanted, card.limits.output_tokens_max)
    floor = min(max(floor, request.floor_output_tokens), wanted)
    return floor + (wanted - floor) * case.cap_share // 1000
