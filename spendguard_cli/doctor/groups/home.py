"""Is the home there, ours alone, and on a disk with room; is the configuration readable."""

import os
import shlex
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from spendguard_cli.doctor.findings import Check, Finding, Level, ok
from spendguard_cli.doctor.groups import home_modes, homefiles, variables
from spendguard_cli.doctor.world import World
from spendguard_cli.ledger import rehearsing
from spendguard_cli.prove import Found
from spendguard_daemon import runtime, settings
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.system import SystemDisk

MIB = 1024 * 1024
FILES_SHOWN = 5
NOT_LOOKED_AT = (
    "The home is not looked at: no sidecar of this machine is meant, or this is no operator's shell"
)


def there(world: World) -> Iterable[Finding]:
    """Is there a home."""
    root = world.home.root
    if not world.is_own:
        return [ok(NOT_LOOKED_AT)]
    if not os.path.lexists(root):
        told = f"There is no home at {root} yet: this is a fresh machine"
        return [Finding(level=Level.NOTE, finding=told, remedy=["spendguard demo"])]
    if not root.is_dir():
        return [
            Finding(
                level=Level.RED,
                finding=f"The home is no folder: {root}",
                deed="Set SPENDGUARD_HOME to a folder, or move what is there away",
                code=Code.HOME_UNSAFE,
            )
        ]
    wrong = list(_not_what_they_should_be(world.home))
    if not wrong:
        return [ok(f"The home is {root}")]
    return [
        Finding(
            level=Level.RED,
            finding=f"The home is not whole: {wrong[0]}",
            evidence=wrong[1:FILES_SHOWN],
            deed="Move it away, with mv to a place outside of the home; a start makes what it needs anew",
            code=Code.HOME_UNSAFE,
        )
    ]


def _not_what_they_should_be(home: runtime.Home) -> Iterator[str]:
    """Yield which folders are none, and which files that a start makes anew; others have their own checks."""
    run = home.log.parent
    for folder in (home.ledger, home.pricing, run):
        if not _is_kind(stat.S_ISDIR, folder) or (folder.is_symlink() and not folder.exists()):
            yield f"{folder} is no folder"
    for file in (home.ledger / "ballast", home.lock, home.log, run / "start.lock", run / "edit.lock"):
        if not _is_kind(stat.S_ISREG, file):
            yield f"{file} is no plain file"
    for file in (home.daemon_json, home.agents_port):  # a file of any other kind is replaced
        if file.is_dir():
            yield f"{file} is a folder"


def _is_kind(is_one: Callable[[int], bool], path: Path) -> bool:
    """Tell whether a path is of a kind, or not there; a link that leads to itself is of none."""
    try:
        return is_one(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False


def owner(world: World) -> Iterable[Finding]:
    """Does the home belong to this user."""
    if not world.is_own or not world.home.root.is_dir():
        return [ok("There is no home to look at")]
    foreign = [path for path in home_modes.guarded(world) if path.stat().st_uid != os.geteuid()]
    if not foreign:
        return [ok("The home belongs to this user")]
    uids = sorted({str(path.stat().st_uid) for path in foreign})
    return [
        Finding(
            level=Level.RED,
            finding=f"The home folder is not safe: {foreign[0]} belongs to uid {', '.join(uids)}",
            evidence=[f"this is uid {os.geteuid()}", *(str(path) for path in foreign[1:FILES_SHOWN])],
            deed=f"As root: chown -R {os.geteuid()} {shlex.quote(str(world.home.root))}; "
            "or run it as the user whose home it is, or set SPENDGUARD_HOME to another folder",
            code=Code.HOME_UNSAFE,
        )
    ]


def disk(world: World) -> Iterable[Finding]:
    """Has the ledger's disk room for the ends of calls."""
    if not world.is_own or not world.home.root.is_dir():
        return [ok("There is no home to look at")]
    found = rehearsing.free(world.home, SystemDisk())
    free, needed = found.free_bytes // MIB, -(-found.needed_bytes // MIB)
    if found.free_bytes >= found.needed_bytes:
        return [ok(f"The ledger's disk has room: {free} MiB are free")]
    lacking = -(-(found.needed_bytes - found.free_bytes) // MIB)
    mount = _mount(world.home.root)
    return [
        Finding(
            level=Level.RED,
            finding=f"The ledger's disk is full: {free} MiB are free on {mount}, {needed} MiB are needed",
            evidence=[f"{path}: {size // MIB} MiB" for size, path in _largest(world.home.root)],
            deed=f"Free {lacking} MiB on {mount}; calls are admitted again by themselves then",
            code=Code.LEDGER_FULL,
        )
    ]


def file_system(world: World) -> Iterable[Finding]:
    """Is the ledger on a file system whose locks and syncs hold."""
    if not world.is_own or not world.home.root.is_dir():
        return [ok("There is no home to look at")]
    kind = SystemDisk().unsafe_file_system(world.home.root)
    if kind is None:
        return [ok("The ledger is on a local disk")]
    allowed = world.control is not None or _unsafe_allowed(world)
    return [
        Finding(
            level=Level.NOTE if allowed else Level.RED,
            finding=f"The home is on {kind}, where locks and syncs may not hold",
            evidence=["it was allowed: --unsafe-fs, or [daemon] unsafe_fs"] if allowed else [],
            deed="Set SPENDGUARD_HOME to a folder on a local disk, or risk it: spendguard up --unsafe-fs",
            code=Code.HOME_UNSAFE,
        )
    ]


def token(world: World) -> Iterable[Finding]:
    """Do the admin token and the sidecar fit each other."""
    path, up = world.home.admin_token, world.ledger_is_held
    if not world.is_own or not world.home.root.is_dir():
        return [ok("There is no home to look at")]
    before = ["spendguard down --now"] if up else []
    try:
        runtime.read_admin_token(world.home)
    except SpendGuardError as error:
        if error.code is not Code.NO_DAEMON:
            remedy = [*before, f"rm {shlex.quote(str(path))}", "spendguard up"]
            return [_token(f"The admin token is broken: {path} holds no token", remedy)]
        if up:
            return [
                _token(
                    f"The admin token is lost: {path} is missing, and the sidecar runs",
                    [*before, "spendguard up"],
                )
            ]
        return [ok("There is no admin token yet")]
    ours = world.holder is None or world.holder.is_sidecar
    lost = up and ours and world.control is None and world.running is None
    if lost and world.behind_the_lock is Found.UNPROVEN:
        told = f"The admin token is not that of the sidecar that runs: {path} was replaced since its start"
        return [_token(told, [*before, "spendguard up"])]
    return [ok("The admin token is there")]


def config(world: World) -> Iterable[Finding]:
    """Can config.toml be read, and is each setting one."""
    return _file(world, world.home.config, homefiles.read_config)


def secrets(world: World) -> Iterable[Finding]:
    """Can secrets.toml be read."""
    return _file(world, world.home.secrets, homefiles.read_secrets)


def trust(world: World) -> Iterable[Finding]:
    """Can trust.toml be read."""
    return _file(world, world.home.trust, homefiles.read_any)


def _file(world: World, path: Path, read: homefiles.Read) -> list[Finding]:
    if not world.is_own:
        return [ok(NOT_LOOKED_AT)]
    return [homefiles.bad_file(world, path, read) or ok(f"{path.name} can be read")]


def _token(told: str, remedy: list[str]) -> Finding:
    return Finding(
        level=Level.RED,
        finding=told,
        remedy=remedy,
        deed="The next start makes a new one; calls in flight are charged at their hold",
        code=Code.HOME_UNSAFE,
    )


def _mount(path: Path) -> Path:
    found = Path(os.path.realpath(path))
    return next((each for each in (found, *found.parents) if each.is_mount()), found)


def _largest(root: Path) -> list[tuple[int, Path]]:
    """Return the largest files of the home, with their bytes."""
    sizes = [(path.stat().st_size, path) for path in root.rglob("*") if path.is_file()]
    return sorted(sizes, key=lambda one: one[0], reverse=True)[:FILES_SHOWN]


def _unsafe_allowed(world: World) -> bool:
    try:
        return settings.load(runtime.read_text(world.home.config), world.env).unsafe_fs == "allow"
    except SpendGuardError:
        return False


CHECKS: tuple[Check, ...] = (
    Check("home.there", "is there a home", there),
    Check("home.owner", "does the home belong to this user", owner),
    Check("home.modes", "is the home closed to others", home_modes.modes, home_modes.mend),
    Check("home.disk", "has the disk room", disk),
    Check("home.file_system", "is the disk one of this machine", file_system),
    Check("home.token", "does the admin token fit the sidecar", token),
    Check("home.config", "can config.toml be read", config),
    Check("home.secrets", "can secrets.toml be read", secrets),
    Check("home.trust", "can trust.toml be read", trust),
    Check("home.environment", "the settings in this shell's environment", variables.environment),
)
