"""What the auditor knows of agents' keys: their sums, added up once more beside `key_ring`. Pure.

The promise (I1): no hold goes past the limit of a key that it names, or is given to a key whose time is over
or that a restore has ended; what a key has settled and holds is the sum over the calls that name it. A key
may be overdrawn all the same, by an overrun or a charge that was raised; it gets no hold then.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.state import State
from spendguard_daemon.ledger.times import parse_time_ms


@dataclass(slots=True)
class _Key:
    """One key, as its records tell of it. `ended`: by a restore; of all else that ends one, `apply` knows."""

    limit_nusd: int | None
    expires_ns: int | None
    settled_nusd: int = 0
    held_nusd: int = 0
    ended: bool = False


@dataclass(slots=True)
class KeyAuditor:
    """The keys that were seen, those that the state has forgotten since the last `sums` included."""

    keys: dict[str, _Key] = field(default_factory=dict)

    @classmethod
    def of(cls, state: State) -> "KeyAuditor":
        """Go on from a state that is trusted."""
        return cls(
            {
                key.key_id: _Key(key.limit_nusd, key.expires_ns, key.settled_nusd, key.held_nusd, key.revoked)
                for key in state.agent_keys.values()
            }
        )

    def add(self, event: ev.KeyAdd) -> None:
        """Note a new key."""
        expires_ns = None if event.expires_at is None else parse_time_ms(event.expires_at)
        self.keys[event.key_id] = _Key(event.limit_nusd, expires_ns)

    def restored(self) -> None:
        """Note that all keys that there are have ended."""
        for key in self.keys.values():
            key.ended = True

    def hold(self, event: ev.Hold, wall_ns: int) -> Iterator[str]:
        """Book a hold, and yield each promise that it breaks."""
        self.move(event.keys, held=event.amount_nusd)
        for key_id in event.keys:
            key = self.keys[key_id]
            if key.limit_nusd is not None and key.settled_nusd + key.held_nusd > key.limit_nusd:
                yield f"I1: the hold of call {event.call_id} goes past the limit of key {key_id}"
            if key.expires_ns is not None and wall_ns >= key.expires_ns:
                yield f"I1: the hold of call {event.call_id} was given to key {key_id}, which had expired"
            if key.ended:
                yield f"I1: the hold of call {event.call_id} was given to key {key_id}, which had ended"

    def move(self, key_ids: Iterable[str], *, settled: int = 0, held: int = 0) -> None:
        """Move the money of keys; those that were forgotten have none."""
        for key_id in key_ids:
            key = self.keys.get(key_id)
            if key is not None:
                key.settled_nusd += settled
                key.held_nusd += held

    def sums(self, state: State) -> Iterator[str]:
        """Yield what does not add up, and forget the keys that the state has forgotten."""
        self.keys = {key_id: key for key_id, key in self.keys.items() if key_id in state.agent_keys}
        said = {key.key_id: (key.settled_nusd, key.held_nusd) for key in state.agent_keys.values()}
        for key_id, key in self.keys.items():
            if (key.settled_nusd, key.held_nusd) != said.pop(key_id):
                yield f"I2: what key {key_id} has settled and holds is not the sum of its records"
        for key_id in said:
            yield f"I2: key {key_id} is in no record"
