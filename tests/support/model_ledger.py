"""The ledger once more, as simply as it can be said: no running totals, no clamping by division, no disk.

Every sum is taken over all calls, every cap is found by trying them one by one. What the real ledger does
must be what this does.
"""

from dataclasses import dataclass, field
from typing import Any

Offers = list[tuple[str, int, int]]  # rung, fixed nUSD, nUSD for each output token


@dataclass
class ModelLedger:
    agents: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: dict[str, dict[str, Any]] = field(default_factory=dict)  # cost None: open
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)  # parent, agent, limit, ends, dead
    entered: set[str] = field(default_factory=set)  # what was no call of ours, but spent
    cap: dict[str, Any] = field(default_factory=lambda: {"limit": None, "funded": 0})

    def spent(self, agent: str | None = None) -> int:
        return sum(c["cost"] or 0 for c in self.calls.values() if agent in (None, c["agent"]))

    def held(self, agent: str | None = None) -> int:
        mine = (c for c in self.calls.values() if agent in (None, c["agent"]))
        return sum(c["hold"] for c in mine if c["cost"] is None)

    def grant(self, agent: str | None, limit: int, topup: int) -> None:
        money = self.cap if agent is None else self.agents[agent]
        spent = self.spent(agent)
        remaining = money["funded"] - spent if money["limit"] is not None else 0
        extra = topup if money["limit"] is not None else (topup or limit)
        money.update(limit=limit, funded=spent + min(limit, remaining + extra))

    def lineage(self, key: str | None) -> tuple[str, ...]:
        return () if key is None else (*self.lineage(self.keys[key]["parent"]), key)

    def key_spent(self, key: str) -> int:
        return sum(c["cost"] or 0 for c in self.calls.values() if key in c["keys"])

    def key_held(self, key: str) -> int:
        return sum(c["hold"] for c in self.calls.values() if key in c["keys"] and c["cost"] is None)

    def key_ends(self, key: str) -> float:
        return min(self.keys[above]["ends"] for above in self.lineage(key))

    def end_key(self, key: str, *, itself: bool) -> None:
        for below in self.keys:
            if key in self.lineage(below) and (itself or below != key):
                self.keys[below]["dead"] = True

    def enter(self, name: str, agent: str, spent: int) -> None:
        """Count what an agent spent between a backup and its restore, on none of its keys."""
        self.calls[name] = {
            "agent": agent,
            "run": "",
            "hold": 0,
            "cost": spent,
            "attached": False,
            "keys": (),
        }
        self.entered.add(name)

    def key_refused(self, agent: str, key: str | None, now: int) -> str | None:
        for above in self.lineage(key):
            if self.keys[above]["agent"] != agent or self.keys[above]["dead"]:
                return "key_unknown"
            if now >= self.keys[above]["ends"]:
                return "key_expired"
        return None

    def blocked(self, agent: str, run: str, key: str | None, now: int) -> str | None:
        a = self.agents.get(agent)
        if a is None or a["deleted"]:
            return "agent_not_found"
        refused = self.key_refused(agent, key, now)
        if refused is not None:
            return refused
        if a["frozen"] is not None:
            return "agent_frozen"
        if a["limit"] is None:
            return "budget_not_set"
        here = [c for c in self.calls.values() if c["agent"] == agent and c["cost"] is None and c["attached"]]
        locked = a["concurrency"] == "exclusive" and any(c["run"] != run for c in here)
        return "budget_locked" if locked else None

    def choose(
        self, agent: str, offers: Offers, wanted: int, floor: int, injected: bool, key: str | None
    ) -> Any:
        """Return (rung, cap, amount), or the code of the refusal."""
        a = self.agents[agent]
        left = a["funded"] - self.spent(agent)
        all_left = self.cap["funded"] - self.spent() if self.cap["limit"] is not None else 10**18
        limited = [above for above in self.lineage(key) if self.keys[above]["limit"] is not None]
        keys_left = [self.keys[above]["limit"] - self.key_spent(above) for above in limited]
        keys_free = [one - self.key_held(above) for one, above in zip(keys_left, limited, strict=True)]
        free = min(left - self.held(agent), all_left - self.held(), *keys_free)
        clamp = a["overflow"] == "clamp"
        floor = min(floor, wanted) if clamp else wanted
        halve = clamp and injected and (a["concurrency"] == "shared" or self.held(agent) or self.busy(agent))
        tries = [(cap, free // 2 if halve else free) for cap in range(wanted, floor - 1, -1)] + [
            (floor, free)
        ]
        for cap, money in tries:
            for rung, fixed, each in offers:
                if fixed + each * cap <= money:
                    return rung, cap, fixed + each * cap
        need = min(fixed + each * floor for _, fixed, each in offers)
        if need <= min(left, all_left, *keys_left):
            return "budget_held"
        if need > left:
            return "insufficient_budget"
        return "key_limit" if need > min(keys_left, default=need) else "daemon_cap"

    def busy(self, agent: str) -> bool:
        return any(c["agent"] == agent and c["cost"] is None for c in self.calls.values())
