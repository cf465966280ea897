"""`explain` without a sidecar: every way in which a call ends, told from the journal, archived parts too."""

import fcntl
import json
from pathlib import Path
from typing import Any

import pytest

from shell import Quick
from spendguard_cli import render
from told_ledger import AGENT_ID, HOLD_NUSD, HOSTILE, REFUSALS, Told, damaged, told_ledger

FORBIDDEN = {"\x1b", "\x07", "\u202e"}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """A home whose calls lie in archived segments, but for one that is open."""
    made = told_ledger(tmp_path_factory.mktemp("told") / "home")
    archive = b"".join(path.read_bytes() for path in (made.home / "ledger" / "archive").iterdir())
    assert all(call.encode() in archive for name, call in made.ids.items() if name in ("settled", "adjusted"))
    return made


@pytest.fixture
def quick(told: Told) -> Quick:
    return Quick(told.home)


def story(quick: Quick, call: str, *more: str) -> dict[str, Any]:
    """Explain a call; return the steps by name beside the story's own fields."""
    found: dict[str, Any] = quick.ok("explain", call, *more, "--json").json
    return found | {step["step"]: step for step in found["steps"]}


def test_a_settled_call_is_told_whole(quick: Quick, told: Told) -> None:
    """Who, the bound, the rates, both sums, and what was given back."""
    found = story(quick, told.ids["settled"])
    assert [step["step"] for step in found["steps"]] == [
        *("asked", "bound", "price", "held", "changed", "sent", "answered", "settled"),
    ]
    assert (found["state"], found["cost_usd"], found["hold_usd"]) == ("settled", "0.000003", "0.000021")
    assert (found["sources"], found["wrong"], found["damage"]) == (["journal"], False, [])
    assert "at most 100 tokens (rung bytes: one token for each byte" in found["bound"]["said"]
    assert "x-spendguard-max-tokens: asked=none; sent=10" in " ".join(found["bound"]["more"])
    assert "signed by key-1" in found["price"]["said"]
    assert found["price"]["more"][0] == "input: 0.15 USD per 1M tokens"
    held = found["held"]["sum"]
    assert [(term["name"], term["quantity"], term["usd"]) for term in held["terms"]] == [
        ("input", 100, "0.000015"),
        ("output", 10, "0.000006"),
    ]
    assert (held["usd"], held["ledger_usd"], held["result"]) == ("0.000021", "0.000021", "equal")
    assert found["held"]["more"][0].startswith("Before: $5.00 granted, $0.00 settled, $0.00 held by other")
    assert "tools[0]: taken out (a tool or its limit" in " ".join(found["changed"]["more"])
    assert found["answered"]["more"][0] == "Usage in tokens: input 12, output 2."
    assert "$0.000018 of the hold was given back" in found["settled"]["said"]
    assert found["settled"]["sum"]["result"] == "equal"


def test_every_end_is_told(quick: Quick, told: Told) -> None:
    """At worst with how to correct it, void, overrun, adjusted, open."""
    worst = story(quick, told.ids["settled_worst"])
    assert worst["settled_worst"]["commands"] == [
        f"spendguard budget adjust --call {told.ids['settled_worst']} --to <USD> --reason 'the bill'"
    ]
    assert "timeout" in worst["settled_worst"]["said"]
    voided = story(quick, told.ids["voided"])
    assert "Charged nothing: provider refused with 429" in voided["voided"]["said"]
    overrun = story(quick, told.ids["overrun"])
    assert "$0.000039 above the hold" in overrun["overrun"]["said"]
    assert overrun["overrun"]["sum"]["result"] == "equal"
    adjusted = story(quick, told.ids["adjusted"])
    assert adjusted["adjusted"]["said"] == ("Adjusted by anna from $0.000021 to $0.0000005: the bill of May.")
    assert (adjusted["cost_usd"], adjusted["settled_worst"]["commands"]) == ("0.0000005", [])
    held = story(quick, told.ids["held"])
    assert (held["state"], held["cost_usd"]) == ("held", None)
    assert "at the next start it is charged at its hold" in held["in_flight"]["said"]


def test_a_sum_that_is_not_the_ledgers_is_said(quick: Quick, told: Told) -> None:
    """Four tokens at these rates are not what was booked."""
    found = story(quick, told.ids["wrong"])
    assert (found["wrong"], found["settled"]["wrong"]) == (True, True)
    assert "Computed again it is $0.0000024, but the ledger has $0.000000999." in found["settled"]["more"]
    assert found["settled"]["commands"] == [f"spendguard pricing recompute {told.ids['wrong']}"]


@pytest.mark.parametrize("code", REFUSALS)
def test_every_refusal_is_told(quick: Quick, told: Told, code: str) -> None:
    """Its code, its sum where it has one, whom it stands for, and that it cost nothing."""
    found = story(quick, told.ids[code])
    assert (found["state"], found["code"], found["cost_usd"], found["wrong"]) == (
        "refused",
        code,
        "0.00",
        False,
    )
    assert "stands for 1 more with the same code" in found["refused"]["said"]
    assert found["charged"]["said"] == "Nothing left this machine, and nothing was charged."
    assert ("worst_case" in found) is ("worst_case_usd" in REFUSALS[found["code"]])
    if "worst_case" in found:
        assert "It could have cost $0.000021 at worst." in found["worst_case"]["said"]
        assert found["fits"]["more"][0] == "This request with max_tokens of at most 4."


def test_the_beginning_of_an_id_is_enough_where_it_is_the_only_one(quick: Quick, told: Told) -> None:
    call = told.ids["settled_worst"]
    assert story(quick, call[:8])["call_id"] == call
    many = quick.run("explain", "00ab00")
    assert many.code == 2
    assert call in many.err
    assert "use one of these ids" in many.err
    assert story(quick, "last", "--agent", AGENT_ID)["call_id"] == told.ids["held"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["ffffffff-0000-4000-8000-000000000000"], 4, "lists an agent's latest calls"),
        (["abc"], 2, "6 characters or more"),
        (["\x1b[31mevil"], 2, "is no call's id"),
        (["last"], 2, "Whose last call?"),
        (["last", "--agent", "nobody"], 4, "No call of agent 'nobody' is known"),
    ],
)
def test_what_is_no_call_is_refused_in_words(quick: Quick, words: list[str], code: int, said: str) -> None:
    ran = quick.run("explain", *words)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err
    assert not FORBIDDEN & set(ran.err)


def test_no_name_steers_a_terminal(quick: Quick, told: Told) -> None:
    """The agent's name and the reason of an end were written with escape sequences in them."""
    from io import StringIO

    import msgspec
    from rich.console import Console

    from spendguard_cli.explain.story import Story
    from spendguard_cli.views import view

    ran = quick.ok("explain", told.ids["settled_worst"])
    assert "agent_name=evil" in ran.out
    assert not FORBIDDEN & set(ran.out)
    raw = quick.ok("explain", told.ids["settled_worst"], "--json")
    assert raw.out.isascii()
    assert raw.json["agent_name"] == HOSTILE
    for width in (60, 200):
        text = StringIO()
        console = Console(file=text, width=width, markup=False, highlight=False, emoji=False)
        found = msgspec.convert(raw.json, Story)
        console.print(view(found), crop=False)
        assert not FORBIDDEN & set(text.getvalue())
        assert f"$ spendguard budget adjust --call {found.call_id} --to <USD> --reason 'the bill'" in (
            text.getvalue()
        )
    assert render.to_lines(found).count("step=") == len(found.steps)


def test_damage_is_said_and_does_not_hide_the_call(told: Told, tmp_path: Path) -> None:
    """A line beside the call's own was changed: the call is told all the same."""
    path = damaged(told, tmp_path / "home", "settled")
    found = story(Quick(tmp_path / "home"), told.ids["settled"])
    assert found["settled"]["sum"]["result"] == "equal"
    assert str(path) in found["damage"][0]
    assert "hash" in found["damage"][0]


def test_a_call_that_only_a_damaged_line_knows_is_exit_78(told: Told, tmp_path: Path) -> None:
    home = tmp_path / "home"
    damaged(told, home, "settled")
    held = told.ids["held"].encode()
    for path in (home / "ledger").rglob("seg-*"):
        raw = path.read_bytes()
        path.write_bytes(raw.replace(b'"call_id":"' + held, b'"run":"x","call_id":"' + held))
    ran = Quick(home).run("explain", told.ids["held"])
    assert ran.code == 78, ran
    assert "spendguard ledger verify" in ran.err


def test_a_home_without_a_ledger_knows_no_call(bare: Quick, tmp_path: Path) -> None:
    ran = Quick(tmp_path / "none").run("explain", "ffffffff-0000-4000-8000-000000000000")
    assert ran.code == 4, ran
    assert not (tmp_path / "none").exists()


def test_a_hung_sidecar_does_not_hide_its_journal(quick: Quick, told: Told) -> None:
    """Somebody has the ledger open and does not answer: an open call is in flight, as far as can be seen."""
    lock = told.home / "ledger" / "lock"
    lock.touch(0o600)
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        found = story(quick, told.ids["held"])
    assert found["notes"] == ["a sidecar has the ledger open, but it does not answer"]
    assert found["in_flight"]["said"] == "Still in flight: the hold stays until it ends."
    assert found["in_flight"]["commands"] == [f"spendguard run abort --call {told.ids['held']}"]


def test_the_numbers_are_json(quick: Quick, told: Told) -> None:
    """The shape is stable: each step has the same keys, whatever it tells."""
    keys = {"step", "at", "said", "more", "sum", "commands", "wrong"}
    for call in told.ids.values():
        found = json.loads(quick.ok("explain", call, "--json").out)
        assert all(set(step) == keys for step in found["steps"])
        assert found["hold_usd"] in ("0.00", "0.000021")
    assert HOLD_NUSD == 21_000
