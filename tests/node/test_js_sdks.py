"""The JavaScript SDKs, unmodified, each in a Node process of its own, through a real daemon.

Each runs its block of `references/routing-patterns.md`, and after it a program of this folder, which goes on
with what the block has made. The second command, `.ci/run --clients`, runs this; a missing package fails.
"""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from coding_agents import AGENTS
from node_programs import DeadEnd, Place
from published import prices_of
from routed import HELLO, INPUT_TOKENS, OUTPUT_TOKENS, TEXTS, WEATHER, Routed, attempts
from routing_page import STATUSES, blocks, refusals
from till import nusd

HERE = Path(__file__).parent
GPT, CLAUDE = ("openai", "gpt-4o-mini"), ("anthropic", "claude-haiku-4-5")
GEMINI = ("gemini", "gemini-2.5-flash")
SDKS: dict[str, tuple[str, tuple[str, str], int]] = {
    "openai-node": ("openai-node.mjs", GPT, 2),
    "@anthropic-ai/sdk": ("anthropic-sdk.mjs", CLAUDE, 1),
    "@google/genai": ("google-genai.mjs", GEMINI, 1),
    "ai, openai": ("ai-sdk.mjs", GPT, 1),
    "ai, anthropic": ("ai-sdk.mjs", CLAUDE, 1),
}
"""By the name of the block: the program after it, the provider's model, and how many streams it reads."""

TRIED_FIRST = {"@anthropic-ai/sdk": ["unbounded_feature"]}
"""Its tool runner asks for a conversation kept at the provider, hears of none, and does without."""


@pytest.fixture(scope="module")
def routed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Routed]:
    """The sidecars; nothing that they sent was refused by the provider."""
    with Routed(tmp_path_factory.mktemp("routed")) as running:
        yield running
        assert running.provider.refused == []


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A clean home, from which nothing beyond this machine is asked for."""
    with DeadEnd() as dead_end:
        yield Place(tmp_path / "home", dead_end, {})
        assert dead_end.asked == []


@pytest.mark.parametrize("name", SDKS)
def test_it_answers_and_is_charged(name: str, routed: Routed, place: Place) -> None:
    """A plain call, streams, a tool called and answered; the ledger has what the provider reported."""
    program, (provider, model), streams = SDKS[name]
    agent_id = routed.sidecar.agent()
    block = blocks("node")[name]
    goes_on = replace(block, text=f"{block.text}\n{(HERE / program).read_text(encoding='utf-8')}")
    ended = place.run(goes_on, routed.sidecar.base, agent_id)
    assert ended.code == 0, ended
    assert ended.out.splitlines() == [HELLO] * (1 + streams) + [WEATHER]
    calls = [call for call in routed.sidecar.calls(agent_id) if call["state"] != "refused"]
    refused = [call["code"] for call in routed.sidecar.calls(agent_id) if call["state"] == "refused"]
    assert refused == TRIED_FIRST.get(name, [])
    assert [call["state"] for call in calls] == ["settled"] * (1 + streams + 2)
    prices = prices_of(provider, model)
    usd = INPUT_TOKENS * Decimal(prices["input"]) + OUTPUT_TOKENS * Decimal(prices["output"])
    assert {nusd(call["cost_usd"]) for call in calls} == {int(usd * 1000)}
    assert nusd(routed.sidecar.budget(agent_id)["settled_usd"]) == len(calls) * int(usd * 1000)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("name", SDKS)
def test_it_is_refused_as_the_page_says(name: str, status: int, routed: Routed, place: Place) -> None:
    """So many attempts, and our text is in the error that the program dies of."""
    row = refusals("node")[name]
    with routed.refusing(status) as (sidecar, agent_id):
        ended = place.run(blocks("node")[name], sidecar.base, agent_id)
        assert attempts(sidecar, agent_id, status) == row.attempts[status]
    assert ended.code == 1
    assert TEXTS[status] in ended.err
    assert row.seen[STATUSES.index(status)] in ended.err


def test_the_page_and_the_programs_are_the_same() -> None:
    """Each block that needs Node is run, and has a row; opencode makes two calls, none sends one twice."""
    assert set(blocks("node")) == set(refusals("node")) == set(SDKS) | set(AGENTS)
    assert [name for name, row in refusals("node").items() if row.attempts[402] != 1] == ["opencode"]
