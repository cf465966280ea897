"""Gemini `generateContent` answers: usage out of a JSON body, a stream of events, or an array of the same.

Owns what parts of an answer mean for its usage, model and end; `gemini_reading` takes them out of the JSON,
`gemini_usage` knows what the numbers mean, `answers` relays the bytes. Sources: the google-genai SDK 3.6.1,
`types.py`: GenerateContentResponse; wire.md 1 and 2; recordings 30 to 36. A stream has no last event of its
own: it is whole where each candidate has a finish reason, or the prompt was blocked, and the transport, or
the array, came to its end. Invariant: usage is believed only where nothing else in the answer speaks against
it.
"""

from collections.abc import Collection

from spendguard_daemon.errors import MalformedError, SpendGuardError
from spendguard_daemon.providers.answers import ArrayAnswer, JsonAnswer, StreamAnswer
from spendguard_daemon.providers.contract import AnswerReader
from spendguard_daemon.providers.gemini_reading import Said, read_answer
from spendguard_daemon.providers.gemini_usage import check_rise, read_usage
from spendguard_daemon.providers.json_text import Json, kind_of
from spendguard_daemon.providers.sse import Event
from spendguard_daemon.usage import Usage, absurd

MODEL_PREFIX = "models/"

_PROBLEM_CHARACTERS_MAX = 200


def reader(
    *,
    form: str,
    choices: int,
    per_prompt: bool,
    encoding: str,
    reach: Collection[str] = (),
    unsaid_tier: str = "default",
) -> AnswerReader:
    """Return the reader of one answer: `form` is `json`, `sse` or `array`.

    `choices` is how many candidates were asked for, `per_prompt` how the model's searches are billed, `reach`
    the rates that the request may need, `unsaid_tier` what it means that the answer names no tier.
    """
    meter = ContentMeter(choices=choices, per_prompt=per_prompt, reach=reach, unsaid_tier=unsaid_tier)
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
    key_rejected = False
    answer_id: str | None = None  # nothing is kept at the provider to go on from

    def __init__(
        self,
        *,
        choices: int = 1,
        per_prompt: bool = True,
        reach: Collection[str] = (),
        unsaid_tier: str = "default",
    ) -> None:
        self.complete = False
        self.model: str | None = None
        self.problem: str | None = None
        self._choices = choices
        self._per_prompt = per_prompt
        self._reach = reach
        self._unsaid_tier = unsaid_tier
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
            said = read_answer(body)
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
            self._take(read_answer(data))
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

    def _take(self, said: Said) -> None:
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
        usage = read_usage(self._report or {}, events if searches else {}, self._reach, self._unsaid_tier)
        if self._wrote and usage.output_tokens == usage.reasoning_output_tokens:
            raise absurd("the answer has content, and candidatesTokenCount is 0")
        return usage

    def _doubt(self, problem: str) -> None:
        self._absurd = True
        self._note(problem)

    def _note(self, problem: str) -> None:
        self.problem = self.problem or problem[:_PROBLEM_CHARACTERS_MAX]
