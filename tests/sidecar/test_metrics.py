"""`/metrics` as text: exact amounts, names that cannot break out, a bound on its length, and its page."""

import re
from decimal import Decimal
from pathlib import Path

from exposition import read
from spendguard_daemon.errors import Code
from spendguard_daemon.gateway import metrics
from spendguard_daemon.gateway.metrics import AGENTS_MAX, FAMILIES, STATES
from spendguard_daemon.gateway.tally import Tally
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.state import Account, DaemonAccount, State

PAGE = (Path(__file__).parents[2] / "references/metrics.md").read_text(encoding="utf-8")
WITHOUT_PRICES = {name for name in FAMILIES if name.startswith("spendguard_price_document")}


def account(agent_id: str, **given: object) -> Account:
    """Return an agent, with no budget unless one is given."""
    fields = {"name": agent_id, "created_ns": 0, "concurrency": "shared", "overflow": "clamp", "mock": True}
    return Account(agent_id=agent_id, **(fields | given))  # type: ignore[arg-type]


def shown(*accounts: Account, tally: Tally | None = None, **state: object) -> str:
    """Return the text for these agents, with no price document in force."""
    made = State(accounts={one.agent_id: one for one in accounts}, **state)  # type: ignore[arg-type]
    return metrics.text(metrics.facts("1.2.3", made, {"a": 2}, tally or Tally(), None))


def test_amounts_are_exact_to_the_last_nano_dollar() -> None:
    """Also where a float would have lost it, below zero, and where nothing was ever granted."""
    rich = account(
        "a", limit_nusd=2**53 - 1, funded_nusd=2**53 - 1, settled_nusd=1, held_nusd=7, calls_open=1
    )
    poor = account("b", limit_nusd=10, funded_nusd=10, settled_nusd=15, frozen_reason="overrun")
    found = read(shown(rich, poor, account("c"), daemon=DaemonAccount(held_nusd=7, settled_nusd=16)))
    ids = {one: {"agent_id": one, "name": one} for one in "abc"}
    value = {what: found[f"spendguard_agent_{what}_usd"].value for what in ("limit", "funded", "settled")}
    assert [of(**ids["a"]) for of in value.values()] == [
        Decimal("9007199.254740991"), Decimal("9007199.254740991"), Decimal("0.000000001"),
    ]  # fmt: skip
    assert found["spendguard_agent_remaining_usd"].value(**ids["a"]) == Decimal("9007199.254740990")
    assert found["spendguard_agent_remaining_usd"].value(**ids["b"]) == Decimal("-0.000000005")
    assert len(found["spendguard_agent_limit_usd"].values) == 2
    assert [found["spendguard_agent_frozen"].value(**ids[one]) for one in "abc"] == [0, 1, 0]
    assert [found["spendguard_agent_calls_in_flight"].value(**ids[one]) for one in "abc"] == [1, 0, 0]
    assert [found["spendguard_agent_calls_waiting"].value(**ids[one]) for one in "abc"] == [2, 0, 0]
    assert found["spendguard_calls_waiting"].value() == 2
    assert found["spendguard_daemon_settled_usd"].value() == Decimal("0.000000016")
    assert not {"spendguard_daemon_limit_usd", "spendguard_daemon_remaining_usd", *WITHOUT_PRICES} & set(
        found
    )
    assert found["spendguard_prices_in_force"].value() == 0


def test_a_cap_above_all_is_shown_where_there_is_one() -> None:
    found = read(shown(daemon=DaemonAccount(limit_nusd=50, funded_nusd=50, settled_nusd=20, held_nusd=1)))
    assert found["spendguard_daemon_limit_usd"].value() == Decimal("0.00000005")
    assert found["spendguard_daemon_remaining_usd"].value() == Decimal("0.00000003")


def test_a_name_is_a_label_and_nothing_else() -> None:
    name = 'x"} 1\nspendguard_agents 9\\n\x1b[2J\u202e{a="b",'
    found = read(shown(account("a", name=name)))
    ((labels, _),) = found["spendguard_agent_frozen"].values.items()
    assert dict(labels) == {"agent_id": "a", "name": 'x"} 1 spendguard_agents 9\\n[2J{a="b",'}
    assert found["spendguard_agents"].value() == 1


def test_of_very_many_agents_the_newest_are_shown_and_all_are_counted() -> None:
    found = read(
        shown(*(account(f"a{number}") for number in range(AGENTS_MAX + 5)), account("x", deleted=True))
    )
    assert found["spendguard_agents"].value() == AGENTS_MAX + 5
    assert len(found["spendguard_agent_frozen"].values) == AGENTS_MAX
    newest = f"a{AGENTS_MAX + 4}"
    assert found["spendguard_agent_frozen"].value(agent_id=newest, name=newest) == 0
    assert len(found["spendguard_calls_total"].values) == AGENTS_MAX * len(STATES)


def test_what_ended_is_counted_by_how_it_ended() -> None:
    """Settled, at worst, voided, overrun, refused; what ends no call counts nothing."""
    tally = Tally()
    sums = {"hold_nusd": 9, "funded_nusd": 9, "settled_nusd": 9, "held_nusd": 0}
    last = {"call_id": "c", "agent_id": "a", "http_status": 200, "reason": "", **sums}
    billed = {**last, "usage": {}, "lines": []}
    named = ("call_id", "run_id", "provider", "endpoint", "model", "at", "until", "detail")
    refused = {**dict.fromkeys(named, ""), "agent_id": "a", "code": "budget_held", "http_status": 402}
    ends: list[ev.Event] = [
        ev.Settle(**billed, cost_nusd=1),  # type: ignore[arg-type]
        ev.Settle(**billed, cost_nusd=1),  # type: ignore[arg-type]
        ev.SettleWorst(**last, cost_nusd=9),  # type: ignore[arg-type]
        ev.Void(**last),  # type: ignore[arg-type]
        ev.Overrun(**billed, cost_nusd=20),  # type: ignore[arg-type]
        ev.Refused(**refused, count=7, facts={}),  # type: ignore[arg-type]
        ev.Freeze(agent_id="a", reason="x", actor="cli"),
    ]
    for seq, event in enumerate(ends, 1):
        tally.hear(event, seq, 0)
    tally.refusals[Code.BUDGET_HELD] += 3
    found = read(shown(account("a"), tally=tally))
    counted = {state: found["spendguard_calls_total"].value(agent_id="a", state=state) for state in STATES}
    assert counted == {"settled": 2, "settled_worst": 1, "voided": 1, "overrun": 1, "refused": 7}
    assert found["spendguard_charged_usd_total"].value(agent_id="a") == Decimal("0.000000031")
    assert found["spendguard_refusals_total"].value(code="budget_held") == 3
    assert found["spendguard_ledger_durable_seq"].value() == len(ends)


def test_the_page_names_every_metric_with_its_type() -> None:
    rows = dict(re.findall(r"^\| `(spendguard_\w+)` \| (gauge|counter) \|", PAGE, re.MULTILINE))
    assert rows == {name: kind for name, (kind, _) in FAMILIES.items()}
    assert f"{AGENTS_MAX:,} agents" in PAGE


def test_what_is_told_is_of_one_moment() -> None:
    """What the ledger does while it is written down changes nothing of it."""
    agent, tally = account("a", limit_nusd=5, funded_nusd=5), Tally()
    state = State(accounts={"a": agent})
    before = metrics.text(metrics.facts("1", state, {}, tally, None))
    taken = metrics.facts("1", state, {}, tally, None)
    agent.settled_nusd, state.daemon.settled_nusd, tally.durable_seq = 4, 4, 9
    tally.calls["a", "settled"] += 1
    tally.charged_nusd["a"] += 4
    tally.refusals[Code.BUDGET_HELD] += 1
    assert metrics.text(taken) == before
