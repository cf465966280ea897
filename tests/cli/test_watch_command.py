"""`spendguard watch` at the command line: what goes together, where it can run, and what a browser gets."""

import asyncio
import base64
import hashlib
import os
import pty
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import httpx
import pytest
from aiohttp import web

import raw_http
from shell import PATIENCE_SECONDS, Quick, Shell
from spendguard_cli.watch.served_page import headers, page
from spendguard_cli.watch.serving import Gate, Screens, new_key


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


FOREIGN = "http://127.0.0.1:1"
"""A page of this machine, which is another origin all the same."""


@pytest.fixture
def address(shell: Shell) -> Iterator[str]:
    """What `watch --serve` has printed; it ends at Ctrl+C, whatever is open then."""
    process = shell.start("watch", "--serve")
    assert process.stdout is not None
    yield process.stdout.readline().decode().strip()
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)[1].decode()
    assert "nobody can act" in said
    assert "Traceback" not in said, said
    assert process.returncode == 0


def test_a_browser_gets_the_page_with_the_key_alone(address: str) -> None:
    """A page that loads nothing from elsewhere; no look without the key, or from another site."""
    key = address.split("/")[3]
    base = address.removesuffix(f"{key}/")
    assert base.startswith("http://127.0.0.1:")
    with httpx.Client(base_url=base, trust_env=False) as browser:
        for path in ("", "ws", "static/js/textual.js", f"{key}x/", f"?key={key}"):
            assert browser.get(path).status_code == 403, path
        page = browser.get(f"{key}/")
        assert page.status_code == 200
        assert "<title>spendguard watch</title>" in page.text
        assert f"{base.replace('http', 'ws')}{key}/ws" in page.text
        assert page.text.count("//") == 1, "it names another host"
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        assert page.headers["referrer-policy"] == "no-referrer"
        assert "set-cookie" not in page.headers, "every port of this machine would be told the key"
        for of, status in (("static/js/textual.js", 200), ("static/css/xterm.css", 200), ("download/x", 404)):
            assert status == 404 or f'"{of}"' in page.text
            part = browser.get(f"{key}/{of}")
            assert part.status_code == status
            assert part.headers["cache-control"] == "no-store", "its address, with the key, would be on disk"
            assert part.headers["referrer-policy"] == "no-referrer"
        for foreign in (
            {"host": "evil.example"},
            *({"origin": one} for one in (FOREIGN, "null", "http://[")),
        ):
            assert browser.get(f"{key}/", headers=foreign).status_code == 403, foreign


async def test_a_request_without_a_path_is_let_in_by_no_key(address: str) -> None:
    """Also one that no browser sends is refused, not a fault of ours."""
    port = int(address.split("/")[2].split(":")[1])
    for method, path in (("OPTIONS", "*"), ("GET", "/%ff"), ("CONNECT", f"127.0.0.1:{port}")):
        answer = await raw_http.send(port, raw_http.request(port, path, {}, b"", method=method))
        assert answer is not None
        assert answer.status == 403, path


async def test_a_browser_sees_the_screen_and_its_keys_act(address: str) -> None:
    """By the websocket that the page opens: what is drawn, what is typed, and the end of it."""
    socket = f"{address}ws?width=100&height=30"
    async with aiohttp.ClientSession() as browser:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await browser.ws_connect(socket, origin=FOREIGN)
        async with browser.ws_connect(socket, origin=address.rsplit("/", 2)[0]) as screen:
            await _shows(screen, b"agents")
            await screen.send_json(["stdin", "?"])
            await _shows(screen, b"Everywhere")
            await screen.send_json(["stdin", "\x03"])
            while not screen.closed:
                await screen.receive(timeout=30)


async def test_ctrl_c_ends_the_screens_that_are_open(shell: Shell) -> None:
    """Each browser hears of it, and each program ends."""
    process = shell.start("watch", "--serve")
    assert process.stdout is not None
    address = process.stdout.readline().decode().strip()
    async with aiohttp.ClientSession() as browser, browser.ws_connect(f"{address}ws") as screen:
        await _shows(screen, b"agents")
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not screen.closed:
                await screen.receive()
    said = process.communicate(timeout=30)[1].decode()  # at its end: its screens hold no pipe of its open
    assert "Traceback" not in said, said
    assert process.returncode == 0


async def test_a_screen_that_hangs_is_not_waited_for(shell: Shell) -> None:
    """Its program hears nothing, as while it reads a long past; Ctrl+C ends what serves it all the same."""
    process = shell.start("watch", "--serve")
    assert process.stdout is not None
    address = process.stdout.readline().decode().strip()
    async with aiohttp.ClientSession() as browser, browser.ws_connect(f"{address}ws") as screen:
        await _shows(screen, b"agents")
        hanging = [one for child in _children(process.pid) for one in (child, *_children(child))]
        assert hanging
        try:
            for one in hanging:
                os.kill(one, signal.SIGSTOP)
            process.send_signal(signal.SIGINT)
            said = (await asyncio.to_thread(process.communicate, None, 50))[1].decode()
        finally:
            process.kill()
            for one in hanging:
                with suppress(ProcessLookupError):
                    os.kill(one, signal.SIGKILL)
    assert "Traceback" not in said, said
    assert process.returncode == 0


def _children(pid: int) -> list[int]:
    of_each_thread = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for listed in of_each_thread for child in listed.read_text(encoding="ascii").split()]


async def test_what_is_open_is_ended_and_not_waited_for() -> None:
    """A screen that nobody closes ends all the same, with all that it does at its end."""
    screens, done = Screens(), []

    async def never_ends() -> web.WebSocketResponse:
        try:
            await asyncio.Event().wait()
        finally:
            done.append("its program was told to quit")
        raise AssertionError

    showing = asyncio.create_task(screens.show(never_ends()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await screens.end()
    assert done
    with pytest.raises(asyncio.CancelledError):
        await showing


async def test_where_the_program_ends_the_browser_hears_of_it(shell: Shell) -> None:
    """It would stand there for ever, and show what was. The terminal says why it ended."""
    process = shell.start("watch", "--serve")
    assert process.stdout is not None
    address = process.stdout.readline().decode().strip()
    assert shell.run("down", "--now").code == 0
    async with aiohttp.ClientSession() as browser, browser.ws_connect(f"{address}ws") as screen:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not screen.closed:
                await screen.receive()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert "No sidecar is running" in (out + err).decode()
    assert "Traceback" not in err.decode()


async def _shows(screen: aiohttp.ClientWebSocketResponse, text: bytes) -> None:
    """Read what is drawn until it holds a text."""
    drawn = b""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while text not in drawn:
            message = await screen.receive()
            assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), drawn
            drawn += message.data if message.type is aiohttp.WSMsgType.BINARY else b""


def test_the_page_runs_the_script_that_its_policy_names() -> None:
    """The one script in the page is let run, by its digest; no other is."""
    script = page("ws://127.0.0.1:5000/key/ws").partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = headers("127.0.0.1:5000")["content-security-policy"].split("; ")
    assert f"script-src 'self' 'sha256-{digest}'" in allowed
    assert "connect-src ws://127.0.0.1:5000" in allowed


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
    assert not gate.is_own("https://127.0.0.1:5000")
    assert not gate.is_own("http://[")


def test_without_textual_serve_it_says_what_to_install(
    served: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra is optional."""
    monkeypatch.setitem(sys.modules, "textual_serve.server", None)
    ran = served.run("watch", "--serve")
    assert ran.code == 2
    assert "pip install 'textual-serve>=1.1,<1.2'" in ran.err
