"""What an operator is told beside an agent: how to get out of its newest refusal that is still true."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spendguard_cli.doctor import judging, lately
from spendguard_cli.doctor.world import World
from spendguard_cli.remedies import first_commands
from spendguard_daemon.text import safe

if TYPE_CHECKING:
    from spendguard_cli.session import Session

AGENTS_MAX = 50
"""Of more agents than this nobody asks each in turn; `doctor` does."""


def still_true(world: World) -> lately.Refused | None:
    """Return the newest refusals of the last hour that would be the same again now."""
    newest_first = sorted(world.refused, key=lambda one: one.newest.created_at, reverse=True)
    return next((one for one in newest_first if judging.again(world, one)), None)


def advise(session: "Session", agent_ref: str | None = None, told: Sequence[str] = ()) -> None:
    """Tell of an agent, or of all, what was refused and what to type; nothing where nothing is.

    Commands that were `told` already are not told again. An agent inside `exec` is told nothing.
    """
    if session.connection.in_exec:
        return
    world = World(session, agent_ref)
    if agent_ref is None and len(world.everyone) > AGENTS_MAX:
        return
    one = still_true(world)
    if one is None:
        return
    ways = lately.ways(world, one)
    commands = [command for command in first_commands(ways) if command not in told]
    when = lately.ago(world.now_ns, one.newest.created_at)
    session.out.say(f"{lately.named(one.agent)} was refused with {safe(one.code)} {when}, and still would be")
    for line in commands or [way.about for way in ways[:1] if not first_commands(ways)]:
        session.out.advise(line)
