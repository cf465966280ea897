"""The ways out of every refusal: exact amounts by what is so now, and nothing that cannot be typed."""

import re

import pytest

from spendguard_cli.remedies import first_commands, ways_out
from spendguard_cli.ways.requests import setting_commands
from spendguard_daemon import wire
from spendguard_daemon.errors import Code, Fact

SUM: dict[str, Fact] = {"worst_case_usd": "0.250001", "needed_usd": "0.10", "budget": "agent"}


def agent(remaining: str, limit_cents: int = 100, **more: object) -> wire.Agent:
    shown: dict[str, object] = {
        "agent_id": "A",
        "name": "a",
        "created_at": "2026",
        "concurrency": "exclusive",
        "overflow": "clamp",
        "mock": False,
        "frozen": False,
        "hard_limit_cents": limit_cents,
        "remaining_usd": remaining,
        "held_usd": "0.00",
    }
    return wire.Agent(**(shown | more))  # type: ignore[arg-type]


def cap(remaining: str | None, limit_cents: int | None) -> wire.DaemonBudget:
    return wire.DaemonBudget(
        hard_limit_cents=limit_cents,
        remaining_cents=None,
        remaining_usd=remaining,
        held_usd="0.05",
        settled_usd="0",
    )


@pytest.mark.parametrize("code", list(Code))
def test_every_code_has_a_way_out(code: Code) -> None:
    """What nobody knows here is never part of a command."""
    ways = ways_out(code, {})
    assert ways
    for way in ways:
        assert way.about
        assert not any(re.search(r"<\w", command) for command in way.commands)
        assert all(command.startswith("spendguard ") for command in way.commands)


def test_a_code_of_another_version_has_none() -> None:
    assert ways_out("from_the_future", {}) == []


@pytest.mark.parametrize(
    ("code", "facts", "whose", "daemon", "command"),
    [
        ("insufficient_budget", SUM, agent("0.20"), None, "budget topup --agent A --amount 6"),
        ("insufficient_budget", SUM, agent("-0.10"), None, "budget topup --agent A --amount 36"),
        ("insufficient_budget", SUM, agent("0.20", 25), None, "budget set --agent A --limit 26 --topup 6"),
        ("insufficient_budget", SUM, agent("0.30"), None, None),
        ("insufficient_budget", SUM | {"remaining_usd": "0.25", "limit_usd": "0.25"}, None, None,
         "budget set --agent A --limit 26 --topup 1"),
        ("budget_not_set", SUM, agent("", hard_limit_cents=None), None, "budget set --agent A --limit 26"),
        ("budget_not_set", {}, None, None, "budget set --agent A --limit 5000"),
        ("budget_not_set", SUM, agent("1"), None, None),
        ("agent_frozen", {}, agent("1", frozen=True), None, "agent unfreeze A"),
        ("agent_frozen", {}, agent("1"), None, None),
        ("agent_frozen", {}, agent("1", frozen=True, restored=True), None, None),
        ("restore_unconfirmed", {}, agent("1", frozen=True, restored=True), None, None),
        ("restore_unconfirmed", {}, agent("1", frozen=True), None, "agent unfreeze A"),
        ("restore_unconfirmed", {}, agent("1"), None, None),
        ("daemon_cap", SUM, None, cap("0.20", 100), "budget daemon topup --amount 6"),
        ("daemon_cap", SUM, None, cap("0.20", 20), "budget daemon set --limit 26 --topup 6"),
        ("daemon_cap", SUM, None, cap(None, None), None),
        ("key_limit", SUM, agent("1"), None, "agent key A --limit 26"),
        ("budget_held", SUM, agent("0.30", held_usd="0.10"), None, "budget topup --agent A --amount 6"),
        ("budget_held", SUM, agent("0.30", 30, held_usd="0.10"), None,
         "budget set --agent A --limit 36 --topup 6"),
        ("budget_held", SUM, agent("0.40", held_usd="0.10"), None, None),
        ("budget_held", SUM | {"budget": "daemon"}, agent("9"), cap("0.27", 100),
         "budget daemon topup --amount 4"),
        ("budget_locked", {}, agent("1", locked_run_id="r1"), None, "agent set A --concurrency shared"),
        ("budget_locked", {}, agent("1"), None, None),
        ("provider_key_missing", {"provider": "openai"}, None, None, "provider set-key openai"),
        ("provider_key_missing", {"provider": "x; reboot"}, None, None, None),
    ],
)  # fmt: skip
def test_the_first_command(
    code: str,
    facts: dict[str, Fact],
    whose: wire.Agent | None,
    daemon: wire.DaemonBudget | None,
    command: str | None,
) -> None:
    """The amount is what is lacking now, in whole cents; nothing is to be typed where it is mended."""
    commands = first_commands(ways_out(code, facts, whose, ref="A", daemon=daemon))
    assert commands[:1] == (() if command is None else (f"spendguard {command}",))


def test_what_a_restored_agent_spent_is_never_a_command() -> None:
    """Nothing that could be copied says that it spent nothing: only the provider's bill knows."""
    [way] = ways_out("agent_frozen", {}, agent("1", frozen=True, restored=True), ref="A")
    assert "provider's bill" in way.about and "spendguard agent unfreeze A --spent <amount>" in way.about
    assert "--spent 0" not in way.about


def test_a_run_is_named_as_one_word() -> None:
    ways = ways_out("budget_locked", {}, agent("1", locked_run_id="$(reboot) x"), ref="A")
    assert any(command.endswith("--run '$(reboot) x'") for way in ways for command in way.commands)


def test_what_is_wrong_with_a_request_is_a_sentence() -> None:
    facts: dict[str, Fact] = {"path": "model", "expected": "a model of responses; mock-small is not"}
    [way] = ways_out("malformed_request", facts)
    assert way.about == "correct model in the request: expected is a model of responses; mock-small is not"


def test_what_the_caller_can_do_comes_first() -> None:
    facts = SUM | {"affordable_max_tokens": 900, "cheaper_model": "small", "cheaper_model_usd": "0.05"}
    first, second, last = ways_out("insufficient_budget", facts, agent("0.20"), ref="A")
    assert "a max_tokens of 900 at most" in first.about
    assert second.about == "send it to small, where it costs $0.05 at most"
    assert last.commands
    spent = ways_out("insufficient_budget", facts | {"remaining_usd": "0.20"}, agent("0.01"), ref="A")
    assert "max_tokens" not in spent[0].about


@pytest.mark.parametrize(
    ("setting", "ref", "commands"),
    [
        ("[policy] allow: a.b:c, d", "A", ("agent set A --allow 'a.b:c, d'",)),
        ("[policy] allow: a", "<agent>", ("config allow a", "restart")),
        ('[policy] hosted_tools = "allow"', "A", ("agent set A --hosted-tools allow",)),
        ('[policy] server_state = "window"', "<agent>", ("config set policy.server_state window", "restart")),
        ('[limits] idle_seconds = "9"', "A", ()),
        ('[access] listen = "0.0.0.0"', "<agent>", ()),
        ('[daemon] unsafe_fs = "allow"', "A", ()),
        ('[policy] on_insufficient = "wait"', "A", ()),
        ("[prices.overrides]", "A", ()),
        ("", "A", ()),
    ],
)
def test_a_setting_as_commands(setting: str, ref: str, commands: tuple[str, ...]) -> None:
    """For the agent alone where that can be."""
    assert setting_commands(setting, ref) == tuple(f"spendguard {command}" for command in commands)
