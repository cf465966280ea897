"""Claude Code, Codex, Gemini CLI and opencode, as they are installed: a headless task, and what they make of refusals.

Each runs what `references/routing-patterns.md` says to type. The second command, `.ci/run --clients`, runs this;
a missing program fails.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from coding_agents import AGENTS, ANSWER, Task, placed, run
from node_programs import DeadEnd
from routed import REFUSAL_TEXTS, Routed, attempts
from routing_page import STATUSES, refusals
from till import nusd
from until import until


@pytest.fixture(scope="module")
def routed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Routed]:
    """The sidecars; nothing that they sent was refused by the provider."""
    with Routed(tmp_path_factory.mktemp("routed")) as running:
        yield running
        assert running.scripted.refused == []


@pytest.fixture(scope="module")
def dead_end() -> Iterator[DeadEnd]:
    """What stands between the programs and the world."""
    with DeadEnd() as made:
        yield made


@pytest.mark.parametrize("name", AGENTS)
def test_it_does_its_task(name: str, routed: Routed, dead_end: DeadEnd, tmp_path: Path) -> None:
    """Three turns with its own tools; the ledger has what the provider billed, and nothing was refused."""
    place = placed(AGENTS[name], tmp_path / "home", dead_end)
    task = routed.provider = Task(AGENTS[name], routed.scripted, place.work)
    agent_id = routed.sidecar.agent(cents=10_000)
    ended = run(name, place, routed.sidecar.base, agent_id)
    assert ended.code == 0, ended
    assert ANSWER in ended.out
    assert task.routes == {AGENTS[name].route}
    assert set(ended.beyond) <= AGENTS[name].beyond
    calls = until(lambda: [call for call in routed.sidecar.calls(agent_id) if call["ended_at"]])
    assert {call["state"] for call in calls} == {"settled"}
    assert len(calls) >= 3
    budget = routed.sidecar.budget(agent_id)
    assert (nusd(budget["settled_usd"]), budget["held_usd"]) == (task.billed_nusd, "0.00")


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("name", AGENTS)
def test_it_is_refused_as_the_page_says(
    name: str, status: int, routed: Routed, dead_end: DeadEnd, tmp_path: Path
) -> None:
    """So many attempts, an end, and our text is what the user sees."""
    place = placed(AGENTS[name], tmp_path / "home", dead_end)
    with routed.refusing(status) as (sidecar, agent_id):
        ended = run(name, place, sidecar.base, agent_id)
        assert attempts(sidecar, agent_id, status) == refusals()[name].attempts[status]
    assert ended.code != 0
    assert REFUSAL_TEXTS[status] in ended.out + ended.err
