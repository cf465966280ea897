"""Checks that only a sidecar can answer: while nobody can be asked, each group of them says so once."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from spendguard_cli.doctor.findings import Check, Finding, Level
from spendguard_cli.doctor.world import World


def asks(check: Check) -> Check:
    """Return a check that looks only where a sidecar answers; nothing is well that was not looked at."""

    def run(world: World) -> Iterable[Finding]:
        return check.run(world) if world.answers else unasked(world, check.group)

    return replace(check, run=run)


def unasked(world: World, group: str) -> Iterator[Finding]:
    """Say once of a group that it was not looked at, and why."""
    if group in world.not_looked_at:
        return
    world.not_looked_at.add(group)
    verb = "was" if group == "money" else "were"
    yield Finding(level=Level.NOTE, finding=f"{group} {verb} not looked at: {why(world)}")


def why(world: World) -> str:
    """Say why nobody tells of agents."""
    if world.connection.in_exec:
        return "inside spendguard exec only a program's own agent can be, by its key"
    return "the sidecar does not answer" if world.status_error else "the sidecar is down"
