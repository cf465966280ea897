"""Is the sidecar up, ours, of this version, and is its port its own; is this `spendguard` the one on PATH."""

import shlex
from collections.abc import Iterable
from pathlib import Path

from spendguard_cli.doctor import listeners, other_home
from spendguard_cli.doctor.findings import Check, Finding, Level, ok
from spendguard_cli.doctor.groups import addressing
from spendguard_cli.doctor.last_words import LastWords, last_words
from spendguard_cli.doctor.world import World
from spendguard_cli.prove import Found
from spendguard_daemon import __version__, settings
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.runtime import read_text
from spendguard_daemon.setting_values import split_listen
from spendguard_daemon.text import safe

DOWN_THEN_UP = ["spendguard down --now", "spendguard up"]
PORT_NAMES = next(row.env for row in settings.rows() if row.field == "port")
LISTEN_NAME = "SPENDGUARD_ACCESS_LISTEN"


def port(world: World) -> Iterable[Finding]:
    """Is the port free, on which the next sidecar would listen."""
    if not world.is_own or world.control is not None or world.ledger_is_held:
        return [ok("The sidecar's port is not looked for: none is about to be started here")]
    number = world.set_port
    if number is None or listeners.is_free(number):
        return [ok(f"Port {number} is free for the sidecar" if number else "The sidecar takes any free port")]
    other = other_home.at(number)
    if other is not None and other != world.home.root:
        return [_other_home(world, number, other)]
    free, who = listeners.free_port(number), listeners.listener(number)
    return [
        Finding(
            level=Level.RED,
            finding=f"The port is taken: another program has port {number}, which the sidecar needs",
            evidence=[who] if who else [],
            remedy=[] if free is None else [_move(world, free), "spendguard up"],
            deed=f"Or end that program, then spendguard up: base URLs with port {number} go on working then",
            code=Code.PORT_TAKEN,
        )
    ]


def listen(world: World) -> Iterable[Finding]:
    """Has this machine the addresses of [access] listen; looked at only while no sidecar runs."""
    if not world.is_own or world.control is not None or world.ledger_is_held:
        return [ok("The addresses of [access] listen are not looked at: a sidecar runs, or is not meant")]
    try:
        wanted = settings.load(read_text(world.home.config), world.env).listen
    except SpendGuardError as error:
        return [ok("The addresses of [access] listen cannot be read yet", safe(error.detail))]
    foreign = [item for item in wanted if not listeners.can_listen(split_listen(item)[0])]
    if not foreign:
        return [ok("This machine has all addresses that the sidecar shall listen on")]
    here = LISTEN_NAME in world.env
    return [
        Finding(
            level=Level.RED,
            finding=f"[access] listen names what this machine has not: {safe(', '.join(foreign))}",
            evidence=[f"{LISTEN_NAME} is set in this shell" if here else f"it stands in {world.home.config}"],
            remedy=[
                f"unset {LISTEN_NAME}" if here else "spendguard config unset access.listen",
                "spendguard up",
            ],
            deed="Or set it to an address that this machine has: spendguard config set access.listen ADDRESS",
            code=Code.USAGE,
        )
    ]


def hung(world: World) -> Iterable[Finding]:
    """Does the process that has the ledger open answer."""
    if not world.is_own or not world.ledger_is_held:
        return [ok("No sidecar hangs: no process has the ledger open")]
    if world.control is not None and world.status is None and _is_silent(world.status_error):
        return [_hangs(world)]
    held_by_another = world.holder is not None and not world.holder.is_sidecar
    if world.control is not None or world.running is not None or held_by_another:
        return [ok("The sidecar answers" if not held_by_another else "No sidecar hangs")]
    match world.behind_the_lock:
        case Found.SILENT:
            return [_hangs(world)]
        case Found.NOTHING:
            told = (
                f"The sidecar{_pid(world)} has the ledger open and does not listen: it starts, or is ending"
            )
            return [Finding(level=Level.WARNING, finding=told, remedy=DOWN_THEN_UP, code=Code.NO_DAEMON)]
        case _:
            return [ok("The sidecar answers, whether it is ours or not")]


def up(world: World) -> Iterable[Finding]:
    """Is the sidecar up, and if not, why did the last one end."""
    if not world.is_own:
        return [ok("The sidecar of this machine is not meant")]
    if world.control is not None or world.ledger_is_held or world.running is not None:
        where = world.control.base_url if world.control else "see above"
        return [ok(f"The sidecar is up: {where}" if world.control else "The sidecar is not down")]
    if not world.home.root.exists():
        return [ok("No sidecar was ever started here; commands start one when they need it")]
    if not world.home.daemon_json.exists() and last_words(world.home.log) is None:
        return [_never(world)]
    return [_down(last_words(world.home.log))]


def draining(world: World) -> Iterable[Finding]:
    """Does the sidecar take calls, or is it ending."""
    now = world.status
    if now is None or now.state != "draining":
        return [ok("No sidecar is ending")]
    return [
        Finding(
            level=Level.WARNING,
            finding=f"The sidecar is stopping, and takes no new calls: {now.calls_in_flight} are in flight",
            evidence=[f"pid {now.pid}, up since {now.started_at}"],
            remedy=DOWN_THEN_UP,
            deed="spendguard down --now charges these calls at their hold; spendguard up waits for them",
            code=Code.SHUTTING_DOWN,
        )
    ]


def version(world: World) -> Iterable[Finding]:
    """Is the sidecar of the same version as this command line."""
    theirs = world.status.version if world.status else None
    if theirs is None and world.control is not None and world.connection.local and world.info is not None:
        theirs = world.info.version  # it answers in words that this version does not know
    if theirs is None or theirs == __version__:
        return [
            ok(f"This command line is of version {__version__}", *(["the sidecar too"] if theirs else []))
        ]
    own = world.is_own
    return [
        Finding(
            level=Level.WARNING,
            finding=f"The sidecar is of version {safe(theirs)}, this command line of version {__version__}",
            evidence=[safe(world.status_error.detail)] if world.status_error else [],
            remedy=["spendguard restart"] if own else [],
            deed="" if own else "Use the command line of the sidecar's version",
        )
    ]


def _other_home(world: World, number: int, other: Path) -> Finding:
    """Say whose sidecar has the port: whoever forgot to set SPENDGUARD_HOME is not to start a second one."""
    free = listeners.free_port(number)
    second = "" if free is None else f": {_move(world, free)}, then spendguard up"
    return Finding(
        level=Level.RED,
        finding=f"A SpendGuard sidecar of another home has port {number}: is SPENDGUARD_HOME set rightly?",
        evidence=[f"it is the sidecar of {safe(str(other))}", f"this shell means {world.home.root}"],
        remedy=[f"export SPENDGUARD_HOME={shlex.quote(str(other))}"] if str(other).isprintable() else [],
        deed=f"Or start a second one, with agents and budgets of its own{second}",
        code=Code.PORT_TAKEN,
    )


def _hangs(world: World) -> Finding:
    stopped = _is_stopped(world)
    who, pid = _pid(world), world.holder.pid if world.holder else None
    return Finding(
        level=Level.RED,
        finding=f"The sidecar hangs: the process{who} has the ledger open, and does not answer",
        evidence=["the process is stopped, as by SIGSTOP or a debugger"] if stopped else [],
        remedy=DOWN_THEN_UP,
        deed=f"Or let it go on, which cuts no call: kill -CONT {pid}" if stopped else "",
        code=Code.NO_DAEMON,
    )


def _is_stopped(world: World) -> bool:
    """Tell whether the process is one that a signal stopped, as far as Linux tells."""
    if world.holder is None:
        return False
    try:
        stat = Path(f"/proc/{world.holder.pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[:1] in (["T"], ["t"])


def _pid(world: World) -> str:
    return f" (pid {world.holder.pid})" if world.holder else ""


def _is_silent(error: SpendGuardError | None) -> bool:
    return error is not None and error.code is Code.NO_DAEMON


def _never(world: World) -> Finding:
    told = f"No sidecar was started in {world.home.root} yet; commands start one when they need it"
    return Finding(level=Level.NOTE, finding=told, remedy=["spendguard up"])


def _down(words: LastWords | None) -> Finding:
    told, evidence, deed = "The sidecar is down", [], ""
    if words is not None and words.code:
        told = f"The sidecar is down, and this is what it ended of: {words.detail}"
        evidence = [f"at {words.at}, code {words.code}"]
        deed = f"If it ends of it again: {words.remedy}" if words.remedy else ""
    elif words is not None and words.message != "stopped":
        told = "The sidecar is down: it was killed, or the machine went down with it"
        evidence = [f"its log ends without a word of an end, after {words.at}"]
    elif words is not None:
        evidence = [f"it was stopped at {words.at}; commands start it when they need it"]
    return Finding(
        level=Level.WARNING,
        finding=told,
        evidence=evidence,
        remedy=["spendguard up"],
        deed=deed,
        code=words.code if words and words.code else Code.NO_DAEMON,
    )


def _move(world: World, free: int) -> str:
    """Return the command that takes another port for good, where the present one is set."""
    here = next((name for name in PORT_NAMES if name in world.env), None)
    return f"export {here}={free}" if here else f"spendguard config set daemon.port {free}"


CHECKS: tuple[Check, ...] = (
    Check("daemon.address", "whom this shell talks to", addressing.address),
    Check("daemon.program", "which spendguard is on PATH", addressing.program),
    Check("daemon.hung", "does the sidecar answer", hung),
    Check("daemon.port", "is the sidecar's port its own", port),
    Check("daemon.listen", "the addresses to listen on", listen),
    Check("daemon.up", "is the sidecar up", up),
    Check("daemon.draining", "does the sidecar take calls", draining),
    Check("daemon.version", "the sidecar's version", version),
)
