"""The home folder and the daemon's identity in it: paths, modes, the admin token, `daemon.json`, the proof.

Shared with the CLI, so it loads nothing heavy. It trusts no file that another user could have written, and
`daemon.json` is information only: whether a daemon lives is decided by the ledger's flock and its proof. The
same information stands in the lock file itself, written by whoever holds it, for when `daemon.json` is lost.
"""

import errno
import hashlib
import hmac
import os
import re
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.plain_files import read_plain
from spendguard_daemon.ports import Disk, Rng

TOKEN_BYTES = 32
LOCK_BYTES = 1024
"""The lock file is overwritten in place, never replaced, so what is in it always has the same length."""
NONCE = re.compile(r"[A-Za-z0-9_-]{16,128}")

_TOKEN = re.compile(r"sg_admin_[0-9a-f]{64}")


class DaemonInfo(msgspec.Struct, frozen=True, kw_only=True):
    """`run/daemon.json`: how to reach the daemon that wrote it last. Port 0: it does not listen yet.

    At `agents_url` agent keys alone count; `socket` is the path of the Unix socket, None where there is none.
    `access` is what its environment said of [access] by the names of `KEPT`, as the flags of `up` do.
    """

    pid: Annotated[int, msgspec.Meta(ge=1)]
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)]
    version: str
    started_at: str
    addresses: list[str]
    agents_url: str | None = None
    socket: str | None = None
    access: dict[str, str] = {}


KEPT = ("SPENDGUARD_ACCESS_LISTEN", "SPENDGUARD_ACCESS_BARE_HEADER")


@dataclass(frozen=True, slots=True)
class Home:
    """Every path below `$SPENDGUARD_HOME`, in one place (design 8)."""

    root: Path

    @property
    def config(self) -> Path:
        """Settings, for people."""
        return self.root / "config.toml"

    @property
    def secrets(self) -> Path:
        """Provider keys; the only file that may hold one."""
        return self.root / "secrets.toml"

    @property
    def trust(self) -> Path:
        """Pinned pricing keys."""
        return self.root / "trust.toml"

    @property
    def admin_token(self) -> Path:
        """The operator's token."""
        return self.root / "admin.token"

    @property
    def ledger(self) -> Path:
        """The journal and its lock."""
        return self.root / "ledger"

    @property
    def lock(self) -> Path:
        """Whoever has this file's flock has the ledger; never unlinked, never replaced."""
        return self.ledger / "lock"

    @property
    def pricing(self) -> Path:
        """Price documents as received, and the local authority's key."""
        return self.root / "pricing"

    @property
    def daemon_json(self) -> Path:
        """How to reach the daemon."""
        return self.root / "run" / "daemon.json"

    @property
    def socket(self) -> Path:
        """The operator's way in without a port."""
        return self.root / "run" / "daemon.sock"

    @property
    def agents_port(self) -> Path:
        """The port of the door for agents, kept so that programs which were given it find it again."""
        return self.root / "run" / "agents.port"

    @property
    def log(self) -> Path:
        """JSON lines of the daemon."""
        return self.root / "run" / "daemon.log"


def home_of(env: dict[str, str]) -> Home:
    """Return the home that the environment names, `~/.spendguard` by default; raise USAGE for none."""
    try:
        return Home(Path(env.get("SPENDGUARD_HOME") or "~/.spendguard").expanduser().absolute())
    except (RuntimeError, FileNotFoundError) as error:  # nobody's home, or relative to a folder that is gone
        said = "it is relative to a folder that is gone" if isinstance(error, OSError) else error
        raise SpendGuardError(
            Code.USAGE,
            f"SPENDGUARD_HOME: expected a folder: {said}",
            remedy="name a folder that exists or can be made",
        ) from None


def prepare(home: Home, disk: Disk) -> None:
    """Make the home's folders.

    Raises HOME_UNSAFE where another user could read or write what matters, or we cannot; OSError where the
    disk is full.
    """
    try:
        for folder in (home.root, home.ledger, home.pricing, home.log.parent):
            disk.make_folder(folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise SpendGuardError(
            Code.HOME_UNSAFE,
            f"The home folder {home.root} cannot be used: {error.strerror}",
            remedy="set SPENDGUARD_HOME to a folder that you own and can write",
        ) from error
    check_modes(home)
    for folder in (home.root, home.ledger, home.pricing, home.log.parent):
        if not os.access(folder, os.W_OK | os.X_OK):
            raise _unsafe(folder, "cannot be written", "make it writable, or set SPENDGUARD_HOME to another")


def check_modes(home: Home) -> None:
    """Raise HOME_UNSAFE if the home, or a file with secrets or money, is open to others or not ours."""
    named = (home.root, home.ledger, home.pricing, home.secrets, home.trust, home.admin_token, home.config)
    for path in (*named, *_inside(home.ledger)):
        try:
            found = path.stat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _unsafe(path, f"cannot be looked at ({error.strerror})", "check its owner") from error
        if found.st_uid != os.geteuid():
            raise _unsafe(path, "belongs to another user", f"chown {os.geteuid()} {shlex.quote(str(path))}")
        wanted = 0o700 if stat.S_ISDIR(found.st_mode) else 0o600
        if stat.S_IMODE(found.st_mode) & ~wanted:
            raise _unsafe(path, "is open to other users", _close(path, wanted))
        if path.parent == home.ledger and found.st_mode & wanted != wanted:
            raise _unsafe(path, "is closed to its owner", _close(path, wanted))


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unsafe(
            folder, f"cannot be looked at ({error.strerror})", "check its owner and mode"
        ) from error


def ensure_admin_token(home: Home, disk: Disk, rng: Rng) -> str:
    """Return the admin token, made at first start."""
    if not disk.exists(home.admin_token):
        disk.replace(home.admin_token, f"sg_admin_{rng.token(TOKEN_BYTES).hex()}\n".encode())
    return read_admin_token(home)


def read_admin_token(home: Home) -> str:
    """Return the admin token of a home; raise NO_DAEMON without one, HOME_UNSAFE where it is not one."""
    try:
        token = read_plain(home.admin_token).decode("ascii").strip()
    except FileNotFoundError:
        raise SpendGuardError(
            Code.NO_DAEMON, f"No sidecar was ever started in {home.root}", remedy="spendguard up"
        ) from None
    except (OSError, UnicodeDecodeError):
        raise _broken_token(home, "cannot be read as a token") from None
    if not _TOKEN.fullmatch(token):
        raise _broken_token(home, "holds no token")
    return token


def read_daemon_info(home: Home) -> DaemonInfo | None:
    """Return what the last daemon wrote of itself, or None where there is nothing readable."""
    return _read_info(home.daemon_json)


def read_lock_info(home: Home) -> DaemonInfo | None:
    """Return what the last holder of the lock wrote into it; it speaks of now only while the lock is held."""
    return _read_info(home.lock)


def write_daemon_info(home: Home, disk: Disk, info: DaemonInfo) -> None:
    """Tell the CLI how to reach this daemon."""
    disk.replace(home.daemon_json, msgspec.json.encode(info) + b"\n")


def write_lock_info(home: Home, disk: Disk, info: DaemonInfo) -> None:
    """Note in the lock file who holds it. Only its holder may do this."""
    file = disk.open_update(home.lock)
    try:
        file.write_at(0, msgspec.json.encode(info).ljust(LOCK_BYTES - 1) + b"\n")
        file.truncate(LOCK_BYTES)
    finally:
        file.close()


def read_agents_port(home: Home) -> int:
    """Return the port that agents were given last, 0 where none is known."""
    try:
        port = int(read_plain(home.agents_port).decode("ascii"))
    except (OSError, ValueError):
        return 0
    return port if 0 < port <= 65535 else 0


def write_agents_port(home: Home, disk: Disk, port: int) -> None:
    """Keep the port that agents are given."""
    disk.replace(home.agents_port, f"{port}\n".encode())


def read_text(path: Path) -> str:
    """Return the text of a file, empty where there is none; raise USAGE, naming it, where it has none."""
    try:
        return read_plain(path).decode()
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        raise SpendGuardError(
            Code.USAGE, f"{path} is not UTF-8 text", remedy=f"correct it, or remove it: rm '{path}'"
        ) from None
    except OSError as error:
        raise SpendGuardError(
            Code.USAGE, f"{path} cannot be read: {error.strerror}", remedy="check its owner and mode"
        ) from None


def proof(token: str, nonce: str, place: int | str) -> str:
    """Return what only a holder of the admin token can say to `nonce` at `place`: HMAC-SHA256, hex.

    The place is part of it, so a squatter cannot pass on the proof of the real daemon from another one: the
    port on loopback, `address:port` elsewhere, `unix:PORT` on the Unix socket of the daemon with that port.
    """
    message = f"spendguard-health\n{place}\n{nonce}"
    return hmac.new(token.encode(), message.encode(), hashlib.sha256).hexdigest()


def is_proof(token: str, nonce: str, place: int | str, claimed: str) -> bool:
    """Tell whether `claimed` is the proof to `nonce`, in constant time."""
    return hmac.compare_digest(proof(token, nonce, place).encode(), claimed.encode(errors="replace"))


def _read_info(path: Path) -> DaemonInfo | None:
    try:
        return msgspec.json.decode(read_plain(path), type=DaemonInfo)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _broken_token(home: Home, what: str) -> SpendGuardError:
    path = home.admin_token
    return _unsafe(
        path, what, f"spendguard down --now, then rm {shlex.quote(str(path))}; the next start makes a new one"
    )


def _close(path: Path, wanted: int) -> str:
    """Return what gives a file its mode; never a command that changes what a link leads to."""
    if path.is_symlink():
        return "it is a link: put what it leads to in its place, or take the link away"
    return f"chmod {wanted:o} {shlex.quote(str(path))}"


def _unsafe(path: Path, what: str, remedy: str) -> SpendGuardError:
    return SpendGuardError(
        Code.HOME_UNSAFE,
        f"The home folder is not safe: {path} {what}",
        remedy=remedy,
        facts={"path": str(path)},
    )
