"""How long a call waits: what its client says, its agent, the config, in this order."""

import pytest

from ledger_kit import AGENT, NOW, funded_book, hold_call
from spendguard_daemon import shown
from spendguard_daemon.errors import Code, MalformedError, SpendGuardError
from spendguard_daemon.gateway import access
from spendguard_daemon.ledger.commands import SetDaemonLimit
from spendguard_daemon.ledger.events import AgentPolicy
from spendguard_daemon.ledger.waiting import Waiter
from spendguard_daemon.own_policy import wait_seconds
from spendguard_daemon.settings import Settings

WAITS = Settings(on_insufficient="wait", wait_seconds=20)


@pytest.mark.parametrize(
    ("asked", "own", "settings", "expected"),
    [
        (None, None, Settings(), None),
        (None, None, WAITS, 20),
        (None, AgentPolicy(wait_seconds=5), Settings(), None),
        (None, AgentPolicy(wait_seconds=5), WAITS, 5),
        (None, AgentPolicy(wait_seconds=0), WAITS, 0),
        (None, AgentPolicy(on_insufficient="wait"), Settings(wait_seconds=7), 7),
        (None, AgentPolicy(on_insufficient="refuse"), WAITS, None),
        (9, AgentPolicy(on_insufficient="refuse"), Settings(), 9),
        (0, AgentPolicy(on_insufficient="wait", wait_seconds=5), WAITS, 0),
    ],
)
def test_the_client_wins_over_its_agent_and_that_over_the_config(
    asked: int | None, own: AgentPolicy | None, settings: Settings, expected: int | None
) -> None:
    assert wait_seconds(asked, own, settings) == expected


@pytest.mark.parametrize(("values", "expected"), [([], None), (["0"], 0), (["600"], 600), (["007"], 7)])
def test_the_header_is_whole_seconds(values: list[str], expected: int | None) -> None:
    assert access.wait_seconds(values) == expected


@pytest.mark.parametrize("values", [["601"], [""], ["-1"], ["1", "1"], ["1.0"], [" 1"], ["٣"], ["9" * 5_000]])
def test_all_else_is_refused_by_the_headers_name(values: list[str]) -> None:
    with pytest.raises(MalformedError) as caught:
        access.wait_seconds(values)
    assert caught.value.facts["path"] == "x-spendguard-wait"


@pytest.mark.parametrize(
    ("code", "lacking_cents"),
    [
        (Code.INSUFFICIENT_BUDGET, 2),
        (Code.DAEMON_CAP, 3),
        (Code.BUDGET_NOT_SET, 3),
        (Code.BUDGET_HELD, None),
        (Code.BUDGET_LOCKED, None),
    ],
)
async def test_what_is_lacking_is_told_in_whole_cents(code: Code, lacking_cents: int | None) -> None:
    """Rounded up, of the budget that is too small: the agent's has a cent, the one of all nothing."""
    book = funded_book(10**7)
    book.execute(SetDaemonLimit(0, None, "test"))
    command = hold_call("c", output_tokens=200_001)
    told = shown.waiting_call(Waiter(command, SpendGuardError(code, "x"), NOW, 30, 1), book.state)
    assert (told.call_id, told.agent_id, told.run_id, told.model) == (
        "c",
        AGENT,
        "run-1",
        "gpt-4o-mini",
    )
    assert (told.code, told.lacking_cents, told.worst_case_usd) == (code, lacking_cents, "0.0200001")
    assert (told.since, told.until) == ("2027-01-15T08:00:00.000000Z", "2027-01-15T08:00:30.000000Z")
