"""Worlds of the doctor's group `home`: each broken for real, named first, and mended as it is printed."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from namespaces import namespace
from shell import PROGRAM, Quick, Shell
from spendguard_cli.context import Flags
from spendguard_cli.doctor.groups import home_modes
from spendguard_cli.doctor.world import World
from spendguard_cli.ledger import rehearsing
from spendguard_cli.session import Session
from spendguard_daemon import system
from spendguard_daemon.ledger.room import LIMITS, RoomLimits
from spendguard_daemon.runtime import Home
from typist import Typist

GROUPS = ("--check", "daemon", "--check", "home", "--check", "ledger")
FULL = """
mount -t tmpfs -o size=112m none "$1" && cd / || exit 99
"$2" -m spendguard_cli up >&2 && dd if=/dev/zero of="$1/filler" bs=1M count=60 status=none
"$2" -m spendguard_cli doctor --json --check daemon --check home --check ledger | tr -d '\\n'; echo
rm "$1/filler"
"$2" -m spendguard_cli doctor --json --check daemon --check home --check ledger | tr -d '\\n'; echo
"$2" -m spendguard_cli down --now >&2
"""


@pytest.fixture
def typist(served: Quick, tmp_path: Path) -> Typist:
    """An operator beside the module's sidecar, which a test may start anew."""
    return Typist(served, tmp_path / "here")


@pytest.fixture
def still(tmp_path: Path) -> Iterator[Typist]:
    """An operator on a home in which nothing was ever started."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    shell = Shell(home)
    yield Typist(shell, tmp_path / "here")
    shell.end()


def write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


def test_the_home_is_open_to_others(typist: Typist) -> None:
    typist.shell.home.chmod(0o755)
    found = typist.look(*GROUPS)[0]
    assert (found["check"], found["level"], found["code"]) == ("home.modes", "red", "home_unsafe")
    assert f"{typist.shell.home} is open to other users" in found["finding"]
    assert found["remedy"] == [f"chmod 700 {typist.shell.home}"]
    assert found["safe"]
    anew = f"spendguard down && rm {typist.shell.home}/admin.token && spendguard up"
    assert found["deed"].endswith(anew)
    before = (typist.shell.home / "admin.token").read_text()
    typist.mends(found)
    assert typist.type(anew).code == 0
    assert (typist.shell.home / "admin.token").read_text() != before
    assert typist.look(*GROUPS)[0]["level"] == "ok"


def test_files_of_the_home_are_open_to_others_or_closed_to_us(typist: Typist) -> None:
    """Several at once: each has its line, and --fix mends them all."""
    home = typist.shell.home
    write(home / "secrets.toml", "[keys]\n")
    broken = {home / "secrets.toml": 0o644, home / "admin.token": 0o640, home / "ledger" / "head": 0o400}
    for path, mode in broken.items():
        path.chmod(mode)
    found = typist.look(*GROUPS)[0]
    assert found["check"] == "home.modes"
    assert "and 2 more" in found["finding"]
    assert found["remedy"] == [f"chmod 600 {path}" for path in broken]
    typist.mends(found)
    assert typist.look(*GROUPS)[0]["level"] == "ok"
    for path, mode in broken.items():
        path.chmod(mode)
    world = World(Session(Flags(home=str(home)), typist.env))
    assert len(list(home_modes.mend(world))) == 3
    assert typist.look(*GROUPS)[0]["level"] == "ok"


def test_what_a_link_leads_to_is_left_alone(still: Typist) -> None:
    """Named, with neither a command nor a --fix that would reach out of the home."""
    home, outside = still.shell.home, still.folder
    page, dotfile = outside / "page.html", outside / "dotfile"
    for path in (page, dotfile):
        path.write_text("")
        path.chmod(0o644)
    (home / "ledger").mkdir(mode=0o700)
    (home / "ledger" / "site").symlink_to(page)
    (home / "config.toml").symlink_to(dotfile)
    found = still.look("--check", "home")[0]
    assert (found["check"], found["level"], found["remedy"]) == ("home.modes", "red", [])
    assert f"{home / 'config.toml'} is reached by a link, to {dotfile}" in found["deed"]
    still.look("--check", "home.modes", "--fix")
    assert [path.stat().st_mode & 0o777 for path in (page, dotfile)] == [0o644, 0o644]
    refused = still.shell.run("up")
    assert (refused.code, "it is a link" in refused.err, "chmod" in refused.err) == (78, True, False)
    for link in (home / "ledger" / "site", home / "config.toml"):
        link.unlink()
    assert still.look("--check", "home")[0]["level"] == "ok"


def test_the_home_belongs_to_another_user(typist: Typist, monkeypatch: pytest.MonkeyPatch) -> None:
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    found = typist.look("--check", "home.owner")[0]
    assert found["finding"].endswith(f"{typist.shell.home} belongs to uid {uid}")
    assert f"chown -R {uid + 1} {typist.shell.home}" in found["deed"]
    assert (found["level"], found["remedy"]) == ("red", [])


def test_the_home_is_no_folder(still: Typist) -> None:
    still.shell.home.rmdir()
    still.shell.home.write_text("")
    found = still.look(*GROUPS)[0]
    assert (found["check"], found["level"]) == ("home.there", "red")
    still.shell.home.unlink()
    assert still.look(*GROUPS)[0]["level"] == "note"


def test_the_disk_is_full(typist: Typist, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real disk, of which all that is free is too little."""
    free_bytes = shutil.disk_usage(typist.shell.home).free
    monkeypatch.setattr(rehearsing, "LIMITS", RoomLimits(free_bytes_min=free_bytes + 2**40))
    found = typist.look(*GROUPS)[0]
    assert (found["check"], found["level"], found["code"]) == ("home.disk", "red", "ledger_full")
    assert found["deed"].startswith("Free 104")
    assert f"{typist.shell.home / 'ledger' / 'ballast'}: 16 MiB" in found["evidence"]
    monkeypatch.setattr(rehearsing, "LIMITS", LIMITS)
    assert typist.look(*GROUPS)[0]["level"] == "ok"


@pytest.mark.skipif(
    namespace() is None, reason="no mount namespaces here: the test above stands for this one"
)
def test_a_tmpfs_is_full(tmp_path: Path) -> None:
    """Really full, and freed by hand; the sidecar goes on by itself."""
    disk = tmp_path / "disk"
    disk.mkdir()
    shell = Shell(disk / "home")
    command = [*(namespace() or ()), "sh", "-c", FULL, "sh", str(disk), PROGRAM[0]]
    done = subprocess.run(command, env=shell.env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    full, freed = (json.loads(line)["findings"] for line in done.stdout.splitlines())
    assert (full[0]["check"], full[0]["level"]) == ("home.disk", "red")
    assert full[0]["finding"].endswith(f"MiB are free on {disk}, 64 MiB are needed")
    assert full[0]["deed"].startswith("Free ")
    assert freed[0]["level"] in ("ok", "note"), freed[0]


def test_config_is_no_toml(still: Typist) -> None:
    config = still.shell.home / "config.toml"
    write(config, '[policy]\noverflow = "refuse"\nserver_state = = "window"\n')
    found = still.look(*GROUPS)[0]
    assert (found["check"], found["level"]) == ("home.config", "red")
    assert found["finding"] == "config.toml is not TOML: line 3 cannot be read"
    still.mends(found)
    assert config.read_text().splitlines()[2] == '# server_state = = "window"'
    assert config.stat().st_mode & 0o777 == 0o600
    assert still.look("--check", "home")[0]["level"] == "ok"


@pytest.mark.parametrize("value", ["9" * 5_000, "[" * 2_000])
def test_config_is_too_much_for_a_reader(still: Typist, value: str) -> None:
    """A number without end, nesting without end: the same words, and no traceback."""
    write(still.shell.home / "config.toml", f"[limits]\nidle_seconds = {value}\n[policy]\n")
    found = still.look(*GROUPS)[0]
    assert found["finding"] == "config.toml is not TOML: line 2 cannot be read"
    refused = still.shell.quick.run("config", "set", "limits.idle_seconds", "60")
    assert (refused.code, "config.toml is not TOML" in refused.err) == (2, True)
    still.mends(found)
    assert still.look("--check", "home")[0]["level"] == "ok"


def test_config_is_no_text(still: Typist) -> None:
    config = still.shell.home / "config.toml"
    config.write_bytes(b"\xff\xfe[policy]")
    config.chmod(0o600)
    found = still.look(*GROUPS)[0]
    assert found["finding"] == f"{config} is not UTF-8 text"
    still.mends(found)
    assert still.look("--check", "home")[0]["level"] == "ok"


@pytest.mark.parametrize(
    ("text", "words", "remedy"),
    [
        ('[policy]\noverflw = "refuse"\n', "[policy] overflw is no setting", "unset policy.overflw"),
        ('[policy]\noverflow = "maybe"\n', "[policy] overflow: expected one of", "unset policy.overflow"),
        ("[limits]\nidle_seconds = -3\n", "[limits] idle_seconds: expected", "unset limits.idle_seconds"),
        ("[polcy]\na = 1\nb = 2\n[limits]\n", "[polcy] is not a section", "unset polcy"),
        ("-x = 1\n", "[-x] is not a section", "unset -- -x"),
        ('port = 3\n[policy]\noverflow = "clamp"\n', "[port] is not a section", "unset port"),
        (
            '[providers.openai]\nkey = "x"\n',
            "[providers.openai] takes base_url only",
            "unset providers.openai.key",
        ),
        (
            '[providers.openai]\nbase_url = "http://example.org"\n',
            "base_url of openai: expected",
            "unset providers.openai.base_url",
        ),
        ('[access]\nlisten = ["10.0.0.1"]\n', "[access] listen: expected", "set access.bare_header refuse"),
    ],
)
def test_a_setting_is_unknown_or_its_value_is_none(still: Typist, text: str, words: str, remedy: str) -> None:
    config = still.shell.home / "config.toml"
    write(config, text)
    found = still.look(*GROUPS)[0]
    assert (found["check"], found["level"]) == ("home.config", "red")
    assert words in found["finding"]
    assert found["remedy"] == [f"spendguard config {remedy}"]
    quick = still.shell.quick
    assert quick.run(*found["remedy"][0].split()[1:]).code == 0
    assert still.look("--check", "home")[0]["level"] == "ok"


def test_a_setting_in_the_file_is_typed_away_line_by_line(still: Typist) -> None:
    """Two are wrong: one after the other is named, and taken out; the line of each is told."""
    config = still.shell.home / "config.toml"
    write(config, '[policy]\noverflow = "clamp"\nfoo = 1\n\n[limits]\n"a b; c" = 2\n')
    found = still.look(*GROUPS)[0]
    assert found["evidence"] == [f"{config}, line 3"]
    ran = still.type(found["remedy"][0])
    assert (ran.code, "config.toml is still wrong" in ran.err) == (0, True)
    found = still.look(*GROUPS)[0]
    assert found["remedy"] == ["spendguard config unset 'limits.a b; c'"]
    still.mends(found)
    assert config.read_text() == '[policy]\noverflow = "clamp"\n'
    refused = still.shell.quick.run("config", "unset", "policy.foo")
    assert (refused.code, "config.toml does not set policy.foo" in refused.err) == (2, True)
    shown = still.shell.quick.ok("config", "unset", "policy.overflow", "--json").json
    assert (shown["origin"], config.read_text()) == ("default", "")


def test_config_is_wrong_while_the_sidecar_runs(typist: Typist) -> None:
    """It goes on with what it read: a warning, and restart would tell before it stops anything."""
    write(typist.shell.home / "config.toml", "[policy]\nfoo = 1\n")
    found = typist.look(*GROUPS)[0]
    assert (found["check"], found["level"]) == ("home.config", "warning")
    assert "would not start again" in found["evidence"][-1]
    typist.mends(found)
    assert typist.look(*GROUPS)[0]["level"] == "ok"


def test_settings_of_the_shell_are_wrong_or_mean_nothing(still: Typist) -> None:
    still.env |= {
        "SPENDGUARD_POLICY_OVERFLOW": "maybe",
        "CAP_STORE": "sqlite",
        "SPENDGUARD_POLICY_OVERFLW": "x",
    }
    found = still.look("--check", "home")
    assert [(one["level"], one["check"]) for one in found[:3]] == [
        ("red", "home.environment"),
        ("note", "home.environment"),
        ("note", "home.environment"),
    ]
    assert "SPENDGUARD_POLICY_OVERFLOW: expected one of" in found[0]["finding"]
    assert found[1]["finding"].startswith("CAP_STORE: the original knew this setting")
    assert found[2]["finding"].startswith("SPENDGUARD_POLICY_OVERFLW: no setting has this name")
    for one in found[:2]:
        still.mends(one)
    assert [one["level"] for one in still.look("--check", "home")][:2] == ["note", "ok"]


SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f'[keys]\nopenai = "{SECRET}\n', "secrets.toml is not TOML: line 2 cannot be read"),
        (f'[keys]\nopena = "{SECRET}"\n', "names a provider that is none of"),
        ("[keys]\nopenai = 5\n", "the key of openai is not text in quotes"),
    ],
)
def test_secrets_cannot_be_read(still: Typist, text: str, words: str) -> None:
    """No key is ever repeated, not even its line; no copy of it is left."""
    write(still.shell.home / "secrets.toml", text)
    found = still.look(*GROUPS)[0]
    assert (found["check"], found["level"]) == ("home.secrets", "red")
    assert words in found["finding"]
    assert SECRET[8:] not in str(found)
    still.mends(found)
    assert still.look("--check", "home")[0]["level"] == "ok"
    assert (still.shell.home / "secrets.toml").stat().st_mode & 0o777 == 0o600
    assert not (still.shell.home / "secrets.toml.new").exists()


def test_trust_is_no_toml(still: Typist) -> None:
    write(still.shell.home / "trust.toml", "threshold = \n")
    found = still.look(*GROUPS)[0]
    assert (found["check"], found["finding"]) == (
        "home.trust",
        "trust.toml is not TOML: line 1 cannot be read",
    )
    still.mends(found)
    assert still.look("--check", "home")[0]["level"] == "ok"


@pytest.mark.parametrize("content", [None, "", "sg_admin_" + "0" * 64 + "\n"])
def test_the_admin_token_is_lost_while_the_sidecar_runs(typist: Typist, content: str | None) -> None:
    """Missing, emptied, or another one: the sidecar that runs cannot be proven, and is ended all the same."""
    path = Home(typist.shell.home).admin_token
    path.unlink()
    if content is not None:
        write(path, content)
    words = {None: "is lost", "": "is broken"}.get(content, "is not that of the sidecar that runs")
    found = typist.look(*GROUPS)[0]
    assert (found["check"], found["level"]) == ("home.token", "red")
    assert found["finding"].startswith(f"The admin token {words}")
    typist.mends(found)
    assert typist.look(*GROUPS)[0]["level"] == "ok"


def test_the_home_is_on_a_network(still: Typist, typist: Typist, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red before a start, which would be refused; a note where it was allowed."""
    kind = system._file_system_type(still.shell.home)
    monkeypatch.setattr(system, "UNSAFE_FILE_SYSTEMS", {kind: "NFS"})
    found = still.look(*GROUPS)[0]
    assert (found["check"], found["level"], found["code"]) == ("home.file_system", "red", "home_unsafe")
    assert found["finding"] == "The home is on NFS, where locks and syncs may not hold"
    assert found["deed"].endswith("spendguard up --unsafe-fs")
    found = typist.look(*GROUPS)[0]
    assert (found["check"], found["level"]) == ("home.file_system", "note")
