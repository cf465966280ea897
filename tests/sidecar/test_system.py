"""The real clock, disk and chance."""

import errno
import fcntl
import os
import stat
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spendguard_daemon.ports import Clock, Disk, DiskFile, Rng
from spendguard_daemon.system import SystemClock, SystemDisk, SystemFile, SystemRng

DISK = SystemDisk()

HOLDER = """
import sys
from pathlib import Path
from spendguard_daemon.system import SystemDisk
lock = SystemDisk().lock(Path(sys.argv[1]))
print("held" if lock else "refused", flush=True)
sys.stdin.read()
"""


def descriptors() -> int:
    """Return how many files this process has open, 0 where that cannot be told."""
    listing = Path("/proc/self/fd")
    return len(list(listing.iterdir())) if listing.exists() else 0


def mode(path: Path) -> int:
    """Return the permission bits of a path."""
    return stat.S_IMODE(path.stat().st_mode)


def test_they_are_the_ports() -> None:
    """The type checker agrees; this runs it."""
    clock: Clock = SystemClock()
    disk: Disk = DISK
    rng: Rng = SystemRng()
    assert disk is DISK
    assert clock.wall_ns() > 1_700_000_000 * 10**9
    assert clock.monotonic_ns() <= clock.monotonic_ns()
    assert (len(rng.token(16)), rng.token(16)) != (16, rng.token(16))
    drawn = [rng.uuid4() for _ in range(2_000)]
    assert {uuid.UUID(one).version for one in drawn} == {4}
    assert len(set(drawn)) == 2_000


def test_files_and_folders_are_for_their_owner_alone(tmp_path: Path) -> None:
    """Whatever the umask would allow."""
    before = os.umask(0)
    try:
        DISK.make_folder(tmp_path / "a" / "b")
        DISK.make_folder(tmp_path / "a" / "b")
        for file in (
            DISK.open_append(tmp_path / "a" / "log"),
            DISK.open_update(tmp_path / "a" / "head"),
            DISK.lock(tmp_path / "a" / "lock"),
        ):
            assert file is not None
            file.close()
        DISK.replace(tmp_path / "a" / "whole", b"x")
    finally:
        os.umask(before)
    assert [mode(tmp_path / "a"), mode(tmp_path / "a" / "b")] == [0o700, 0o700]
    assert {mode(tmp_path / "a" / name) for name in ("log", "head", "lock", "whole")} == {0o600}


def test_a_folder_cannot_be_made_where_a_file_is(tmp_path: Path) -> None:
    """Nor below one."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises((FileExistsError, NotADirectoryError)):
            DISK.make_folder(path)


def test_a_folder_that_another_process_makes_first_is_as_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that start together do not fail over it."""
    mkdir = Path.mkdir

    def beaten(path: Path, mode: int) -> None:
        mkdir(path, mode)
        raise FileExistsError(path)

    monkeypatch.setattr(Path, "mkdir", beaten)
    DISK.make_folder(tmp_path / "a")
    assert (tmp_path / "a").is_dir()


def test_appending_reading_cutting(tmp_path: Path) -> None:
    """An append file grows at its end, also when opened again."""
    path = tmp_path / "log"
    for part in (b"one", b"two"):
        file = DISK.open_append(path)
        assert file.write(part) == 3
        file.sync()
        file.close()
        file.close()
    assert DISK.read(path) == b"onetwo"
    file = DISK.open_append(path)
    file.truncate(4)
    file.write(b"!")
    file.close()
    assert DISK.read(path) == b"onet!"


def test_updating_in_place(tmp_path: Path) -> None:
    """An update file is written where it is told, and keeps the rest."""
    path = tmp_path / "head"
    file = DISK.open_update(path)
    assert file.write_at(4, b"four") == 4
    assert file.write_at(0, b"zero") == 4
    file.close()
    file = DISK.open_update(path)
    file.write_at(2, b"--")
    file.close()
    assert DISK.read(path) == b"ze--four"


def test_what_is_there_is_told(tmp_path: Path) -> None:
    """Names sorted, absent files as such."""
    assert not DISK.exists(tmp_path / "b")
    for name in ("b", "a", "c"):
        DISK.replace(tmp_path / name, b"")
    assert DISK.names(tmp_path) == ["a", "b", "c"]
    assert DISK.exists(tmp_path / "b")
    assert DISK.exists(tmp_path)
    with pytest.raises(FileNotFoundError):
        DISK.read(tmp_path / "nowhere")


def test_replacing_leaves_nothing_beside(tmp_path: Path) -> None:
    """The new bytes whole, and no temporary file."""
    path = tmp_path / "config.toml"
    DISK.replace(path, b"old")
    DISK.replace(path, b"new" * 100_000)
    assert DISK.read(path) == b"new" * 100_000
    assert DISK.names(tmp_path) == ["config.toml"]


def test_a_replacement_that_fails_leaves_the_old_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever step fails, and no temporary file stays."""
    path = tmp_path / "config.toml"
    DISK.replace(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    for target, name in ((SystemFile, "sync"), (SystemFile, "write"), (Path, "replace")):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, fail)
            with pytest.raises(OSError, match="Input/output"):
                DISK.replace(path, b"new")
        assert DISK.read(path) == b"old"
        assert DISK.names(tmp_path) == ["config.toml"]


def test_the_order_of_a_replacement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes synced, then renamed, then the folder synced: any other order can lose both."""
    steps: list[str] = []

    def noting(step: str, real: Callable[..., object]) -> Callable[..., object]:
        def noted(*arguments: object) -> object:
            steps.append(step)
            return real(*arguments)

        return noted

    for target, name in ((SystemFile, "sync"), (Path, "replace"), (SystemDisk, "sync_folder")):
        monkeypatch.setattr(target, name, noting(name, getattr(target, name)))
    DISK.replace(tmp_path / "a", b"x")
    assert steps == ["sync", "replace", "sync_folder"]


def test_syncing_really_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's data on Linux, the folder's names everywhere."""
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda fd: synced.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
    )
    monkeypatch.setattr(os, "fdatasync", lambda fd: synced.append("data"))
    file = DISK.open_append(tmp_path / "log")
    file.sync()
    DISK.sync_folder(tmp_path)
    DISK.make_folder(tmp_path / "new" / "newer")
    file.close()
    assert synced == ["data", "folder", "folder", "folder"]


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    """Also within one process; given up, it can be taken again, and its file stays."""
    path = tmp_path / "lock"
    first = DISK.lock(path)
    assert first is not None
    assert DISK.lock(path) is None
    first.close()
    assert path.exists()
    second = DISK.lock(path)
    assert second is not None
    second.close()


def test_a_lock_that_cannot_be_asked_for_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the same as taken; and the descriptor is not leaked."""
    before = descriptors()

    def fail(fd: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="No locks"):
        DISK.lock(tmp_path / "lock")
    assert descriptors() == before


@contextmanager
def running(script: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Yield a Python process that inherits what it may, and the first line it wrote; kill it in the end."""
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        close_fds=False,
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline()
        finally:
            process.kill()


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    """kill -9 frees it."""
    path = tmp_path / "lock"
    with running(HOLDER, str(path)) as (holder, answer):
        assert answer == "held\n"
        assert DISK.lock(path) is None
        holder.kill()
        holder.wait()
        lock = DISK.lock(path)
        assert lock is not None
        lock.close()


def test_a_lock_is_not_inherited(tmp_path: Path) -> None:
    """A child that outlives the holder does not keep it."""
    lock = DISK.lock(tmp_path / "lock")
    assert lock is not None
    with running("import sys; print('up', flush=True); sys.stdin.read()") as (_, answer):
        assert answer == "up\n"
        lock.close()
        again = DISK.lock(tmp_path / "lock")
        assert again is not None
        again.close()


def test_files_may_be_used_from_another_thread(tmp_path: Path) -> None:
    """The journal opens them at start and writes on its own thread."""
    file: DiskFile = DISK.open_append(tmp_path / "log")
    thread = threading.Thread(target=lambda: file.write(b"x"))
    thread.start()
    thread.join()
    file.close()
    assert DISK.read(tmp_path / "log") == b"x"
