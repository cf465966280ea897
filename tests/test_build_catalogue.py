"""The builder of the price catalogue, run as a program on frozen excerpts of its two sources."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

import build_catalogue
from catalogue import changes, facts, offer
from catalogue.changes import Change

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tests" / "data" / "prices"
SCRIPT = ROOT / "scripts" / "build_catalogue.py"
BUNDLED = json.loads(build_catalogue.CATALOGUE.read_bytes())
FACTS = facts.read(SCRIPT.parent / "catalogue" / "facts")
DAY = "2026-11-29"
MODELS = {
    "openai": ("gpt-4.1", "gpt-5.5", "gpt-6-sol", "text-embedding-3-small"),
    "anthropic": ("claude-haiku-5-5", "claude-opus-4-8", "claude-sonnet-4"),
    "gemini": (
        "gemini-3.5-flash-lite",
        "gemini-3.8-flash",
        "gemini-4-hydrogen",
        "gemini-embedding-001",
    ),
    "grok": ("grok-4.3",),
}
"""Fees that differ, a tier without all sizes, tiers of service, a batch, factors, a window that has ended, a
rate by hand, later periods, one source alone, an inclusive border."""

ROWS = {
    provider: {name: BUNDLED["models"][provider][name] for name in names}
    for provider, names in MODELS.items()
}


class Bench:
    """A folder with sources, facts and a catalogue of these models, to change and to build from."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.genai = json.loads((DATA / "genai-prices.json").read_bytes())
        self.litellm = json.loads((DATA / "litellm.json").read_bytes())
        self.facts: dict[str, Any] = {"catalogue": dict(FACTS.catalogue)} | {
            provider: {
                **copy.deepcopy(dict(FACTS.providers[provider])),
                "models": {name: dict(FACTS.providers[provider]["models"][name]) for name in names},
            }
            for provider, names in MODELS.items()
        }
        self.acknowledged: list[dict[str, Any]] = []
        self.file = folder / "catalogue.json"
        self.file.write_bytes(build_catalogue.written({"checked": DAY, "models": ROWS}))

    def build(self, *flags: str, day: str = DAY) -> subprocess.CompletedProcess[str]:
        """Run the script on what this bench holds."""
        (self.folder / "facts").mkdir(exist_ok=True)
        for name, value in self.facts.items():
            (self.folder / "facts" / f"{name}.toml").write_text(tomli_w.dumps(value))
        (self.folder / "acknowledged.toml").write_text(tomli_w.dumps({"change": self.acknowledged}))
        for name in ("genai", "litellm"):
            (self.folder / f"{name}.json").write_text(json.dumps(getattr(self, name)))
        paths = [f"--{name}={self.folder / name}.json" for name in ("genai", "litellm", "catalogue")]
        paths += [f"--facts={self.folder / 'facts'}", f"--acknowledged={self.folder / 'acknowledged.toml'}"]
        command = [sys.executable, str(SCRIPT), *paths, *flags, f"--today={day}"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    @property
    def models(self) -> dict[str, Any]:
        """The models of the catalogue as it is now."""
        models: dict[str, Any] = json.loads(self.file.read_bytes())["models"]
        return models

    def genai_prices(self, provider: str, name: str) -> dict[str, Any]:
        """The standard prices of a model in genai-prices, to change."""
        rows = self.genai["models"][provider]
        prices: dict[str, Any] = next(row for row in rows if row["id"] == name)["prices"][0]["prices"]
        return prices


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_rows_come_out_as_they_were_compared_by_hand(bench: Bench) -> None:
    done = bench.build()
    assert (done.returncode, done.stdout, done.stderr) == (0, "no change of a model\n", "")
    assert bench.models == ROWS
    root = json.loads(bench.file.read_bytes())
    assert root["versions"] == {"genai-prices": "0.2.3", "litellm": "1.110.2"}
    assert root["checked"] == DAY


def test_building_again_gives_the_same_bytes(bench: Bench) -> None:
    bench.build()
    first = bench.file.read_bytes()
    assert bench.build().returncode == 0
    assert bench.file.read_bytes() == first
    assert bench.build("--check").returncode == 0


def test_the_dearer_source_is_taken_and_the_report_says_so(bench: Bench) -> None:
    bench.litellm["models"]["gpt-6-sol"]["output_cost_per_token"] = 1e-06
    bench.genai_prices("openai", "gpt-4.1")["input_mtok"] = "1.9"
    assert bench.build().returncode == 0
    assert bench.models == ROWS
    report = bench.build("--report").stdout
    assert "gpt-6-sol  default output from 0 differs: genai-prices 10,000,000, litellm 1,000,000\n" in report
    assert "gpt-4.1  default input from 0 differs: genai-prices 1,900,000, litellm 2,000,000\n" in report


def test_a_rate_that_rises_is_shown_and_written(bench: Bench) -> None:
    bench.litellm["models"]["xai/grok-4.3"]["output_cost_per_token"] = 3e-06
    done = bench.build()
    assert done.returncode == 0
    assert done.stdout == "grok:grok-4.3  default output (now)  2,500,000 -> 3,000,000\n"
    assert bench.models["grok"]["grok-4.3"]["periods"][0]["rates"]["default"]["output"] == 3_000_000


def lower_gpt_6_sol(bench: Bench) -> None:
    bench.litellm["models"]["gpt-6-sol"]["output_cost_per_token"] = 9e-06
    bench.genai_prices("openai", "gpt-6-sol")["output_mtok"]["base"] = "9"


def test_a_rate_that_falls_stops_the_build(bench: Bench) -> None:
    """Nothing has moved, and what is to be acknowledged is named."""
    lower_gpt_6_sol(bench)
    before = bench.file.read_bytes()
    done = bench.build()
    assert done.returncode == 1
    said = "not acknowledged: openai:gpt-6-sol  default output (now)  10,000,000 -> 9,000,000  (falls)\n"
    assert done.stderr == said
    assert bench.file.read_bytes() == before


def test_a_fall_that_a_person_answers_for_passes(bench: Bench) -> None:
    """For this old and this new value; another fall of the same rate is another one."""
    lower_gpt_6_sol(bench)
    entry = {
        "model": "openai:gpt-6-sol",
        "field": "default output (now)",
        "old": 10_000_000,
        "new": 9_000_000,
    }
    bench.acknowledged = [entry | {"new": 8_000_000, "date": DAY, "reason": "a price cut"}]
    assert bench.build().returncode == 1
    bench.acknowledged = [entry | {"date": DAY, "reason": "a price cut"}]
    assert bench.build().returncode == 0
    assert bench.models["openai"]["gpt-6-sol"]["periods"][0]["rates"]["default"]["output"] == 9_000_000


@pytest.mark.parametrize("missing", ["reason", "date"])
def test_an_acknowledgement_without_its_reason_or_day_is_none(bench: Bench, missing: str) -> None:
    entry = {
        "model": "openai:gpt-6-sol",
        "field": "reasoning",
        "old": 1,
        "new": 0,
        "date": DAY,
        "reason": "so",
    }
    bench.acknowledged = [entry | {missing: ""}]
    done = bench.build()
    assert done.returncode == 1
    assert "openai:gpt-6-sol reasoning: expected a reason and a date" in done.stderr


def test_a_slip_of_the_unit_stops_the_build(bench: Bench) -> None:
    bench.litellm["models"]["claude-opus-4-8"]["cache_read_input_token_cost"] = 5e-06
    done = bench.build()
    assert done.returncode == 1
    assert "cache_read (now)  500,000 -> 5,000,000  (ten times and more)" in done.stderr


def test_a_new_model_has_to_be_reviewed(bench: Bench) -> None:
    """It stops the build until it has facts or a reason; then it is built, or left out."""
    bench.litellm["models"]["gpt-6.2-sol"] = bench.litellm["models"]["gpt-6-sol"]
    done = bench.build()
    assert done.returncode == 1
    assert (
        done.stderr == "not reviewed: openai:gpt-6.2-sol (litellm): give its facts, or a reason in left_out\n"
    )
    known = bench.facts["openai"]["models"]
    known["gpt-6.2-sol"] = known["gpt-6-sol"] | {"limits": {"context": 1_050_000}}
    done = bench.build()
    assert (done.returncode, done.stdout) == (
        0,
        "openai:gpt-6.2-sol  model  nothing -> input 2,000,000, output 10,000,000\n",
    )
    row = bench.models["openai"]["gpt-6.2-sol"]
    assert row["periods"] == ROWS["openai"]["gpt-6-sol"]["periods"]
    assert row["sources"] == ["litellm"]


def test_a_reason_leaves_a_model_out(bench: Bench) -> None:
    bench.litellm["models"]["gpt-6.2-sol"] = bench.litellm["models"]["gpt-6-sol"]
    bench.facts["openai"]["left_out"]["gpt-6.2-*"] = "its price is a rumour"
    assert bench.build().returncode == 0
    assert "gpt-6.2-sol" not in bench.models["openai"]
    assert "openai  its price is a rumour: gpt-6.2-sol\n" in bench.build("--report").stdout


@pytest.mark.parametrize(
    ("provider", "model", "what", "gone"),
    [
        ("openai", "gpt-4.1", "fees.web_search", "fees.web_search  25,000,000 -> nothing"),
        ("openai", "gpt-6-sol", "rates.flex", "flex output (now)  5,000,000 -> nothing"),
        ("openai", "gpt-6-sol", "modifiers_bp.geo:eu", "modifiers_bp.geo:eu  11,000 -> nothing"),
        ("openai", "gpt-5.5", "rates.cache_read", "default cache_read (now)  500,000 -> nothing"),
        ("openai", "gpt-6-sol", "limits.context", "limits.context  1,050,000 -> 922,000"),
    ],
)
def test_what_a_source_has_wrong_is_left_out_with_a_reason(
    bench: Bench, provider: str, model: str, what: str, gone: str
) -> None:
    """And has to be acknowledged, as all that makes a call cheaper."""
    known = bench.facts[provider]["models"]
    known[model] = {**known[model], "without": {what: "the source is wrong"}}
    done = bench.build()
    assert done.returncode == 1
    assert f"not acknowledged: {provider}:{model}  {gone}" in done.stderr
    assert f"{provider}:{model}  {what} left out: the source is wrong" in bench.build("--report").stdout


def test_a_model_that_has_ended_leaves_unless_it_is_kept(bench: Bench) -> None:
    """On its last day by the source's own word; that it goes has to be acknowledged."""
    bench.litellm["models"]["gpt-5.5"]["deprecation_date"] = "2026-12-01"
    assert bench.build(day="2026-11-30").returncode == 0
    done = bench.build(day="2026-12-01")
    assert done.returncode == 1
    assert "openai:gpt-5.5  model  input 5,000,000, output 30,000,000 -> nothing  (gone)" in done.stderr
    bench.facts["openai"]["models"]["gpt-5.5"]["kept"] = "agents still name it"
    assert bench.build(day="2026-12-01").returncode == 0
    assert bench.models == ROWS


def test_a_model_without_a_limit_cannot_be_built(bench: Bench) -> None:
    del bench.litellm["models"]["xai/grok-4.3"]["max_output_tokens"]
    del bench.litellm["models"]["xai/grok-4.3-latest"]["max_output_tokens"]
    done = bench.build()
    assert done.returncode == 1
    said = "cannot be built: grok:grok-4.3: limits without max_output: no source has them, and no fact\n"
    assert done.stderr == said


def test_a_day_on_which_rates_change_comes_and_changes_nothing(bench: Bench) -> None:
    """The later period of yesterday is the present one of today: no call costs something else for it."""
    done = bench.build(day="2027-01-01")
    assert (done.returncode, done.stdout) == (0, "no change of a model\n")
    (period,) = bench.models["gemini"]["gemini-3.8-flash"]["periods"]
    assert period["rates"]["default"] == ROWS["gemini"]["gemini-3.8-flash"]["periods"][1]["rates"]["default"]


def test_check_compares_and_writes_nothing(bench: Bench) -> None:
    bench.build()
    root = json.loads(bench.file.read_bytes())
    root["models"]["grok"]["grok-4.3"]["note"] = "by hand"
    bench.file.write_bytes(build_catalogue.written(root))
    before = bench.file.read_bytes()
    done = bench.build("--check")
    assert (done.returncode, done.stdout) == (1, "no change of a model\n")
    assert done.stderr == "catalogue.json is not what the sources and the facts make\n"
    assert bench.file.read_bytes() == before


def test_the_report_says_what_is_left_out_and_why(bench: Bench) -> None:
    report = bench.build("--report").stdout
    assert "moving names: their model, and so their price, may change any day: chat-latest\n" in report
    assert "ended before the day of checking: gpt-3.5-turbo-1106\n" in report
    assert "openai:gpt-5.5  service tier priority left out: no rate from 272,001 tokens (now)\n" in report
    assert "NOT REVIEWED" not in report


class TestChanges:
    """Which changes of a row have to be acknowledged."""

    ROW = ROWS["gemini"]["gemini-3.8-flash"]

    def alarms(self, **parts: dict[str, Any]) -> dict[str, str]:
        """Return the alarms, by field, after members of the row's parts were changed or (None) removed."""
        row = copy.deepcopy(self.ROW)
        for part, members in parts.items():
            changed = row.get(part, {}) | members
            row[part] = {name: value for name, value in changed.items() if value is not None}
        found = changes.compare({"gemini": {"m": self.ROW}}, {"gemini": {"m": row}}, DAY)
        return {change.field: change.alarm for change in found if change.alarm}

    def test_limits(self) -> None:
        assert self.alarms(limits={"max_output": 65_535}) == {"limits.max_output": "falls"}
        assert self.alarms(limits={"max_output": 65_537}) == {}
        assert self.alarms(limits={"image_tokens": None}) == {"limits.image_tokens": "gone"}

    def test_more_bytes_in_a_token_of_sound_are_fewer_tokens(self) -> None:
        assert self.alarms(limits={"audio_bytes_per_token": 16}) == {"limits.audio_bytes_per_token": "falls"}
        assert self.alarms(limits={"audio_bytes_per_token": 14}) == {}

    def test_fees_and_factors(self) -> None:
        assert self.alarms(fees={"maps": None}) == {"fees.maps": "gone"}
        assert self.alarms(fees={"maps": 140_000_000}) == {"fees.maps": "ten times and more"}
        assert self.alarms(fees={"maps": 139_999_999}) == {}
        assert self.alarms(modifiers_bp={"geo:us": 11_000}) == {}

    def test_a_tokenizer_that_counts_from_now_on(self) -> None:
        assert self.alarms(tok={"enc": "o200k_base"}) == {"tok.enc": "counted exactly from now on"}

    def test_a_later_period_that_goes(self) -> None:
        """The rates of the day on which it would have begun fall."""
        row = copy.deepcopy(self.ROW)
        del row["periods"][1]
        found = changes.compare({"gemini": {"m": self.ROW}}, {"gemini": {"m": row}}, DAY)
        assert {change.alarm for change in found} == {"falls"}
        assert all("(2027-01-01)" in change.field for change in found)

    def test_a_size_tier_that_goes(self) -> None:
        """Long calls would cost what short ones do."""
        old = ROWS["grok"]["grok-4.3"]
        row = copy.deepcopy(old)
        del row["periods"][0]["tiers"]
        found = changes.compare({"grok": {"m": old}}, {"grok": {"m": row}}, DAY)
        assert Change("grok:m", "default output (now, 200,000 tokens)", 5_000_000, 2_500_000) in found
        assert {change.alarm for change in found} == {"falls"}


RATES = st.dictionaries(st.sampled_from(["input", "output", "cache_read"]), st.integers(0, 9), min_size=1)
GRIDS = st.dictionaries(
    st.sampled_from(["default", "flex"]),
    st.dictionaries(st.sampled_from([0, 101, 201]), RATES, min_size=1),
)


@given(st.lists(GRIDS, max_size=3))
def test_what_is_joined_costs_at_least_each_of_its_parts(grids: list[offer.Grid]) -> None:
    joined = offer.dearer(grids)
    for grid in grids:
        for tier, sizes in grid.items():
            for start in joined[tier]:
                reached = [size for size in sizes if size <= start]
                for name, rate in sizes[max(reached)].items() if reached else ():
                    assert joined[tier][start][name] >= rate


class TestBundled:
    """The file that ships, against the facts, without the sources."""

    def test_its_models_are_those_of_the_facts(self) -> None:
        for provider in facts.PROVIDERS:
            known = FACTS.models(provider)
            assert list(BUNDLED["models"][provider]) == sorted(known)
            for name, row in BUNDLED["models"][provider].items():
                for key in ("aliases", "endpoints", "tok", "checked", "note"):
                    assert row.get(key) == known[name].get(key), name
                for key, value in known[name].get("limits", {}).items():
                    assert row["limits"][key] >= value
            assert BUNDLED["left_out"][provider] == FACTS.providers[provider]["left_out"]

    def test_it_is_laid_out_by_the_script_and_read_by_the_daemon(self) -> None:
        assert build_catalogue.CATALOGUE.read_bytes() == build_catalogue.written(BUNDLED)
        build_catalogue.check_cards(BUNDLED)
        assert set(BUNDLED["versions"]) == {"genai-prices", "litellm"}

    def test_its_acknowledgements_can_be_read(self) -> None:
        assert all(
            change.alarm
            for change in changes.acknowledged(build_catalogue.HERE / "catalogue/acknowledged.toml")
        )
