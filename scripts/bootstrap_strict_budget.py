#!/usr/bin/env python3
"""Give an agent a strict budget on a sidecar that is up: one command from a name to base URLs.

    python3 scripts/bootstrap_strict_budget.py --name my-agent --limit 5000 --topup 5000 --json

For programs and coding agents that set SpendGuard up. Needs Python >= 3.9 and nothing else. Typed again it
changes nothing: an agent of that name is used as it is, and one that has a budget is given no more. A sidecar
of this machine proves that it knows the admin token before that token is sent to it.

Exit codes: 0 done, 1 failed, 2 usage, 3 no sidecar, 4 not found, 5 not allowed, 6 budget, 7 locked.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import secrets
import shlex
import sys
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

LOOPBACK = ("127.0.0.1", "::1", "localhost")
DEFAULT_PORT = 8787
ANSWER_SECONDS = 30
ANSWER_BYTES_MAX = 16 * 1024 * 1024
NAME_CHARACTERS_MAX = 200

FAILED, USAGE, NO_DAEMON, NOT_FOUND, NOT_ALLOWED, BUDGET, LOCKED = 1, 2, 3, 4, 5, 6, 7
EXITS = {400: USAGE, 401: NOT_ALLOWED, 402: BUDGET, 403: NOT_ALLOWED, 404: NOT_FOUND, 409: LOCKED}


class StopError(Exception):
    """Nothing more can be done: what is wrong, what to type, and the exit code."""

    def __init__(self, exit_code: int, what: str, remedy: str) -> None:
        super().__init__(what)
        self.exit_code, self.what, self.remedy = exit_code, what, remedy


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to wherever it points."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Sidecar:
    """One address, and the key that is sent there; proxies of the environment see nothing of this machine."""

    def __init__(self, base_url: str, key: str | None, *, local: bool) -> None:
        self.base_url, self.local, self._key = base_url, local, key
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if local:
            handlers.append(urllib.request.ProxyHandler({}))
        self._open = urllib.request.build_opener(*handlers).open

    def ask(self, method: str, path: str, body: object = None, *, once: str | None = None) -> dict[str, Any]:
        """Do a request with the key; return its JSON object. `once` is its Idempotency-Key."""
        headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
        if once is not None:
            headers["idempotency-key"] = once
        status, _, raw = self._exchange(method, path, body, headers)
        answer = _object(raw)
        if status == 200 and answer is not None:
            return answer
        detail = answer.get("detail") if answer else None
        said = (
            detail if isinstance(detail, str) else f"{method} {path} answered {status}, not as a sidecar does"
        )
        remedy = "check --api-key, CAP_API_KEY or --home" if status == 401 else "spendguard doctor"
        raise StopError(EXITS.get(status, FAILED), said, remedy)

    def check(self, tokens: list[str], *, healthy: bool) -> None:
        """Ask, without any key, whether a sidecar is there that knows one of `tokens`; raise StopError.

        An address elsewhere has no proof to give. `healthy`: it must also be ready to take calls.
        """
        nonce = secrets.token_urlsafe(32)
        status, headers, raw = self._exchange("GET", "/health", None, {"x-spendguard-nonce": nonce})
        if status != 200 or _object(raw) != {"status": "ok"}:
            raise StopError(
                NO_DAEMON,
                f"What answers at {self.base_url} is no sidecar",
                "spendguard status shows its address",
            )
        claimed = headers.get("x-spendguard-proof", "")
        if self.local and not any(self._is_proof(token, nonce, claimed) for token in tokens):
            raise StopError(
                NO_DAEMON,
                f"What answers at {self.base_url} cannot prove that it is your sidecar, so no token was sent",
                "spendguard doctor, or name its home with --home",
            )
        if healthy:
            self._check_ready()

    def _check_ready(self) -> None:
        status, _, raw = self._exchange("GET", "/ready", None, {})
        if status != 200:
            reasons = (_object(raw) or {}).get("reasons") or [f"GET /ready answered {status}"]
            why = "; ".join(str(reason) for reason in reasons)
            raise StopError(FAILED, f"The sidecar takes no calls yet: {why}", "spendguard doctor")

    def _is_proof(self, token: str, nonce: str, claimed: str) -> bool:
        message = f"spendguard-health\n{_port(self.base_url)}\n{nonce}".encode()
        right = hmac.new(token.encode(), message, hashlib.sha256).hexdigest()
        return hmac.compare_digest(right.encode(), claimed.encode(errors="replace"))

    def _exchange(
        self, method: str, path: str, body: object, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        data = None if body is None else json.dumps(body).encode()
        headers["accept"] = headers["content-type"] = "application/json"
        request = urllib.request.Request(self.base_url + path, data, headers, method=method)  # noqa: S310 (_address has looked)
        try:
            with self._open(request, timeout=ANSWER_SECONDS) as answer:
                return answer.status, _lower(answer.headers), answer.read(ANSWER_BYTES_MAX)
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, _lower(refused.headers), refused.read(ANSWER_BYTES_MAX)
        except (OSError, HTTPException) as error:
            why = getattr(error, "reason", error)
            raise StopError(
                NO_DAEMON,
                f"No sidecar answers at {self.base_url}: {why}",
                "spendguard up" if self.local else "check --base-url",
            ) from None


def find(arguments: argparse.Namespace) -> tuple[Sidecar, list[str]]:
    """Return the sidecar, and tokens that it may prove itself by; read no file for another host."""
    home = Path(arguments.home or os.environ.get("SPENDGUARD_HOME") or "~/.spendguard").expanduser()
    named = arguments.base_url or os.environ.get("CAP_BASE_URL")
    base_url = _address(named) if named else f"http://127.0.0.1:{_listens_at(home)}"
    key = arguments.api_key or os.environ.get("CAP_API_KEY") or None
    if key is not None and not all("!" <= character <= "~" for character in key):
        raise StopError(USAGE, "The API key holds a space, or what is not ASCII", "copy it again")
    hosted = os.environ.get("CAP_MODE", "").strip().lower() == "hosted"
    local = urlsplit(base_url).hostname in LOOPBACK and not hosted
    if local:
        token = _token(home, needed=key is None)
        return Sidecar(base_url, key or token, local=True), [known for known in (key, token) if known]
    if key is None:
        raise StopError(
            USAGE,
            f"{base_url} is not on this machine, so it needs a key",
            "pass --api-key, or set CAP_API_KEY",
        )
    return Sidecar(base_url, key, local=False), []


def agent_of(sidecar: Sidecar, name: str, *, new: bool) -> tuple[dict[str, Any], bool]:
    """Return the one agent of this name, made where there is none, and whether it was made."""
    found = [] if new else sidecar.ask("GET", "/v1/agents").get("agents", [])
    same = [agent for agent in found if agent.get("name") == name]
    if len(same) > 1:
        ids = ", ".join(str(agent.get("agent_id")) for agent in same)
        raise StopError(
            USAGE, f"{len(same)} agents are named {name}: {ids}", "another --name, or --new for one more"
        )
    if same:
        return same[0], False
    return sidecar.ask("POST", "/v1/agents", {"name": name}, once=f"bootstrap-{secrets.token_hex(16)}"), True


def fund(
    sidecar: Sidecar, agent: dict[str, Any], limit_cents: int, topup_cents: int
) -> tuple[dict[str, Any], bool]:
    """Return the agent's budget, and whether money was granted now: once, however often this is typed."""
    path = f"/v1/agents/{quote(str(agent['agent_id']), safe='')}/budget"
    if agent.get("hard_limit_cents") is not None:
        return sidecar.ask("GET", path), False
    once = f"bootstrap-{agent['agent_id']}-{limit_cents}-{topup_cents}"
    return sidecar.ask(
        "POST", path, {"hard_limit_cents": limit_cents, "topup_cents": topup_cents}, once=once
    ), True


def bootstrap(arguments: argparse.Namespace) -> dict[str, Any]:
    """Do all of it; return what is told."""
    if os.environ.get("SPENDGUARD_EXEC", "") not in ("", "0"):
        raise StopError(NOT_ALLOWED, "Inside spendguard exec no budget is set", "ask your operator")
    sidecar, tokens = find(arguments)
    if sidecar.local or not arguments.skip_health_check:
        sidecar.check(tokens, healthy=not arguments.skip_health_check)
    agent, created = agent_of(sidecar, arguments.name, new=arguments.new)
    budget, granted = fund(sidecar, agent, arguments.limit, arguments.topup or arguments.limit)
    agent_id = str(agent["agent_id"])
    run_id = None
    if arguments.create_run:
        run_id = str(sidecar.ask("POST", f"/v1/agents/{quote(agent_id, safe='')}/runs", {})["run_id"])
    return {
        "agent_id": agent_id,
        "name": arguments.name,
        "created": created,
        "granted": granted,
        "base_url": sidecar.base_url,
        "budget": {name: value for name, value in budget.items() if not name.startswith("topup_")},
        "hard_limit_cents": budget["hard_limit_cents"],
        "remaining_cents": budget["remaining_cents"],
        "run": None if run_id is None else {"run_id": run_id},
        "run_id": run_id,
        "headers": {"x-cynsta-agent-id": agent_id} | ({"x-cynsta-run-id": run_id} if run_id else {}),
        **_ways_in(sidecar.base_url, agent_id, run_id or "default"),
    }


def _ways_in(base_url: str, agent_id: str, run_id: str) -> dict[str, dict[str, str]]:
    """Return each provider's base URL with agent and run in it, and the variables that SDKs read."""
    root = f"{base_url}/v1/agents/{quote(agent_id, safe='')}/runs/{quote(run_id, safe='')}"
    urls = {provider: f"{root}/{provider}" for provider in ("anthropic", "gemini", "grok", "openai")}
    keys = ("ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENAI_API_KEY", "XAI_API_KEY")
    env = {
        "ANTHROPIC_BASE_URL": urls["anthropic"],
        "GOOGLE_GEMINI_BASE_URL": urls["gemini"],
        "OPENAI_BASE_URL": urls["openai"],
        "SPENDGUARD_AGENT_ID": agent_id,
        **dict.fromkeys(keys, "not-used"),
    }
    return {"base_urls": urls, "env": env}


def _listens_at(home: Path) -> int:
    """Return the port that a home's last sidecar wrote down; who listens there has yet to prove itself."""
    try:
        port = json.loads((home / "run" / "daemon.json").read_bytes())["port"]
    except (OSError, ValueError, LookupError, TypeError):
        return DEFAULT_PORT
    return port if isinstance(port, int) and 0 < port < 65536 else DEFAULT_PORT


def _token(home: Path, *, needed: bool) -> str | None:
    path = home / "admin.token"
    try:
        token = path.read_text(encoding="ascii").strip()
        open_to_others = path.stat().st_mode & 0o077
    except (OSError, ValueError):
        if not needed:
            return None
        raise StopError(
            NO_DAEMON, f"No sidecar was ever started in {home}", "spendguard up, or --home DIR"
        ) from None
    if open_to_others:
        raise StopError(NOT_ALLOWED, f"{path} is open to other users", f"chmod 600 {shlex.quote(str(path))}")
    return token


def _address(text: str) -> str:
    """Return an address without what agents' base URLs end with, ours does not."""
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or not text.isprintable() or " " in text or "@" in text or "?" in text or "#" in text:
        raise StopError(USAGE, "The base URL is no address such as http://127.0.0.1:8787", "correct it")
    text = text.rstrip("/")
    return text.removesuffix("/v1")


def _port(base_url: str) -> int:
    parts = urlsplit(base_url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _cents(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 17 and int(text) > 0):
        raise argparse.ArgumentTypeError("expected whole cents above 0, such as 5000 for $50")
    return int(text)


def _name(text: str) -> str:
    if not (text and text.isprintable() and len(text) <= NAME_CHARACTERS_MAX):
        raise argparse.ArgumentTypeError(f"expected 1 to {NAME_CHARACTERS_MAX} printable characters")
    return text


class _Parser(argparse.ArgumentParser):
    """Errors of usage in one line, as all others."""

    def error(self, message: str) -> NoReturn:
        raise StopError(USAGE, message, f"{self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(description="Give an agent a strict budget on a sidecar that is up.")
    parser.add_argument("--name", default="strict-budget-agent", type=_name, help="name of the agent")
    parser.add_argument("--limit", required=True, type=_cents, metavar="CENTS", help="cap of its balance")
    parser.add_argument("--topup", type=_cents, metavar="CENTS", help="money to grant; else the limit")
    parser.add_argument("--new", action="store_true", help="make an agent even where one has this name")
    parser.add_argument("--create-run", action="store_true", help="make a run, and tell its id")
    parser.add_argument("--skip-health-check", action="store_true", help="go on though it takes no calls yet")
    parser.add_argument("--base-url", metavar="URL", help="address of the sidecar; else CAP_BASE_URL")
    parser.add_argument("--api-key", metavar="KEY", help="else CAP_API_KEY, else the admin token of the home")
    parser.add_argument("--home", metavar="DIR", help="home of the sidecar; else SPENDGUARD_HOME")
    parser.add_argument("--json", action="store_true", help="print JSON with sorted keys")
    return parser


def _tell(told: dict[str, Any]) -> None:
    for name in ("agent_id", "name", "created", "granted", "hard_limit_cents", "remaining_cents", "run_id"):
        if told[name] is not None:
            print(f"{name}={str(told[name]).lower() if isinstance(told[name], bool) else _safe(told[name])}")
    for provider, url in told["base_urls"].items():
        print(f"{provider}_base_url={url}")
    for name, value in told["headers"].items():
        print(f"header={name}: {value}")
    print(
        "# for the agent's program alone: a sidecar started with them would take these for its provider keys"
    )
    for name, value in sorted(told["env"].items()):
        print(f"export {name}={value}")


def _safe(value: object) -> str:
    """Return text without what a terminal would obey."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value))


def main() -> int:
    """Run, and say what went wrong in one line."""
    try:
        arguments = _parser().parse_args()
        told = bootstrap(arguments)
    except StopError as stop:
        print(f"error: {_safe(stop.what)}. Type: {_safe(stop.remedy)}", file=sys.stderr)
        return stop.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    if not told["granted"]:
        print("the agent had a budget, and keeps it: spendguard budget topup grants more", file=sys.stderr)
    if arguments.json:
        print(json.dumps(told, indent=2, sort_keys=True))
    else:
        _tell(told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
