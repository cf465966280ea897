"""The parts of a worst case: exact, and together the worst case, rounded up once."""

import json
from decimal import ROUND_CEILING, Decimal
from typing import Any

import pytest

import signed_prices
from signed_prices import NOW_NS
from sim import SimClock
from spendguard_daemon.call import Arrival, Plan
from spendguard_daemon.earlier import Earlier
from spendguard_daemon.ledger.events import AgentPolicy
from spendguard_daemon.ledger.state import Account
from spendguard_daemon.money import format_usd
from spendguard_daemon.planner import Planner
from spendguard_daemon.pricing import catalogue
from spendguard_daemon.pricing.document import PriceBook, read_document
from spendguard_daemon.provider_keys import ProviderKeys
from spendguard_daemon.settings import KEY_NAMES, Settings
from spendguard_daemon.sums import parts, tools_nusd

BOOK = PriceBook(
    read_document(signed_prices.body(providers=catalogue.merge(catalogue.bundled().models, {})), "00" * 32),
    catalogue.MOCK_CARDS,
    self_signed=True,
)
KEYS = ProviderKeys({name: "sk-test" for names in KEY_NAMES.values() for name in names}, "")
USER = [{"role": "user", "content": "hi"}]
NANO = Decimal("0.000000001")

SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}
BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("chat/completions", {"model": "gpt-4o-mini", "messages": USER, "max_tokens": 333}),
    "choices": ("chat/completions", {"model": "gpt-4o", "messages": USER, "max_tokens": 7, "n": 3}),
    "no cap": ("chat/completions", {"model": "gpt-5.5", "messages": USER}),
    "no output": ("embeddings", {"model": "text-embedding-3-small", "input": "hi"}),
    "priced by place": (
        "messages",
        {"model": "claude-opus-4-8", "messages": USER, "max_tokens": 9, "inference_geo": "us"},
    ),
    "tools": (
        "messages",
        {"model": "claude-sonnet-5", "messages": USER, "max_tokens": 2_000, "tools": [SEARCH]},
    ),
    "beside the cap": (
        "chat/completions",
        {"model": "grok-4.3", "messages": USER, "max_completion_tokens": 100},
    ),
}


class Prices:
    """The bundled cards, always in force."""

    def current(self, _now_ns: int) -> PriceBook:
        return BOOK


async def planned(endpoint: str, body: dict[str, Any]) -> Plan:
    """Return the plan of a call of an agent that may use hosted tools."""
    policy = AgentPolicy(hosted_tools="allow")
    owner = Account("a", "n", 0, "exclusive", "clamp", mock=False, policy=policy)
    arrival = Arrival("c", "a", None, "", endpoint, {}, json.dumps(body).encode())
    planner = Planner(
        prices=Prices(),
        keys=lambda: KEYS,
        settings=Settings(),
        clock=SimClock(wall=NOW_NS),
        agent_keys={},
    )
    asked = planner.asked(arrival, owner)
    reading = await planner.read(arrival, asked, owner)
    return planner.plan(arrival, asked, reading, owner, Earlier(), set())


@pytest.mark.parametrize(("endpoint", "body"), BODIES.values(), ids=BODIES)
async def test_the_parts_are_the_worst_case(endpoint: str, body: dict[str, Any]) -> None:
    """Their exact sum, rounded up to a nano-dollar once; and each is its rate times its tokens."""
    plan = await planned(endpoint, body)
    told: dict[str, Any] = parts(plan)
    exact = sum(Decimal(told[name]) for name in ("input_usd", "output_usd", "fees_usd"))
    assert exact.quantize(NANO, ROUND_CEILING) == Decimal(format_usd(plan.hold.worst_nusd))
    rates = {words[0]: Decimal(words[1]) for words in map(str.split, told["rates"]) if words[-1] == "tokens"}
    tokens = {"input": min(one.input_tokens for one in plan.hold.offers), "output": told["output_tokens"]}
    for name, rate in rates.items():
        assert Decimal(told[f"{name}_usd"]) == rate * tokens[name] / 10**6
    assert set(rates) == ({"input"} if endpoint == "embeddings" else {"input", "output"})
    assert told["choices"] == body.get("n", 1)


async def test_the_rates_are_those_of_the_card() -> None:
    told = parts(await planned(*BODIES["choices"]))
    assert told["rates"] == ["input 2.50 USD per 1M tokens", "output 10.00 USD per 1M tokens"]
    assert (told["output_tokens"], told["output_usd"]) == (21, "0.00021")
    dearer: Any = parts(await planned(*BODIES["priced by place"]))["rates"]
    assert dearer[1] == "output 27.50 USD per 1M tokens"
    beside: Any = parts(await planned(*BODIES["beside the cap"]))
    assert beside["rates"][2:] == ["violation 0.05 USD each, at most 1"]
    assert beside["output_tokens"] > 100


async def test_what_tools_at_the_provider_add_is_told_apart() -> None:
    """Their fees, and what they find, read again in each round; without them the rest is the plain call's."""
    endpoint, body = BODIES["tools"]
    with_tools = await planned(endpoint, body)
    without = await planned(endpoint, {name: value for name, value in body.items() if name != "tools"})
    told = parts(with_tools)
    assert (told["fees_usd"], told["rates"]) == (
        "0.02",
        [*told["rates"][:2], "web_search 0.01 USD each, at most 2"],
    )  # type: ignore[index]
    added = tools_nusd(with_tools)
    assert added > 20_000_000
    plain_nusd = with_tools.hold.worst_nusd - added
    assert without.hold.worst_nusd <= plain_nusd < without.hold.worst_nusd + 10_000_000
    assert tools_nusd(without) == 0
