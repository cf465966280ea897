"""Anthropic `messages` answers: usage out of a JSON body or a stream of events.

Owns which parts of an answer tell usage, model and end; `anthropic_usage` knows what the numbers mean,
`answers` relays the bytes. Sources: the anthropic SDK 2.12.0, `types/beta/beta_raw_message_stream_event.py`;
[docs] streaming: message_start has the input, message_delta running totals, message_stop is the end; ping and
unknown events may come anywhere. Invariant: usage is believed only where nothing else in the answer speaks
against it.
"""

import msgspec

from spendguard_daemon.errors import MalformedError, SpendGuardError
from spendguard_daemon.providers.answers import JsonAnswer, StreamAnswer
from spendguard_daemon.providers.anthropic_usage import merged, read_usage
from spendguard_daemon.providers.contract import AnswerReader
from spendguard_daemon.providers.json_text import Json, parse
from spendguard_daemon.providers.sse import Event
from spendguard_daemon.usage import Usage

STRICT_BYTES_MAX = 2**20
"""Up to this size an answer is read whole and strictly; of a larger one only what matters is decoded."""

_PROBLEM_CHARACTERS_MAX = 200
_VALUES_MAX = 100_000
_NULL = msgspec.Raw(b"null")


def reader(*, stream: bool, writes_1h: bool, encoding: str) -> AnswerReader:
    """Return the reader of one answer; `writes_1h` tells that the request asked for dear cache writes."""
    meter = MessageMeter(unsplit_1h=writes_1h)
    return StreamAnswer(meter, encoding, hides=False) if stream else JsonAnswer(meter, encoding)


class MessageMeter:
    """Reads the usage, model and end of one answer; satisfies `answers.Meter`."""

    documented_error = False
    key_rejected = False
    answer_id: str | None = None  # nothing is kept at the provider to go on from

    def __init__(self, *, unsplit_1h: bool = False) -> None:
        self.complete = False
        self.model: str | None = None
        self.problem: str | None = None
        self._unsplit_1h = unsplit_1h
        self._report: dict[str, Json] = {}
        self._final = False
        self._refused = False
        self._absurd = False

    @property
    def usage(self) -> Usage | None:
        """What the last report says; None before the final one, or once any could not be true."""
        if self._absurd or not self._final:
            return None
        try:
            return self._read()
        except SpendGuardError:
            return None

    def document(self, body: bytes) -> None:
        """Take a whole JSON answer."""
        try:
            said = _read(body)
        except MalformedError as error:
            self._note(f"the answer is not whole JSON ({error.facts['expected']})")
            return
        self.complete = True
        if said.get("type") != "message":
            self._note("the answer is no message")
        self._message(said)
        self._final = True
        self.end()

    def event(self, event: Event) -> bool:
        """Take one event of a stream; none is there because of us."""
        data = (event.data or b"").strip()
        if not data:
            return False
        try:
            glance = _glancer.decode(data)
        except (msgspec.DecodeError, RecursionError):
            self._note("an event is not JSON that can be read")
            return False
        kind = glance.type or event.name.decode("ascii", "replace")
        if kind != "ping":
            self._step(kind, glance, data)
        return False

    def end(self) -> None:
        """Take the end: without a final report there is nothing to settle by."""
        if not self._final:
            self._note("the answer reports no final usage")
            return
        try:
            self._read()
        except SpendGuardError as lie:
            self._doubt(lie.detail)

    def _step(self, kind: str, glance: "_Glance", data: bytes) -> None:
        if self.complete:
            self._note("an event after message_stop")
        if kind == "error" or glance.error != _NULL:
            self._note("the answer reports an error")
        elif kind == "message_stop":
            self.complete = True
        elif kind in ("message_start", "message_delta") or glance.usage != _NULL:
            self._report_of(kind, data)
        elif kind.startswith("content_block") and self._final:
            self._note("content after the last usage")

    def _report_of(self, kind: str, data: bytes) -> None:
        """Take an event that reports usage."""
        try:
            said = _read(data)
        except MalformedError as error:
            self._note(f"an event is not JSON ({error.facts['expected']})")
            return
        if kind == "message_start":
            message = said.get("message")
            if self._report or not isinstance(message, dict):
                self._doubt("message_start has no message, or is the second")
                return
            self._message(message)
            return
        if not self._report:
            self._doubt("usage before message_start")
        self._stop_reason(said.get("delta"))
        self._add(said.get("usage"))
        self._final = True

    def _message(self, message: dict[str, Json]) -> None:
        model = message.get("model")
        if isinstance(model, str) and model:
            self.model = model
        else:
            self._note("the answer names no model")
        if message.get("error") is not None:
            self._note("the answer reports an error")
        self._stop_reason(message)
        self._add(message.get("usage"))

    def _stop_reason(self, holder: Json) -> None:
        if isinstance(holder, dict) and holder.get("stop_reason") is not None:
            self._refused = holder["stop_reason"] == "refusal"

    def _add(self, usage: Json) -> None:
        try:
            self._report = merged(self._report, usage)
        except SpendGuardError as lie:
            self._doubt(lie.detail)

    def _read(self) -> Usage:
        return read_usage(self._report, model=self.model, unsplit_1h=self._unsplit_1h, refused=self._refused)

    def _doubt(self, problem: str) -> None:
        self._absurd = True
        self._note(problem)

    def _note(self, problem: str) -> None:
        self.problem = self.problem or problem[:_PROBLEM_CHARACTERS_MAX]


class _Glance(msgspec.Struct):
    """What nearly every event is told by, at the speed of C."""

    type: str = ""
    usage: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL


class _Large(msgspec.Struct):
    """What matters of an answer too large to be read whole; of members given twice the last counts."""

    type: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    usage: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL


_glancer = msgspec.json.Decoder(_Glance)
_large = msgspec.json.Decoder(_Large)


def _read(data: bytes) -> dict[str, Json]:
    """Return an object's values; raises MalformedError."""
    if len(data) <= STRICT_BYTES_MAX:
        document = parse(data, lone_surrogates=True)
        return {name: member.value for name, member in document.members.items()}
    try:
        large = _large.decode(data)
    except (msgspec.DecodeError, RecursionError):
        raise MalformedError("body", "JSON that can be read") from None
    usage = None
    if large.usage != _NULL:
        report = parse(bytes(large.usage), values_max=_VALUES_MAX)
        usage = {name: member.value for name, member in report.members.items()}
    return {
        "type": large.type,
        "model": large.model,
        "stop_reason": large.stop_reason,
        "usage": usage,
        "error": None if large.error == _NULL else True,
    }
