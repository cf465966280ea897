"""Agents whose names are shell code: every command that is printed takes each as one word, up and down."""

import json
import re
import shlex
from collections.abc import Iterator

import pytest

from patients import code_of
from quick_typist import QuickTypist
from shell import Quick, Ran, finish
from spendguard_cli import supervisor
from spendguard_daemon.runtime import Home

NAMES = (
    "$(touch pwned)",
    "`id`",
    "; touch pwned",
    "it's",
    'say "no"',
    "--all",
    "-x",
    "a b",
    "~",
    "!!",
    "*",
    "#c",
    "${HOME}",
    "a|b",
    "a&b",
    "x>y",
    "\\",
)
_QUOTED = re.compile(r"'[^']*'|\"'\"")
_PLAIN = re.compile(r"[A-Za-z0-9 _./:,@%+=-]*")
_PLACE = re.compile(r"(?<= )<[a-z ]+>")
_COMMAND = re.compile(
    r"spendguard (?:agent|budget|explain|run|ledger|doctor|config|pricing|provider) [^;\n]*"
)


def is_inert(line: str) -> bool:
    """Tell whether a shell takes a line for words alone: outside of quotes it has nothing to expand."""
    shlex.split(line)
    return _PLAIN.fullmatch(_QUOTED.sub("", line)) is not None


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quick]:
    made = Quick(tmp_path_factory.mktemp("named") / "home")
    assert finish(made.start("up")).code == 0
    yield made
    made.end()


@pytest.fixture(scope="module")
def named(served: Quick) -> dict[str, str]:
    """Ids by name of agents that were each refused for want of money."""
    running, ids = supervisor.find(Home(served.home)), {}
    assert running is not None
    with running.control() as control:
        for name in NAMES:
            ids[name] = control.create_agent({"name": name, "mock": True}).agent_id
            control.grant(ids[name], 1, None)
    for agent_id in ids.values():
        refused = served.call(agent_id, n=8, max_tokens=16_384)
        assert code_of(refused) == (402, "insufficient_budget")
    return ids


def commands(ran: Ran) -> list[str]:
    """Return the commands of ours among the remedies, each a line that somebody may type."""
    lines = [line for one in json.loads(ran.out)["findings"] for line in one["remedy"]]
    return [line for line in lines if line.startswith("spendguard ")]


def told(ran: Ran) -> list[str]:
    """Return whatever else in an answer looks like a command with an agent's name in it."""
    said = json.loads(ran.out)
    words = [one for found in said["findings"] for one in (*found["evidence"], found["deed"])]
    return [line for text in words for line in _COMMAND.findall(text)]


def test_the_doctor_and_explain_name_agents_as_words(served: Quick, named: dict[str, str]) -> None:
    """Remedies, evidence and deeds, of all together and of each alone, with the body of the answer too."""
    for ran in (served.run("doctor", "--json"), served.run("doctor", "402", "--json")):
        assert any("budget" in line for line in commands(ran))
        assert [line for line in commands(ran) if not is_inert(line)] == []
        assert all(is_inert(_PLACE.sub("X", line)) for line in told(ran))
    for name, agent_id in named.items():
        lines = commands(served.run("doctor", "402", "--agent", agent_id, "--json"))
        assert any("budget set" in line for line in lines) and all(map(is_inert, lines)), name
        steps = json.loads(served.run("explain", "last", "--agent", agent_id, "--json").out)["steps"]
        ways = [line for step in steps for line in step.get("commands") or []]
        assert any("budget set" in line for line in ways) and all(map(is_inert, ways)), name
        tries = [
            line[5:] for line in served.ok("agent", "get", agent_id).err.splitlines() if line[:5] == "try: "
        ]
        assert tries and all(map(is_inert, tries)), name


def test_so_does_it_while_the_sidecar_is_down(served: Quick, named: dict[str, str]) -> None:
    """From the ledger's files; and the printed line, typed once the sidecar is up, gives that agent money."""
    served.ok("down")
    lines = {}
    for name, agent_id in named.items():
        found = commands(served.run("doctor", "402", "--agent", agent_id, "--json"))
        assert all(map(is_inert, found)), name
        lines[name] = next(line for line in found if "budget set" in line)
    assert finish(served.start("up")).code == 0
    typed = lines["a b"]
    assert shlex.split(typed)[4] == "a b"
    assert QuickTypist(served).type(typed).code == 0
