"""Error answers as our errors: by the sidecar's own code, or the nearest to the status of a foreign body."""

from typing import TypeGuard

import msgspec

from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, Fact, SpendGuardError
from spendguard_daemon.settings import PROVIDERS
from spendguard_daemon.text import safe

DETAIL_LENGTH_MAX = 1000


def refusal(status: int, raw: bytes) -> SpendGuardError:
    """Turn an error answer into our error: its own code, or for a foreign body the nearest to its status."""
    try:
        body = msgspec.json.decode(raw, type=_Refused)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = _Refused()
    try:
        code = Code(str(body.spendguard.get("code") or body.error.get("code")))
    except ValueError:
        code = _BY_STATUS.get(status, Code.INTERNAL)
    detail = safe(body.detail, DETAIL_LENGTH_MAX) or f"{TABLE[code].title} (HTTP {status})"
    facts = {name: value for name, value in body.spendguard.items() if _is_fact(value)}
    remedy, provider = TABLE[code].operator_remedy, facts.get("provider")
    if provider in PROVIDERS:
        remedy = remedy.replace("<provider>", str(provider))
    return SpendGuardError(code, detail, remedy=remedy, facts=facts)


def _is_fact(value: object) -> TypeGuard[Fact]:
    if isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    return value is None or isinstance(value, str | int)


class _Refused(msgspec.Struct, frozen=True):
    detail: str = ""
    error: dict[str, object] = {}
    spendguard: dict[str, object] = {}


_BY_STATUS = {
    400: Code.MALFORMED_REQUEST,
    401: Code.UNAUTHORIZED,
    403: Code.NOT_ALLOWED,
    404: Code.ROUTE_NOT_FOUND,
    422: Code.MALFORMED_REQUEST,
    503: Code.SHUTTING_DOWN,
}
