"""Every command group against a real sidecar: what it prints on a pipe, as JSON, and how it exits."""

import json
import stat
import subprocess
import uuid
from pathlib import Path

import pytest

from shell import PROGRAM, Quick, Shell, Terminal, finish
from spendguard_daemon.money import format_usd, parse_usd

CANARY = "sk-canary-0123456789abcdef"


def name() -> str:
    """Return a name no other test uses."""
    return f"agent-{uuid.uuid4().hex[:8]}"


def test_agents_are_made_listed_shown_and_renamed(served: Shell) -> None:
    first, second = name(), name()
    agent_id = served.agent(first)
    assert [line for line in served.ok("agent", "list").out.splitlines() if f"agent_id={agent_id} " in line]
    shown = served.ok("agent", "get", first, "--json").json
    assert (shown["agent_id"], shown["calls"], shown["mock"]) == (agent_id, [], True)
    assert served.ok("agent", "rename", first, second).keys["name"] == second
    assert served.ok("agent", "get", "--agent", second).keys["agent_id"] == agent_id
    assert served.ok("agent", "rename", "--agent", agent_id, "--name", first).keys["name"] == first


def test_agents_are_set_frozen_and_unfrozen(served: Shell) -> None:
    agent_id = served.agent(name(), cents=100)
    changed = served.ok("agent", "set", agent_id, "--concurrency", "shared", "--overflow", "refuse").keys
    assert (changed["concurrency"], changed["overflow"]) == ("shared", "refuse")
    assert served.ok("agent", "freeze", agent_id, "--reason", "it loops").keys["frozen_reason"] == "it loops"
    assert served.call(agent_id).status_code == 402
    assert served.ok("agent", "unfreeze", agent_id).keys["frozen"] == "false"
    assert served.call(agent_id).status_code == 200


def test_an_agent_has_a_policy_of_its_own(served: Shell) -> None:
    agent_id = served.agent(name(), cents=100)
    bash, fetch = "anthropic.tool:bash_20250124", "anthropic.tool:web_fetch_20250910"
    set_ = ("agent", "set", agent_id)
    changed = served.ok(*set_, "--hosted-tools", "allow", "--hosted-tool-uses", "3", "--allow", bash).keys
    assert changed["policy.hosted_tools"] == "allow"
    assert changed["policy.hosted_tool_uses"] == "3"
    changed = served.ok(*set_, "--server-state", "refuse", "--exact-count", "never", "--allow", fetch).keys
    assert (changed["policy.server_state"], changed["policy.exact_count"]) == ("refuse", "never")
    assert changed["policy.allow"] == f"{bash},{fetch}"
    assert served.ok(*set_, "--disallow", bash).keys["policy.allow"] == fetch
    assert "policy.allow" not in served.ok(*set_, "--disallow", fetch).keys
    assert served.ok("agent", "get", agent_id, "--json").json["policy"]["hosted_tools"] == "allow"
    assert served.run(*set_).code == 2
    assert served.run(*set_, "--allow", "no feature").code == 2


def test_an_agent_is_made_with_a_policy(served: Shell) -> None:
    made = served.ok("agent", "create", "--name", name(), "--hosted-tools", "refuse").keys
    shown = served.ok("agent", "get", made["agent_id"], "--json").json
    assert shown["policy"] == {"hosted_tools": "refuse"}


def test_features_are_allowed_for_all(shell: Shell) -> None:
    assert shell.ok("config", "allow").keys["value"] == ""
    told = shell.ok("config", "allow", "anthropic.tool:bash_20250124", "openai.chat.field:foo").keys
    assert told["value"] == "anthropic.tool:bash_20250124,openai.chat.field:foo"
    assert shell.ok("config", "allow", "--json").json["value"] == told["value"]
    left = shell.ok("config", "allow", "--remove", "openai.chat.field:foo").keys
    assert left["value"] == "anthropic.tool:bash_20250124"
    for words in (("no feature",), ("--remove",)):
        assert shell.run("config", "allow", *words).code == 2
    assert shell.run("config", "allow", "a.b:c", SPENDGUARD_EXEC="1").code == 5
    assert shell.ok("config", "allow").keys["value"] == "anthropic.tool:bash_20250124"


def test_a_script_deletes_without_being_asked(served: Shell) -> None:
    agent_id = served.agent(name())
    assert served.ok("agent", "delete", agent_id).keys == {"agent_id": agent_id, "deleted": "true"}
    gone = served.run("agent", "get", agent_id)
    assert (gone.code, gone.out) == (4, "")
    assert gone.err.startswith("error: Agent not found")


@pytest.mark.parametrize(
    ("answer", "code", "left"), [("n\n", 1, True), ("y\n", 0, False), ("\x04", 130, True)]
)
def test_a_person_is_asked_before_deletion(served: Shell, answer: str, code: int, left: bool) -> None:
    agent_id = served.agent(name())
    terminal = Terminal(served, "agent", "delete", agent_id)
    terminal.until(b"[y/N]")
    terminal.type(answer)
    assert terminal.end() == code
    assert (served.run("agent", "get", agent_id).code == 0) is left


def test_a_terminal_gets_a_table_and_no_key_value_lines(served: Shell) -> None:
    agent = name()
    served.agent(agent, cents=4200)
    terminal = Terminal(served, "agent", "list")
    assert terminal.end() == 0
    assert agent.encode() in terminal.said
    assert b"$42.00" in terminal.said
    assert b"agent_id=" not in terminal.said


def test_a_key_typed_at_a_terminal_is_not_shown(served: Shell) -> None:
    terminal = Terminal(served, "provider", "set-key", "anthropic")
    terminal.until(b"not shown")
    terminal.type(CANARY + "\n")
    assert terminal.end() == 0
    assert CANARY.encode() not in terminal.said
    assert CANARY in (served.home / "secrets.toml").read_text()


def test_names_that_several_agents_have_are_refused_with_their_ids(served: Shell) -> None:
    twin = name()
    ids = [served.agent(twin), served.agent(twin)]
    refused = served.run("budget", "get", "--agent", twin)
    assert refused.code == 2
    assert all(agent_id in refused.err for agent_id in ids)


def test_a_mistyped_name_is_suggested(served: Shell) -> None:
    served.agent("nightly-report")
    refused = served.run("agent", "get", "nightly-raport")
    assert refused.code == 4
    assert "did you mean 'nightly-report'?" in refused.err


def test_hostile_names_stay_names(served: Shell) -> None:
    """Markup, brackets and quotes are text; control characters are refused by the sidecar."""
    odd = f"[red]{name()}[/] $HOME 'x' \"y\" =z"
    agent_id = served.agent(odd)
    assert served.ok("agent", "get", odd, "--json").json["agent_id"] == agent_id
    line = next(line for line in served.ok("agent", "list").out.splitlines() if agent_id in line)
    assert json.dumps(odd) in line
    assert served.run("agent", "create", "--name", "a\x1b[2Jb").code == 2


def test_budgets_are_set_topped_up_and_shown(served: Shell) -> None:
    agent_id = served.agent(name())
    assert served.run("budget", "get", "--agent", agent_id).code == 4
    first = served.ok("budget", "set", "--agent", agent_id, "--limit", "$50", "--topup", "20usd").keys
    assert (first["remaining_cents"], first["topup_applied_cents"]) == ("2000", "2000")
    more = served.ok("budget", "topup", "--agent", agent_id, "--amount", "4000").keys
    assert (more["remaining_cents"], more["topup_applied_cents"], more["topup_ignored_cents"]) == (
        "5000",
        "3000",
        "1000",
    )
    served.call(agent_id)
    full = served.ok("budget", "topup", "--agent", agent_id, "--amount", "100")
    added, left = (parse_usd(full.keys[f"topup_{which}_usd"]) for which in ("applied", "ignored"))
    assert added + left == 1_000_000_000
    assert 0 < added < 10_000_000, "what the call cost, to the nano-dollar"
    assert f"only ${format_usd(added)} of $1.00 was added" in full.err
    shown = served.ok("budget", "get", "--agent", agent_id, "--json").json
    assert (shown["remaining_cents"], shown["remaining_usd"], shown["locked_run_id"]) == (5000, "50.00", None)


def test_a_limit_below_the_balance_says_what_it_takes_and_how_to_give_it_back(served: Shell) -> None:
    agent_id = served.agent(name(), cents=5000)
    same = served.ok("budget", "set", "--agent", agent_id, "--limit", "6000")
    assert same.err == ""
    less = served.ok("budget", "set", "--agent", agent_id, "--limit", "4000")
    assert less.err.splitlines()[0].startswith("warning: $10.00 was taken from the balance")
    assert "a shell makes 0" not in less.err
    slip = served.ok("budget", "set", "--agent", agent_id, "--limit", "0")
    taken, shell, back = slip.err.splitlines()
    assert taken.startswith("warning: $40.00 was taken from the balance")
    assert "a shell makes 0 of an unquoted $50" in shell
    served.ok(*back.removeprefix("try: spendguard ").split())
    assert served.ok("budget", "get", "--agent", agent_id).keys["remaining_usd"] == "40.00"


def test_a_word_that_is_no_choice_is_refused_in_plain_words(served: Shell) -> None:
    """Without what the library below calls it."""
    refused = served.run("ledger", "export", "--by", "week")
    assert refused.code == 2
    assert refused.err.startswith("error: Invalid value for '--by': 'week' is not one of 'call', 'agent',")


@pytest.mark.parametrize("amount", ["50.00", "-1", "lots", "$0.001", "9" * 30, ""])
def test_bad_amounts_are_usage_errors_and_change_nothing(served: Shell, amount: str) -> None:
    refused = served.run("budget", "set", "--agent", str(uuid.uuid4()), f"--limit={amount}")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("error: --limit: ")
    assert "\ntry: " in refused.err


def test_an_ended_call_is_adjusted(served: Shell) -> None:
    agent_id = served.agent(name(), cents=100)
    served.call(agent_id, max_tokens=50, metadata={"mock": "lie:missing"})
    call = served.ok("agent", "get", agent_id, "--json").json["calls"][0]
    assert call["state"] == "settled_worst"
    done = served.ok(
        "budget", "adjust", "--call", call["call_id"], "--to", "0.0001", "--reason", "the bill"
    ).keys
    assert done["cost_usd"] == "0.0001"
    assert served.ok("budget", "get", "--agent", agent_id).keys["settled_usd"] == "0.0001"
    assert served.run("budget", "adjust", "--call", str(uuid.uuid4()), "--to", "0").code == 4


def test_the_cap_above_all_agents_is_set_topped_up_and_lifted(served: Shell) -> None:
    assert served.ok("budget", "daemon", "get").keys["hard_limit_cents"] == ""
    assert served.ok("budget", "daemon", "set", "--limit", "$100").keys["hard_limit_cents"] == "10000"
    served.ok("budget", "daemon", "topup", "--amount", "1")
    assert served.ok("budget", "daemon", "set", "--off").keys["hard_limit_cents"] == ""
    assert served.run("budget", "daemon", "set").code == 2
    assert served.run("budget", "daemon", "set", "--off", "--limit", "1").code == 2


def test_runs_are_named_and_listed(served: Shell) -> None:
    agent_id = served.agent(name(), cents=100)
    assert (
        served.ok("run", "create", "--agent", agent_id, "--run-id", "nightly-7").keys["run_id"] == "nightly-7"
    )
    fresh = served.ok("run", "create", "--agent", agent_id).keys["run_id"]
    assert {run["run_id"] for run in served.ok("run", "list", "--agent", agent_id, "--json").json} == {
        "nightly-7",
        fresh,
    }
    assert served.run("run", "create", "--agent", agent_id, "--run-id", "../x").code == 2


def test_inside_exec_what_raises_money_is_not_allowed(served: Shell) -> None:
    agent_id = served.agent(name(), cents=100)
    for verb in (
        ["budget", "set", "--agent", agent_id, "--limit", "9999"],
        ["budget", "topup", "--agent", agent_id, "--amount", "1"],
        ["budget", "adjust", "--call", "c", "--to", "0"],
        ["budget", "daemon", "set", "--off"],
        ["budget", "daemon", "topup", "--amount", "1"],
        ["agent", "unfreeze", agent_id],
        ["config", "set", "access.control", "open-loopback"],
        ["provider", "set-key", "openai"],
        ["up"],
    ):
        refused = served.run(*verb, SPENDGUARD_EXEC="1")
        assert (refused.code, refused.out) == (5, ""), verb
    shown = served.ok("budget", "get", "--agent", agent_id, SPENDGUARD_EXEC="1").keys
    assert shown["remaining_cents"] == "100"


def test_a_key_of_the_admins_may_come_by_flag_or_variable_and_another_is_refused(served: Shell) -> None:
    token = (served.home / "admin.token").read_text().strip()
    assert served.ok("agent", "list", "--api-key", token).code == 0
    assert served.ok("agent", "list", CAP_API_KEY=token).code == 0
    refused = served.run("agent", "list", CAP_API_KEY="sg_admin_wrong")
    assert refused.code == 5
    assert "sg_admin_wrong" not in refused.err


def test_hosted_mode_asks_for_the_key_by_name(shell: Shell) -> None:
    hosted = {"CAP_MODE": "hosted", "CAP_BASE_URL": "http://127.0.0.1:9"}
    refused = shell.run("agent", "list", **hosted)
    assert refused.code == 2
    assert "--api-key" in refused.err
    assert "CAP_API_KEY" in refused.err
    unreachable = shell.run("agent", "list", "--api-key", CANARY, **hosted)
    assert unreachable.code == 3
    assert CANARY not in unreachable.err
    assert shell.run("up", "--api-key", "k", **hosted).code == 2
    assert not shell.home.exists()


def test_a_provider_key_goes_from_stdin_into_one_file_and_nowhere_else(shell: Shell) -> None:
    shell.ok("up")
    quick = shell.quick
    ran = [
        quick.ok("provider", "set-key", "openai", stdin=CANARY + "\n"),
        quick.ok("provider", "list"),
        quick.run("provider", "test", "openai", SPENDGUARD_OPENAI_BASE_URL="http://127.0.0.1:9/v1"),
        quick.ok("config", "show"),
        quick.ok("status"),
        quick.ok("logs"),
    ]
    assert ran[0].keys == {
        "name": "openai",
        "key": "secrets.toml",
        "path": str(shell.home / "secrets.toml"),
        "sidecar": "up",
    }
    assert "name=openai base_url=https://api.openai.com/v1 key=secrets.toml" in ran[1].out
    assert not any(CANARY in one.out + one.err for one in ran)
    holding = [
        path for path in shell.home.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()
    ]
    assert holding == [shell.home / "secrets.toml"]
    assert stat.S_IMODE(holding[0].stat().st_mode) == 0o600
    quick.ok("provider", "set-key", "grok", stdin="xai-other")
    assert (
        "name=openai base_url=https://api.openai.com/v1 key=secrets.toml" in quick.ok("provider", "list").out
    )


def test_no_argument_takes_a_provider_key(served: Shell) -> None:
    """Whatever follows the name is refused: a key in an argument would stand in the process list."""
    refused = served.run("provider", "set-key", "openai", CANARY)
    assert refused.code == 2
    assert CANARY not in refused.out


@pytest.mark.parametrize("stdin", ["", "   \n", "two words", "snow☃man", "a\nb", "k" * 5000])
def test_what_is_no_key_is_refused_and_not_repeated(tmp_path: Path, stdin: str) -> None:
    quick = Quick(tmp_path / "home")
    refused = quick.run("provider", "set-key", "openai", stdin=stdin)
    assert refused.code == 2
    assert not quick.home.exists()
    assert not stdin.strip() or stdin.strip() not in refused.err


def test_an_unknown_provider_is_refused_with_the_known_ones(served: Shell) -> None:
    refused = served.run("provider", "test", "acme")
    assert refused.code == 2
    assert "openai" in refused.err


def test_settings_are_checked_written_and_read_back(shell: Shell) -> None:
    assert shell.ok("config", "set", "policy.overflow", "refuse").keys["origin"] == "config.toml"
    rows = {row["name"]: row for row in shell.ok("config", "show", "--json").json["settings"]}
    assert rows["policy.overflow"]["value"] == "refuse"
    before = (shell.home / "config.toml").read_bytes()
    refused = shell.run("config", "set", "policy.overflow", "maybe")
    assert refused.code == 2
    assert "clamp, refuse" in refused.err
    assert (shell.home / "config.toml").read_bytes() == before
    agent = shell.ok("agent", "get", shell.agent("a")).keys
    assert agent["overflow"] == "refuse"


def test_a_setting_that_the_environment_overrides_is_said(shell: Shell) -> None:
    told = shell.ok("config", "set", "policy.overflow", "refuse", SPENDGUARD_POLICY_OVERFLOW="clamp")
    assert told.keys["value"] == "clamp"
    assert "SPENDGUARD_POLICY_OVERFLOW" in told.err


def test_shared_options_work_before_and_after_the_command(served: Shell) -> None:
    agent_id = served.agent(name(), cents=100)
    after = served.ok("budget", "get", "--agent", agent_id, "--json").json
    assert served.ok("--json", "budget", "get", "--agent", agent_id).json == after
    elsewhere = {"SPENDGUARD_HOME": "/nonexistent"}
    assert served.ok("status", "--home", str(served.home), **elsewhere).code == 0
    assert served.ok("--home", str(served.home), "status", **elsewhere).code == 0


def test_a_reader_that_leaves_early_is_no_error(served: Shell) -> None:
    process = served.start("config", "show")
    process.stdout.close()  # type: ignore[union-attr]
    process.stdout = None
    assert finish(process).code == 0


def test_a_full_disk_is_said_and_not_swallowed(served: Shell) -> None:
    with Path("/dev/full").open("w") as full:
        process = subprocess.Popen(
            [*PROGRAM, "config", "show"], env=served.env, stdout=full, stderr=subprocess.PIPE
        )
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert b"error: " in err
    assert b"Traceback" not in err
