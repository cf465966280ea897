"""The doctor on what runs in this shell: sent past the sidecar, to no agent, through a proxy, or nameless."""

import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest

from models_page import RIGHT_KEY, ModelsPage
from shell import Shell
from spendguard_cli.context import Flags
from spendguard_cli.doctor.findings import Level
from spendguard_cli.doctor.groups import clients
from spendguard_cli.doctor.groups.client_urls import CLIENTS, target_of, url_of, wrong_tail
from spendguard_cli.doctor.world import World
from spendguard_cli.session import Session
from spendguard_daemon import wire
from typist import Typist

Found = dict[str, Any]


class Desk:
    """A sidecar with one agent, and an operator whose shell is changed."""

    def __init__(self, shell: Shell, typist: Typist, agent_id: str):
        self.shell, self.typist, self.agent_id = shell, typist, agent_id
        self._env = dict(typist.env)

    @property
    def base_url(self) -> str:
        """Where the sidecar is."""
        return f"http://127.0.0.1:{self.shell.daemon()['port']}"

    def first(self, **env: str) -> Found:
        """Return what the doctor names first with this in the shell's environment, and nothing of before."""
        self.typist.env = self._env | env
        return self.typist.look("--agent", self.agent_id)[0]

    def mended(self, first: Found) -> None:
        """Type the remedy; then the doctor has something else to say, or nothing."""
        self.typist.mends(first)
        after = self.typist.look("--agent", self.agent_id)
        assert first["finding"] not in {one["finding"] for one in after}, after
        assert {one["level"] for one in after if one["group"] == "clients"} == {"ok"}, after


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("clients")
    page = ModelsPage()
    shell = Shell(folder / "home", SPENDGUARD_OPENAI_BASE_URL=page.base_url)
    shell.ok("up", OPENAI_API_KEY=RIGHT_KEY)
    yield Desk(shell, Typist(shell, folder / "at"), shell.agent("worker", cents=1000, mock=False))
    shell.end()
    page.end()


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def test_a_healthy_shell(desk: Desk) -> None:
    assert desk.first()["level"] == "note"


def test_an_sdk_that_is_pointed_straight_at_the_provider(desk: Desk) -> None:
    first = desk.first(OPENAI_API_KEY=RIGHT_KEY)
    assert (first["check"], first["level"]) == ("clients.base_urls", "warning")
    assert "pay openai directly, outside every budget" in first["finding"]
    assert any("spendguard exec --agent worker -- <command>" in said for said in first["evidence"])
    desk.mended(first)
    url = desk.typist.env["OPENAI_BASE_URL"]
    assert url == f"{desk.base_url}/v1/agents/{desk.agent_id}/runs/default/openai/v1"
    assert httpx.get(f"{url}/models", trust_env=False).status_code == 200


def test_a_base_url_of_the_provider_is_no_way_through_a_budget(desk: Desk) -> None:
    first = desk.first(OPENAI_API_KEY=RIGHT_KEY, OPENAI_BASE_URL="https://api.openai.com/v1")
    assert "does not lead to the sidecar" in str(first["evidence"])
    desk.mended(first)


def test_a_base_url_that_names_a_deleted_agent(desk: Desk) -> None:
    gone = desk.shell.quick.agent("gone")
    desk.shell.quick.ok("agent", "delete", gone)
    first = desk.first(OPENAI_BASE_URL=f"{desk.base_url}/v1/agents/{gone}/runs/default/openai/v1")
    assert (first["check"], first["level"], first["code"]) == ("clients.base_urls", "red", "agent_not_found")
    assert gone in str(first["evidence"])
    desk.mended(first)


def test_a_base_url_with_a_wrong_port(desk: Desk) -> None:
    first = desk.first(OPENAI_BASE_URL=f"http://127.0.0.1:{closed_port()}/v1")
    assert (first["check"], first["level"]) == ("clients.base_urls", "red")
    assert "where no sidecar of yours is" in first["finding"]
    desk.mended(first)


def test_a_base_url_whose_version_is_not_there_once(desk: Desk) -> None:
    first = desk.first(OPENAI_BASE_URL=desk.base_url)
    assert "OPENAI_BASE_URL leads to the sidecar, but lacks /v1" in first["finding"]
    desk.mended(first)
    first = desk.first(ANTHROPIC_BASE_URL=f"{desk.base_url}/v1")
    assert "ANTHROPIC_BASE_URL leads to the sidecar, but has /v1 once too often" in first["finding"]
    desk.mended(first)


def test_a_proxy_in_the_way(desk: Desk) -> None:
    first = desk.first(HTTP_PROXY="http://127.0.0.1:9", NO_PROXY="intra.example")
    assert (first["check"], first["level"]) == ("clients.proxies", "warning")
    assert first["remedy"] == ["export NO_PROXY=intra.example,127.0.0.1,localhost,::1"]
    desk.mended(first)


def test_a_subscription_that_is_logged_in(desk: Desk) -> None:
    first = desk.first(CLAUDE_CODE_OAUTH_TOKEN="sk-ant-oat01-secret", ANTHROPIC_AUTH_TOKEN="sk-ant-oat02-x")
    assert (first["check"], first["level"]) == ("clients.plans", "warning")
    assert "sk-ant" not in str(first)
    desk.mended(first)


BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


def ask(url: str, program: str) -> Any:
    """Call as this program; return the code of its refusal."""
    named = {"user-agent": f"{program} (python)"}
    answer = httpx.post(f"{url}/chat/completions", json=BODY, headers=named, trust_env=False)
    return answer.json().get("spendguard", {}).get("code")


def test_a_framework_that_drops_the_header(desk: Desk) -> None:
    """It is told by name; from a shell with the base URL of the remedy it comes through."""
    assert ask(f"{desk.base_url}/v1", "my-framework/1.0") == "missing_agent"
    first = desk.first()
    assert (first["check"], first["level"]) == ("clients.strangers", "warning"), "once may be a slip"
    assert ask(f"{desk.base_url}/v1", "my-framework/1.0") == "missing_agent"
    first = desk.first()
    assert (first["check"], first["level"], first["code"]) == ("clients.strangers", "red", "missing_agent")
    assert "my-framework/1.0 calls the sidecar, but does not say which agent pays" in first["finding"]
    desk.typist.mends(first)
    other_id = desk.shell.quick.agent("other", cents=1000, mock=False)  # the page refuses what it pays for
    url = desk.typist.env["OPENAI_BASE_URL"].replace(desk.agent_id, other_id)
    assert ask(url, "another/2.0") != "missing_agent"
    (still,) = desk.typist.look("--check", "clients.strangers")
    assert still["level"] == "red", "what came through is another program"
    assert ask(url, "my-framework/1.0") != "missing_agent"
    desk.shell.quick.ok("agent", "delete", other_id)
    assert desk.typist.look("--agent", desk.agent_id)[0]["level"] == "note"


def test_nobody_is_chosen_to_pay_where_several_could(desk: Desk) -> None:
    """A frozen agent and a mock one could not; of two that could, the operator names one."""
    quick = desk.shell.quick
    for name, mock in (("frozen", False), ("mocked", True)):
        quick.agent(name, mock=mock)
    quick.ok("agent", "freeze", "frozen", "--reason", "leaked")
    checks = ("--check", "clients.base_urls")
    desk.first(OPENAI_API_KEY=RIGHT_KEY)
    (alone,) = desk.typist.look(*checks)
    assert desk.agent_id in alone["remedy"][0]
    second = quick.agent("second", mock=False)
    (chosen,) = desk.typist.look(*checks)
    assert chosen["remedy"] == []
    assert "spendguard doctor --check clients --agent <agent>" in chosen["deed"]
    assert not {"worker", "second", desk.agent_id} & set(str(chosen).replace("/", " ").split())
    (named,) = desk.typist.look(*checks, "--agent", "second")
    assert second in named["remedy"][0]
    quick.ok("agent", "delete", "second")


def test_a_control_api_that_is_open(desk: Desk) -> None:
    desk.typist.env = desk.typist.env | {"CAP_SIDECAR_OPEN": "1", "OPENAI_API_KEY": ""}
    assert desk.typist.type("spendguard restart").code == 0
    first = desk.first(CAP_SIDECAR_OPEN="1")
    assert (first["check"], first["level"]) == ("clients.control", "red")
    assert "Anyone on this machine can raise budgets" in first["finding"]
    desk.mended(first)


# -- what needs no sidecar -----------------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.provider)
def test_the_url_of_a_remedy_is_right(client: Any) -> None:
    target = target_of(url_of("http://127.0.0.1:8787", client, "an-id"))
    assert target is not None
    assert (target.agent_id, wrong_tail(client, target)) == ("an-id", "")


@pytest.mark.parametrize(
    ("provider", "path", "said"),
    [
        ("openai", "/v1", ""),
        ("openai", "/v1/", ""),
        ("openai", "/openai/v1", ""),
        ("openai", "/gemini/v1beta/openai", ""),
        ("openai", "/v1/agents/a/runs/r/openai", ""),
        ("openai", "/v1/agents/a/runs/r/v1", ""),
        ("openai", "/v1/v1", "has /v1 once too often"),
        ("openai", "/v1/agents/a/runs/r/openai/v1/v1", "has /v1 once too often"),
        ("openai", "/openai", "lacks /v1"),
        ("openai", "/v2", "has a path that the sidecar does not serve"),
        ("anthropic", "", ""),
        ("anthropic", "/v1/agents/a/runs/r", ""),
        ("anthropic", "/anthropic/v1", "has /v1 once too often, which the SDK adds by itself"),
        ("gemini", "/gemini/v1beta", "has /v1beta once too often, which the SDK adds by itself"),
        ("grok", "/grok/v1", ""),
    ],
)
def test_what_is_wrong_with_a_path(provider: str, path: str, said: str) -> None:
    client = next(one for one in CLIENTS if one.provider == provider)
    target = target_of(f"http://127.0.0.1:8787{path}")
    assert target is not None
    assert wrong_tail(client, target) == said


@pytest.mark.parametrize("url", ["", "api.openai.com/v1", "http://[::1", "http://h:99999/", "\x1b[31m"])
def test_what_is_no_url_leads_nowhere(url: str) -> None:
    assert target_of(url) is None


@pytest.mark.parametrize(
    ("code", "level", "said"),
    [
        ("unauthorized", Level.NOTE, "asked the control API, without the admin token"),
        ("key_unknown", Level.RED, "this agent key is not known"),
        ("agent_not_found", Level.RED, "names an agent that is none"),
        ("subscription_token", Level.RED, "Subscription tokens cannot be used"),
        ("misdirected_host", Level.WARNING, "Host not served here"),
        ("forbidden_origin", Level.WARNING, "Requests from web pages are refused"),
        ("a_code_of_later", Level.WARNING, "Internal error"),
    ],
)
def test_other_strangers_are_told_with_their_cause(desk: Desk, code: str, level: Level, said: str) -> None:
    now = datetime.now(UTC)
    stranger = wire.Stranger(
        code=code,
        detail="refused",
        program="tool/1",
        provider="openai",
        endpoint="chat/completions",
        count=3,
        first_at=now.isoformat(),
        last_at=now.isoformat(),
    )
    world = World(Session(Flags(), os.environ | desk.shell.env))
    assert world.status is not None
    world.__dict__["status"] = msgspec.structs.replace(world.status, strangers=[stranger])
    (found,) = clients.strangers(world)
    assert (found.level, found.code) == (level, code)
    assert "tool/1" in found.finding
    assert said in found.finding
    assert found.deed
    assert "3 times" in found.evidence[0]
    assert ("spendguard exec" in str(found.evidence)) is (code != "unauthorized")
    long_ago = msgspec.structs.replace(stranger, last_at="2026-01-01T00:00:00Z")
    world.__dict__["status"] = msgspec.structs.replace(world.status, strangers=[long_ago])
    assert [one.level for one in clients.strangers(world)] == [Level.OK]
    world.session.close()
