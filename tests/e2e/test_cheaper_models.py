"""A refusal names a cheaper model only if that model serves the same body now, for the same money."""

from collections.abc import Iterator
from typing import Any

import pytest

from recorded import RecordedUpstream
from scripted import ScriptedProvider, Turn
from sidecar import Sidecar
from till import nusd

HELLO = [{"role": "user", "content": "Say hello, at some length. é"}]
CONTENTS = [{"role": "user", "parts": [{"text": "Say hello, at some length. é"}]}]
CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
GEMINI = "/v1beta/models/{}:generateContent"

ASKED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "openai chat": (CHAT, "gpt-4o", {"messages": HELLO, "max_tokens": 8_000}),
    "openai chat, reasoning": (CHAT, "gpt-5.5", {"messages": HELLO, "max_completion_tokens": 20_000}),
    "openai responses": (RESPONSES, "gpt-4.1", {"input": "Hello", "max_output_tokens": 8_000}),
    "anthropic messages": (MESSAGES, "claude-opus-4-8", {"messages": HELLO, "max_tokens": 2_000}),
    "gemini generateContent": (
        GEMINI,
        "gemini-2.5-pro",
        {"contents": CONTENTS, "generationConfig": {"maxOutputTokens": 8_000}},
    ),
    "gemini, the original's path": (
        "/v1/agents/{agent}/runs/r/gemini/generateContent",
        "gemini-2.5-pro",
        {"prompt": "Say hello", "max_tokens": 8_000},
    ),
    "grok chat": (
        "/grok/v1/chat/completions",
        "grok-4.7",
        {"messages": HELLO, "max_completion_tokens": 3_500},
    ),
}
TRUST = {"allow": ["grok.chat.cap:reasoning", "grok.fee:violation"]}


@pytest.fixture(scope="module")
def provider() -> ScriptedProvider:
    """As strict as the real ones."""
    return ScriptedProvider(lambda _path, _body: Turn("ok", fresh=1, output=1))


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, provider: ScriptedProvider) -> Iterator[Sidecar]:
    """One daemon for all calls of this file."""
    with RecordedUpstream() as upstream:
        upstream.director = provider
        with Sidecar(tmp_path_factory.mktemp("cheaper") / "home", upstream.base_url) as running:
            yield running


def ask(sidecar: Sidecar, agent: str, path: str, model: str, body: dict[str, Any]) -> Any:
    """Send a request that names its model in the path where that has a place for it, else in the body."""
    in_path = "{}" in path
    sent = body if in_path else {"model": model} | body
    return sidecar.send(path.replace("{}", model).replace("{agent}", agent), agent, sent)


@pytest.mark.parametrize(("path", "model", "body"), ASKED.values(), ids=ASKED)
def test_the_model_that_a_refusal_names_serves_the_same_body(
    sidecar: Sidecar, provider: ScriptedProvider, path: str, model: str, body: dict[str, Any]
) -> None:
    agent = sidecar.agent(cents=2, overflow="refuse", policy=TRUST)
    refused = ask(sidecar, agent, path, model, body)
    told = refused.json()["spendguard"]
    assert (refused.status_code, told["code"]) == (402, "insufficient_budget"), refused.text
    before = len(provider.received)
    served = ask(sidecar, agent, path, told["cheaper_model"], body)
    assert served.status_code == 200, served.text
    assert served.headers["x-spendguard-held-usd"] == told["cheaper_model_usd"]
    assert nusd(told["cheaper_model_usd"]) <= nusd(told["available_usd"]) < nusd(told["worst_case_usd"])
    assert len(provider.received) == before + 1
