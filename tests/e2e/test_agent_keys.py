"""Agent keys at work: limits under load, ends in the middle of a call, routes, plans, no secret anywhere."""

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from raw_http import Answer, request, send
from recorded import Act, RecordedUpstream, Reply
from sidecar import Sidecar
from spendguard_daemon.agent_keys import Caveats, mint, new_key
from spendguard_daemon.system import SystemClock
from till import INPUT_NUSD, MODEL, OUTPUT_NUSD, nusd
from until import until

CHAT = {"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
NS = 10**9


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    def bill(_model: str, prompt: int, completion: int) -> int:
        return prompt * INPUT_NUSD + completion * OUTPUT_NUSD

    with RecordedUpstream(usage=lambda body: (5, body["max_tokens"]), bill=bill) as made:
        yield made


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    settings = {"SPENDGUARD_POLICY_EXACT_COUNT": "never", "SPENDGUARD_POLICY_HELD_WAIT_SECONDS": "1"}
    with Sidecar(tmp_path_factory.mktemp("keys") / "home", upstream.base_url, env=settings) as made:
        yield made


@pytest.fixture(autouse=True)
def fresh(upstream: RecordedUpstream) -> Iterator[None]:
    """Nothing has arrived yet, and nothing waits at the end."""
    upstream.received.clear()
    upstream.arrived = upstream.billed_nusd = 0
    upstream.director = lambda _: None
    yield
    upstream.release()


def key_of(sidecar: Sidecar, agent_id: str, **body: object) -> dict[str, Any]:
    """Make a key."""
    made: dict[str, Any] = sidecar.control("POST", f"/v1/agents/{agent_id}/keys", body)
    return made


def keys_of(sidecar: Sidecar, agent_id: str) -> dict[str, dict[str, Any]]:
    """Return an agent's keys by id."""
    told = sidecar.control("GET", f"/v1/agents/{agent_id}/keys")["keys"]
    return {key["key_id"]: key for key in told}


def child_of(parent: str, **narrower: Any) -> str:
    """Mint a key for an hour."""
    seconds = SystemClock().wall_ns() // NS + 3600
    return mint(parent, Caveats(expires_ns=seconds * NS, **narrower), os.urandom(32))


def ask(sidecar: Sidecar, key: str, body: object = CHAT, **headers: str) -> httpx.Response:
    """Call with a key, as OpenAI's SDKs send it."""
    sent = {"authorization": f"Bearer {key}", "content-type": "application/json", **headers}
    return sidecar.http.post("/v1/chat/completions", content=json.dumps(body).encode(), headers=sent)


def code_of(answer: httpx.Response) -> tuple[int, str]:
    """Return status and code of a refusal."""
    return answer.status_code, answer.json()["spendguard"]["code"]


# -- money ----------------------------------------------------------------------------------------------


async def test_children_of_children_never_pass_a_limit_above_them(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    """A tree of ten keys that all spend at once: whatever is asked for, each ancestor's limit holds."""
    agent_id = sidecar.agent(cents=500, concurrency="shared")
    root = key_of(sidecar, agent_id, limit_cents=1)
    limits_nusd, leaves = {root["key_id"]: 10_000_000}, [root["key"]]
    for one in range(3):
        child = child_of(root["key"], limit_nusd=4_000_000, label=f"child {one}")
        leaves.append(child)
        leaves += [child_of(child, limit_nusd=3_000_000) for _ in range(2)]
    bodies = [json.dumps(CHAT | {"max_tokens": 200 + 50 * number}).encode() for number in range(12)]

    async def call(number: int) -> Answer | None:
        headers = {"authorization": f"Bearer {leaves[number % len(leaves)]}"}
        raw = request(sidecar.port, "/v1/chat/completions", headers, bodies[number % len(bodies)])
        return await send(sidecar.port, raw)

    answers = await asyncio.gather(*(call(number) for number in range(240)))
    told = [answer for answer in answers if answer is not None]
    assert len(told) == 240
    assert {answer.status for answer in told} == {200, 402}
    codes = {answer.json()["spendguard"]["code"] for answer in told if answer.status == 402}
    assert codes <= {"key_limit", "budget_held"}
    keys = keys_of(sidecar, agent_id)
    assert len(keys) == 10
    for key in keys.values():
        limit_nusd = limits_nusd.get(key["key_id"]) or nusd(key["limit_usd"])
        assert nusd(key["settled_usd"]) <= limit_nusd
        assert nusd(key["held_usd"]) == 0
        below = [one for one in keys.values() if one["parent_id"] == key["key_id"]]
        assert sum(nusd(one["settled_usd"]) for one in below) <= nusd(key["settled_usd"])
    spent_nusd = nusd(keys[root["key_id"]]["settled_usd"])
    assert spent_nusd == upstream.billed_nusd == nusd(sidecar.budget(agent_id)["settled_usd"])
    assert spent_nusd > 8_000_000, "most of the cent was spent"


@pytest.mark.parametrize("end", ["revoke", "rotate", "revoke the parent"])
def test_a_key_that_ends_during_a_call(sidecar: Sidecar, upstream: RecordedUpstream, end: str) -> None:
    """The call goes on and is charged to it; the next one is refused, and nothing is forwarded."""
    agent_id = sidecar.agent(concurrency="shared")
    root = key_of(sidecar, agent_id)
    key = child_of(root["key"]) if end == "revoke the parent" else root["key"]
    upstream.hold_open()
    answers: list[httpx.Response] = []
    with httpx.Client(base_url=sidecar.base, timeout=60, trust_env=False, verify=False) as client:
        thread = threading.Thread(
            target=lambda: answers.append(
                client.post("/v1/chat/completions", json=CHAT, headers={"x-api-key": key})
            )
        )
        thread.start()
        upstream.wait_arrived(1)
        path = f"/v1/agents/{agent_id}/keys/{root['key_id']}"
        if end == "rotate":
            sidecar.control("POST", f"{path}/rotate", {})
        else:
            assert sidecar.control("DELETE", path)["revoked"] is True
        assert code_of(ask(sidecar, key)) == (401, "key_unknown")
        upstream.release()
        thread.join()
    assert answers[0].status_code == 200
    assert upstream.arrived == 1
    spent = {nusd(told["settled_usd"]) for told in keys_of(sidecar, agent_id).values()}
    assert spent == {nusd(sidecar.budget(agent_id)["settled_usd"])}
    assert spent != {0}


def test_models_by_key(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """A list holds for all below it; what is refused says what may be called."""
    agent_id = sidecar.agent()
    key = key_of(sidecar, agent_id, models=["openai/gpt-4o*", "claude-*"])
    child = child_of(key["key"], models=("gpt-4.1",))
    assert ask(sidecar, key["key"]).status_code == 200
    refused = ask(sidecar, child)
    assert code_of(refused) == (403, "key_scope")
    assert refused.json()["spendguard"]["allowed"] == ["gpt-4.1"]
    assert code_of(ask(sidecar, child, CHAT | {"model": "gpt-4.1"})) == (403, "key_scope")
    assert upstream.arrived == 1
    for sent, wanted in ((key["key"], {"gpt-4o", "gpt-4o-mini"}), (child, set())):
        told = sidecar.http.get("/v1/models", headers={"authorization": f"Bearer {sent}"}).json()["data"]
        names = {model["id"] for model in told}
        assert wanted <= names
        assert all(name.startswith("gpt-4o") for name in names)


def test_keys_survive_a_restart(tmp_path: Path, upstream: RecordedUpstream) -> None:
    """Also one that was minted and used before, with what it has spent."""
    with Sidecar(tmp_path / "home", upstream.base_url) as sidecar:
        agent_id = sidecar.agent()
        root = key_of(sidecar, agent_id, label="kept")
        child = child_of(root["key"], limit_nusd=10_000_000)
        assert ask(sidecar, child).status_code == 200
        before = keys_of(sidecar, agent_id)
        until(lambda: any(record["t"] == "settle" for record in sidecar.journal()))
        sidecar.kill()
        sidecar.start()
        assert keys_of(sidecar, agent_id) == before
        assert ask(sidecar, child).status_code == 200
        assert code_of(ask(sidecar, new_key(root["key_id"], b"\1" * 32)[0])) == (401, "key_unknown")
        assert code_of(sidecar.chat(agent_id, CHAT)) == (401, "key_required")


def test_revoking_the_only_key_does_not_open_the_agent(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """Over a crash, too; an operator may let the bare id in again, and no agent's key can."""
    agent_id = sidecar.agent()
    assert sidecar.chat(agent_id, CHAT).status_code == 200
    key = key_of(sidecar, agent_id)
    patch = {"url": f"/v1/agents/{agent_id}", "json": {"needs_key": False}}
    refusal = sidecar.http.patch(**patch, headers={"authorization": f"Bearer {key['key']}"})
    assert refusal.status_code == 401
    sidecar.control("DELETE", f"/v1/agents/{agent_id}/keys/{key['key_id']}")
    for _ in range(2):
        arrived = upstream.arrived
        assert code_of(ask(sidecar, key["key"])) == (401, "key_unknown")
        assert code_of(sidecar.chat(agent_id, CHAT)) == (401, "key_required")
        own = sidecar.http.get(f"/v1/agents/{agent_id}", headers={"x-cynsta-agent-id": agent_id})
        assert code_of(own) == (401, "key_required")
        assert upstream.arrived == arrived
        sidecar.kill()
        sidecar.start()
    assert sidecar.control("PATCH", patch["url"], patch["json"])["needs_key"] is False
    assert sidecar.chat(agent_id, CHAT).status_code == 200
    sidecar.control("PATCH", patch["url"], {"needs_key": True})
    assert code_of(sidecar.chat(agent_id, CHAT)) == (401, "key_required")


# -- routes ---------------------------------------------------------------------------------------------


def test_what_an_agent_may_read_of_itself(sidecar: Sidecar) -> None:
    """By its key, in every place of a key; nothing of others, and nothing that moves money."""
    agent_id, other = sidecar.agent(), sidecar.agent()
    key = key_of(sidecar, agent_id)
    call_id = ask(sidecar, key["key"]).headers["x-spendguard-call-id"]
    foreign = sidecar.chat(other, CHAT).headers["x-spendguard-call-id"]
    own = f"/v1/agents/{agent_id}"
    for slot in ("authorization", "x-api-key", "x-goog-api-key"):
        headers = {slot: f"Bearer {key['key']}" if slot == "authorization" else key["key"]}
        for tail in ("", "/budget", "/runs", "/calls", "/keys", f"/keys/{key['key_id']}"):
            assert sidecar.http.get(own + tail, headers=headers).status_code == 200, tail
            assert code_of(sidecar.http.get(f"/v1/agents/{other}{tail}", headers=headers))[0] == 403
        assert sidecar.http.get(f"/v1/calls/{call_id}", headers=headers).json()["agent_id"] == agent_id
        assert code_of(sidecar.http.get(f"/v1/calls/{foreign}", headers=headers)) == (404, "call_not_found")
        for method, path in (
            ("GET", "/v1/agents"),
            ("GET", "/v1/status"),
            ("PATCH", own),
            ("DELETE", own),
            ("POST", f"{own}/budget"),
            ("GET", f"{own}/budget/history"),
            ("POST", f"{own}/budget/topup"),
            ("POST", f"{own}/keys"),
            ("DELETE", f"{own}/keys/{key['key_id']}"),
            ("POST", f"{own}/keys/{key['key_id']}/rotate"),
            ("POST", f"/v1/calls/{call_id}/adjust"),
            ("POST", "/v1/daemon/budget/topup"),
        ):
            answer = sidecar.http.request(method, path, headers=headers, json=None if method == "GET" else {})
            assert code_of(answer) == (401, "unauthorized"), (method, path)
    named = {"x-cynsta-agent-id": other}
    assert sidecar.http.get(f"/v1/agents/{other}/budget", headers=named).status_code == 200
    assert sidecar.http.get(f"/v1/calls/{foreign}", headers=named).status_code == 200
    assert code_of(sidecar.http.get(f"{own}/budget", headers={"x-cynsta-agent-id": agent_id}))[0] == 401
    assert code_of(sidecar.http.get(f"/v1/agents/{other}/budget"))[0] == 401


def test_the_key_routes(sidecar: Sidecar) -> None:
    """Made, shown, rotated, revoked; sent again under its Idempotency-Key the secret is not shown twice."""
    agent_id, other = sidecar.agent(), sidecar.agent()
    body = {"label": "l", "limit_cents": 5, "expires_in_seconds": 60, "models": ["a"], "run_id": "r"}
    made = key_of(sidecar, agent_id, kind="exec", **body)
    path = f"/v1/agents/{agent_id}/keys/{made['key_id']}"
    shown = sidecar.control("GET", path)
    assert shown == {name: value for name, value in made.items() if name != "key"}
    assert (shown["kind"], shown["run_id"], shown["limit_usd"]) == ("exec", "r", "0.05")
    assert sidecar.control("POST", f"{path}/rotate", {})["key"] != made["key"]
    assert sidecar.control("DELETE", path)["revoked"]
    assert sidecar.control("DELETE", path)["revoked"], "again"
    strange = f"/v1/agents/{other}/keys/{made['key_id']}"
    for method, where in (
        ("GET", strange),
        ("DELETE", strange),
        ("POST", f"{strange}/rotate"),
        ("POST", f"{path}/rotate"),
    ):
        answer = sidecar.http.request(method, where, headers=sidecar.admin, json={})
        assert code_of(answer) == (404, "key_not_found"), (method, where)
    twice = sidecar.admin | {"idempotency-key": "once"}
    keys = f"/v1/agents/{agent_id}/keys"
    first = sidecar.http.post(keys, json={}, headers=twice).json()
    again = sidecar.http.post(keys, json={}, headers=twice)
    assert code_of(again) == (409, "idempotency_done")
    assert again.json()["spendguard"]["key_id"] == first["key_id"]
    assert first["key"].rpartition(".")[2] not in again.text


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"limit_cents": -1}, "limit_cents"),
        ({"limit_cents": 10**15}, "limit_cents"),
        ({"limit_cents": "5"}, "limit_cents"),
        ({"expires_in_seconds": 0}, "expires_in_seconds"),
        ({"expires_in_seconds": 10**12}, "expires_in_seconds"),
        ({"models": []}, "models"),
        ({"models": ["a b"]}, "models"),
        ({"models": "a"}, "models"),
        ({"label": "é"}, "label"),
        ({"label": "x" * 101}, "label"),
        ({"kind": "child"}, "kind"),
        ({"run_id": "a b"}, "run_id"),
    ],
)
def test_keys_that_cannot_be(sidecar: Sidecar, body: dict[str, object], field: str) -> None:
    """Named by the field."""
    path = f"/v1/agents/{sidecar.agent(cents=None)}/keys"
    answer = sidecar.http.post(path, json=body, headers=sidecar.admin)
    assert code_of(answer) == (400, "malformed_request")
    assert answer.json()["spendguard"]["path"] == field
    assert sidecar.control("GET", path) == {"keys": []}


def test_a_minted_key_cannot_be_rotated(sidecar: Sidecar) -> None:
    agent_id = sidecar.agent()
    assert ask(sidecar, child_of(key_of(sidecar, agent_id)["key"])).status_code == 200
    (child,) = (key for key in keys_of(sidecar, agent_id).values() if key["kind"] == "child")
    path = f"/v1/agents/{agent_id}/keys/{child['key_id']}"
    answer = sidecar.http.post(f"{path}/rotate", json={}, headers=sidecar.admin)
    assert code_of(answer) == (400, "malformed_request")
    assert sidecar.control("DELETE", path)["revoked"]


def test_the_admin_token_acts_for_whom_is_named(sidecar: Sidecar) -> None:
    """Also for an agent that needs its key; with a key beside it, the key counts."""
    agent_id = sidecar.agent()
    key = key_of(sidecar, agent_id)
    assert sidecar.chat(agent_id, CHAT, **sidecar.admin).status_code == 200
    assert nusd(keys_of(sidecar, agent_id)[key["key_id"]]["settled_usd"]) == 0
    assert sidecar.chat(agent_id, CHAT, **sidecar.admin, **{"x-api-key": key["key"]}).status_code == 200
    assert nusd(keys_of(sidecar, agent_id)[key["key_id"]]["settled_usd"]) > 0
    assert code_of(ask(sidecar, sidecar.token)) == (400, "missing_agent")


# -- plans and secrets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_named", [True, False])
@pytest.mark.parametrize(
    ("path", "headers", "plan"),
    [
        ("/v1/messages?beta=true", {"authorization": "Bearer sk-ant-oat01-xyz"}, "Claude"),
        (
            "/v1/responses",
            {"authorization": "Bearer eyJhbGciOiJSUzI1NiJ9.eyJhIjoxfQ.c2ln", "chatgpt-account-id": "1"},
            "ChatGPT",
        ),
    ],
)
def test_plans_are_refused_by_name(
    sidecar: Sidecar,
    upstream: RecordedUpstream,
    path: str,
    headers: dict[str, str],
    plan: str,
    is_named: bool,
) -> None:
    """As Claude Code and Codex send their logins, with the agent named and without."""
    sent = headers | ({"x-cynsta-agent-id": sidecar.agent()} if is_named else {})
    answer = sidecar.http.post(path, json=CHAT, headers=sent)
    assert code_of(answer) == (400, "subscription_token")
    told = answer.json()
    assert plan in told["detail"]
    assert told["spendguard"]["plan"] == plan
    assert headers["authorization"][7:] not in answer.text
    assert upstream.arrived == 0


def test_no_secret_of_a_key_is_written_or_told(tmp_path: Path, upstream: RecordedUpstream) -> None:
    """Not in the journal, a log or an error, however a call with it ends."""
    with Sidecar(tmp_path / "home", upstream.base_url) as sidecar:
        agent_id = sidecar.agent(cents=100)
        root = key_of(sidecar, agent_id)
        child = child_of(root["key"], label="child")
        acts = (Act(reset=True), Act(reply=Reply(500, {}, b"no")), Act(cut_after=10), Act())
        bodies: list[object] = [CHAT] * 4
        bodies += [CHAT | {"model": "none"}, CHAT | {"max_tokens": 10**7}, {}]
        upstream.script(*acts)
        said = [ask(sidecar, child, body) for body in bodies]
        said += [
            ask(sidecar, key) for key in (child[:-1], child + "x", root["key"] + ".", f"{child}, {child}")
        ]
        said += [
            ask(sidecar, child, **{"x-api-key": root["key"]}),
            ask(sidecar, child, **{"x-cynsta-agent-id": "x"}),
        ]
        said.append(sidecar.http.get(f"/v1/agents/{agent_id}/keys", headers=sidecar.admin))
        secrets = [part for key in (child, root["key"]) for part in key.split(".")[1:]]
        until(lambda: sidecar.control("GET", "/v1/status")["calls_in_flight"] == 0)
        assert sidecar.process is not None
        sidecar.process.terminate()
        assert sidecar.process.stderr is not None
        written = [sidecar.process.stderr.read()]
        written += [path.read_bytes() for path in sidecar.home.root.rglob("*") if path.is_file()]
    written += [answer.content + str(answer.headers).encode() for answer in said]
    assert len(said) > 10
    for secret in secrets:
        assert not [raw for raw in written if secret.encode() in raw]
    for received in upstream.received:
        assert "sg_agent_" not in repr((received.headers, received.body, received.query))
