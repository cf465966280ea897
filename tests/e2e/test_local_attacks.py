"""What other programs and web pages on this machine try, over raw sockets against a running daemon.

Each threat of the design has its tests:

- DNS rebinding: here (forms of Host and of the target, also with the right token); `test_bad_input`
  (`test_wrong_host`, `test_two_hosts`, `test_request_lines`); `sidecar/test_access`.
- CSRF: here (marks of a browser on every route, forms, preflights, no CORS header anywhere, no change by
  GET); `test_bad_input` (`test_web_pages`, `test_wrong_content`).
- Other local users: `test_http_surface` (`test_no_control_without_the_token` walks every control route);
  modes of the home: `test_home_is_ours`.
- Port squatting: `cli/test_sidecar_life` (a stranger never gets the token), `test_http_surface`
  (`test_open_routes`: the proof).
- SSRF, key leaks, hop-by-hop headers, smuggling: `test_smuggling`; `test_no_way_around`; `test_bad_input`
  (paths); redirects: `test_smuggling`, `sidecar/test_upstream`.
- Bombs: `test_home_is_ours` (answers), `test_bad_input` (encoded requests), `test_hostile_traffic`.
- Slow clients, many clients, shares of agents: `test_slow_clients`, `test_fair_shares`.
- Keys at rest, errors: `test_secrets`; `sidecar/test_settings`.
- Terminal injection: `test_bad_input` (`test_hostile_names`, `test_a_hostile_actor`), `test_home_is_ours`.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from raw_http import Answer, send
from recorded import RecordedUpstream
from sidecar import Sidecar
from spendguard_daemon.gateway.routes import control_patterns

CHAT = "/v1/chat/completions"
HELLO = b'{"model":"gpt-4o-mini","max_tokens":10,"messages":[{"role":"user","content":"hi"}]}'
PATTERNS = [pattern.split(" ") for pattern in control_patterns()]


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    """The recorded provider, which gets nothing in this file."""
    with RecordedUpstream() as server:
        yield server
        assert server.received == []


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """One daemon."""
    with Sidecar(tmp_path_factory.mktemp("attacks") / "home", upstream.base_url) as running:
        yield running


@pytest.fixture
def agent(sidecar: Sidecar) -> Iterator[str]:
    """An agent with money; whatever a test does, nothing is written of it, and nothing is different."""
    agent_id = sidecar.agent()
    before, records = state_of(sidecar), len(sidecar.journal())
    yield agent_id
    assert state_of(sidecar) == before
    assert len(sidecar.journal()) == records


def state_of(sidecar: Sidecar) -> Any:
    """Return all that an operator could see change."""
    seen = [sidecar.control("GET", path) for path in ("/v1/agents", "/v1/daemon/budget", "/v1/providers")]
    return [*seen, sidecar.control("GET", "/v1/pricing")["document_sha256"]]


async def ask(sidecar: Sidecar, first: str, *lines: str, body: bytes = b"") -> Answer:
    """Send a request by its lines; return its answer, which grants nothing to any page."""
    head = [first, *lines, "connection: close", f"content-length: {len(body)}", "", ""]
    answer = await send(sidecar.port, "\r\n".join(head).encode("latin-1") + body)
    assert answer is not None
    assert not [name for name in answer.headers if name.startswith(("access-control-", "set-cookie"))]
    return answer


def filled(sidecar: Sidecar, agent: str) -> list[tuple[str, str]]:
    """Return every control route that answers at once, with ids that exist where they can."""
    return [
        (method, "/" + path.format(agent=agent, call="c", provider="openai", key="k"))
        for method, path in PATTERNS
        if (path != "v1/daemon/shutdown" or method == "POST") and path != "v1/events"  # which has no end
    ]


# -- DNS rebinding ------------------------------------------------------------------------------------------

REBOUND = {
    "name of a page": "host: evil.example:{port}",
    "userinfo": "host: 127.0.0.1:{port}@evil.example",
    "userinfo before": "host: evil.example@127.0.0.1:{port}",
    "fragment": "host: 127.0.0.1:{port}#.evil.example",
    "path": "host: 127.0.0.1:{port}/.evil.example",
    "one name in hex": "host: 0x7f000001:{port}",
    "one name as a number": "host: 2130706433:{port}",
    "one name in octal": "host: 0177.0.0.1:{port}",
    "short": "host: 127.1:{port}",
    "mapped": "host: [::ffff:127.0.0.1]:{port}",
    "long form": "host: [0:0:0:0:0:0:0:1]:{port}",
    "zone": "host: [::1%lo]:{port}",
    "any address": "host: 0.0.0.0:{port}",
    "trailing dot": "host: localhost.:{port}",
    "below localhost": "host: evil.localhost:{port}",
    "port with a zero": "host: 127.0.0.1:0{port}",
    "no port": "host: 127.0.0.1",
    "a list": "host: 127.0.0.1:{port}, evil.example",
    "empty": "host:",
    "two": "host: 127.0.0.1:{port}\r\nhost: evil.example",
    "forwarded": "host: evil.example\r\nx-forwarded-host: 127.0.0.1:{port}",
    "none": "x-nothing: 1",
}


@pytest.mark.parametrize("form", REBOUND)
async def test_a_rebound_name_is_not_served(sidecar: Sidecar, agent: str, form: str) -> None:
    """Neither for a call nor for control nor for what is open, not even with the right token."""
    host = REBOUND[form].format(port=sidecar.port)
    token = f"authorization: Bearer {sidecar.token}"
    for first, lines, body in (
        (f"POST {CHAT} HTTP/1.1", (f"x-cynsta-agent-id: {agent}", "content-type: application/json"), HELLO),
        ("GET /v1/agents HTTP/1.1", (token,), b""),
        (f"DELETE /v1/agents/{agent} HTTP/1.1", (token,), b""),
        ("GET /health HTTP/1.1", (), b""),
        ("GET / HTTP/1.1", (), b""),
    ):
        answer = await ask(sidecar, first, host, *lines, body=body)
        said = answer.json()["spendguard"]["code"]
        assert (answer.status, said) in ((421, "misdirected_host"), (400, "malformed_request"))


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:{port}/v1/agents",
        "http://evil.example/v1/agents",
        "https://127.0.0.1:{port}/v1/agents",
        "//127.0.0.1:{port}/v1/agents",
        "//evil.example/v1/agents",
        "127.0.0.1:{port}",
        "*",
        "/v1/agents#/health",
        "/health/../v1/agents",
        "/v1/agents%23",
        "/%2e/v1/agents",
        "\\v1\\agents",
        "?/v1/agents",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "CONNECT", "OPTIONS", "TRACE"])
async def test_only_a_plain_path_is_a_target(sidecar: Sidecar, agent: str, method: str, target: str) -> None:
    """Whole URLs, authorities, fragments and detours are no routes, with the right Host and token."""
    first = f"{method} {target.format(port=sidecar.port)} HTTP/1.1"
    host, token = f"host: 127.0.0.1:{sidecar.port}", f"authorization: Bearer {sidecar.token}"
    answer = await ask(sidecar, first, host, token)
    assert answer.status in (400, 404, 405, 421)


@pytest.mark.parametrize(
    "first",
    [
        "GET /v1/agents HTTP/1.0",
        "GET /health HTTP/1.0",
        "GET /health",
        "PRI * HTTP/2.0",
        "GET /health HTTP/3",
    ],
)
async def test_other_versions_without_a_host_are_not_served(sidecar: Sidecar, agent: str, first: str) -> None:
    """HTTP/1.0 and 0.9 need no Host, which is what a rebound name lacks."""
    answer = await ask(sidecar, first, f"authorization: Bearer {sidecar.token}")
    assert answer.status in (400, 421)


# -- web pages ----------------------------------------------------------------------------------------------

MARKS = [
    "origin: http://127.0.0.1:{port}",
    "origin: http://localhost:3000",
    "origin: null",
    "origin: file://",
    "origin: chrome-extension://abcdef",
    "sec-fetch-site: cross-site",
    "sec-fetch-site: same-origin",
    "sec-fetch-site: none\r\nsec-fetch-site: cross-site",
]


@pytest.mark.parametrize("mark", MARKS)
async def test_no_page_calls_any_route(sidecar: Sidecar, agent: str, mark: str) -> None:
    """Every control route and a call, on every method, though the page had stolen the token."""
    lines = (
        f"host: 127.0.0.1:{sidecar.port}",
        f"authorization: Bearer {sidecar.token}",
        f"x-cynsta-agent-id: {agent}",
        "content-type: application/json",
        mark.format(port=sidecar.port),
    )
    for method, path in [*filled(sidecar, agent), ("POST", CHAT), ("GET", "/v1/models"), ("GET", "/")]:
        answer = await ask(sidecar, f"{method} {path} HTTP/1.1", *lines, body=HELLO)
        assert (answer.status, answer.json()["spendguard"]["code"]) == (403, "forbidden_origin"), path


@pytest.mark.parametrize(
    "content", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None]
)
async def test_a_form_of_a_browser_without_marks_changes_nothing(
    sidecar: Sidecar, agent: str, content: str | None
) -> None:
    """Old browsers send no Origin with a form; it has no token, and no type of ours."""
    host = f"host: 127.0.0.1:{sidecar.port}"
    typed = (f"content-type: {content}",) if content else ()
    cookie = f"cookie: token={sidecar.token}"
    body = b'{"hard_limit_cents": 900000, "x": "="}'
    answer = await ask(sidecar, f"POST /v1/agents/{agent}/budget HTTP/1.1", host, cookie, *typed, body=body)
    assert answer.status == 401
    token = f"authorization: Bearer {sidecar.token}"
    answer = await ask(sidecar, f"POST /v1/agents/{agent}/budget HTTP/1.1", host, token, *typed, body=body)
    assert answer.status == 415
    answer = await ask(
        sidecar, f"POST {CHAT} HTTP/1.1", host, f"x-cynsta-agent-id: {agent}", *typed, body=HELLO
    )
    assert answer.status == 415


async def test_a_preflight_gets_no_permission(sidecar: Sidecar, agent: str) -> None:
    """With or without an Origin: no header that a browser would take for a yes."""
    host = f"host: 127.0.0.1:{sidecar.port}"
    wish = ("access-control-request-method: POST", "access-control-request-headers: x-cynsta-agent-id")
    network = "access-control-request-private-network: true"
    for origin in ((), ("origin: https://evil.example",)):
        for path in (CHAT, "/v1/agents", "/health"):
            answer = await ask(sidecar, f"OPTIONS {path} HTTP/1.1", host, *wish, network, *origin)
            assert answer.status == (403 if origin else 405)


# -- methods ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "PATCH"])
async def test_what_does_not_change_does_not_change(sidecar: Sidecar, agent: str, method: str) -> None:
    """No path changes anything by a method that is not its own; the fixture compares all there is to see."""
    lines = (
        f"host: 127.0.0.1:{sidecar.port}",
        f"authorization: Bearer {sidecar.token}",
        f"x-cynsta-agent-id: {agent}",
        "content-type: application/json",
        "x-http-method-override: DELETE",
        "x-method-override: POST",
    )
    own = {(found, path) for found, path in filled(sidecar, agent)}
    for path in sorted({path for _, path in own} | {CHAT, "/v1/responses", "/v1/messages"}):
        if method == "PATCH" and (method, path) in own:
            continue
        body = b"" if method in ("GET", "HEAD") else json.dumps({"name": "x", "hard_limit_cents": 1}).encode()
        first = f"{method} {path}?_method=DELETE HTTP/1.1" if method == "PUT" else f"{method} {path} HTTP/1.1"
        answer = await ask(sidecar, first, *lines, body=body)
        assert answer.status in ((200, 404, 405) if (method, path) in own else (400, 404, 405)), path
