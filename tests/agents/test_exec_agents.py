"""Claude Code, Codex, Gemini CLI and opencode under `spendguard exec`, with no other setting, isolated.

The same task as without it: two files read with the program's own tool. What is typed behind `--` is what a
user types without us; only the model is named, since the default of some is none that has a price.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from coding_agents import AGENTS, ANSWER, Task, placed
from node_programs import DeadEnd
from routed import Routed
from shell import PROGRAM
from till import nusd
from until import until

ASKED = "What is the word in notes.txt?"
NO_SANDBOX = ("--sandbox", "danger-full-access")
"""What `exec` says to Codex's user: its sandbox needs mounts, which no program in a sandbox may make."""

COMMANDS: dict[str, tuple[str, ...]] = {
    "Claude Code": ("claude", "-p", ASKED),
    "Codex": ("codex", "exec", "-m", "gpt-5.5", "--skip-git-repo-check", *NO_SANDBOX, ASKED),
    "Gemini CLI": ("gemini", "--skip-trust", "-m", "gemini-2.5-flash", "-p", ASKED),
    "opencode": ("opencode", "run", "-m", "openai/gpt-4o", ASKED),
}
ROUTES = {"opencode": "POST /v1/responses?"}
"""Where a program asks its provider in another way than the page has it do."""


@pytest.fixture
def routed(tmp_path: Path) -> Iterator[Routed]:
    """The sidecar, in the user's home as by default; nothing that it sent was refused by the provider."""
    with Routed(tmp_path / "user" / ".spendguard") as running:
        yield running
        assert running.provider.refused == []


@pytest.fixture(scope="module")
def dead_end() -> Iterator[DeadEnd]:
    """What stands between the programs and the world."""
    with DeadEnd() as made:
        yield made


@pytest.mark.parametrize("name", COMMANDS)
def test_it_does_its_task_under_exec(name: str, routed: Routed, dead_end: DeadEnd, tmp_path: Path) -> None:
    """The task is done, all of it was paid by the exec's key, and no key is left."""
    agent = replace(AGENTS[name], variables={})
    place = placed(agent, tmp_path / "user", dead_end)
    task = routed.provider = Task(agent, place.work)
    agent_id = routed.sidecar.agent(cents=1_000)
    ended = place.execute(
        *(*PROGRAM, "exec", "--agent", agent_id, "--isolate", "--", *COMMANDS[name]),
        SPENDGUARD_HOME=str(routed.sidecar.home.root),
        PYTHONPATH=os.environ.get("PYTHONPATH", ""),
    )
    assert ended.code == 0, (ended.out, ended.err)
    assert ANSWER in ended.out, ended
    assert task.routes == {ROUTES.get(name, agent.route)}
    assert task.refused == []

    def settled() -> bool:
        return routed.sidecar.budget(agent_id)["held_usd"] == "0.00"

    until(settled)
    calls = routed.sidecar.calls(agent_id)
    assert {call["state"] for call in calls} == {"settled"}
    assert len({call["run_id"] for call in calls}) == 1
    assert nusd(routed.sidecar.budget(agent_id)["settled_usd"]) == task.billed_nusd
    keys = routed.sidecar.control("GET", f"/v1/agents/{agent_id}/keys")["keys"]
    assert [(key["kind"], key["revoked"], nusd(key["settled_usd"])) for key in keys] == [
        ("exec", True, task.billed_nusd)
    ]
    assert f"spent ${routed.sidecar.budget(agent_id)['settled_usd']} in {len(calls)} calls" in ended.err
