"""All checks in their order, and how they are run: one that breaks is a finding, never an end."""

import difflib
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from spendguard_cli.doctor.findings import RANK, Check, Finding, Level, in_order
from spendguard_cli.doctor.groups import (
    agents,
    clients,
    daemon,
    failures,
    home,
    ledger,
    money,
    prices,
    providers,
)
from spendguard_cli.doctor.world import World
from spendguard_daemon.errors import Code, SpendGuardError

GROUPS = (daemon, home, ledger, prices, providers, agents, money, failures, clients)
PLACES = ("daemon.port", "daemon.listen")
"""What a sidecar needs only once home and ledger let it start: told after them."""
UP = "spendguard up"


def _all() -> Iterator[Check]:
    for group in GROUPS:
        yield from (check for check in group.CHECKS if check.name not in PLACES)
        if group is ledger:
            yield from (check for check in daemon.CHECKS if check.name in PLACES)


CHECKS: tuple[Check, ...] = tuple(_all())


def chosen(names: Sequence[str]) -> list[Check]:
    """Return the checks of these names or groups, in their order; all where none is named. Raises USAGE."""
    if not names:
        return list(CHECKS)
    found = []
    for name in names:
        same = [check for check in CHECKS if name in (check.name, check.group)]
        if not same:
            known = sorted({check.name for check in CHECKS} | {check.group for check in CHECKS})
            near = difflib.get_close_matches(name, known, n=1)
            raise SpendGuardError(
                Code.USAGE,
                f"No check is named {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
                remedy=f"spendguard doctor --check {near[0]}" if near else "spendguard doctor --list",
            )
        found += same
    return [check for check in CHECKS if check in found]


def whole_groups(checks: Iterable[Check]) -> list[str]:
    """Return the groups all of whose checks are among these."""
    names = {check.name for check in checks}
    groups = dict.fromkeys(check.group for check in CHECKS)
    return [one for one in groups if names.issuperset(check.name for check in CHECKS if check.group == one)]


def examine(world: World, checks: Iterable[Check]) -> list[Finding]:
    """Run the checks; the cause to mend first comes first."""
    found = [finding for check in checks for finding in _findings(world, check)]
    return _up_last(in_order(one for one in found if not _is_told(one, found)))


def _is_told(one: Finding, found: Sequence[Finding]) -> bool:
    """Tell whether what failed of late is but the consequence of a cause that another group has told."""
    if one.group != failures.GROUP or not (one.symptom or one.code in failures.TOLD_BY_PROVIDERS):
        return False
    return one.code is not None and any(
        other.code == one.code and other.group != one.group and RANK[other.level] <= RANK[one.level]
        for other in found
    )


def _up_last(found: list[Finding]) -> list[Finding]:
    """Leave the start of a sidecar to the last of what keeps it from starting: before that it would fail."""
    stops = [
        one.level is Level.RED and (one.group in ("home", "ledger") or one.check in PLACES) for one in found
    ]
    return [
        msgspec.structs.replace(one, remedy=one.remedy[:-1])
        if one.remedy[1:] and one.remedy[-1] == UP and any(stops[number + 1 :])
        else one
        for number, one in enumerate(found)
    ]


def _findings(world: World, check: Check) -> list[Finding]:
    try:
        found = list(check.run(world))
    except Exception as error:  # noqa: BLE001 (a sidecar may say what no version of it does; the rest is told)
        said = error.detail if isinstance(error, SpendGuardError) else f"{type(error).__name__}: {error}"
        found = [Finding(level=Level.WARNING, finding=f"{check.about}: this could not be looked at: {said}")]
    return [msgspec.structs.replace(one, check=check.name, group=check.group) for one in found]
