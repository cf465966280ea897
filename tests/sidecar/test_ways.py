"""What a refusal says beside its reason: who holds the money, which model would do, and never of others."""

import json
from typing import Any

import pytest

import signed_prices
from ledger_kit import add_key, grant, held, make_book, new_agent
from signed_prices import NOW_NS
from sim import SimClock
from spendguard_daemon.call import Arrival
from spendguard_daemon.earlier import Earlier
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.book import Book
from spendguard_daemon.ledger.events import AgentPolicy
from spendguard_daemon.money import parse_usd
from spendguard_daemon.planner import Planner
from spendguard_daemon.pricing import catalogue
from spendguard_daemon.pricing.document import PriceBook, read_document
from spendguard_daemon.provider_keys import ProviderKeys
from spendguard_daemon.settings import Settings
from spendguard_daemon.ways import Ways

BOOK = PriceBook(
    read_document(signed_prices.body(providers=catalogue.merge(catalogue.bundled().models, {})), "00" * 32),
    catalogue.MOCK_CARDS,
    self_signed=True,
)
KEYS = ProviderKeys({"OPENAI_API_KEY": "sk-o"}, "")
ME, OTHER = "me", "somebody"
CHAT = {"model": "gpt-4o", "max_tokens": 2_000, "messages": [{"role": "user", "content": "hi"}]}
WORST_NUSD = 20_000_000


class Prices:
    """The bundled cards, always in force."""

    def current(self, _now_ns: int) -> PriceBook:
        return BOOK


def book_of(limit_nusd: int, *, other_nusd: int = 10**9) -> Book:
    """Return a book of two agents that let their runs overlap."""
    book = make_book(SimClock(wall=NOW_NS))
    for agent_id, nusd in ((ME, limit_nusd), (OTHER, other_nusd)):
        book.execute(new_agent(agent_id, concurrency="shared", overflow="refuse"))
        book.execute(grant(nusd, agent_id=agent_id))
    return book


async def refusal(
    book: Book, body: dict[str, Any] | None = None, endpoint: str = "chat/completions", **changes: Any
) -> SpendGuardError:
    """Have a call refused, and told about, as the guard does it."""
    clock, settings = SimClock(wall=NOW_NS), Settings()
    state, account = book.state, book.state.accounts[ME]
    raw = json.dumps(body or CHAT).encode()
    arrival = Arrival("c", ME, "mine", "", endpoint, {}, raw, **changes)
    planner = Planner(
        prices=Prices(), keys=lambda: KEYS, settings=settings, clock=clock, agent_keys=state.agent_keys
    )
    ways, plan = Ways(planner, state, clock), None
    try:
        asked = planner.asked(arrival, account)
        reading = await planner.read(arrival, asked, account)
        plan = planner.plan(arrival, asked, reading, account, Earlier(), set())
        book.execute(plan.hold)
    except SpendGuardError as error:
        ways.tell(error, arrival, plan, account)
        return error
    raise AssertionError("not refused")


def hold(book: Book, call_id: str, nusd: int, agent_id: str = ME, **changes: Any) -> None:
    """Hold so much for a call in flight."""
    offers = (cmd.Offer("bytes", 1, cmd.LinearCost(nusd, 0, 1)),)
    held(book, call_id, agent_id=agent_id, offers=offers, **changes)


async def test_who_holds_the_money_is_told_by_run_and_of_this_agent_only() -> None:
    book = book_of(WORST_NUSD + 10_000_000)
    hold(book, "1", 4_000_000, run_id="nightly")
    hold(book, "2", 6_000_000, run_id="nightly")
    hold(book, "3", 1_500_000, run_id="day")
    hold(book, "4", 900_000_000, OTHER, run_id="secret")
    error = await refusal(book)
    assert error.code is Code.BUDGET_HELD
    assert error.facts["held_by"] == ["run nightly: 2 calls, $0.01", "run day: 1 call, $0.0015"]
    assert "cheaper_model" not in error.facts, "held money comes back by itself"
    for index in range(4):
        hold(book, f"more {index}", 1_000 + index, run_id=f"run-{index}")
    more: Any = (await refusal(book)).facts["held_by"]
    assert more[2:] == ["run run-3: 1 call, $0.000001003", "3 other runs: 3 calls, $0.000003003"]


async def test_what_the_daemon_holds_is_no_matter_of_an_agent() -> None:
    book = book_of(WORST_NUSD + 10**9)
    hold(book, "1", 4_000_000)
    hold(book, "2", 6_000_000, OTHER)
    book.execute(cmd.SetDaemonLimit(WORST_NUSD, None, "me"))
    error = await refusal(book)
    assert (error.code, error.facts["budget"]) == (Code.DAEMON_CAP, "daemon")
    assert "held_by" not in error.facts
    assert error.facts["cheaper_model"] == "gpt-4.1-nano"


async def test_a_key_tells_what_its_own_calls_hold() -> None:
    book = book_of(10**9)
    for key_id, limit_nusd in (("root", WORST_NUSD + 5_000_000), ("wide", None)):
        book.execute(add_key(key_id, agent_id=ME, limit_nusd=limit_nusd, public=key_id[0] * 64))
    hold(book, "1", 6_000_000, run_id="a", keys=("root",), root_public="r" * 64)
    hold(book, "2", 6_000_000, run_id="b", keys=("wide",), root_public="w" * 64)
    error = await refusal(book, keys=("root",), root_public="r" * 64)
    assert (error.code, error.facts["budget"]) == (Code.BUDGET_HELD, "key")
    assert error.facts["held_by"] == ["run a: 1 call, $0.006"]


async def test_a_model_that_the_key_may_not_call_is_not_named() -> None:
    book = book_of(WORST_NUSD // 2)
    assert (await refusal(book)).facts["cheaper_model"] == "gpt-4.1-nano"
    book.execute(add_key("root", agent_id=ME, public="r" * 64, models=["gpt-4o", "gpt-4.1-mini"]))
    told = (await refusal(book, keys=("root",), root_public="r" * 64)).facts
    assert told["cheaper_model"] == "gpt-4.1-mini"


@pytest.mark.parametrize("limit_nusd", [0, 1, 810_000])
async def test_no_model_is_named_that_does_not_fit(limit_nusd: int) -> None:
    error = await refusal(book_of(limit_nusd))
    assert error.code is Code.INSUFFICIENT_BUDGET
    assert "cheaper_model" not in error.facts


async def test_what_tools_at_the_provider_add_is_said() -> None:
    """More than their fee: the window, for what they find is input."""
    book = book_of(WORST_NUSD)
    book.execute(cmd.ChangeAgent(ME, policy=AgentPolicy(hosted_tools="allow", hosted_tool_uses=2)))
    search = {"model": "gpt-4o", "input": "hi", "max_output_tokens": 100, "tools": [{"type": "web_search"}]}
    error = await refusal(book, search, "responses")
    tools = str(error.facts["tools_usd"])
    assert 0 < parse_usd(str(error.facts["fees_usd"])) < parse_usd(tools)
    assert f"; ${tools} of it is for tools that run at the provider; nothing was charged" in error.detail


async def test_a_large_body_is_not_read_again() -> None:
    """Refusals come in loops, and reading takes its time."""
    large = CHAT | {"messages": [{"role": "user", "content": "x" * 70_000}]}
    book = book_of(WORST_NUSD * 3 // 2)
    assert "cheaper_model" not in (await refusal(book, large)).facts


async def test_an_unknown_model_is_told_the_names_that_it_is_like() -> None:
    error = await refusal(book_of(10**9), CHAT | {"model": "gpt-4o-mimi"})
    assert error.detail == "Unknown model for pricing: openai:gpt-4o-mimi"
    near: Any = error.facts["near_models"]
    assert (near[0], len(near)) == ("gpt-4o-mini", 3)
    strange = await refusal(book_of(10**9), CHAT | {"model": "zzzz"})
    assert "near_models" not in strange.facts


async def test_without_a_budget_the_sum_is_told_all_the_same() -> None:
    """So that an operator knows how much to grant."""
    book = make_book(SimClock(wall=NOW_NS))
    book.execute(new_agent(ME))
    error = await refusal(book)
    assert error.code is Code.BUDGET_NOT_SET
    assert (error.facts["worst_case_usd"], error.facts["output_usd"]) == ("0.02028", "0.02")
    assert error.detail == "No budget is set for this agent; nothing was charged"


async def test_each_refusal_says_that_nothing_was_charged() -> None:
    """But what an unknown model is told, which programs of the original look for as a whole."""
    book = book_of(0)
    assert (await refusal(book)).detail.endswith("; nothing was charged")
    assert (await refusal(book, CHAT | {"max_tokens": -1})).detail.endswith("; nothing was charged")
    book.execute(cmd.Freeze(ME, "mad", "op"))
    assert (await refusal(book)).detail == "Agent is frozen: mad; nothing was charged"
