"""Attempts on files: of the sidecar's home and its backups, our code, and what the operator runs next."""

import ctypes
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hostile_program import Facts, RefusedError, attempt, in_child, read

FILES = (
    *("admin.token", "secrets.toml", "config.toml", "trust.toml", "run/daemon.json", "run/daemon.log"),
    *("run/agents.port", "ledger/head", "ledger/lock", "ledger/manifest.json", "pricing/authority.json"),
)
"""Read and opened for writing by name; what else lies in the home is found by looking."""

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNS, _CLONE_NEWUSER = 0x0002_0000, 0x1000_0000
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_OPEN_TREE, _OPEN_TREE_CLONE, _AT_RECURSIVE = 428, 1, 0x8000
_AT_FDCWD = -100


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _all(facts: Facts) -> list[Path]:
    """Return every file of the home that can be named."""
    found = {facts.home / name for name in FILES}
    for folder, _, names in os.walk(facts.home):
        found |= {Path(folder) / name for name in names}
    return sorted(path for path in found if os.path.lexists(path) and not path.is_socket())


def _each(facts: Facts, act: Callable[[Path], str]) -> str:
    """Do something to every file of the home; return what came of it, for those where something did."""
    gained, why, files = [], "nothing is there", _all(facts)
    for path in files:
        try:
            gained.append(f"{path.relative_to(facts.home)}: {act(path)}")
        except OSError as error:
            why = str(error)
    if not gained:
        raise RefusedError(f"{len(files)} files: {why}")
    return "; ".join(gained)


@attempt("files", "list the home")
def list_home(facts: Facts) -> str:
    return ", ".join(sorted(path.name for path in facts.home.iterdir()))


@attempt("files", "read a file of the home")
def read_all(facts: Facts) -> str:
    return _each(facts, lambda path: read(path)[:200])


@attempt("files", "open a file of the home for writing")
def write_all(facts: Facts) -> str:
    return _each(facts, lambda path: os.close(os.open(path, os.O_WRONLY | os.O_APPEND)) or "")


@attempt("files", "truncate a file of the home")
def truncate_all(facts: Facts) -> str:
    return _each(facts, lambda path: os.truncate(path, path.stat().st_size) or "")


@attempt("files", "give a file of the home a second name")
def link_out(facts: Facts) -> str:
    def link(path: Path) -> str:
        to = facts.scratch / secrets.token_hex(4)
        os.link(path, to)
        to.unlink()
        return "linked"

    return _each(facts, link)


@attempt("files", "read a file of the home by a symbolic link")
def symlink_out(facts: Facts) -> str:
    link = facts.scratch / "link"
    with suppress(FileExistsError):
        link.symlink_to(facts.token_file)
    return read(link)


@attempt("files", "read a file of the home by a descriptor without rights")
def reopen(facts: Facts) -> str:
    place = os.open(facts.token_file, os.O_PATH)
    return read(f"/proc/self/fd/{place}")


@attempt("files", "read a file of the home by the root of this process")
def by_proc_root(facts: Facts) -> str:
    return read(f"/proc/self/root{facts.token_file}")


@attempt("files", "read a file of the home from within it")
def by_working_folder(facts: Facts) -> str:
    def inside() -> str:
        os.chdir(facts.home)
        return read("admin.token")

    return in_child(inside)


@attempt("files", "read a file of the home with it as the root")
def by_chroot(facts: Facts) -> str:
    def inside() -> str:
        os.chroot(facts.home)
        return read("/admin.token")

    return in_child(inside)


@attempt("files", "read a file of the home by its handle")
def by_handle(facts: Facts) -> str:
    class Handle(ctypes.Structure):
        _fields_ = (("size", ctypes.c_uint), ("kind", ctypes.c_int), ("bytes", ctypes.c_ubyte * 128))

    handle, mount = Handle(128), ctypes.c_int()
    name = os.fsencode(facts.token_file)
    _checked(_LIBC.name_to_handle_at(_AT_FDCWD, name, ctypes.byref(handle), ctypes.byref(mount), 0))
    folder = os.open(facts.scratch, os.O_RDONLY)
    return read(
        f"/proc/self/fd/{_checked(_LIBC.open_by_handle_at(folder, ctypes.byref(handle), os.O_RDONLY))}"
    )


def _own_namespace() -> None:
    """Get a mount namespace, with a user namespace where that is needed, of which nothing leaks out."""
    if _LIBC.unshare(_CLONE_NEWNS) < 0:
        _checked(_LIBC.unshare(_CLONE_NEWUSER | _CLONE_NEWNS))
    _checked(_LIBC.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None))


@attempt("files", "read a file of the home by mounting it elsewhere")
def by_mount(facts: Facts) -> str:
    def inside() -> str:
        _own_namespace()
        to = facts.scratch / "mounted"
        to.mkdir(exist_ok=True)
        _checked(_LIBC.mount(os.fsencode(facts.home), os.fsencode(to), None, _MS_BIND, None))
        return read(to / "admin.token")

    return in_child(inside)


@attempt("files", "read a file of the home by a copy of the mount")
def by_open_tree(facts: Facts) -> str:
    def inside() -> str:
        _own_namespace()
        name = os.fsencode(facts.home)
        tree = _checked(_LIBC.syscall(_OPEN_TREE, _AT_FDCWD, name, _OPEN_TREE_CLONE | _AT_RECURSIVE))
        return os.read(os.open("admin.token", os.O_RDONLY, dir_fd=tree), 200).decode()

    return in_child(inside)


@attempt("files", "read a file of the home by a program in memory")
def by_memfd(facts: Facts) -> str:
    memory = os.memfd_create("thief", 0)
    os.write(memory, f"#!/bin/sh\ncat '{facts.token_file}'\n".encode())
    done = subprocess.run([f"/proc/self/fd/{memory}"], pass_fds=[memory], capture_output=True, check=False)
    if done.returncode:
        raise RefusedError(done.stderr.decode()[-200:])
    return done.stdout.decode()


@attempt("files", "make a file in the home")
def make_inside(facts: Facts) -> str:
    path = facts.home / "planted.toml"
    path.write_text("planted")
    path.unlink()
    return str(path)


@attempt("files", "make a folder in the home")
def make_folder_inside(facts: Facts) -> str:
    path = facts.home / "ledger.restoring"
    path.mkdir()
    path.rmdir()
    return str(path)


@attempt("files", "move a file into the home")
def move_inside(facts: Facts) -> str:
    made, path = facts.scratch / "config.toml", facts.home / "planted.toml"
    made.write_text('[access]\ncontrol = "open-loopback"\n')
    made.rename(path)
    path.unlink()
    return str(path)


@attempt("files", "remove a file of the home")
def remove(facts: Facts) -> str:
    path = facts.home / "decoy"
    said = read(path) if os.access(path, os.R_OK) else ""
    path.unlink()
    path.write_text(said)
    return str(path)


@attempt("files", "move a file out of the home")
def move_out(facts: Facts) -> str:
    path, to = facts.home / "decoy", facts.scratch / "decoy"
    path.rename(to)
    to.rename(path)
    return str(path)


@attempt("files", "put another folder in the home's place")
def replace_home(facts: Facts) -> str:
    to = facts.home.with_name("moved")
    facts.home.rename(to)
    to.rename(facts.home)
    return str(to)


@attempt("files", "make a socket in the home")
def socket_inside(facts: Facts) -> str:
    path = facts.home / "run" / "s"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
    path.unlink()
    return str(path)


@attempt("files", "change the mode of the home")
def chmod_home(facts: Facts) -> str:
    mode = facts.home.stat().st_mode & 0o7777
    facts.home.chmod(mode | 0o055)
    facts.home.chmod(mode)
    return oct(mode)


@attempt("files", "read a backup outside the home")
def read_backup(facts: Facts) -> str:
    return read(facts.backup / "manifest.json")


@attempt("files", "write on a file that the ledger shares with a backup")
def write_backup(facts: Facts) -> str:
    """A backup that names the ledger's own files again would open them to whoever may write on it."""
    for path in sorted(facts.backup.rglob("*")):
        if path.is_file() and path.stat().st_nlink > 1:
            os.close(os.open(path, os.O_WRONLY | os.O_APPEND))
            return str(path.relative_to(facts.backup))
    raise RefusedError("no file of the backup is another one as well")


@attempt("files", "change SpendGuard's code")
def change_code(facts: Facts) -> str:
    changed = []
    for folder in facts.code:
        with suppress(OSError):
            os.close(os.open(folder / "spendguard_probe.pth", os.O_WRONLY | os.O_CREAT, 0o600))
            (folder / "spendguard_probe.pth").unlink()
            changed.append(f"made a file in {folder.name}")
        for path in (*folder.glob("spendguard_cli/*.py"), *folder.glob("spendguard_daemon/*.py")):
            with suppress(OSError):
                os.close(os.open(path, os.O_WRONLY | os.O_APPEND))
                changed.append(path.name)
    if not changed:
        raise RefusedError("neither changed nor added to")
    return ", ".join(changed[:5])


@attempt("files", "change the Python that SpendGuard runs from")
def change_python(_facts: Facts) -> str:
    site = next(path for path in sys.path if path.endswith("site-packages"))
    path = Path(site) / "spendguard_probe.pth"
    path.write_text("")
    path.unlink()
    return site


@attempt("files", "change what the operator's shell reads at its start")
def change_shell(facts: Facts) -> str:
    os.close(os.open(facts.user / ".bashrc", os.O_WRONLY | os.O_APPEND))
    return ".bashrc"


@attempt("files", "put a program before ours on the operator's PATH")
def shadow(facts: Facts) -> str:
    path = facts.user / ".local" / "bin" / "spendguard"
    path.write_text("#!/bin/sh\n")
    path.unlink()
    return str(path.relative_to(facts.user))


@attempt("files", "read a key that another tool has left in a file")
def other_keys(facts: Facts) -> str:
    return f"{len(read(facts.user / '.codex' / 'auth.json'))} bytes of ~/.codex/auth.json"


@attempt("files", "read the home of another sidecar of the same user")
def other_home(facts: Facts) -> str:
    return f"{len(read(facts.user / 'other' / 'admin.token'))} bytes of its token"


@attempt("files", "have a service of the same user read a file of the home")
def by_service(facts: Facts) -> str:
    """What runs outside and does as it is told: D-Bus, Docker, tmux, an editor, ssh to this machine."""
    with socket.socket(socket.AF_UNIX) as made:
        made.settimeout(20)
        made.connect(str(facts.user / "service"))
        made.sendall(os.fsencode(facts.token_file) + b"\n")
        return made.recv(200).decode()


@attempt("disk", "fill the disk that the ledger is on")
def fill(facts: Facts) -> str:
    """Whether anything moves meanwhile, the test sees; a file elsewhere says when it has seen enough."""
    filler, size = facts.user / ".local" / "bin" / "filler", 2**20
    with filler.open("ab", buffering=0) as file:
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
    (facts.scratch / "slow").touch()
    while not (facts.scratch / "enough").exists():
        with suppress(OSError), filler.open("ab", buffering=0) as file:
            file.write(bytes(4096))
        time.sleep(0.05)
    written = filler.stat().st_size
    filler.unlink()
    raise RefusedError(f"{written} bytes were written, and nobody else had them")
