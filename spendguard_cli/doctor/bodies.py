"""The body of a refusal as somebody pasted it: ours, a provider's, or none. Pure; believes nothing it reads.

Understood are JSON in the error shapes of all providers, the same as Python prints it (as SDKs do in their
exceptions), with an HTTP head, a log line or anything else around it.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from spendguard_daemon.errors import Code, Fact
from spendguard_daemon.text import safe

BODY_CHARACTERS_MAX = 256 * 1024
PYTHON_CHARACTERS_MAX = 32 * 1024
TRIES_MAX = 20
"""At how many opening braces it is tried to read a value."""
TEXT_MAX = 300
LIST_MAX = 20

_HEADER = re.compile(r"(?im)^\s*<?\s*(x-spendguard-[a-z-]{1,40}):[ \t]*([^\r\n]{1,200})")
_STATUS = re.compile(r"(?i)(?:HTTP/[0-9.]{1,3}|error code:|status(?:_code)?[:=])\s*\"?([1-5][0-9]{2})\b")


@dataclass(frozen=True, slots=True)
class Body:
    """What was read: `code` and `facts` where the body is ours; what else it says, safe to show.

    `what` tells what a body is that is not ours.
    """

    code: Code | None = None
    facts: Mapping[str, Fact] = field(default_factory=dict)
    detail: str = ""
    status: int | None = None
    what: str = ""


def read(text: str) -> Body:
    """Read what was pasted; never raises."""
    text = text[:BODY_CHARACTERS_MAX]
    headers = {name.lower(): value.strip() for name, value in _HEADER.findall(text)}
    match = _STATUS.search(text)
    status = int(match[1]) if match else None
    if not text.strip():
        return Body(what="nothing came on standard input", status=status)
    for value in _values(text):
        ours = _ours(value, status)
        if ours is not None:
            return ours
    found = next(_values(text), None)
    if found is None:
        return Body(what="it holds no JSON object", status=status)
    return _foreign(found, headers, status)


def _values(text: str) -> Iterator[dict[str, object]]:
    """Yield the objects that begin at the first braces: as JSON, or as Python prints them."""
    at, decoder = -1, json.JSONDecoder()
    for _ in range(TRIES_MAX):
        at = text.find("{", at + 1)
        if at < 0:
            return
        value = _json(decoder, text, at) or _python(text[at : at + PYTHON_CHARACTERS_MAX])
        if value is not None:
            yield value


def _json(decoder: json.JSONDecoder, text: str, at: int) -> dict[str, object] | None:
    try:
        value, _ = decoder.raw_decode(text, at)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and value else None


def _python(text: str) -> dict[str, object] | None:
    end = text.rfind("}")
    try:
        value = ast.literal_eval(text[: end + 1]) if end > 0 else None
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None
    return value if isinstance(value, dict) and value else None


def _ours(value: Mapping[str, object], status: int | None) -> Body | None:
    """Return what an object of ours says; it may be the whole body, or what SDKs leave of it."""
    error = value.get("error")
    said = next((one for one in (value.get("spendguard"), _inside(error, "spendguard")) if one), None)
    if not isinstance(said, dict):
        return None
    code = _code(said.get("code"))
    if code is None:
        what = f"it has a code that this version does not know: {safe(str(said.get('code'))[:100])!r}"
        return Body(what=what, status=status)
    detail = value.get("detail") or _inside(error, "message") or ""
    facts = {str(name): fact for name, fact in ((name, _fact(fact)) for name, fact in said.items()) if fact}
    return Body(code, facts, safe(str(detail)[:TEXT_MAX], TEXT_MAX), status)


def _code(value: object) -> Code | None:
    try:
        return Code(str(value))
    except ValueError:
        return None


def _inside(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None


def _fact(value: object) -> Fact:
    """Take a number or a bounded text as it is; None for what no fact is."""
    match value:
        case bool():
            return value
        case int() if abs(value) < 2**63:
            return value
        case str():
            return value[:TEXT_MAX]
        case list():
            return [str(one)[:TEXT_MAX] for one in value[:LIST_MAX] if isinstance(one, str)]
        case _:
            return None


def _foreign(value: Mapping[str, object], headers: Mapping[str, str], status: int | None) -> Body:
    """Say what an object is that none of ours is."""
    error = value.get("error")
    message = _inside(error, "message") or (error if isinstance(error, str) else "") or value.get("message")
    kind = _inside(error, "type") or _inside(error, "status") or _inside(error, "code")
    if not message:
        return Body(what="it is JSON, but no error that SpendGuard or a provider utters", status=status)
    said = safe(str(message)[:TEXT_MAX], TEXT_MAX)
    source = headers.get("x-spendguard-source", "")
    who = "the provider's own error, which SpendGuard passed on" if source == "provider" else "an error"
    named = f" ({safe(str(kind)[:100])})" if kind else ""
    why = "" if source else ", with nothing of SpendGuard's in it: it may not have come through SpendGuard"
    call = headers.get("x-spendguard-call-id", "")[:40]
    return Body(
        facts={"call_id": call} if call else {}, what=f"it is {who}{named}{why}", detail=said, status=status
    )
