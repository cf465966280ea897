"""OpenAI `chat/completions` answers: usage out of a JSON body or a stream of chunks.

Owns what the numbers mean, not how bytes are relayed (`answers`). Sources: the openai SDK 3.54.0,
`types/completion_usage.py` and `types/chat/chat_completion_chunk.py`; wire.md 1 and 2.
"""

import msgspec

from spendguard_daemon.errors import MalformedError, SpendGuardError
from spendguard_daemon.providers.answers import JsonAnswer, StreamAnswer
from spendguard_daemon.providers.contract import AnswerReader
from spendguard_daemon.providers.json_text import Document, Json, kind_of, parse
from spendguard_daemon.providers.sse import Event
from spendguard_daemon.usage import Usage, absurd

_PROBLEM_CHARACTERS_MAX = 200
_NULL = msgspec.Raw(b"null")


def reader(*, stream: bool, hides_usage: bool, encoding: str) -> AnswerReader:
    """Return the reader of one answer."""
    meter = ChatMeter()
    return StreamAnswer(meter, encoding, hides=hides_usage) if stream else JsonAnswer(meter, encoding)


def is_error(body: bytes) -> bool:
    """Tell whether a whole body is `{"error": {"message": ...}}` and reports no usage."""
    try:
        document = parse(body, lone_surrogates=True)
    except MalformedError:
        return False
    error = document.value("error")
    told = isinstance(error, dict) and isinstance(error.get("message"), str)
    return told and "usage" not in document.members


def read_usage(report: Json, service_tier: str) -> Usage:
    """Read a usage object; raises UPSTREAM_FAILED where it cannot be true.

    `prompt_tokens` includes cached and cache-written ones, `completion_tokens` includes reasoning. A total
    that is not their sum makes the whole report absurd: which of the three is wrong is not ours to guess.
    """
    if not isinstance(report, dict):
        raise absurd(f"usage is a {kind_of(report)}")
    prompt, completion = _part(report, "prompt_tokens_details"), _part(report, "completion_tokens_details")
    usage = Usage(
        input_tokens=_count(report, "prompt_tokens"),
        cached_input_tokens=_count(prompt, "cached_tokens", 0),
        cache_write_input_tokens=_count(prompt, "cache_write_tokens", 0),
        audio_input_tokens=_count(prompt, "audio_tokens", 0),
        output_tokens=_count(report, "completion_tokens"),
        reasoning_output_tokens=_count(completion, "reasoning_tokens", 0),
        audio_output_tokens=_count(completion, "audio_tokens", 0),
        service_tier=service_tier,
    )
    total = usage.input_tokens + usage.output_tokens
    if _count(report, "total_tokens", total) != total:
        raise absurd("total_tokens is not prompt_tokens plus completion_tokens")
    return usage


class ChatMeter:
    """Reads the usage, model and end of one chat answer; satisfies `answers.Meter`."""

    def __init__(self) -> None:
        self.complete = False
        self.model: str | None = None
        self.problem: str | None = None
        self._usage: Usage | None = None
        self._tier = "default"
        self._absurd = False

    @property
    def usage(self) -> Usage | None:
        """The last usage reported; None once any report could not be true."""
        return None if self._absurd else self._usage

    def document(self, body: bytes) -> None:
        """Take a whole JSON answer."""
        try:
            answer = parse(body, lone_surrogates=True)
        except MalformedError as error:
            self._note(f"the answer is not whole JSON ({error.facts['expected']})")
            return
        self.complete = True
        self._observe(answer)
        self.end()

    def event(self, event: Event) -> bool:
        """Take one chunk; tell whether it is the usage chunk: usage and no choices."""
        data = (event.data or b"").strip()
        if not data:
            return False
        if data == b"[DONE]":
            self.complete = True
            return False
        if self._glance(data):
            return False
        try:
            chunk = parse(data, lone_surrogates=True)
        except MalformedError as error:
            self._note(f"an event is not JSON ({error.facts['expected']})")
            return False
        self._observe(chunk)
        return chunk.value("choices") == [] and isinstance(chunk.value("usage"), dict)

    def end(self) -> None:
        """Take the end: without usage there is nothing to settle by."""
        if self._usage is None:
            self._note("the answer reports no usage")

    def _glance(self, data: bytes) -> bool:
        """Read a chunk that reports neither usage nor an error, which is nearly every one, at little cost."""
        try:
            chunk = _glancer.decode(data)
        except (msgspec.DecodeError, RecursionError):
            return False
        if chunk.usage != _NULL or chunk.error != _NULL:
            return False
        self._name(chunk.model, chunk.service_tier)
        return True

    def _observe(self, answer: Document) -> None:
        self._name(answer.value("model"), answer.value("service_tier"))
        error = answer.value("error")
        if error is not None:
            self._note("the answer reports an error")
        report = answer.value("usage")
        if report is None:
            return
        try:
            self._usage = read_usage(report, self._tier)
        except SpendGuardError as lie:
            self._absurd = True
            self._note(lie.detail)

    def _name(self, model: Json, tier: Json) -> None:
        """Note the model and the tier that was served; a later chunk's word wins."""
        if isinstance(model, str):
            self.model = model
        if isinstance(tier, str) and tier:
            self._tier = tier
        elif tier is not None:
            self._absurd = True
            self._note("service_tier is no name")

    def _note(self, problem: str) -> None:
        self.problem = self.problem or problem[:_PROBLEM_CHARACTERS_MAX]


class _Glance(msgspec.Struct):
    model: str | None = None
    service_tier: str | None = None
    usage: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL


_glancer = msgspec.json.Decoder(_Glance)


def _part(report: dict[str, Json], name: str) -> dict[str, Json]:
    part = report.get(name)
    if part is None:
        return {}
    if not isinstance(part, dict):
        raise absurd(f"{name} is a {kind_of(part)}")
    return part


def _count(holder: dict[str, Json], name: str, otherwise: int | None = None) -> int:
    """Return a count as it stands; `Usage` checks its range. None counts as absent."""
    value = holder.get(name)
    if value is None and otherwise is not None:
        return otherwise
    if not isinstance(value, int) or isinstance(value, bool):
        raise absurd(f"{name} is a {kind_of(value)}")
    return value
