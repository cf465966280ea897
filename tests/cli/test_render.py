"""Results as text for machines: JSON with sorted keys, key=value lines, nothing that steers a terminal."""

import json

import pytest

from spendguard_cli import render, shapes
from spendguard_daemon import wire

HOSTILE = "a\x1b]0;owned\x07b\u202ec\u200b\nd=e \"f' [red]g[/red]"

BUDGET = wire.Budget(
    agent_id="a1",
    hard_limit_cents=5000,
    remaining_cents=5000,
    locked_cents=0,
    locked_run_id=None,
    locked_expires_at=None,
    hard_limit_usd="50.00",
    remaining_usd="50.00",
    available_usd="50.00",
    held_usd="0.00",
    settled_usd="0.00",
    funded_usd="50.00",
)


def agent(name: str = "my-agent", **fields: object) -> wire.Agent:
    given = {"agent_id": "a1", "name": name, "created_at": "2026-01-01T00:00:00Z", "concurrency": "exclusive"}
    return wire.Agent(**(given | {"overflow": "clamp", "mock": False, "frozen": False} | fields))  # type: ignore[arg-type]


def test_a_budget_is_key_value_lines() -> None:
    lines = render.to_lines(BUDGET).splitlines()
    assert lines[:4] == ["agent_id=a1", "hard_limit_cents=5000", "remaining_cents=5000", "locked_cents=0"]
    assert "locked_run_id=" in lines


def test_json_has_sorted_keys_and_the_same_fields() -> None:
    text = render.to_json(BUDGET)
    found = json.loads(text)
    assert list(found) == sorted(found)
    assert found["remaining_cents"] == 5000
    assert found["locked_run_id"] is None


def test_a_list_is_one_line_a_record_with_words_quoted() -> None:
    text = render.to_lines([agent("my agent"), agent("plain", frozen=True)])
    first, second = text.splitlines()
    assert first.startswith('agent_id=a1 name="my agent" created_at=2026-01-01T00:00:00Z ')
    assert " name=plain " in second
    assert " frozen=true " in second
    assert " frozen_reason= " in second


def test_an_empty_list_is_no_line() -> None:
    assert render.to_lines([]) == ""
    assert render.to_json([]) == "[]"


def test_nested_records_have_dotted_keys_and_lists_of_records_lines_of_their_own() -> None:
    value = {"list": [{"id": 1, "tags": ["x", "y"]}], "inner": {"deep": {"n": 2}}, "flag": False}
    assert render.to_lines(value).splitlines() == ["inner.deep.n=2", "flag=false", "id=1 tags=x,y"]


def test_deep_values_of_a_record_are_compact_json() -> None:
    assert render.record({"lines": [{"b": 1, "a": 2}]}) == 'lines="[{\\"a\\":2,\\"b\\":1}]"'


@pytest.mark.parametrize("write", [render.to_lines, render.to_json, render.to_json_line])
def test_hostile_text_cannot_steer_a_terminal(write: object) -> None:
    text = write([agent(HOSTILE)])  # type: ignore[operator]
    assert not {"\x1b", "\x07", "\u202e", "\u200b"} & set(text)


def test_a_hostile_name_cannot_forge_a_line() -> None:
    """One record stays one line, whatever its name holds."""
    assert len(render.to_lines([agent("x\nagent_id=forged")]).splitlines()) == 1
    assert "agent_id=forged" not in render.to_lines(agent("x\nagent_id=forged")).splitlines()


def test_what_is_not_there_is_not_said() -> None:
    """A sidecar that is down has no address to show."""
    down = shapes.Sidecar(state="down", home="/h", changed=False)
    assert render.to_lines(down) == "state=down\nhome=/h\nchanged=false"


def test_fields_come_before_those_of_the_record() -> None:
    assert list(render.merged({"state": "up"}, wire.NewRun())) == ["state", "run_id"]
