"""Agents' keys in the state: what `apply` does with them, live and on replay alike. Pure.

Keys that have ended are forgotten beyond the newest `DEAD_KEPT` of an agent, when it gets a new one and by
the time of that record, so that replay forgets the same ones. Invariant: no key is forgotten that holds
money, or that could be taken up again with its spend at nothing (`AgentKey.over`).
"""

from collections.abc import Iterable

from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.state import AgentKey, ContradictionError, State
from spendguard_daemon.ledger.times import parse_time_ms

DEAD_KEPT = 100


def apply_key(state: State, event: ev.KeyEvent, wall_ns: int) -> None:
    """Add, rotate or revoke a key; raise ContradictionError where that cannot follow."""
    if event.agent_id not in state.accounts:
        raise ContradictionError(f"there is no agent {event.agent_id}")
    if isinstance(event, ev.KeyAdd):
        _add(state, event, wall_ns)
        return
    key = _own_key(state, event.agent_id, event.key_id)
    if isinstance(event, ev.KeyRotate):
        key.public = event.public
    else:
        key.revoked = True
    _end_descendants(state, key)


def end_keys(state: State, agent_id: str, wall_ns: int) -> None:
    """End all keys of an agent that is deleted, or comes back with a backup; what they hold still settles."""
    for key in state.keys_of(agent_id):
        key.revoked = key.orphan = True
    _forget(state, agent_id, wall_ns)


def check_hold(state: State, event: ev.Hold) -> None:
    """Raise ContradictionError where the keys of a hold are not a lineage of its agent's keys."""
    parent_id = None
    for key_id in event.keys:
        if _own_key(state, event.agent_id, key_id).parent_id != parent_id:
            raise ContradictionError(f"key {key_id} was not made from {parent_id}")
        parent_id = key_id


def charge(state: State, key_ids: Iterable[str], *, settled: int = 0, held: int = 0) -> None:
    """Move the money of keys; what was forgotten since has no sums any more."""
    for key_id in key_ids:
        key = state.agent_keys.get(key_id)
        if key is not None:
            key.settled_nusd += settled
            key.held_nusd += held


def _add(state: State, event: ev.KeyAdd, wall_ns: int) -> None:
    if event.key_id in state.agent_keys:
        raise ContradictionError(f"key {event.key_id} exists already")
    try:
        expires_ns = None if event.expires_at is None else parse_time_ms(event.expires_at)
    except ValueError as error:
        raise ContradictionError(str(error)) from None
    if event.parent_id is not None:
        ends_ns = _own_key(state, event.agent_id, event.parent_id).expires_ns
        if ends_ns is not None and (expires_ns is None or expires_ns > ends_ns):
            raise ContradictionError(f"key {event.key_id} outlives the key that it was made from")
    state.add_key(
        AgentKey(
            key_id=event.key_id,
            agent_id=event.agent_id,
            parent_id=event.parent_id,
            public=event.public,
            kind=event.kind,
            limit_nusd=event.limit_nusd,
            expires_ns=expires_ns,
            models=event.models,
            label=event.label,
            run_id=event.run_id,
            created_ns=wall_ns,
        )
    )
    state.accounts[event.agent_id].needs_key |= event.kind == "agent"
    _forget(state, event.agent_id, wall_ns)


def _own_key(state: State, agent_id: str, key_id: str) -> AgentKey:
    key = state.agent_keys.get(key_id)
    if key is None or key.agent_id != agent_id or key.revoked:
        raise ContradictionError(f"agent {agent_id} has no key {key_id} that was not revoked")
    return key


def _end_descendants(state: State, key: AgentKey) -> None:
    ended = {key.key_id}
    for other in state.keys_of(key.agent_id):  # a parent stands before its children
        if other.parent_id in ended:
            ended.add(other.key_id)
            other.revoked = other.orphan = True


def _forget(state: State, agent_id: str, wall_ns: int) -> None:
    dead = [key for key in state.keys_of(agent_id) if key.over(wall_ns) and not key.held_nusd]
    for key in dead[:-DEAD_KEPT]:
        state.forget_key(key)
