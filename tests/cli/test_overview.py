"""Bare `spendguard`: the state of things, and the step that an operator wants next."""

from collections.abc import Iterator

import msgspec
import pytest

from shell import Quick, Shell
from spendguard_cli.commands import overview
from spendguard_cli.doctor import examine
from spendguard_cli.doctor.findings import Check, Finding, Level


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, Finding]:
    """What checks find, by their group; nothing else is looked at."""
    said: dict[str, Finding] = {}
    groups = (*overview.AROUND, *overview.OF_AGENTS, *overview.LATELY)
    checks = tuple(
        Check(f"{group}.x", group, lambda _, group=group: [said[group]] if group in said else [])
        for group in groups
    )
    monkeypatch.setattr(examine, "CHECKS", checks)
    return said


def finding(level: Level, text: str) -> Finding:
    return Finding(level=level, finding=text)


def step(shell: Shell) -> tuple[str, str]:
    ran = shell.ok()
    return ran.keys["next"], ran.keys["why"]


@pytest.fixture(scope="module")
def up(served: Quick) -> Iterator[Quick]:
    served.agent("worker", cents=500)
    yield served


def test_what_is_broken_around_all_agents_leads_to_the_doctor(up: Quick, found: dict[str, Finding]) -> None:
    assert step(up)[0].startswith("OPENAI_BASE_URL=")
    found["prices"] = finding(Level.WARNING, "prices are old")
    assert step(up)[0].startswith("OPENAI_BASE_URL=")
    found["home"] = finding(Level.RED, "the home is open to all")
    assert step(up) == ("spendguard doctor", "the home is open to all")


def test_refusals_lately_lead_to_the_doctor_and_notes_do_not(up: Quick, found: dict[str, Finding]) -> None:
    found["failures"] = finding(Level.NOTE, "an old one")
    assert step(up)[0].startswith("OPENAI_BASE_URL=")
    found["failures"] = finding(Level.WARNING, "2 calls were refused")
    assert step(up) == ("spendguard doctor", "2 calls were refused")
    found["money"] = finding(Level.RED, "money is at risk")
    assert step(up) == ("spendguard doctor", "money is at risk")


def test_an_agent_that_needs_something_comes_before_refusals(up: Quick, found: dict[str, Finding]) -> None:
    found["failures"] = finding(Level.WARNING, "2 calls were refused")
    agent_id = up.agent("poor")
    assert step(up)[0] == "spendguard budget set --agent poor --limit 5000"
    up.ok("agent", "delete", agent_id, "--yes")


def test_a_refusal_that_still_stands_is_told_whatever_comes_next(up: Quick) -> None:
    agent_id, other = up.agent("broke", cents=1), up.agent("bare")
    assert up.call(agent_id, n=8, max_tokens=16_384).status_code == 402
    shown = up.ok("--json").json
    assert shown["next"] == "spendguard budget set --agent bare --limit 5000"
    [line] = [line for line in shown["warnings"] if "agent broke" in line]
    assert line.startswith("agent broke was refused with insufficient_budget ")
    assert line.endswith(" ago, and still would be: spendguard doctor")
    up.ok("budget", "set", "--agent", "broke", "--limit", "100", "--topup", "100")
    assert not [line for line in up.ok("--json").json.get("warnings", []) if "agent broke" in line]
    for gone in (agent_id, other):
        up.ok("agent", "delete", gone, "--yes")


def test_a_sidecar_that_is_down_and_ill_leads_to_the_doctor(shell: Shell, found: dict[str, Finding]) -> None:
    found["daemon"] = finding(Level.RED, "another program has the port")
    ran = shell.quick.ok()
    assert (ran.keys["state"], ran.keys["next"]) == ("down", "spendguard doctor")
    assert ran.keys["why"] == "another program has the port"
    assert not shell.home.exists()


def test_what_drains_and_what_is_unconfirmed_is_told_with_its_numbers(up: Quick) -> None:
    from spendguard_cli.connect import peek
    from spendguard_cli.context import Flags, resolve
    from spendguard_cli.session import Session

    control = peek(resolve(Flags(), up.env))
    assert control is not None
    with control:
        now, agents = control.status(), control.agents()
    session = Session(Flags(), up.env | {"SPENDGUARD_EXEC": "1", "CAP_API_KEY": "x"})
    unconfirmed = msgspec.structs.replace(now, unconfirmed_calls=2, unconfirmed_usd="0.5")
    shown = overview._overview(session, "http://x", unconfirmed, agents)
    assert (shown.next, shown.why) == (
        "spendguard ledger export --unconfirmed",
        "lists the 2 calls charged at worst, $0.5 in all; budget adjust corrects them",
    )
    draining = msgspec.structs.replace(now, state="draining")
    assert overview._overview(session, "http://x", draining, agents).next == "spendguard up"
