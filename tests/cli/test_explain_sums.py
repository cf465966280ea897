"""The sums of `explain`, by hand: what is equal, what is worked out, and what must not be."""

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from spendguard_cli.explain import refusing, telling
from spendguard_cli.explain.life import Ended, Held, Life, Turned
from spendguard_cli.explain.refusing import _adds_up
from spendguard_cli.explain.story import Step, Story
from spendguard_cli.explain.sums import cost_sum, hold_sum
from spendguard_cli.views import explaining
from spendguard_daemon.errors import Code, Fact

RATES = {"input": 150_000, "cache_read": 75_000, "output": 600_000}


def held(amount_nusd: int, rates: dict[str, int] = RATES, **changes: Any) -> Held:
    values: dict[str, Any] = {"input_tokens": 100, "output_tokens": 10, "choices": 1, "rung": "bytes"}
    values |= {"asked_output_tokens": 10, "document_sha256": "d" * 64, "at": "", "rates": rates}
    return Held(amount_nusd=amount_nusd, **(values | changes))


@pytest.mark.parametrize(
    ("given", "result", "names"),
    [
        (held(21_000), "equal", ["input", "output"]),
        (held(15_000 + 3 * 6_000, choices=3), "equal", ["input", "output"]),
        (held(7_501, {"input": 75_001}, output_tokens=0), "equal", ["input"]),
        (held(24_750, RATES | {"cache_write": 187_500}), "equal", ["cache_write", "output"]),
        (held(42_000, {"input": 150_000, "input@100": 300_000, "output": 600_000, "output@100+1": 1_200_000}),
         "equal", ["input@100", "output@100+1"]),
        (held(21_000, {"input": 150_000, "input@101": 300_000, "output": 600_000, "output@101": 1_200_000}),
         "equal", ["input", "output"]),
        (held(23_100, RATES | {"bp:geo:us": 11_000}), "equal", ["input", "output"]),
        (held(10_021_000, RATES | {"fee:request": 10_000_000}), "equal", ["input", "output", "fee:request"]),
        (held(30_021_000, RATES | {"fee:maps": 10_000_000}), "worked_out", ["input", "output", "fee:maps"]),
        (held(21_000 + 600 * 7), "worked_out", ["input", "output", "output beyond the cap"]),
        (held(20_999), "different", ["input", "output"]),
        (held(15_001, {"input": 150_000}, output_tokens=0), "at_least", ["input"]),
    ],
)  # fmt: skip
def test_a_hold_is_written_out(given: Held, result: str, names: list[str]) -> None:
    """The rates of the record, its bounds, and what the rest can only be."""
    made = hold_sum(given)
    assert made is not None
    assert ([term.name for term in made.terms], made.result) == (names, result)
    if result in ("equal", "worked_out"):
        assert made.usd == made.ledger_usd


def test_a_record_without_rates_has_no_sum() -> None:
    """The sidecar tells no rates, and old records may lack bounds."""
    assert hold_sum(held(1, {})) is None
    assert hold_sum(held(1, input_tokens=None)) is None


def line(quantity: int, rate: int, unit: str = "token", cost_nusd: str | None = None) -> dict[str, int | str]:
    pusd = quantity * rate * (1000 if unit == "event" else 1)
    exact = f"{pusd // 1000}.{pusd % 1000:03d}".rstrip("0").rstrip(".")
    return {"name": "x", "quantity": quantity, "unit": unit, "rate": rate, "cost_nusd": cost_nusd or exact}


@pytest.mark.parametrize(
    ("lines", "cost_nusd", "result"),
    [
        ([line(3, 75_001), line(1, 10_000, "event")], 10_226, "equal"),
        ([line(3, 75_001), line(1, 10_000, "event")], 10_225, "different"),
        ([line(100, 150_000)], 16_500, "equal"),
        ([line(100, 150_000)], 16_501, "different"),
        ([line(1_234_567, 1, "pusd")], 1_235, "equal"),
        ([line(100, 150_000, cost_nusd="14999")], 15_000, "different"),
    ],
)
def test_a_bill_is_added_again(lines: list[dict[str, int | str]], cost_nusd: int, result: str) -> None:
    """Each line, their sum rounded up once, and a factor where the hold names one."""
    made = cost_sum(lines, cost_nusd, {"input": 150_000, "bp:geo:us": 11_000})
    assert made is not None
    assert made.result == result
    assert cost_sum([], 1, {}) is None


def test_the_parts_of_a_refusal_are_added_exactly() -> None:
    """Rounded up once, and never otherwise."""
    assert _adds_up(["0.0000150001", "0.000006"], "0.000021001")
    assert not _adds_up(["0.0000150001", "0.000006"], "0.000021")
    assert not _adds_up(["much", "0.000006"], "0.000021")


def refused(code: Code, **facts: Fact) -> dict[str, Step]:
    at = "2026-11-29T15:00:00Z"
    turned = Turned(at=at, until=at, code=code, http_status=402, detail="no", count=1, facts=facts)
    life = Life(
        call_id="c", agent_id="a", run_id="r", provider="mock", endpoint="e", model="m", turned=turned
    )
    return {step.step: step for step in refusing.steps(life, turned, [])}


def test_what_would_have_fitted_is_less_than_what_was_asked_for() -> None:
    """And what nobody knows is not told."""
    held = refused(Code.BUDGET_HELD, affordable_max_tokens=4000, asked_output_tokens=4000)
    assert held["fits"].more == ["This request as it is, once enough calls in flight have ended."]
    assert "fits" not in refused(Code.KEY_LIMIT, affordable_max_tokens=4000, asked_output_tokens=4000)
    less = refused(Code.INSUFFICIENT_BUDGET, affordable_max_tokens=177, asked_output_tokens=4000)
    assert less["fits"].more == ["This request with max_tokens of at most 177."]
    told = refused(Code.BUDGET_LOCKED, locked_run_id="nightly", next_run_id=None)["refused"].more
    assert told == ["code budget_locked", "locked run id nightly"]


def test_a_call_that_nothing_of_left_is_not_on_its_way() -> None:
    at = "2026-11-29T15:00:00Z"
    ended = Ended(at=at, state="voided", cost_nusd=0, usage={}, lines=(), http_status=None, reason="not sent")
    life = Life(call_id="c", agent_id="a", run_id="r", provider="mock", endpoint="e", model="m", sent_at=at)
    for end, sent in (
        (ended, "Let go; but nothing of it reached the provider."),
        (replace(ended, http_status=429), "On its way to the provider."),
        (None, "On its way to the provider."),
    ):
        told = telling.steps(replace(life, ended=end), operator=True, up=True)
        assert [step.said for step in told if step.step == "sent"] == [sent]


def test_the_heading_of_ways_out_stands_once() -> None:
    steps = [Step(step="ways_out", said=said) for said in ("wait", "give more")]
    text = io.StringIO()
    Console(file=text, width=60).print(explaining.story(made_story(steps)))
    assert [line.strip() for line in text.getvalue().splitlines()][1:] == [
        "",
        "ways out",
        "wait",
        "give more",
    ]


def made_story(steps: list[Step]) -> Story:
    words = dict.fromkeys(
        ("call_id", "agent_id", "agent_name", "run_id", "provider", "endpoint", "model"), "x"
    )
    rest: dict[str, Any] = {"sources": [], "damage": [], "notes": [], "wrong": False, "steps": steps}
    return Story(state="refused", code=None, hold_usd="0.00", cost_usd="0.00", **words, **rest)
