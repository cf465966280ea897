"""How many tokens an input can be at most, told from its bytes.

For OpenAI the raw UTF-8 bytes are provably enough: each token of its byte-pair vocabularies stands for at
least one byte of the text, every single byte is in the vocabulary, nothing is normalised first, and merging
only lowers the count (costs.md C1). So the strings, keys and numbers of the billable fields, counted as
compact JSON, bound the text of the prompt; the JSON punctuation and the framing allowance of the card
(`Limits.per_*`) pay for role marks and separators. Providers whose tokenizer may
normalise need more: `normalised_input_bytes`.

Numbers may be written again on their way to the model. An integer keeps its digits, but may get a fraction
(`1.0`) or wide separators (`1 | 2`, where JSON had `1,2`): two bytes more. For others, `1e2` may be shown as
`100.0`: the shortest exact form of a double has 17 digits, a sign, a point and an exponent; written plainly
it needs at most 26 characters between 1e-7 and 1e22, and 330 elsewhere.
"""

import json
from collections.abc import Iterable

import msgspec

from spendguard_daemon.providers.json_text import Member
from spendguard_daemon.providers.unicode_size import normalised_bytes
from spendguard_daemon.usage import InputBound, Limits

COUNT_MARGIN_TOKENS = 64
COUNT_MARGIN_PERCENT = 2
"""What is added to a provider's own count, which "may differ by a small amount" (costs.md C4)."""

INTEGER_BYTES_EXTRA = 2
FLOAT_BYTES = 26
FLOAT_BYTES_EXTREME = 330
_PLAIN_MIN, _PLAIN_MAX = 1e-7, 1e22


def input_bytes(members: Iterable[Member]) -> int:
    """Return the bytes that the values of billable fields can take, however their numbers are written."""
    return sum(len(_compact(member)) + number_bytes(member) for member in members)


def normalised_input_bytes(members: Iterable[Member]) -> int:
    """Return the same where the tokenizer may normalise first: the largest of raw, NFC and NFKC."""
    return sum(normalised_bytes(_compact(member).decode()) + number_bytes(member) for member in members)


def number_bytes(member: Member) -> int:
    """Return what the numbers of a value may take more when they are written again."""
    return INTEGER_BYTES_EXTRA * member.integers + sum(map(_float_bytes, member.floats))


def byte_bound(limits: Limits, *, input_bytes: int, messages: int, tools: int) -> int:
    """Return the upper bound in tokens of an input of so many bytes, messages and tools."""
    framing = limits.per_request_tokens + limits.per_message_tokens * messages
    if tools:
        framing += limits.tools_base_tokens + limits.per_tool_tokens * tools
    return input_bytes + framing


def ladder(limits: Limits, bytes_bound: int) -> tuple[InputBound, ...]:
    """Return the bounds known offline, smallest first: bytes where they say more than the context window.

    The window always holds: a provider refuses, unbilled, what exceeds it (costs.md C1).
    """
    window = InputBound("window", min(limits.input_tokens_max, limits.context_tokens))
    if bytes_bound > window.tokens:
        return (window,)
    return (InputBound("bytes", bytes_bound), window)


def counted(count: int) -> InputBound:
    """Return the bound that a provider's own count gives, margin included."""
    margin = max(COUNT_MARGIN_TOKENS, -(-count * COUNT_MARGIN_PERCENT // 100))
    return InputBound("counted", count + margin)


def _compact(member: Member) -> bytes:
    """Return a value as compact JSON, its fractions as Python writes them."""
    if not member.floats:
        try:
            return msgspec.json.encode(member.value)  # the same at a tenth of the time
        except OverflowError:
            pass  # an integer of more than 64 bits
    return json.dumps(member.value, ensure_ascii=False, separators=(",", ":")).encode()


def _float_bytes(number: float) -> int:
    plain = number == 0 or _PLAIN_MIN <= abs(number) < _PLAIN_MAX
    return FLOAT_BYTES if plain else FLOAT_BYTES_EXTREME
