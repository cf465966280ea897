"""The provider's own till: what each request that arrived whole would be billed, kept apart from the ledger.

Calls are told apart by `user`, a field that bills nothing and passes through: `<agent id>/<max_tokens>`. No
two calls of an agent ask for the same `max_tokens`, so that each hold in the journal can be matched with the
request it was made for, also where the client never heard of it. What a request uses is drawn from its tag,
anywhere up to the most that it allows. The rates are gpt-4o-mini's as its provider publishes them, written
down here once more.
"""

import json
import random
from collections import Counter
from typing import Any

from audit import Audit

MODEL = "gpt-4o-mini"
INPUT_NUSD, OUTPUT_NUSD = 150, 600
"""nUSD per token: 0.15 and 0.60 USD per million."""


def chat(agent_id: str, max_tokens: int, *, stream: bool = False, **members: object) -> dict[str, Any]:
    """Return a chat request, told from the agent's others by its `max_tokens`."""
    messages = [{"role": "user", "content": f"call {max_tokens}: " + "say something. " * (max_tokens % 7)}]
    tag = {"max_tokens": max_tokens, "user": f"{agent_id}/{max_tokens}"}
    body = {"model": MODEL, "messages": messages, **tag, **members}
    return {**body, "stream": True} if stream else body


def nusd(usd: str) -> int:
    """Read an exact decimal of USD, as answers show it, as nUSD."""
    whole, _, part = usd.partition(".")
    return int(whole) * 10**9 + int(part.ljust(9, "0"))


class Till:
    """Give `till.usage` to the upstream; it is asked once for each request, when that has arrived whole."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self.twice: list[str] = []
        self.agents: Counter[str] = Counter()

    def usage(self, body: dict[str, Any]) -> tuple[int, int]:
        """Draw what a request uses, as (prompt, completion) tokens, and book it."""
        tag = body["user"]
        self.twice += [tag] if tag in self.calls else []
        dice = random.Random(tag)
        cap = body.get("max_completion_tokens") or body["max_tokens"]
        most = len(json.dumps(body["messages"])), cap * body.get("n", 1)
        prompt, completion = most if dice.random() < 0.2 else tuple(dice.randint(1, top) for top in most)
        self.calls[tag] = prompt * INPUT_NUSD + completion * OUTPUT_NUSD
        self.agents[tag.split("/")[0]] += self.calls[tag]
        return prompt, completion

    def check(self, found: Audit) -> None:
        """Each call that has arrived was held for, sent once, and charged at what it costs here, or more."""
        assert not self.twice
        assert not found.open_calls
        held = {f"{hold['agent_id']}/{hold['asked_output_tokens']}": id_ for id_, hold in found.holds.items()}
        assert len(held) == len(found.holds)
        assert set(self.calls) <= set(held)
        for tag, call_id in held.items():
            billed, end = self.calls.get(tag, 0), found.ends[call_id]
            assert billed <= found.cost(call_id), f"{tag} cost {billed}: {end}"
            if end["t"] == "settle":
                assert billed == found.cost(call_id)
        for agent_id, billed in self.agents.items():
            assert billed <= found.agents[agent_id].settled
