"""Errors of ours in Google's shape: what of them Gemini's programs go by."""

import json

import pytest

from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code
from spendguard_daemon.providers.gemini_errors import error_body

FOR_A_PERSON = [code for code, entry in TABLE.items() if entry.status == 503 and entry.retry is False]


def details(code: Code) -> list[dict[str, str]] | None:
    """Return the details of the error that stands for a code."""
    found: list[dict[str, str]] | None = json.loads(
        error_body(TABLE[code].status, "Why", {"code": code.value})
    )["error"].get("details")
    return found


@pytest.mark.parametrize("code", FOR_A_PERSON)
def test_what_only_a_person_can_mend_is_not_tried_again_soon(code: Code) -> None:
    """Above five minutes Gemini CLI does not wait; it stops."""
    assert details(code) == [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3600s"}]


@pytest.mark.parametrize("code", [code for code in TABLE if code not in FOR_A_PERSON])
def test_all_else_says_nothing_of_a_delay(code: Code) -> None:
    """What passes may be tried again soon; what does not, no program of Google's tries again."""
    assert details(code) is None
