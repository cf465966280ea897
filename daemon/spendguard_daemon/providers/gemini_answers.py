"""Gemini `generateContent` answers: usage out of a JSON body, a stream of events, or an array of the same.

Owns which parts of an answer tell usage, model and end; `gemini_usage` knows what the numbers mean, `answers`
relays the bytes. Sources: the google-genai SDK 3.6.1, `types.py`: GenerateContentResponse; wire.md 1 and 2;
recordings 30 to 36. A stream has no last event of its own: it is whole where each candidate has a finish
reason, or the prompt was blocked, and the transport, or the array, came to its end. Invariant: usage is
believed only where nothing else in the answer speaks against it.
"""

from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from spendguard_daemon.errors import MalformedError, SpendGuardError
from spendguard_daemon.providers.answers import ArrayAnswer, JsonAnswer, StreamAnswer
from spendguard_daemon.providers.contract import AnswerReader
from spendguard_daemon.providers.gemini_fields import PARTS
from spendguard_daemon.providers.gemini_usage import check_rise, read_usage
from spendguard_daemon.providers.json_size import check_size
from spendguard_daemon.providers.json_text import Json, kind_of, parse
from spendguard_daemon.providers.sse import Event
from spendguard_daemon.usage import Usage, absurd

STRICT_BYTES_MAX = 2**20
"""Up to this size an answer is read whole and strictly; of a larger one only what matters is decoded."""

CANDIDATES_MAX = 1_000
MODEL_PREFIX = "models/"
QUERIES = ("webSearchQueries", "imageSearchQueries")
"""[sdk] GroundingMetadata: each list of searches that were made; empty where the model knew the answer."""

FOUND = ("groundingChunks", "groundingSupports", "searchEntryPoint")
"""[sdk] GroundingMetadata: what is there only after a search, also where the queries are not told."""

UNFINISHED = (None, "", "FINISH_REASON_UNSPECIFIED")
"""[sdk] FinishReason: any other word ends a candidate. Older models put one on each event of a stream, so
that only the end of the transport tells the last."""

_PROBLEM_CHARACTERS_MAX = 200
_VALUES_MAX = 10_000
_LARGE_VALUES_MAX = 2_000_000
"""Log probabilities of a long answer are some 500,000 values; more would take hundreds of megabytes."""

_NULL = msgspec.Raw(b"null")
_NOTHING = b"[]{} \t\r\n"


def reader(
    *, form: str, choices: int, per_prompt: bool, encoding: str, reach: Collection[str] = ()
) -> AnswerReader:
    """Return the reader of one answer: `form` is `json`, `sse` or `array`.

    `choices` is how many candidates were asked for, `per_prompt` how the model's searches are billed, `reach`
    the rates that the request may need.
    """
    meter = ContentMeter(choices=choices, per_prompt=per_prompt, reach=reach)
    match form:
        case "sse":
            return StreamAnswer(meter, encoding, hides=False)
        case "array":
            return ArrayAnswer(meter, encoding)
        case _:
            return JsonAnswer(meter, encoding)


class ContentMeter:
    """Reads the usage, model and end of one answer; satisfies `answers.Meter`."""

    documented_error = False
    answer_id: str | None = None  # nothing is kept at the provider to go on from

    def __init__(self, *, choices: int = 1, per_prompt: bool = True, reach: Collection[str] = ()) -> None:
        self.complete = False
        self.model: str | None = None
        self.problem: str | None = None
        self._choices = choices
        self._per_prompt = per_prompt
        self._reach = reach
        self._report: dict[str, Json] | None = None
        self._searches: dict[int, int] = {}
        self._finished: dict[int, bool] = {}
        self._wrote = False
        self._blocked = False
        self._absurd = False
        self._content_since_usage = False

    @property
    def usage(self) -> Usage | None:
        """What the last report says; None once any could not be true."""
        if self._absurd or self._report is None:
            return None
        try:
            return self._read()
        except SpendGuardError:
            return None

    def document(self, body: bytes) -> None:
        """Take a whole JSON answer, which is its own end."""
        try:
            said = _read(body)
        except MalformedError as error:
            self._note(f"the answer is not whole JSON ({error.facts['expected']})")
            return
        self._take(said)
        self.complete = True
        self._judge()

    def event(self, event: Event) -> bool:
        """Take one event of a stream, or element of an array; none is there because of us."""
        data = (event.data or b"").strip()
        if not data:
            return False
        try:
            self._take(_read(data))
        except MalformedError as error:
            self._note(f"an event is not JSON ({error.facts['expected']})")
        return False

    def end(self) -> None:
        """Take the end of a stream: whole if all that was begun has come to its finish."""
        done = len(self._finished) >= self._choices and all(self._finished.values())
        self.complete = done or (self._blocked and all(self._finished.values()))
        if not self.complete:
            self._note("the stream ended without a finish reason")
        self._judge()

    def _judge(self) -> None:
        if self._report is None:
            self._note("the answer reports no usage")
            return
        if self._content_since_usage:
            self._note("content after the last usage")
        try:
            self._read()
        except SpendGuardError as lie:
            self._doubt(lie.detail)

    def _take(self, said: "_Said") -> None:
        if said.error:
            self._note("the answer reports an error")
        self._name(said.model)
        self._blocked |= said.blocked
        for index, one in said.candidates:
            self._finished[index] = self._finished.get(index, False) or one.finished
            self._searches[index] = max(self._searches.get(index, 0), one.searches)
            self._wrote |= one.wrote
        if said.usage is None:
            self._content_since_usage |= self._report is not None and bool(said.candidates)
            return
        self._content_since_usage = False
        if not isinstance(said.usage, dict):
            self._doubt(f"Absurd usage: usageMetadata is a {kind_of(said.usage)}")
            return
        try:
            check_rise(self._report or {}, said.usage)
        except SpendGuardError as lie:
            self._doubt(lie.detail)
        self._report = said.usage

    def _name(self, model: Json) -> None:
        if model is None:
            return
        if not isinstance(model, str):
            self._doubt("modelVersion is no name")
            return
        name = model.removeprefix(MODEL_PREFIX)
        if name and self.model not in (None, name):
            self._doubt("the answer names two models")
        self.model = name or self.model

    def _read(self) -> Usage:
        searches = sum(self._searches.values())
        events = {"grounded_request": 1} if self._per_prompt else {"grounding_query": searches}
        usage = read_usage(self._report or {}, events if searches else {}, self._reach)
        if self._wrote and usage.output_tokens == usage.reasoning_output_tokens:
            raise absurd("the answer has content, and candidatesTokenCount is 0")
        return usage

    def _doubt(self, problem: str) -> None:
        self._absurd = True
        self._note(problem)

    def _note(self, problem: str) -> None:
        self.problem = self.problem or problem[:_PROBLEM_CHARACTERS_MAX]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """What matters of one candidate; `searches` is how many it was grounded by.

    `wrote` tells that it has content beside thoughts.
    """

    finished: bool
    searches: int
    wrote: bool


@dataclass(frozen=True, slots=True)
class _Said:
    """What an answer or an event says that matters."""

    model: Json
    usage: Json
    error: bool
    blocked: bool
    candidates: list[tuple[int, _Candidate]]


class _LargeCandidate(msgspec.Struct):
    """What is decoded of a candidate in an answer too large to be read whole."""

    index: int = 0
    finishReason: str | None = None  # noqa: N815 - Google's name
    groundingMetadata: dict[str, msgspec.Raw] | None = None  # noqa: N815


class _Large(msgspec.Struct):
    """The same of the answer; of members given twice the last counts, as with any reader."""

    modelVersion: str | None = None  # noqa: N815 - Google's name
    usageMetadata: msgspec.Raw = _NULL  # noqa: N815
    promptFeedback: dict[str, msgspec.Raw] | None = None  # noqa: N815
    error: msgspec.Raw = _NULL
    candidates: list[_LargeCandidate] | None = None


_large = msgspec.json.Decoder(_Large)
_strings = msgspec.json.Decoder(list[str] | None)


def _read(data: bytes) -> _Said:
    """Read strictly, or only what matters where the text is large. Raises MalformedError."""
    if len(data) > STRICT_BYTES_MAX:
        return _read_large(data)
    answer = parse(data, lone_surrogates=True)
    rows = answer.value("candidates") or []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise MalformedError("candidates", "a list of candidates")
    return _Said(
        model=answer.value("modelVersion"),
        usage=answer.value("usageMetadata"),
        error=answer.value("error") is not None,
        blocked=_is_blocked(answer.value("promptFeedback")),
        candidates=[_candidate(row) for row in rows],
    )


def _candidate(row: dict[str, Json]) -> tuple[int, _Candidate]:
    index, reason, grounds = row.get("index", 0), row.get("finishReason"), row.get("groundingMetadata")
    if not isinstance(index, int) or not 0 <= index < CANDIDATES_MAX:
        raise MalformedError("candidates.index", f"a number below {CANDIDATES_MAX}")
    searches = 0
    for name in QUERIES:
        made = grounds.get(name) if isinstance(grounds, dict) else None
        searches += sum(query != "" for query in made) if isinstance(made, list) else 0
    found = isinstance(grounds, dict) and any(grounds.get(name) for name in FOUND)
    return index, _Candidate(reason not in UNFINISHED, max(searches, int(found)), _has_content(row))


def _has_content(row: dict[str, Json]) -> bool:
    content = row.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    return isinstance(parts, list) and any(
        isinstance(part, dict) and not part.get("thought") and any(part.get(name) for name in PARTS)
        for part in parts
    )


def _is_blocked(feedback: Json) -> bool:
    return isinstance(feedback, dict) and bool(feedback.get("blockReason"))


def _read_large(data: bytes) -> _Said:
    check_size(data, _LARGE_VALUES_MAX)
    try:
        said = _large.decode(data)
        rows = [(row.index, _of_large(row)) for row in said.candidates or ()]
    except (msgspec.DecodeError, RecursionError):
        raise MalformedError("body", "JSON that can be read") from None
    usage = None
    if said.usageMetadata != _NULL:
        report = parse(bytes(said.usageMetadata), values_max=_VALUES_MAX)
        usage = {name: member.value for name, member in report.members.items()}
    feedback = said.promptFeedback or {}
    blocked = feedback.get("blockReason", _NULL) not in (_NULL, msgspec.Raw(b'""'))
    return _Said(said.modelVersion, usage, said.error != _NULL, blocked, rows)


def _of_large(row: _LargeCandidate) -> _Candidate:
    grounds = row.groundingMetadata or {}
    made = [query for name in QUERIES for query in _strings.decode(grounds.get(name, _NULL)) or ()]
    searches = sum(query != "" for query in made)
    found = any(bytes(grounds.get(name, _NULL)).strip(_NOTHING) not in (b"", b"null") for name in FOUND)
    # What takes so many bytes is no empty answer.
    return _Candidate(row.finishReason not in UNFINISHED, max(searches, int(found)), wrote=True)
