"""`doctor --probe`: one call through the whole path, a mock one or a real one, and the budget as it falls."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recorded import Act, RecordedUpstream, Reply
from shell import Quick, Ran, Terminal
from sidecar import Sidecar
from spendguard_cli import supervisor
from spendguard_cli.doctor import probe_payer
from spendguard_cli.doctor.probe_payer import paid
from spendguard_daemon.money import parse_usd

JSON = {"content-type": "application/json"}
CHAT = {
    "id": "c-1",
    "object": "chat.completion",
    "created": 0,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
}
ANSWERS: dict[str, dict[str, Any]] = {
    "openai": CHAT,
    "grok": CHAT,
    "anthropic": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "ok"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 2},
    },
    "gemini": {
        "candidates": [{"content": {"parts": [{"text": "ok"}]}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 2, "totalTokenCount": 11},
    },
}
CAREFUL = ["--probe", "--provider", "openai", "--agent", "careful"]
LEGS = ["reachable", "identified", "held", "answered", "settled", "money"]


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    with RecordedUpstream() as made:
        yield made


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    with Sidecar(tmp_path_factory.mktemp("probed") / "home", upstream.base_url) as made:
        yield made


@pytest.fixture
def quick(sidecar: Sidecar) -> Quick:
    return Quick(sidecar.home.root)


def said(ran: Ran) -> dict[str, dict[str, Any]]:
    """Return the findings of a probe by their legs, in their order."""
    return {one["check"].removeprefix("probe."): one for one in json.loads(ran.out)["findings"]}


def answering(provider: str) -> Any:
    """Answer as this provider does, in the name of the model that was asked for."""

    def director(received: Any) -> Act:
        body = json.loads(received.body)
        model = body.get("model") or received.path.rpartition("/models/")[2].partition(":")[0]
        named = {"modelVersion": model} if provider == "gemini" else {"model": model}
        return Act(reply=Reply(200, JSON, json.dumps({**ANSWERS[provider], **named}).encode()))

    return director


def test_the_mock_call_falls_through_every_leg_and_leaves_nothing(sidecar: Sidecar, quick: Quick) -> None:
    """Each leg is well, the numbers are equal, its agent is gone, and `next` tells its life."""
    ran = quick.ok("doctor", "--probe", "--json")
    assert "sending one mock call through the whole path" in ran.err
    told = ran.json
    assert list(said(ran)) == LEGS
    assert {one["level"] for one in told["findings"]} == {"ok"}
    assert "all is well: the call went the whole way, and cost what was said" in ran.err
    cost, before, after = (parse_usd(told[f"{name}_usd"]) for name in ("cost", "before", "after"))
    assert 0 < cost < parse_usd(told["held_usd"]) < before == after + cost
    assert "its record is in the journal on disk" in said(ran)["held"]["evidence"]
    listed = sidecar.control("GET", "/v1/agents")["agents"]
    assert told["agent_id"] not in [agent["agent_id"] for agent in listed]
    life = quick.ok(*told["next"].split()[1:], "--json").json
    assert (life["call_id"], life["cost_usd"]) == (told["call_id"], told["cost_usd"])


@pytest.mark.parametrize(("provider", "model"), [*((one, None) for one in ANSWERS), ("grok", "grok-4.3")])
def test_a_real_call_costs_what_was_said_at_most(
    sidecar: Sidecar, quick: Quick, upstream: RecordedUpstream, provider: str, model: str | None
) -> None:
    """The cheapest model, its worst price first, paid by the agent through a key that has ended then."""
    upstream.received.clear()
    upstream.director = answering(provider)
    payer = f"pays-{provider}-{model}"
    agent = sidecar.agent(name=payer, cents=500)
    words = ["doctor", "--probe", "--provider", provider, "--agent", payer, "--yes", "--json"]
    ran = quick.ok(*words, *(["--model", model] if model else []))
    told = ran.json
    assert (list(said(ran)), told["model"]) == (LEGS, model or told["model"])
    assert f"a real call to {provider}:{told['model']}, paid by agent {payer}: it costs at most $" in (
        ran.err
    )
    most = parse_usd(ran.err.partition("at most $")[2].partition(";")[0])
    assert parse_usd(told["cost_usd"]) <= parse_usd(told["held_usd"]) <= most
    assert parse_usd(sidecar.budget(agent)["settled_usd"]) == parse_usd(told["cost_usd"])
    (received,) = upstream.received
    assert b"ok" in received.body
    (key,) = sidecar.control("GET", f"/v1/agents/{agent}/keys")["keys"]
    assert key["revoked"]
    assert parse_usd(key["limit_usd"]) >= most
    assert sidecar.chat(agent, {"model": "no-such", "messages": []}).status_code == 400  # the bare id is good


def test_what_goes_wrong_is_said_in_words(sidecar: Sidecar, quick: Quick, upstream: RecordedUpstream) -> None:
    """A key that the provider rejects, an outage, a budget that is empty, an agent that is frozen."""
    agent = sidecar.agent(name="suffers", cents=500)
    words = ("doctor", "--probe", "--provider", "openai", "--agent", "suffers", "--yes", "--json")
    error = {"error": {"message": "Incorrect API key \x1b[31m", "type": "invalid_request_error", "code": "x"}}
    upstream.director = lambda _: Act(reply=Reply(401, JSON, json.dumps(error).encode()))
    rejected = quick.run(*words)
    assert rejected.code == 1, rejected
    assert said(rejected)["answered"]["finding"] == "openai rejected the provider key"
    assert said(rejected)["answered"]["remedy"] == ["spendguard provider set-key openai"]
    assert said(rejected)["settled"]["finding"].startswith("Nothing was charged")
    assert (said(rejected)["money"]["level"], rejected.json["cost_usd"]) == ("ok", "0.00")

    upstream.director = lambda _: Act(reply=Reply(500, JSON, b'{"error": {"message": "boom"}}'))
    broken = quick.run(*words)
    assert said(broken)["answered"]["finding"] == "openai answered 500"
    assert said(broken)["settled"]["finding"].startswith("settled_worst: $")
    assert said(broken)["settled"]["remedy"] == [broken.json["next"]]

    sidecar.control("PATCH", f"/v1/agents/{agent}", {"frozen": True, "reason": "looked at"})
    frozen = quick.run(*words)
    assert list(said(frozen)) == ["reachable", "identified", "held"]
    assert "the way is broken at held: " in frozen.err
    assert (said(frozen)["held"]["code"], said(frozen)["held"]["level"]) == ("agent_frozen", "red")
    assert "looked at" in said(frozen)["held"]["finding"]
    assert all("\x1b" not in ran.out + ran.err for ran in (rejected, broken, frozen))


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--probe", "--provider", "openai"], 2, "say whose"),
        (CAREFUL, 2, "nobody is here to say yes"),
        (["--probe", "--provider", "opnai", "--agent", "careful"], 2, "is no provider"),
        (["--probe", "--provider", "openai", "--agent", "nobody"], 4, "Agent not found"),
        (["--probe", "--model", "gpt-4o-mini"], 2, "are for a real one"),
        ([*CAREFUL, "--model", "gpt-none"], 2, "gpt-none"),
        ([*CAREFUL, "--model", "text-embedding-3-small"], 2, "does not serve"),
        (["--provider", "openai"], 2, "go with --probe"),
    ],
)  # fmt: skip
def test_nothing_is_sent_before_all_is_clear(
    sidecar: Sidecar, quick: Quick, upstream: RecordedUpstream, words: list[str], code: int, text: str
) -> None:
    upstream.received.clear()
    if not any(agent["name"] == "careful" for agent in sidecar.control("GET", "/v1/agents")["agents"]):
        sidecar.agent(name="careful")
    ran = quick.run("doctor", *words)
    assert ran.code == code, ran
    assert text in ran.err
    assert not upstream.received


def test_a_person_is_asked_first(sidecar: Sidecar, quick: Quick, upstream: RecordedUpstream) -> None:
    """On a terminal a no sends nothing, and a yes does."""
    upstream.received.clear()
    upstream.director = answering("openai")
    sidecar.agent(name="asked")
    words = ("doctor", "--probe", "--provider", "openai", "--agent", "asked")
    for word, code, sent in (("n", 1, 0), ("y", 0, 1)):
        terminal = Terminal(quick, *words)
        terminal.until(b"Send it?")
        terminal.type(f"{word}\n")
        assert terminal.end() == code
        assert len(upstream.received) == sent
    assert b"probe.money" in terminal.said


def test_a_probe_that_is_ended_leaves_no_agent(sidecar: Sidecar) -> None:
    """SIGTERM unwinds it: a second one meanwhile changes nothing."""
    running = supervisor.find(sidecar.home)
    assert running is not None
    before = signal.getsignal(signal.SIGTERM)
    with running.control() as control:
        with pytest.raises(SystemExit) as ended, paid(control, None, None, str) as (agent_id, _):
            assert control.agent(agent_id).mock
            os.kill(os.getpid(), signal.SIGTERM)
        assert ended.value.code == 128 + signal.SIGTERM
        assert agent_id not in [agent.agent_id for agent in control.agents()]
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_a_killed_probe_left_is_cleared_away(
    sidecar: Sidecar, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But neither a young one, whose probe may go on, nor an agent of somebody else."""
    left = sidecar.agent(name="doctor-probe-0123abcd", mock=True)
    others = {sidecar.agent(name="doctor-probe-mine", mock=True), sidecar.agent(name="doctor-probe-0123abcd")}
    quick.ok("doctor", "--probe")
    listed = [agent["agent_id"] for agent in sidecar.control("GET", "/v1/agents")["agents"]]
    assert others | {left} <= set(listed)
    monkeypatch.setattr(probe_payer, "LEFT_SECONDS", -60)
    quick.ok("doctor", "--probe")
    listed = [agent["agent_id"] for agent in sidecar.control("GET", "/v1/agents")["agents"]]
    assert others <= set(listed)
    assert left not in listed


def test_inside_exec_it_is_not_allowed(tmp_path: Path) -> None:
    ran = Quick(tmp_path / "home", SPENDGUARD_EXEC="1").run("doctor", "--probe")
    assert ran.code == 5, ran
