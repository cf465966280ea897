"""`pricing recompute`: charged calls computed again, offline, from records and archived documents alone.

That every recorded call of every provider comes out equal stands in `tests/e2e/test_recordings.py`. Here are
the calls that do not, and those of which a record does not say how they were billed.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ledger_files import archived_history, put_down
from ledger_kit import grant, hold_call, new_agent, open_ledger
from shell import Quick, Ran
from signed_prices import card
from sim import SimClock, SimDisk, SimRng
from spendguard_daemon.canonical import Json, sha256_hex
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.events import ANSWERED_BY
from spendguard_daemon.money import LinearCost
from spendguard_daemon.pricing import cards, trust
from spendguard_daemon.pricing.authority import Authority
from spendguard_daemon.pricing.ratecard import RateCard
from spendguard_daemon.pricing.wire_json import Row, format_time
from spendguard_daemon.usage import Usage
from until import until

KEY = Authority.new(SimRng())
DAY_NS = 86_400 * 10**9
RATES = {"input": 1_500_000, "output": 6_000_000, "cache_read": 150_000, "input_audio": 9_000_000}
MODEL: dict[str, Json] = card(
    periods=[
        {
            "from": "1970-01-01T00:00:00Z",
            "rates": {"default": RATES, "flex": {name: rate // 2 for name, rate in RATES.items()}},
        }
    ],
    fees={"web_search": 10_000_000},
    modifiers_bp={"geo:us": 11_000, "speed:fast": 60_000},
)
DEAR: dict[str, Json] = card(
    periods=[
        {"from": "1970-01-01T00:00:00Z", "rates": {"default": {n: 2 * r for n, r in RATES.items()}}},
    ],
    fees={"web_search": 10_000_000},
)
USAGE = Usage(input_tokens=301, cached_input_tokens=100, output_tokens=7)


@dataclass
class Bench:
    """A home with one document and a ledger, in which calls are put down as the daemon would."""

    root: Path

    def __post_init__(self) -> None:
        self.clock, self.disk = SimClock(), SimDisk()
        self.ledger = open_ledger(self.disk, self.clock)
        self.ledger.post(new_agent(concurrency="shared"))
        self.ledger.post(grant(10**12))
        self.document: dict[str, Json] = {"openai": {"models": {"small": MODEL, "dear": DEAR}}}
        self.issued_ns = self.clock.wall_ns() // 10**9 * 10**9
        self.raw = self.sign()
        self.quick = Quick(self.root)

    def sign(self, days: int = 6) -> bytes:
        """Return the document of this home."""
        times = {"issued_ns": self.issued_ns, "expires_ns": self.issued_ns + days * DAY_NS}
        return KEY.sign(self.document, sequence=1, **times)

    def card(self, model: str = "small") -> RateCard:
        """Return the card that a call is priced by."""
        rows = Row(self.document["openai"], "openai").row("models")
        return cards.read_card("openai", model, rows.row(model))

    def call(
        self,
        usage: Usage = USAGE,
        *,
        modifiers: tuple[str, ...] = (),
        asked_tier: str = "default",
        reason: str = "reported usage",
        by: RateCard | None = None,
        wrong_nusd: int = 0,
        call_id: str = "c",
    ) -> int:
        """Hold a call and settle it for what its usage costs; return that."""
        now_ns = self.clock.wall_ns()
        rates = self.card().pinned_rates(
            input_tokens=900, from_ns=now_ns, until_ns=now_ns, service_tier=asked_tier, modifiers=modifiers
        )
        self.hold(call_id, rates=rates)
        self.clock.advance(5)
        span = {"from_ns": now_ns, "until_ns": self.clock.wall_ns()}
        cost = (by or self.card()).price(usage, modifiers=modifiers, **span)
        lines = [line.to_json() for line in cost.lines]
        self.ledger.post(
            cmd.SettleCall(call_id, cost.total_nusd + wrong_nusd, usage.counts(), lines, 200, reason)
        )
        return cost.total_nusd + wrong_nusd

    def hold(self, call_id: str, **changes: Any) -> None:
        offer = cmd.Offer("bytes", 900, LinearCost(10**9, 0, 1))
        values: dict[str, Any] = {
            "model": "small",
            "offers": (offer,),
            "document_sha256": sha256_hex(self.raw),
            "deadline_ns": self.clock.wall_ns() + 3600 * 10**9,
        }
        self.ledger.post(hold_call(call_id, **(values | changes)))

    def recompute(self, *words: str) -> Ran:
        """Put all down as files, and compute."""
        self.root.mkdir(mode=0o700, exist_ok=True)
        put_down(self.disk, self.root / "ledger")
        (self.root / "pricing").mkdir(mode=0o700, exist_ok=True)
        (self.root / "pricing" / f"{sha256_hex(self.raw)}.json").write_bytes(self.raw)
        (self.root / "trust.toml").write_text(trust.write_trust([KEY.pinned()]))
        (self.root / "trust.toml").chmod(0o600)
        return self.quick.run("pricing", "recompute", *(words or ("c",)), "--json")

    def one(self) -> dict[str, Any]:
        """Compute the call again, and return what is told of it."""
        ran = self.recompute()
        (row,) = ran.json["rows"]
        assert ran.code == (1 if row["result"] == "different" else 0)
        found: dict[str, Any] = row
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "home")


def test_a_call_comes_out_to_the_nano_dollar(bench: Bench) -> None:
    cost_nusd = bench.call()
    row = bench.one()
    assert cost_nusd == 201 * 1_500 + 100 * 150 + 7 * 6_000
    assert (row["result"], row["computed_nusd"], row["booked_nusd"]) == ("equal", cost_nusd, cost_nusd)
    assert row["state"] == "settled"


@pytest.mark.parametrize("wrong_nusd", [1, -1, 100_000])
def test_one_nano_dollar_more_or_less_is_a_difference(bench: Bench, wrong_nusd: int) -> None:
    cost_nusd = bench.call(wrong_nusd=wrong_nusd)
    row = bench.one()
    assert (row["result"], row["booked_nusd"]) == ("different", cost_nusd)
    assert row["computed_nusd"] == cost_nusd - wrong_nusd
    assert "no reading of the usage gives this sum" in row["why"]


@pytest.mark.parametrize(
    "usage",
    [
        replace(USAGE, service_tier="flex"),
        replace(USAGE, modifiers=("geo:us",)),
        replace(USAGE, modifiers=("geo:us", "speed:fast")),
        replace(USAGE, events={"web_search": 2}),
        replace(USAGE, audio_input_tokens=30),
        replace(USAGE, unsorted_input_tokens=30, unsorted_rates=("input_audio",)),
        replace(USAGE, unsorted_input_tokens=30),
    ],
    ids=["tier", "modifier", "modifiers", "events", "audio", "unsorted", "unsorted-plain"],
)
def test_what_a_record_does_not_say_is_found_in_its_lines(bench: Bench, usage: Usage) -> None:
    """The tier that was served, what scaled the bill, what unsorted tokens were taken for."""
    cost_nusd = bench.call(usage)
    assert (bench.one()["result"], bench.one()["computed_nusd"]) == ("equal", cost_nusd)


def test_modifiers_asked_for_count_where_none_was_reported(bench: Bench) -> None:
    cost_nusd = bench.call(modifiers=("geo:us",))
    assert (bench.one()["result"], bench.one()["computed_nusd"]) == ("equal", cost_nusd)


def test_the_right_sum_with_other_lines_is_a_difference(bench: Bench) -> None:
    """Two swapped parts may add up to the same; a line is a promise too."""
    usage, other = Usage(input_tokens=40, output_tokens=10), Usage(input_tokens=80)
    assert bench.card().price(usage, from_ns=1, until_ns=1).total_nusd == 120_000
    cost = bench.card().price(other, from_ns=1, until_ns=1)
    assert cost.total_nusd == 120_000
    bench.hold("c")
    lines = [line.to_json() for line in cost.lines]
    bench.ledger.post(cmd.SettleCall("c", 120_000, usage.counts(), lines, 200, "reported usage"))
    row = bench.one()
    assert (row["result"], row["why"]) == ("different", "no reading of the usage gives these lines")


def test_a_dearer_model_that_answered_is_charged(bench: Bench) -> None:
    cost_nusd = bench.call(by=bench.card("dear"), reason=f"reported usage; {ANSWERED_BY}dear")
    assert (bench.one()["result"], bench.one()["computed_nusd"]) == ("equal", cost_nusd)


def test_rates_that_change_during_a_call_are_charged_as_then(bench: Bench) -> None:
    """A new period begins between hold and end: the dearer is charged."""
    later = {name: 3 * rate for name, rate in RATES.items()}
    soon = format_time(bench.issued_ns + 3 * 10**9)
    periods = [
        {"from": "1970-01-01T00:00:00Z", "rates": {"default": RATES}},
        {"from": soon, "rates": {"default": later}},
    ]
    bench.document = {"openai": {"models": {"small": card(periods=periods)}}}
    bench.raw = bench.sign()
    cost_nusd = bench.call()
    assert cost_nusd == 3 * (201 * 1_500 + 100 * 150 + 7 * 6_000)
    assert bench.one()["result"] == "equal"


@pytest.mark.parametrize(
    ("booked_nusd", "result", "computed_nusd"),
    [(2, "cannot", None), (3, "different", 2), (1, "different", 2)],
)
def test_a_providers_own_bill_is_in_no_document(
    bench: Bench, booked_nusd: int, result: str, computed_nusd: int | None
) -> None:
    """But it is in the record, and was to be charged as it is, rounded up."""
    line: dict[str, int | str] = {"name": "provider_bill", "unit": "pusd", "rate": 1, "cost_nusd": "1.501"}
    lines = [line | {"quantity": 1_501}]
    bench.hold("c")
    bench.ledger.post(cmd.SettleCall("c", booked_nusd, {"input_tokens": 1}, lines, 200, "reported usage"))
    row = bench.one()
    assert (row["result"], row["computed_nusd"]) == (result, computed_nusd)
    assert "own bill" in row["why"]


@pytest.mark.parametrize(
    ("held_nusd", "result"),
    [(900 * 1_500 + 10 * 6_000, "equal"), (900 * 9_000, "cannot"), (900 * 1_500, "different")],
)
def test_a_call_at_worst_is_held_against_its_bounds(bench: Bench, held_nusd: int, result: str) -> None:
    """Exact where nothing but input and output can be billed; else at least that."""
    offer = cmd.Offer("bytes", 900, LinearCost(held_nusd, 0, 1))
    bench.hold("c", offers=(offer,))
    bench.ledger.post(cmd.SettleAtWorst("c", "timeout", 504))
    row = bench.one()
    assert (row["state"], row["result"]) == ("settled_worst", result)
    assert row["booked_nusd"] == held_nusd


def test_a_correction_is_told_and_the_first_charge_is_computed(bench: Bench) -> None:
    cost_nusd = bench.call()
    bench.ledger.post(cmd.AdjustCall("c", 5, "the bill", "test"))
    row = bench.one()
    assert (row["result"], row["booked_nusd"]) == ("equal", cost_nusd)
    assert row["why"] == "adjusted since to 0.000000005 USD"


# -- the documents -------------------------------------------------------------------------------------------


def test_a_missing_document_is_said(bench: Bench) -> None:
    cost_nusd = bench.call()
    bench.recompute()
    (bench.root / "pricing" / f"{sha256_hex(bench.raw)}.json").unlink()
    ran = bench.quick.ok("pricing", "recompute", "--all", "--json").json
    assert (ran["cannot"], ran["cannot_nusd"], ran["rows"][0]["result"]) == (1, cost_nusd, "cannot")
    assert "is not there" in ran["rows"][0]["why"]


def test_a_document_with_other_bytes_is_a_difference(bench: Bench) -> None:
    """Even one that the same authority signed."""
    bench.call()
    bench.recompute()
    path = bench.root / "pricing" / f"{sha256_hex(bench.raw)}.json"
    for raw in (b"", bench.raw[:-1], bench.sign(days=5)):
        path.write_bytes(raw)
        ran = bench.quick.run("pricing", "recompute", "c", "--json")
        assert (ran.code, ran.json["rows"][0]["result"]) == (1, "different")
        assert "does not have the bytes" in ran.json["rows"][0]["why"]


def test_a_key_that_was_revoked_still_vouches_for_its_time(bench: Bench) -> None:
    bench.call()
    bench.recompute()
    assert bench.quick.run("pricing", "trust", "revoke", KEY.key_id).code == 0
    assert bench.quick.ok("pricing", "recompute", "c", "--json").json["equal"] == 1


def test_a_document_of_a_key_that_nobody_knows_cannot_be_used(bench: Bench) -> None:
    bench.call()
    bench.recompute()
    (bench.root / "trust.toml").unlink()
    ran = bench.quick.ok("pricing", "recompute", "c", "--json").json
    assert ran["rows"][0]["result"] == "cannot"
    assert "not pinned" in ran["rows"][0]["why"]
    named = {"CAP_PRICING_SIGNING_PUBLIC_KEY": trust.encode_base64(KEY.public_key)}
    assert bench.quick.ok("pricing", "recompute", "c", "--json", **named).json["equal"] == 1


def test_a_call_after_the_documents_end_is_a_difference(bench: Bench) -> None:
    """Its expiry is judged at the call's time, not at today's."""
    bench.clock.advance(6 * 86_400 + 60)
    bench.call()
    row = bench.one()
    assert row["result"] == "different"
    assert "has expired" in row["why"]


# -- which calls ---------------------------------------------------------------------------------------------


def test_all_calls_are_counted_and_those_that_need_a_look_listed(bench: Bench) -> None:
    costs = [bench.call(call_id=f"c{number}") for number in range(5)]
    costs.append(bench.call(call_id="wrong", wrong_nusd=7))
    bench.hold("open")
    bench.hold("void")
    bench.ledger.post(cmd.VoidCall("void", "refused", 429))
    ran = bench.recompute("--all")
    found = ran.json
    assert (ran.code, found["calls"], found["equal"], found["different"], found["cannot"]) == (1, 6, 5, 1, 0)
    assert [row["call_id"] for row in found["rows"]] == ["wrong"]
    assert (found["booked_nusd"], found["computed_nusd"]) == (sum(costs), sum(costs) - 7)
    assert "1 of 6 calls" in ran.err
    assert "ledger verify" in ran.err


def test_a_history_without_documents_is_counted_to_its_end(tmp_path: Path) -> None:
    """Archived segments too: no settled nano-dollar is left out."""
    disk, ledger = archived_history()
    home = tmp_path / "home"
    put_down(disk, home / "ledger")
    found = Quick(home).ok("pricing", "recompute", "--all", "--json").json
    assert found["cannot"] == found["calls"] > 50
    adjusted = sum(account.settled_nusd for account in ledger.state.accounts.values())
    exported = Quick(home).ok("ledger", "export", "--format", "jsonl").out.splitlines()
    assert adjusted > 0
    assert found["calls"] == sum(
        f'"state": "{state}"' in line
        for line in exported
        for state in ("settled", "settled_worst", "overrun")
    )


def test_a_call_that_was_never_charged_is_not_found(bench: Bench) -> None:
    bench.call()
    for line, code in ((("nobody",), 4), ((), 2), (("c", "--all"), 2)):
        bench.recompute()
        ran = bench.quick.run("pricing", "recompute", *line)
        assert (ran.code, ran.out) == (code, ""), line


def test_without_a_ledger_there_is_nothing_to_compute(bare: Quick) -> None:
    assert bare.run("pricing", "recompute", "--all").code == 3


def recomputed(served: Quick) -> Any:
    return served.ok("pricing", "recompute", "--all", "--json").json


def test_the_calls_of_a_real_sidecar_come_out_equal(served: Quick) -> None:
    """With the sidecar at work, by its own documents."""
    agent_id = served.agent("recomputed", cents=500)
    answers = [served.call(agent_id) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {200}
    # The end of a call reaches the disk with what comes next, at the latest a moment later.
    found = until(lambda: (said := recomputed(served))["equal"] == 3 and said)
    assert (found["different"], found["ok"]) == (0, True)
    one = served.ok("pricing", "recompute", answers[0].headers["x-spendguard-call-id"])
    assert "result=equal" in one.out
