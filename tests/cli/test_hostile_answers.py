"""What answers in the place of the sidecar is no sidecar: each command says so, and ends."""

import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from damages import complaints, in_time
from hostile_answers import RawServer, answer, filled, shape_of
from shell import Quick, Ran
from spendguard_daemon import wire

SEED = int(os.environ.get("SPENDGUARD_TEST_SEED", random.SystemRandom().randrange(10**9)))
ROUNDS = 12
ID = "00000000-0000-4000-8000-000000000000"
COMMANDS = [
    line.replace("ID", ID).split()
    for line in (
        "status",
        "agent list",
        "agent get ID",
        "agent get worker",
        "agent create --name x",
        "agent set ID --overflow refuse",
        "agent freeze ID --reason x",
        "agent unfreeze ID",
        "agent delete ID --yes",
        "agent key ID",
        "agent rename ID other",
        "budget get --agent ID",
        "budget set --agent ID --limit 5",
        "budget topup --agent ID --amount 5",
        "budget adjust --call ID --to 0",
        "budget daemon get",
        "run list --agent ID",
        "run create --agent ID",
        "run abort --call ID",
        "provider list",
        "provider test openai",
        "pricing show",
        "pricing refresh",
        "explain ID",
        "doctor",
        "doctor 402",
        "doctor --agent worker",
        "doctor --probe",
        "exec --agent worker -- true",
    )
]

DEEP = b"[" * 100_000 + b"]" * 100_000
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "an empty object": b"{}",
    "a page": b"<html><title>hello</title>",
    "no UTF-8": b'{"detail": "\xff\xfe"}',
    "a deep list": DEEP,
    "a deep object": b'{"agents":' * 50_000,
    "a deep list in an error": b'{"spendguard": {"code": ' + DEEP + b"}}",
    "a huge number": b'{"pid": ' + b"9" * 10_000 + b"}",
    "zeros": bytes(100_000),
    "an error of numbers": b'{"detail": 5, "error": 5, "spendguard": 5}',
    "an error of lists": b'{"detail": "x", "error": {"code": []}, "spendguard": {"budget": [[]]}}',
    "an error of ours": b'{"detail": "\\u001b[2J", "spendguard": {"code": "key_limit", "limit_usd": "x"}}',
    "half a string": b'{"detail": "\\ud800',
    "a lone surrogate": b'{"detail": "\\ud800", "spendguard": {"code": "\\udfff"}}',
}
RAW: dict[str, bytes] = {
    "hangs up": b"",
    "garbage": random.Random(1).randbytes(5_000),
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "no status": b"HTTP/1.1 \r\n\r\n",
    "status 999": b"HTTP/1.1 999 ?\r\ncontent-length: 0\r\n\r\n",
    "status 000": b"HTTP/1.1 000 ?\r\ncontent-length: 0\r\n\r\n",
    "continue, and no more": b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
    "a redirect": b"HTTP/1.1 302 Found\r\nlocation: http://[\r\ncontent-length: 0\r\n\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "headers without end": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 40_000,
    "a header without end": b"HTTP/1.1 200 OK\r\nx: " + b"y" * 300_000,
    "a torn body": b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{",
    "a torn chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n50\r\n{}",
    "a chunk that is none": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "no gzip": answer(b"no gzip", "200 OK", "content-encoding: gzip"),
    "bytes in headers": answer(b"{}", "200 OK", "x-\xff: \xff", "content-type: \xe2\x80\xae"),
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}x",
    "a negative length": b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}",
}
RAW |= {
    f"{status} with {name}": answer(body, status)
    for name, body in BODIES.items()
    for status in ("200 OK", "402 Payment Required", "500 Oops")
}


@pytest.fixture(scope="module")
def server() -> Iterator[RawServer]:
    with RawServer(lambda _method, _path: b"") as running:
        yield running


@pytest.fixture
def far(server: RawServer, tmp_path: Path) -> Quick:
    """A shell whose sidecar is said to be on another machine, so that it has nothing to prove."""
    url = f"http://127.0.0.1:{server.port}"
    return Quick(tmp_path / "home", CAP_MODE="hosted", CAP_BASE_URL=url, CAP_API_KEY="sg_agent_x")


def _check(run: Callable[[list[str]], Ran], words: list[str], what: str) -> None:
    ran = run(words)
    # A check that was told nonsense may say so: what it looked at is no home of ours.
    found = [one for one in complaints(ran, words) if "could not be looked at" not in one]
    assert not found, (what, words, ran)
    assert "\x1b" not in ran.out + ran.err, (what, words)


@pytest.mark.parametrize("name", RAW)
def test_an_answer_that_is_none_ends_in_a_sentence(name: str, server: RawServer, far: Quick) -> None:
    server.script = lambda _method, _path: RAW[name]
    drawn = random.Random(f"{SEED} {name}").sample(COMMANDS, 5)
    for words in [["status"], ["doctor"], ["agent", "list"], *drawn]:
        _check(lambda words: in_time(far, words), words, f"{name}, SPENDGUARD_TEST_SEED={SEED}")


@pytest.mark.parametrize("part", range(ROUNDS))
def test_right_shapes_with_values_that_make_no_sense_are_shown_or_refused(
    part: int, server: RawServer, far: Quick
) -> None:
    """Times that are none, sums below zero, names of a mile: whatever a sidecar says is only shown."""
    rng = random.Random(f"{SEED} {part}")

    def script(method: str, path: str) -> bytes:
        shape = shape_of(method, path)
        return (
            answer(b"{}", "404 Not Found")
            if shape is None
            else answer(json.dumps(filled(rng, shape)).encode())
        )

    server.script = script
    for words in COMMANDS:
        more = rng.choice(([], ["--json"]))
        at = words.index("--") if "--" in words else len(words)
        line = [*words[:at], *more, *words[at:]]
        _check(lambda line: in_time(far, line), line, f"SPENDGUARD_TEST_SEED={SEED}")


def test_what_is_drawn_fits_its_shape() -> None:
    """Otherwise the test above would look at nothing but refusals."""
    rng = random.Random(SEED)
    for method, path in (("GET", "/v1/status"), ("GET", "/v1/agents"), ("GET", f"/v1/calls/{ID}")):
        shape = shape_of(method, path)
        assert shape is not None
        for _ in range(20):
            msgspec.json.decode(json.dumps(filled(rng, shape)).encode(), type=shape)


def test_a_call_whose_bill_is_of_no_form_is_explained_without_it(server: RawServer, far: Quick) -> None:
    rng = random.Random(1)
    call = filled(rng, wire.Call) | {"state": "settled", "lines": [{}, {"name": "x", "quantity": "many"}]}
    server.script = lambda _method, path: answer(json.dumps(call if "/calls/" in path else {}).encode())
    ran = far.run("explain", ID)
    assert not complaints(ran, ["explain"]), ran


def test_a_check_that_is_told_nonsense_ends_no_other(server: RawServer, far: Quick) -> None:
    """A provider that nobody knows: the others are looked at all the same."""
    provider = {"name": "nobody", "base_url": "http://[", "key_source": "?", "key": "environment"}

    def script(method: str, path: str) -> bytes:
        if path == "/v1/providers":
            return answer(
                json.dumps({"providers": [filled(random.Random(2), wire.Provider) | provider]}).encode()
            )
        shape = shape_of(method, path)
        return answer(json.dumps(filled(random.Random(3), shape)).encode() if shape else b"{}")

    server.script = script
    groups = {finding["group"] for finding in far.run("doctor", "--json").json["findings"]}
    assert groups >= {"daemon", "home", "ledger", "prices", "providers", "agents", "money", "clients"}
