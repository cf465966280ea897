"""A second pair of eyes on the journal: its chain and its sums, worked out again from the bytes alone.

Shares no code with the ledger and asks it nothing: what it knows of the format is what `ledger/lines.py` and
design 4 and 8 promise to a person with `less`. `audit(folder)` raises AssertionError at the first record that
breaks the chain, contradicts the sums, or lets an agent past its money, and returns what it found.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Record = dict[str, Any]

_TAIL_BYTES = len(',"h":""}') + 32
_ENDS = ("settle", "settle_worst", "void", "overrun")


@dataclass
class Sums:
    """One agent's money in nUSD. `excused`: a limit cut, an overrun or a raised charge may exceed the cap."""

    funded: int = 0
    settled: int = 0
    held: int = 0
    excused: bool = False


@dataclass
class Key:
    """One agent's key in nUSD: what it may spend in its life (None: all), and what it has spent and holds."""

    agent_id: str
    parent_id: str | None
    limit: int | None
    expires_at: str | None
    settled: int = 0
    held: int = 0
    ended: bool = False


@dataclass
class Audit:
    """What the journal says: all records, each agent's and key's sums, and holds and ends by call."""

    records: list[Record] = field(default_factory=list)
    agents: dict[str, Sums] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    holds: dict[str, Record] = field(default_factory=dict)
    ends: dict[str, Record] = field(default_factory=dict)
    sent: set[str] = field(default_factory=set)
    open_calls: set[str] = field(default_factory=set)
    orphans: set[str] = field(default_factory=set)

    def cost(self, call_id: str) -> int:
        """Return what an ended call was charged, in nUSD."""
        return int(self.ends[call_id].get("cost_nusd", 0))


def audit(folder: Path) -> Audit:
    """Read the journal in `folder`, which must be whole, and check every record of it."""
    found = Audit()
    for record in _chain(folder):
        found.records.append(record)
        _follow(found, record)
        _follow_keys(found, record)
        if "funded_nusd" in record and "agent_id" in record:
            _check_sums(found.agents[record["agent_id"]], record)
    return found


def _chain(folder: Path) -> Iterator[Record]:
    seq, h, ack = 0, "0" * 32, 0
    segments = [*folder.glob("seg-*.jsonl"), *folder.glob("archive/seg-*.jsonl")]
    for path in sorted(segments, key=lambda path: path.name):
        raw = path.read_bytes()
        assert raw.endswith(b"\n"), f"{path.name} ends in the middle of a line"
        assert int(path.stem.removeprefix("seg-")) == seq + 1, path.name
        for line in raw[:-1].split(b"\n"):
            record: Record = json.loads(line)
            body, tail = line[:-_TAIL_BYTES], line[-_TAIL_BYTES:]
            digest = hashlib.sha256(body).hexdigest()[:32]
            assert tail == b',"h":"%s"}' % digest.encode(), f"hash of record {seq + 1}"
            assert line.isascii() and len(line) < 16 * 1024, f"form of record {seq + 1}"
            assert (record["v"], record["seq"], record["prev"]) == (1, seq + 1, h), f"chain at {seq + 1}"
            assert ack <= record["ack"] < record["seq"], f"ack of record {seq + 1}"
            seq, h, ack = record["seq"], digest, record["ack"]
            yield record


def _follow(found: Audit, record: Record) -> None:
    kind, call_id = record["t"], record.get("call_id", "")
    agent = found.agents.get(record.get("agent_id", ""), Sums())
    if kind == "open":
        # Whoever died left these; they must be charged at their holds before anything new is held.
        found.orphans = set(found.open_calls)
    elif kind == "agent_new":
        assert record["agent_id"] not in found.agents
        found.agents[record["agent_id"]] = Sums()
    elif kind == "budget_set":
        agent.funded += record["applied_nusd"] - record["cut_nusd"]
        agent.excused |= record["cut_nusd"] > 0
    elif kind == "hold":
        assert not found.orphans, f"held while {found.orphans} are open from before a crash"
        assert call_id not in found.holds, f"{call_id} was held twice"
        amount = record["amount_nusd"]
        assert agent.settled + agent.held + amount <= agent.funded, (
            f"record {record['seq']} goes past the cap"
        )
        agent.held += amount
        found.holds[call_id] = record
        found.open_calls.add(call_id)
    elif kind == "sent":
        assert call_id in found.open_calls
        found.sent.add(call_id)
    elif kind in _ENDS:
        _end(found, agent, record)
    elif kind == "adjust":
        assert call_id in found.ends
        agent.settled += record["to_nusd"] - record["from_nusd"]
        agent.excused |= record["to_nusd"] > record["from_nusd"]


def _follow_keys(found: Audit, record: Record) -> None:
    """Charge each key of a call with what the call is charged; none goes past its limit by a hold."""
    kind = record["t"]
    if kind == "key_add":
        given = (record[name] for name in ("agent_id", "parent_id", "limit_nusd", "expires_at"))
        found.keys[record["key_id"]] = Key(*given)
    elif kind in ("key_rotate", "key_revoke"):
        found.keys[record["key_id"]].ended |= kind == "key_revoke"
        below = {record["key_id"]}
        for key_id, key in found.keys.items():
            if key.parent_id in below:
                below.add(key_id)
                key.ended = True
    elif kind in ("agent_del", "restored"):
        for key in found.keys.values():
            key.ended |= record.get("agent_id", key.agent_id) == key.agent_id
    elif kind in ("hold", "adjust", *_ENDS):
        settled = record["to_nusd"] - record["from_nusd"] if kind == "adjust" else record.get("cost_nusd", 0)
        parent_id = None
        for key_id in found.holds[record["call_id"]].get("keys", ()):
            key = found.keys[key_id]
            key.settled += settled
            key.held += record.get("amount_nusd", 0) - record.get("hold_nusd", 0)
            if kind == "hold":
                _check_key(key, record, parent_id)
            parent_id = key_id


def _check_key(key: Key, record: Record, parent_id: str | None) -> None:
    where = f"the keys of record {record['seq']}"
    assert (key.agent_id, key.parent_id, key.ended) == (record["agent_id"], parent_id, False), where
    assert key.expires_at is None or record["ts"] < key.expires_at.replace("Z", "000000Z"), where
    assert key.limit is None or key.settled + key.held <= key.limit, f"{where}: past a key's limit"


def _end(found: Audit, agent: Sums, record: Record) -> None:
    call_id, kind, hold = record["call_id"], record["t"], record["hold_nusd"]
    cost = record.get("cost_nusd", 0)
    assert call_id in found.open_calls, f"{call_id} ends without a hold, or twice"
    assert hold == found.holds[call_id]["amount_nusd"]
    within = {"settle": 0 <= cost <= hold, "settle_worst": cost == hold, "void": cost == 0}
    assert within.get(kind, cost > hold), f"{kind} of {cost} on a hold of {hold}"
    if call_id in found.orphans:
        assert (kind, record["reason"]) == ("settle_worst", "crash")
        found.orphans.discard(call_id)
    agent.excused |= kind == "overrun"
    found.open_calls.discard(call_id)
    agent.held -= hold
    agent.settled += cost
    found.ends[call_id] = record


def _check_sums(agent: Sums, record: Record) -> None:
    said = (record["funded_nusd"], record["settled_nusd"], record["held_nusd"])
    assert said == (agent.funded, agent.settled, agent.held), f"balances of record {record['seq']}"
    assert agent.excused or agent.settled + agent.held <= agent.funded, f"past the cap at {record['seq']}"
