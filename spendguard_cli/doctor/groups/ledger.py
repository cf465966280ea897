"""Is the ledger whole, not newer than this version, restored and confirmed; is the clock right."""

import shlex
from collections.abc import Iterable

from spendguard_cli.doctor.findings import Check, Finding, Level, ok
from spendguard_cli.doctor.world import World
from spendguard_cli.ledger import rehearsing
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.system import SystemDisk
from spendguard_daemon.text import safe
from spendguard_daemon.wire import iso

NEWEST_TORN_SHOWN = 3


def held(world: World) -> Iterable[Finding]:
    """Has a program that is no sidecar the ledger open."""
    who = world.holder
    proven = world.control is not None or world.running is not None
    if not world.is_own or proven or who is None or who.is_sidecar:
        return [ok("No other program has the ledger open")]
    return [
        Finding(
            level=Level.RED,
            finding=f"Another program has the ledger open, so that no sidecar can: process {who.pid}",
            evidence=[f"it has the lock {world.home.lock}, and is no sidecar of this home"],
            deed=f"See what it is (ps -p {who.pid}), and let it end; then: spendguard up",
            code=Code.LEDGER_LOCKED,
        )
    ]


def whole(world: World) -> Iterable[Finding]:
    """Would a start open the ledger; looked at only while none has it open."""
    if not world.is_own or world.ledger_is_held:
        return [ok("The ledger was opened by the sidecar", "spendguard ledger verify reads all of it again")]
    if not world.home.ledger.is_dir():
        return [ok("There is no ledger yet")]
    try:
        rehearsing.rehearse(world.home.ledger, SystemDisk())
    except SpendGuardError as error:
        if error.code is Code.LEDGER_NEWER:
            return [_newer(world, error)]
        return [_damaged(world, error.detail)]
    except OSError as error:
        return [_damaged(world, f"{error.filename} cannot be read: {error.strerror}")]
    return [ok("The ledger is whole")]


def torn(world: World) -> Iterable[Finding]:
    """Was an unfinished record set aside when this sidecar started."""
    if not world.is_own or not world.home.ledger.is_dir():
        return [ok("There is no ledger to look at")]
    since = world.status.started_at if world.status else ""
    found = [
        (path, iso(path.stat().st_mtime_ns))
        for path in rehearsing.torn_files(world.home)
        if since and _is_of_this_start(path.stat().st_mtime_ns, since)
    ]
    if not found:
        return [ok("The last start found no unfinished record")]
    return [
        Finding(
            level=Level.NOTE,
            finding="The last start set an unfinished record aside: a crash or a power cut left it",
            evidence=[f"{path}, {at}" for path, at in found[:NEWEST_TORN_SHOWN]],
            deed="Nothing is lost: nobody was told that it was done",
        )
    ]


def clock(world: World) -> Iterable[Finding]:
    """Is this machine's clock behind what the ledger has recorded already."""
    if not world.is_own or not world.home.ledger.is_dir():
        return [ok("There is no ledger to look at")]
    try:
        last_ns = rehearsing.last_record_ns(world.home.ledger, SystemDisk())
    except OSError as error:  # that it cannot be read is told of the ledger itself
        return [ok("The ledger's last record cannot be read", safe(str(error)))]
    if last_ns is None or not rehearsing.is_behind(last_ns, world.now_ns):
        return [ok("The clock is not behind the ledger")]
    behind_seconds = (last_ns - world.now_ns) // 1_000_000_000
    return [
        Finding(
            level=Level.WARNING,
            finding=f"This machine's clock is {behind_seconds} s behind the ledger's last record",
            evidence=[f"the clock says {iso(world.now_ns)}", f"the last record is of {iso(last_ns)}"],
            deed="Set the clock; until it has passed that record, new ones keep that one's time",
        )
    ]


STARTING_NS = 60 * 1_000_000_000
"""The longest that a start is thought to take, from the recovery on."""


def _is_of_this_start(mtime_ns: int, started_at: str) -> bool:
    """Tell whether a file was written just before a daemon that started then: recovery comes first."""
    return iso(mtime_ns + STARTING_NS) >= started_at


def _newer(world: World, error: SpendGuardError) -> Finding:
    by = f"the last sidecar here was of version {safe(world.info.version)}" if world.info else ""
    return Finding(
        level=Level.RED,
        finding=f"The ledger was written by a newer version of SpendGuard: {safe(error.detail)}",
        evidence=[by] if by else [],
        deed="Install that version again; the ledger is not changed by this one",
        code=Code.LEDGER_NEWER,
    )


def _damaged(world: World, detail: str) -> Finding:
    title = TABLE[Code.LEDGER_DAMAGED].title
    said = safe(detail.removeprefix(f"{title}: "))
    backup = rehearsing.good_backup(world.home, SystemDisk())
    if backup is None:
        return Finding(
            level=Level.RED,
            finding=f"The ledger is damaged, and no backup is known that is whole: {said}",
            evidence=[f"its folder is {world.home.ledger}"],
            deed=(
                "Look for a backup: spendguard ledger restore FOLDER puts it back. Without one, "
                f"spendguard ledger verify shows the damage; keep {world.home.ledger} as evidence under "
                "another name, then spendguard up begins anew: agents, keys and all that was spent are "
                "forgotten, so set new budgets by the providers' bills"
            ),
            code=Code.LEDGER_DAMAGED,
        )
    return Finding(
        level=Level.RED,
        finding=f"The ledger is damaged: {said}",
        evidence=[
            f"its folder is {world.home.ledger}",
            f"the newest backup that is whole is of {safe(backup.created)}: {safe(backup.path)}",
        ],
        remedy=[f"spendguard ledger restore {shlex.quote(backup.path)} --yes", "spendguard up"],
        deed=(
            "Each agent is then frozen until you say what it spent since that backup "
            "(spendguard agent unfreeze AGENT --spent AMOUNT), and all agent keys have ended"
        ),
        code=Code.LEDGER_DAMAGED,
    )


CHECKS: tuple[Check, ...] = (
    Check("ledger.held", "who has the ledger open", held),
    Check("ledger.whole", "is the ledger whole", whole),
    Check("ledger.clock", "is the clock behind the ledger", clock),
    Check("ledger.torn", "what the last start set aside", torn),
)
