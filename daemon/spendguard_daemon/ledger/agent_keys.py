"""Agents' keys: who may add, rotate and revoke one, and whether a call may use the keys that it names. Pure.

A key is known by its id and the public half of its secret; that a token holds the secret, the gateway has
shown before. Keys form trees: a child is made by who holds its parent, and is taken up when it is first used.
Invariants: a child never outlives its parent, and ends with it; a key that has ended does not come to life
again; an agent has at most `KEYS_MAX` keys that count.
"""

import re

from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, Fact, MalformedError, SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.budgets import checked_amount, live_account
from spendguard_daemon.ledger.state import AgentKey, State
from spendguard_daemon.ledger.times import NS_PER_SECOND, format_time_ms

KEYS_MAX = 1_000
"""Of an agent: live ones, and revoked ones that a signature would bring back, were they forgotten.

In a snapshot one is about 400 bytes, and never more than 5,500.
"""

LABEL_CHARS_MAX = 100
MODELS_MAX = 32
MODEL_PATTERN = re.compile(r"[!#-\[\]-~]{1,100}")
"""Plain ASCII without quotes and backslashes, which JSON would write longer."""

EXPIRES_NS_MAX = 253_402_300_800 * NS_PER_SECOND
"""The year 10000, which no record can name."""


def live_key(state: State, agent_id: str, key_id: str) -> AgentKey | None:
    """Return a key of this agent that was not revoked, None where there is none.

    Whether its time is over, or that of one that it was made from, `AgentKey.live` tells.
    """
    key = state.agent_keys.get(key_id)
    return None if key is None or key.agent_id != agent_id or key.revoked else key


def check_lineage(state: State, call: cmd.HoldCall, now: cmd.Now) -> None:
    """Check that a call may use the keys that it names, the first one first, each made from the one before.

    Raises KEY_UNKNOWN, also where the secret that it came with was replaced since, or KEY_EXPIRED where the
    time of one is over.
    """
    parent_id = None
    for key_id in call.keys:
        key = live_key(state, call.agent_id, key_id)
        if key is None or key.parent_id != parent_id:
            raise refused_key(Code.KEY_UNKNOWN, key_id)
        if parent_id is None and call.root_public not in ("", key.public):
            raise refused_key(Code.KEY_UNKNOWN, key_id)
        if not key.live(now.wall_ns):
            raise refused_key(Code.KEY_EXPIRED, key_id)
        parent_id = key_id


def decide_key(state: State, command: cmd.KeyCommand, now: cmd.Now) -> tuple[ev.Event, ...]:
    """Return the events that add, rotate or revoke a key, none where that is done already.

    Raises AGENT_NOT_FOUND, KEY_NOT_FOUND (for a key to rotate or revoke), KEY_UNKNOWN, KEY_EXPIRED,
    KEYS_TOO_MANY, MALFORMED_REQUEST, or LEDGER_REFUSED where the command makes no sense.
    """
    live_account(state, command.agent_id)
    if isinstance(command, cmd.AddKey):
        return _add(state, command, now)
    key = state.agent_keys.get(command.key_id)
    if key is None or key.agent_id != command.agent_id:
        raise refused_key(Code.KEY_NOT_FOUND, command.key_id)
    if isinstance(command, cmd.RotateKey):
        return _rotate(key, command, now)
    if key.revoked:
        return ()
    return (ev.KeyRevoke(agent_id=command.agent_id, key_id=command.key_id, actor=command.actor),)


def refused_key(code: Code, key_id: str) -> SpendGuardError:
    """Return the refusal of a key, which is named by its id."""
    facts: dict[str, Fact] = {"key_id": key_id}
    return SpendGuardError(code, TABLE[code].title, remedy=TABLE[code].agent_remedy, facts=facts)


def _add(state: State, command: cmd.AddKey, now: cmd.Now) -> tuple[ev.Event, ...]:
    known = state.agent_keys.get(command.key_id)
    if known is not None:
        said = (command.agent_id, command.public, command.parent_id)
        if known.revoked or (known.agent_id, known.public, known.parent_id) != said:
            raise refused_key(Code.KEY_UNKNOWN, command.key_id)
        return ()
    _check_form(command)
    expires_ns = command.expires_ns
    if command.parent_id is not None:
        parent = live_key(state, command.agent_id, command.parent_id)
        if parent is None:
            raise refused_key(Code.KEY_UNKNOWN, command.parent_id)
        # All expiries of a lineage count together, so the earliest is the only one that matters.
        expires_ns = min(end for end in (parent.expires_ns, expires_ns) if end is not None)
    if expires_ns is not None and expires_ns <= now.wall_ns:
        raise refused_key(Code.KEY_EXPIRED, command.key_id)
    if sum(not key.over(now.wall_ns) for key in state.keys_of(command.agent_id)) >= KEYS_MAX:
        raise refused_key(Code.KEYS_TOO_MANY, command.key_id)
    return (_key_add(command, expires_ns),)


def _key_add(command: cmd.AddKey, expires_ns: int | None) -> ev.KeyAdd:
    return ev.KeyAdd(
        agent_id=command.agent_id,
        key_id=command.key_id,
        public=command.public,
        kind=command.kind,
        actor=command.actor,
        parent_id=command.parent_id,
        limit_nusd=command.limit_nusd,
        expires_at=None if expires_ns is None else format_time_ms(expires_ns),
        models=None if command.models is None else list(command.models),
        label=command.label,
        run_id=command.run_id,
        idempotency=command.idempotency,
    )


def _check_form(command: cmd.AddKey) -> None:
    if command.limit_nusd is not None:
        checked_amount("limit", command.limit_nusd)
    if len(command.label) > LABEL_CHARS_MAX:
        raise MalformedError("label", f"at most {LABEL_CHARS_MAX} characters")
    models = command.models or ()
    if len(models) > MODELS_MAX or not all(MODEL_PATTERN.fullmatch(model) for model in models):
        raise MalformedError("models", f"at most {MODELS_MAX} patterns of 1 to 100 plain characters each")
    if command.expires_ns is not None and not 0 <= command.expires_ns < EXPIRES_NS_MAX:
        raise MalformedError("expires", "a time before the year 10000")
    # A child that never expired would have to be remembered for ever once it was revoked.
    is_child = command.parent_id is not None
    if is_child != (command.kind == "child") or (is_child and command.expires_ns is None):
        raise _refused(f"Key {command.key_id} is not what its kind says: a child has a parent and an expiry")


def _rotate(key: AgentKey, command: cmd.RotateKey, now: cmd.Now) -> tuple[ev.Event, ...]:
    if key.parent_id is not None:
        raise _refused("A key that another key made has its secret's name, and cannot be rotated")
    if key.revoked:
        raise refused_key(Code.KEY_UNKNOWN, key.key_id)
    if not key.live(now.wall_ns):
        raise refused_key(Code.KEY_EXPIRED, key.key_id)
    if key.public == command.public:
        return ()
    return (
        ev.KeyRotate(agent_id=key.agent_id, key_id=key.key_id, public=command.public, actor=command.actor),
    )


def _refused(why: str) -> SpendGuardError:
    return SpendGuardError(Code.LEDGER_REFUSED, why)
