"""The demo's own client: model calls as any program would make them, with two headers and no key.

Knows the sidecar's address and nothing else of it. A call may be left hanging in a thread of its own.
"""

import threading
import time
from dataclasses import dataclass

import httpx

from spendguard_cli.demo.stage import Stage
from spendguard_cli.refused import refusal
from spendguard_cli.supervisor import steps
from spendguard_daemon import wire
from spendguard_daemon.errors import Code, Fact, SpendGuardError

PATIENCE_SECONDS = 20.0
MODEL = "mock-small"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, our headers without their prefix, and what a refusal says."""

    status: int
    code: str
    told: dict[str, str]
    detail: str
    facts: dict[str, Fact]

    @property
    def call_id(self) -> str:
        """The call's id, which every answer carries."""
        return self.told.get("call-id", "")


def ask(
    stage: Stage, agent_id: str, run_id: str, *, cap: int, says: int, stream: bool = False, hang: bool = False
) -> Answer:
    """Make one call that may say at most `cap` tokens and would say `says`."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Say something about budgets."}],
        "max_tokens": cap,
        "stream": stream,
        "metadata": {"mock": "hang" if hang else f"tokens:{says}"},
    }
    headers = {"x-cynsta-agent-id": agent_id, "x-cynsta-run-id": run_id}
    timeout = httpx.Timeout(PATIENCE_SECONDS, read=None if hang else PATIENCE_SECONDS)
    with httpx.Client(base_url=stage.control.base_url, timeout=timeout, trust_env=False) as client:
        answer = client.post("/v1/chat/completions", json=body, headers=headers)
    told = {
        name.removeprefix("x-spendguard-"): value
        for name, value in answer.headers.items()
        if name.startswith("x-spendguard-")
    }
    if answer.is_success:
        return Answer(answer.status_code, "", told, "", {})
    error = refusal(answer.status_code, answer.content)
    return Answer(answer.status_code, error.code.value, told, error.detail, error.facts)


def ended(stage: Stage, call_id: str) -> wire.Call:
    """Return a call once it has its final record, which a stream gets just after its last byte."""
    for _ in steps(time.monotonic() + PATIENCE_SECONDS):
        call = stage.control.call(call_id)
        if call.ended_at is not None:
            return call
    raise SpendGuardError(Code.INTERNAL, f"Call {call_id} has no end")


class Hanging:
    """A call that its provider never answers to the end; it ends when the sidecar does."""

    def __init__(self, stage: Stage, agent_id: str, run_id: str, *, cap: int):
        self._stage = stage
        self._agent_id = agent_id
        self._thread = threading.Thread(target=self._run, args=(agent_id, run_id, cap), daemon=True)
        self._thread.start()

    def _run(self, agent_id: str, run_id: str, cap: int) -> None:
        try:
            ask(self._stage, agent_id, run_id, cap=cap, says=cap, hang=True)
        except httpx.HTTPError:
            return  # the sidecar was killed under it: that is the point of this call

    def in_flight(self) -> wire.Call:
        """Return the call as soon as the sidecar holds money for it."""
        for _ in steps(time.monotonic() + PATIENCE_SECONDS):
            held = [call for call in self._stage.control.calls(self._agent_id, 10) if call.state == "held"]
            if held:
                return held[0]
        raise SpendGuardError(Code.INTERNAL, "The hanging call never started")

    def wait(self) -> None:
        """Return when the client has noticed that its sidecar is gone."""
        self._thread.join(PATIENCE_SECONDS)
