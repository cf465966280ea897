"""Anthropic's error answer: the one shape by which it says that it did, and bills, nothing; and ours in it.

Sources: the anthropic SDK 2.12.0, `types/shared/error_response.py`, `error_type.py`, `_exceptions.py`
(`error.details`), and recording 28. Strict on purpose: a member beyond those could be an answer, or its
usage, in other words.
"""

import json
from collections.abc import Mapping

from spendguard_daemon.errors import Fact
from spendguard_daemon.providers import error_answers
from spendguard_daemon.providers.contract import AnswerReader
from spendguard_daemon.providers.json_text import Json

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""The error type that Anthropic gives each status. [sdk] `error_type.py`; [docs] errors."""

THREAD = "anthropic.messages.field:thread"
_UNTHREADED = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
"""What makes the SDK's tool runner, which asks for a conversation kept at the provider unless told otherwise,
send all of it by itself instead. [sdk] @anthropic-ai/sdk 1.14.0, `lib/internal/threads/ThreadState.mjs`."""

_MEMBERS = frozenset({"type", "error", "request_id"})
_ERROR_MEMBERS = frozenset({"type", "message", "details"})


def reader(encoding: str) -> AnswerReader:
    """Return the reader of one answer that is no success."""
    return error_answers.reader(encoding, _is_documented)


def error_body(status: int, detail: str, spendguard: Mapping[str, Fact]) -> bytes:
    """Return an error of ours in Anthropic's shape; ASCII, so no text of a client can break it."""
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    error: dict[str, object] = {"type": kind, "message": detail}
    if spendguard.get("feature") == THREAD:
        error["details"] = _UNTHREADED
    answer = {"type": "error", "error": error, "detail": detail, "spendguard": dict(spendguard)}
    return json.dumps(answer).encode()


def _is_documented(members: dict[str, Json]) -> bool:
    error = members.get("error")
    return (
        members.get("type") == "error"
        and members.keys() <= _MEMBERS
        and isinstance(members.get("request_id"), str | None)
        and isinstance(error, dict)
        and error.keys() <= _ERROR_MEMBERS
        and isinstance(error.get("type"), str)
        and isinstance(error.get("message"), str)
        and _is_flat(error.get("details"))
    )


def _is_flat(details: Json) -> bool:
    """Tell whether the details are a code and plain facts, none of which is a usage."""
    if details is None:
        return True
    return isinstance(details, dict) and all(
        name != "usage" and not isinstance(value, dict) for name, value in details.items()
    )
