"""Claude Code, Codex, Gemini CLI and opencode, as npm installs them: a headless task, and what refuses them.

Each runs what `references/routing-patterns.md` says to type. The second command, `.ci/run --clients`, runs
this; a missing program fails.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coding_agents import AGENTS, ANSWER, FIRST, SECOND, Task, placed, run
from node_programs import DeadEnd
from routed import TEXTS, Routed, attempts
from routing_page import STATUSES, refusals
from sidecar import Sidecar
from till import nusd
from until import until


@pytest.fixture(scope="module")
def routed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Routed]:
    """The sidecars; nothing that they sent was refused by the provider."""
    with Routed(tmp_path_factory.mktemp("routed")) as running:
        yield running
        assert running.provider.refused == []


@pytest.fixture(scope="module")
def dead_end() -> Iterator[DeadEnd]:
    """What stands between the programs and the world."""
    with DeadEnd() as made:
        yield made


@pytest.mark.parametrize("name", AGENTS)
def test_it_does_its_task(name: str, routed: Routed, dead_end: DeadEnd, tmp_path: Path) -> None:
    """Three turns with its own tools; the ledger has what the provider billed, and nothing was refused."""
    place = placed(AGENTS[name], tmp_path / "home", dead_end)
    task = routed.provider = Task(AGENTS[name], place.work)
    agent_id = routed.sidecar.agent(cents=10_000)
    ended = run(name, place, routed.sidecar.base, agent_id)
    assert ended.code == 0, ended
    assert ANSWER in ended.out
    assert task.routes == {AGENTS[name].route}
    assert [asked for asked in ended.beyond if not asked.startswith(AGENTS[name].beyond)] == []
    assert task.refused == []
    calls = until(lambda: ended_calls(routed.sidecar, agent_id))
    assert {call["state"] for call in calls} == {"settled"}
    assert len(calls) >= len((FIRST, SECOND, ANSWER))
    budget = routed.sidecar.budget(agent_id)
    assert (nusd(budget["settled_usd"]), budget["held_usd"]) == (task.billed_nusd, "0.00")


def ended_calls(sidecar: Sidecar, agent_id: str) -> list[dict[str, Any]]:
    """Return an agent's calls once all of them have ended."""
    calls = sidecar.calls(agent_id)
    return calls if all(call["ended_at"] for call in calls) else []


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("name", AGENTS)
def test_it_is_refused_as_the_page_says(
    name: str, status: int, routed: Routed, dead_end: DeadEnd, tmp_path: Path
) -> None:
    """So many attempts, an end, and our text is what the user sees."""
    place, row = placed(AGENTS[name], tmp_path / "home", dead_end), refusals("node")[name]
    with routed.refusing(status) as (sidecar, agent_id):
        ended = run(name, place, sidecar.base, agent_id)
        tries = attempts(sidecar, agent_id, status)
        assert tries == row.attempts[status]
    assert ended.code != 0
    assert TEXTS[status] in ended.out + ended.err
    assert row.seen[STATUSES.index(status)] in ended.out + ended.err
