"""`exec` as a person or a script runs it: a real program under a budget, from its key to its cost."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shell import PROGRAM, Ran, Shell, Terminal, finish
from until import until

SECRET = "sk-canary-0123456789abcdef"
PYTHON = (sys.executable, "-c")
CALL = """
import json, os, urllib.request
def call():
    body = {"model": "mock-small", "max_tokens": 16, "messages": [{"role": "user", "content": "hello"}]}
    request = urllib.request.Request(
        os.environ["OPENAI_BASE_URL"] + "/chat/completions",
        json.dumps(body).encode(),
        {"authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "content-type": "application/json"},
    )
    try:
        return json.load(urllib.request.urlopen(request))
    except urllib.error.HTTPError as error:
        return error.code
"""


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell with a sidecar that is up, and a provider key in its environment."""
    shell = Shell(tmp_path_factory.mktemp("exec") / "home", OPENAI_API_KEY=SECRET)
    shell.ok("up")
    yield shell
    shell.end()


@pytest.fixture(scope="module")
def agent_id(shell: Shell) -> str:
    """A mock agent with five dollars."""
    return shell.agent("worker", cents=500)


def run(shell: Shell, agent_id: str, *words: str, stdin: str = "", **env: str) -> Ran:
    return shell.run("exec", "--agent", agent_id, *words, stdin=stdin, **env)


def keys(shell: Shell, agent_id: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = shell.quick.ok("agent", "key", agent_id, "--list", "--json").json
    return listed


def live(shell: Shell, agent_id: str) -> list[dict[str, Any]]:
    return [key for key in keys(shell, agent_id) if not key["revoked"]]


def is_live(shell: Shell, agent_id: str) -> bool:
    return bool(live(shell, agent_id))


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended; one that nobody has waited for counts."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].startswith("Z")
    except OSError:
        return True


# -- environment ----------------------------------------------------------------------------------------


def test_the_program_is_sent_to_the_sidecar_and_has_no_key_of_a_provider(shell: Shell, agent_id: str) -> None:
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    given = {
        "ANTHROPIC_AUTH_TOKEN": "plan",
        "CLAUDE_CODE_OAUTH_TOKEN": "plan",
        "OPENROUTER_API_KEY": "or",
        "GOOGLE_API_KEY": "AIza-canary",
        "CAP_API_KEY": (shell.home / "admin.token").read_text().strip(),
        "MY_OWN_NAME": f"Bearer {SECRET}",
        "OTHER": "xai-0123456789abcdef",
        "KEPT": "yes",
        "NO_PROXY": "corp.example",
    }
    ran = run(shell, agent_id, "--run-id", "nightly", "--", *PYTHON, show, **given)
    env, base = ran.json, shell.daemon()["agents_url"]
    key = env["SPENDGUARD_AGENT_KEY"]
    assert key.startswith("sg_agent_")
    assert {name: env[name] for name in env if name.endswith("_API_KEY")} == dict.fromkeys(
        ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "XAI_API_KEY", "GROK_API_KEY"), key
    )
    assert (env["OPENAI_BASE_URL"], env["ANTHROPIC_BASE_URL"]) == (f"{base}/v1", base)
    assert (env["GOOGLE_GEMINI_BASE_URL"], env["XAI_BASE_URL"]) == (base, f"{base}/grok/v1")
    assert (env["SPENDGUARD_EXEC"], env["SPENDGUARD_RUN_ID"]) == ("1", "nightly")
    assert (env["SPENDGUARD_AGENT_ID"], env["KEPT"]) == (agent_id, "yes")
    assert (env["NO_PROXY"], env["no_proxy"]) == ("corp.example,127.0.0.1,localhost", "127.0.0.1,localhost")
    assert not {*given} & {*env} - {"KEPT", "NO_PROXY"}
    taken = next(line for line in ran.err.splitlines() if "taken out" in line)
    assert set(taken.split(": ", 2)[2].split(", ")) == {*given, "OPENAI_API_KEY"} - {"KEPT", "NO_PROXY"}
    assert SECRET not in ran.out + ran.err
    assert given["CAP_API_KEY"] not in ran.out + ran.err


def test_the_program_has_our_streams_and_its_exit_code_is_ours(shell: Shell, agent_id: str) -> None:
    program = "import sys; print(sys.stdin.read().upper()); print('aside', file=sys.stderr); sys.exit(7)"
    ran = run(shell, agent_id, "--", *PYTHON, program, stdin="said")
    assert (ran.code, ran.out) == (7, "SAID\n")
    assert "aside\n" in ran.err


def test_what_follows_the_command_is_its_own(shell: Shell, agent_id: str) -> None:
    show = "import sys; print(sys.argv[1:])"
    ran = run(shell, agent_id, "--", *PYTHON, show, "--json", "--agent", "x", "--", "-h")
    assert ran.out == "['--json', '--agent', 'x', '--', '-h']\n"


def test_descriptors_that_the_shell_has_opened_are_passed_on(shell: Shell, agent_id: str) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"through a descriptor")
    os.close(writer)
    program = f"import os; print(os.read({reader}, 99).decode())"
    command = [sys.executable, "-m", "spendguard_cli", "exec", "--agent", agent_id, "--", *PYTHON, program]
    ran = subprocess.run(
        command, env=shell.env, pass_fds=[reader], capture_output=True, text=True, check=True
    )
    os.close(reader)
    assert ran.stdout == "through a descriptor\n"


# -- account --------------------------------------------------------------------------------------------


def test_calls_are_paid_and_the_cost_is_told(shell: Shell, agent_id: str) -> None:
    program = f"{CALL}\nfor _ in range(3): call()\nprint(os.environ['SPENDGUARD_RUN_ID'])"
    ran = run(shell, agent_id, "--", *PYTHON, program)
    run_id = ran.out.strip()
    listed = shell.ok("run", "list", "--agent", agent_id, "--json").json
    (mine,) = [entry for entry in listed if entry["run_id"] == run_id]
    remaining = shell.ok("budget", "get", "--agent", agent_id).keys["remaining_usd"]
    assert mine["calls"] == 3
    assert ran.err.splitlines()[-1] == (
        f"spendguard: spent ${mine['cost_usd']} in 3 calls, 0 refused; still held $0.00; "
        f"${remaining} remains (agent worker, run {run_id})"
    )


def test_with_json_the_cost_is_one_line_of_it(shell: Shell, agent_id: str) -> None:
    ran = run(shell, agent_id, "--limit", "100", "--json", "--", *PYTHON, f"{CALL}\ncall()")
    told = json.loads(ran.err.splitlines()[-1])
    (key,) = [key for key in keys(shell, agent_id) if key["key_id"] == told["key_id"]]
    assert (told["agent_id"], told["calls"], told["refused"], told["exit_code"]) == (agent_id, 1, 0, 0)
    assert (told["spent_usd"], told["remaining_usd"]) == (key["settled_usd"], key["remaining_usd"])
    assert (key["kind"], key["revoked"], key["limit_usd"]) == ("exec", True, "1.00")


def test_a_limit_is_the_most_that_this_program_may_spend(shell: Shell, agent_id: str) -> None:
    ran = run(shell, agent_id, "--limit", "0", "--", *PYTHON, f"{CALL}\nprint(call())")
    assert ran.out == "402\n"
    assert "0 calls, 1 refused" in ran.err


def test_a_limit_alone_makes_an_agent_for_the_while(shell: Shell) -> None:
    show = "import os; print(os.environ['SPENDGUARD_AGENT_ID']); input()"
    process = shell.start("exec", "--limit", "$2.50", "--no-isolate", "--", *PYTHON, show)
    assert process.stdout is not None
    made_id = process.stdout.readline().decode().strip()
    made = shell.ok("agent", "get", made_id, "--json").json
    assert re.fullmatch(r"exec-python[0-9.]*-[0-9a-f]{4}", made["name"])
    assert shell.ok("budget", "get", "--agent", made_id).keys["remaining_usd"] == "2.50"
    ran = finish(process, "\n")
    assert ran.code == 0
    assert "$2.50 remains" in ran.err
    assert shell.run("agent", "get", made_id).code == 4


def test_the_key_is_worth_nothing_afterwards(shell: Shell, agent_id: str) -> None:
    ran = run(shell, agent_id, "--", *PYTHON, f"{CALL}\nprint(os.environ['OPENAI_API_KEY'])")
    again = subprocess.run(
        [*PYTHON, f"{CALL}\nprint(call())"],
        env=shell.env
        | {"OPENAI_BASE_URL": f"{shell.daemon()['agents_url']}/v1", "OPENAI_API_KEY": ran.out.strip()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert again.stdout == "401\n"
    assert live(shell, agent_id) == []


# -- ends -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["no-such-command-anywhere"], 127),
        (["/no/such/file"], 127),
        (["/etc/hostname"], 126),
        (["sh", "-c", "kill -9 $$"], 137),
        (["sh", "-c", "kill -TERM $$"], 143),
    ],
)
def test_exit_codes_are_those_of_a_shell(words: list[str], code: int, shell: Shell, agent_id: str) -> None:
    ran = run(shell, agent_id, "--", *words)
    assert (ran.code, ran.out) == (code, "")
    assert "spendguard: spent $0.00 in 0 calls" in ran.err
    assert live(shell, agent_id) == []


def test_the_exit_code_outlives_a_reader_of_stderr_that_has_left(shell: Shell, agent_id: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [
        sys.executable,
        "-m",
        "spendguard_cli",
        "exec",
        "--agent",
        agent_id,
        "--",
        "sh",
        "-c",
        "exit 9",
    ]
    assert subprocess.run(command, env=shell.env, stderr=writer, check=False).returncode == 9
    os.close(writer)
    assert live(shell, agent_id) == []


def test_neither_agent_nor_limit_nor_command_is_a_usage_error_with_both_forms(shell: Shell) -> None:
    for words in (["exec", "--", "true"], ["exec", "--agent", "a"], ["exec"]):
        ran = shell.quick.run(*words)
        assert ran.code == 2
        assert "exec --agent my-agent -- COMMAND" in ran.err
        assert "exec --limit 500 -- COMMAND" in ran.err
    assert shell.quick.run("exec", "--limit", "0.5", "--", "true").code == 2


def test_a_failure_of_its_own_is_125_and_leaves_nothing(shell: Shell, agent_id: str, tmp_path: Path) -> None:
    agents = len(shell.ok("agent", "list", "--json").json)
    for words, code in (
        (["--agent", "nobody"], 125),
        (["--agent", agent_id, "--run-id", "not a run id"], 2),
        (["--limit", "5", "--run-id", "not a run id"], 2),
    ):
        ran = shell.run("exec", *words, "--", "true")
        assert (ran.code, ran.out) == (code, ""), ran
    assert len(shell.ok("agent", "list", "--json").json) == agents
    assert live(shell, agent_id) == []
    away = shell.run(
        "exec", "--agent", agent_id, "--no-spawn", "--", "true", SPENDGUARD_HOME=str(tmp_path / "h")
    )
    assert away.code == 125
    assert "no sidecar" in away.err.lower()


def test_the_sidecar_is_started_on_demand(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "home")
    try:
        ran = shell.run("exec", "--limit", "5", "--", "true")
        assert ran.code == 0
        assert "$0.05 remains" in ran.err
    finally:
        shell.end()


WAITS = """
import signal, sys, time
def note(number, _frame):
    print(signal.Signals(number).name, flush=True)
    if number == signal.SIGTERM: sys.exit(9)
for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGQUIT"):
    signal.signal(getattr(signal, name), note)
print("ready", flush=True)
while True: time.sleep(60)
"""


def test_signals_are_passed_on_and_the_end_is_orderly(shell: Shell, agent_id: str) -> None:
    process = shell.start("exec", "--agent", agent_id, "--", *PYTHON, WAITS)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    for name in ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGQUIT", "SIGINT"):
        process.send_signal(getattr(signal, name))
        assert process.stdout.readline().decode() == f"{name}\n"
    process.send_signal(signal.SIGTERM)
    ran = finish(process)
    assert (ran.code, ran.out) == (9, "SIGTERM\n")
    assert "spendguard: spent" in ran.err
    assert live(shell, agent_id) == []


def test_what_is_signalled_before_the_program_starts_leaves_nothing(shell: Shell, agent_id: str) -> None:
    process = shell.start("exec", "--agent", agent_id, "--", "sleep", "60")
    until(partial(is_live, shell, agent_id))
    process.terminate()
    assert finish(process).code == 143
    assert live(shell, agent_id) == []


@pytest.mark.parametrize("isolation", ["--isolate", "--no-isolate"])
def test_a_killed_exec_takes_its_program_along_and_leaves_a_key_that_expires(
    isolation: str, shell: Shell
) -> None:
    agent_id = shell.agent(f"killed {isolation}", cents=5)
    show = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    process = shell.start("exec", "--agent", agent_id, isolation, "--", *PYTHON, show)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.kill()
    assert finish(process).code == -signal.SIGKILL
    until(lambda: is_gone(pid))
    (key,) = live(shell, agent_id)
    assert key["expires_at"] is not None
    assert key["expired"] is False


def test_who_was_interrupted_dies_of_it_so_that_a_loop_ends(shell: Shell, agent_id: str) -> None:
    command = shlex.join(
        [*PROGRAM, "exec", "--agent", agent_id, "--", "sh", "-c", "echo started; exec sleep 600"]
    )
    loop = f"for i in 1 2 3; do echo round $i; {command}; done; echo after"
    terminal = Terminal.of(["bash", "-c", loop], shell.env)
    terminal.until(b"started")
    terminal.type("\x03")
    assert terminal.end() == -signal.SIGINT
    assert b"spendguard: spent" in terminal.said
    assert b"round 2" not in terminal.said
    assert b"after" not in terminal.said
    assert live(shell, agent_id) == []


@pytest.mark.parametrize(("name", "code"), [("INT", -signal.SIGINT), ("TERM", 143), ("HUP", 129)])
def test_what_has_ended_the_program_is_told_as_a_shell_tells_it(
    name: str, code: int, shell: Shell, agent_id: str
) -> None:
    assert run(shell, agent_id, "--", "sh", "-c", f"kill -{name} $$").code == code
    seen = f"{shlex.join([*PROGRAM, 'exec', '--agent', agent_id])} -- sh -c 'kill -{name} $$'; echo $?"
    shown = subprocess.run(["sh", "-c", seen], env=shell.env, capture_output=True, text=True, check=False)
    assert shown.stdout == f"{128 + getattr(signal, f'SIG{name}')}\n"


@pytest.mark.parametrize("more", [[], ["--kill-on-402"]], ids=["", "in a group of its own"])
def test_on_a_terminal_ctrl_c_is_the_programs_and_the_cost_is_told(
    more: list[str], shell: Shell, agent_id: str
) -> None:
    script = f"import os\nprint(os.tcgetpgrp(0) == os.getpgrp())\n{WAITS}".replace(
        "== signal.SIGTERM", "== 2"
    )
    terminal = Terminal(shell, "exec", "--agent", agent_id, *more, "--", *PYTHON, script)
    terminal.until(b"ready")
    assert b"True" in terminal.said
    terminal.type("\x03")
    terminal.until(b"spendguard: spent")
    assert terminal.end() == 9
    assert terminal.said.count(b"SIGINT") == 1


@pytest.mark.parametrize("more", ["", "--kill-on-402"])
def test_on_a_terminal_ctrl_z_gives_the_shell_its_prompt_and_fg_goes_on(
    more: str, shell: Shell, agent_id: str, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text("print('be' + 'gun', flush=True)\nprint('read', input(), flush=True)\n")
    command = (
        f"{sys.executable} -m spendguard_cli exec --agent {agent_id} {more} -- {sys.executable} {program}"
    )
    env = shell.env | {"PS1": "prompt> "}
    terminal = Terminal.of(["bash", "--norc", "--noediting", "-i"], env)
    terminal.until(b"prompt> ")
    terminal.type(command + "\n")
    terminal.until(b"begun")
    terminal.type("\x1a")
    terminal.until(b"Stopped")
    terminal.until(b"program.py\r\nprompt> ")
    terminal.type("echo sh''ell\n")
    terminal.until(b"shell\r\n")
    terminal.type("fg\n")
    terminal.until(b"fg\r\n")
    terminal.type("wo''rd\n")
    terminal.until(b"read wo''rd")
    terminal.until(b"spendguard: spent")
    terminal.type("exit\n")
    terminal.end()


@pytest.mark.parametrize("more", [[], ["--kill-on-402"]], ids=["", "in a group of its own"])
def test_a_terminal_that_closes_ends_the_program_and_the_key(
    more: list[str], shell: Shell, agent_id: str
) -> None:
    """As `tmux new-window "spendguard exec ..."` has it: the terminal's session is led by exec itself."""
    script = "import os, time\nprint(f'<{os.getpid()}>', flush=True)\ntime.sleep(600)"
    terminal = Terminal(shell, "exec", "--agent", agent_id, *more, "--", *PYTHON, script)
    terminal.until(b">\r\n")  # a program whose line is cut off ends by that, not by the signal
    found = re.search(rb"<(\d+)>", terminal.said)
    assert found
    assert terminal.hang_up() == 128 + signal.SIGHUP
    assert not Path(f"/proc/{found[1].decode()}").exists()
    assert live(shell, agent_id) == []


def test_on_a_terminal_nothing_can_be_typed_for_the_shell(shell: Shell, agent_id: str) -> None:
    script = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSTI, b'x')"
    terminal = Terminal(shell, "exec", "--agent", agent_id, "--isolate", "--", *PYTHON, script)
    assert terminal.end() == 1
    assert b"PermissionError: [Errno 1]" in terminal.said


# -- without the sidecar ---------------------------------------------------------------------------------


def test_what_could_not_be_ended_is_told_in_the_line(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "home")
    try:
        agent_id = shell.agent("left", cents=5)
        words = ("exec", "--agent", agent_id, "--no-isolate", "--no-spawn", "--json", "--", "sh", "-c")
        ran = shell.run(*words, f"kill -9 {shell.daemon()['pid']}; exit 4")
        told = json.loads(ran.err.splitlines()[-1])
        assert (ran.code, told["exit_code"], len(told["notes"])) == (4, 4, 2)
        assert told["notes"][0].startswith("what it has cost is not known: ")
        assert f"of agent {agent_id} could not be ended: " in told["notes"][1]
    finally:
        shell.end()


# -- 402 ------------------------------------------------------------------------------------------------


def test_kill_on_402_ends_the_group_and_says_6(shell: Shell) -> None:
    agent_id = shell.agent("poor", cents=0)
    program = f"""{CALL}
import subprocess, time
other = subprocess.Popen(["sleep", "60"])
print(other.pid, call(), flush=True)
time.sleep(60)
"""
    ran = run(shell, agent_id, "--kill-on-402", "--", *PYTHON, program)
    pid, status = ran.out.split()
    assert (ran.code, status) == (6, "402")
    assert "ended, as a call was refused for money" in ran.err
    until(lambda: is_gone(int(pid)))
    assert live(shell, agent_id) == []


IMPATIENT = """
from spendguard_cli.entry import main
from spendguard_cli.exec import child
child.KILL_SECONDS = 1
main()
"""


def test_who_does_not_heed_it_is_killed(shell: Shell) -> None:
    agent_id = shell.agent("deaf", cents=0)
    program = f"{CALL}\nimport signal, time\nsignal.signal(15, signal.SIG_IGN)\ncall()\ntime.sleep(600)"
    words = ("exec", "--agent", agent_id, "--kill-on-402", "--", *PYTHON, program)
    ran = subprocess.run([*PYTHON, IMPATIENT, *words], env=shell.env, capture_output=True, check=False)
    assert ran.returncode == 6
    assert live(shell, agent_id) == []


def test_a_refusal_counts_also_where_the_program_has_ended_before_it_was_seen(shell: Shell) -> None:
    agent_id = shell.agent("quick", cents=0)
    ran = run(shell, agent_id, "--kill-on-402", "--json", "--", *PYTHON, f"{CALL}\ncall()\nos._exit(3)")
    told = json.loads(ran.err.splitlines()[-1])
    assert (ran.code, told["exit_code"], told["refused"]) == (6, 6, 1)


def test_a_loop_of_refusals_is_cut(shell: Shell) -> None:
    agent_id = shell.agent("stubborn", cents=0)
    ran = run(shell, agent_id, "--kill-on-402", "--", *PYTHON, f"{CALL}\nwhile True: call()")
    assert ran.code == 6
    assert live(shell, agent_id) == []


def test_who_cannot_pay_is_warned_of_beforehand_and_told_why_afterwards(shell: Shell) -> None:
    agent_id = shell.agent("penniless")
    ran = run(shell, agent_id, "--", *PYTHON, f"{CALL}\ncall()")
    *_, warned, last = ran.err.splitlines()
    assert warned == (
        "spendguard: warning: agent penniless has no budget, so calls will be refused; "
        f"try: spendguard budget set --agent {agent_id} --limit 500"
    )
    assert "1 refused; the last refusal was budget_not_set: No budget is set for this agent" in last
    assert "(agent penniless, run exec-" in last


def test_a_throw_away_agent_may_be_mock(shell: Shell) -> None:
    ran = shell.run("exec", "--limit", "50", "--mock", "--", *PYTHON, f"{CALL}\nprint(len(call()) > 1)")
    assert (ran.code, ran.out) == (0, "True\n")
    assert "in 1 call, 0 refused" in ran.err
    ran = shell.quick.run("exec", "--agent", "a", "--mock", "--", "true")
    assert ran.code == 2
    assert "throw-away" in ran.err


@pytest.mark.parametrize(("words", "code"), [(["no-such-command-anywhere"], 127), (["true"], 0)])
def test_with_json_the_end_is_one_line(words: list[str], code: int, shell: Shell, agent_id: str) -> None:
    ran = run(shell, agent_id, "--no-isolate", "--json", "--", *words, OPENAI_API_KEY="")
    (line,) = ran.err.splitlines()
    told = json.loads(line)
    notes = ["no-such-command-anywhere: no such command"] if code else []
    assert (ran.code, told["exit_code"], told["notes"]) == (code, code, notes)
    assert (told["agent_name"], told["refusal_code"], told["refusal_reason"]) == ("worker", None, None)


def test_without_it_a_402_is_the_programs_own(shell: Shell) -> None:
    agent_id = shell.agent("poor too", cents=0)
    ran = run(shell, agent_id, "--", *PYTHON, f"{CALL}\nprint(call())")
    assert (ran.code, ran.out) == (0, "402\n")
    assert "1 refused" in ran.err


def test_with_it_a_402_of_before_is_none_of_this_program(shell: Shell) -> None:
    agent_id = shell.agent("poor before", cents=0)
    words = ["--run-id", "same", "--", *PYTHON, f"{CALL}\nprint(call())"]
    assert "1 refused" in run(shell, agent_id, *words).err
    ran = run(shell, agent_id, "--run-id", "same", "--kill-on-402", "--", "sleep", "1")
    assert ran.code == 0
    assert "0 refused" in ran.err


def test_a_program_that_met_another_ones_lock_is_told_how_to_share_it(shell: Shell) -> None:
    agent_id = shell.agent("locked", cents=500)
    body = json.dumps(
        {
            "model": "mock-small",
            "messages": [{"role": "user", "content": "hello"}],
            "metadata": {"mock": "hang"},
        }
    )
    port = shell.daemon()["port"]
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
    head += f"x-cynsta-agent-id: {agent_id}\r\nx-cynsta-run-id: other\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as holder:
        holder.sendall((head + body).encode())
        until(lambda: shell.quick.ok("agent", "get", agent_id, "--json").json["calls_in_flight"])
        ran = run(shell, agent_id, "--run-id", "mine", "--", *PYTHON, f"{CALL}\nprint(call())")
        told = run(shell, agent_id, "--json", "--", *PYTHON, f"{CALL}\ncall()")
    way = f"--run-id mine for each, or: spendguard agent set {agent_id} --concurrency shared"
    assert (ran.code, ran.out) == (0, "409\n")
    assert way in ran.err
    assert "--concurrency shared" in json.loads(told.err.splitlines()[-1])["notes"][-1]
