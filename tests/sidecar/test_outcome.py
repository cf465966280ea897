"""The outcome table, row by row (costs.md D)."""

import pytest

from spendguard_daemon.outcome import Outcome, Seen, not_sent, outcome
from spendguard_daemon.usage import Usage

VOID = (429, 503, 529)
USAGE = Usage(input_tokens=10, output_tokens=2)


def seen(status: int | None, *, whole=True, usage=None, error=False, problem="") -> Seen:
    """Return the evidence of a call."""
    return Seen(status, whole=whole, usage=usage, documented_error=error, problem=problem)


def test_reported_usage_of_a_whole_answer_settles() -> None:
    """The one way to pay less than the hold."""
    assert outcome(seen(200, usage=USAGE), VOID) == Outcome("settle", "reported usage", USAGE)


@pytest.mark.parametrize(
    "evidence",
    [
        seen(None),
        seen(None, problem="the connection broke"),
        seen(200),
        seen(200, whole=False, usage=USAGE),
        seen(200, usage=USAGE, problem="error event in the stream"),
        seen(201, whole=False),
        seen(302, error=True),
        seen(400),
        seen(400, whole=False, error=True),
        seen(408, error=True),
        seen(499, error=True),
        seen(429),
        seen(500, error=True),
        seen(502, error=True),
        seen(503),
        seen(504, error=True),
    ],
    ids=str,
)
def test_what_is_not_known_is_charged_at_worst(evidence: Seen) -> None:
    """Unknown means worst case, with a reason that a person can read."""
    booked = outcome(evidence, VOID)
    assert (booked.kind, booked.usage) == ("worst", None)
    assert booked.reason


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 429, 503, 529])
def test_documented_refusals_are_void(status: int) -> None:
    """A provider that refused before any work billed nothing."""
    assert outcome(seen(status, error=True), VOID).kind == "void"


def test_statuses_of_the_void_list_are_the_operators() -> None:
    """`[billing] void_statuses` can be emptied; 4xx stay."""
    assert outcome(seen(503, error=True), ()).kind == "worst"
    assert outcome(seen(429, error=True), ()).kind == "void"


def test_not_sent_is_void() -> None:
    """No byte left: nothing to pay."""
    assert not_sent("openai: refused").kind == "void"
