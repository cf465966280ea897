"""What a sidecar that is started from this shell would make of its prices: its verifier, its settings.

For `doctor`, which has to say why there are no prices also where no sidecar runs. Asks the price server once
and writes nothing. Invariant: nothing here makes prices count; it only tells what would.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from spendguard_cli.pricing import sources, trusting
from spendguard_daemon import settings as all_settings
from spendguard_daemon.addresses import PUBLIC_PRICES_KEY, without_query
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing import trust
from spendguard_daemon.pricing.trust import PinnedKey, Trust
from spendguard_daemon.runtime import Home, read_text
from spendguard_daemon.settings import Settings
from spendguard_daemon.text import safe

SCHEMAS = {"any": trust.BOTH_SCHEMAS, "1": frozenset({1}), "2": frozenset({2})}
NAMES_SHOWN = 5
NAME_CHARACTERS_MAX = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """How prices would be taken, and of which schema. `error`: why there would be none.

    `key_from` is the variable, or config.toml, that names one key in place of trust.toml; empty where none
    does. `named` are the keys that the document says it is signed with, `pinned` those of this home, as a
    person is told of them. `better_without_key`: without what `key_from` names, the document would count.
    `published_signed`: the published key signed it, and is not pinned.
    """

    remote: bool
    url: str
    schema: str = "any"
    error: SpendGuardError | None = None
    key_from: str = ""
    named: tuple[str, ...] = ()
    pinned: tuple[str, ...] = ()
    better_without_key: bool = False
    published_signed: bool = False


def look(home: Home, env: Mapping[str, str], now_ns: int) -> Outlook:
    """Ask the price server of this shell's settings, and judge its answer; raises USAGE for bad settings."""
    text = read_text(home.config)
    found = all_settings.load(text, env)
    if found.price_source == "local":
        return Outlook(remote=False, url="")
    seen = Outlook(
        remote=True,
        url=without_query(found.price_url),
        schema=found.price_schema,
        key_from=_key_from(text, env),
    )
    pinned, no_key = _keys(home, found)
    seen = replace(seen, pinned=tuple(_told(key, now_ns) for key in pinned.keys))
    try:
        raw = sources.fetch(found.price_url, found.price_http_timeout_seconds)
    except SpendGuardError as failed:
        return replace(seen, error=no_key or failed)
    error = no_key or _refusal(raw, found, pinned, now_ns)
    if error is None or error.code is not Code.PRICING_SIGNATURE:
        return replace(seen, error=error)
    without = _without_key(text, env)
    published = trust.read_public_key(PUBLIC_PRICES_KEY)
    return replace(
        seen,
        error=error,
        named=_named(raw),
        better_without_key=without is not None and _counts(raw, without, home, now_ns),
        published_signed=_refusal(raw, found, published, now_ns) is None,
    )


def _keys(home: Home, found: Settings) -> tuple[Trust, SpendGuardError | None]:
    """Return whom these settings trust, or nobody and why."""
    try:
        if not found.price_verify_signature:
            return Trust(()), None
        if found.price_public_key:
            return trust.read_public_key(found.price_public_key), None
        return trusting.read(read_text(home.trust)), None
    except SpendGuardError as error:
        return Trust(()), error


def _refusal(raw: bytes, found: Settings, pinned: Trust, now_ns: int) -> SpendGuardError | None:
    schemas, skew_ns = SCHEMAS[found.price_schema], found.price_expiry_skew_seconds * 1_000_000_000
    try:
        if found.price_verify_signature:
            trust.verify(raw, pinned=pinned, now_ns=now_ns, high_water=None, schemas=schemas, skew_ns=skew_ns)
        else:
            trust.read_unverified(raw, now_ns=now_ns, high_water=None, schemas=schemas, skew_ns=skew_ns)
    except SpendGuardError as error:
        return error
    return None


def _counts(raw: bytes, found: Settings, home: Home, now_ns: int) -> bool:
    pinned, no_key = _keys(home, found)
    return no_key is None and _refusal(raw, found, pinned, now_ns) is None


def _without_key(text: str, env: Mapping[str, str]) -> Settings | None:
    """Return the settings without the variables that name a key, None where config.toml names one too."""
    without = {name: value for name, value in env.items() if name not in _key_names()}
    if _key_from(text, env) == "config.toml" or _key_from(text, without):
        return None
    return all_settings.load(text, without)


def _key_from(text: str, env: Mapping[str, str]) -> str:
    named = next((name for name in _key_names() if env.get(name)), "")
    if named or not all_settings.load(text, {}).price_public_key:
        return named
    import tomllib

    return "config.toml" if tomllib.loads(text).get("prices", {}).get("public_key") else ""


def _key_names() -> tuple[str, ...]:
    return next(row.env for row in all_settings.rows() if row.field == "price_public_key")


def _named(raw: bytes) -> tuple[str, ...]:
    """Return the ids of the keys that a document names; schema 1 names none."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(body, dict):
        return ()
    others = body.get("co_signatures")
    names = [body.get("key_id"), *(others if isinstance(others, dict) else ())]
    texts = [safe(name)[:NAME_CHARACTERS_MAX] for name in names if isinstance(name, str)]
    return tuple(texts[:NAMES_SHOWN])


def _told(key: PinnedKey, now_ns: int) -> str:
    state = trusting.state(key, now_ns)
    return key.name if state == "good" else f"{key.name} ({state})"
