"""`explain` of calls to each provider, beside a running sidecar: its sums are those by the documentation."""

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from proxied import records_of
from published import bill, nusd, own_bill_nusd
from recorded import Act, RecordedUpstream, Recording, load_all
from shell import Quick
from sidecar import Sidecar
from till import nusd as nusd_of

HELLO = [{"role": "user", "content": "hi"}]
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "openai": ("/v1/chat/completions", {"model": "gpt-4o", "messages": HELLO, "max_tokens": 9_000, "n": 2}),
    "grok": (
        "/v1/chat/completions",
        {"model": "grok-4.20-non-reasoning", "messages": HELLO, "max_tokens": 90_000},
    ),
    "anthropic": ("/v1/messages", {"model": "claude-sonnet-4", "messages": HELLO, "max_tokens": 9_000}),
    "gemini": (
        "/v1beta/models/gemini-2.5-flash:generateContent",
        {"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": {"maxOutputTokens": 60_000}},
    ),
}
"""Each costs more than ten cents at worst."""

SERVED = ("/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/messages")


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    with RecordedUpstream() as made:
        yield made


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    with Sidecar(tmp_path_factory.mktemp("explained") / "home", upstream.base_url) as made:
        yield made


def quick(sidecar: Sidecar, **env: str) -> Quick:
    return Quick(sidecar.home.root, **env)


def story(shell: Quick, call: str) -> dict[str, Any]:
    found: dict[str, Any] = shell.ok("explain", call, "--json").json
    return found | {step["step"]: step for step in found["steps"]}


def put_through(sidecar: Sidecar, upstream: RecordedUpstream, agent: str, one: Recording) -> httpx.Response:
    upstream.director = lambda _: Act(reply=one.reply)
    headers = {**one.headers, "x-cynsta-agent-id": agent, "content-type": "application/json"}
    return sidecar.http.post(one.target, content=one.request_body, headers=headers)


def test_every_recorded_call_is_explained_with_its_published_price(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    """Four providers, streams, caches, tools, embeddings: both sums of each are the ledger's own."""
    agent = sidecar.agent(cents=100_000, policy={"hosted_tools": "allow"})
    shell, seen, held = quick(sidecar), Counter[str](), Counter[str]()
    for one in load_all():
        if one.path not in SERVED and "/models/" not in one.path:
            continue
        answer = put_through(sidecar, upstream, agent, one)
        if answer.headers.get("x-spendguard-source") != "provider" or one.reply.status in (401, 403):
            continue
        call = answer.headers["x-spendguard-call-id"]
        records_of(sidecar, call)
        found = story(shell, call)
        assert (found["damage"], found["sources"]) == ([], ["sidecar", "journal"])
        assert not [step for step in found["steps"] if step["wrong"]], one.name
        assert ": )" not in found["bound"]["said"], found["bound"]
        held[found["held"]["sum"]["result"]] += 1
        if found["state"] != "settled":
            continue
        own = own_bill_nusd(one)
        price = nusd(bill(one)) if own is None else -(-own // 1)
        made = found["settled"]["sum"]
        assert (nusd_of(made["usd"]), made["result"]) == (price, "equal"), (one.name, made)
        seen[one.provider] += 1
    assert all(seen[provider] >= 3 for provider in ("openai", "anthropic", "gemini", "grok")), seen
    assert held["equal"] >= 20, held
    assert held["different"] == 0, held


def test_what_the_sidecar_knows_is_told_before_and_after_it_is_gone(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    """In flight with its client, then charged at worst; the way out is a command; `last` finds it."""
    name = "worst of all"
    agent = sidecar.agent(name=name)
    upstream.director = lambda _: Act(reset=True)
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 10}
    answer = sidecar.chat(agent, body)
    call = answer.headers["x-spendguard-call-id"]
    records_of(sidecar, call)
    found = story(quick(sidecar), call)
    assert found["settled_worst"]["commands"] == [
        f"spendguard budget adjust --call {call} --to <USD> --reason 'the bill'"
    ]
    typed = found["settled_worst"]["commands"][0].replace("<USD>", "0.000002").split(" ", 1)[1]
    quick(sidecar).ok(*typed.replace("'", "").replace("the bill", "bill").split())
    again = quick(sidecar).ok("explain", "last", "--agent", name, "--json").json
    assert (again["call_id"], again["cost_usd"], again["agent_name"]) == (call, "0.000002", name)
    assert again["steps"][-1]["said"].endswith("to $0.000002: bill.")


def test_a_refusal_is_told_before_its_record_is_written(sidecar: Sidecar) -> None:
    """From the sidecar's memory, with nothing charged; a beginning of its id is enough."""
    agent = sidecar.agent(cents=None)
    answer = sidecar.chat(agent, {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]})
    call = answer.headers["x-spendguard-call-id"]
    found = story(quick(sidecar), call[:13])
    assert (found["call_id"], found["code"]) == (call, "budget_not_set")
    assert found["charged"]["said"] == "Nothing left this machine, and nothing was charged."
    way = next(step["commands"] for step in found["steps"] if step["step"] == "ways_out" and step["commands"])
    assert any(agent in line or "agent-" in line for line in way), way
    for line in way:
        quick(sidecar).ok(*shlex.split(line)[1:])
    assert sidecar.budget(agent)["remaining_cents"] > 0


@pytest.mark.parametrize("provider", REQUESTS)
def test_the_sum_of_a_refusal_is_added_again(sidecar: Sidecar, provider: str) -> None:
    """Input, output and fees of each provider's format give the worst case, rounded up once."""
    path, body = REQUESTS[provider]
    agent = sidecar.agent(cents=10, overflow="refuse")
    answer = sidecar.send(path, agent, body)
    assert answer.status_code == 402, answer.text
    found = story(quick(sidecar), answer.headers["x-spendguard-call-id"])
    facts = answer.json()["spendguard"]
    told = found["worst_case"]
    assert (found["wrong"], found["code"]) == (False, "insufficient_budget")
    assert told["said"] == f"It could have cost ${facts['worst_case_usd']} at worst."
    assert f"= ${facts['worst_case_usd']}, rounded up once" in " ".join(told["more"])
    assert f"max_tokens of at most {facts['affordable_max_tokens']}" in found["fits"]["more"][0]
    assert [step for step in found["steps"] if step["step"] == "ways_out"]


def test_inside_exec_only_what_the_key_may_see_is_told(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """Its own call without any command that an operator types; another agent's call is not found."""
    agent, other = sidecar.agent(), sidecar.agent()
    upstream.director = lambda _: Act(reset=True)
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 10}
    own, foreign = (sidecar.chat(one, body).headers["x-spendguard-call-id"] for one in (agent, other))
    records_of(sidecar, own)
    key = sidecar.control("POST", f"/v1/agents/{agent}/keys", {"kind": "exec"})["key"]
    inside = quick(
        sidecar,
        SPENDGUARD_EXEC="1",
        SPENDGUARD_AGENT_KEY=key,
        SPENDGUARD_AGENT_ID=agent,
        CAP_BASE_URL=sidecar.base,
    )
    found = story(inside, own)
    assert (found["sources"], found["state"]) == (["sidecar"], "settled_worst")
    assert not any(step["commands"] for step in found["steps"])
    assert inside.ok("explain", "last", "--json").json["call_id"] == own
    ran = inside.run("explain", foreign)
    assert ran.code == 4, ran
    assert foreign in ran.err
    assert "budget adjust" not in ran.out + ran.err


def test_a_dead_sidecars_calls_are_told_from_its_journal(tmp_path: Path, upstream: RecordedUpstream) -> None:
    """Killed with a call in flight: it is open, and what the next start will do is said."""
    upstream.director = lambda _: Act(hang=True)
    with Sidecar(tmp_path / "home", upstream.base_url) as sidecar:
        agent = sidecar.agent()
        arrived = upstream.arrived
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 10}
        with pytest.raises(httpx.TimeoutException):
            sidecar.http.post(
                "/v1/chat/completions", json=body, headers={"x-cynsta-agent-id": agent}, timeout=0.5
            )
        upstream.wait_arrived(arrived + 1)
        shell = quick(sidecar)
        found = shell.ok("explain", "last", "--agent", agent, "--json").json
        flight = next(step for step in found["steps"] if step["step"] == "in_flight")
        assert re.search(r"Held for \d+ s; it is cut at \S+Z at the latest\.", flight["more"][0])
        assert flight["commands"] == [f"spendguard run abort --call {found['call_id']}"]
        sidecar.kill()
        dead = story(shell, found["call_id"])
        assert (dead["state"], dead["sources"]) == ("held", ["journal"])
        assert "no sidecar is running" in dead["in_flight"]["said"]
        sidecar.start()
        ended = story(shell, found["call_id"])
        assert ended["state"] == "settled_worst"
