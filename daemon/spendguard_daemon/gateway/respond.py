"""Errors and values into HTTP answers, in one place, by the one table of codes."""

import math
from collections.abc import Mapping

import msgspec
from aiohttp import web

from spendguard_daemon.codes import TABLE, Money
from spendguard_daemon.errors import Code, Fact, SpendGuardError
from spendguard_daemon.gateway.calm import PROGRAM, calm
from spendguard_daemon.providers import format_for
from spendguard_daemon.text import without_keys

JSON = "application/json"
STUBBORN_RETRY_MS = 1_000
"""For programs that try again although `x-should-retry: false` says not to. opencode 1.18.33 does at any 5xx
answer; it tries five times more, and doubles its wait from 2 s up to more than a minute in all, unless it is
told a shorter one."""


def value(body: msgspec.Struct | Mapping[str, object], status: int = 200) -> web.Response:
    """Answer with a value as JSON."""
    return web.Response(body=msgspec.json.encode(body) + b"\n", status=status, content_type=JSON)


def refusal(
    error: SpendGuardError,
    call_id: str,
    provider: str = "openai",
    endpoint: str = "chat/completions",
    program: str = "",
) -> web.Response:
    """Answer with an error of ours, in the error shape of the provider whose route was called.

    The reader is often the agent itself: it gets the remedy for agents, never a command that raises money.
    `program` is the asker's User-Agent.
    """
    entry = TABLE[error.code]
    facts: dict[str, Fact] = {
        "code": error.code.value,
        "remedy": entry.agent_remedy,
        **error.facts,
        "call_id": call_id,
    }
    if entry.money is Money.NOTHING:
        facts.setdefault("charged_usd", "0")
    form = format_for(provider, endpoint)
    headers = {"x-spendguard-source": "spendguard", "x-spendguard-call-id": call_id}
    retry = facts.get("worth_waiting", facts.get("affordable")) if entry.retry is None else entry.retry
    if isinstance(retry, bool):
        headers["x-should-retry"] = "true" if retry else "false"
    if retry is False:
        headers["retry-after-ms"] = str(STUBBORN_RETRY_MS)
    if isinstance(facts.get("hold_usd"), str):
        headers["x-spendguard-held-usd"] = str(facts["hold_usd"])
    wait_ms = facts.get("retry_after_ms")
    if isinstance(wait_ms, int):
        headers["retry-after-ms"] = str(wait_ms)
        headers["retry-after"] = str(math.ceil(wait_ms / 1000))
    allow = facts.get("allow")
    if error.code is Code.METHOD_NOT_ALLOWED and isinstance(allow, list):
        headers["allow"] = ", ".join(allow)
    # What a client put in the wrong place may be a key; answers are logged, by clients and those between.
    said = form.error_body(entry.status, error.code.value, error.detail, facts).decode()
    body = without_keys(said).encode()
    if retry is False and program.startswith(PROGRAM):
        body = calm(body)
    return web.Response(body=body, status=entry.status, headers=headers, content_type=JSON)
