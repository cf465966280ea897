"""Who may come in: Host, absolute form, browser marks, and the admin token. Pure decisions on raw headers.

Sources: ledger-and-security 4 (DNS rebinding, CSRF). The raw `Host` header is checked, not what a library
makes of it, because an absolute-form target or an odd port can make the two differ.
"""

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass

from spendguard_daemon.errors import Code, MalformedError, SpendGuardError

AGENT_HEADER = "x-cynsta-agent-id"
RUN_HEADERS = ("x-cynsta-run-id", "x-claude-code-session-id")
"""Ours first; then a client's own session header, which groups its calls for free (design 4)."""

IDEMPOTENCY_HEADER = "idempotency-key"
AGENT_KEY_PREFIX = "sg_agent_"
RUN_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,128}")


@dataclass(frozen=True, slots=True)
class Identity:
    """For whom a call is: an agent's id and, where one is named, its run."""

    agent_id: str
    run_id: str | None


def check_transport(
    target: str,
    hosts: Sequence[str],
    served: frozenset[str],
    origins: Sequence[str],
    fetch_sites: Sequence[str],
) -> None:
    """Refuse a request that did not come straight from a program on this machine.

    Raises MISDIRECTED_HOST or FORBIDDEN_ORIGIN.
    """
    if not target.startswith("/"):
        raise SpendGuardError(Code.MISDIRECTED_HOST, "Host not served here: send a path, not a whole URL")
    if len(hosts) != 1 or hosts[0].lower() not in served:
        raise SpendGuardError(
            Code.MISDIRECTED_HOST, f"Host not served here: use one of {', '.join(sorted(served))}"
        )
    if origins or any(site != "none" for site in fetch_sites):
        raise SpendGuardError(Code.FORBIDDEN_ORIGIN, "Requests from web pages are refused")


def served_hosts(port: int) -> frozenset[str]:
    """Return the Host headers under which a sidecar on `port` is reached."""
    return frozenset({f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}"})


KEY_HEADERS = ("x-api-key", "x-goog-api-key")
"""Where SDKs send a key by itself; Google's also in the query, as `key`."""


def key_slots(authorization: Sequence[str], keys: Sequence[str]) -> list[str]:
    """Return what stands where SDKs send a key: `Authorization: Bearer`, and the `keys` found elsewhere."""
    bearer = [value[7:].strip() for value in authorization if value[:7].lower() == "bearer "]
    return [*bearer, *(value.strip() for value in keys)]


def is_admin(slots: Sequence[str], token: str) -> bool:
    """Tell whether any key slot holds the admin token, in constant time."""
    # A header may hold any byte; aiohttp keeps what is no UTF-8 as surrogates.
    return any(hmac.compare_digest(slot.encode(errors="surrogateescape"), token.encode()) for slot in slots)


def require_admin(slots: Sequence[str], token: str) -> None:
    """Raise UNAUTHORIZED unless the admin token was sent."""
    if not is_admin(slots, token):
        what = "wrong" if slots else "missing"
        raise SpendGuardError(Code.UNAUTHORIZED, f"Unauthorized: the admin token is {what}")


def identify(
    slots: Sequence[str],
    path_agent: str,
    path_run: str,
    agents: Sequence[str],
    runs: Sequence[Sequence[str]],
    provider: str = "openai",
) -> Identity:
    """Return for whom a model call is; all that is named must agree (design 5.1).

    `agents` are the values of x-cynsta-agent-id, `runs` those of each of RUN_HEADERS, in that order;
    `provider` is whose format was called. Raises MISSING_AGENT, IDENTITY_CONFLICT, MALFORMED_REQUEST,
    UNAUTHORIZED for a key that is not known.
    """
    if any(slot.startswith(AGENT_KEY_PREFIX) for slot in slots):
        raise SpendGuardError(Code.UNAUTHORIZED, "Unauthorized: this agent key is not known")
    named = {agent.strip().lower() for agent in (*agents, path_agent) if agent.strip()}
    if not named:
        remedy = (
            f"Send x-cynsta-agent-id, or use the base URL /v1/agents/<agent_id>/runs/<run_id>/{provider}; "
            "spendguard agent list shows the ids."
        )
        raise SpendGuardError(
            Code.MISSING_AGENT, "Missing x-cynsta-agent-id header", facts={"remedy": remedy}
        )
    if len(named) > 1:
        raise SpendGuardError(
            Code.IDENTITY_CONFLICT, "Conflicting identities: path and header name other agents"
        )
    return Identity(named.pop(), _run(path_run, runs))


def idempotency_key(values: Sequence[str]) -> str | None:
    """Return the Idempotency-Key of a request, None without one; raise MALFORMED_REQUEST."""
    if not values:
        return None
    if len(values) > 1 or not IDEMPOTENCY_KEY.fullmatch(values[0]):
        raise MalformedError(IDEMPOTENCY_HEADER, "once, 1 to 128 visible ASCII characters")
    return values[0]


def _run(path_run: str, runs: Sequence[Sequence[str]]) -> str | None:
    ours, foreign = runs
    named = {run.strip() for run in (*ours, path_run) if run.strip()}
    if len(named) > 1:
        raise SpendGuardError(
            Code.IDENTITY_CONFLICT, "Conflicting identities: path and header name other runs"
        )
    run = named.pop() if named else next((run.strip() for run in foreign if run.strip()), None)
    if run is not None and not RUN_ID.fullmatch(run):
        raise MalformedError("run id", "1 to 128 of A-Z a-z 0-9 . _ : -")
    return run
