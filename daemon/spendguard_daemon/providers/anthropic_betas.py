"""The `anthropic-beta` values that are sent on, those that are not, and the header's reading.

Values are features with a date: `context-1m-2025-08-07`; they are listed without it. Invariant: no value
bills anything by itself. What costs needs a field, a block or a tool of the body too, and is refused there,
with its path; so no value has to be refused, and one that is not known is left out and reported (design 5.2).

Sources: [sdk] the anthropic SDK 2.14.0, `types/anthropic_beta_param.py`; [cc] Claude Code 2.1.185 as captured
(github.com/ex-machina-co/opencode-anthropic-auth issue 174).
"""

import re
from collections.abc import Mapping

from spendguard_daemon.providers.policy import Policy

VERSION_DEFAULT = "2023-06-01"
"""What is sent where the client names no version. [docs] API versions: 2023-06-01 and 2026-10-21."""

CONTEXT_1M = "context-1m"
CONTEXT_1M_TOKENS = 1_000_000
"""The window that this beta opens on models whose own is smaller."""

SENT = {
    "claude-code": "[cc] names the client",
    "interleaved-thinking": "[sdk] thinking between tool calls, within max_tokens",
    "fine-grained-tool-streaming": "[cc] how tool calls are cut into events",
    "token-efficient-tools": "[sdk] fewer output tokens",
    "prompt-caching": "[sdk] writes need cache_control",
    "prompt-caching-scope": "[cc] who shares a cache entry",
    "extended-cache-ttl": "[sdk] a longer life needs cache_control.ttl",
    "cache-diagnosis": "[sdk] says why a cache was missed",
    "context-management": "[sdk] edits need context_management",
    "context-editing": "[sdk] the same",
    CONTEXT_1M: "[sdk] a larger window; cards have its tier, `bounds` its size",
    "model-context-window-exceeded": "[sdk] a stop reason",
    "output-128k": "[sdk] a higher limit of max_tokens",
    "output-300k": "[sdk] a higher limit of max_tokens",
    "dev-full-thinking": "[sdk] shows thinking that is billed anyway",
    "thinking-token-count": "[cc] a part of usage",
    "thinking-display-updates": "[sdk] how thinking is shown",
    "thinking-binding-controls": "[sdk] which thinking blocks are kept",
    "redact-thinking": "[cc] how thinking is shown",
    "effort": "[cc] needs output_config.effort; within max_tokens",
    "task-budgets": "[sdk] needs output_config.task_budget; within max_tokens",
    "structured-outputs": "[sdk] needs output_config.format",
    "advanced-tool-use": "[docs] tool search, programmatic calls, examples: each needs tools",
    "tool-search-tool": "[docs] needs a tool",
    "tool-examples": "[docs] needs input_examples",
    "mid-conversation-system": "[cc] system messages in messages",
    "mid-conversation-system-clear-at": "[sdk] needs clear_at",
    "mid-conversation-output-config": "[sdk] needs output_config in messages",
    "mid-conversation-tool-changes": "[sdk] needs tool_addition blocks, whose tools are classed",
    "inline-tools": "[sdk] the same",
    "computer-use": "[sdk] needs a tool",
    "code-execution": "[sdk] needs a tool",
    "web-search": "[docs] needs a tool",
    "web-fetch": "[docs] needs a tool",
    "advisor-tool": "[cc] needs a tool",
    "mcp-client": "[sdk] needs mcp_servers",
    "skills": "[sdk] needs container",
    "files-api": "[sdk] needs a source of type file",
    "pdfs": "[sdk] needs documents",
    "search-results": "[docs] needs search_result blocks",
    "token-counting": "[sdk] the free count route",
    "fast-mode": "[sdk] needs speed",
    "compact": "[sdk] needs compaction or its edit; lets summaries come back as history",
}
"""Features whose values are sent on, whatever their date, and what they do."""

NOT_SENT = {
    "oauth": "[cc] for subscription tokens; we send a key",
    "server-side-fallback": "[sdk] needs fallbacks, refused",
    "fallback-credit": "[sdk] needs fallback_credit_token, refused",
    "message-threads": "[sdk] needs thread, refused",
    "user-profiles": "[sdk] on behalf of others",
    "user-profiles-billing": "[sdk] needs billing_policy, refused",
    "mcp-tunnels": "[sdk] tools that run at the provider",
    "managed-agents": "[sdk] another endpoint",
    "agent-memory": "[sdk] another endpoint",
    "dreaming": "[sdk] another endpoint",
    "message-batches": "[sdk] another endpoint",
    "webhooks": "[sdk] another endpoint",
    "spend-limit-reads": "[sdk] administration",
    "telemetry-destinations": "[sdk] administration",
    "admin-user-sign-out": "[sdk] administration",
    "analytics-usage-cost": "[sdk] administration",
    "ce-plugins": "[sdk] administration",
    "ce-user-management": "[sdk] administration",
    "ce-claude-code-managed-settings": "[sdk] administration",
    "experimental-claude-tag": "[sdk] administration",
    "efs": "[sdk] administration: storage of an organisation's own",
    "google-managed-data-controls": "[sdk] administration",
}
"""Features known but of no use to a message here; left out as those are that nobody knows."""

_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}")
_VALUE = re.compile(r"[A-Za-z0-9._-]{1,100}")
_DATE = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8})$")
_VALUES_MAX = 100


def read_headers(
    headers: Mapping[str, str], policy: Policy
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Return the headers to send, and the features left out, from a client's (lower-case names)."""
    version = headers.get("anthropic-version", "").strip()
    sent = [("anthropic-version", version if _VERSION.fullmatch(version) else VERSION_DEFAULT)]
    kept, left_out = _betas(headers.get("anthropic-beta", ""), policy)
    if kept:
        sent.append(("anthropic-beta", ",".join(kept)))
    return tuple(sent), left_out


def feature_of(value: str) -> str:
    """Return a beta value without its date."""
    return _DATE.sub("", value)


def opens_1m(headers: tuple[tuple[str, str], ...]) -> bool:
    """Tell whether the headers to send widen the context window."""
    return any(
        name == "anthropic-beta" and CONTEXT_1M in map(feature_of, value.split(","))
        for name, value in headers
    )


def _betas(header: str, policy: Policy) -> tuple[list[str], tuple[str, ...]]:
    kept: list[str] = []
    left_out: list[str] = []
    for word in header.split(",")[:_VALUES_MAX]:
        value = word.strip()
        if not value or value in kept:
            continue
        if not _VALUE.fullmatch(value):
            left_out.append("anthropic.beta:<value>")  # what it is must not reach a header of ours
        elif feature_of(value) in SENT or f"anthropic.beta:{value}" in policy.allow:
            kept.append(value)
        else:
            left_out.append(f"anthropic.beta:{value}")
    return kept, tuple(dict.fromkeys(left_out))
