"""Refusals for opencode, which reads them with its eyes half shut.

opencode 1.18.33 takes any answer for a passing fault that has the digits of one anywhere in its text: a sum
of $0.429, an id, 4290 tokens. It then sends a call six times that we refused for good. For it alone such
digits are written apart; what is said stays the same. Pure.
"""

import re

PROGRAM = "opencode/"
"""How its User-Agent begins."""

_LIKE_A_STATUS = re.compile(rb"(42)(9)|(50)([0234])|(52)(4)")
_TEXT_OR_NUMBER = re.compile(rb'"(?:[^"\\]|\\.)*"|\d+')
_WORD_JOINER = rb"\u2060"


def calm(body: bytes) -> bytes:
    """Return a JSON text without such digits: in strings an invisible sign is between them, numbers get a
    decimal point and an exponent, which leaves their value."""
    return _TEXT_OR_NUMBER.sub(_apart, body)


def _apart(found: re.Match[bytes]) -> bytes:
    token = found[0]
    if token.startswith(b'"'):
        return _LIKE_A_STATUS.sub(_joined, token)
    return _exponential(token) if _LIKE_A_STATUS.search(token) else token


def _joined(found: re.Match[bytes]) -> bytes:
    head, tail = (part for part in found.groups() if part)
    return head + _WORD_JOINER + tail


def _exponential(digits: bytes) -> bytes:
    """Write a whole number with a point and a power of ten. Not all can be helped: 50429 is as it was."""
    for places in range(1, len(digits)):
        written = digits[:places] + b"." + digits[places:] + b"e%d" % (len(digits) - places)
        if not _LIKE_A_STATUS.search(written):
            return written
    return digits
