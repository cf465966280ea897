"""Issue 2, "done" 2: from an empty home to a budget that falls, with the commands as they are printed."""

import httpx

from shell import Shell


def test_from_an_empty_home_to_a_budget_that_falls(shell: Shell) -> None:
    up = shell.ok("up")
    assert up.keys["state"] == "up"
    health = httpx.get(up.keys["base_url"] + "/health", trust_env=False)
    assert (health.status_code, health.text) == (200, '{"status":"ok"}')

    agent_id = shell.ok("agent", "create", "--name", "my-agent", "--mock").keys["agent_id"]
    shell.ok("budget", "set", "--agent", agent_id, "--limit", "5000", "--topup", "5000")
    assert "remaining_cents=5000" in shell.ok("budget", "get", "--agent", agent_id).out.splitlines()

    assert shell.call(agent_id, max_tokens=100).status_code == 200
    after = shell.ok("budget", "get", "--agent", agent_id).keys
    assert int(after["remaining_cents"]) < 5000
    assert after["locked_cents"] == "0"


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
