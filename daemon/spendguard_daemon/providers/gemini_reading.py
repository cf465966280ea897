"""What matters of a Gemini answer, or of an event: model, usage, error, and how each candidate stands.

Owns the JSON and nothing of what it means (`gemini_answers`). Sources: the google-genai SDK 3.6.1,
`types.py`: GenerateContentResponse, Candidate, GroundingMetadata. Invariant: small texts are read strictly,
of large ones no more is decoded than is asked for.
"""

from dataclasses import dataclass

import msgspec

from spendguard_daemon.errors import MalformedError
from spendguard_daemon.providers.gemini_fields import PARTS
from spendguard_daemon.providers.json_size import check_size
from spendguard_daemon.providers.json_text import Json, parse

STRICT_BYTES_MAX = 2**20
"""Up to this size an answer is read whole and strictly; of a larger one only what matters is decoded."""

CANDIDATES_MAX = 1_000
QUERIES = ("webSearchQueries", "imageSearchQueries")
"""[sdk] GroundingMetadata: each list of searches that were made; empty where the model knew the answer."""

FOUND = ("groundingChunks", "groundingSupports", "searchEntryPoint")
"""[sdk] GroundingMetadata: what is there only after a search, also where the queries are not told."""

UNFINISHED = (None, "", "FINISH_REASON_UNSPECIFIED")
"""[sdk] FinishReason: any other word ends a candidate. Older models put one on each event of a stream, so
that only the end of the transport tells the last."""

_VALUES_MAX = 10_000
_LARGE_VALUES_MAX = 2_000_000
"""Log probabilities of a long answer are some 500,000 values; more would take hundreds of megabytes."""

_NULL = msgspec.Raw(b"null")
_NOTHING = b"[]{} \t\r\n"


@dataclass(frozen=True, slots=True)
class Candidate:
    """What matters of one candidate; `searches` is how many it was grounded by.

    `wrote` tells that it has content beside thoughts.
    """

    finished: bool
    searches: int
    wrote: bool


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer or an event says that matters."""

    model: Json
    usage: Json
    error: bool
    blocked: bool
    candidates: list[tuple[int, Candidate]]


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


def read_answer(data: bytes) -> Said:
    """Read strictly, or only what matters where the text is large. Raises MalformedError."""
    if len(data) > STRICT_BYTES_MAX:
        return _read_large(data)
    answer = parse(data, lone_surrogates=True)
    rows = answer.value("candidates") or []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise MalformedError("candidates", "a list of candidates")
    return Said(
        model=answer.value("modelVersion"),
        usage=answer.value("usageMetadata"),
        error=answer.value("error") is not None,
        blocked=_is_blocked(answer.value("promptFeedback")),
        candidates=[_candidate(row) for row in rows],
    )


def _candidate(row: dict[str, Json]) -> tuple[int, Candidate]:
    index, reason, grounds = row.get("index", 0), row.get("finishReason"), row.get("groundingMetadata")
    if not isinstance(index, int) or not 0 <= index < CANDIDATES_MAX:
        raise MalformedError("candidates.index", f"a number below {CANDIDATES_MAX}")
    searches = 0
    for name in QUERIES:
        made = grounds.get(name) if isinstance(grounds, dict) else None
        searches += sum(query != "" for query in made) if isinstance(made, list) else 0
    found = isinstance(grounds, dict) and any(grounds.get(name) for name in FOUND)
    return index, Candidate(reason not in UNFINISHED, max(searches, int(found)), _has_content(row))


def _has_content(row: dict[str, Json]) -> bool:
    content = row.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    return isinstance(parts, list) and any(
        isinstance(part, dict) and not part.get("thought") and any(part.get(name) for name in PARTS)
        for part in parts
    )


def _is_blocked(feedback: Json) -> bool:
    return isinstance(feedback, dict) and bool(feedback.get("blockReason"))


def _read_large(data: bytes) -> Said:
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
    return Said(said.modelVersion, usage, said.error != _NULL, blocked, rows)


def _of_large(row: _LargeCandidate) -> Candidate:
    grounds = row.groundingMetadata or {}
    made = [query for name in QUERIES for query in _strings.decode(grounds.get(name, _NULL)) or ()]
    searches = sum(query != "" for query in made)
    found = any(bytes(grounds.get(name, _NULL)).strip(_NOTHING) not in (b"", b"null") for name in FOUND)
    # What takes so many bytes is no empty answer.
    return Candidate(row.finishReason not in UNFINISHED, max(searches, int(found)), wrote=True)
