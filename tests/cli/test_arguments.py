"""Whatever is typed, the answer is a sentence and an exit code, never a traceback."""

import os
import shlex
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shell import PROGRAM, Quick, Shell
from spendguard_daemon.codes import Exit

WORDS = """
up down restart status logs agent budget run provider config daemon create list get rename delete set freeze
unfreeze topup adjust set-key test show --agent --name --limit --topup --amount --call --to --reason --run-id
--json --home --base-url --api-key --no-spawn --yes --now --port --off --mock --concurrency --overflow -n
--help --version -- - exclusive clamp 5000 50.00 $50 -1 0 99999999999999999999 openai policy.overflow refuse
pricing verify diff recompute trust add revoke --all --catalogue --key --lifetime 7d --schema
http://127.0.0.1:9 http://[ 00000000-0000-4000-8000-000000000000 /dev/null
""".split()  # noqa: SIM905 - a list of 90 literals would be no easier to read
"""`demo`, `serve`, `keygen` and `--foreground` are left out: they would do what they say."""

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
LINES = st.lists(st.one_of(st.sampled_from(WORDS), st.sampled_from(WORDS), TEXT), max_size=8)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=LINES)
def test_no_command_line_ends_in_a_traceback(bare: Quick, line: list[str]) -> None:
    """An exception other than an exit fails this test."""
    ran = bare.run(*line, stdin="x")
    assert ran.code in set(Exit)
    explained = (
        ran.err.startswith(("error: ", "warning: ", '{"error": '))
        or "Usage" in ran.out
        or "state=down" in ran.out
    )
    assert ran.code == 0 or explained


@pytest.mark.parametrize(
    "line",
    [
        [b"agent", b"create", b"--name", b"\xff\xfe"],
        [b"\x80"],
        [b"--home", b"\xff", b"status"],
        [b"agent", b"get", "☃".encode() * 1000],
        [b"agent", b"get", b"\x1b[2J"],
        [b"logs", b"-n", b"many"],
    ],
)
def test_bytes_and_controls_are_refused_in_a_sentence(shell: Shell, line: list[bytes]) -> None:
    ran = shell.run(*line, "--no-spawn")
    assert ran.code in (2, 3)
    assert "\x1b" not in ran.out + ran.err


@pytest.mark.parametrize(
    "env",
    [
        {"CAP_MODE": "☃"},
        {"CAP_BASE_URL": "::::"},
        {"CAP_API_KEY": "two words"},
        {"SPENDGUARD_DAEMON_PORT": "many"},
        {"SPENDGUARD_HOME": "/dev/null"},
        {"SPENDGUARD_HOME": "/dev/null/deep"},
        {"SPENDGUARD_HOME": "~nobody-of-this-name/x"},
    ],
)
def test_a_strange_environment_is_refused_in_a_sentence(shell: Shell, env: dict[str, str]) -> None:
    ran = shell.run("up", **env)
    assert ran.code in (1, 2, 78), ran
    assert ran.err.startswith("error: ")


@pytest.mark.parametrize(
    "name", ["admin.token", "config.toml", "secrets.toml", "run/daemon.json", "ledger", "run"]
)
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"{}", b"[keys]\nopenai = 5\n"])
def test_a_strange_home_is_refused_in_a_sentence(bare: Quick, name: str, content: bytes) -> None:
    """A file where a folder should be, and text where a token should be."""
    path = bare.home / name
    path.parent.mkdir(mode=0o700, parents=True)
    path.write_bytes(content)
    path.chmod(0o600)
    for line in (["status"], ["agent", "list"], ["config", "show"], ["down"], ["logs"], []):
        ran = bare.run(*line)
        assert ran.code in set(Exit)
        assert ran.code == 0 or ran.err.startswith(("error: ", '{"error": ')) or "state=down" in ran.out


@pytest.mark.parametrize("content", [b"", b"no token", b"\xff"])
def test_a_strange_token_is_refused_where_it_is_needed(shell: Shell, content: bytes) -> None:
    shell.home.mkdir(mode=0o700)
    (shell.home / "admin.token").write_bytes(content)
    (shell.home / "admin.token").chmod(0o600)
    refused = shell.run("up")
    assert refused.code == 78
    assert "admin.token" in refused.err


FAULTY = "import spendguard_cli.app as app; app._run = lambda *_: 1 // 0; app.main()"


@pytest.mark.parametrize("debug", ["", "1"])
def test_a_fault_of_our_own_is_one_line_and_a_trace_only_on_request(debug: str) -> None:
    env = {**os.environ, "SPENDGUARD_DEBUG": debug}
    ran = subprocess.run([sys.executable, "-c", FAULTY], env=env, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    *trace, error, remedy = ran.stderr.splitlines()
    assert error.startswith("error: internal: ZeroDivisionError: ")
    assert remedy.startswith("try: spendguard logs")
    assert bool(trace) is bool(debug)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_missing_stream_is_no_fault(bare: Quick, closed: str) -> None:
    line = f"{shlex.join([*PROGRAM, 'config', 'show'])} {closed}"
    ran = subprocess.run(["/bin/sh", "-c", line], env=bare.env, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
