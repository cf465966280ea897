"""What is decided for a program before it starts: its variables, its arguments, and what it may reach."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from spendguard_cli.exec import landlock, seccomp
from spendguard_cli.exec.environment import Identity, cleaned, routed
from spendguard_cli.exec.isolation import Kept, missing, plan
from spendguard_cli.exec.landlock import EVERYTHING, OF_FILES, READING, Grant, Right
from spendguard_cli.exec.means import why_unpaid
from spendguard_cli.exec.programs import command_line, gemini_settings, needs_of, opencode_config
from spendguard_daemon import wire

IDENTITY = Identity(base_url="http://127.0.0.1:9", agent_id="a", run_id="r", key="sg_agent_0.x")
ROUTED = routed({}, IDENTITY)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPENAI_API_KEY", "x"),
        ("GOOGLE_API_KEY", "x"),
        ("openai_api_key", "x"),
        ("ANTHROPIC_AUTH_TOKEN", "x"),
        ("CLAUDE_CODE_OAUTH_TOKEN", "x"),
        ("OPENROUTER_API_KEY", "x"),
        ("AZURE_OPENAI_API_KEY", "x"),
        ("AZURE_API_KEY", "x"),
        ("CAP_API_KEY", "x"),
        ("SPENDGUARD_AGENT_KEY", "x"),
        ("GOOGLE_GENAI_USE_VERTEXAI", "true"),
        ("CLAUDE_CODE_USE_BEDROCK", "1"),
        ("CAP_MODE", "hosted"),
        ("ANYTHING", "sk-proj-0123456789"),
        ("ANYTHING", "AIza0123456789abcd"),
        ("ANYTHING", "xai-0123456789abcd"),
        ("ANYTHING", "sg_admin_0123456789"),
        ("ANYTHING", "-H 'authorization: Bearer known-key-0123456789'"),
        ("ANTHROPIC_CUSTOM_HEADERS", "X-Cynsta-Agent-Id: other"),
    ],
)
def test_what_pays_or_leads_elsewhere_is_taken_out(name: str, value: str) -> None:
    made = cleaned({name: value, "PATH": "/bin"}, ["known-key-0123456789"])
    assert (made.variables, made.taken_out) == ({"PATH": "/bin"}, (name,))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPENAI_API_KEY", ""),
        ("LANGUAGE", "sk-SK"),
        ("OPENAI_LOG", "debug"),
        ("SPENDGUARD_HOME", "/home/me/.spendguard"),
        ("ANTHROPIC_MODEL", "claude-haiku-4-5"),
        ("ANTHROPIC_CUSTOM_HEADERS", "x-mine: 1"),
        ("AZURE_CONFIG_DIR", "/x"),
        ("GITHUB_TOKEN", "ghp_0123456789abcdef"),
    ],
)
def test_the_rest_stays(name: str, value: str) -> None:
    assert cleaned({name: value}, ["e", "known-key-0123456789"]).taken_out == ()


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("", "127.0.0.1,localhost"),
        ("a.example, localhost", "a.example,localhost,127.0.0.1"),
        ("*", "*"),
    ],
)
def test_no_proxy_gets_this_machine(given: str, wanted: str) -> None:
    made = routed({"NO_PROXY": given}, IDENTITY)
    assert (made["NO_PROXY"], made["no_proxy"]) == (wanted, "127.0.0.1,localhost")


def test_codex_is_told_behind_its_name() -> None:
    words = command_line(["/opt/codex", "exec", "hello"], needs_of("/opt/codex", ROUTED))
    assert (words[0], words[-2:]) == ("/opt/codex", ["exec", "hello"])
    assert 'model_providers.spendguard.base_url="http://127.0.0.1:9/v1"' in words
    assert "model_providers.spendguard.stream_max_retries=0" in words
    assert command_line(["python", "codex"], needs_of("python", ROUTED)) == ["python", "codex"]


def test_claude_gets_a_bearer_token_in_place_of_a_key() -> None:
    needs = needs_of("claude", {**ROUTED, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "0"})
    assert needs.variables["ANTHROPIC_AUTH_TOKEN"] == IDENTITY.key
    assert needs.variables["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"] == "0"
    assert needs.without == ("ANTHROPIC_API_KEY",)


def test_settings_of_the_user_are_kept() -> None:
    given = {"model": "openai/gpt-4o", "provider": {"openai": {"options": {"timeout": 9}}, "mine": {}}}
    made = json.loads(opencode_config({**ROUTED, "OPENCODE_CONFIG_CONTENT": json.dumps(given)}))
    assert (made["model"], made["provider"]["mine"]) == ("openai/gpt-4o", {})
    assert made["provider"]["openai"]["options"]["timeout"] == 9
    assert made["provider"]["openai"]["options"]["baseURL"] == "http://127.0.0.1:9/v1"
    made = json.loads(
        gemini_settings('{"ui": 1, "security": {"auth": {"selectedType": "oauth-personal"}}}') or ""
    )
    assert made == {"ui": 1, "security": {"auth": {"selectedType": "gemini-api-key"}}}
    assert gemini_settings(json.dumps(made)) is None
    assert gemini_settings("no JSON") == '{"security": {"auth": {"selectedType": "gemini-api-key"}}}'


TREE = {
    "/": ["etc", "home", "tmp"],
    "/home": ["me", "you"],
    "/home/me": [".spendguard", "venv", "work", ".bashrc"],
}


def listed(path: Path) -> list[Path]:
    return [path / name for name in TREE.get(str(path), [])]


def test_everything_is_granted_but_what_is_kept() -> None:
    kept = Kept((Path("/home/me/.spendguard"),), (Path("/home/me/venv"),))
    assert list(plan(Path("/"), kept, listed)) == [
        Grant(Path("/"), Right.READ_DIR),
        Grant(Path("/etc"), EVERYTHING),
        Grant(Path("/home"), Right.READ_DIR),
        Grant(Path("/home/me"), Right.READ_DIR),
        Grant(Path("/home/me/venv"), READING),
        Grant(Path("/home/me/work"), EVERYTHING),
        Grant(Path("/home/me/.bashrc"), EVERYTHING),
        Grant(Path("/home/you"), EVERYTHING),
        Grant(Path("/tmp"), EVERYTHING),
    ]
    assert kept.narrowed(Path("/home"))
    assert not kept.narrowed(Path("/home/me/work"))


def test_a_home_in_what_may_only_be_read_stays_hidden() -> None:
    kept = Kept((Path("/home/me/.spendguard"),), (Path("/home/me"),))
    granted = list(plan(Path("/home"), kept, listed))
    assert Grant(Path("/home/me/work"), READING) in granted
    assert Grant(Path("/home/me/.bashrc"), READING) in granted
    assert not any(grant.path == Path("/home/me/.spendguard") for grant in granted)


@pytest.mark.parametrize("version", range(1, 8))
def test_every_version_of_the_kernel_is_asked_for_what_it_knows(version: int, tmp_path: Path) -> None:
    """This kernel takes the rulesets of the older ones, as they would."""
    assert landlock.abi() >= version
    grants = [
        Grant(tmp_path, EVERYTHING),
        Grant(Path("/etc/hostname"), OF_FILES),
        Grant(tmp_path / "gone", READING),
    ]
    descriptor = landlock.ruleset(version, grants, 8787 if version == 4 else None)
    os.close(descriptor)


def test_what_an_older_kernel_leaves_open_is_told() -> None:
    assert [len(list(missing(version, filtered=True))) for version in range(1, 8)] == [
        3,
        3,
        2,
        1,
        1,
        0,
        0,
    ]
    port, others = missing(7, filtered=False)
    assert "multipath" in port
    assert "terminal" in others


def test_a_filter_is_made_for_the_machines_that_are_known() -> None:
    for machine in ("x86_64", "aarch64"):
        program = seccomp.steps(machine)
        assert 0 < len(program) < 4096
        for place, (code, so, not_so, _) in enumerate(program):
            assert code == 6 or place + 1 + max(so, not_so) < len(program), "no step leads out of the filter"
    assert seccomp.steps("riscv64") == []


def agent(**fields: Any) -> wire.Agent:
    given = {"hard_limit_cents": 5, "remaining_cents": 5, "remaining_usd": "0.05", "frozen": False} | fields
    own = {"agent_id": "A", "name": "n", "created_at": "2026", "concurrency": "shared", "overflow": "clamp"}
    return wire.Agent(**own, mock=False, **given)


def cap(remaining_usd: str | None) -> wire.DaemonBudget:
    limit = None if remaining_usd is None else 5
    return wire.DaemonBudget(
        hard_limit_cents=limit,
        remaining_cents=limit,
        remaining_usd=remaining_usd,
        held_usd="0",
        settled_usd="0",
    )


@pytest.mark.parametrize(
    ("given", "limit_cents", "left_usd", "expected"),
    [
        ({}, None, None, None),
        ({}, 1, "0.000001", None),
        ({"remaining_usd": "0.000001", "remaining_cents": 0}, None, None, None),
        ({"remaining_cents": None, "remaining_usd": None}, 1, None, "budget set --agent A --limit 500"),
        ({"hard_limit_cents": 0, "remaining_usd": "0.00"}, 1, None, "budget set --agent A --limit 500"),
        ({"remaining_usd": "0.00"}, None, None, "budget topup --agent A --amount 500"),
        ({"remaining_usd": "-0.01"}, None, None, "budget topup --agent A --amount 500"),
        ({}, 0, None, "--limit 500"),
        ({}, None, "0.00", "budget daemon topup --amount 500"),
        ({"frozen": True, "frozen_reason": "an overrun"}, None, None, "agent unfreeze A"),
        (
            {"frozen": True, "restored": True},
            None,
            None,
            "agent unfreeze A --spent <amount since the backup>",
        ),
    ],
)
def test_who_cannot_pay_is_named_with_the_command_that_helps(
    given: dict[str, Any], limit_cents: int | None, left_usd: str | None, expected: str | None
) -> None:
    told = why_unpaid(agent(**given), limit_cents, cap(left_usd))
    if expected is None:
        assert told is None
    else:
        assert told is not None
        assert told.endswith(expected)
