"""OpenAI `responses` answers: usage and fees out of a JSON body or a stream of events.

Owns what the numbers mean, not how bytes are relayed (`answers`). Sources: the openai SDK 3.54.0,
`types/responses/response.py`, `response_usage.py`, `response_stream_event.py`; costs.md D; wire.md. An answer
ends `completed`, `incomplete` or `failed`; each of these ends carries the usage, which is settled by, also
where the answer failed: nothing can be generated after it. Invariant: usage is believed only where nothing
else in the answer speaks against it.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import msgspec

from spendguard_daemon.errors import MalformedError, SpendGuardError
from spendguard_daemon.providers.answers import JsonAnswer, StreamAnswer
from spendguard_daemon.providers.contract import AnswerReader
from spendguard_daemon.providers.json_text import Json, parse, parse_object
from spendguard_daemon.providers.openai_answers import STRICT_BYTES_MAX
from spendguard_daemon.providers.openai_usage import count, part
from spendguard_daemon.providers.sse import Event
from spendguard_daemon.usage import TOKENS_MAX, Usage, absurd

ENDS = frozenset({"completed", "incomplete", "failed"})
"""The states in which an answer has come to its end. `types/responses/response_status.py`."""

ITEM_FEES = {"web_search_call": "web_search", "file_search_call": "file_search"}
"""The fee of each output item that has one. [costs B1]"""

ITEMS_UNPRICED = frozenset({"code_interpreter_call", "image_generation_call"})
"""Output items of tools whose fee no answer reports: none of them is ever let through."""

_SEARCHES = (None, "search")
"""The actions of a web search call that are searches: others open or read a page, for no fee
(`types/responses/response_function_web_search.py`, `response.py` ToolUsage). Older answers name none."""

_PROBLEM_CHARACTERS_MAX = 200
_COUNT_VALUES_MAX = 100
_NULL = msgspec.Raw(b"null")


class _Action(msgspec.Struct):
    type: str | None = None


class _Item(msgspec.Struct):
    type: str = ""
    id: str | None = None
    action: _Action | None = None


class _Searches(msgspec.Struct):
    num_requests: int = 0


class _Images(msgspec.Struct):
    total_tokens: int = 0


class _ToolUsage(msgspec.Struct):
    web_search: _Searches | None = None
    image_gen: _Images | None = None


class _Response(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    status: str | None = None
    service_tier: str | None = None
    usage: msgspec.Raw = _NULL
    output: list[_Item] | None = None
    tool_usage: _ToolUsage | None = None


class _Said(msgspec.Struct):
    """What an event says that matters."""

    type: str = ""
    response: msgspec.Raw = _NULL
    item: msgspec.Raw = _NULL


_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_Shape = TypeVar("_Shape")
_responses = msgspec.json.Decoder(_Response)
_items = msgspec.json.Decoder(_Item)
_events = msgspec.json.Decoder(_Said)


def reader(
    *, stream: bool, hides_usage: bool, encoding: str, meter: "ResponsesMeter | None" = None
) -> AnswerReader:
    """Return the reader of one answer, by OpenAI's own meter or another's."""
    meter = meter or ResponsesMeter()
    return StreamAnswer(meter, encoding, hides=hides_usage) if stream else JsonAnswer(meter, encoding)


def read_usage(report: dict[str, Json]) -> Usage:
    """Read a usage object; raises UPSTREAM_FAILED where it cannot be true.

    `input_tokens` includes cached and cache-written ones, `output_tokens` includes reasoning. A total that is
    not their sum makes the whole report absurd: which of the three is wrong is not ours to guess.
    """
    read, wrote = part(report, "input_tokens_details"), part(report, "output_tokens_details")
    if count(part(read, "cache_write_tokens_details"), "ttl_12h_tokens", 0):
        raise absurd("cache writes for 12 hours, which have no rate")
    usage = Usage(
        input_tokens=count(report, "input_tokens"),
        cached_input_tokens=count(read, "cached_tokens", 0),
        cache_write_input_tokens=count(read, "cache_write_tokens", 0),
        audio_input_tokens=count(read, "audio_tokens", 0),
        output_tokens=count(report, "output_tokens"),
        reasoning_output_tokens=count(wrote, "reasoning_tokens", 0),
        audio_output_tokens=count(wrote, "audio_tokens", 0),
    )
    if usage.input_tokens < 1:
        raise absurd("input_tokens is 0: no input is empty")
    total = usage.input_tokens + usage.output_tokens
    if count(report, "total_tokens", total) != total:
        raise absurd("total_tokens is not input_tokens plus output_tokens")
    return usage


def read_count(status: int, body: bytes) -> int | None:
    """Read an answer of `/responses/input_tokens`; None for anything but a count."""
    if status != 200:
        return None
    try:
        tokens = parse(body, values_max=_COUNT_VALUES_MAX).value("input_tokens")
    except MalformedError:
        return None
    if not isinstance(tokens, int) or isinstance(tokens, bool) or not 1 <= tokens <= TOKENS_MAX:
        return None
    return tokens


class ResponsesMeter:
    """Reads the usage, model and end of one answer; satisfies `answers.Meter`."""

    documented_error = False
    key_rejected = False

    def __init__(
        self,
        read: Callable[[dict[str, Json]], Usage] = read_usage,
        *,
        itemised: bool = True,
        unsaid_tier: str = "default",
    ) -> None:
        """Read usage by `read`; `itemised` tells that fees are counted by the items of the answer.

        `unsaid_tier` is what it means that the answer names no tier.
        """
        self._read_usage = read
        self._unsaid_tier = unsaid_tier
        self._itemised = itemised
        self.complete = False
        self.model: str | None = None
        self.answer_id: str | None = None
        self.problem: str | None = None
        self._usage: Usage | None = None
        self._absurd = False
        self._error = False
        self._items: Counter[str] = Counter()

    @property
    def usage(self) -> Usage | None:
        """The usage reported at the end, None where any of the answer could not be true."""
        return None if self._absurd else self._usage

    def document(self, body: bytes) -> None:
        """Take a whole JSON answer."""
        response = self._response(body)
        if response is not None:
            self._finish(response)
        self.end()

    def event(self, event: Event) -> bool:
        """Take one event; none is there only because we asked."""
        data = (event.data or b"").strip()
        if not data or data == b"[DONE]":
            return False
        if self.complete:
            self._note("an event after the end")
        try:
            said = _decode(_events, data)
        except (msgspec.DecodeError, RecursionError):
            self._note("an event is not JSON")
            return False
        self._error |= said.type == "error"
        if said.type == "response.output_item.done":
            self._count_item(said.item)
        elif said.response != _NULL:
            response = self._response(bytes(said.response))
            if response is not None and said.type.removeprefix("response.") in ENDS:
                self._finish(response)
        return False

    def end(self) -> None:
        """Take the end: without usage there is nothing to settle by."""
        if self._usage is None:
            self._note("the answer reports an error" if self._error else "the answer reports no usage")

    def _response(self, raw: bytes) -> _Response | None:
        """Read a response object and what it names; strictly, unless it is so large that this would tell."""
        try:
            if len(raw) <= STRICT_BYTES_MAX:
                parse(raw, lone_surrogates=True)
            response = _decode(_responses, raw)
        except MalformedError as error:
            self._note(f"the answer is not whole JSON ({error.facts['expected']})")
            return None
        except (msgspec.DecodeError, RecursionError):
            self._doubt("the answer is not the documented one")
            return None
        for known, named in ((self.model, response.model), (self.answer_id, response.id)):
            if known is not None and named not in (None, "", known):
                self._doubt("the answer names two models or ids")
        self.model = response.model or self.model
        self.answer_id = response.id or self.answer_id
        return response

    def _finish(self, response: _Response) -> None:
        """Take the end of the answer with its usage."""
        if response.status not in ENDS:
            self._note("the answer has not come to its end")
            return
        self.complete = True
        if response.usage == _NULL:
            return
        try:
            usage = self._read_usage(parse_object(bytes(response.usage)))
            fees = self._fees(response) if self._itemised else usage.events
            self._usage = replace(usage, events=fees, service_tier=self._served_tier(response.service_tier))
        except MalformedError:
            self._doubt("Absurd usage: it is no object")
        except SpendGuardError as lie:
            self._doubt(lie.detail)

    def _fees(self, response: _Response) -> dict[str, int]:
        """Return the events that have a fee; of two counts of the same, the larger."""
        items: Counter[str] = Counter()
        for item in response.output or []:
            items[_kind(item)] += 1
        items |= self._items
        if any(items[kind] for kind in ITEMS_UNPRICED):
            raise absurd("the answer used a tool that has no price")
        fees = {fee: items[kind] for kind, fee in ITEM_FEES.items()}
        tools = response.tool_usage
        if tools is not None and tools.web_search is not None:
            if tools.web_search.num_requests < 0:
                raise absurd("a negative number of searches")
            fees["web_search"] = max(fees["web_search"], tools.web_search.num_requests)
        if tools is not None and tools.image_gen is not None and tools.image_gen.total_tokens:
            raise absurd("the answer used a tool that has no price")
        return {fee: number for fee, number in fees.items() if number}

    def _count_item(self, raw: msgspec.Raw) -> None:
        try:
            self._items[_kind(_decode(_items, bytes(raw)))] += 1
        except msgspec.DecodeError:
            self._doubt("an item is not the documented one")

    def _served_tier(self, tier: str | None) -> str:
        """Return the tier served; `auto` is a wish, and says as little as nothing."""
        return self._unsaid_tier if tier in (None, "", "auto") else str(tier)

    def _doubt(self, problem: str) -> None:
        self._absurd = True
        self._note(problem)

    def _note(self, problem: str) -> None:
        self.problem = self.problem or problem[:_PROBLEM_CHARACTERS_MAX]


def _decode(decoder: msgspec.json.Decoder[_Shape], raw: bytes) -> _Shape:
    """Decode what matters of a text, which may hold half characters: a model may be cut in one.

    These stand in strings that nobody reads here, and the decoder would refuse them.
    """
    try:
        return decoder.decode(raw)
    except msgspec.DecodeError:
        if _SURROGATE.search(raw) is None:
            raise
    return decoder.decode(_SURROGATE.sub(rb"\\ufffd", raw))


def _kind(item: _Item) -> str:
    """Return the type of an item; a web search call that is no search counts as another type."""
    searches = item.action is None or item.action.type in _SEARCHES
    return item.type if item.type != "web_search_call" or searches else f"{item.type}:other"
