"""`doctor --fix`: what is safe to mend is mended, check by check; one that fails does not stop the others."""

from collections.abc import Iterable

from spendguard_cli.doctor.findings import Check
from spendguard_cli.doctor.world import World
from spendguard_daemon.errors import SpendGuardError


def mend(world: World, checks: Iterable[Check]) -> list[str]:
    """Mend what these checks know how to; return what was done, and what could not be, a sentence each."""
    done: list[str] = []
    for check in checks:
        if check.mend is None:
            continue
        try:
            done += check.mend(world)
        except (SpendGuardError, OSError, ValueError) as error:
            said = error.detail if isinstance(error, SpendGuardError) else str(error)
            done.append(f"{check.name} could not be mended: {said}")
    return done
