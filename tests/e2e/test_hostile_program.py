"""A program that wants more money, another's name or a key, run by `exec`: isolated, and not (issue 7).

Isolated, what it may gain is what references/security.md says that isolation leaves open, and nothing moves.
Without isolation it gains what the page lists, so each attempt is one that Landlock alone keeps from it.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostile_stage import CHAT, PARTS, Stage, play, stage
from namespaces import SUPPORT, environment, namespace
from spendguard_cli.exec import landlock
from spendguard_daemon.money import parse_usd
from until import until

PAGE = Path(__file__).parents[2] / "references" / "security.md"
LIMIT_CENTS = 2
SERVED = 40

pytestmark = pytest.mark.skipif(
    landlock.abi() < landlock.ABI_SCOPE, reason="isolation is whole only with Landlock 6 (Linux 6.12)"
)


def listed(heading: str) -> tuple[set[str], set[str]]:
    """Return the attempts below a heading of the page: sure ones, and those that some machines allow."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(r"^- `([^`]+)`(.*)$", section, re.MULTILINE)
    assert found, heading
    maybe = {name for name, rest in found if "(where the machine lets it)" in rest}
    return {name for name, _ in found} - maybe, maybe


def agrees(on: Stage, heading: str) -> None:
    """What succeeded is what the page says, no more and no less."""
    sure, maybe = listed(heading)
    gained = on.succeeded()
    assert gained - sure - maybe == set(), {name: on.told[name] for name in gained - sure - maybe}
    assert sure - gained == set(), {name: on.told[name] for name in sure - gained}


def everything_was_tried(on: Stage) -> None:
    """No attempt failed by a fault of its own."""
    assert [told for told in on.told.values() if told.result == "broken"] == []
    assert len(on.told) > 50, on.talk[-3000:]


def others_are_served(on: Stage) -> None:
    """While it does its worst, each call of another agent is answered, and so is the operator."""
    on.shell.ok("status")
    answers = [on.sidecar.chat(on.busy, CHAT).status_code for _ in range(SERVED)]
    assert answers == [200] * SERVED


@pytest.fixture(scope="module")
def isolated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The program has had its turn, isolated; the sidecar is still there."""
    with stage(tmp_path_factory.mktemp("isolated")) as on:
        pid = on.sidecar.process.pid if on.sidecar.process else 0
        quiet = (on.records_of(on.keyless, on.keyed), on.settings())
        code = play(on, ["--limit", str(LIMIT_CENTS), "--isolate"], meanwhile=lambda: others_are_served(on))
        assert code == 0, on.talk[-3000:]
        assert on.sidecar.control("GET", "/v1/status")["pid"] == pid, "the sidecar is the one of before"
        assert (on.records_of(on.keyless, on.keyed), on.settings()) == quiet
        yield on


def test_the_tests_that_the_page_names_are_there() -> None:
    named = set(re.findall(r"`((?:cli|e2e|sidecar)/test_\w+\.py)`", PAGE.read_text(encoding="utf-8")))
    assert len(named) > 15
    assert [name for name in named if not (SUPPORT.parent / name).exists()] == []


def test_isolated_it_gains_only_what_the_page_says(isolated: Stage) -> None:
    everything_was_tried(isolated)
    agrees(isolated, "What succeeds inside exec")


def test_isolated_it_spends_no_more_than_its_key(isolated: Stage) -> None:
    """It was served, so refusals were no want of trying; each call is on its key, none beyond the limit."""
    keys = isolated.sidecar.control("GET", f"/v1/agents/{isolated.agent}/keys")["keys"]
    own = [key for key in keys if key["kind"] == "exec"]
    assert [key["revoked"] for key in own] == [True]
    settled = parse_usd(own[0]["settled_usd"])
    assert 0 < settled <= LIMIT_CENTS * 10_000_000
    budget = isolated.sidecar.budget(isolated.agent)
    assert parse_usd(budget["remaining_usd"]) == 5000 * 10_000_000 - settled
    assert budget["hard_limit_cents"] == 5000
    agents = {agent["agent_id"] for agent in isolated.sidecar.control("GET", "/v1/agents")["agents"]}
    assert {isolated.agent, isolated.keyless, isolated.keyed, isolated.busy} < agents
    assert len(agents) == 5, "none was made beside"


def test_isolated_it_moves_nothing_of_others(isolated: Stage) -> None:
    sidecar = isolated.sidecar
    for agent in (isolated.keyless, isolated.keyed):
        assert sidecar.calls(agent) == []
        assert sidecar.budget(agent)["remaining_cents"] == 5000
    assert len(sidecar.control("GET", f"/v1/agents/{isolated.keyed}/keys")["keys"]) == 1
    billed = {received.body for received in isolated.upstream.received}
    assert len(isolated.upstream.received) >= len(billed) > 0
    own = [call for call in sidecar.calls(isolated.agent) if call["state"] == "settled"]
    served = len(sidecar.calls(isolated.busy)) + len(own)
    assert len(isolated.upstream.received) == served + 1, "nothing was forwarded beside (and one before)"


def test_isolated_it_sees_no_secret(isolated: Stage) -> None:
    """A thief shows what he has: whatever it read stands in its output."""
    assert [secret for secret in isolated.secrets if secret in isolated.talk] == []


def test_its_key_ends_with_exec(isolated: Stage) -> None:
    """A child that outlives `exec` calls on, and is refused."""
    outlived = isolated.scratch / "outlived"
    until(outlived.exists, 60)
    assert outlived.read_text() == "401"


def test_the_ledger_is_whole_afterwards(isolated: Stage) -> None:
    isolated.shell.ok("ledger", "verify")


def test_without_isolation_it_gains_what_the_page_lists(tmp_path: Path) -> None:
    """So the attempts are real ones: what was refused above succeeds here. The page tells it to operators."""
    with stage(tmp_path) as on:
        code = play(
            on, ["--limit", str(LIMIT_CENTS), "--no-isolate"], [part for part in PARTS if part != "slow"]
        )
        assert code == 0, on.talk[-3000:]
        everything_was_tried(on)
        agrees(on, "What succeeds without isolation")
        assert [secret for secret in on.secrets if secret in on.talk] != []


def test_a_full_disk_costs_nobody_money(tmp_path: Path) -> None:
    """Isolated, it can fill the disk: calls are refused while it is full, and nothing else comes of it."""
    inside = namespace()
    if inside is None:
        pytest.skip("no mount namespaces here")
    small, elsewhere = tmp_path / "small", tmp_path / "elsewhere"
    small.mkdir()
    elsewhere.mkdir()
    mount = f"mount -t tmpfs -o size=112m none '{small}'"
    program = f"exec '{sys.executable}' hostile_disk.py '{small}' '{elsewhere}'"
    done = subprocess.run(
        [*inside, "sh", "-c", f"{mount} && {program}"],
        cwd=SUPPORT,
        env=environment(),
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    assert done.stdout.decode().splitlines()[-1] == "the disk was full"
