"""Who has an agent key comes in by every door, a web page among them, and reads of itself alone."""

import json
from collections.abc import Iterator

import pytest

from raw_http import Answer, Place, send
from recorded import Act, RecordedUpstream, load
from sidecar import Sidecar

CHAT = "/v1/chat/completions"
PAGE = "https://app.example.com"
BODY = {"model": "gpt-4o-mini", "max_tokens": 10, "messages": [{"role": "user", "content": "hello"}]}
DOORS = ("loopback", "agents", "listen", "unix")


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    """The recorded provider."""
    with RecordedUpstream() as server:
        yield server


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """A daemon with every door open, and a page that may call."""
    env = {
        "SPENDGUARD_ACCESS_LISTEN": "127.0.0.1:0",
        "SPENDGUARD_ACCESS_BARE_HEADER": "refuse",
        "SPENDGUARD_ACCESS_ORIGINS": PAGE,
    }
    with Sidecar(tmp_path_factory.mktemp("keyed") / "home", upstream.base_url, env=env) as running:
        yield running


def key_of(sidecar: Sidecar, agent: str) -> str:
    """Make an agent key; return it."""
    return str(sidecar.control("POST", f"/v1/agents/{agent}/keys", {})["key"])


async def ask(
    sidecar: Sidecar, door: str, method: str, path: str, *lines: str, body: object = None
) -> Answer:
    """Send one request to a door."""
    told = sidecar.control("GET", "/v1/status")
    at = {"loopback": told["addresses"][0], "agents": told["agents_url"], "listen": told["listening"][0]}
    place: Place = str(told["socket"]) if door == "unix" else int(at[door].rpartition(":")[2])
    host = "localhost" if door == "unix" else f"127.0.0.1:{place}"
    head = [f"{method} {path} HTTP/1.1", f"host: {host}", "connection: close", *lines]
    raw = "" if body is None else json.dumps(body)
    head += ["content-type: application/json", f"content-length: {len(raw)}"] if raw else []
    answer = await send(place, "\r\n".join([*head, "", raw]).encode())
    assert answer is not None
    return answer


@pytest.mark.parametrize("door", DOORS)
async def test_a_key_calls_at_every_door(sidecar: Sidecar, door: str) -> None:
    agent = sidecar.agent()
    line = f"authorization: Bearer {key_of(sidecar, agent)}"
    assert (await ask(sidecar, door, "GET", "/v1/models", line)).status == 200
    answer = await ask(sidecar, door, "POST", CHAT, line, body=BODY)
    assert answer.status == 200
    assert not any(name.startswith("access-control-") for name in answer.headers)
    assert [call["agent_id"] for call in sidecar.calls(agent)] == [agent]


@pytest.mark.parametrize("door", ["agents", "listen"])
async def test_own_reads_are_of_oneself(sidecar: Sidecar, door: str) -> None:
    agent, other = sidecar.agent(), sidecar.agent()
    line = f"x-api-key: {key_of(sidecar, agent)}"
    for path in ("", "/budget", "/calls", "/runs"):
        assert (await ask(sidecar, door, "GET", f"/v1/agents/{agent}{path}", line)).status == 200, path
        assert (await ask(sidecar, door, "GET", f"/v1/agents/{other}{path}", line)).status in (401, 403), path
        bare = f"x-cynsta-agent-id: {agent}"
        assert (await ask(sidecar, door, "GET", f"/v1/agents/{agent}{path}", bare)).status == 401, path
        token = f"x-api-key: {sidecar.token}"
        assert (await ask(sidecar, door, "GET", f"/v1/agents/{agent}{path}", token)).status == 401, path


@pytest.mark.parametrize("door", ["loopback", "agents", "listen"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_page_with_a_key_may_read_the_answer(
    sidecar: Sidecar, upstream: RecordedUpstream, door: str, stream: bool
) -> None:
    agent = sidecar.agent()
    lines = (
        f"origin: {PAGE}",
        "sec-fetch-site: cross-site",
        f"authorization: Bearer {key_of(sidecar, agent)}",
    )
    body: dict[str, object] = dict(BODY)
    if stream:
        upstream.script(Act(reply=load("09-openai-chat-stream-tools-usage").reply))
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    answer = await ask(sidecar, door, "POST", CHAT, *lines, body=body)
    assert (answer.status, answer.whole) == (200, True)
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in answer.headers
    assert answer.headers["content-type"].startswith("text/event-stream" if stream else "application/json")
