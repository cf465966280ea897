"""The home of a daemon and its memory: for nobody else, whatever others left there or a provider sends.

Modes of all files, refusal to start on wrong ones, answers that unpack to much, text that steers a terminal.
"""

import gzip
import json
import os
import shlex
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raw_http import request, send
from recorded import Act, RecordedUpstream, Reply
from sidecar import Sidecar
from spendguard_daemon.text import is_safe
from until import until

CHAT = "/v1/chat/completions"
HELLO: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "max_tokens": 10,
    "messages": [{"role": "user", "content": "hello"}],
}
MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    """The recorded provider."""
    with RecordedUpstream() as server:
        yield server


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """One daemon."""
    with Sidecar(tmp_path_factory.mktemp("ours") / "home", upstream.base_url) as running:
        yield running


# -- modes --------------------------------------------------------------------------------------------------


def modes(root: Path) -> dict[str, int]:
    """Return the mode of everything in a home, by its place in it."""
    found = [root, *root.rglob("*")]
    return {str(path.relative_to(root)): stat.S_IMODE(path.lstat().st_mode) for path in found}


def test_nothing_in_a_home_is_for_others(tmp_path: Path, upstream: RecordedUpstream) -> None:
    """Whatever umask the daemon was born with; after calls, grants, a refusal, a stop and a second start."""
    home, before = tmp_path / "home", os.umask(0)
    try:
        for _ in range(2):
            with Sidecar(home, upstream.base_url) as sidecar:
                agent = sidecar.agent(cents=1)
                sidecar.chat(agent, HELLO)
                sidecar.chat(agent, {**HELLO, "max_tokens": 10_000, "n": 100})
                sidecar.control("POST", "/v1/pricing/refresh")
                until(lambda: [r for r in sidecar.journal() if r["t"] == "settle"])
                assert_ours(home)
            assert_ours(home)
    finally:
        os.umask(before)


def assert_ours(home: Path) -> None:
    """Folders are 0700, files 0600, and there are as many of them as one would think."""
    found = modes(home)
    assert {name: oct(mode) for name, mode in found.items() if mode not in (0o700, 0o600)} == {}
    assert all(mode == (0o700 if (home / name).is_dir() else 0o600) for name, mode in found.items())
    assert {"admin.token", "ledger/lock", "run/daemon.log"} <= set(found)


@pytest.mark.parametrize(("place", "mode"), [(".", 0o701), ("ledger", 0o770), ("pricing", 0o755)])
def test_it_does_not_start_in_a_folder_that_is_open(tmp_path: Path, place: str, mode: int) -> None:
    """Refused with the command that mends it, and nothing is mended in silence."""
    home = tmp_path / "home"
    (home / place).mkdir(parents=True, mode=0o700)
    home.chmod(0o700)
    (home / place).chmod(mode)
    assert_refused(home, home / place, "chmod 700")
    assert stat.S_IMODE((home / place).stat().st_mode) == mode


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("admin.token", 0o604),
        ("config.toml", 0o620),
        ("secrets.toml", 0o640),
        ("trust.toml", 0o660),
        ("ledger/lock", 0o644),
    ],
)
def test_it_does_not_start_with_a_file_that_is_open(tmp_path: Path, name: str, mode: int) -> None:
    """A token that others could read is nobody's; prices that others could write are anybody's."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / name).parent.mkdir(exist_ok=True, mode=0o700)
    (home / name).touch()
    (home / name).chmod(mode)
    assert_refused(home, home / name, "chmod 600")


def assert_refused(home: Path, path: Path, remedy: str) -> None:
    """The daemon ends with the code for it, before it has made anything."""
    sidecar = Sidecar(home)
    with pytest.raises(AssertionError, match="exit 78") as refused:
        sidecar.start()
    assert sidecar.process is not None
    sidecar.stop()
    said = str(refused.value)
    assert "home_unsafe" in said
    assert f"{remedy} {shlex.quote(str(path))}" in said
    assert not (home / "run" / "daemon.json").exists()


def test_a_journal_that_others_could_write_is_not_read(tmp_path: Path, upstream: RecordedUpstream) -> None:
    """Money that others could have entered counts for nothing."""
    home = tmp_path / "home"
    with Sidecar(home, upstream.base_url) as sidecar:
        sidecar.agent()
    segment = next((home / "ledger").glob("seg-*.jsonl"))
    segment.chmod(0o666)
    assert_refused_again(home, segment)
    segment.chmod(0o600)
    with Sidecar(home, upstream.base_url) as sidecar:
        assert len(sidecar.control("GET", "/v1/agents")["agents"]) == 1


def assert_refused_again(home: Path, path: Path) -> None:
    """As above, in a home that has been used."""
    (home / "run" / "daemon.json").unlink(missing_ok=True)
    assert_refused(home, path, "chmod 600")


# -- answers that unpack to much ----------------------------------------------------------------------------


def peak_mebibytes(sidecar: Sidecar) -> int:
    """Return the most memory that the daemon ever had in use."""
    assert sidecar.process is not None
    status = Path(f"/proc/{sidecar.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) // 1024


def bombs() -> dict[str, tuple[str, bytes]]:
    """Return answers of some kB that unpack to 128 MiB."""
    zeros = b'{"choices":[{}],"x":"' + b"0" * 128 * MEBIBYTE
    twice = gzip.compress(gzip.compress(zeros))
    members = gzip.compress(b" " * MEBIBYTE) * 128
    return {
        "gzip": ("gzip", gzip.compress(zeros)),
        "deflate": ("deflate", zlib.compress(zeros)),
        "gzip in gzip": ("gzip, gzip", twice),
        "many members": ("gzip", members),
    }


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to measure by")
def test_answers_that_unpack_to_much_do_not_fill_the_memory(
    sidecar: Sidecar, upstream: RecordedUpstream
) -> None:
    """Passed on as they came, charged at the hold, and read for their usage only so far."""
    agent = sidecar.agent()
    sidecar.chat(agent, HELLO)
    before, made = peak_mebibytes(sidecar), bombs()
    for kind in ("application/json", "text/event-stream"):
        for encoding, packed in made.values():
            headers = {"content-type": kind, "content-encoding": encoding}
            upstream.script(Act(reply=Reply(200, headers, packed), chunk_bytes=65_536))
            body = json.dumps({**HELLO, "stream": kind != "application/json"}).encode()
            head = {"content-type": "application/json", "x-cynsta-agent-id": agent}
            with sidecar.http.stream("POST", CHAT, content=body, headers=head) as answer:
                assert answer.status_code == 200
                got = b"".join(answer.iter_raw())
            assert got == packed
    calls = until(lambda: all(c["state"] != "held" for c in sidecar.calls(agent)) and sidecar.calls(agent))
    assert {call["state"] for call in calls[:8]} == {"settled_worst"}
    assert peak_mebibytes(sidecar) - before < 64


# -- text that steers a terminal ----------------------------------------------------------------------------

STEERING = "\x1b]0;pwned\x07\x1b[2J\x1b]52;c;cm0=\x07\u202egnp\u2066x\u200b\x9b31m[link=file:///x]"


async def test_no_answer_repeats_what_steers_a_terminal(sidecar: Sidecar) -> None:
    """Refusals quote models, fields, runs and paths; what a person may print of them prints as itself."""
    agent = sidecar.agent()
    token = {"authorization": f"Bearer {sidecar.token}"}
    named = {"x-cynsta-agent-id": agent}
    bodies: list[tuple[str, str, dict[str, str], object]] = [
        ("POST", CHAT, named, {**HELLO, "model": STEERING}),
        ("POST", CHAT, named, {**HELLO, STEERING: 1}),
        ("POST", CHAT, named, {**HELLO, "tools": [{"type": STEERING}]}),
        ("POST", CHAT, {"x-cynsta-agent-id": "\\x1b]0;x"}, HELLO),
        ("POST", "/v1/agents", token, {"name": STEERING}),
        ("PATCH", f"/v1/agents/{agent}", token, {"name": STEERING}),
        ("PATCH", f"/v1/agents/{agent}", token, {"overflow": STEERING}),
        ("POST", f"/v1/agents/{agent}/runs", token, {"run_id": STEERING}),
        ("POST", f"/v1/agents/{agent}/budget", token, {"hard_limit_cents": STEERING}),
    ]
    for method, path, headers, body in bodies:
        raw = request(sidecar.port, path, headers, json.dumps(body).encode(), method=method)
        answer = await send(sidecar.port, raw)
        assert answer is not None
        assert 400 <= answer.status < 500
        said = answer.json()
        for text in (said["detail"], said["spendguard"].get("remedy", "")):
            assert all(is_safe(character) for character in text), text
        assert all(byte in (0x0A, 0x0D) or 0x20 <= byte < 0x7F or byte >= 0xC2 for byte in answer.body)
    stored = json.dumps(sidecar.control("GET", "/v1/agents")) + sidecar.home.log.read_text()
    assert not [c for c in stored if c in STEERING and not is_safe(c)]
