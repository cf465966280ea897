"""How a history leans, and the requests that it has seen."""

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from simulator.provider import MODELS
from spendguard_daemon.ledger.events import Concurrency, Overflow

CONCURRENCIES: tuple[Concurrency, ...] = ("exclusive", "shared")
OVERFLOWS: tuple[Overflow, ...] = ("clamp", "refuse")


@dataclass
class Report:
    """What one history was."""

    seed: int
    calls: int = 0
    lives: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    records: int = 0
    records_lost: int = 0
    billed_nusd: int = 0
    charged_nusd: int = 0
    digest: str = ""


@dataclass
class Request:
    """A request of a client, and the calls it was sent as: several where it has a key and came again."""

    agent_id: str
    body: bytes
    key: str | None
    call_ids: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Temper:
    """How a history leans: each leaves much out, so that together they reach further (swarm testing)."""

    money_low: float
    money_high: float
    operator_seconds: float
    leaving: float
    deleted: float
    repeating: float
    deeds: tuple[int, ...]

    @staticmethod
    def draw(dice: random.Random) -> "Temper":
        low = dice.choice((4.0, 7.0, 9.0))
        deeds = tuple(deed for deed in range(15) if dice.random() < 0.7) or (0,)
        return Temper(
            money_low=low,
            money_high=low + dice.choice((1.0, 3.0)),
            operator_seconds=dice.choice((1.0, 10.0, 100.0)),
            leaving=dice.choice((0.0, 0.1, 0.4)),
            deleted=dice.choice((0.0, 0.1)),
            repeating=dice.choice((0.0, 0.0, 0.3)),
            deeds=deeds,
        )

    def amount(self, dice: random.Random) -> int:
        """Draw nUSD: from a fraction of what one call may cost, up to what a thousand may."""
        return int(10 ** dice.uniform(self.money_low, self.money_high))


def draw_body(dice: random.Random, tag: str) -> bytes:
    """Draw a chat request; its `user` is a tag that tells it from all others."""
    content = "say " * dice.choice((1, 5, 40, 300)) + "é" * dice.randrange(3)
    body: dict[str, Any] = {"model": dice.choice(MODELS), "user": tag}
    body["messages"] = [{"role": "user", "content": content}] * dice.choice((1, 1, 3))
    cap = dice.choice((None, 1, 50, 400, 3_000, 100_000))
    if cap is not None:
        body[dice.choice(("max_tokens", "max_completion_tokens"))] = cap
    if dice.random() < 0.5:
        body["stream"] = True
        if dice.random() < 0.3:
            body["stream_options"] = {"include_usage": True}
    if dice.random() < 0.1:
        body["n"] = dice.randint(1, 4)
    if dice.random() < 0.02:
        body["model"] = "gpt-unknown"
    if dice.random() < 0.01:
        body["prediction"] = 5
    return json.dumps(body).encode()
