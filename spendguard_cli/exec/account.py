"""What a program spends from: a key of its own, and where no agent was named an agent too; both end with it.

Invariant: what `opened` made is gone when its block is left, however it is left; only a SIGKILL of this
process leaves a key, which then expires by itself.
"""

import contextlib
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from spendguard_cli.exec.means import why_unpaid
from spendguard_cli.shapes import Spent
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.money import format_usd, parse_usd

if TYPE_CHECKING:
    from collections.abc import Callable

    from spendguard_cli.client import Control
    from spendguard_daemon import wire

KEY_SECONDS = 30 * 24 * 3600
"""How long a key outlives an `exec` that was killed; the most that one may have."""

SETTLING_SECONDS = 2.0
"""How long is waited for the program's last call to be charged."""

_STEP_SECONDS = 0.05
_CALLS_READ = 1000
_LOOKED_AT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What was asked for: an agent's id, a limit, or both; never neither. `mock`: of an agent made for it."""

    agent_id: str | None
    limit_cents: int | None
    run_id: str | None
    command: str
    mock: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An open account. `calls_before` are those of its run that are not the program's.

    `warning` says why no call can be paid, None where nothing is against it.
    """

    agent_id: str
    agent_name: str
    warning: str | None
    made_agent: bool
    key_id: str
    key: str
    run_id: str
    calls_before: int
    refused_before: frozenset[str]


@contextlib.contextmanager
def opened(
    connect: "Callable[[], Control]", wanted: Wanted, warn: "Callable[[str], None]"
) -> "Iterator[Account]":
    """Make a key, and the agent where none was named; end both afterwards.

    `connect` returns the sidecar, started again where it has ended meanwhile; `warn` is told what could not
    be ended. Raises whatever the sidecar refuses, with nothing left behind.
    """
    control = connect()
    made = wanted.agent_id is None
    agent_id = wanted.agent_id or control.create_agent(_new_agent(wanted)).agent_id
    key_id = None
    try:
        if made and wanted.limit_cents is not None:
            control.grant(agent_id, wanted.limit_cents, None)
        run_id = wanted.run_id or f"exec-{secrets.token_hex(6)}"
        key = control.create_key(agent_id, _new_key(wanted, run_id, narrower=not made))
        key_id = key.key_id
        agent = control.agent(agent_id)
        yield Account(
            agent_id=agent_id,
            agent_name=agent.name,
            warning=why_unpaid(agent, wanted.limit_cents, control.daemon_budget()),
            made_agent=made,
            key_id=key_id,
            key=key.key,
            run_id=run_id,
            calls_before=_calls_of(control, agent_id, run_id),
            refused_before=frozenset(call.call_id for call in _refused(control, agent_id, run_id)),
        )
    finally:
        _end(connect, agent_id if made else None, agent_id, key_id, warn)


def spent(control: "Control", account: Account) -> Spent:
    """Return what the program has cost, once its last call is charged or has taken too long for that."""
    deadline = time.monotonic() + SETTLING_SECONDS
    while True:
        key = control.key(account.agent_id, account.key_id)
        if not _nusd(key.held_usd) or time.monotonic() > deadline:
            break
        time.sleep(_STEP_SECONDS)
    refused = [
        call
        for call in _refused(control, account.agent_id, account.run_id)
        if call.call_id not in account.refused_before
    ]
    last = max(refused, key=lambda call: call.ended_at or call.created_at, default=None)
    return Spent(
        agent_id=account.agent_id,
        agent_name=account.agent_name,
        run_id=account.run_id,
        key_id=account.key_id,
        spent_usd=key.settled_usd,
        calls=_calls_of(control, account.agent_id, account.run_id) - account.calls_before,
        refused=sum(call.count for call in refused),
        refusal_code=last.code if last else None,
        refusal_reason=last.reason if last else None,
        held_usd=key.held_usd,
        remaining_usd=_remaining(control, account, key),
    )


def is_refused_for_money(control: "Control", account: Account) -> bool:
    """Tell whether a call was refused with 402; not one that fits and only waits for money held by others."""
    return any(
        call.http_status == 402
        and call.code != Code.BUDGET_HELD
        and call.call_id not in account.refused_before
        for call in _refused(control, account.agent_id, account.run_id, _LOOKED_AT)
    )


def _name(command: str) -> str:
    """Return a name for an agent that nobody named: `exec-claude-1a2b`."""
    word = "".join(character for character in PurePath(command).name if character.isprintable())[:100]
    return f"exec-{word or 'program'}-{secrets.token_hex(2)}"


def _new_agent(wanted: Wanted) -> dict[str, object]:
    return {"name": _name(wanted.command)} | ({"mock": True} if wanted.mock else {})


def _new_key(wanted: Wanted, run_id: str, *, narrower: bool) -> dict[str, object]:
    body: dict[str, object] = {
        "kind": "exec",
        "label": f"exec {PurePath(wanted.command).name}"[:100],
        "expires_in_seconds": KEY_SECONDS,
        "run_id": run_id,
    }
    if narrower and wanted.limit_cents is not None:
        body["limit_cents"] = wanted.limit_cents
    return body


def _calls_of(control: "Control", agent_id: str, run_id: str) -> int:
    return sum(run.calls for run in control.runs(agent_id) if run.run_id == run_id)


def _refused(control: "Control", agent_id: str, run_id: str, limit: int = _CALLS_READ) -> "list[wire.Call]":
    calls = control.calls(agent_id, limit)
    return [call for call in calls if call.state == "refused" and call.run_id == run_id]


def _remaining(control: "Control", account: Account, key: "wire.AgentKey") -> str | None:
    """Return what the program could still have spent: of its key, of its agent, whichever is less."""
    try:
        left = _nusd(control.budget(account.agent_id).remaining_usd)
    except SpendGuardError as error:
        if error.code is not Code.BUDGET_NOT_FOUND:
            raise
        return None
    if key.remaining_usd is not None:
        left = min(left, _nusd(key.remaining_usd))
    return format_usd(left)


def _nusd(usd: str) -> int:
    """Read what remains or is held; after an overrun it is below zero."""
    return -parse_usd(usd[1:]) if usd.startswith("-") else parse_usd(usd)


def _end(
    connect: "Callable[[], Control]",
    made_agent_id: str | None,
    agent_id: str,
    key_id: str | None,
    warn: "Callable[[str], None]",
) -> None:
    """Revoke the key and delete the agent that was made; say so where either cannot be."""
    try:
        control = connect()
        if key_id is not None:
            control.revoke_key(agent_id, key_id)
        if made_agent_id is not None:
            control.delete_agent(made_agent_id)
    except SpendGuardError as error:
        left = f"key {key_id} of agent {agent_id}" if key_id else f"agent {agent_id}"
        warn(f"{left} could not be ended: {error.detail}; the key expires within 30 days")
