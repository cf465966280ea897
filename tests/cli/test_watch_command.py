"""`spendguard watch` at the command line: what goes together, where it can run, and what a browser gets."""

import os
import pty
import signal
import sys
from collections.abc import Iterator

import httpx
import pytest

from shell import Quick, Shell
from spendguard_cli.watch.serving import Gate, new_key

BROWSER = {"origin": "http://evil.example"}


@pytest.mark.parametrize(
    ("line", "way_out"),
    [
        ("", "spendguard watch --once"),
        ("--json", "spendguard watch --once --json"),
        ("--compact --json", "spendguard watch --once --json"),
        ("--once --compact", "spendguard watch --once"),
        ("--once --serve", "spendguard watch --serve"),
        ("--once --replay", "spendguard watch --once --at 03:12"),
        ("--compact --at 03:12", "spendguard watch --once --at 03:12"),
        ("--once --speed 8", "spendguard watch --replay --speed ..."),
        ("--once --serve-port 5", "spendguard watch --serve --serve-port ..."),
        ("--replay --speed 1000", "spendguard watch --replay --speed 8"),
        ("--once --agent a --filter b", "spendguard watch --agent <name>"),
        ("--once --at yesterday", "a time is 03:12"),
    ],
)
def test_what_does_not_go_together_is_usage(line: str, way_out: str, served: Quick) -> None:
    """Exit 2, what is wrong, and what to type."""
    ran = served.run("watch", *line.split())
    assert ran.code == 2
    assert ran.out == ""
    assert way_out in ran.err


def test_inside_exec_it_is_for_operators(bare: Quick) -> None:
    """An agent sees no other agent's money."""
    for flag in ("--once", "--compact", "--serve"):
        ran = bare.run("watch", flag)
        assert ran.code == 5, ran
        assert "watch is for operators" in ran.err


def test_the_past_is_that_of_this_machine(bare: Quick) -> None:
    """The ledger of another machine's sidecar is not here."""
    shell = Quick(bare.home, CAP_BASE_URL="http://192.0.2.1:9", CAP_API_KEY="sk-x")
    ran = shell.run("watch", "--once", "--at", "03:12")
    assert ran.code == 2
    assert "is about the sidecar of this machine" in ran.err


def test_a_terminal_without_a_keyboard_is_none(served: Quick) -> None:
    """Keys are read from stdin; a pipe there has none."""
    main, of_program = pty.openpty()
    process = served.start("watch")
    process.communicate()
    assert process.returncode == 2
    os.close(main)
    os.close(of_program)


def test_top_is_watch(served: Quick) -> None:
    """What other tools call it."""
    ran = served.run("top")
    assert "did you mean spendguard watch?" in ran.err


# -- in a browser ---------------------------------------------------------------------------------------


@pytest.fixture
def address(shell: Shell) -> Iterator[str]:
    """What `watch --serve` has printed."""
    process = shell.start("watch", "--serve")
    assert process.stdout is not None
    yield process.stdout.readline().decode().strip()
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)[1].decode()
    assert "Traceback" not in said, said
    assert "nobody can act" in said


def test_a_browser_gets_the_page_with_the_key_alone(address: str) -> None:
    """A page that loads nothing from elsewhere; no look without the key, or from another site."""
    base, _, key = address.partition("/?key=")
    assert base.startswith("http://127.0.0.1:")
    with httpx.Client(base_url=base, trust_env=False) as browser:
        assert browser.get("/").status_code == 403
        assert browser.get("/ws").status_code == 403
        assert browser.get(f"/?key={key}x").status_code == 403
        let_in = browser.get(f"/?key={key}")
        assert let_in.status_code == 302
        assert "SameSite=Strict" in let_in.headers["set-cookie"]
        page = browser.get("/")
        assert page.status_code == 200
        assert "spendguard watch" in page.text
        assert page.headers["content-security-policy"].startswith("default-src 'self'")
        assert browser.get("/", headers={"host": "evil.example"}).status_code == 403
        assert browser.get("/ws", headers={"origin": "http://evil.example"}).status_code == 403


def test_the_gate_knows_its_own_page_alone() -> None:
    """By the key, and by where a request comes from."""
    key = new_key()
    gate = Gate(key, 5000)
    assert gate.knows(key)
    assert not gate.knows("")
    assert gate.is_own(None)
    assert gate.is_own("http://127.0.0.1:5000")
    assert not gate.is_own("http://127.0.0.1:5001")
    assert not gate.is_own("http://localhost.evil.example")


def test_without_textual_serve_it_says_what_to_install(
    served: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra is optional."""
    monkeypatch.setitem(sys.modules, "textual_serve.server", None)
    ran = served.run("watch", "--serve")
    assert ran.code == 2
    assert "pip install textual-serve" in ran.err
