"""No false refusal: what a call may be answered with, and whether the records so far say no as well."""

import json

from simulator.provider import PRICES
from simulator.shadow import Shadow
from spendguard_daemon.errors import Code, SpendGuardError

REFUSALS = frozenset(
    {
        Code.INSUFFICIENT_BUDGET,
        Code.BUDGET_HELD,
        Code.BUDGET_LOCKED,
        Code.BUDGET_NOT_SET,
        Code.AGENT_FROZEN,
        Code.AGENT_NOT_FOUND,
        Code.DAEMON_CAP,
        Code.IDEMPOTENCY_DONE,
        Code.IDEMPOTENCY_IN_FLIGHT,
        Code.IDEMPOTENCY_MISMATCH,
        Code.LEDGER_FULL,
        Code.MALFORMED_REQUEST,
        Code.UNBOUNDED_FEATURE,
        Code.UNKNOWN_MODEL,
        Code.PRICING_EXPIRED,
        Code.SHUTTING_DOWN,
        Code.DISK_FAILED,
        Code.UPSTREAM_FAILED,
        Code.UPSTREAM_TIMEOUT,
        Code.UPSTREAM_UNREACHABLE,
    }
)
"""All that a call in this world may be answered with beside an answer of the provider."""


def check_refusal(shadow: Shadow, agent_id: str, body: bytes, refusal: SpendGuardError) -> None:
    """Check a refusal that was given at once, against the records added up apart."""
    facts, code = refusal.facts, refusal.code
    purse = shadow.purses[agent_id]
    if code is Code.AGENT_FROZEN:
        assert purse.frozen
    elif code is Code.AGENT_NOT_FOUND:
        assert purse.deleted
    elif code is Code.BUDGET_NOT_SET:
        assert purse.limit is None
    elif code is Code.IDEMPOTENCY_IN_FLIGHT:
        assert facts["first_call_id"] in shadow.holds
    elif code is Code.IDEMPOTENCY_DONE:
        assert shadow.ends[str(facts["first_call_id"])][0] != "void"
    elif code in (Code.INSUFFICIENT_BUDGET, Code.DAEMON_CAP, Code.BUDGET_HELD):
        _check_money(shadow, agent_id, body, refusal)


def _check_money(shadow: Shadow, agent_id: str, body: bytes, refusal: SpendGuardError) -> None:
    facts, purse, daemon = refusal.facts, shadow.purses[agent_id], shadow.daemon
    request = json.loads(body)
    fresh, _, output = PRICES[request["model"]]
    tokens = int(str(facts["floor_output_tokens"])) * int(request.get("n", 1))
    needed = int(str(facts["input_tokens_bound"])) * fresh + tokens * output
    remaining = purse.funded - purse.settled
    of_all = daemon.funded - daemon.settled if daemon.limit is not None else remaining
    if facts["budget"] == "agent":
        assert nusd(str(facts["remaining_usd"])) == remaining
    if refusal.code is Code.BUDGET_HELD:
        assert needed <= min(remaining, of_all), f"{needed} never fits: {refusal.detail}"
    elif refusal.code is Code.DAEMON_CAP:
        assert of_all < needed <= remaining, f"false refusal: {needed}: {refusal.detail}"
    else:
        assert needed > remaining, f"false refusal: {needed} of {remaining}: {refusal.detail}"


def nusd(text: str) -> int:
    """Read an exact decimal of USD as nUSD."""
    sign, text = (-1, text[1:]) if text.startswith("-") else (1, text)
    whole, part = text.split(".")
    return sign * (int(whole) * 10**9 + int(part.ljust(9, "0")))
