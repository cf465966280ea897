"""From an arrival to a plan: whose policy, which cap, and that nothing leaves but what was held."""

import json
from dataclasses import replace
from typing import Any

import pytest

import signed_prices
from signed_prices import NOW_NS
from sim import SimClock
from spendguard_daemon.call import Arrival, Plan
from spendguard_daemon.earlier import Earlier
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger.events import AgentPolicy, Hold
from spendguard_daemon.ledger.state import Account, AgentKey
from spendguard_daemon.own_policy import policy_of
from spendguard_daemon.planner import Planner, rewritten
from spendguard_daemon.pricing import catalogue
from spendguard_daemon.pricing.document import PriceBook, read_document
from spendguard_daemon.provider_keys import ProviderKeys
from spendguard_daemon.providers import Outgoing, Policy
from spendguard_daemon.settings import Settings

BOOK = PriceBook(
    read_document(signed_prices.body(providers=catalogue.merge(catalogue.bundled().models, {})), "00" * 32),
    catalogue.MOCK_CARDS,
    self_signed=True,
)
KEYS = ProviderKeys({"OPENAI_API_KEY": "sk-o", "ANTHROPIC_API_KEY": "sk-a", "XAI_API_KEY": "xai-g"}, "")
USER = [{"role": "user", "content": "hi"}]
CHAT = {"model": "gpt-4o-mini", "max_tokens": 50, "messages": USER}
CLAUDE = {"model": "claude-sonnet-4-5", "max_tokens": 50, "messages": USER}


class Prices:
    """The bundled cards, always in force."""

    def current(self, _now_ns: int) -> PriceBook:
        return BOOK


def account(**changes: Any) -> Account:
    return replace(Account("a", "n", 0, "exclusive", "clamp", False), **changes)


async def planned(body: dict[str, Any], endpoint: str = "chat/completions", **changes: Any) -> Plan:
    """Return the plan of a call, made as the guard makes it."""
    earlier = changes.pop("earlier", Earlier())
    owner = account(**{name: changes.pop(name) for name in ("mock", "policy") if name in changes})
    raw, keys = json.dumps(body).encode(), tuple(changes.get("agent_keys", {}))
    arrival = Arrival("c", "a", None, changes.pop("provider", ""), endpoint, {}, raw, keys=keys)
    arrival = replace(arrival, wait_seconds=changes.pop("asked_wait_seconds", None))
    clock, agent_keys = SimClock(wall=NOW_NS), changes.pop("agent_keys", {})
    settings = Settings(**changes)
    planner = Planner(
        prices=Prices(), keys=lambda: KEYS, settings=settings, clock=clock, agent_keys=agent_keys
    )
    asked = planner.asked(arrival, owner)
    request = await planner.read(arrival, asked, owner)
    return planner.plan(arrival, asked, request, owner, earlier, set())


def held(plan: Plan, output_tokens: int | None = None) -> Hold:
    """Return the record of a hold of this plan."""
    wanted = plan.hold
    return Hold(
        call_id="c",
        agent_id="a",
        run_id="r",
        provider=wanted.provider,
        endpoint=wanted.endpoint,
        model=wanted.model,
        amount_nusd=1,
        rung="bytes",
        input_tokens=1,
        choices=wanted.choices,
        asked_output_tokens=wanted.asked_output_tokens,
        output_tokens=wanted.output_tokens if output_tokens is None else output_tokens,
        document_sha256="",
        rates={},
        funded_nusd=1,
        settled_nusd=0,
        held_nusd=1,
    )


def test_an_agents_own_policy_stands_before_the_operators() -> None:
    settings = Settings(hosted_tools="refuse", hosted_tool_uses=7, allow=("a.b:c",))
    assert policy_of(settings, None) == Policy("refuse", 7, "window", "on_deny", frozenset({"a.b:c"}))
    own = AgentPolicy(hosted_tools="allow", exact_count="never", allow=["a.b:d"])
    assert policy_of(settings, own) == Policy("allow", 7, "window", "never", frozenset({"a.b:c", "a.b:d"}))


@pytest.mark.parametrize(
    ("changes", "waits", "until_seconds"),
    [
        ({}, None, 105),
        ({"asked_wait_seconds": 600}, 600, 700),
        ({"asked_wait_seconds": 0}, 0, 100),
        ({"policy": AgentPolicy(on_insufficient="wait", wait_seconds=60)}, 60, 160),
    ],
)
async def test_the_wait_is_a_part_of_the_time_that_is_priced(
    changes: dict[str, Any], waits: int | None, until_seconds: int
) -> None:
    """The call may begin at the end of it, and then has its whole time; a wait for held money counts too."""
    plan = await planned(CHAT, absolute_seconds=100, held_wait_seconds=5, **changes)
    assert plan.hold.wait_seconds == waits
    assert plan.hold.deadline_ns == NOW_NS + until_seconds * 10**9


@pytest.mark.parametrize(
    ("body", "endpoint", "wanted", "floor"),
    [
        (CHAT, "chat/completions", 50, 50),
        ({**CHAT, "max_tokens": 9_000}, "chat/completions", 9_000, 1_024),
        ({**CHAT, "max_tokens": None}, "chat/completions", 5_000, 1_024),
        ({**CHAT, "max_tokens": 10**6}, "chat/completions", 16_384, 1_024),
        ({"model": "text-embedding-3-small", "input": "hi"}, "embeddings", 0, 0),
        ({**CLAUDE, "max_tokens": 0}, "messages", 0, 0),
        (
            {**CLAUDE, "max_tokens": 9_000, "thinking": {"type": "enabled", "budget_tokens": 6_000}},
            "messages",
            9_000,
            7_024,
        ),
    ],
)
async def test_the_cap_and_its_floor(body: dict[str, Any], endpoint: str, wanted: int, floor: int) -> None:
    """As asked, else as set; within the card; 0 is a cap; a thinking budget keeps its room."""
    hold = (await planned(body, endpoint, default_max_output=5_000)).hold
    assert (hold.output_tokens, hold.floor_output_tokens) == (wanted, floor)
    assert hold.injected is (body is not CHAT and body.get("max_tokens", 0) is None)


async def test_the_bare_root_finds_the_provider_by_model_and_endpoint() -> None:
    assert (await planned(CHAT)).provider == "openai"
    assert (await planned(CLAUDE, "messages")).provider == "anthropic"
    assert (await planned({**CHAT, "model": "mock-small"}, mock=True)).provider == "mock"
    assert (await planned({**CHAT, "model": "mock-small"}, mock=True, provider="openai")).provider == "mock"
    for body, endpoint, code in (
        ({**CLAUDE, "model": "gpt-4o-mini"}, "messages", Code.MALFORMED_REQUEST),
        ({**CLAUDE, "model": "claude-x"}, "messages", Code.UNKNOWN_MODEL),
        ({**CHAT, "model": "claude-sonnet-4-5"}, "chat/completions", Code.MALFORMED_REQUEST),
        ({**CHAT, "model": "mock-small"}, "chat/completions", Code.MOCK_ONLY),
    ):
        with pytest.raises(SpendGuardError) as refused:
            await planned(body, endpoint)
        assert refused.value.code is code


GROK = {**CHAT, "model": "grok-4.3"}


async def test_on_the_bare_root_a_body_is_read_in_the_format_of_its_model() -> None:
    """Grok's live search is no field of OpenAI's, and OpenAI's prediction none of Grok's."""
    search = {"search_parameters": {"mode": "on"}}
    made = await planned({**GROK, **search})
    assert (made.provider, made.request.stripped) == ("grok", ("grok.chat.field:search_parameters",))
    responses = {"model": "grok-4.3", "input": "hi", "max_turns": 3}
    assert (await planned(responses, "responses")).provider == "grok"
    for body, endpoint in (
        ({**CHAT, **search}, "chat/completions"),
        ({**GROK, "modalities": ["text"]}, "chat/completions"),
        ({**responses, "model": "gpt-4o-mini"}, "responses"),
    ):
        with pytest.raises(SpendGuardError) as refused:
            await planned(body, endpoint)
        assert refused.value.code is Code.MALFORMED_REQUEST
    for name in ("grok-0", "", 5, None):
        with pytest.raises(SpendGuardError) as refused:
            await planned({**CHAT, "model": name})
        assert refused.value.code is (Code.UNKNOWN_MODEL if name == "grok-0" else Code.MALFORMED_REQUEST)


async def test_what_a_cap_may_not_count_is_in_the_sum() -> None:
    """A context of reasoning at $2.50, or $5 from 200,000 tokens on; the fee of a violation, 5 cents."""
    trusting = AgentPolicy(allow=["grok.chat.cap:reasoning"])
    careful, bold = await planned(GROK), await planned(GROK, policy=trusting)
    assert careful.hold.offers[0].cost.at(0) - bold.hold.offers[0].cost.at(0) == 10**6 * 2_500
    window = careful.hold.offers[-1].cost.at(0) - bold.hold.offers[-1].cost.at(0)
    assert window == 10**6 * 5_000
    assert bold.hold.rates["fee:violation"] == 50_000_000
    sure = await planned(GROK, policy=AgentPolicy(allow=[*(trusting.allow or ()), "grok.fee:violation"]))
    assert bold.hold.offers[0].cost.at(0) - sure.hold.offers[0].cost.at(0) == 50_000_000
    assert "fee:violation" not in sure.hold.rates
    assert careful.trusting() == ("grok.chat.cap:reasoning", "grok.fee:violation")
    assert sure.trusting() == ()
    lists_none = replace(careful.card, fees={}, reasoning=False)
    assert replace(careful, card=lists_none).trusting() == ()


async def test_hosted_tools_are_in_the_sum() -> None:
    """Fees for the most uses; a context window and the whole cap for each pass."""
    tool = {"type": "web_search_20250305", "name": "web_search"}
    own = AgentPolicy(hosted_tools="allow", hosted_tool_uses=2)
    body = {**CLAUDE, "tools": [tool]}
    plain, allowed = await planned(body, "messages"), await planned(body, "messages", policy=own)
    assert (plain.request.stripped, allowed.request.stripped) == (
        ("anthropic.tool:web_search_20250305",),
        (),
    )
    assert allowed.request.passes == 11
    window = allowed.card.limits.input_tokens_max
    assert allowed.hold.offers[-1].input_tokens == 11 * window
    assert allowed.hold.offers[-1].cost.per_token >= 11 * plain.hold.offers[-1].cost.per_token
    assert allowed.hold.rates["fee:web_search"] == 10_000_000
    assert "fee:web_search" not in plain.hold.rates


class Bad:
    """A format whose `rewrite` is wrong."""

    def __init__(self, form: Any, body: dict[str, Any]):
        self._form, self._body = form, body

    def __getattr__(self, name: str) -> Any:
        return getattr(self._form, name)

    def rewrite(self, *_: object, **__: object) -> Outgoing:
        return Outgoing(json.dumps(self._body).encode(), (), hides_usage=False)


SEARCH = {"type": "web_search_20250305", "name": "web_search"}


@pytest.mark.parametrize(
    ("body", "endpoint", "sent"),
    [
        (CHAT, "chat/completions", {**CHAT, "max_tokens": 51}),
        (CHAT, "chat/completions", {**CHAT, "max_tokens": None}),
        (CHAT, "chat/completions", {**CHAT, "n": 2}),
        (CHAT, "chat/completions", {**CHAT, "model": "gpt-4o"}),
        (CHAT, "chat/completions", {**CHAT, "stream": True}),
        (CHAT, "chat/completions", {**CHAT, "service_tier": "priority"}),
        (CHAT, "chat/completions", {**CHAT, "messages": [*USER, *USER]}),
        (CLAUDE, "messages", {**CLAUDE, "inference_geo": "us"}),
        ({**CLAUDE, "tools": [SEARCH]}, "messages", {**CLAUDE, "tools": [SEARCH]}),
        ({**CLAUDE, "max_tokens": 0}, "messages", {**CLAUDE, "max_tokens": 1}),
    ],
)
async def test_what_differs_from_what_was_held_does_not_leave(
    body: dict[str, Any], endpoint: str, sent: dict[str, Any]
) -> None:
    plan = await planned(body, endpoint)
    good = await rewritten(plan, held(plan))
    assert json.loads(good.body)["messages"] == USER
    form: Any = Bad(plan.format, sent)
    with pytest.raises(SpendGuardError, match="the rewritten request is not what was held"):
        await rewritten(replace(plan, format=form), held(plan))


def narrowed(*lists: list[str] | None) -> dict[str, AgentKey]:
    """Return the keys of a lineage with these lists of models."""
    return {
        f"k{number}": AgentKey(f"k{number}", "a", None, "", "agent", None, None, models, "", None, 0)
        for number, models in enumerate(lists)
    }


@pytest.mark.parametrize(
    "lists",
    [
        [None],
        [["gpt-4o-mini"]],
        [["x", "openai/gpt-4o*"]],
        [["gpt-4o-mini-2024-07-18"]],
        [["openai/*"], None, ["gpt-*"]],
    ],
)
async def test_a_key_calls_the_models_of_every_list_above_it(lists: list[list[str] | None]) -> None:
    """By any name that the card has; the hold names the lineage."""
    plan = await planned(CHAT, agent_keys=narrowed(*lists))
    assert plan.hold.keys == tuple(narrowed(*lists))


@pytest.mark.parametrize(
    ("lists", "key_id"),
    [([["gpt-4o"]], "k0"), ([["grok/*"]], "k0"), ([["openai/*"], None, ["claude-*"]], "k2")],
)
async def test_a_key_calls_no_other_model(lists: list[list[str] | None], key_id: str) -> None:
    """One list is enough to say no; the refusal names its key and what it allows."""
    with pytest.raises(SpendGuardError) as refusal:
        await planned(CHAT, agent_keys=narrowed(*lists))
    assert refusal.value.code is Code.KEY_SCOPE
    assert refusal.value.facts["key_id"] == key_id
    assert refusal.value.facts["allowed"] == lists[int(key_id[1])]
