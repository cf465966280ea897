"""Error answers become our errors: with their own code, or the nearest to their status."""

import pytest

from spendguard_cli.client import Control
from spendguard_cli.prove import Found, Place, knock
from spendguard_cli.refused import refusal
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, SpendGuardError
from trickling import HEAD, Trickling


def test_the_sidecars_own_refusal_keeps_code_detail_and_facts() -> None:
    body = b'{"detail": "Agent not found", "spendguard": {"code": "agent_not_found", "agent_id": "x"}}'
    error = refusal(404, body)
    assert (error.code, error.detail, error.facts["agent_id"]) == (
        Code.AGENT_NOT_FOUND,
        "Agent not found",
        "x",
    )
    assert error.remedy == TABLE[Code.AGENT_NOT_FOUND].operator_remedy


def test_the_code_of_the_providers_error_shape_will_do() -> None:
    assert refusal(409, b'{"error": {"code": "budget_locked"}, "detail": "x"}').code is Code.BUDGET_LOCKED


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, b'{"detail": "no"}', Code.UNAUTHORIZED),
        (403, b"<html>", Code.NOT_ALLOWED),
        (404, b"", Code.ROUTE_NOT_FOUND),
        (422, b'{"detail": [{"loc": 1}]}', Code.MALFORMED_REQUEST),
        (500, b"\xff\xfe", Code.INTERNAL),
        (502, b'{"spendguard": {"code": "of a later version"}}', Code.INTERNAL),
        (418, b"[]", Code.INTERNAL),
    ],
)
def test_a_foreign_body_is_taken_by_its_status(status: int, body: bytes, code: Code) -> None:
    error = refusal(status, body)
    assert error.code is code
    assert error.detail


def test_a_detail_cannot_steer_a_terminal() -> None:
    assert "\x1b" not in refusal(400, b'{"detail": "a\\u001b[2Jb"}').detail


def test_an_address_where_nothing_listens_is_no_daemon() -> None:
    with (
        Control("http://127.0.0.1:9", "token", local=True) as control,
        pytest.raises(SpendGuardError) as caught,
    ):
        control.status()
    assert caught.value.code is Code.NO_DAEMON
    assert "token" not in caught.value.detail


PATIENCE_SECONDS = 0.3


@pytest.mark.parametrize(
    ("first", "more"),
    [(HEAD, b"a: b\r\n"), (HEAD + b"content-length: 100000\r\n\r\n", b"x")],
    ids=["headers", "body"],
)
def test_an_answer_that_trickles_is_not_waited_for(first: bytes, more: bytes) -> None:
    """Each byte comes in time, and the end never does: the time is for all of it."""
    with (
        Trickling(first, more) as listener,
        Control(f"http://127.0.0.1:{listener.port}", "token", local=True) as control,
        pytest.raises(SpendGuardError) as caught,
    ):
        control._exchange("GET", "/v1/status", None, {}, PATIENCE_SECONDS)
    assert (caught.value.code, "did not answer within 0.3 s" in caught.value.detail) == (Code.NO_DAEMON, True)


def test_who_trickles_at_the_door_is_silent() -> None:
    with Trickling(HEAD, b"a: b\r\n") as listener:
        assert knock(Place.at(listener.port), [], PATIENCE_SECONDS) is Found.SILENT
