"""OpenAI `chat/completions` answers: usage out of a JSON body or a stream of chunks.

Owns what the numbers mean, not how bytes are relayed (`answers`). Sources: the openai SDK 3.54.0,
`types/completion_usage.py` and `types/chat/chat_completion_chunk.py`; wire.md 1 and 2. Invariant: usage is
believed only where nothing else in the answer speaks against it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import msgspec

from spendguard_daemon.errors import MalformedError, SpendGuardError
from spendguard_daemon.providers.answers import JsonAnswer, StreamAnswer
from spendguard_daemon.providers.contract import AnswerReader
from spendguard_daemon.providers.json_text import Json, kind_of, parse
from spendguard_daemon.providers.openai_usage import count, part
from spendguard_daemon.providers.sse import Event
from spendguard_daemon.usage import Usage, absurd

STRICT_BYTES_MAX = 2**20
"""Up to this size an answer is read whole and strictly. Of a larger one only what matters is decoded: with
log probabilities it may hold millions of values, whose tree would take seconds and gigabytes."""

_USAGE_VALUES_MAX = 1_000
_PROBLEM_CHARACTERS_MAX = 200
_NULL = msgspec.Raw(b"null")
_EMPTY_LIST = b"[] \t\r\n"
_NO_NAMES: Mapping[str, str] = {}


def reader(
    *, stream: bool, hides_usage: bool, encoding: str, meter: "ChatMeter | None" = None
) -> AnswerReader:
    """Return the reader of one answer, by OpenAI's own meter or another's."""
    meter = meter or ChatMeter()
    return StreamAnswer(meter, encoding, hides=hides_usage) if stream else JsonAnswer(meter, encoding)


def read_usage(report: Json) -> Usage:
    """Read a usage object; raises UPSTREAM_FAILED where it cannot be true.

    `prompt_tokens` includes cached and cache-written ones, `completion_tokens` includes reasoning. A total
    that is not their sum makes the whole report absurd: which of the three is wrong is not ours to guess.
    """
    if not isinstance(report, dict):
        raise absurd(f"usage is a {kind_of(report)}")
    prompt, completion = part(report, "prompt_tokens_details"), part(report, "completion_tokens_details")
    usage = Usage(
        input_tokens=count(report, "prompt_tokens"),
        cached_input_tokens=count(prompt, "cached_tokens", 0),
        cache_write_input_tokens=count(prompt, "cache_write_tokens", 0),
        audio_input_tokens=count(prompt, "audio_tokens", 0),
        output_tokens=count(report, "completion_tokens"),
        reasoning_output_tokens=count(completion, "reasoning_tokens", 0),
        audio_output_tokens=count(completion, "audio_tokens", 0),
    )
    if usage.input_tokens < 1:
        raise absurd("prompt_tokens is 0: no prompt is empty")
    total = usage.input_tokens + usage.output_tokens
    if count(report, "total_tokens", total) != total:
        raise absurd("total_tokens is not prompt_tokens plus completion_tokens")
    return usage


class ChatMeter:
    """Reads the usage, model and end of one chat answer; satisfies `answers.Meter`."""

    documented_error = False
    key_rejected = False
    answer_id: str | None = None

    def __init__(
        self,
        read: Callable[[Json], Usage] = read_usage,
        tiers: Mapping[str, str] = _NO_NAMES,
        unsaid_tier: str = "default",
    ) -> None:
        """Read usage by `read`; `tiers` are the card's names of the tiers, where the answer has others.

        `unsaid_tier` is what it means that the answer names none.
        """
        self.complete = False
        self.model: str | None = None
        self.problem: str | None = None
        self._read_usage = read
        self._tiers = tiers
        self._unsaid_tier = unsaid_tier
        self._usage: Usage | None = None
        self._tier = ""
        self._absurd = False
        self._content_since_usage = False

    @property
    def usage(self) -> Usage | None:
        """The last usage reported, at the tier named; None once any report could not be true."""
        if self._absurd or self._usage is None:
            return None
        tier = self._tiers.get(self._tier, self._tier)
        return replace(self._usage, service_tier=tier or self._unsaid_tier)

    def document(self, body: bytes) -> None:
        """Take a whole JSON answer."""
        try:
            said = _read(body, _glance(body) if len(body) > STRICT_BYTES_MAX else None)
        except MalformedError as error:
            self._note(f"the answer is not whole JSON ({error.facts['expected']})")
            return
        self.complete = True
        self._observe(said)
        self.end()

    def event(self, event: Event) -> bool:
        """Take one chunk; tell whether it is the usage chunk: usage and no choices."""
        data = (event.data or b"").strip()
        if not data:
            return False
        if self.complete:
            self._note("an event after [DONE]")
        if data == b"[DONE]":
            self.complete = True
            return False
        glance = _glance(data)
        if glance is not None and glance.usage == _NULL and glance.error == _NULL:
            # Nearly every chunk: it reports neither usage nor an error, and is read at little cost.
            self._name(glance.model, glance.service_tier)
            if self._usage is not None:
                self._content_since_usage |= glance.content is True
            return False
        try:
            said = _read(data, glance)
        except MalformedError as error:
            self._note(f"an event is not JSON ({error.facts['expected']})")
            return False
        self._observe(said)
        return said.content is False and isinstance(said.usage, dict)

    def end(self) -> None:
        """Take the end: without usage, or with more after it, there is nothing to settle by."""
        if self._usage is None:
            self._note("the answer reports no usage")
        if self._content_since_usage:
            self._note("content after the last usage")

    def _observe(self, said: "_Said") -> None:
        self._name(said.model, said.service_tier)
        if said.error is not None:
            self._note("the answer reports an error")
        if said.usage is None:
            self._content_since_usage |= self._usage is not None and said.content is True
            return
        self._content_since_usage = False
        try:
            usage = self._read_usage(said.usage)
            if self._usage is not None:
                _check_rise(self._usage, usage)
            self._usage = usage
        except SpendGuardError as lie:
            self._doubt(lie.detail)

    def _name(self, model: Json, tier: Json) -> None:
        """Note the model and the tier that was served; `auto` is a wish, which the tier itself may follow."""
        if isinstance(model, str):
            if model and self.model not in (None, model):
                self._doubt("the answer names two models")
            self.model = model or self.model
        elif model is not None:
            self._doubt("model is no name")
        if isinstance(tier, str) and tier:
            if self._tier not in ("", "auto", tier):
                self._doubt("the answer names two service tiers")
            self._tier = tier
        elif tier is not None:
            self._doubt("service_tier is no name")

    def _doubt(self, problem: str) -> None:
        self._absurd = True
        self._note(problem)

    def _note(self, problem: str) -> None:
        self.problem = self.problem or problem[:_PROBLEM_CHARACTERS_MAX]


@dataclass(frozen=True, slots=True)
class _Said:
    """What an answer or a chunk says that matters. `content` is None where there are no choices at all."""

    model: Json
    service_tier: Json
    usage: Json
    error: Json
    content: bool | None


class _Glance(msgspec.Struct):
    """The same, at the speed of C; of members given twice the last counts, as with any reader."""

    model: str | None = None
    service_tier: str | None = None
    usage: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL
    choices: msgspec.Raw = _NULL

    @property
    def content(self) -> bool | None:
        if self.choices == _NULL:
            return None
        return bool(bytes(self.choices).strip(_EMPTY_LIST))


_glancer = msgspec.json.Decoder(_Glance)


def _glance(data: bytes) -> _Glance | None:
    try:
        return _glancer.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None


def _read(data: bytes, glance: _Glance | None) -> _Said:
    """Read strictly, or rely on the glance where the text is large. Raises MalformedError."""
    if glance is None or len(data) <= STRICT_BYTES_MAX:
        document = parse(data, lone_surrogates=True)
        model, tier, usage, error = map(document.value, ("model", "service_tier", "usage", "error"))
        choices = document.value("choices")
        return _Said(model, tier, usage, error, None if choices is None else choices != [])
    usage = None
    if glance.usage != _NULL:
        report = parse(bytes(glance.usage), values_max=_USAGE_VALUES_MAX)
        usage = {name: member.value for name, member in report.members.items()}
    error = None if glance.error == _NULL else True
    return _Said(glance.model, glance.service_tier, usage, error, glance.content)


def _check_rise(before: Usage, after: Usage) -> None:
    """Refuse a later report that takes back tokens, fees or a bill: running totals only grow."""
    totals = _totals(after)
    for name, number in _totals(before).items():
        if totals.get(name, 0) < number:
            raise absurd(f"{name} fell from {number} to {totals.get(name, 0)}")


def _totals(usage: Usage) -> dict[str, int]:
    return {**usage.counts(), **usage.events, "the bill in pico-USD": usage.cost_pusd or 0}
