"""A second ledger over the real one's shoulder: every record as written, every sum worked out again.

It shares no code with the ledger; what it knows is the JSON of the lines. `follow` raises AssertionError at
the first record that breaks an invariant of `ledger-and-security.md` 1.7.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

Record = dict[str, Any]

KEY_SECONDS = 24 * 3600
ENDS = frozenset({"settle", "settle_worst", "void", "overrun"})


@dataclass(slots=True)
class Purse:
    """One agent's money and state."""

    funded: int = 0
    settled: int = 0
    held: int = 0
    limit: int | None = None
    frozen: bool = False
    deleted: bool = False
    needs_key: bool = False
    excused: bool = False
    """A limit cut, an overrun or a raised charge: from then on settled + held may exceed what is funded."""

    def sums(self) -> tuple[int, int, int]:
        return self.funded, self.settled, self.held


@dataclass(slots=True)
class KeyPurse:
    """One agent's key, and its money."""

    agent_id: str
    parent_id: str | None
    limit: int | None
    expires_at: str | None
    settled: int = 0
    held: int = 0
    ended: bool = False


@dataclass(slots=True)
class Shadow:
    """All purses and calls, as the records say.

    `ends` keeps how each call ended, what it was charged then, and why; `adjusted` what it was set to later.
    """

    purses: dict[str, Purse] = field(default_factory=dict)
    daemon: Purse = field(default_factory=Purse)
    holds: dict[str, Record] = field(default_factory=dict)
    ends: dict[str, tuple[str, int, str]] = field(default_factory=dict)
    sent: set[str] = field(default_factory=set)
    adjusted: dict[str, int] = field(default_factory=dict)
    must_end: dict[str, None] = field(default_factory=dict)
    keys: dict[tuple[str, str], tuple[str, str, str]] = field(default_factory=dict)
    """Agent and Idempotency-Key -> call, body, and the time of the hold that bound it."""
    agent_keys: dict[str, KeyPurse] = field(default_factory=dict)
    lineages: dict[str, list[str]] = field(default_factory=dict)
    calls: int = 0
    _base: tuple[dict[str, Purse], Purse, dict[str, int], dict[str, KeyPurse]] | None = None
    _ended: list[str] = field(default_factory=list)

    def mark(self) -> None:
        """Remember this moment, at which no call is open, for `rewind`."""
        assert not self.holds
        purses = {agent_id: replace(purse) for agent_id, purse in self.purses.items()}
        agent_keys = {key_id: replace(key) for key_id, key in self.agent_keys.items()}
        self._base = purses, replace(self.daemon), dict(self.adjusted), agent_keys
        self._ended = []

    def rewind(self) -> None:
        """Go back to the moment of `mark`, which is then forgotten."""
        assert self._base is not None
        self.purses, self.daemon, self.adjusted, self.agent_keys = self._base
        for call_id in self._ended:
            del self.ends[call_id]
        self.keys = {key: bound for key, bound in self.keys.items() if bound[0] in self.ends}
        self.holds, self.must_end, self._base = {}, {}, None
        self.mark()

    def follow(self, record: Record) -> None:
        """Take one record, in the order of the journal."""
        kind = record["t"]
        if kind == "hold":
            self._hold(record)
        elif kind in ENDS:
            self._end(record)
        elif kind == "sent":
            assert record["call_id"] in self.holds, f"I5: sent without an open hold: {record}"
        elif kind == "adjust":
            self._adjust(record)
        elif kind == "agent_new":
            assert record["agent_id"] not in self.purses
            self.purses[record["agent_id"]] = Purse()
        elif kind == "budget_set":
            self._budget(record)
        elif kind == "daemon_limit_set":
            self._daemon_limit(record)
        elif kind == "open":
            # Whoever died left these; they are charged at their holds before anything new is held.
            self.must_end = dict.fromkeys(self.holds)
        elif kind in ("freeze", "unfreeze"):
            self.purses[record["agent_id"]].frozen = kind == "freeze"
        elif kind == "agent_del":
            self.purses[record["agent_id"]].deleted = True
            for key in self.agent_keys.values():
                key.ended |= key.agent_id == record["agent_id"]
        elif kind == "agent_set":
            purse = self.purses[record["agent_id"]]
            purse.needs_key = record.get("needs_key", purse.needs_key)
        elif kind in ("key_add", "key_rotate", "key_revoke"):
            self._key(record)

    def _hold(self, record: Record) -> None:
        purse, amount, call_id = self.purses[record["agent_id"]], record["amount_nusd"], record["call_id"]
        assert not self.must_end, f"held while calls are open from before a crash: {record}"
        assert call_id not in self.holds and call_id not in self.ends, f"I5: held twice: {record}"
        assert not purse.frozen and not purse.deleted and purse.limit is not None, (
            f"held all the same: {record}"
        )
        assert type(amount) is int and amount >= 0
        assert purse.settled + purse.held + amount <= purse.funded, f"I1: past the cap: {record}"
        daemon = self.daemon
        if daemon.limit is not None:
            assert daemon.settled + daemon.held + amount <= daemon.funded, (
                f"I1: past the daemon's cap: {record}"
            )
        if "idempotency" in record:
            self._bind(record)
        self._hold_keys(record)
        purse.held += amount
        daemon.held += amount
        self.holds[call_id] = record
        self.calls += 1
        self._check(purse, record)

    def _key(self, record: Record) -> None:
        key_id = record["key_id"]
        if record["t"] == "key_add":
            names = ("agent_id", "parent_id", "limit_nusd", "expires_at")
            self.agent_keys[key_id] = KeyPurse(*(record[name] for name in names))
            self.purses[record["agent_id"]].needs_key |= record["kind"] == "agent"
            return
        self.agent_keys[key_id].ended |= record["t"] == "key_revoke"
        below = {key_id}
        for other_id, other in self.agent_keys.items():
            if other.parent_id in below:
                below.add(other_id)
                other.ended = True

    def _hold_keys(self, record: Record) -> None:
        """I1, for each key of the call: it has not ended, as far as time is told, and has room for it."""
        parent_id = None
        self.lineages[record["call_id"]] = record.get("keys", [])
        for key_id in self.lineages[record["call_id"]]:
            key = self.agent_keys[key_id]
            assert (key.agent_id, key.parent_id) == (record["agent_id"], parent_id), f"no lineage: {record}"
            late = key.expires_at is not None and record.get("ts", "") >= key.expires_at.replace(
                "Z", "000000Z"
            )
            assert not key.ended and not late, f"a key that has ended: {record}"
            key.held += record["amount_nusd"]
            assert key.limit is None or key.settled + key.held <= key.limit, f"I1: past {key}: {record}"
            parent_id = key_id

    def _charge_keys(self, call_id: str, *, settled: int, held: int = 0) -> None:
        for key_id in self.lineages[call_id]:
            self.agent_keys[key_id].settled += settled
            self.agent_keys[key_id].held += held

    def _bind(self, record: Record) -> None:
        """I8: one key, one hold; but for a key that was given back, or is a day old."""
        key = record["agent_id"], record["idempotency"]["key"]
        if key in self.keys:
            call_id, _, since = self.keys[key]
            given_back = call_id in self.ends and self.ends[call_id][0] == "void"
            assert given_back or seconds(record["ts"]) - seconds(since) >= KEY_SECONDS, f"I8: {record}"
        self.keys[key] = record["call_id"], record["idempotency"]["body"], record["ts"]

    def _end(self, record: Record) -> None:
        call_id, kind = record["call_id"], record["t"]
        hold = self.holds.pop(call_id, None)
        assert hold is not None, f"I5: an end without an open hold: {record}"
        purse, amount, cost = self.purses[hold["agent_id"]], hold["amount_nusd"], record.get("cost_nusd", 0)
        assert (record["agent_id"], record["hold_nusd"]) == (hold["agent_id"], amount), f"I5: {record}"
        assert type(cost) is int and cost >= 0
        if kind == "settle_worst":
            assert cost == amount, f"I7: {record}"
        elif kind == "overrun":
            assert cost > amount
            purse.excused = True
            overdrawn = purse.funded - purse.settled - cost < 0
            assert purse.frozen or not (overdrawn or (cost - amount) * 100 > amount), f"I3: {record}"
        else:
            assert cost <= amount, f"{kind} above its hold: {record}"
        if self.must_end:
            assert (kind, record["reason"]) == ("settle_worst", "crash"), f"after a crash: {record}"
            assert self.must_end.pop(call_id, 0) is None
        for line in record.get("lines", ()):
            assert hold["rates"].get(line["name"]) == line["rate"], f"I11: {record} held at {hold['rates']}"
        self._charge_keys(call_id, settled=cost, held=-amount)
        purse.held -= amount
        purse.settled += cost
        self.daemon.held -= amount
        self.daemon.settled += cost
        self.ends[call_id] = kind, cost, record["reason"]
        self._ended.append(call_id)
        self._check(purse, record)

    def _adjust(self, record: Record) -> None:
        purse, call_id = self.purses[record["agent_id"]], record["call_id"]
        charged = self.adjusted.get(call_id, self.ends[call_id][1])
        assert record["from_nusd"] == charged, f"I2: {record}"
        self.adjusted[call_id] = record["to_nusd"]
        change = record["to_nusd"] - record["from_nusd"]
        self._charge_keys(call_id, settled=change)
        purse.settled += change
        self.daemon.settled += change
        purse.excused |= change > 0
        self._check(purse, record)

    def _budget(self, record: Record) -> None:
        purse = self.purses[record["agent_id"]]
        remaining = purse.funded - purse.settled
        applied, cut, limit = record["applied_nusd"], record["cut_nusd"], record["limit_nusd"]
        assert applied >= 0 and cut >= 0 and record["ignored_nusd"] >= 0 and not (applied and cut)
        assert remaining + applied - cut <= limit, f"a balance above its limit: {record}"
        purse.funded += applied - cut
        purse.excused |= cut > 0
        purse.limit = limit
        self._check(purse, record)

    def _daemon_limit(self, record: Record) -> None:
        daemon = self.daemon
        daemon.limit, daemon.funded = record["limit_nusd"], record["funded_nusd"] or 0
        assert (record["settled_nusd"], record["held_nusd"]) == (daemon.settled, daemon.held), f"I9: {record}"

    def _check(self, purse: Purse, record: Record) -> None:
        said = record["funded_nusd"], record["settled_nusd"], record["held_nusd"]
        assert said == purse.sums(), f"I2: {purse} after {record}"
        if not purse.excused:
            assert purse.settled + purse.held <= purse.funded, f"I1: {purse} after {record}"

    def agrees_with(self, state: Any) -> None:
        """Check all accounts of a live or replayed state against the records (I2, I4, I9)."""
        assert state.accounts.keys() == self.purses.keys()
        settled = held = 0
        for agent_id, purse in self.purses.items():
            account = state.accounts[agent_id]
            sums = account.funded_nusd, account.settled_nusd, account.held_nusd
            assert sums == purse.sums(), f"I4: {agent_id} has {sums}, its records add up to {purse}"
            assert account.limit_nusd == purse.limit
            assert (account.frozen_reason is not None) == purse.frozen
            assert (account.deleted, account.needs_key) == (purse.deleted, purse.needs_key)
            settled, held = settled + account.settled_nusd, held + account.held_nusd
        for key_id, key in state.agent_keys.items():
            mine = self.agent_keys[key_id]
            said = (key.agent_id, key.parent_id, key.limit_nusd, key.settled_nusd, key.held_nusd, key.revoked)
            assert said == (
                mine.agent_id,
                mine.parent_id,
                mine.limit,
                mine.settled,
                mine.held,
                mine.ended,
            ), f"I4: key {key_id} is {said}, its records say {mine}"
        assert (state.daemon.settled_nusd, state.daemon.held_nusd) == (settled, held), "I9"
        assert (self.daemon.settled, self.daemon.held) == (settled, held), "I9"
        assert state.daemon.limit_nusd == self.daemon.limit
        if self.daemon.limit is not None:
            assert state.daemon.funded_nusd == self.daemon.funded
        assert state.open_calls.keys() == self.holds.keys(), "I5"


def seconds(ts: str) -> float:
    """Return the seconds since the epoch of a record's time."""
    return datetime.fromisoformat(ts[:26] + "+00:00").timestamp()
