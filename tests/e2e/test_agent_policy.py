"""`[policy]` in config and for one agent: who sets it, what it lets through, that it outlives a restart."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recorded import Act, RecordedUpstream, Reply, load
from sidecar import Sidecar

BASH = "anthropic.tool:bash_20250124"
REFUSED = Reply(400, {"content-type": "application/json"}, b'{"error":{"message":"no","type":"x"}}')
SEARCH = load("13-openai-responses-web-search")


@pytest.fixture
def upstream() -> Iterator[RecordedUpstream]:
    """A provider that refuses all: what counts is what reached it."""
    with RecordedUpstream() as made:
        made.director = lambda _: Act(reply=REFUSED)
        yield made


def search(sidecar: Sidecar, agent_id: str) -> Any:
    """Send a request with a hosted tool, return the answer."""
    return sidecar.send("/v1/responses", agent_id, SEARCH.request_body)


def test_what_an_agent_has_of_its_own_stands_before_the_config(
    tmp_path: Path, upstream: RecordedUpstream
) -> None:
    env = {"SPENDGUARD_POLICY_HOSTED_TOOLS": "refuse"}
    with Sidecar(tmp_path / "home", upstream.base_url, env=env) as sidecar:
        plain = sidecar.agent(cents=100_000)
        allowed = sidecar.agent(cents=100_000, policy={"hosted_tools": "allow", "hosted_tool_uses": 2})
        stripped = sidecar.agent(cents=100_000, policy={"hosted_tools": "strip"})
        assert search(sidecar, plain).json()["spendguard"]["setting"] == '[policy] hosted_tools = "allow"'
        assert upstream.received == []
        search(sidecar, allowed)
        assert json.loads(upstream.received[-1].body)["max_tool_calls"] == 2
        answer = search(sidecar, stripped)
        assert "tools" not in json.loads(upstream.received[-1].body)
        assert "web_search" in answer.headers["x-spendguard-stripped"]


def test_it_is_changed_shown_taken_back_and_kept(tmp_path: Path) -> None:
    with Sidecar(tmp_path / "home") as sidecar:
        agent_id = sidecar.agent()
        path = f"/v1/agents/{agent_id}"
        assert sidecar.control("GET", path)["policy"] == {}

        def change(**policy: object) -> dict[str, Any]:
            shown: dict[str, Any] = sidecar.control("PATCH", path, {"policy": policy})["policy"]
            return shown

        assert change(hosted_tools="allow", allow=[BASH, BASH]) == {"hosted_tools": "allow", "allow": [BASH]}
        assert change(exact_count="never") == {
            "hosted_tools": "allow",
            "exact_count": "never",
            "allow": [BASH],
        }
        assert change(hosted_tools=None) == {"exact_count": "never", "allow": [BASH]}
        sidecar.kill()
        sidecar.start()
        assert sidecar.control("GET", path)["policy"] == {"exact_count": "never", "allow": [BASH]}
        assert change(allow=[], exact_count=None) == {}
        assert change(allow=None) == {}
        sets = [record["policy"] for record in sidecar.journal() if record["t"] == "agent_set"]
        assert sets == [
            {"hosted_tools": "allow", "allow": [BASH]},
            {"hosted_tools": "allow", "exact_count": "never", "allow": [BASH]},
            {"exact_count": "never", "allow": [BASH]},
            {},
        ]


@pytest.mark.parametrize(
    "policy",
    [
        {"hosted_tools": "yes"},
        {"hosted_tool_uses": 0},
        {"hosted_tool_uses": 101},
        {"hosted_tool_uses": True},
        {"server_state": "strip"},
        {"exact_count": "always"},
        {"allow": "openai.chat.field:x"},
        {"allow": ["no feature"]},
        {"allow": ["a.b:" + "c" * 101]},
        {"allow": [f"a.b:c{i}" for i in range(65)]},
        [],
        "strip",
    ],
)
def test_what_is_no_policy_is_refused(tmp_path_factory: Any, shared: Sidecar, policy: object) -> None:
    agent_id = shared.agent()
    for method, path in (("POST", "/v1/agents"), ("PATCH", f"/v1/agents/{agent_id}")):
        answer = shared.http.request(method, path, json={"policy": policy}, headers=shared.admin)
        assert answer.status_code == 400
        assert answer.json()["spendguard"]["path"].startswith("policy")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    with Sidecar(tmp_path_factory.mktemp("policy") / "home") as made:
        yield made


def test_a_largest_policy_fits_a_record(shared: Sidecar) -> None:
    """64 features of full length are one line of the journal."""
    allow = [f"anthropic.messages.field:{i:02}{'x' * 98}" for i in range(64)]
    agent_id = shared.agent(policy={"allow": allow})
    assert shared.control("GET", f"/v1/agents/{agent_id}")["policy"]["allow"] == allow


def test_the_features_of_config_and_agent_add_up(tmp_path: Path, upstream: RecordedUpstream) -> None:
    """Each is named by its refusal, and passes once it is allowed."""
    body = {"model": "claude-sonnet-4-5", "max_tokens": 16, "messages": [{"role": "user", "content": "hi"}]}
    odd = {**body, "alpha": 1, "beta_two": 2}
    with Sidecar(tmp_path / "home", upstream.base_url) as sidecar:
        feature = sidecar.send("/v1/messages", sidecar.agent(), odd).json()["spendguard"]["feature"]
    env = {"SPENDGUARD_POLICY_ALLOW": feature}
    with Sidecar(tmp_path / "home", upstream.base_url, env=env) as sidecar:
        facts = sidecar.send("/v1/messages", sidecar.agent(), odd).json()["spendguard"]
        assert facts["feature"] != feature
        agent_id = sidecar.agent(policy={"allow": [facts["feature"]]})
        assert upstream.received == []
        sidecar.send("/v1/messages", agent_id, odd)
        assert json.loads(upstream.received[0].body)["alpha"] == 1


def test_a_refusal_by_the_agents_own_choice_names_the_command_that_changes_it(tmp_path: Path) -> None:
    """What stands in config.toml would not help it."""
    with Sidecar(tmp_path / "home") as sidecar:
        agent_id = sidecar.agent(cents=100_000, policy={"hosted_tools": "refuse"})
        told = search(sidecar, agent_id).json()
        command = f"spendguard agent set {agent_id} --hosted-tools allow"
        assert told["spendguard"]["setting"] == '[policy] hosted_tools = "allow"'
        assert told["spendguard"]["agent_setting"] == command
        assert told["detail"].endswith(f"this agent has hosted_tools of its own: {command}")
        sidecar.control("PATCH", f"/v1/agents/{agent_id}", {"policy": {"hosted_tools": None}})
        assert sidecar.control("GET", f"/v1/agents/{agent_id}")["policy"] == {}
