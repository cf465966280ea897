"""A real daemon process on a home of its own, for tests: start, call, kill -9, start again.

with Sidecar(tmp_path / "home", upstream_url) as sidecar:
    agent = sidecar.agent(cents=5000)
    answer = sidecar.chat(agent, {"model": "gpt-4o-mini", "messages": [...]})
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx

from spendguard_daemon.runtime import Home, read_admin_token, read_daemon_info

START_SECONDS = 30
OLD_CATALOGUE = "the bundled price catalogue was compared"
DAEMON = (sys.executable, "-P", "-m", "spendguard_daemon")
PROVIDER_KEY = "sk-canary-0123456789abcdef"
ANTHROPIC_KEY = "sk-ant-canary-0123456789abcdef"
GEMINI_KEY = "AIza-canary-0123456789abcdef"
GROK_KEY = "xai-canary-0123456789abcdef"

NO_AUTHORITIES = {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}
"""Whom a daemon trusts over TLS unless a test says so: nobody. To read whom a machine trusts takes 30 ms."""

KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "COVERAGE_PROCESS_START", "PYTHONPATH")


class Sidecar:
    """One home and the daemon that serves it."""

    def __init__(
        self,
        root: Path,
        upstream_url: str = "",
        *,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] = DAEMON,
    ):
        self.home = Home(root)
        self.process: subprocess.Popen[bytes] | None = None
        self._command = command
        self._env = {name: os.environ[name] for name in KEPT if name in os.environ}
        self._env |= NO_AUTHORITIES | {"SPENDGUARD_HOME": str(root), "OPENAI_API_KEY": PROVIDER_KEY}
        self._env |= {"ANTHROPIC_API_KEY": ANTHROPIC_KEY, "XAI_API_KEY": GROK_KEY}
        self._env["GEMINI_API_KEY"] = GEMINI_KEY
        if upstream_url:
            for provider in ("OPENAI", "GROK"):
                self._env[f"SPENDGUARD_{provider}_BASE_URL"] = upstream_url
            for provider in ("ANTHROPIC", "GEMINI"):
                self._env[f"SPENDGUARD_{provider}_BASE_URL"] = upstream_url.removesuffix("/v1")
        self._env |= env or {}
        self._http: httpx.Client | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- the process ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the daemon and return when it listens."""
        self.home.daemon_json.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [*self._command, "--port", "0"],
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        deadline, told = time.monotonic() + START_SECONDS, str(self.home.daemon_json)
        while time.monotonic() < deadline:
            info = read_daemon_info(self.home) if os.path.exists(told) else None  # noqa: PTH110 (quick)
            if info is not None and info.pid == self.process.pid:
                self.port = info.port
                self.base = f"http://127.0.0.1:{info.port}"
                self.token = read_admin_token(self.home)
                self._http = httpx.Client(base_url=self.base, timeout=60, trust_env=False, verify=False)
                return
            if self.process.poll() is not None:
                assert self.process.stderr is not None
                raise AssertionError(f"exit {self.process.returncode}: {self.process.stderr.read().decode()}")
            time.sleep(0.01)
        raise AssertionError("the daemon did not start in time")

    def died(self) -> tuple[int, dict[str, Any]]:
        """Wait until it has ended by itself; return its exit code and what it said last."""
        assert self.process is not None
        assert self.process.stderr is not None
        code = self.process.wait(30)
        said: dict[str, Any] = json.loads(self.process.stderr.read().splitlines()[-1])
        self._reap()
        return code, said

    def kill(self) -> None:
        """kill -9, in the middle of whatever it does."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self._reap()

    def stop(self) -> None:
        """Stop it politely; cut calls in flight."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.communicate(timeout=5)  # its stderr ends with it; `wait` would look every 50 ms
            except subprocess.TimeoutExpired:
                self.process.kill()
        self._reap()

    def _reap(self) -> None:
        assert self.process is not None
        self.process.wait(30)
        assert self.process.stderr is not None
        self.process.stderr.close()
        self.process = None
        if self._http is not None:
            self._http.close()
            self._http = None

    # -- the API ----------------------------------------------------------------------------------------

    @property
    def http(self) -> httpx.Client:
        """A client without any header of ours."""
        assert self._http is not None
        return self._http

    @property
    def admin(self) -> dict[str, str]:
        """The header of an operator."""
        return {"authorization": f"Bearer {self.token}"}

    def control(self, method: str, path: str, body: object = None) -> Any:
        """Do a control request that must succeed; return its JSON."""
        answer = self.http.request(method, path, json=body, headers=self.admin)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def warnings(self) -> list[str]:
        """Return what the daemon warns of, but the catalogue's age, which is that of this checkout."""
        told: list[str] = self.control("GET", "/v1/status")["warnings"]
        return [warning for warning in told if OLD_CATALOGUE not in warning]

    def agent(self, *, cents: int | None = 5000, **settings: object) -> str:
        """Make an agent with a budget; return its id."""
        agent_id: str = self.control("POST", "/v1/agents", settings)["agent_id"]
        if cents is not None:
            self.control("POST", f"/v1/agents/{agent_id}/budget", {"hard_limit_cents": cents})
        return agent_id

    def budget(self, agent_id: str) -> dict[str, Any]:
        """Return an agent's budget."""
        budget: dict[str, Any] = self.control("GET", f"/v1/agents/{agent_id}/budget")
        return budget

    def calls(self, agent_id: str) -> list[dict[str, Any]]:
        """Return an agent's calls, newest first."""
        calls: list[dict[str, Any]] = self.control("GET", f"/v1/agents/{agent_id}/calls?limit=1000")["calls"]
        return calls

    def call_of(self, answer: httpx.Response) -> dict[str, Any]:
        """Return the call that an answer belongs to."""
        call: dict[str, Any] = self.control("GET", f"/v1/calls/{answer.headers['x-spendguard-call-id']}")
        return call

    def chat(self, agent_id: str, body: object, *, run: str | None = None, **headers: str) -> httpx.Response:
        """Send a chat completion; `body` is JSON, or raw bytes as they are."""
        return self.send("/v1/chat/completions", agent_id, body, run=run, **headers)

    def send(
        self, path: str, agent_id: str, body: object, *, run: str | None = None, **headers: str
    ) -> httpx.Response:
        """Send a request of an agent to any path; `body` is JSON, or raw bytes as they are."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"content-type": "application/json", "x-cynsta-agent-id": agent_id, **headers}
        if run is not None:
            sent["x-cynsta-run-id"] = run
        return self.http.post(path, content=raw, headers=sent)

    def journal(self) -> list[dict[str, Any]]:
        """Return every record of the journal, but for one that is being written at this moment."""
        records = []
        for segment in sorted(self.home.ledger.glob("seg-*.jsonl")):
            lines = segment.read_bytes().splitlines(keepends=True)
            records += [json.loads(line) for line in lines if line.endswith(b"\n")]
        return records
