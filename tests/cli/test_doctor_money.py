"""Money that is not known exactly, made so for real: what the doctor says, and what its remedy does."""

from pathlib import Path

import pytest

from patients import code_of, first, is_mended
from quick_typist import QuickTypist
from shell import Quick, Shell


@pytest.fixture
def typist(served: Quick) -> QuickTypist:
    return QuickTypist(served)


def test_a_call_whose_cost_is_not_known(served: Quick, typist: QuickTypist) -> None:
    """The list is typed as printed; the charge is then entered by the bill, with the line that is told."""
    agent_id = served.agent("worst", cents=500)
    answer = served.call(agent_id, metadata={"mock": "fail:500"}, max_tokens=100)
    assert answer.status_code == 500
    call_id = answer.headers["x-spendguard-call-id"]
    cause = first(typist, "worst")
    assert (cause["check"], cause["level"]) == ("money.unconfirmed", "warning")
    assert "what 1 call cost is not known" in cause["finding"]
    listed = typist.type(cause["remedy"][0])
    assert listed.code == 0 and call_id in listed.out
    command = cause["deed"].partition("like this: ")[2]
    assert command.startswith(f"spendguard budget adjust --call {call_id} --to ")
    assert typist.type(command).code == 0
    assert first(typist, "worst")["check"] != "money.unconfirmed"


def test_a_call_that_was_billed_above_its_hold(served: Quick, typist: QuickTypist) -> None:
    """It is the cause, before the freeze that it led to."""
    agent_id = served.agent("above", cents=5000)
    answer = served.call(agent_id, model="mock-large", metadata={"mock": "lie:over"}, max_tokens=100)
    call_id, cost = answer.headers["x-spendguard-call-id"], answer.headers["x-spendguard-cost-usd"]
    cause = first(typist, "above")
    assert (cause["check"], cause["level"]) == ("money.overruns", "red")
    assert cause["remedy"] == [f"spendguard budget adjust --call {call_id} --to {cost} --reason confirmed"]
    typist.mends(cause)
    is_mended(typist, "above", first(typist, "above"))


def test_an_account_below_zero(served: Quick, typist: QuickTypist) -> None:
    agent_id = served.agent("owes", cents=100)
    call_id = served.call(agent_id, max_tokens=100).headers["x-spendguard-call-id"]
    served.ok("budget", "adjust", "--call", call_id, "--to", "1.25", "--reason", "the bill")
    assert code_of(served.call(agent_id, max_tokens=100)) == (402, "insufficient_budget")
    cause = first(typist, "owes")
    assert (cause["check"], cause["level"]) == ("money.negative", "red")
    assert cause["finding"] == "agent owes has spent $0.25 more than it was given"
    assert cause["evidence"][0].startswith("-$0.25 remains")
    is_mended(typist, "owes", cause)
    assert served.call(agent_id, max_tokens=100).status_code == 200


def test_an_agent_that_came_back_with_a_backup(shell: Shell, tmp_path: Path) -> None:
    """Only a person can say what it spent since: the deed is done with the sum of the bill."""
    agent_id = shell.agent("restored", cents=500)
    quick = shell.quick
    quick.ok("ledger", "backup", str(tmp_path / "copy"))
    assert shell.call(agent_id, max_tokens=100).status_code == 200
    quick.ok("down")
    quick.ok("ledger", "restore", str(tmp_path / "copy"), "--yes")
    shell.ok("up")
    typist = QuickTypist(quick)
    assert code_of(shell.call(agent_id, max_tokens=100))[0] == 402
    cause = first(typist, "restored")
    assert (cause["check"], cause["level"]) == ("money.restored", "red")
    assert "agent restored came back with a backup" in cause["finding"]
    assert cause["remedy"] == []
    assert "look at the provider's bill for what it spent since the backup" in cause["deed"]
    line = "spendguard agent unfreeze restored --spent <amount>"
    assert f"{line}; 0 accepts the loss" in cause["deed"]
    explained, shown = (
        quick.ok("explain", "last", "--agent", "restored"),
        quick.ok("agent", "get", "restored"),
    )
    for said in (str(typist.doctor()), str(typist.doctor("402")), explained.out, shown.out + shown.err):
        assert "--spent 0" not in said
    assert typist.type(line.replace("<amount>", "0.01usd")).code == 0
    assert first(typist, "restored")["level"] != "red"
    assert shell.call(agent_id, max_tokens=100).status_code == 200
