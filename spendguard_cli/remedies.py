"""The operator's way out of a refusal: exact commands, with names, ids and amounts filled in. Pure.

Commands that raise money stand here and nowhere else, for those surfaces that only operators see: `doctor`,
`explain`, `agent get`, `status`, `watch`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from spendguard_daemon import wire
from spendguard_daemon.errors import Fact


@dataclass(frozen=True, slots=True)
class Way:
    """One way out: `commands` typed one after the other as they stand, and in words what they do.

    Without commands, `about` is a deed that only a person can do.
    """

    about: str
    commands: tuple[str, ...] = ()


def ways_out(
    code: str,
    facts: Mapping[str, Fact],
    agent: wire.Agent | None = None,
    *,
    ref: str = "<agent>",
    daemon: wire.DaemonBudget | None = None,
) -> list[Way]:
    """Return the ways out of a refusal, the best first, by its code, its numbers and its agent's money now.

    `facts` are those of the refusal's body or of `wire.Call.facts`; `ref` is how a command names the agent.
    """
    raise NotImplementedError(code, facts, agent, ref, daemon)
