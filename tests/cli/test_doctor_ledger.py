"""Worlds of the doctor's group `ledger`: each broken for real, named first, and mended as it is printed."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from shell import Quick, Shell
from spendguard_cli.ledger.known_backups import KEPT, Known, note, read
from spendguard_daemon.ledger import opening
from spendguard_daemon.runtime import Home
from spendguard_daemon.system import SystemClock, SystemDisk, SystemRng
from typist import Typist
from until import until

GROUPS = ("--check", "daemon", "--check", "home", "--check", "ledger")
SHIFTED = Path(__file__).parent.parent / "support" / "shifted_daemon.py"
DAY_SECONDS = 86_400


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A home whose sidecar has ended well, with an agent that has spent."""
    made = Shell(tmp_path_factory.mktemp("ended") / "home")
    made.call(made.agent("worker", cents=500), max_tokens=5)
    yield made
    made.end()


@pytest.fixture
def typist(ended: Shell, tmp_path: Path) -> Iterator[Typist]:
    """An operator on a copy of that home, whose sidecar is down."""
    ended.quick.run("down")
    home = tmp_path / "home"
    subprocess.run(["cp", "-a", str(ended.home), str(home)], check=True)
    (home / "run" / "backups.json").unlink(missing_ok=True)
    shell = Shell(home)
    yield Typist(shell, tmp_path / "here")
    shell.end()


def segment(home: Path) -> Path:
    """Return the last segment of a home's ledger."""
    return max((home / "ledger").glob("seg-*.jsonl"))


def damage(home: Path) -> None:
    """Change one byte in the second record, which was durable long ago."""
    raw = bytearray(segment(home).read_bytes())
    raw[raw.index(b"\n") + 40] ^= 1
    segment(home).write_bytes(raw)


def test_the_ledger_is_damaged_and_there_is_a_backup(typist: Typist) -> None:
    """The newest that is whole is named; after it each agent waits to be told what it spent."""
    home, quick = typist.shell.home, typist.shell.quick
    older, newer = typist.folder / "an older one", typist.folder / "a newer one"
    for target in (older, newer):
        quick.ok("ledger", "backup", str(target))
    segment_of_newer = max(newer.glob("seg-*.jsonl"))
    segment_of_newer.write_bytes(segment_of_newer.read_bytes()[:-1])
    damage(home)
    assert typist.type("spendguard up").code == 78
    found = typist.look(*GROUPS)[0]
    assert (found["check"], found["level"], found["code"]) == ("ledger.whole", "red", "ledger_damaged")
    assert found["finding"].startswith(f"The ledger is damaged: {segment(home).name}, line 2, byte ")
    assert found["remedy"] == [f"spendguard ledger restore '{older}' --yes", "spendguard up"]
    assert "spendguard agent unfreeze AGENT --spent AMOUNT" in found["deed"]
    typist.mends(found)
    assert typist.look(*GROUPS)[0]["level"] == "ok"
    agents = quick.ok("agent", "list", "--json").json
    assert [agent["name"] for agent in agents] == ["worker"]


def test_the_ledger_is_damaged_and_there_is_no_backup(typist: Typist) -> None:
    """What is left to choose is told; a note of a backup that is gone does not count."""
    home = Home(typist.shell.home)
    gone = Known(path=str(typist.folder / "gone"), created="2026-11-01T00:00:00Z", sha256="0" * 64)
    note(home, gone)
    damage(home.root)
    found = typist.look(*GROUPS)[0]
    assert (found["check"], found["level"], found["remedy"]) == ("ledger.whole", "red", [])
    assert "no backup is known that is whole" in found["finding"]
    assert "spendguard ledger restore FOLDER" in found["deed"]
    assert "agents, keys and all that was spent are forgotten" in found["deed"]
    home.ledger.rename(home.root / "ledger-kept")
    assert typist.type("spendguard up").code == 0
    assert typist.look(*GROUPS)[0]["level"] == "ok"


def test_a_segment_cannot_be_read(typist: Typist) -> None:
    """What the disk does not give is damage as well."""
    path = segment(typist.shell.home)
    path.unlink()
    path.symlink_to(path)
    found = typist.look("--check", "ledger")
    assert (found[0]["check"], found[0]["level"]) == ("ledger.whole", "red")
    assert f"{path} cannot be read: " in found[0]["finding"]
    assert {one["level"] for one in found[1:]} == {"ok"}
    assert typist.type("spendguard up").code != 0


def test_the_segments_are_gone(typist: Typist) -> None:
    """A start would not begin anew where a restore was cut short."""
    home = Home(typist.shell.home)
    home.ledger.rename(home.ledger.with_name("ledger.restoring"))
    home.ledger.mkdir(mode=0o700)
    found = typist.look(*GROUPS)[0]
    assert (found["check"], found["code"]) == ("ledger.whole", "ledger_damaged")
    assert "a restore was cut short" in found["finding"]


def test_the_ledger_is_of_a_newer_version(typist: Typist, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written by our own code, as a later version of it will."""
    with monkeypatch.context() as later:
        later.setattr(opening, "READER", opening.READER + 1)
        disk = SystemDisk()
        folder = Home(typist.shell.home).ledger
        opened = opening.open_folder(folder, disk=disk, clock=SystemClock(), rng=SystemRng(), version="9.0.0")
    del opened
    assert typist.type("spendguard up").code == 78
    found = typist.look(*GROUPS)[0]
    assert (found["check"], found["level"], found["code"]) == ("ledger.whole", "red", "ledger_newer")
    assert found["finding"].startswith("The ledger was written by a newer version of SpendGuard")
    assert "Install that version again" in found["deed"]


def test_the_ledger_is_held_by_another_program(typist: Typist) -> None:
    held = SystemDisk().lock(Home(typist.shell.home).lock)
    assert held is not None
    found = typist.look(*GROUPS)[0]
    assert (found["check"], found["level"], found["code"]) == ("ledger.held", "red", "ledger_locked")
    assert found["finding"].endswith(f"process {os.getpid()}")
    assert f"ps -p {os.getpid()}" in found["deed"]
    held.close()
    assert typist.type("spendguard up").code == 0
    assert typist.look(*GROUPS)[0]["level"] == "ok"


def test_the_clock_is_behind_the_ledger(typist: Typist) -> None:
    """The sidecar ran for a moment with a clock that was a day ahead; it was set back since."""
    shift = typist.folder / "shift"
    shift.write_text(str(DAY_SECONDS))
    env = typist.env | {"SPENDGUARD_TEST_CLOCK": str(shift)}
    tomorrow = subprocess.Popen([sys.executable, str(SHIFTED), "--port", "0"], env=env)
    try:
        until(lambda: typist.shell.quick.run("status").code == 0)
        typist.shell.quick.ok("agent", "create", "--name", "tomorrow", "--mock")
        found = typist.look(*GROUPS)[0]
        assert (found["check"], found["level"]) == ("ledger.clock", "warning")
        typist.shell.quick.ok("down", "--now")
    finally:
        tomorrow.kill()
        tomorrow.wait()
    found = next(one for one in typist.look(*GROUPS) if one["check"] == "ledger.clock")
    assert found["level"] == "warning"
    assert "s behind the ledger's last record" in found["finding"]
    assert len(found["evidence"]) == 2
    assert found["deed"].startswith("Set the clock")
    assert typist.type("spendguard up").code == 0
    set_right_ns = time.time_ns() + 2 * DAY_SECONDS * 10**9
    with mock.patch("time.time_ns", lambda: set_right_ns):
        assert typist.look(*GROUPS)[0]["level"] == "ok"


def test_an_unfinished_record_was_set_aside(typist: Typist) -> None:
    """A crash left half a record behind: a note, and nothing to do."""
    with segment(typist.shell.home).open("ab") as file:
        file.write(b'{"v":1,"seq":99')
    assert typist.look("--check", "ledger.whole")[0]["level"] == "ok", "a start takes that"
    assert typist.type("spendguard up").code == 0
    found = typist.look(*GROUPS)[0]
    assert (found["check"], found["level"]) == ("ledger.torn", "note")
    assert "torn-" in found["evidence"][0]
    assert not found["remedy"]


def test_backups_are_remembered_newest_first_and_not_for_ever(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.daemon_json.parent.mkdir()
    for number in range(KEPT + 5):
        note(home, Known(path=f"/mnt/{number}", created="2026-11-30T00:00:00Z", sha256="0" * 64))
    note(home, Known(path="/mnt/9", created="2026-12-01T00:00:00Z", sha256="1" * 64))
    paths = [known.path for known in read(home)]
    assert (len(paths), paths[:2]) == (KEPT, ["/mnt/9", f"/mnt/{KEPT + 4}"])
    assert paths.count("/mnt/9") == 1
    for garbage in (b"", b"{}", b"\xff", json.dumps([{"path": 1}]).encode()):
        (tmp_path / "run" / "backups.json").write_bytes(garbage)
        assert read(home) == []
    quick = Quick(tmp_path / "none")
    assert quick.run("ledger", "backup", str(tmp_path / "b")).code == 3
