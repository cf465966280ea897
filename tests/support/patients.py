"""Programs that call through a sidecar, well and badly, and what the doctor says of their agents."""

from typing import Any

import httpx

from quick_typist import QuickTypist
from shell import Quick

PATIENCE_SECONDS = 60


class Flight:
    """A call that its provider never ends; `leave` drops its client."""

    def __init__(self, shell: Quick, agent_id: str, run: str, **fields: object):
        url = f"http://127.0.0.1:{shell.daemon()['port']}/v1/agents/{agent_id}/runs/{run}/openai/v1"
        body = {"model": "mock-small", "messages": [{"role": "user", "content": "hello"}], "stream": True}
        self._client = httpx.Client(trust_env=False, verify=False, timeout=PATIENCE_SECONDS)
        request = self._client.build_request(
            "POST", f"{url}/chat/completions", json=body | {"metadata": {"mock": "hang"}} | fields
        )
        self.response = self._client.send(request, stream=True)
        if self.response.status_code != 200:
            self.leave()
            raise AssertionError(f"the call was refused: {self.response.status_code}")
        self.call_id = self.response.headers["x-spendguard-call-id"]

    def leave(self) -> None:
        """Drop the connection, as a program does that is ended."""
        self.response.close()
        self._client.close()


def ask(
    shell: Quick, agent_id: str, *, run: str = "", headers: dict[str, str] | None = None, **fields: object
) -> httpx.Response:
    """Make one mock call of a run, as an unmodified client would."""
    url = f"http://127.0.0.1:{shell.daemon()['port']}/v1/chat/completions"
    named = {"x-cynsta-agent-id": agent_id} | ({"x-cynsta-run-id": run} if run else {}) | (headers or {})
    body = {"model": "mock-small", "messages": [{"role": "user", "content": "hello"}], **fields}
    return httpx.post(url, json=body, headers=named, trust_env=False, verify=False, timeout=PATIENCE_SECONDS)


def with_key(shell: Quick, secret: str, **fields: object) -> httpx.Response:
    """Make one mock call with an agent key."""
    url = f"http://127.0.0.1:{shell.daemon()['port']}/v1/chat/completions"
    body = {"model": "mock-small", "messages": [{"role": "user", "content": "hello"}], **fields}
    return httpx.post(
        url, json=body, headers={"authorization": f"Bearer {secret}"}, trust_env=False, verify=False
    )


def first(typist: QuickTypist, agent: str, *more: str) -> dict[str, Any]:
    """Return what the doctor says first of an agent."""
    found = typist.doctor("--agent", agent, *more)
    assert found
    return found[0]


def look(typist: QuickTypist, agent: str, check: str) -> dict[str, Any]:
    """Return what one check, or group of checks, says first of an agent."""
    return first(typist, agent, "--check", check)


def is_mended(typist: QuickTypist, agent: str, cause: dict[str, Any]) -> None:
    """Type the remedy as printed; the doctor's first finding is another one then, and nothing is red."""
    typist.mends(cause)
    after = first(typist, agent)
    assert after["level"] != "red", after
    assert after["finding"] != cause["finding"]


def code_of(answer: httpx.Response) -> tuple[int, str]:
    """Return a refusal's status and code."""
    return answer.status_code, answer.json()["spendguard"]["code"]
