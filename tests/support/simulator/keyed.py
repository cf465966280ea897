"""Agents' keys in simulated histories: what operators and children do with them, and which a call names."""

import random

from spendguard_daemon.errors import Code
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.ledger.state import AgentKey

OF_KEYS = frozenset(
    {Code.KEY_EXPIRED, Code.KEY_LIMIT, Code.KEY_UNKNOWN, Code.KEYS_TOO_MANY, Code.LEDGER_REFUSED}
)
"""What calls with keys, and those who add and rotate some, may be refused with."""


def key_command(
    ledger: Ledger, agent_id: str, key_id: str, limit_nusd: int, dice: random.Random
) -> cmd.KeyCommand:
    """Make a key or take up a child, mostly; else rotate or revoke one, which may have ended before."""
    known = [key.key_id for key in ledger.state.keys_of(agent_id)]
    if known and dice.random() < 0.15:
        return cmd.RotateKey(agent_id, dice.choice(known), f"another of {key_id}", "op")
    if known and dice.random() < 0.15:
        return cmd.RevokeKey(agent_id, dice.choice(known), "op")
    live = [key.key_id for key in ledger.state.keys_of(agent_id) if not key.revoked]
    parent_id = dice.choice((None, *live))
    ends_ns = ledger.now().wall_ns + dice.choice((10**8, 10**9, 10**12))
    return cmd.AddKey(
        agent_id,
        key_id,
        f"public of {key_id}",
        "child" if parent_id else dice.choice(("agent", "exec")),
        "op",
        parent_id=parent_id,
        limit_nusd=dice.choice((None, limit_nusd)),
        expires_ns=ends_ns if parent_id or dice.random() < 0.5 else None,
    )


def lineage(ledger: Ledger, agent_id: str, dice: random.Random) -> tuple[str, ...]:
    """Return the keys of some token of the agent, which may have ended; none where there never was one."""
    known: list[AgentKey | None] = [*ledger.state.keys_of(agent_id)]
    key, found = dice.choice(known) if known else None, tuple[str, ...]()
    while key is not None:
        found = (key.key_id, *found)
        key = ledger.state.agent_keys.get(key.parent_id or "")
    return found
