"""The sidecar's life as seen from outside: find it, prove it, start it once, stop it.

Whether a daemon lives is decided by its proof and by the ledger's flock, never by `daemon.json`, which only
says where to knock. Invariant: no token leaves before the proof, and however many command lines start a
sidecar at once, one runs and all of them find it.
"""

import contextlib
import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from spendguard_cli.holder import is_held, named
from spendguard_cli.prove import Found, Place, knock
from spendguard_daemon import runtime
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.runtime import DaemonInfo, Home
from spendguard_daemon.system import SystemDisk, SystemRng

if TYPE_CHECKING:
    from spendguard_cli.client import Control

START_SECONDS = 30.0
SILENT_SECONDS = 2.0
"""Who waits longer than this is told what for."""
STEP_SECONDS = 0.02
STEP_SECONDS_MAX = 0.1
STDERR_BYTES_MAX = 64 * 1024
NOT_FOR_THE_DAEMON = ("CAP_API_KEY", "CAP_BASE_URL", "CAP_MODE", "SPENDGUARD_DEBUG")


@dataclass(frozen=True, slots=True)
class Running:
    """A proven sidecar of a home, and the admin token it knows."""

    place: Place
    info: DaemonInfo
    token: str

    def control(self) -> "Control":
        """Return a client of it, with its own token."""
        from spendguard_cli.client import Control

        return Control(self.place.base_url, self.token, local=True, socket=self.place.socket)


def find(home: Home) -> Running | None:
    """Return the sidecar of this home if one is up and proves itself.

    Where it is stands in `daemon.json`, and in the lock file, should that one be lost or wrong.
    """
    infos = _infos(home)
    if not infos or not home.admin_token.exists():
        return None
    token = runtime.read_admin_token(home)
    for info in infos:
        place = _proven(info, token)
        if place is not None:
            holder = runtime.read_lock_info(home)  # `daemon.json` may still tell of the one before it
            return Running(place, holder if holder and holder.port == info.port else info, token)
    return None


def _proven(info: DaemonInfo, token: str) -> Place | None:
    """Return how to reach the sidecar that wrote this, if it is up: by its Unix socket, else by its port."""
    ways = [Place.at(info.port)]
    if info.socket is not None:
        ways.insert(0, Place.at(info.port, info.socket))
    for place in ways:
        found = knock(place, [token])
        if found in (Found.PROVEN, Found.SILENT):  # who is silent at its own socket is silent everywhere
            return place if found is Found.PROVEN else None
    return None


def _infos(home: Home) -> list[DaemonInfo]:
    """Return where a sidecar may be, the likeliest first; none that does not listen yet."""
    written, locked = runtime.read_daemon_info(home), runtime.read_lock_info(home)
    if locked is not None and not (locked.port and is_held(home)):
        locked = None
    infos = [info for info in (locked, written) if info is not None and info.port]
    return infos[:1] if len({info.port for info in infos}) == 1 else infos


def find_quietly(home: Home) -> Running | None:
    """Find a sidecar that is being born: its token file may be half a moment away."""
    try:
        return find(home)
    except SpendGuardError:
        return None


def ensure(
    home: Home,
    port: int | None,
    env: Mapping[str, str],
    say: Callable[[str], None],
    *flags: str,
) -> tuple[Running, bool]:
    """Return the sidecar of this home, started if need be, and whether this call started it.

    `say` is told what is waited for, once it takes long. Raises what the daemon died of (its own code), or
    NO_DAEMON when it is not ready in time.
    """
    running = find(home)
    if running:
        return running, False
    _check_port(home, port, env)
    deadline = time.monotonic() + START_SECONDS
    with _turn(home, deadline):
        running = find(home)
        if running:
            return running, False
        return _start(home, port, env, deadline, say, flags), True


def _check_port(home: Home, port: int | None, env: Mapping[str, str]) -> None:
    """Raise PORT_TAKEN before a home is made for a sidecar that could not start in it."""
    from spendguard_cli import tomlfiles
    from spendguard_cli.doctor import listeners

    if os.path.lexists(home.root):
        return
    wanted = tomlfiles.default_port(home, env) if port is None else port
    if not wanted or listeners.is_free(wanted) or os.path.lexists(home.root):
        return  # of two that start at once, the other one may have made the home meanwhile
    raise SpendGuardError(
        Code.PORT_TAKEN,
        f"The port is taken: {wanted} on a loopback address",
        remedy="spendguard doctor, which names who has it; or spendguard up --port <another>",
        facts={"port": wanted},
    )


def prepare(home: Home) -> None:
    """Make the home and its token, so that no two daemons starting at once make one each."""
    with _turn(home, time.monotonic() + START_SECONDS):
        pass


def command(port: int | None, *flags: str) -> list[str]:
    """Return the daemon's command line; `-P` keeps a file of the same name in the cwd from being run."""
    place = [] if port is None else ["--port", str(port)]
    return [sys.executable, "-P", "-m", "spendguard_daemon", *place, *flags]


def daemon_env(home: Home, env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment a daemon starts with: the shell's, without what concerns its clients alone."""
    kept = {name: value for name, value in env.items() if name not in NOT_FOR_THE_DAEMON}
    return kept | {"SPENDGUARD_HOME": str(home.root)}


def spawn(
    home: Home, port: int | None, env: Mapping[str, str], stderr: IO[bytes], *flags: str
) -> subprocess.Popen[bytes]:
    """Start a daemon in a session of its own, so that no Ctrl-C and no closed terminal ends it."""
    return subprocess.Popen(
        command(port, *flags),
        env=daemon_env(home, env),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        start_new_session=True,
        close_fds=True,
    )


def rehearse(home: Home, env: Mapping[str, str]) -> None:
    """Let a daemon read all that a start reads, and end; raise what it would die of."""
    with tempfile.TemporaryFile() as stderr:
        exit_code = spawn(home, None, env, stderr, "--check").wait()
        if exit_code:
            raise death(exit_code, stderr)


def steps(deadline: float) -> Iterator[None]:
    """Yield until `deadline` (monotonic seconds), sleeping a little longer each time."""
    pause = STEP_SECONDS
    while time.monotonic() < deadline:
        yield
        time.sleep(pause)
        pause = min(pause * 1.5, STEP_SECONDS_MAX)


def _start(
    home: Home,
    port: int | None,
    env: Mapping[str, str],
    deadline: float,
    say: Callable[[str], None],
    flags: Sequence[str],
) -> Running:
    """Spawn until a sidecar of this home proves itself; a lock held by another is waited for.

    The lock may be held by a daemon that is still draining, or that somebody started past us.
    """
    failure: SpendGuardError | None = None
    silent_until = time.monotonic() + SILENT_SECONDS
    with tempfile.TemporaryFile() as stderr:
        child = spawn(home, port, env, stderr, *flags)
        try:
            for _ in steps(deadline):
                running = find_quietly(home)
                if running:
                    _dismiss_unless(running, child)
                    return running
                if time.monotonic() > silent_until:
                    say(_patience(home, child.pid if child.poll() is None else None))
                    silent_until = deadline
                if child.poll() is None:
                    continue
                failure = death(child.returncode, stderr)
                if failure.code is not Code.LEDGER_LOCKED:
                    raise failure
                if not is_held(home):
                    stderr.truncate(0)
                    child = spawn(home, port, env, stderr, *flags)
        except KeyboardInterrupt as interrupt:
            if child.poll() is None:
                interrupt.add_note(
                    f"the sidecar (pid {child.pid}) goes on starting; spendguard status tells when it is up"
                )
            raise
    if child.poll() is None:
        raise SpendGuardError(
            Code.NO_DAEMON,
            f"The sidecar (pid {child.pid}) is still starting after {START_SECONDS:g} s",
            remedy="spendguard logs, then spendguard status",
        )
    raise _unresponsive(home, failure)


def _patience(home: Home, pid: int | None) -> str:
    if pid is not None:
        return f"waiting for the sidecar (pid {pid}) to be ready, at most {START_SECONDS:g} s"
    return (
        f"the ledger is held by a process{named(home)} that does not answer: waiting at most "
        f"{START_SECONDS:g} s for it to answer or to end"
    )


def _dismiss_unless(running: Running, child: "subprocess.Popen[bytes]") -> None:
    """End our child if another daemon won: it would otherwise come to life when that one is stopped."""
    if running.info.pid != child.pid:
        child.kill()
        child.wait()


def _unresponsive(home: Home, failure: SpendGuardError | None) -> SpendGuardError:
    return SpendGuardError(
        Code.NO_DAEMON if failure is None else failure.code,
        f"Another daemon has this ledger open{named(home)}, and it does not answer",
        remedy="spendguard down --now, then spendguard up",
    )


def death(exit_code: int, stderr: IO[bytes]) -> SpendGuardError:
    """Return what a daemon died of: the JSON object on its last line, or that line as it is."""
    import msgspec

    stderr.seek(0)
    lines = stderr.read(STDERR_BYTES_MAX).decode(errors="replace").strip().splitlines()
    last = lines[-1] if lines else ""
    try:
        words = msgspec.json.decode(last, type=dict[str, str])
        return SpendGuardError(Code(words["code"]), words["detail"], remedy=words.get("remedy", ""))
    except (msgspec.DecodeError, KeyError, ValueError, RecursionError):
        how = f"with exit code {exit_code}" if exit_code >= 0 else f"by signal {-exit_code}"
        return SpendGuardError(
            Code.INTERNAL,
            f"The sidecar ended {how} before it was ready" + (f": {last}" if last else ""),
            remedy="spendguard logs",
        )


@contextlib.contextmanager
def _turn(home: Home, deadline: float) -> Iterator[None]:
    """Hold an exclusive flock in a prepared home: of command lines that would start a sidecar, one does."""
    disk = SystemDisk()
    runtime.prepare(home, disk)
    path = home.daemon_json.with_name("start.lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        for _ in steps(deadline):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
        # Past the deadline we go on without the turn: the ledger's own lock still allows one daemon only.
        runtime.ensure_admin_token(home, disk, SystemRng())
        yield
    finally:
        os.close(descriptor)
