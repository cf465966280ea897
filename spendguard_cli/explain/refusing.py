"""A call that was refused: its code, the whole sum, who holds what is lacking, what would fit. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from math import ceil

from spendguard_cli.explain.life import Life, Turned, amount
from spendguard_cli.explain.story import Step
from spendguard_cli.explain.telling import RUNGS, asked
from spendguard_cli.remedies import Way
from spendguard_daemon.errors import Code, Fact, SpendGuardError
from spendguard_daemon.money import NUSD_PER_USD

_PARTS = (("input_usd", "input"), ("output_usd", "output"), ("fees_usd", "fees"))

_SAID = {
    "budget": "budget",
    "limit_usd": "limit",
    "remaining_usd": "remaining",
    "available_usd": "free",
    "held_usd": "held",
    "needed_usd": "the least that would have been admitted",
    "short_usd": "lacking",
    "tools_usd": "for tools that run at the provider",
}
"""The amounts of a refusal, in words."""

_ELSEWHERE = frozenset(
    {"worst_case_usd", "rates", "held_by", "cheaper_model", "cheaper_model_usd", "affordable_max_tokens"}
    | {"input_tokens_bound", "rung", "asked_output_tokens", "floor_output_tokens", "output_tokens", "choices"}
    | {"charged_usd", "agent_id", "call_id", "run_id", "code", "detail"}
)
"""Facts that are told in a sentence of their own."""


def steps(life: Life, turned: Turned, ways: Sequence[Way]) -> Iterator[Step]:
    """Yield the life of a refused call; `ways` are the operator's ways out, none where none may be told."""
    yield asked(life, turned.at)
    yield from _sum(turned.facts)
    more = [f"code {turned.code}"]
    more += list(_numbers(turned.facts))
    yield Step(step="refused", at=turned.at, said=_refused(turned), more=more)
    affordable = list(_fits(turned))
    if affordable:
        yield Step(step="fits", said="What would have fitted:", more=affordable)
    yield Step(step="charged", said="Nothing left this machine, and nothing was charged.")
    for way in ways:
        yield Step(step="ways_out", said=way.about, commands=list(way.commands))


def _refused(turned: Turned) -> str:
    status = f" with {turned.http_status}" if turned.http_status else ""
    said = f"Refused{status}: {turned.detail or turned.code}."
    if turned.count > 1:
        until = f", until {turned.until}" if turned.until else ""
        said += f" This record stands for {turned.count - 1} more with the same code{until}."
    return said.replace("..", ".")


def _sum(facts: Mapping[str, Fact]) -> Iterator[Step]:
    if "worst_case_usd" not in facts:
        return
    rung = str(facts.get("rung", ""))
    bound = facts.get("input_tokens_bound")
    output = facts.get("output_tokens", facts.get("asked_output_tokens", facts.get("floor_output_tokens")))
    more = []
    if bound is not None:
        clause = f" (rung {rung}: {RUNGS.get(rung, rung)})" if rung else ""
        more.append(f"Input: at most {bound} tokens{clause}.")
    if output is not None:
        choices = facts.get("choices", 1)
        more.append(f"Output: at most {output} tokens" + (f" in {choices} choices." if choices != 1 else "."))
    rates = facts.get("rates")
    more += [str(rate) for rate in rates] if isinstance(rates, list) else []
    worst_usd = str(facts["worst_case_usd"])
    parts = [(name, str(facts[key])) for key, name in _PARTS if key in facts]
    wrong = bool(parts) and not _adds_up([usd for _, usd in parts], worst_usd)
    if parts:
        written = " + ".join(f"{name} ${usd}" for name, usd in parts)
        more.append(f"{written} = ${worst_usd}, rounded up once")
    if wrong:
        more.append("Added again the parts are not that amount.")
    said = f"It could have cost ${worst_usd} at worst."
    yield Step(step="worst_case", said=said, more=more, wrong=wrong)


def _adds_up(parts: Sequence[str], worst_usd: str) -> bool:
    """Tell whether the exact parts give the sum, which is rounded up once to nano-dollars."""
    try:
        exact = sum((Fraction(part) for part in parts), Fraction(0)) * NUSD_PER_USD
        return ceil(exact) == amount(worst_usd)
    except (ValueError, ZeroDivisionError, SpendGuardError):
        return False


def _numbers(facts: Mapping[str, Fact]) -> Iterator[str]:
    shown = [f"{text} {_usd(facts[name])}" for name, text in _SAID.items() if name in facts]
    if shown:
        yield ", ".join(shown)
    held_by = facts.get("held_by")
    if isinstance(held_by, list) and held_by:
        yield f"held by {'; '.join(map(str, held_by))}"
    parts = {key for key, _ in _PARTS}
    for name, fact in facts.items():
        if fact is not None and name not in {*_SAID, *_ELSEWHERE, *parts}:
            text = ", ".join(map(str, fact)) if isinstance(fact, list) else str(fact)
            yield f"{name.replace('_', ' ')} {text}"


def _fits(turned: Turned) -> Iterator[str]:
    facts = turned.facts
    most, asked_for = facts.get("affordable_max_tokens"), facts.get("asked_output_tokens")
    if turned.code == Code.BUDGET_HELD and (most is None or most == asked_for):
        yield "This request as it is, once enough calls in flight have ended."
    elif isinstance(most, int) and isinstance(asked_for, int) and 0 < asked_for <= most:
        pass  # the cap was not what was in the way
    elif isinstance(most, int) and most > 0:
        yield f"This request with max_tokens of at most {most}."
    elif most is not None:
        yield "No max_tokens: all else in the sum is more than what was free."
    if "cheaper_model" in facts:
        worst = f", ${facts['cheaper_model_usd']} at worst" if "cheaper_model_usd" in facts else ""
        yield f"The same request to {facts['cheaper_model']}{worst}."


def _usd(fact: Fact) -> str:
    text = str(fact)
    if not text[:1].isdigit() and text[:1] != "-":
        return text
    return f"-${text[1:]}" if text.startswith("-") else f"${text}"
