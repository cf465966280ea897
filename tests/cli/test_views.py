"""What a person sees: every result has a view, and no text from outside brings a control to the terminal."""

import io
from typing import Any

import pytest
from msgspec import structs
from rich.console import Console

from spendguard_cli import shapes
from spendguard_cli.doctor.findings import Finding, Level
from spendguard_cli.explain.story import Step, Story
from spendguard_cli.explain.sums import Sum, Term
from spendguard_cli.ledger import results
from spendguard_cli.pricing import results as prices
from spendguard_cli.views import MANY, ONE, accounts, ink, sidecar, view
from spendguard_cli.watch import seen
from spendguard_daemon import wire

HOSTILE = "a\x1b]0;owned\x07b\u202ec\u200b[link=file:///etc/passwd]x[/link][/red]\x9b2J"
FORBIDDEN = {"\x1b", "\x07", "\u202e", "\u200b", "\x9b"}


def made(kind: Any) -> Any:
    """Return a value of a result type with hostile text in every field that holds text."""
    return made_fields(kind, {})


def made_fields(kind: Any, fields: dict[str, object]) -> Any:
    import msgspec

    values = dict(fields)
    for field in msgspec.structs.fields(kind):
        values.setdefault(field.name, example(field.name, str(field.type)))
    if kind is wire.Agent:
        values["policy"] = made_fields(wire.AgentPolicy, {"allow": [HOSTILE]})
        values["waiting"] = [made(wire.Waiting)]
    if kind is shapes.Overview:
        values["agents"] = [made(wire.Agent)]
    if kind is shapes.AgentDetail:
        values |= {"agent": made(wire.Agent), "calls": [made(wire.Call)]}
    if kind is shapes.KeyShown:
        values["made"] = made(wire.KeyMade)
    if kind is shapes.BudgetDetail:
        values["budget"] = made(wire.Budget)
    if kind is shapes.StatusDetail:
        values |= {"status": made(wire.Status), "agents": [made(wire.Agent)]}
    if kind is wire.Status:
        values |= {"pricing": made(wire.Pricing), "providers": [made(wire.Provider)]}
        values |= {"daemon_budget": made(wire.DaemonBudget), "unconfirmed": [made(wire.Unconfirmed)]}
        values |= {"unconfirmed_agents": [made(wire.UnconfirmedAgent)], "waiting": [made(wire.Waiting)]}
    if kind is wire.Pricing:
        values["last_error"] = made(wire.PricingError)
    if kind is results.Verified:
        values["flaws"] = [made(results.Flaw)]
    if kind is results.PutBack:
        values["agents"] = [made(results.Frozen)]
    if kind is prices.Card:
        values |= {"rates": [made(prices.Rate)], "modifiers_bp": {HOSTILE: 11_000}}
    if kind is prices.Compared:
        values["changes"] = [made(prices.Change)]
    if kind is prices.Recomputed:
        values["rows"] = [made(prices.CallChecked)]
    if kind is prices.Trusted:
        values["keys"] = [made(prices.TrustedKey)]
    if kind is shapes.Config:
        values["settings"] = [made(shapes.Setting)]
    if kind is shapes.Diagnosis or kind is shapes.Probed:
        values["findings"] = [made_fields(Finding, {"level": level, "remedy": [HOSTILE]}) for level in Level]
    if kind is shapes.DiagnosisDetail:
        values["diagnosis"] = made(shapes.Diagnosis)
    if kind is Story:
        values["steps"] = [made(Step)]
    if kind is Step:
        values["sum"] = made_fields(Sum, {"terms": [made(Term)]})
    if kind is seen.Glance:
        values |= {
            "sums": made(seen.Sums),
            "agents": [made_fields(seen.Seen, {"danger": "bad"})],
            "waiting": [made(wire.Waiting)],
        }
        values |= {"refused": [made(seen.Refusal)], "unconfirmed": [made(wire.Unconfirmed)]}
    return kind(**(values | fields))


def example(name: str, kind: str) -> object:
    if name == "spent_usd":
        return ["1.25"]
    if name.endswith("_usd") or name.startswith("usd_"):
        return "-0.5" if name == "remaining_usd" else "1.25"
    if "bool" in kind:
        return True
    if "int" in kind and "dict" not in kind:
        return 3
    if "list" in kind:
        return [HOSTILE] if "str" in kind else []
    return {} if "dict" in kind else HOSTILE


def drawn(value: object) -> str:
    stream = io.StringIO()
    console = ink.console(stream)
    console.width = 300
    console.print(value if not isinstance(value, list) else view(value))
    return stream.getvalue()


@pytest.mark.parametrize("kind", list(ONE), ids=lambda kind: kind.__name__)
def test_hostile_text_reaches_no_terminal(kind: Any) -> None:
    text = drawn(view(made(kind)))
    assert text.strip()
    assert not FORBIDDEN & set(text)


@pytest.mark.parametrize("kind", list(MANY), ids=lambda kind: kind.__name__)
def test_hostile_text_reaches_no_table(kind: Any) -> None:
    text = drawn([made(kind)])
    assert not FORBIDDEN & set(text)
    assert "[/red]" in text


def test_hostile_log_lines_reach_no_terminal() -> None:
    record: dict[str, object] = {
        "ts": HOSTILE,
        "level": HOSTILE,
        "message": HOSTILE,
        HOSTILE: HOSTILE,
        "n": {"x": 1},
    }
    assert not FORBIDDEN & set(drawn(sidecar.log_line(record)))


def test_markup_in_a_name_is_text() -> None:
    agent = made_fields(wire.Agent, {"name": "[bold]x[/bold]"})
    assert "[bold]x[/bold]" in drawn([agent])


def test_an_empty_list_says_so() -> None:
    assert "none yet" in drawn([])


@pytest.mark.parametrize(
    ("free", "held", "whole", "drawn_as"),
    [
        (10, 0, 10, "━" * 32),
        (0, 0, 10, "─" * 32),
        (5, 5, 10, "━" * 32),
        (-3, 0, 10, "─" * 32),
        (0, 0, 0, "─" * 32),
    ],
)
def test_the_bar_is_always_as_long_as_it_is(free: int, held: int, whole: int, drawn_as: str) -> None:
    assert ink.bar(free, held, whole).plain == drawn_as


def test_the_smallest_hold_is_seen() -> None:
    assert ink.bar(0, 1, 10**12).plain.count("━") == 1


@pytest.mark.parametrize(("amount", "text"), [("0.50", "$0.50"), ("-0.50", "-$0.50"), (None, "-")])
def test_amounts_have_their_sign_in_front(amount: str | None, text: str) -> None:
    assert ink.usd(amount).plain == text


def test_a_console_takes_every_character_for_what_it_is() -> None:
    assert isinstance(ink.console(io.StringIO()), Console)
    assert drawn(ink.foreign(":smile: [b]")) == ":smile: [b]\n"


LONG = "a-name-that-goes-on-" * 10
UUID = "00000000-0000-4000-8000-000000000000"


def narrow(value: object, width: int = 80) -> str:
    stream = io.StringIO()
    console = ink.console(stream)
    console.width = width
    console.print(view(value))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (
            [
                made_fields(
                    wire.Agent,
                    {"name": LONG, "agent_id": UUID, "remaining_usd": "49.9999145", "frozen": False},
                )
            ],
            [UUID, "$49.9999145", "…"],
        ),
        (
            made_fields(
                shapes.AgentDetail,
                {
                    "agent": made_fields(wire.Agent, {"name": "a"}),
                    "calls": [
                        made_fields(
                            wire.Call,
                            {
                                "call_id": UUID,
                                "model": "gpt-4.1-mini-2025-04-14",
                                "state": "settled_worst",
                                "hold_usd": "0.010649600",
                                "cost_usd": "0.010649600",
                            },
                        )
                    ],
                },
            ),
            [UUID[:18], "settled_worst", "$0.010649600", "…"],
        ),
        ([made_fields(wire.Run, {"run_id": "r" * 128})], ["r" * 18]),
        (
            [
                made_fields(
                    wire.Provider,
                    {"name": "gemini", "base_url": "https://g.example", "key": "absent"},
                )
            ],
            ["gemini", "absent", "https://g.example"],
        ),
    ],
)
def test_tables_fit_eighty_columns_without_slivers(value: object, kept: list[str]) -> None:
    """Names are cut before ids are folded; numbers and states stay whole."""
    text = narrow(value)
    assert all(len(line) <= 80 for line in text.splitlines())
    for word in kept:
        assert word in text


@pytest.mark.parametrize("width", [60, 80, 100])
def test_money_ids_and_reasons_are_never_broken(width: int) -> None:
    """Columns that matter less are left out, or cut, where a terminal is narrow."""
    named = {"agent_id": UUID, "name": "my-agent", "remaining_usd": "49.99974", "frozen": False}
    agent = made_fields(wire.Agent, {**named, "hard_limit_cents": 5000, "locked_run_id": ""})
    wait = {"agent_id": UUID, "call_id": UUID, "run_id": UUID, "code": "daemon_cap"}
    wait |= {"worst_case_usd": "0.01064965", "since": "2026-11-29T15:00:00.123Z"}
    waits = made_fields(wire.Waiting, {**wait, "until": "2026-11-29T15:01:00.123Z"})
    now = made_fields(wire.Status, {"waiting": [waits], "calls_waiting": 1, "unconfirmed": []})
    status = shapes.StatusDetail(
        base_url="http://127.0.0.1:1", status=now, agents=[agent], now_ns=1_795_964_412_500_000_000
    )
    said = narrow(status, width)
    for word in ("$49.99974", "my-agent", "the cap of all", "$0.01064965", "12 s, 48 s left"):
        assert word in said, said
    sums = {"state": "settled_worst", "hold_usd": "0.010649600", "cost_usd": "0.010649600"}
    calls = [made_fields(wire.Call, {"call_id": UUID, "model": "gpt-4.1-mini-2025-04-14", **sums})] * 3
    told = narrow(shapes.AgentDetail(agent=agent, calls=calls, now_ns=0), width)
    told = told[told.index("CALL") :]
    assert told.count(f"  {UUID} ") == 3
    assert told.count("$0.010649600") >= 3
    tables = [*said[said.index("AGENT") :].splitlines(), *told.splitlines()]
    assert all(len(line.rstrip()) <= width for line in tables)


@pytest.mark.parametrize("width", [60, 80, 160])
def test_ids_and_what_stands_beside_them_are_whole(width: int) -> None:
    """An id has a line of its own before a column is left out: it is what the next command needs."""
    sums = {"state": "held", "hold_usd": "0.010649600", "cost_usd": None, "attached": False}
    sums |= {"created_at": "2026-11-29T15:00:00.123Z", "idle_seconds": 49, "run_id": "nightly"}
    held = made_fields(wire.Call, {"call_id": UUID, "model": "gpt-4.1-mini", **sums})
    named = {"agent_id": UUID, "name": "my-agent", "remaining_usd": "49.99974", "frozen": False}
    named |= {"restored": False, "locked_run_id": "nightly", "hard_limit_cents": 5000}
    agent = made_fields(wire.Agent, named)
    said = narrow(shapes.AgentDetail(agent=agent, calls=[held], now_ns=1_795_964_412_500_000_000), width)
    said = said[said.index("IN FLIGHT") :]
    assert [UUID in line for line in said.splitlines()].count(True) == 2
    for word in ("nightly", "12 s", "its client has left", "gpt-4.1-mini", "held", "$0.010649600"):
        assert word in said, said
    assert ("2026-11-29 15:00:00Z" in said) is (width > 60)
    listed = narrow([agent], width)
    for word in (UUID, "my-agent", "$49.99974", "$50.00", "run nightly in flight"):
        assert word in listed, listed
    key = {"key_id": "local-" + "0" * 16, "public_key": "pGH2ErN2+qDohE7ULbRtKvj5stzyIkCuYoGLD9k/n6Y="}
    good = {"state": "good", "not_after": None}
    pinned = made_fields(prices.Trusted, {"keys": [made_fields(prices.TrustedKey, key | good)]})
    trusted = narrow(pinned, width)
    assert key["key_id"] in trusted
    assert key["public_key"] in trusted
    assert all(len(line.rstrip()) <= width for line in (said + listed).splitlines())


def test_the_next_step_never_falls_out_of_its_column() -> None:
    fields = {"next": "spendguard demo", "agents": [], "warnings": []}
    fields["why"] = "see it work first: no key, no network, nothing left behind; then spendguard up"
    said = narrow(made_fields(shapes.Overview, fields), 60)
    below = said[said.index("next  ") :].splitlines()
    assert below[0].rstrip() == "next  spendguard demo"
    assert all(line.startswith("      ") for line in below[1:])


@pytest.mark.parametrize("width", [60, 80, 100])
def test_keys_fit_with_what_their_lineage_leaves(width: int) -> None:
    """A child has no more left than the key above it, whatever it says itself; models come from above too."""
    root = {"key_id": "0" * 16, "parent_id": None, "kind": "agent", "label": "ci", "models": ["openai/*"]}
    root |= {"limit_usd": "5.00", "remaining_usd": "0.75", "settled_usd": "4.25", "expires_at": None}
    child = {**root, "key_id": "1" * 16, "parent_id": "0" * 16, "kind": "child", "models": None}
    child |= {"limit_usd": "50.00", "remaining_usd": "49.99974", "expires_at": "2026-12-06T15:12:00.000Z"}
    values = [
        made_fields(wire.AgentKey, {**one, "revoked": False, "expired": False}) for one in (root, child)
    ]
    said = narrow(values, width)
    first, second = said.splitlines()[1:]
    assert first.startswith("0" * 16)
    assert second.startswith("1" * 16)
    assert "$0.75" in second
    assert "2026-12-06 15:12Z" in second
    assert "$49.99974" not in second
    assert all(len(line.rstrip()) <= width for line in said.splitlines())
    if width >= 80:
        assert "$50.00" in second
        assert "openai/*" in second


def test_without_a_clock_a_wait_says_when_it_ends() -> None:
    assert (
        ink.spans("2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z", None).plain == "until 2026-01-01 00:01:00Z"
    )
    assert ink.spans(HOSTILE, HOSTILE, 0).plain == ink.foreign(HOSTILE).plain


def test_one_call_is_a_call_and_unconfirmed_calls_are_listed() -> None:
    rows = [made_fields(wire.Unconfirmed, {"call_id": UUID, "cost_usd": "0.25", "reason": "crash"})]
    now = made_fields(
        wire.Status,
        {"calls_in_flight": 1, "unconfirmed": rows, "unconfirmed_calls": 21, "state": "draining"},
    )
    detail = shapes.StatusDetail(base_url="http://127.0.0.1:1", status=now, agents=[], now_ns=0)
    text = drawn(view(detail))
    assert "1 call in flight" in text
    assert "draining" in text
    assert UUID in text
    assert "and 20 more" in text


def test_a_budget_is_shown_under_its_agents_name_and_id() -> None:
    budget = made_fields(wire.Budget, {"agent_id": UUID})
    text = drawn(view(shapes.BudgetDetail(name="my-agent", budget=budget)))
    assert "my-agent" in text
    assert UUID in text


def test_a_person_sees_age_and_silence() -> None:
    call = structs.replace(
        made(wire.Call), state="held", attached=False, idle_seconds=37, created_at="2026-01-01T00:00:00.5Z"
    )
    detail = shapes.AgentDetail(agent=made(wire.Agent), calls=[call], now_ns=1_767_225_642 * 10**9)
    text = drawn(accounts.agent_detail(detail))
    assert "42 s" in text
    assert "its client has left, no byte for 37 s" in text
    assert not FORBIDDEN & set(text)
    quiet = structs.replace(call, attached=True, idle_seconds=0, created_at=HOSTILE)
    text = drawn(accounts.in_flight([quiet], 0))
    assert "no byte" not in text
    assert "has left" not in text
    assert not FORBIDDEN & set(text)


def test_refused_calls_are_told_by_their_code() -> None:
    """With status, how often and when last; the codes in the order of their newest."""
    facts = {"state": "refused", "created_at": "2026-01-02T03:04:05Z"}
    first = {**facts, "code": "insufficient_budget", "http_status": 402, "reason": "\x1b[31mno", "count": 2}
    other = {**facts, "code": "budget_locked", "http_status": 409, "reason": "later", "count": 1}
    calls = [structs.replace(made(wire.Call), **row) for row in (first, other, first)]
    text = drawn(accounts.agent_detail(shapes.AgentDetail(agent=made(wire.Agent), calls=calls, now_ns=0)))
    rows = [line.split()[:3] for line in text.splitlines() if "Z" in line and line.split()[0] in text]
    assert ["insufficient_budget", "402", "4"] in rows
    assert ["budget_locked", "409", "1"] in rows
    assert "\x1b[31mno" not in text
