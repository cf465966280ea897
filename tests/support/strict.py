"""A real daemon whose prices come from a server on loopback, and the documents that such a server sends.

with HostilePrices() as server, Strict(tmp_path / "home", server.url, upstream.base_url) as sidecar:
    server.behave = body(priced_1(input_cents=15, output_cents=60))
    sidecar.refresh()
"""

import base64
import hashlib
import json
import os
import re
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from independent_signer import sign
from price_vector import PIN, SEED
from sidecar import DAEMON, Sidecar
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code

LAST_ATTEMPT = re.compile(r"; the last attempt to get one: .* \((pricing_[a-z]+)\)$", re.DOTALL)
SHIFTED = (sys.executable, str(Path(__file__).with_name("shifted_daemon.py")))
MODEL = "gpt-4o-mini"
CALL = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 50}


@dataclass(frozen=True, slots=True)
class Surfaces:
    """What everybody is told of the prices at one moment: the code of the reason, None where all is well."""

    ready: Code | None
    pricing: Code | None
    call: Code | None


class Strict(Sidecar):
    """A sidecar in strict mode. With `clock`, its wall clock is off by the seconds in that file."""

    def __init__(
        self,
        root: Path,
        prices_url: str,
        upstream_url: str = "",
        *,
        key: bytes | None = PIN.public_key,
        clock: Path | None = None,
        env: Mapping[str, str] | None = None,
    ):
        own = {"CAP_PRICING_SOURCE": "remote", "CAP_PRICING_URL": prices_url}
        own["CAP_PRICING_HTTP_TIMEOUT_SECONDS"] = "1"
        if key is not None:
            own["CAP_PRICING_SIGNING_PUBLIC_KEY"] = base64.b64encode(key).decode()
        if clock is not None:
            own["SPENDGUARD_TEST_CLOCK"] = str(clock)
        command = DAEMON if clock is None else SHIFTED
        command = (*command, "--foreground")  # it stays without prices, too
        super().__init__(root, upstream_url, env=own | dict(env or {}), command=command)

    def start(self) -> None:
        """Start the daemon; what it logs in the foreground is read, so that it never waits for a reader."""
        super().start()
        assert self.process is not None
        assert self.process.stderr is not None
        log = os.dup(self.process.stderr.fileno())
        threading.Thread(target=_drain, args=(log,), daemon=True).start()

    def refresh(self) -> httpx.Response:
        """Have the prices fetched now; return what is said of it."""
        return self.http.post("/v1/pricing/refresh", headers=self.admin)

    def pricing(self) -> dict[str, Any]:
        """Return what the operator is told of the prices."""
        told: dict[str, Any] = self.http.get("/v1/pricing", headers=self.admin).json()
        return told

    def call(self, agent_id: str, **fields: object) -> httpx.Response:
        """Make one small call."""
        return self.chat(agent_id, {**CALL, **fields})

    def surfaces(self, agent_id: str) -> Surfaces:
        """Return what is said at each place."""
        ready, called = self.http.get("/ready"), self.call(agent_id)
        told = self.http.get("/v1/pricing", headers=self.admin)
        reasons, error = ready.json()["reasons"], told.json().get("last_error")
        assert ready.status_code == (503 if reasons else 200)
        assert told.status_code == called.status_code == ready.status_code
        return Surfaces(
            ready=code_of(reasons[0]) if reasons else None,
            pricing=Code(error["code"]) if error else _refusal(told),
            call=_refusal(called),
        )


def _drain(descriptor: int) -> None:
    while os.read(descriptor, 65_536):
        pass
    os.close(descriptor)


def _refusal(answer: httpx.Response) -> Code | None:
    return None if answer.status_code == 200 else code_of(answer.json()["detail"])


def code_of(detail: str) -> Code:
    """Return the code of a sentence: the one that it names, as what the last attempt ended in, or its own."""
    if named := LAST_ATTEMPT.search(detail):
        return Code(named[1])
    codes = [code for code in Code if code.value.startswith("pricing_")]
    said = [Code.PRICING_UNAVAILABLE] if detail.startswith("Remote pricing request failed: ") else []
    (found,) = [*said, *(code for code in codes if detail.startswith(TABLE[code].title))]
    return found


def snapshot(home: Path) -> dict[str, str]:
    """Return the name and hash of each file that says what prices are trusted and kept."""
    files = [path for path in (home / "pricing").rglob("*") if path.is_file()]
    return {
        str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in [*files, home / "trust.toml"]
        if path.exists()
    }


def priced_1(
    *,
    input_cents: float = 15,
    output_cents: float = 60,
    made: datetime | None = None,
    seconds: int = 300,
    seed: bytes = SEED,
    models: Mapping[str, Any] | None = None,
) -> bytes:
    """Return a document of schema 1 that prices one model; it says that it was made now."""
    made = (made or datetime.now(UTC)).replace(microsecond=0)
    row = {"input_cents_per_1m": input_cents, "output_cents_per_1m": output_cents}
    content = {
        "schema_version": "1",
        "engine": {"name": "spendguard-engine", "min_version": "0.1.0", "max_version": "9.9.9"},
        "generated_at": made.isoformat(),
        "expires_at": (made + timedelta(seconds=seconds)).isoformat(),
        "rates": {"openai": {MODEL: row}} if models is None else models,
    }
    return sign(content, seed)


def priced_2(
    sequence: int,
    *,
    key_id: str = "test-key",
    seed: bytes = SEED,
    input_micros: int = 150_000,
    output_micros: int = 600_000,
    made: datetime | None = None,
    seconds: int = 300,
) -> bytes:
    """Return a document of schema 2 that prices one model; it says that it was made now."""
    made = (made or datetime.now(UTC)).replace(microsecond=0)
    rates = {"default": {"input": input_micros, "output": output_micros}}
    card = {
        "endpoints": ["chat/completions"],
        "limits": {"context": 128_000, "max_input": 128_000, "max_output": 16_384},
        "periods": [{"from": "1970-01-01T00:00:00Z", "rates": rates}],
    }
    content = {
        "schema": 2,
        "currency": "USD",
        "token_unit": "usd_micros_per_1m",
        "fee_unit": "usd_micros_per_1k",
        "key_id": key_id,
        "sequence": sequence,
        "issued_at": f"{made:%Y-%m-%dT%H:%M:%SZ}",
        "expires_at": f"{made + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}",
        "providers": {"openai": {"models": {MODEL: card}}},
    }
    return sign(content, seed)


def sha256_of(document: bytes) -> str:
    """Return the name by which holds and files know a document."""
    return hashlib.sha256(document).hexdigest()


def write_trust(home: Path, *rows: Mapping[str, object]) -> None:
    """Write trust.toml as an operator would, all at once."""
    lines = [f"[[key]]\n{_members(row)}\n" for row in rows]
    home.mkdir(mode=0o700, exist_ok=True)
    half = home / "trust.half"
    half.write_text("\n".join(lines))
    half.chmod(0o600)
    half.rename(home / "trust.toml")


def _members(row: Mapping[str, object]) -> str:
    return "\n".join(f"{name} = {json.dumps(value)}" for name, value in row.items())


def wait_for_second() -> None:
    """Return in a later second than it is now: schema 1 counts its documents by seconds."""
    start = int(time.time())
    while int(time.time()) == start:
        time.sleep(0.02)
