"""A daemon whose catalogue is old says so: in its log, in its status, at `up`."""

import sys
from pathlib import Path

from shell import Shell
from sidecar import OLD_CATALOGUE, Sidecar

PATCHED = "import sys; from spendguard_daemon.pricing import catalogue; catalogue.STALE_DAYS = {}; "
START = "from spendguard_daemon.__main__ import main; sys.exit(main())"


def daemon(home: Path, stale_days: int) -> Sidecar:
    """Return the real daemon, to which a catalogue is old after so many days."""
    return Sidecar(home, command=(sys.executable, "-P", "-c", PATCHED.format(stale_days) + START))


def test_an_old_catalogue_is_reported_everywhere(tmp_path: Path) -> None:
    """To a daemon for which one of no age is too old."""
    with daemon(tmp_path / "home", -1) as sidecar:
        (warning,) = sidecar.control("GET", "/v1/status")["warnings"]
        assert OLD_CATALOGUE in warning
        assert OLD_CATALOGUE in sidecar.home.log.read_text()
        shell = Shell(sidecar.home.root)
        assert OLD_CATALOGUE in shell.run("up").err
        assert OLD_CATALOGUE in shell.run("status", "--json").out


def test_a_fresh_one_is_not(tmp_path: Path) -> None:
    with daemon(tmp_path / "home", 10_000) as sidecar:
        assert sidecar.control("GET", "/v1/status")["warnings"] == []
        assert OLD_CATALOGUE not in sidecar.home.log.read_text()
