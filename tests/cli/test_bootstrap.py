"""`scripts/bootstrap_strict_budget.py`: from a name to a budget and base URLs, and no token to strangers."""

import ast
import json
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from follower import providers
from shell import Ran, Shell, finish

SCRIPT = Path(__file__).parents[2] / "scripts" / "bootstrap_strict_budget.py"
KEYS = ("OPENAI_API_KEY", "XAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY")


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A sidecar whose providers are on loopback; give your agents names of your own."""
    with providers() as upstream:
        origin = upstream.base_url.removesuffix("/v1")
        roots = {"OPENAI": "/v1", "GROK": "/v1", "ANTHROPIC": "", "GEMINI": ""}
        env = {f"SPENDGUARD_{name}_BASE_URL": origin + root for name, root in roots.items()}
        env |= dict.fromkeys(KEYS, "sk-0123456789abcdef0123456789abcdef")
        made = Shell(tmp_path_factory.mktemp("bootstrap") / "home", **env)
        assert finish(made.start("up")).code == 0
        yield made
        made.end()


def run(shell: Shell, *arguments: str, **env: str) -> Ran:
    """Run the script as a person does; whatever is wrong is told in one line."""
    done = subprocess.run(
        [sys.executable, "-I", str(SCRIPT), *arguments],
        env=shell.env | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr.count("\n") == (0 if done.stderr == "" else 1)
    assert done.stdout == "" or done.returncode == 0
    return Ran(done.returncode, done.stdout, done.stderr)


def told(shell: Shell, *arguments: str, **env: str) -> Any:
    """Run it for its JSON."""
    ran = run(shell, *arguments, "--json", **env)
    assert ran.code == 0, ran
    assert ran.out == json.dumps(ran.json, indent=2, sort_keys=True) + "\n"
    return ran.json


def test_an_agent_is_made_and_funded_once(shell: Shell) -> None:
    """Typed again, it says the same but for what it did, and gives nothing."""
    typed = ("--name", "once", "--limit", "5000", "--topup", "4000")
    first = told(shell, *typed)
    assert (first["created"], first["granted"]) == (True, True)
    assert (first["hard_limit_cents"], first["remaining_cents"]) == (5000, 4000)
    assert first["headers"] == {"x-cynsta-agent-id": first["agent_id"]}
    again = told(shell, *typed)
    assert (again["created"], again["granted"]) == (False, False)
    assert {**again, "created": True, "granted": True} == first
    listed = shell.quick.ok("agent", "list", "--json").json
    assert [agent["agent_id"] for agent in listed if agent["name"] == "once"] == [first["agent_id"]]


def test_an_agent_without_money_gets_it_and_one_with_money_keeps_it(shell: Shell) -> None:
    """Whatever the amounts that are typed."""
    agent_id = shell.quick.agent("poor", mock=False)
    funded = told(shell, "--name", "poor", "--limit", "70")
    assert (funded["agent_id"], funded["created"], funded["granted"]) == (agent_id, False, True)
    assert funded["remaining_cents"] == 70
    kept = run(shell, "--name", "poor", "--limit", "9999")
    assert {"granted=false", "hard_limit_cents=70", "remaining_cents=70"} <= set(kept.out.splitlines())
    assert "spendguard budget topup" in kept.err


def test_a_name_of_several_agents_is_not_guessed(shell: Shell) -> None:
    """The ids are told; --new makes one more."""
    ids = {
        shell.quick.agent("twins", mock=False),
        told(shell, "--name", "twins", "--limit", "1", "--new")["agent_id"],
    }
    assert len(ids) == 2
    refused = run(shell, "--name", "twins", "--limit", "1")
    assert refused.code == 2
    assert all(agent_id in refused.err for agent_id in ids)


@pytest.mark.parametrize(
    ("provider", "path", "body"),
    [
        ("openai", "/chat/completions", {"model": "gpt-4o-mini"}),
        ("grok", "/chat/completions", {"model": "grok-4.3"}),
        ("anthropic", "/v1/messages", {"model": "claude-haiku-4-5", "max_tokens": 100}),
        (
            "gemini",
            "/v1beta/models/gemini-2.5-flash:generateContent",
            {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
        ),
    ],
)
def test_its_base_urls_pay_from_that_budget(
    shell: Shell, provider: str, path: str, body: dict[str, Any]
) -> None:
    """As each SDK goes on from them, with the run that was made."""
    made = told(shell, "--name", f"for {provider}", "--limit", "5000", "--create-run")
    said = body if "contents" in body else {**body, "messages": [{"role": "user", "content": "hi"}]}
    answer = httpx.post(made["base_urls"][provider] + path, json=said, trust_env=False)
    assert answer.status_code == 200, answer.text
    (call,) = shell.quick.ok("agent", "get", made["agent_id"], "--json").json["calls"]
    assert (call["state"], call["run_id"]) == ("settled", made["run_id"])
    assert made["headers"]["x-cynsta-run-id"] == made["run"]["run_id"] == made["run_id"]


def test_lines_for_a_shell(shell: Shell) -> None:
    """Without --json: key=value, and what to export for the program."""
    lines = run(shell, "--name", "lines", "--limit", "100").out.splitlines()
    agent_id = next(line.partition("=")[2] for line in lines if line.startswith("agent_id="))
    base = f"http://127.0.0.1:{shell.daemon()['port']}/v1/agents/{agent_id}/runs/default"
    assert f"export OPENAI_BASE_URL={base}/openai" in lines
    assert f"export ANTHROPIC_BASE_URL={base}/anthropic" in lines
    assert f"export SPENDGUARD_AGENT_ID={agent_id}" in lines


def test_no_proxy_of_the_environment_is_asked_for_this_machine(shell: Shell) -> None:
    """Nor would it be told the token."""
    nobody = dict.fromkeys(("http_proxy", "HTTP_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    assert told(shell, "--name", "proxied", "--limit", "1", **nobody)["created"]


class Stranger(BaseHTTPRequestHandler):
    """Somebody else on the sidecar's port. `seen` are all headers that it was sent."""

    seen: list[str]
    answers: int

    def do_GET(self) -> None:
        type(self).seen += [f"{name}: {value}" for name, value in self.headers.items()]
        self.send_response(self.answers)
        self.send_header("location", "/elsewhere")
        self.send_header("x-spendguard-proof", "0" * 64)
        self.end_headers()
        self.wfile.write(
            b'{"status": "ok"}' if self.answers == 200 else b'{"detail": "\\u001b[31mred\\u202e"}'
        )

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stranger() -> Iterator[tuple[str, type[Stranger]]]:
    """Its address, and what it is."""
    handler = type("Handler", (Stranger,), {"seen": [], "answers": 200})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("more", [(), ("--skip-health-check",), ("--api-key", "sg_admin_named")])
def test_a_stranger_on_the_port_gets_no_token(
    shell: Shell, stranger: tuple[str, type[Stranger]], more: tuple[str, ...]
) -> None:
    """Whether the token was read or named, checked or not."""
    base_url, handler = stranger
    refused = run(shell, "--name", "a", "--limit", "1", "--base-url", base_url, *more)
    assert refused.code == 3
    assert "spendguard doctor" in refused.err
    assert handler.seen
    assert not [
        line for line in handler.seen if "sg_admin_" in line or line.lower().startswith("authorization")
    ]


def test_what_a_service_elsewhere_says_reaches_no_terminal_as_it_is(
    shell: Shell, stranger: tuple[str, type[Stranger]]
) -> None:
    """A service elsewhere gets the key that was named, also over no redirect; its words are told safely."""
    base_url, handler = stranger
    handler.answers = 307
    hosted = {"CAP_MODE": "hosted", "CAP_API_KEY": "sk-hosted"}
    refused = run(
        shell, "--name", "a", "--limit", "1", "--base-url", base_url, "--skip-health-check", **hosted
    )
    assert refused.code == 1
    assert "\\x1b[31mred\\u202e" in refused.err
    assert [line for line in handler.seen if line.lower().startswith("authorization")] == [
        "Authorization: Bearer sk-hosted"
    ]


@pytest.mark.parametrize(
    ("arguments", "env", "code", "said"),
    [
        ((), {}, 2, "--limit"),
        (("--limit", "12.5"), {}, 2, "whole cents"),
        (("--limit", "0"), {}, 2, "whole cents"),
        (("--limit", "9" * 30), {}, 2, "whole cents"),
        (("--limit", "1", "--name", "a\u202eb"), {}, 2, "printable"),
        (("--limit", "1", "--base-url", "sidecar"), {}, 2, "http://127.0.0.1:8787"),
        (("--limit", "1", "--base-url", "https://sidecar.example.com"), {}, 2, "--api-key"),
        (("--limit", "1"), {"CAP_API_KEY": "two words"}, 2, "space"),
        (("--limit", "1"), {"CAP_API_KEY": "sk-wrong"}, 5, "Unauthorized"),
        (("--limit", "1"), {"SPENDGUARD_EXEC": "1"}, 5, "operator"),
        (("--limit", "1", "--base-url", "http://127.0.0.1:9"), {}, 3, "spendguard up"),
        (("--limit", "1", "--home", "/nowhere"), {}, 3, "spendguard up"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_type(
    shell: Shell, arguments: tuple[str, ...], env: dict[str, str], code: int, said: str
) -> None:
    """In one line, with the exit code of the command line."""
    refused = run(shell, *arguments, **env)
    assert refused.code == code, refused
    assert said in refused.err
    assert " Type: " in refused.err


def test_a_token_that_others_can_read_is_not_used(shell: Shell) -> None:
    """It may be known to others by now."""
    token = shell.home / "admin.token"
    token.chmod(0o640)
    try:
        refused = run(shell, "--name", "a", "--limit", "1")
    finally:
        token.chmod(0o600)
    assert (refused.code, f"chmod 600 {shlex.quote(str(token))}" in refused.err) == (5, True)


def test_a_command_names_an_odd_path_as_a_shell_takes_it(shell: Shell, tmp_path: Path) -> None:
    home = tmp_path / "it's $(here)"
    home.mkdir()
    shutil.copy(shell.home / "admin.token", home / "admin.token")
    (home / "admin.token").chmod(0o644)
    refused = run(shell, "--name", "a", "--limit", "1", "--home", str(home))
    typed = shlex.split(refused.err.partition("Type: ")[2])
    assert (refused.code, typed) == (5, ["chmod", "600", str(home / "admin.token")])


def test_it_needs_python_3_9_and_nothing_else() -> None:
    """By its grammar and its imports."""
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 9))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names
