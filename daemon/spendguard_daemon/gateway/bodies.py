"""What operators send, checked: from a JSON body to a `wire` shape, and from cents to money.

Extra fields are allowed (design 6); duplicate keys, floats, booleans for numbers and absurd amounts are not.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from spendguard_daemon.errors import MalformedError, SpendGuardError
from spendguard_daemon.features import FEATURES_MAX, is_feature
from spendguard_daemon.ledger.events import AgentPolicy, Concurrency, Overflow
from spendguard_daemon.money import CENTS_MAX, Nusd, from_cents, parse_usd
from spendguard_daemon.providers.json_text import parse
from spendguard_daemon.settings import CHOICES, RANGES
from spendguard_daemon.text import NAME_LENGTH_MAX, is_name, safe
from spendguard_daemon.wire import ChangePolicy

Shape = TypeVar("Shape", bound=msgspec.Struct)

_MISSING = re.compile("Object missing required field `(.+)`")


def decode(body: bytes, shape: type[Shape]) -> Shape:
    """Read a control body; an empty one counts as `{}`. Raises MALFORMED_REQUEST with the field's path."""
    members = parse(body or b"{}").members
    try:
        return msgspec.convert({name: member.value for name, member in members.items()}, shape, strict=True)
    except msgspec.ValidationError as error:
        # "Expected `int`, got `float` - at `$.hard_limit_cents`" in msgspec's words.
        what, _, path = str(error).partition(" - at `")
        if missing := _MISSING.fullmatch(what):
            raise MalformedError(missing[1], "to be there") from None
        raise MalformedError(
            path.rstrip("`").removeprefix("$.") or "body", safe(what.removeprefix("Expected "))
        ) from None


def cents(amount: int, name: str) -> Nusd:
    """Turn an amount in cents from outside into money; it must not be negative, nor above 9 million USD."""
    if not 0 <= amount <= CENTS_MAX:
        raise MalformedError(name, f"whole cents from 0 to {CENTS_MAX}")
    return from_cents(amount)


def usd(text: str, name: str) -> Nusd:
    """Read an exact amount in USD from outside."""
    try:
        return parse_usd(text)
    except SpendGuardError as error:
        raise MalformedError(name, "an exact decimal of USD such as 0.0123") from error


def name(text: str) -> str:
    """Return an agent's name; it must print as itself."""
    if not is_name(text):
        raise MalformedError("name", f"1 to {NAME_LENGTH_MAX} printable characters")
    return text


def concurrency(text: str | None) -> Concurrency | None:
    """Return how an agent's runs go together, None where nothing was said."""
    match text:
        case None | "exclusive" | "shared":
            return text
        case _:
            raise MalformedError("concurrency", "exclusive or shared")


def overflow(text: str | None) -> Overflow | None:
    """Return what becomes of an output cap that does not fit, None where nothing was said."""
    match text:
        case None | "clamp" | "refuse":
            return text
        case _:
            raise MalformedError("overflow", "clamp or refuse")


def policy(change: ChangePolicy | None, before: AgentPolicy | None) -> AgentPolicy | None:
    """Return an agent's own policy after a change, None where nothing was said of it."""
    if change is None:
        return None
    own = before or AgentPolicy()
    given = {name: value for name in _POLICY if (value := getattr(change, name)) is not msgspec.UNSET}
    for name, value in given.items():
        if value is not None and not _POLICY[name][0](value):
            raise MalformedError(f"policy.{name}", _POLICY[name][1])
    if given.get("allow") is not None:
        given["allow"] = sorted(set(given["allow"])) or None
    after = msgspec.structs.replace(own, **given)
    return None if after == own else after


def _one_of(name: str) -> tuple[Callable[[Any], bool], str]:
    return CHOICES[name].__contains__, " or ".join(CHOICES[name])


def _within(name: str) -> tuple[Callable[[Any], bool], str]:
    least, most = RANGES[name]
    return lambda value: least <= value <= most, f"a whole number from {least} to {most}"


_POLICY: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "hosted_tools": _one_of("hosted_tools"),
    "hosted_tool_uses": _within("hosted_tool_uses"),
    "server_state": _one_of("server_state"),
    "exact_count": _one_of("exact_count"),
    "allow": (
        lambda value: len(value) <= FEATURES_MAX and all(map(is_feature, value)),
        f"at most {FEATURES_MAX} features as refusals name them, such as anthropic.tool:bash_20250124",
    ),
    "on_insufficient": _one_of("on_insufficient"),
    "wait_seconds": _within("wait_seconds"),
}
"""What each setting of an agent's own policy takes, and how to say so."""


def reason(text: str | None, default: str) -> str:
    """Return a reason fit for the journal and for a terminal."""
    return safe(text or default)


def page(query: Mapping[str, str]) -> tuple[int, str | None]:
    """Return the limit and the cursor of a page of calls."""
    limit = query.get("limit", "50")
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= 1000):
        raise MalformedError("query.limit", "a whole number from 1 to 1000")
    return int(limit), query.get("before")
