"""The provider's own till: what each request that arrived whole would be billed, kept apart from the ledger.

Calls are told apart by `user`, a field that bills nothing and passes through: `<agent id>/<number>`. What a
request uses is drawn from its tag, anywhere up to the most that it allows, so that the same call always costs
the same. The rates are gpt-4o-mini's as its provider publishes them, written down here once more.
"""

import json
import random
from collections import Counter
from typing import Any

MODEL = "gpt-4o-mini"
INPUT_NUSD, OUTPUT_NUSD = 150, 600
"""nUSD per token: 0.15 and 0.60 USD per million."""


def chat(agent_id: str, number: int, *, stream: bool = False, **members: object) -> dict[str, Any]:
    """Return a chat request with a tag of its own."""
    messages = [{"role": "user", "content": f"call {number}: " + "say something. " * (number % 7)}]
    body = {"model": MODEL, "messages": messages, "user": f"{agent_id}/{number}", **members}
    return {**body, "stream": True} if stream else body


class Till:
    """Give `till.usage` to the upstream; it is asked once for each request, when that has arrived whole."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self.agents: Counter[str] = Counter()

    def usage(self, body: dict[str, Any]) -> tuple[int, int]:
        """Draw what a request uses, as (prompt, completion) tokens, and book it."""
        tag = body["user"]
        assert tag not in self.calls, f"{tag} was sent twice"
        dice = random.Random(tag)
        cap = body.get("max_completion_tokens") or body["max_tokens"]
        most = len(json.dumps(body["messages"])), cap * body.get("n", 1)
        prompt, completion = most if dice.random() < 0.2 else tuple(dice.randint(1, top) for top in most)
        self.calls[tag] = prompt * INPUT_NUSD + completion * OUTPUT_NUSD
        self.agents[tag.split("/")[0]] += self.calls[tag]
        return prompt, completion
