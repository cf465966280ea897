"""Google's error answer: the one shape by which it says that it did, and bills, nothing; and ours in it.

Sources: google.rpc.Status as HTTP ([rest] errors), recording 37, and the google-genai SDK 3.6.1, `errors.py`,
which also takes the error in a list, as `streamGenerateContent` without `alt=sse` answers. That a key is none
Google says with 400, and with the reason of google.rpc.ErrorInfo. Strict on purpose: a member beyond those
could be an answer, or its usage, in other words.
"""

import json
from collections.abc import Mapping

from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Fact
from spendguard_daemon.providers import error_answers
from spendguard_daemon.providers.contract import AnswerReader
from spendguard_daemon.providers.json_text import Json

STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""The word that Google gives each status. [rest] google.rpc.Code; 402 has none of its own."""

_PERSON_FIRST = frozenset(
    code.value for code, entry in TABLE.items() if entry.status == 503 and entry.retry is False
)
_NOT_SOON = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3600s"}
"""What a 503 carries that only a person can mend. Gemini CLI 0.61.0 heeds no header, and tries a 503 ten
times, for more than two minutes, unless it is asked to wait for more than five: then it stops at once."""

_NO_KEY = "API_KEY_INVALID"
_MEMBERS = frozenset({"code", "message", "status", "details"})


def reader(encoding: str) -> AnswerReader:
    """Return the reader of one answer that is no success."""
    return error_answers.reader(encoding, _is_documented, rejects_key=_rejects_key, unwrap=_out_of_list)


def error_body(status: int, detail: str, spendguard: Mapping[str, Fact]) -> bytes:
    """Return an error of ours in Google's shape; ASCII, so no text of a client can break it."""
    word = STATUSES.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL")
    error: dict[str, object] = {"code": status, "message": detail, "status": word}
    if spendguard.get("code") in _PERSON_FIRST:
        error["details"] = [_NOT_SOON]
    return json.dumps({"error": error, "detail": detail, "spendguard": dict(spendguard)}).encode()


def _out_of_list(body: bytes) -> bytes:
    """Return the one element of a list as it stands; whether it is one, its reader will see."""
    inner = body.strip()
    return inner[1:-1] if inner.startswith(b"[") and inner.endswith(b"]") else body


def _is_documented(members: dict[str, Json]) -> bool:
    error = members.get("error")
    return (
        members.keys() == {"error"}
        and isinstance(error, dict)
        and error.keys() <= _MEMBERS
        and isinstance(error.get("code"), int)
        and isinstance(error.get("message"), str)
        and isinstance(error.get("status"), str | None)
        and _are_details(error.get("details"))
    )


def _rejects_key(members: dict[str, Json]) -> bool:
    error = members.get("error")
    details = error.get("details") if isinstance(error, dict) else None
    return isinstance(details, list) and any(
        isinstance(one, dict) and one.get("reason") == _NO_KEY for one in details
    )


def _are_details(details: Json) -> bool:
    """Tell whether the details are typed messages, as google.rpc's are, none of which is a usage."""
    if details is None:
        return True
    return isinstance(details, list) and all(
        isinstance(one, dict) and isinstance(one.get("@type"), str) and "usageMetadata" not in one
        for one in details
    )
