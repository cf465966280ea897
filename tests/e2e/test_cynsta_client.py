"""The public `cynsta-spendguard` 0.2.0, command line and client, unmodified: all that it can do (design 6).

Only its own settings are ours: CAP_BASE_URL, and the admin token as CAP_API_KEY. It is installed apart, since
its console script has our name (`tests/peers.txt`). What it sends and expects was read in its source:
`spendguard_sdk/client.py` and `cynsta_spendguard_cli/main.py` of the wheel.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from peers import peer
from recorded import RecordedUpstream
from scripted import ScriptedProvider, Turn
from sidecar import Sidecar

INPUT_TOKENS, OUTPUT_TOKENS = 10, 100
MESSAGES = [{"role": "user", "content": "hello"}]
CHAT: dict[str, Any] = {"model": "gpt-4o-mini", "messages": MESSAGES, "max_tokens": 200}
RESPONSE: dict[str, Any] = {"input": "hello", "max_output_tokens": 200}
COST_USD = "0.0000615"
"""gpt-4o-mini as published: 10 tokens at 0.15 USD per million, 100 at 0.60."""

GROK_COST_USD = "0.0002625"
"""grok-4.3 as published: the same at 1.25 and 2.50 USD per million."""

SHOWN = {"agent_id", "hard_limit_cents", "remaining_cents", "locked_cents", "locked_run_id"}
SHOWN |= {"locked_expires_at"}
"""What its command line prints of a budget."""


@pytest.fixture(scope="module")
def installed() -> Path:
    """Where the public package lies."""
    return peer("cynsta-spendguard", "0.2.0")


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """One daemon, whose provider says the same thing to everyone."""
    with RecordedUpstream() as upstream:
        upstream.director = ScriptedProvider(
            lambda _path, _body: Turn("hello", fresh=INPUT_TOKENS, output=OUTPUT_TOKENS)
        )
        with Sidecar(tmp_path_factory.mktemp("public") / "home", upstream.base_url) as running:
            yield running


# -- the command line ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CommandLine:
    """Its console script, in an environment that has its settings and nothing else of ours."""

    installed: Path
    base: str
    token: str

    def run(self, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        own = {"PATH": os.environ["PATH"], "PYTHONPATH": str(self.installed), "NO_PROXY": "*"}
        own |= {"CAP_BASE_URL": self.base, "CAP_API_KEY": self.token}
        program = [sys.executable, str(self.installed / "bin" / "spendguard")]
        return subprocess.run(
            [*program, *arguments], env=own | env, capture_output=True, text=True, timeout=60
        )

    def ok(self, *arguments: str) -> str:
        """Run a command that must succeed; return what it prints."""
        done = self.run(*arguments)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """Run a command that must succeed, for its JSON."""
        return json.loads(self.ok(*arguments, "--json"))


@pytest.fixture
def public(installed: Path, sidecar: Sidecar) -> CommandLine:
    """The public command line, pointed at our sidecar."""
    return CommandLine(installed, sidecar.base, sidecar.token)


def test_the_life_of_an_agent_by_its_commands(public: CommandLine) -> None:
    """Create, list, get, rename, delete; in lines and in JSON."""
    name, _, agent_id = public.ok("agent", "create", "--name", "agent 1").strip().partition("=")
    assert name == "agent_id"
    other = public.json("agent", "create")["agent_id"]
    listed = public.ok("agent", "list").splitlines()
    assert any(line.startswith(f"agent_id={agent_id} name=agent 1 created_at=20") for line in listed)
    assert {agent_id, other} <= {row["agent_id"] for row in public.json("agent", "list")["agents"]}
    public.ok("agent", "rename", "--agent", agent_id, "--name", "renamed")
    assert public.json("agent", "rename", "--agent", other, "--name", "other")["name"] == "other"
    assert public.ok("agent", "get", "--agent", agent_id).startswith(f"agent_id={agent_id} name=renamed ")
    assert public.json("agent", "get", "--agent", agent_id)["name"] == "renamed"
    assert public.ok("agent", "delete", "--agent", agent_id) == f"deleted agent_id={agent_id}\n"
    assert public.json("agent", "delete", "--agent", other) == {"agent_id": other, "deleted": True}
    gone = public.run("agent", "get", "--agent", agent_id)
    assert (gone.returncode, gone.stdout) == (1, "")
    assert gone.stderr.startswith("HTTP 404: Agent not found")


def test_a_sidecar_without_agents_says_so(installed: Path, tmp_path: Path) -> None:
    """An empty list is a list."""
    with Sidecar(tmp_path / "home") as fresh:
        assert CommandLine(installed, fresh.base, fresh.token).ok("agent", "list") == "(no agents)\n"


def test_a_budget_by_its_commands(public: CommandLine) -> None:
    """Set without and with a top-up, set again, get; all that it prints is there."""
    agent_id = public.json("agent", "create", "--name", "spender")["agent_id"]
    missing = public.run("budget", "get", "--agent", agent_id)
    assert (missing.returncode, missing.stderr) == (1, "HTTP 404: Budget not found\n")

    first = public.ok("budget", "set", "--agent", agent_id, "--limit", "5000", "--topup", "2000")
    lines = dict(line.split("=", 1) for line in first.splitlines())
    assert lines == {
        "agent_id": agent_id,
        "hard_limit_cents": "5000",
        "remaining_cents": "2000",
        "locked_cents": "0",
        "locked_run_id": "None",
        "locked_expires_at": "None",
    }
    raised = public.json("budget", "set", "--agent", agent_id, "--limit", "6000", "--topup", "1000")
    assert (raised["hard_limit_cents"], raised["remaining_cents"]) == (6000, 3000)
    lowered = public.json("budget", "set", "--agent", agent_id, "--limit", "2500")
    assert (lowered["hard_limit_cents"], lowered["remaining_cents"]) == (2500, 2500)
    assert public.json("budget", "get", "--agent", agent_id).keys() >= SHOWN
    assert "remaining_cents=2500\n" in public.ok("budget", "get", "--agent", agent_id)


def test_the_readme_of_the_public_package_gives_the_limit(public: CommandLine) -> None:
    """`--limit 5000 --topup 5000`, as its README says it: 50 USD to spend."""
    agent_id = public.json("agent", "create")["agent_id"]
    said = public.ok("budget", "set", "--agent", agent_id, "--limit", "5000", "--topup", "5000")
    assert "remaining_cents=5000\n" in said


def test_a_key_that_is_not_the_admin_token_is_refused(public: CommandLine, sidecar: Sidecar) -> None:
    """By `--api-key` too, and without any; hosted mode asks for one by itself."""
    for arguments, env in (
        (("agent", "list", "--api-key", "sk-wrong"), {}),
        (("agent", "list"), {"CAP_API_KEY": ""}),
    ):
        done = public.run(*arguments, **env)
        assert done.returncode == 1
        assert done.stderr.startswith("HTTP 401: Unauthorized")
    hosted = public.run("agent", "list", CAP_MODE="hosted", CAP_API_KEY="")
    assert (hosted.returncode, hosted.stderr[:21]) == (1, "Hosted mode requires ")
    right = public.run(
        "agent", "list", "--api-key", sidecar.token, "--base-url", sidecar.base, CAP_API_KEY=""
    )
    assert right.returncode == 0


# -- the client ---------------------------------------------------------------------------------------------


@pytest.fixture
def client(installed: Path, sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Its client, made as its README makes it."""
    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.setenv("NO_PROXY", "*")
    return importlib.import_module("spendguard_sdk").SpendGuardClient(sidecar.base, api_key=sidecar.token)


def test_the_life_of_an_agent_by_its_client(client: Any) -> None:
    """Each method but the model calls."""
    agent_id = client.create_agent("agent-1")["agent_id"]
    unnamed = client.create_agent()["agent_id"]
    assert {agent_id, unnamed} <= {agent["agent_id"] for agent in client.list_agents()["agents"]}
    assert client.get_agent(agent_id)["name"] == "agent-1"
    assert client.rename_agent(agent_id, "renamed")["name"] == "renamed"
    budget = client.set_budget(agent_id, hard_limit_cents=5000, topup_cents=4000)
    assert budget["remaining_cents"] == 4000
    assert client.set_budget(agent_id, hard_limit_cents=3000)["remaining_cents"] == 3000
    assert client.get_budget(agent_id).keys() >= SHOWN
    run = client.create_run(agent_id)
    assert run["run_id"] != client.create_run(agent_id)["run_id"]
    assert client.delete_agent(agent_id) == {"agent_id": agent_id, "deleted": True}
    with pytest.raises(HTTPError) as refused:
        client.get_agent(agent_id)
    assert (refused.value.code, json.load(refused.value)["detail"]) == (404, "Agent not found")


Call = Callable[[Any, str, str], dict[str, Any]]

CALLS: dict[str, tuple[Call, str]] = {
    "openai chat": (lambda client, *ids: client.openai_chat_completions(*ids, CHAT), COST_USD),
    "openai responses": (
        lambda client, *ids: client.openai_responses(*ids, {**RESPONSE, "model": "gpt-4o-mini"}),
        COST_USD,
    ),
    "grok chat": (
        lambda client, *ids: client.grok_chat_completions(*ids, {**CHAT, "model": "grok-4.3"}),
        GROK_COST_USD,
    ),
    "grok responses": (
        lambda client, *ids: client.grok_responses(*ids, {**RESPONSE, "model": "grok-4.3"}),
        GROK_COST_USD,
    ),
}
"""Its model calls, and what each costs at the published prices."""


@pytest.mark.parametrize(("call", "cost_usd"), CALLS.values(), ids=CALLS)
def test_a_model_call_is_charged_to_its_run(client: Any, sidecar: Sidecar, call: Call, cost_usd: str) -> None:
    """The run that it made is the call's; the answer is the provider's; the ledger has what it cost."""
    agent_id = client.create_agent("caller")["agent_id"]
    client.set_budget(agent_id, hard_limit_cents=5000, topup_cents=5000)
    run_id = client.create_run(agent_id)["run_id"]
    answer = call(client, agent_id, run_id)
    assert "hello" in json.dumps(answer)
    (made,) = sidecar.calls(agent_id)
    assert (made["state"], made["run_id"], made["cost_usd"]) == ("settled", run_id, cost_usd)
    assert made["usage"]["input_tokens"] == INPUT_TOKENS
    assert client.get_budget(agent_id)["remaining_cents"] == 4999


def test_a_call_that_does_not_fit_is_refused_once(client: Any, sidecar: Sidecar) -> None:
    """Its client raises urllib's error, whose body has the sum; it sends nothing again."""
    agent_id = client.create_agent("poor")["agent_id"]
    client.set_budget(agent_id, hard_limit_cents=0)
    run_id = client.create_run(agent_id)["run_id"]
    for call, _ in CALLS.values():
        with pytest.raises(HTTPError) as refused:
            call(client, agent_id, run_id)
        assert refused.value.code == 402
        assert json.load(refused.value)["detail"].startswith("Insufficient budget: ")
    assert sum(call["count"] for call in sidecar.calls(agent_id)) == len(CALLS)
