"""Whether the ledger knows the call that a pasted body tells of: only what it says is made a command.

Anybody may have written a body. Its numbers and settings are shown, but a command that gives money, or opens
a door, is filled in from the record of that very call, or not printed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spendguard_cli.doctor import bodies
from spendguard_cli.remedies import Way, facts_of
from spendguard_cli.session import UUID
from spendguard_daemon import wire
from spendguard_daemon.errors import Fact, SpendGuardError
from spendguard_daemon.text import safe

if TYPE_CHECKING:
    from spendguard_cli.doctor.world import World

NOT_CHECKED = "as the body says, not checked: the ledger has no such refusal of this call"

_HARMLESS = (
    "--help",
    "agent list",
    "config set limits.body_bytes_max",
    "doctor",
    "exec --help",
    "explain",
    "ledger export",
    "ledger verify",
    "logs",
    "pricing refresh",
    "pricing show",
    "provider set-key",
    "provider test",
    "restart",
    "up",
)
"""Commands of ours that neither give money nor let a feature through, whoever had them typed.

`limits.body_bytes_max` is one only because its number is the sidecar's own, never the body's.
"""


@dataclass(frozen=True, slots=True)
class Known:
    """A refused call as the ledger has it; its agent as it is now, where somebody can be asked; its ref."""

    call: wire.Call
    agent: wire.Agent | None
    name: str
    ref: str


def known(world: "World", body: bodies.Body) -> Known | None:
    """Return the refusal that a body tells of; None where the ledger has none of its call with its code."""
    call_id = str(body.facts.get("call_id") or "")
    if not UUID.fullmatch(call_id):
        return None
    found = _at_hand(world, call_id) or _in_files(world, call_id)
    is_same = found is not None and found.call.state == "refused" and found.call.code == body.code
    return found if is_same else None


def _at_hand(world: "World", call_id: str) -> Known | None:
    call = world.call(call_id)
    if call is None:
        return None
    agent = _agent(world, call)
    name = safe(agent.name) if agent is not None else ""
    return Known(call, agent, name or call.agent_id, world.named.get(call.agent_id, call.agent_id))


def _agent(world: "World", call: wire.Call) -> wire.Agent | None:
    return next((one for one in world.everyone if one.agent_id == call.agent_id), None)


def _in_files(world: "World", call_id: str) -> Known | None:
    from spendguard_cli.ledger.refused import refused_call

    if not world.is_own:
        return None
    try:
        told = refused_call(world.home.ledger, call_id)
    except (SpendGuardError, OSError):
        return None
    if told is None:
        return None
    return Known(told.call, _agent(world, told.call), safe(told.name), told.ref)


def facts_alone(world: "World", call: wire.Call) -> dict[str, Fact]:
    """Return what a body alone says that may stand in words: no setting, and of limits the sidecar's own."""
    facts = {name: fact for name, fact in facts_of(call).items() if name not in ("setting", "body_bytes_max")}
    if world.settings is not None:
        facts["body_bytes_max"] = world.settings.body_bytes_max
    return facts


def harmless(ways: Sequence[Way]) -> list[Way]:
    """Return the ways of which no command gives money or opens a door: those that a mere body may lead to."""
    return [one for one in ways if all(_is_harmless(command) for command in one.commands)]


def _is_harmless(command: str) -> bool:
    return any(f"{command} ".startswith(f"spendguard {verb} ") for verb in _HARMLESS)
