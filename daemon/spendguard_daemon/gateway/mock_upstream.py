"""The mock provider, in process: answers chat completions as OpenAI does, from the request alone.

Implements `ports.Upstream` for provider `mock` with no socket: the same request gets the same bytes. It
honours the cap, `n`, `stream` and `include_usage`; its usage is true and within the byte bound and the
window, unless `metadata.mock` says otherwise (`providers.mock`). Knows nothing of budgets or prices.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping

from spendguard_daemon.aside import aside
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.ports import UpstreamLostError, UpstreamRequest
from spendguard_daemon.providers import mock
from spendguard_daemon.providers.contract import Asked, Request
from spendguard_daemon.providers.json_text import Json

_WORDS = (
    "amber",
    "birch",
    "cedar",
    "dawn",
    "ember",
    "fern",
    "glade",
    "iris",
    "juniper",
    "kelp",
    "lantern",
    "maple",
)
_CREATED = 1_767_225_600
"""2026-01-01: a fixed second, so that answers do not depend on the clock."""

_BYTES_PER_TOKEN = 4
_MOST_SAID = 40
_PLAIN_CHUNK_BYTES = 256


class MockUpstream:
    """Satisfies `ports.Upstream`; has no state, so one serves all calls."""

    async def send(self, request: UpstreamRequest) -> "MockResponse":
        """Answer one request; never raises, as there is no network to fail. `hang` hangs in the body."""
        if request.path != mock.PATH or request.method != "POST":
            return _error(404, "no such route", None)
        try:
            read = await aside(lambda: mock.FORMAT.read(Asked(request.body)), len(request.body))
            directive = mock.read_directive(read.document.value("metadata"))
        except SpendGuardError as refusal:
            return _error(400, refusal.detail, refusal.facts.get("path"))
        if read.model not in mock.MODELS:
            return _error(404, f"The model {read.model!r} does not exist", "model")
        if directive.fail_status is not None:
            return _error(directive.fail_status, "The mock was told to fail", None)
        answer = _Answer(read, directive)
        if answer.prompt_tokens > mock.CONTEXT_TOKENS:
            return _error(400, f"The context of {read.model} is {mock.CONTEXT_TOKENS} tokens", "messages")
        if read.stream:
            return MockResponse(200, "text/event-stream; charset=utf-8", answer.events(), directive)
        whole = answer.whole()
        pieces = (whole[at : at + _PLAIN_CHUNK_BYTES] for at in range(0, len(whole), _PLAIN_CHUNK_BYTES))
        return MockResponse(200, "application/json", pieces, directive)


class MockResponse:
    """An answer of the mock; satisfies `ports.UpstreamResponse`."""

    def __init__(
        self, status: int, content_type: str, pieces: Iterator[bytes], directive: mock.Directive
    ) -> None:
        self.status = status
        self.headers: Mapping[str, str] = _Headers(content_type)
        self._pieces = pieces
        self._directive = directive
        self._closed = asyncio.Event()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body; raise UpstreamLostError where it was told to cut, or once it was closed."""
        for sent, piece in enumerate(self._pieces):
            if sent == self._directive.cut_chunks:
                raise UpstreamLostError("the mock was told to cut the connection")
            await self._wait(self._directive.slow_ms)
            yield piece
            if self._directive.hang:
                await self._wait(None)

    async def close(self) -> None:
        """Drop the answer: whoever waits for more of it gets UpstreamLostError at once."""
        self._closed.set()

    async def _wait(self, milliseconds: int | None) -> None:
        """Wait so long, None for ever, 0 not at all; but not beyond `close`."""
        if not self._closed.is_set():
            if milliseconds == 0:
                return
            seconds = None if milliseconds is None else milliseconds / 1000
            try:
                async with asyncio.timeout(seconds):
                    await self._closed.wait()
            except TimeoutError:
                return
        raise UpstreamLostError("the answer was closed")


class _Headers(Mapping[str, str]):
    """One header, found without case."""

    def __init__(self, content_type: str) -> None:
        self._named = {"content-type": content_type}

    def __getitem__(self, name: str) -> str:
        return self._named[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)


class _Answer:
    """What the mock says to one request, and what it reports to have used."""

    def __init__(self, request: Request, directive: mock.Directive) -> None:
        self._request = request.without_text()
        self._lie = directive.lie
        self.prompt_tokens = request.input_bytes // _BYTES_PER_TOKEN + request.messages
        self._digest = hashlib.sha256(request.document.text.encode()).digest()
        wanted = directive.output_tokens
        if wanted is None:
            wanted = 8 + self._digest[0] % (_MOST_SAID - 8)
        self._cap = min(request.asked_output_tokens or mock.OUTPUT_TOKENS_MAX, mock.OUTPUT_TOKENS_MAX)
        self._tokens = min(wanted, self._cap)
        self._finish = "length" if wanted > self._cap else "stop"

    def whole(self) -> bytes:
        """Return the body of a plain answer."""
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": "".join(self._words(index)), "refusal": None},
                "logprobs": None,
                "finish_reason": self._finish,
            }
            for index in range(self._request.choices)
        ]
        usage = self._usage()
        report = {} if usage is None else {"usage": usage}
        return _dump({**self._head("chat.completion"), "choices": choices, **report, **_TIER})

    def events(self) -> Iterator[bytes]:
        """Yield the events of a stream: a role, the words, the end of each choice, usage, `[DONE]`."""
        for index in range(self._request.choices):
            yield self._chunk(index, {"role": "assistant", "content": "", "refusal": None}, None)
            for word in self._words(index):
                yield self._chunk(index, {"content": word}, None)
            yield self._chunk(index, {}, self._finish)
        usage = self._usage()
        if self._request.wants_usage and usage is not None:
            head = self._head("chat.completion.chunk")
            yield _event(_dump({**head, **_TIER, "choices": [], "usage": usage}))
        yield _event(b"[DONE]")

    def _chunk(self, index: int, delta: Json, finish: str | None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        report = {"usage": None} if self._request.wants_usage else {}
        return _event(_dump({**self._head("chat.completion.chunk"), **_TIER, "choices": [choice], **report}))

    def _head(self, kind: str) -> dict[str, Json]:
        name = f"chatcmpl-mock-{self._digest.hex()[:24]}"
        return {"id": name, "object": kind, "created": _CREATED, "model": self._request.model}

    def _words(self, index: int) -> Iterator[str]:
        """Yield one word a token: told by the request and the choice, spaced as text is."""
        for position in range(self._tokens):
            at = self._digest[(position + index) % len(self._digest)] + position
            yield ("" if position == 0 else " ") + _WORDS[at % len(_WORDS)]

    def _usage(self) -> dict[str, Json] | None:
        """Return the usage to report: the truth, or the lie that was asked for."""
        prompt = self.prompt_tokens
        completion: float = self._tokens * self._request.choices
        match self._lie:
            case "missing":
                return None
            case "negative":
                completion = -completion - 1
            case "float":
                completion += 0.5
            case "huge":
                completion = 10**15
            case "over":
                # More input than the window holds and more output than the cap: beyond any hold.
                prompt += 2 * mock.CONTEXT_TOKENS
                completion = 2 * self._cap * self._request.choices
        details = {"cached_tokens": 0, "audio_tokens": 0}
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": details,
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        }


_TIER: dict[str, Json] = {"service_tier": "default", "system_fingerprint": None}


def _dump(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def _error(status: int, message: str, param: Json) -> MockResponse:
    kind = "invalid_request_error" if status < 500 else "server_error"
    body = _dump({"error": {"message": message, "type": kind, "param": param, "code": None}})
    return MockResponse(status, "application/json", iter((body,)), mock.Directive())
