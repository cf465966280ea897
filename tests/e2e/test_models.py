"""`/v1/models`: what can be called, from the price document, in the asker's shape; nothing is forwarded."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from recorded import RecordedUpstream
from sidecar import Sidecar

VERSION = {"anthropic-version": "2023-06-01"}


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """A daemon with keys of both providers; its upstream must never hear of a list."""
    home = tmp_path_factory.mktemp("models") / "home"
    with RecordedUpstream() as upstream, Sidecar(home, upstream.base_url) as made:
        yield made
        assert upstream.received == []


def ids(sidecar: Sidecar, path: str, **headers: str) -> list[str]:
    answer = sidecar.http.get(path, headers=headers)
    assert answer.status_code == 200, answer.text
    return [model["id"] for model in answer.json()["data"]]


def test_the_list_is_in_the_askers_shape(sidecar: Sidecar) -> None:
    plain: Any = sidecar.http.get("/v1/models").json()
    assert plain["object"] == "list"
    assert {model["object"] for model in plain["data"]} == {"model"}
    assert {"openai", "grok"} <= {model["owned_by"] for model in plain["data"]}
    listed = {model["id"] for model in plain["data"]}
    assert {"gpt-4o-mini", "gpt-4o-mini-2024-07-18", "text-embedding-3-small"} <= listed
    claude: Any = sidecar.http.get("/v1/models", headers=VERSION).json()
    assert {model["type"] for model in claude["data"]} == {"model"}
    assert "claude-sonnet-4-5-20250929" in {model["id"] for model in claude["data"]}
    assert not any("/" in model["id"] or "gpt" in model["id"] for model in claude["data"])
    assert (claude["has_more"], claude["first_id"]) == (False, claude["data"][0]["id"])


def test_each_root_has_its_own(sidecar: Sidecar) -> None:
    agent_id, mock_id = sidecar.agent(), sidecar.agent(mock=True)
    of_openai, of_grok = ids(sidecar, "/openai/v1/models"), ids(sidecar, "/grok/v1/models")
    bare, of_claude = ids(sidecar, "/v1/models"), ids(sidecar, "/v1/models", **VERSION)
    run = f"/v1/agents/{agent_id}/runs/r"
    assert set(of_openai) | set(of_grok) <= set(bare)
    assert "grok-4.3-latest" in of_grok
    assert not set(of_openai) & set(of_grok)
    assert ids(sidecar, f"{run}/v1/models") == bare
    for path in (f"{run}/openai/v1/models", f"{run}/openai/models"):
        assert ids(sidecar, path) == of_openai, path
    for path in ("/anthropic/v1/models", f"{run}/anthropic/v1/models", f"{run}/anthropic/models"):
        assert ids(sidecar, path) == of_claude, path
    mock = ["mock-small", "mock-large"]
    assert ids(sidecar, "/v1/models", **{"x-cynsta-agent-id": mock_id}) == mock
    assert ids(sidecar, f"/v1/agents/{mock_id}/runs/r/openai/v1/models") == mock
    assert ids(sidecar, "/mock/v1/models") == mock
    assert not set(mock) & set(of_openai)


def test_one_model(sidecar: Sidecar) -> None:
    found = sidecar.http.get("/v1/models/gpt-4o-mini").json()
    assert (found["id"], found["object"]) == ("gpt-4o-mini", "model")
    claude = sidecar.http.get("/anthropic/v1/models/claude-sonnet-4-5").json()
    assert (claude["id"], claude["type"]) == ("claude-sonnet-4-5", "model")
    missing = sidecar.http.get("/v1/models/claude-sonnet-4-5")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "route_not_found")
    missing = sidecar.http.get("/v1/models/gpt-99", headers=VERSION)
    assert (missing.status_code, missing.json()["type"]) == (404, "error")


def test_strangers_are_refused(sidecar: Sidecar) -> None:
    """Who names an agent must be one; who names none sees no more than the price document."""
    answer = sidecar.http.get("/v1/models", headers={"x-cynsta-agent-id": "nobody"})
    assert (answer.status_code, answer.json()["spendguard"]["code"]) == (404, "agent_not_found")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/models", 405),
        ("DELETE", "/v1/models/gpt-4o-mini", 405),
        ("HEAD", "/v1/models", 405),
        ("GET", "/v1/models?x=1", 400),
        ("GET", "/v1/models/gpt-4o-mini?limit=1", 400),
        ("GET", "/v1/models?limit=0", 400),
        ("GET", "/v1/models/a/b", 404),
        ("GET", "/openai/models", 404),
        ("GET", "/v1/models/gpt%2d4o", 404),
    ],
)
def test_nothing_else_is_a_list(sidecar: Sidecar, method: str, path: str, status: int) -> None:
    assert sidecar.http.request(method, path, headers=VERSION).status_code == status


def test_pages_turn_as_anthropics_sdk_turns_them(sidecar: Sidecar) -> None:
    whole = ids(sidecar, "/v1/models", **VERSION)
    client = anthropic.Anthropic(base_url=sidecar.base, api_key="not-used")
    assert [model.id for model in client.models.list(limit=4)] == whole
    back = sidecar.http.get(f"/v1/models?before_id={whole[5]}&limit=2", headers=VERSION).json()
    assert [model["id"] for model in back["data"]] == whole[3:5]
    assert back["has_more"] is True
    assert client.models.retrieve(whole[0]).id == whole[0]


def test_openais_sdk_lists_them(sidecar: Sidecar) -> None:
    client = openai.OpenAI(base_url=f"{sidecar.base}/v1", api_key="not-used")
    assert [model.id for model in client.models.list()] == ids(sidecar, "/v1/models")
    assert client.models.retrieve("gpt-4o-mini").owned_by == "openai"


def test_a_provider_without_a_key_is_not_listed(tmp_path: Path) -> None:
    with Sidecar(tmp_path / "home", env={"ANTHROPIC_API_KEY": ""}) as sidecar:
        assert ids(sidecar, "/v1/models", **VERSION) == []
        assert "gpt-4o-mini" in ids(sidecar, "/v1/models")
