"""The mock provider: its requests are read as OpenAI's are, and may tell it to misbehave.

Owns the directives of `metadata.mock`; `gateway.mock_upstream` obeys them. The mock is on the same path as a
real provider, so nothing here is easier on a request than `openai_chat` is.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from spendguard_daemon.errors import MalformedError
from spendguard_daemon.providers import openai_chat

FORMAT = openai_chat.FORMAT
PATH = "/chat/completions"
"""The one path that the mock answers."""

MODELS = ("mock-small", "mock-large")
CONTEXT_TOKENS = 128_000
OUTPUT_TOKENS_MAX = 16_384

LIES = frozenset({"missing", "negative", "float", "huge", "over"})
_PATH = "metadata.mock"
_EXPECTED = (
    "fail:<400-599>, hang, cut:<chunks>, lie:<" + "|".join(sorted(LIES)) + ">, slow:<ms>, tokens:<count>; "
    "several with commas"
)


@dataclass(frozen=True, slots=True)
class Directive:
    """How an answer is to go wrong; the default is not at all.

    `fail_status`: answer with this error. `hang`: never come to an end. `cut_chunks`: break the connection
    after so many chunks. `lie`: report a usage of this kind. `slow_ms`: wait before each chunk.
    `output_tokens`: say so much, if the cap allows.
    """

    fail_status: int | None = None
    hang: bool = False
    cut_chunks: int | None = None
    lie: str | None = None
    slow_ms: int = 0
    output_tokens: int | None = None


def read_directive(metadata: object) -> Directive:
    """Read `metadata.mock`, such as `tokens:50,slow:20`; raise MALFORMED_REQUEST on anything else."""
    text = metadata.get("mock") if isinstance(metadata, dict) else None
    if text is None:
        return Directive()
    if not isinstance(text, str):
        raise MalformedError(_PATH, _EXPECTED)
    directive = Directive()
    for word in text.split(","):
        directive = _obey(directive, word.strip())
    return directive


def _obey(directive: Directive, word: str) -> Directive:
    verb, _, argument = word.partition(":")
    if word == "hang":
        return replace(directive, hang=True)
    if verb == "lie" and argument in LIES:
        return replace(directive, lie=argument)
    numbered = _NUMBERED.get(verb)
    if numbered is None or not re.fullmatch(r"[0-9]{1,9}", argument):
        raise MalformedError(_PATH, _EXPECTED)
    return numbered(directive, int(argument))


def _fail(directive: Directive, status: int) -> Directive:
    if not 400 <= status <= 599:
        raise MalformedError(_PATH, _EXPECTED)
    return replace(directive, fail_status=status)


_NUMBERED: dict[str, Callable[[Directive, int], Directive]] = {
    "fail": _fail,
    "cut": lambda directive, count: replace(directive, cut_chunks=count),
    "slow": lambda directive, count: replace(directive, slow_ms=count),
    "tokens": lambda directive, count: replace(directive, output_tokens=count),
}
