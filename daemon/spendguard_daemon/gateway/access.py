"""Who may come in: Host, absolute form, browser marks, what stands in key slots. Pure; reads raw headers.

Sources: ledger-and-security 4 (DNS rebinding, CSRF). The raw `Host` header is checked, not what a library
makes of it, because an absolute-form target or an odd port can make the two differ.
"""

import hmac
import re
from collections.abc import Sequence

from spendguard_daemon.agent_keys import PREFIX
from spendguard_daemon.errors import Code, MalformedError, SpendGuardError
from spendguard_daemon.text import holds_key

IDEMPOTENCY_HEADER = "idempotency-key"
WAIT_HEADER = "x-spendguard-wait"
WAIT_SECONDS_MAX = 600
RUN_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
RUN_ID_FORM = "1 to 128 of A-Z a-z 0-9 . _ : -, and no key"

IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,128}")
_SECONDS = re.compile(r"[0-9]{1,4}")


def check_transport(
    target: str,
    hosts: Sequence[str],
    served: frozenset[str],
    origins: Sequence[str],
    fetch_sites: Sequence[str],
    pages: frozenset[str] = frozenset(),
) -> str | None:
    """Refuse a request that did not come straight from a program, or from one of the web `pages` let in.

    Returns the origin of that page, None for a program. Raises MISDIRECTED_HOST or FORBIDDEN_ORIGIN.
    """
    if not target.startswith("/"):
        raise _misdirected("send a path, not a whole URL", "Send a path in the request line.")
    if len(hosts) != 1 or hosts[0].lower() not in served:
        names = ", ".join(sorted(served))
        raise _misdirected(
            f"use one of {names}", f"Call one of {names}; your operator adds other names ([access] hosts)."
        )
    if len(origins) == 1 and origins[0] in pages:
        return origins[0]  # wherever the browser says that the page stands
    if origins or any(site != "none" for site in fetch_sites):
        raise SpendGuardError(Code.FORBIDDEN_ORIGIN, "Requests from web pages are refused")
    return None


def _misdirected(what: str, remedy: str) -> SpendGuardError:
    return SpendGuardError(Code.MISDIRECTED_HOST, f"Host not served here: {what}", facts={"remedy": remedy})


KEY_HEADERS = ("x-api-key", "x-goog-api-key")
"""Where SDKs send a key by itself; Google's also in the query, as `key`."""


def key_slots(authorization: Sequence[str], keys: Sequence[str]) -> list[str]:
    """Return what stands where SDKs send a key: `Authorization: Bearer`, and the `keys` found elsewhere.

    An agent key counts after any other word too, or after none: it is never taken for nothing.
    """
    slots = []
    for value in authorization:
        scheme, *rest = value.split(None, 1) or [""]
        credentials = rest[0].strip() if rest else scheme
        if (rest and scheme.lower() == "bearer") or is_agent_key(credentials):
            slots.append(credentials)
    return [*slots, *(value.strip() for value in keys)]


def is_agent_key(slot: str) -> bool:
    """Tell whether what stands in a key slot is one of our agent keys, or was to be one."""
    return slot[: len(PREFIX)].lower() == PREFIX


def is_admin(slots: Sequence[str], token: str) -> bool:
    """Tell whether any key slot holds the admin token, in constant time."""
    # A header may hold any byte; aiohttp keeps what is no UTF-8 as surrogates.
    return any(hmac.compare_digest(slot.encode(errors="surrogateescape"), token.encode()) for slot in slots)


def require_admin(slots: Sequence[str], token: str) -> None:
    """Raise UNAUTHORIZED unless the admin token was sent."""
    if not is_admin(slots, token):
        raise unauthorized(slots)


def unauthorized(slots: Sequence[str]) -> SpendGuardError:
    """Return the refusal of a route that is for operators, or for the agent that it is about."""
    if any(map(is_agent_key, slots)):
        return SpendGuardError(Code.UNAUTHORIZED, "Unauthorized: no agent key opens this route")
    what = "wrong" if slots else "missing"
    return SpendGuardError(Code.UNAUTHORIZED, f"Unauthorized: the admin token is {what}")


def is_run_id(text: str) -> bool:
    """Tell whether `text` may name a run; a key may not, for runs are written down and shown."""
    return RUN_ID.fullmatch(text) is not None and not holds_key(text)


def idempotency_key(values: Sequence[str]) -> str | None:
    """Return the Idempotency-Key of a request, None without one; raise MALFORMED_REQUEST."""
    if not values:
        return None
    if len(values) > 1 or not IDEMPOTENCY_KEY.fullmatch(values[0]) or holds_key(values[0]):
        raise MalformedError(IDEMPOTENCY_HEADER, "once, 1 to 128 visible ASCII characters, and no key")
    return values[0]


def wait_seconds(values: Sequence[str]) -> int | None:
    """Return for how long a request says it waits, None where it does not; raise MALFORMED_REQUEST."""
    if not values:
        return None
    if len(values) > 1 or not _SECONDS.fullmatch(values[0]) or int(values[0]) > WAIT_SECONDS_MAX:
        raise MalformedError(WAIT_HEADER, f"once, whole seconds from 0 to {WAIT_SECONDS_MAX}")
    return int(values[0])
