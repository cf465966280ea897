"""Earlier answers that a request goes on from, which lie at the provider: whose they are, and how large.

Only an answer that a call of the same agent got may be gone on from. What it adds to the input is then known
from its own usage: all that it read and all that it wrote. That is so for the same model only, whose tokens
they are; and of which calls, `booking` has said. Knows no prices and no wire format.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger.history import History

ENDING_SECONDS = 2
"""How long a call whose answer has named itself already may take to be booked, before its size is unknown."""

Ending = Callable[[str, Collection[str]], "Sequence[asyncio.Task[object]]"]
"""Given an agent and answer ids: the tasks of its open calls whose answers bear one of them."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a request goes on from: how many tokens in all, None where that is not known, of which models."""

    tokens: int | None = 0
    models: frozenset[tuple[str, str]] = frozenset()

    def tokens_for(self, provider: str, model: str) -> int | None:
        """Return how many tokens this adds to an input of a model; None for what another model counted."""
        return self.tokens if self.models <= {(provider, model)} else None


async def earlier(ids: Sequence[str], agent_id: str, history: History, ending: Ending) -> Earlier:
    """Return what these answers of the agent add to an input.

    Waits a moment for a call that is just being booked. Raises FOREIGN_STATE for an answer of nobody here.
    """
    unknown = [name for name in ids if history.answered(agent_id, name) is None]
    tasks = ending(agent_id, unknown) if unknown else ()
    if tasks:
        await asyncio.wait(tasks, timeout=ENDING_SECONDS)
    total, models = 0, set[tuple[str, str]]()
    for name in ids:
        view = history.answered(agent_id, name)
        if view is None and not tasks:
            raise _foreign(name)
        if view is None or view.state_tokens is None:
            return Earlier(None)
        total += view.state_tokens
        models.add((view.provider, view.model))
    return Earlier(total, frozenset(models))


def _foreign(answer_id: str) -> SpendGuardError:
    return SpendGuardError(
        Code.FOREIGN_STATE,
        f"{TABLE[Code.FOREIGN_STATE].title}: {answer_id[:100]!r}: no call of this agent got this answer; "
        "[policy] server_state allows only an agent's own",
        remedy=TABLE[Code.FOREIGN_STATE].agent_remedy,
        facts={
            "path": "previous_response_id",
            "expected": "the id of an answer that this agent got here lately",
            "id": answer_id[:100],
            "setting": '[policy] server_state = "window"',
        },
    )
