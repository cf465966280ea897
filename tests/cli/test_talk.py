"""What the operator is told beside the result: what did not happen, what is ambiguous, what to do next."""

import uuid
from pathlib import Path

import httpx
import pytest

from shell import Quick, Shell
from spendguard_cli.program import program
from spendguard_daemon.gateway.daemon_control import FREE_QUESTIONS
from spendguard_daemon.settings import PROVIDERS


def name() -> str:
    """Return a name no other test uses."""
    return f"agent-{uuid.uuid4().hex[:8]}"


def test_a_topup_that_does_not_fit_says_what_was_added(served: Shell) -> None:
    agent_id = served.agent(name(), cents=100)
    none = served.ok("budget", "topup", "--agent", agent_id, "--amount", "5")
    assert none.keys["topup_applied_cents"] == "0"
    assert "warning: nothing was added: the balance may not be above the limit of $1.00" in none.err
    (mend,) = [line.removeprefix("try: ") for line in none.err.splitlines() if line.startswith("try: ")]
    assert mend == f"spendguard budget set --agent {agent_id} --limit 105 --topup 5"
    mended = served.ok(*mend.split()[1:])
    assert (mended.keys["remaining_cents"], mended.err) == ("105", "")
    half = served.ok("budget", "set", agent_id, "--limit", "108", "--topup", "5")
    assert "warning: only $0.03 of $0.05 was added" in half.err
    whole = served.ok("budget", "set", agent_id, "--limit", "200", "--topup", "5")
    assert whole.err == ""


def test_the_cap_of_all_says_what_was_added_and_what_to_do_without_one(served: Shell) -> None:
    served.ok("budget", "daemon", "set", "--off")
    refused = served.run("budget", "daemon", "topup", "--amount", "5")
    assert refused.code == 4
    assert "try: spendguard budget daemon set --limit <cents>" in refused.err
    served.ok("budget", "daemon", "set", "--limit", "1000000")
    told = served.ok("budget", "daemon", "topup", "--amount", "5")
    assert "warning: nothing was added" in told.err
    assert "try: spendguard budget daemon set --limit 1000005 --topup 5" in told.err
    served.ok("budget", "daemon", "set", "--off")


def test_an_agent_is_taken_as_argument_and_as_option(served: Shell) -> None:
    agent = name()
    agent_id = served.agent(agent, cents=100)
    for words in ([agent], ["--agent", agent], [agent_id], [agent, "--agent", agent]):
        assert served.ok("budget", "get", *words).keys["agent_id"] == agent_id
        assert served.ok("run", "create", *words).keys["run_id"]
        assert served.ok("run", "list", *words).out
        assert served.ok("budget", "topup", *words, "--amount", "0").keys["agent_id"] == agent_id
    assert served.run("budget", "get").code == 2
    assert served.run("run", "list", agent, "--agent", "other").code == 2


def test_a_second_agent_of_a_name_is_warned_of_and_both_are_told_apart(served: Shell) -> None:
    agent = name()
    first = served.agent(agent)
    second = served.ok("agent", "create", "--name", agent)
    assert f"warning: another agent has this name: {first};" in second.err
    refused = served.run("agent", "get", agent)
    assert refused.code == 2
    assert f"{first} (created 20" in refused.err
    assert second.keys["agent_id"] in refused.err


def test_status_lists_unconfirmed_calls_and_how_to_settle_them(served: Shell) -> None:
    agent = name()
    agent_id = served.agent(agent, cents=100)
    call_id = served.call(agent_id, metadata={"mock": "lie:missing"}).headers["x-spendguard-call-id"]
    told = served.ok("status")
    assert f"call_id={call_id} agent_id={agent_id} agent_name={agent} model=mock-small cost_usd=" in told.out
    assert f"try: spendguard budget adjust --call {call_id} --to <usd>" in told.err
    assert served.ok("status", "--json").json["unconfirmed"][0]["call_id"] == call_id
    served.ok("budget", "adjust", "--call", call_id, "--to", "0")
    assert call_id not in served.ok("status").out


def test_a_pipe_is_given_lines_that_can_be_read(served: Shell) -> None:
    agent_id = served.agent(name(), cents=100)
    served.call(agent_id)
    line = served.ok("agent", "get", agent_id).out.splitlines()[-1]
    assert line.startswith("call_id=")
    assert " state=settled " in line
    assert " input_tokens=" in line
    assert "{" not in line
    status = served.ok("status").keys
    assert int(status["pricing.models"]) > 5
    assert len(served.ok("status", "--json").json["pricing"]["models"]) == int(status["pricing.models"])


def test_down_is_said_with_the_way_up(bare: Quick) -> None:
    told = bare.run("status")
    assert (told.code, told.out) == (3, f"state=down\nhome={bare.home}\n")
    assert told.err == "try: spendguard up\n"


def test_a_number_below_zero_reaches_the_settings_own_check(tmp_path: Path) -> None:
    refused = Quick(tmp_path / "home").run("config", "set", "limits.idle_seconds", "-1")
    assert refused.code == 2
    assert "a whole number from 1 to 86400" in refused.err


def test_every_provider_can_be_listed_keyed_and_tested(served: Shell) -> None:
    assert set(FREE_QUESTIONS) == set(PROVIDERS)
    refused = served.run("provider", "test", "azure")
    assert refused.code == 2
    assert "'azure' is no provider" in refused.err
    listed = served.ok("provider", "list").out
    assert all(f"name={name} " in listed for name in PROVIDERS)
    stored = served.ok("provider", "set-key", "grok", stdin="xai-other")
    assert (stored.err, stored.keys["key"]) == ("", "secrets.toml")


@pytest.mark.parametrize("file", ["config.toml", "secrets.toml", "trust.toml"])
@pytest.mark.parametrize("content", [b"\xff\xfe = 1\n", b"[[[\n", b"[nonsense]\nx = 1\n"])
def test_a_broken_file_is_named_first_with_what_to_do(shell: Shell, file: str, content: bytes) -> None:
    shell.home.mkdir(mode=0o700)
    (shell.home / file).write_bytes(content)
    (shell.home / file).chmod(0o600)
    refused = shell.run("up")
    assert refused.code in (2, 8)
    lines = refused.err.splitlines()
    assert len(lines) == 2, refused.err
    said, remedy = lines
    assert said.startswith((f"error: {file}", f"error: {shell.home / file}"))
    assert remedy.startswith("try: ")


def test_a_mock_agents_base_url_takes_mock_models(served: Shell) -> None:
    """The address that `agent create` and the overview lead to, as the openai SDK would use it."""
    agent_id = served.agent(name(), cents=100)
    for root in ("openai", "openai/v1"):
        url = f"http://127.0.0.1:{served.daemon()['port']}/v1/agents/{agent_id}/runs/default/{root}"
        body = {"model": "mock-small", "messages": [{"role": "user", "content": "hello"}]}
        answer = httpx.post(f"{url}/chat/completions", json=body, trust_env=False)
        assert answer.status_code == 200, answer.text


def test_a_real_probe_without_a_key_asks_nobody(served: Shell) -> None:
    agent = name()
    served.agent(agent, cents=100)
    ran = served.run("doctor", "--probe", "--provider", "openai", "--agent", agent)
    assert "The sidecar has no key for openai: nothing was sent" in ran.err
    assert "try: spendguard provider set-key openai" in ran.err


@pytest.mark.parametrize(
    ("typed", "shown"), [("/opt/x y/spendguard", "'/opt/x y/spendguard'"), (".venv/bin/spendguard",) * 2]
)
def test_the_demos_next_step_can_be_typed_as_it_stands(
    monkeypatch: pytest.MonkeyPatch, typed: str, shown: str
) -> None:
    monkeypatch.setattr("sys.argv", [typed])
    monkeypatch.setenv("PATH", "/nonexistent")
    assert program() == shown


def test_a_key_of_the_environment_wins_and_that_is_said(shell: Shell) -> None:
    shell.ok("up", OPENAI_API_KEY="sk-env-0123456789")
    stored = shell.ok("provider", "set-key", "openai", stdin="sk-canary-0123456789abcdef")
    assert stored.keys["key"] == "OPENAI_API_KEY"
    assert "warning: " in stored.err


REASONING, VIOLATION = "grok.chat.cap:reasoning", "grok.fee:violation"


def test_a_price_that_is_no_table_is_refused_and_costs_no_running_sidecar(shell: Shell) -> None:
    shell.ok("up")
    quick = shell.quick
    refused = quick.run("config", "set", "prices.overrides", "x")
    assert refused.code == 2
    assert '[prices.overrides.gemini."<model>"]' in refused.err
    assert not (shell.home / "config.toml").exists()
    for name, text, why, code in (
        (
            "config.toml",
            "[prices]\noverrides = 'x'\n",
            "config.toml: [prices] overrides: expected a table",
            2,
        ),
        ("config.toml", '[prices.overrides.gemini."m"]\nendpoints = []\n', "Price document is not valid", 8),
        ("secrets.toml", "keys = 1\n", "secrets.toml [keys] is not a table", 2),
    ):
        (shell.home / name).write_text(text)
        (shell.home / name).chmod(0o600)
        refused = quick.run("restart")
        assert (refused.code, refused.err.startswith(f"error: {why}")) == (code, True), refused.err
        (shell.home / name).unlink()
    assert shell.quick.ok("status").keys["state"] == "up"


def test_a_wrong_price_ends_the_daemon_in_a_sentence(shell: Shell) -> None:
    shell.home.mkdir(mode=0o700)
    (shell.home / "config.toml").write_text("[prices]\noverrides = 'x'\n")
    (shell.home / "config.toml").chmod(0o600)
    refused = shell.run("up")
    assert refused.code == 2
    assert "error: config.toml: [prices] overrides: expected a table for each model" in refused.err
    assert "Traceback" not in refused.err


def test_a_change_that_the_sidecar_does_not_know_yet_is_said_to_whoever_reads(shell: Shell) -> None:
    assert "restart" not in shell.quick.ok("config", "allow", REASONING).err
    shell.ok("up")
    for words in (
        ("set", "limits.idle_seconds", "60"),
        ("allow", VIOLATION),
        ("allow", "--remove", VIOLATION),
    ):
        for form in ((), ("--json",)):
            said = shell.quick.ok("config", *words, *form).err
            assert "the running sidecar does not know it yet" in said
            assert "try: spendguard restart" in said
    assert shell.quick.ok("config", "allow").err == ""


def test_features_come_in_lists_as_a_refusal_writes_them(served: Shell) -> None:
    agent_id = served.agent(name())
    both = f"{REASONING}, {VIOLATION}"
    assert served.ok("config", "allow", *both.split(" ")).keys["value"] == both.replace(" ", "")
    assert served.ok("config", "allow", "--remove", both).keys["value"] == ""
    assert served.ok("agent", "set", agent_id, "--allow", both).keys["policy.allow"] == both.replace(" ", "")
    assert "policy.allow" not in served.ok("agent", "set", agent_id, "--disallow", both).keys
    made = served.ok("agent", "create", "--name", name(), "--allow", both).keys["agent_id"]
    assert served.ok("agent", "get", made, "--json").json["policy"]["allow"] == both.split(", ")


@pytest.mark.parametrize(
    ("feature", "meant"),
    [
        ("grok.chat.cap:reasonin", REASONING),
        ("grok.chat.cup:reasoning", REASONING),
        ("anthropic.tol:bash_20250124", "anthropic.tool:bash_20250124"),
        ("openai.chat.feld:foo", "openai.chat.field:foo"),
        ("nobody.knows:this", ""),
    ],
)
def test_a_feature_that_nothing_asks_about_is_warned_of(served: Shell, feature: str, meant: str) -> None:
    agent_id = served.agent(name())
    told = f"warning: {feature} is not a feature that this version knows"
    told += f"; did you mean {meant}?" if meant else "\n"
    for words in (("agent", "set", agent_id, "--allow"), ("config", "allow")):
        assert told in served.ok(*words, feature).err
        taken = "--disallow" if words[0] == "agent" else "--remove"
        assert "warning" not in served.ok(*words[:3], taken, feature).err
        assert f"warning: {feature} was not allowed here" in served.ok(*words[:3], taken, feature).err
        assert "warning" not in served.ok(*words, "openai.chat.field:brand_new").err


def test_an_agent_goes_back_to_what_holds_for_all(served: Shell) -> None:
    agent_id = served.agent(name())
    changed = served.ok("agent", "set", agent_id, "--hosted-tools", "allow").keys
    assert changed["policy.hosted_tools"] == "allow"
    assert "policy.hosted_tools" not in served.ok("agent", "set", agent_id, "--hosted-tools", "inherit").keys


@pytest.mark.parametrize(
    ("said", "meant"), [("xai", "grok"), ("google", "gemini"), ("opnai", "openai"), ("Grok", "grok")]
)
def test_a_provider_by_another_name_is_suggested(served: Shell, said: str, meant: str) -> None:
    refused = served.run("provider", "set-key", said)
    assert refused.code == 2
    assert f"{said!r} is no provider; did you mean {meant}?" in refused.err


def test_a_provider_without_a_key_is_named_in_what_to_try(served: Shell) -> None:
    refused = served.run("provider", "test", "gemini")
    assert refused.code == 1
    assert "try: spendguard provider set-key gemini" in refused.err
