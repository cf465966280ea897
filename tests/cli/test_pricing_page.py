"""`references/price-document.md` says what the code does; its examples are verified to the byte.

The verifier here knows nothing of the code: it is written from the page's words alone.
"""

import base64
import hashlib
import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from nacl.signing import SigningKey, VerifyKey

from shell import Quick, finish
from sim import SimRng
from spendguard_cli.app import app
from spendguard_daemon import settings
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code
from spendguard_daemon.pricing import catalogue, schema1_rates, trust, wire_json
from spendguard_daemon.pricing.authority import Authority
from spendguard_daemon.pricing.cards import FEE_MAX, MODIFIER_MAX_BP, RATE_MAX, TOKENS_MAX
from spendguard_daemon.pricing.dimensions import DIMENSIONS, FEES
from spendguard_daemon.pricing.ratecard import RateCard
from spendguard_daemon.usage import Usage

PAGE = (Path(__file__).parents[2] / "references" / "price-document.md").read_text(encoding="utf-8")
AT_NS = wire_json.Row({"at": "2026-11-24T00:00:00Z"}, "page").time_ns("at")
LATER_NS = wire_json.Row({"at": "2027-02-01T00:00:00Z"}, "page").time_ns("at")


def blocks(kind: str) -> list[str]:
    """Return the fenced blocks of a kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def part(title: str) -> str:
    """Return the text under a heading, up to the next of its kind."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def words_of(text: str) -> set[str]:
    """Return all that stands as code in a text."""
    return set(re.findall(r"`([^`]+)`", text))


def canonical(value: Any) -> bytes:
    """Write the canonical form, as the page says."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def test_the_example_is_what_the_page_says_that_it_is() -> None:
    """Form, hash, and both signatures over the signed bytes, with the keys that stand below it."""
    (text,) = blocks("json")
    raw = text.rstrip("\n").encode()
    document = json.loads(raw)
    assert canonical(document) == raw
    assert f"`{hashlib.sha256(raw).hexdigest()}`" in PAGE
    content = {k: v for k, v in document.items() if k not in ("signature", "co_signatures")}
    said = b"spendguard-pricing-v2\n" + canonical(content)
    pins = tomllib.loads(blocks("toml")[0])
    keys = {row["id"]: base64.b64decode(row["public_key"]) for row in pins["key"]}
    signatures = {document["key_id"]: document["signature"], **document["co_signatures"]}
    assert len(keys) == len(signatures) == pins["threshold"] == 2
    for name, signature in signatures.items():
        VerifyKey(keys[name]).verify(said, base64.b64decode(signature))
    seeds = {"test-key": bytes(range(32)), "second-key": bytes(range(1, 33))}
    assert keys == {name: bytes(SigningKey(seed).verify_key) for name, seed in seeds.items()}


def test_our_verifier_takes_the_example_with_its_trust_file() -> None:
    """Within its times, and the trust file is one that we write just so."""
    raw, text = blocks("json")[0].rstrip("\n").encode(), blocks("toml")[0]
    trusted = trust.read_trust(text)
    document = trust.verify(raw, pinned=trusted, now_ns=AT_NS, high_water=None)
    assert (document.sequence, [card.model for card in document.cards]) == (7, ["small"])
    assert tomllib.loads(trust.write_trust(trusted)) == tomllib.loads(text)


def priced_card() -> RateCard:
    """Return the page's card, as the local authority signs it and its verifier reads it."""
    overrides = settings.load(blocks("toml")[1], {}).price_overrides
    providers = catalogue.merge(catalogue.bundled().models, overrides)
    key = Authority.new(SimRng())
    raw = key.sign(providers, sequence=1, issued_ns=AT_NS, expires_ns=AT_NS + 10**12)
    document = trust.verify(raw, pinned=[key.pinned()], now_ns=AT_NS, high_water=None)
    (card,) = [card for card in document.cards if card.model == "team-model"]
    return card


def test_the_overrides_cost_what_the_page_says() -> None:
    card = priced_card()
    usage = Usage(input_tokens=10_000, cached_input_tokens=4_000, output_tokens=500)
    long = Usage(input_tokens=250_000, output_tokens=500)
    costs = [
        card.price(used, from_ns=at_ns, until_ns=at_ns).total_nusd
        for used, at_ns in ((usage, AT_NS), (usage, LATER_NS), (long, LATER_NS))
    ]
    for nusd in costs:
        assert f"{nusd:,}" in part("[prices.overrides]"), costs
    assert costs == [13_000_000, 15_600_000, 762_000_000]
    assert card.aliases == ("team-model-2026-11",)


def test_a_sidecar_starts_with_the_overrides_and_shows_them(tmp_path: Path) -> None:
    """Pasted into config.toml as they stand."""
    shell = Quick(tmp_path / "home", SPENDGUARD_EXEC="0")
    shell.home.mkdir(mode=0o700)
    shell.home.joinpath("config.toml").write_text(blocks("toml")[1])
    shell.home.joinpath("config.toml").chmod(0o600)
    try:
        assert finish(shell.start("up")).code == 0
        shown = shell.ok("pricing", "show", "team-model-2026-11", "--json").json
    finally:
        shell.end()
    assert shown["model"] == "team-model"
    told = {
        (r["valid_from"][:4], r["service_tier"], r["input_tokens_ge"], r["name"]): r for r in shown["rates"]
    }
    assert told["2027", "default", 200_001, "output"]["usd"] == "24.00"
    assert told["1970", "", 0, "web_search"]["usd"] == "10.00"


def test_names_and_numbers_are_those_of_the_code() -> None:
    named = words_of(part("Schema 2"))
    assert named >= (DIMENSIONS | FEES)
    assert (RATE_MAX, FEE_MAX, MODIFIER_MAX_BP, TOKENS_MAX) == (10**10, 10**10, 10**6, 10**9)
    assert f"{wire_json.BYTES_MAX:,} bytes" in PAGE
    assert f"deeper than {wire_json.DEPTH_MAX};" in PAGE
    assert f"more than {wire_json.DIGITS_MAX} digits" in PAGE
    assert trust.CO_SIGNATURES_MAX == 16
    assert (trust.LIFETIME_MAX_NS, trust.ISSUED_AHEAD_MAX_NS) == (7 * 86_400 * 10**9, 300 * 10**9)
    rows = words_of(part("Schema 1"))
    assert set(schema1_rates._RATES) | set(schema1_rates._FEES) <= rows


def test_every_pricing_code_is_explained() -> None:
    told = dict(re.findall(r"^\| `(pricing_\w+)` \| (\d+) \|", part("Errors"), re.MULTILINE))
    codes = {code for code in Code if code.value.startswith("pricing_")}
    assert told == {code.value: str(int(TABLE[code].exit)) for code in codes}


def test_every_setting_on_the_page_is_one() -> None:
    names = {name for row in settings.rows() for name in row.env}
    told = set(re.findall(r"CAP_[A-Z_]+", PAGE))
    assert told <= names
    assert len(told) >= 4


COMMANDS = re.findall(r"^    (spendguard pricing .+)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_are_real(line: str) -> None:
    words = shlex.split(line)[2:]
    command: Any = typer.main.get_command(app)
    command = command.commands["pricing"]
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    command.make_context("pricing", words)


def test_the_page_names_every_command() -> None:
    tree: Any = typer.main.get_command(app)
    told = {line.split()[2] for line in COMMANDS}
    assert set(tree.commands["pricing"].commands) - told == {"show", "refresh"}
