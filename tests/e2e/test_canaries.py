"""Keys are said once, to whom they are for, and never again: of providers, operators, agents (issue 7).

A run that fails in every way, with keys of every kind in every place where a client may put one. Then every
file of the home, every answer, every line of the command line, every byte of the feed, and every process's
arguments are searched.
"""

import json
import logging
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from feeds import Listening
from recorded import Act, RecordedUpstream, Reply
from shell import PROGRAM, Quick
from sidecar import ANTHROPIC_KEY, GEMINI_KEY, GROK_KEY, PROVIDER_KEY, Sidecar
from spendguard_daemon.agent_keys import Caveats, mint, new_key
from spendguard_daemon.gateway.feed_stream import LAST_ID_LENGTH_MAX
from spendguard_daemon.log import JsonLines, redact
from until import until

CHAT = "/v1/chat/completions"
BODY = {"model": "gpt-4o-mini", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}
FAR_NS, PAST_NS = 4_000_000_000 * 10**9, 1_000_000_000 * 10**9
IN_FILE = "sk-canary-of-the-file-0123456789"


@dataclass
class Run:
    """One sidecar, the keys that were made there, and all that anybody was told."""

    sidecar: Sidecar
    shell: Quick
    agent: str
    keys: dict[str, str] = field(default_factory=dict)
    told: list[bytes] = field(default_factory=list)

    @property
    def secrets(self) -> list[bytes]:
        """Return what may be said nowhere: whole keys, and of agent keys what is behind their ids."""
        whole = [PROVIDER_KEY, ANTHROPIC_KEY, GEMINI_KEY, GROK_KEY, IN_FILE, self.sidecar.token]
        parts = [part for key in self.keys.values() for part in key.split(".")[1:]]
        return [secret.encode() for secret in (*whole, *parts)]

    def send(self, method: str, path: str, headers: Mapping[str, str], body: object = None) -> httpx.Response:
        """Send a request, and keep its answer."""
        raw = None if body is None else json.dumps(body).encode()
        sent = {"content-type": "application/json", **headers}
        answer = self.sidecar.http.request(method, path, content=raw, headers=sent)
        self.told.append(repr(answer.headers.multi_items()).encode() + answer.content)
        return answer

    def command(self, *words: str, **env: str) -> None:
        """Run a command, whatever comes of it, and keep what it said."""
        ran = self.shell.run(*words, **env)
        self.told.append(f"{words[:2]}: {ran.out} {ran.err}".encode())

    def listen(self, last_id: str | None = None, path: str = "/v1/events") -> None:
        """Keep what the feed tells first."""
        with Listening(self.sidecar, last_id, path=path) as feed:
            until(lambda: feed.messages)
        self.told.append(bytes(feed.raw))

    def found(self) -> list[tuple[str, bytes]]:
        """Return where a secret was said, and which."""
        home = self.sidecar.home
        files = {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()}
        kept = {home.admin_token: [self.sidecar.token.encode()], home.secrets: [IN_FILE.encode()]}
        found = [
            (str(path.relative_to(home.root)), secret)
            for path, content in files.items()
            for secret in self.secrets
            if secret in content and secret not in kept.get(path, [])
        ]
        return found + [
            (told[:300].decode(), secret) for told in self.told for secret in self.secrets if secret in told
        ]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """A sidecar with a key of each provider, and an agent with keys of every kind and fate."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "secrets.toml").write_text(f'[keys]\nopenai = "{IN_FILE}"\n')
    (home / "secrets.toml").chmod(0o600)
    with RecordedUpstream() as upstream, Sidecar(home, upstream.base_url) as sidecar:
        upstream.director = lambda got: _tell_tales(got.headers) if b"tale" in got.body else None
        made = Run(sidecar, Quick(home, OPENAI_API_KEY=PROVIDER_KEY), sidecar.agent(concurrency="shared"))
        made.keys = _keys(made)
        yield made


def _tell_tales(headers: Mapping[str, str]) -> Act:
    """Answer as a provider that repeats the key it got."""
    key = next((value for name, value in headers.items() if name.lower() == "authorization"), "")
    error = json.dumps({"error": {"message": f"Incorrect API key provided: {key}", "code": key}}).encode()
    return Act(reply=Reply(401, {"content-type": "application/json", "x-request-id": key}, error))


def _keys(on: Run) -> dict[str, str]:
    def made(agent: str, **caveats: object) -> tuple[str, str]:
        said = on.sidecar.control("POST", f"/v1/agents/{agent}/keys", caveats)
        return said["key_id"], said["key"]

    _, root = made(on.agent)
    revoked_id, revoked = made(on.agent)
    rotated_id, rotated = made(on.agent)
    on.sidecar.control("DELETE", f"/v1/agents/{on.agent}/keys/{revoked_id}")
    anew = on.sidecar.control("POST", f"/v1/agents/{on.agent}/keys/{rotated_id}/rotate", {})
    soon = Caveats(limit_nusd=10**9, expires_ns=(int(time.time()) + 3600) * 10**9, label="child")
    child = mint(root, soon, b"\2" * 32)
    return {
        "root": root,
        "revoked": revoked,
        "rotated": rotated,
        "anew": anew["key"],
        "poor": made(on.agent, limit_cents=0)[1],
        "narrow": made(on.agent, models=["claude-*"])[1],
        "another's": made(on.sidecar.agent())[1],
        "too long": mint(root, Caveats(expires_ns=FAR_NS), b"\1" * 32),
        "child": child,
        "grandchild": mint(child, soon, b"\3" * 32),
        "expired": mint(root, Caveats(expires_ns=PAST_NS), b"\4" * 32),
    }


def misuse(on: Run, key: str) -> None:
    """Put a key wherever a client may put one, rightly or not."""
    bearer = {"authorization": f"Bearer {key}"}
    for headers in (
        bearer,
        {"x-api-key": key},
        {"x-goog-api-key": key},
        {"authorization": f"Bearer {key}x"},
        {"authorization": f"Bearer {key.upper()}"},
        {"authorization": key},
        {"authorization": f"Basic {key}"},
        {**bearer, "x-api-key": on.sidecar.token},
        {**bearer, "x-cynsta-agent-id": "00000000-0000-4000-8000-000000000000"},
        {"x-cynsta-agent-id": key},
        {**bearer, "x-cynsta-run-id": key},
        {**bearer, "idempotency-key": key},
        {**bearer, "x-claude-code-session-id": key},
        {**bearer, "origin": f"https://{key}"},
        {**bearer, "host": key},
        {**bearer, "x-spendguard-wait": key},
        {**bearer, "accept-encoding": key, "content-encoding": key},
        {**bearer, "anthropic-version": key, "openai-beta": key},
    ):
        on.send("POST", CHAT, headers, BODY)
    for program in (key, f"tool/{key}", f"tool {key}"):
        on.send("POST", CHAT, {"user-agent": program}, BODY)
    on.send("GET", "/v1/status", on.sidecar.admin)
    for body in (
        {**BODY, "model": key},
        {**BODY, key: key},
        {**BODY, "user": "tale"},
        {**BODY, "tools": [{"type": key}]},
        {**BODY, "max_tokens": key},
        [key],
    ):
        on.send("POST", CHAT, bearer, body)
    for path in (
        f"{CHAT}?key={key}",
        f"{CHAT}?{key}=1",
        f"/v1/agents/{key}/runs/x/openai/chat/completions",
        f"/v1/agents/{on.agent}/runs/{key}/openai/chat/completions",
        f"/v1beta/models/{key}:generateContent",
        f"/{key}",
    ):
        on.send("POST", path, bearer, BODY)
    on.send("GET", f"/v1/models/{key}", bearer)
    _misuse_control(on, key)


def _misuse_control(on: Run, key: str) -> None:
    """Put a key where operators put names, ids and reasons."""
    admin = on.sidecar.admin
    agent = f"/v1/agents/{on.agent}"
    for method, path, body in (
        ("GET", f"/v1/agents/{key}", None),
        ("GET", f"/v1/calls/{key}", None),
        ("GET", f"{agent}/keys/{key}", None),
        ("DELETE", f"{agent}/keys/{key}", None),
        ("GET", f"{agent}/calls?before={key}", None),
        ("POST", f"{agent}/budget", {"hard_limit_cents": key}),
        ("PATCH", agent, {"concurrency": key}),
        ("POST", f"/v1/providers/{key}/test", {}),
        ("GET", f"/v1/events?before={key}", None),
        ("GET", "/metrics", None),
    ):
        on.send(method, path, admin, body)
        on.send(method, path, {"authorization": f"Bearer {key}"}, body)
    on.send("GET", "/v1/status", {"authorization": f"Bearer {on.sidecar.token}x"})
    on.send("GET", "/v1/events", {"authorization": f"Bearer {key}x"})
    on.send("GET", "/v1/events", {**admin, "last-event-id": key * 9})
    for asked in ({"last_id": key}, {"path": f"/v1/events?after={key}"}):
        if len(key) <= LAST_ID_LENGTH_MAX:
            on.listen(**asked)


SHOWN = (
    ("status",),
    ("status", "--json"),
    ("config", "show"),
    ("config", "show", "--json"),
    ("provider", "list", "--json"),
    ("provider", "test", "openai"),
    ("pricing", "show", "--json"),
    ("agent", "list", "--json"),
    ("ledger", "verify", "--json"),
    ("ledger", "export", "--json"),
    ("ledger", "export", "--by", "agent"),
    ("ledger", "export", "--by", "run"),
    ("logs", "-n", "10000", "--json"),
    ("logs", "-n", "10000"),
)


def test_no_key_is_said_twice(run: Run) -> None:
    """Not by a daemon, nor by the one after it, nor on the feed of either, which told of it all."""
    with Listening(run.sidecar) as feed:
        until(lambda: feed.snapshots)
        everything_goes_wrong(run)
        until(
            lambda: {"hold", "end", "refused", "agent", "totals"} <= {one.kind for one in list(feed.messages)}
        )
        run.sidecar.kill()
        assert feed.ended.wait(20)
    run.told.append(bytes(feed.raw))
    run.sidecar.start()
    run.command("logs", "-n", "10000")
    run.listen()
    assert run.found() == []


def everything_goes_wrong(run: Run) -> None:
    """Use and misuse every key, also by `exec`, and run every command that shows something."""
    for key in run.keys.values():
        run.send("POST", CHAT, {"authorization": f"Bearer {key}"}, BODY)
    for key in (
        run.keys["root"],
        run.keys["grandchild"],
        run.keys["revoked"],
        PROVIDER_KEY,
        run.sidecar.token,
    ):
        misuse(run, key)
    seen = _as_exec(run)
    for words in (
        *SHOWN,
        ("agent", "get", run.agent, "--json"),
        ("agent", "key", run.agent, "--list", "--json"),
    ):
        run.command(*words)
    for words in (("status",), ("agent", "key", run.agent, "--list")):
        run.command(*words, CAP_API_KEY=run.keys["root"])
    assert [secret for secret in run.secrets for line in seen if secret in line] == []


def _as_exec(on: Run) -> Sequence[bytes]:
    """Run programs by `exec`, with their key in their hands; return every process's arguments meanwhile."""
    folder = on.sidecar.home.root.parent / "programs"  # beside the home an isolated program makes no files
    folder.mkdir()
    told, go = folder / "told", folder / "go"
    script = (
        "import os, pathlib, time\n"
        f"pathlib.Path({str(told)!r}).write_text(os.environ['SPENDGUARD_AGENT_KEY'])\n"
        f"while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.05)\n"
    )
    words = ("exec", "--agent", on.agent, "--json", "--", sys.executable, "-c", script)
    process = subprocess.Popen(
        [*PROGRAM, *words], env=on.shell.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        until(lambda: told.exists() and told.read_text().startswith("sg_agent_"))
        seen = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
        on.keys["exec"] = told.read_text()
        told.unlink()
        misuse(on, on.keys["exec"])
    finally:
        go.touch()
        out, err = process.communicate(timeout=60)
    on.told.append(out + err)
    assert process.returncode == 0, err
    on.command("exec", "--agent", on.agent, "--", "no-such-program")
    on.command("exec", "--agent", on.agent, "--limit", "1", "--run-id", on.keys["exec"], "--", "true")
    misuse(on, on.keys["exec"])
    return seen


def test_the_daemon_leaves_no_core(run: Run) -> None:
    assert run.sidecar.process is not None
    limits = resource.prlimit(run.sidecar.process.pid, resource.RLIMIT_CORE)
    assert limits == (0, 0)


@pytest.mark.parametrize("before", ["", "key=", "\n", "\t", "é", "%3D", '"', "Bearer ", "x: "])
def test_what_looks_like_a_key_is_blotted_out(before: str) -> None:
    """In a line as it is written, whatever stands before it and however many generations it has."""
    root, _ = new_key("0123456789abcdef", b"\1" * 32)
    child = mint(root, Caveats(expires_ns=FAR_NS, label="child"), b"\2" * 32)
    for key in (root, child, mint(child, Caveats(expires_ns=FAR_NS), b"\3" * 32), root.upper(), PROVIDER_KEY):
        line = redact(json.dumps({"message": f"{before}{key}, and more"}), frozenset())
        assert [part for part in key.split(".")[-3:] if part in line] == []
        assert json.loads(line)["message"].endswith(", and more")


def test_an_exception_that_nobody_awaited_is_logged_without_its_words() -> None:
    """asyncio quotes it in its message, behind the first line."""
    record = logging.LogRecord(
        "asyncio", logging.ERROR, "x", 1, "never retrieved\nfuture: <%s>", ("words",), None
    )
    assert json.loads(JsonLines(frozenset).format(record))["message"] == "never retrieved"
