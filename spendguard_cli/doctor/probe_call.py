"""One smallest call, as an unmodified client of each provider sends it: its path, its body, its key slot.

Knows the sidecar's address and an agent key, and nothing else of it.
"""

from dataclasses import dataclass
from urllib.parse import quote

import httpx

from spendguard_cli.refused import refusal
from spendguard_daemon.errors import SpendGuardError

SAYS = "Say ok."
MOCK, MOCK_MODEL = "mock", "mock-small"
ANSWER_SECONDS = 120.0

ENDPOINTS = {
    MOCK: "chat/completions",
    "openai": "chat/completions",
    "grok": "chat/completions",
    "anthropic": "messages",
    "gemini": "generateContent",
}
"""The endpoint of each provider that answers a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What came back: the status, our headers without their prefix, and the error where it was one."""

    status: int
    told: dict[str, str]
    error: SpendGuardError | None
    said: str

    @property
    def call_id(self) -> str:
        """The call's id, which every answer carries."""
        return self.told.get("call-id", "")

    @property
    def from_provider(self) -> bool:
        """Whether the provider answered, and not the sidecar."""
        return self.told.get("source") == "provider"


def send(base_url: str, key: str, provider: str, model: str, output_tokens: int) -> Answered:
    """Make the call; raise httpx.HTTPError where nothing answers."""
    path, body, headers = _request(key, provider, model, output_tokens)
    with httpx.Client(base_url=base_url, timeout=ANSWER_SECONDS, trust_env=False) as client:
        answer = client.post(path, json=body, headers=headers)
    told = {
        name.removeprefix("x-spendguard-"): value
        for name, value in answer.headers.items()
        if name.startswith("x-spendguard-")
    }
    error = None if answer.is_success else refusal(answer.status_code, answer.content)
    return Answered(status=answer.status_code, told=told, error=error, said=_message(answer))


def _request(
    key: str, provider: str, model: str, output_tokens: int
) -> tuple[str, dict[str, object], dict[str, str]]:
    messages = [{"role": "user", "content": SAYS}]
    match provider:
        case "anthropic":
            body: dict[str, object] = {"model": model, "max_tokens": output_tokens, "messages": messages}
            return "/anthropic/v1/messages", body, {"x-api-key": key, "anthropic-version": "2023-06-01"}
        case "gemini":
            body = {
                "contents": [{"role": "user", "parts": [{"text": SAYS}]}],
                "generationConfig": {"maxOutputTokens": output_tokens},
            }
            path = f"/gemini/v1beta/models/{quote(model, safe='')}:generateContent"
            return path, body, {"x-goog-api-key": key}
    cap = "max_completion_tokens" if provider == "openai" else "max_tokens"
    root = "" if provider == MOCK else f"/{provider}"
    body = {"model": model, "messages": messages, cap: output_tokens}
    return f"{root}/v1/chat/completions", body, {"authorization": f"Bearer {key}"}


def _message(answer: httpx.Response) -> str:
    """Return what a provider says of its error, in its own words; empty where it says nothing readable."""
    try:
        body = answer.json()
    except (ValueError, RecursionError):
        return ""
    error = body.get("error") if isinstance(body, dict) else None
    said = error.get("message") if isinstance(error, dict) else error
    return said if isinstance(said, str) else ""
