"""The first steps of somebody new, but for those of the README, which `tests/test_docs.py` types."""

from shell import Shell


def test_a_command_that_needs_the_sidecar_starts_it(shell: Shell) -> None:
    made = shell.ok("agent", "create", "--name", "my-agent", "--json")
    assert made.json["name"] == "my-agent"
    assert made.err == ""
    assert shell.quick.ok("status").keys["state"] == "up"


def test_bare_spendguard_shows_the_next_step_and_starts_nothing(shell: Shell) -> None:
    first = shell.quick.ok()
    assert first.keys["next"] == "spendguard demo"
    assert not shell.home.exists()
    shell.ok("up")
    assert shell.quick.ok().keys["next"] == "spendguard agent create --name my-agent"
    agent_id = shell.agent("my-agent")
    assert "--agent my-agent " in shell.quick.ok("--json").json["next"]
    shell.ok("budget", "set", "--agent", "my-agent", "--limit", "100")
    assert f"/v1/agents/{agent_id}/runs/default/openai/v1" in shell.quick.ok().out
    shell.quick.ok("down")
    assert shell.quick.ok().keys["next"] == "spendguard up"
