"""xAI answers: usage as xAI counts it, its own bill, and its documented errors.

Owns what the numbers mean; OpenAI's meters, which it shares, read them out. Sources: recordings 38 to 41;
wire.md, traps 1 and 2; docs.x.ai/developers/cost-tracking; [costs B2]. Invariant: where xAI gives its own
bill, `Usage.cost_pusd` is that, and never nothing.
"""

from dataclasses import replace

from spendguard_daemon.providers import error_answers, openai_answers, openai_errors, openai_responses_answers
from spendguard_daemon.providers.contract import AnswerReader
from spendguard_daemon.providers.grok_fields import USED_TOOLS
from spendguard_daemon.providers.json_text import Json
from spendguard_daemon.providers.openai_usage import count, part
from spendguard_daemon.usage import Usage, absurd

PUSD_PER_TICK = 100
"""1 USD is 10^10 ticks. docs.x.ai/developers/cost-tracking; recordings 38 to 41 agree."""

VIOLATIONS = ("usage guidelines", "safety_check")
"""Words of errors for which xAI takes a fee of 0.05 USD: its pricing page; QuantumNous/new-api bills it."""


KEY_REJECTED = "incorrect api key"
"""How the words begin by which xAI answers 400 to a key that is none; they go on with the key's ends."""


def read_chat_usage(report: Json) -> Usage:
    """Read the usage of a chat answer; raises UPSTREAM_FAILED where it cannot be true.

    Reasoning is beside `completion_tokens` (recording 38: 137 + 2 + 112 = 251), unless the total says that it
    is inside.
    """
    if not isinstance(report, dict):
        return openai_answers.read_usage(report)
    prompt, completion = count(report, "prompt_tokens"), count(report, "completion_tokens")
    reasoning = count(part(report, "completion_tokens_details"), "reasoning_tokens", 0)
    beside = count(report, "total_tokens", prompt + completion + reasoning) != prompt + completion
    written = completion + reasoning if beside else completion
    usage = openai_answers.read_usage({**report, "completion_tokens": written})
    return _as_billed(usage, report)


def read_responses_usage(report: dict[str, Json]) -> Usage:
    """Read the usage of a response, which counts reasoning inside `output_tokens` (recording 40)."""
    return _as_billed(openai_responses_answers.read_usage(report), report)


def read_tools_usage(report: dict[str, Json]) -> Usage:
    """Read the usage of a response whose tools ran at xAI: what they cost, its own bill alone tells.

    Raises UPSTREAM_FAILED where there is none.
    """
    usage = read_responses_usage(report)
    if usage.cost_pusd is None:
        raise absurd("tools ran at the provider, and its bill is missing")
    return usage


def errors(encoding: str) -> AnswerReader:
    """Return the reader of one answer that is no success."""
    return error_answers.reader(encoding, _is_documented, rejects_key=_rejects_key)


def _as_billed(usage: Usage, report: dict[str, Json]) -> Usage:
    """Add what xAI says that its tools did, and its own bill, which is never zero: no prompt is empty."""
    used = part(report, "server_side_tool_usage_details")
    events = {fee: count(used, name, 0) for name, fee in USED_TOOLS.items()}
    events["live_search_source"] = count(report, "num_sources_used", 0)
    events = {name: number for name, number in events.items() if number}
    if report.get("cost_in_usd_ticks") is None:
        return replace(usage, events=events)
    ticks = count(report, "cost_in_usd_ticks")
    if ticks < 1:
        raise absurd(f"a bill of {ticks} ticks for {usage.input_tokens + usage.output_tokens} tokens")
    return replace(usage, events=events, cost_pusd=ticks * PUSD_PER_TICK)


def _is_documented(members: dict[str, Json]) -> bool:
    """Tell an error for which nothing is billed: `{"code", "error"}` in words, or one of OpenAI's shape."""
    plain = members.keys() == {"code", "error"} and all(isinstance(value, str) for value in members.values())
    if not plain and not openai_errors.is_documented(members):
        return False
    said = str(members).casefold()
    return not any(word in said for word in VIOLATIONS)


def _rejects_key(members: dict[str, Json]) -> bool:
    error = members.get("error")
    said = error.get("message") if isinstance(error, dict) else error
    return isinstance(said, str) and said.casefold().startswith(KEY_REJECTED)
