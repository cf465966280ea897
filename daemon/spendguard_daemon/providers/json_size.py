"""How large a JSON text is before it is decoded: the number of its values and the depth of its nesting.

Owns the two limits that keep decoding cheap, whatever the bytes. Knows nothing of what values mean.
Invariant: its own cost is a few passes in C over the bytes, and Python steps only up to the limits.
"""

from spendguard_daemon.errors import MalformedError

DEPTH_MAX = 200
"""Deepest nesting taken; far above any real schema, far below what would exhaust the interpreter's stack."""

VALUES_MAX = 200_000
"""Most values taken. The largest bodies are few long texts; reading this many values takes some 0.2 s."""

_NOT_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def check_size(raw: bytes, values_max: int = VALUES_MAX) -> None:
    """Refuse too many values or too deep nesting; raises MalformedError. Never refuses smaller JSON.

    Every value follows a comma or an opening bracket (a member's key stands in between), so these count the
    values. Counted with those in strings they are enough for most bodies; others pay for an exact count.
    """
    openings = raw.count(b"[") + raw.count(b"{")
    if openings <= DEPTH_MAX and openings + raw.count(b",") <= values_max:
        return
    structure = _outside_strings(raw, values_max)
    if structure.count(b"[") + structure.count(b"{") + structure.count(b",") > values_max:
        raise _too_many(values_max)
    depth = 0
    for bracket in structure.translate(None, _NOT_BRACKETS):
        depth += _STEPS[bracket]
        if depth > DEPTH_MAX:
            raise MalformedError("body", f"at most {DEPTH_MAX} levels of nesting")
        if depth < 0:
            return  # no JSON, and the decoder comes no further than this


def _outside_strings(raw: bytes, values_max: int) -> bytes:
    """Return the text without its strings; of what is no JSON, as far as a decoder would read it."""
    if b"\\" in raw:
        # A run of backslashes begins with an escape, so its pairs are escaped backslashes from left to right,
        # and what is left of it escapes the character behind it.
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    if raw.count(b'"') > 4 * (values_max + 1):
        raise _too_many(values_max)  # two quotes for each value, two for its key
    return b"".join(raw.split(b'"')[::2])


def _too_many(values_max: int) -> MalformedError:
    return MalformedError("body", f"at most {values_max} JSON values")
