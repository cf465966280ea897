"""`watch --once` and `--compact` against a real sidecar: what they show is what the ledger has."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from shell import PROGRAM, Quick, Shell, Terminal, finish
from spendguard_cli.watch.compact import CELLS_MAX


@pytest.fixture(scope="module")
def spent(served: Quick) -> str:
    """An agent that has spent, beside one that was refused; its id."""
    agent_id = served.agent("spender", cents=500)
    for _ in range(3):
        assert served.call(agent_id).status_code == 200
    poor = served.agent("poor", cents=0)
    assert served.call(poor).status_code == 402
    return agent_id


def test_json_is_what_the_ledger_has(served: Quick, spent: str) -> None:
    """To the last digit, with sorted keys."""
    told = served.ok("watch", "--once", "--json").json
    assert list(told) == sorted(told)
    known = {agent["agent_id"]: agent for agent in served.ok("agent", "list", "--json").json}
    assert {one["agent_id"] for one in told["agents"]} == set(known)
    for one in told["agents"]:
        for name in ("remaining_usd", "settled_usd", "held_usd"):
            assert Decimal(one[name]) == Decimal(known[one["agent_id"]][name])
    (spender,) = [one for one in told["agents"] if one["agent_id"] == spent]
    assert Decimal(spender["usd_per_minute"]) == Decimal(spender["settled_usd"]) > 0
    assert spender["seconds_to_empty"] > 0
    assert sum(map(Decimal, spender["spent_usd"])) == Decimal(spender["settled_usd"])


def test_a_refusal_is_told_with_what_to_type(served: Quick, spent: str) -> None:
    """Why, of whom, and the command, which then lets the call through."""
    told = served.ok("watch", "--once", "--agent", "poor", "--json").json
    assert [one["name"] for one in told["agents"]] == ["poor"]
    (refused,) = told["refused"]
    assert refused["code"] == "insufficient_budget"
    assert refused["next"][0] == told["next"][0]
    assert "--agent poor" in told["next"][0]


def test_a_pipe_gets_lines(served: Quick, spent: str) -> None:
    """One a fact, then one an agent."""
    ran = served.ok("watch", "--once", "--agent", "spender")
    assert "\nsums.agents=1\n" in ran.out
    assert "name=spender" in ran.out.splitlines()[-1]


def test_a_terminal_gets_a_table(served: Quick, spent: str) -> None:
    """With all agents, the worst first, and the command at the end."""
    terminal = Terminal.of([*PROGRAM, "watch", "--once", "--sort", "name"], served.env)
    terminal.end()
    said = terminal.said.decode()
    assert said.index("poor") < said.index("spender")
    assert "next:" in said


def test_a_sidecar_is_started_on_demand(shell: Shell) -> None:
    """As by any other command; --no-spawn forbids it."""
    ran = shell.run("watch", "--once", "--no-spawn")
    assert ran.code == 3
    ran = shell.ok("watch", "--once", "--json")
    assert ran.json["agents"] == []


def test_who_is_not_there_is_not_found(served: Quick, spent: str) -> None:
    """By a name, and by an id."""
    for flag in ("--once", "--compact"):
        ran = served.run("watch", flag, "--agent", "nobody")
        assert ran.code == 4
        assert "Agent not found" in ran.err


def test_the_past_in_the_same_table(served: Quick, spent: str) -> None:
    """As of a time; nothing is there to be typed."""
    told = served.ok("watch", "--once", "--at", "0s ago", "--json").json
    assert told["state"] == "past"
    assert told["next"] == []
    assert {one["name"] for one in told["agents"]} >= {"spender", "poor"}


def test_one_line_for_a_status_bar(served: Quick, spent: str) -> None:
    """In plain text, short."""
    (line,) = served.ok("watch", "--compact").out.splitlines()
    assert line.startswith("sg $")
    assert re.search(r" refused in \d+[smhd]", line)
    assert served.ok("watch", "--once", "--json").json["sums"]["refusals_since"]
    assert len(line) <= CELLS_MAX
    alone = served.ok("watch", "--compact", "--agent", "spender").out
    assert " refused" not in alone


def test_where_no_sidecar_is_up_one_says_so_and_starts_none(tmp_path: Path) -> None:
    """Exit 0: a status bar shows what is printed, and nothing else."""
    shell = Shell(tmp_path / "home")
    assert shell.ok("watch", "--compact").out == "sg away\n"
    assert not shell.home.exists()


def test_an_unresponsive_sidecar_is_away(shell: Shell) -> None:
    """A process that stands still is not waited for."""
    import os
    import signal

    shell.ok("up")
    pid = shell.daemon()["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        assert finish(shell.start("watch", "--compact")).out == "sg away\n"
    finally:
        os.kill(pid, signal.SIGCONT)
