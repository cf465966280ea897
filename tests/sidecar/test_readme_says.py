"""What the README and the ledger's format say of prices, routes and keys, against the code that does it."""

import re
from pathlib import Path

import pytest

from spendguard_daemon.gateway.routes import match
from spendguard_daemon.pricing import cards, catalogue
from spendguard_daemon.pricing.wire_json import Row
from spendguard_daemon.providers import FORMATS
from spendguard_daemon.setting_values import OVERRIDES_HELP
from spendguard_daemon.settings import KEY_NAMES, PROVIDERS, load

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FORMAT = (ROOT / "references/ledger-format.md").read_text(encoding="utf-8")


def test_the_price_of_ones_own_is_one_that_can_be_used() -> None:
    found = re.search(r"<!-- own price -->\n```toml\n(.+?)```", README, re.DOTALL)
    assert found
    overrides = load(found[1], {}).price_overrides
    ((provider, rows),) = overrides.items()
    ((model, _),) = rows.items()
    merged = Row(catalogue.merge({}, overrides), "overrides")
    card = cards.read_card(provider, model, merged.row(provider).row("models").row(model))
    assert card.limits.output_tokens_max == 65_536
    title = re.search(r"\((.+)\)", OVERRIDES_HELP)
    assert title
    assert f"**{title[1]}**" in README


@pytest.mark.parametrize("name", [name for names in KEY_NAMES.values() for name in names])
def test_the_variables_of_keys_are_named(name: str) -> None:
    assert f"`{name}`" in README


@pytest.mark.parametrize("provider", PROVIDERS)
def test_each_provider_has_its_prefix_and_its_path_form(provider: str) -> None:
    version = "v1beta" if provider == "gemini" else "v1"
    assert f"`/{provider}/{version}/...`" in README
    assert match("GET", f"/{provider}/{version}/models").provider == provider
    assert f"{'/' if provider == 'openai' else '.../'}{provider}`" in README


@pytest.mark.parametrize("part", ["listen", "origins"])
def test_what_lets_others_in_is_what_the_settings_take(part: str) -> None:
    found = re.search(rf"<!-- {part} -->\n```\n(.+?)```", README, re.DOTALL)
    assert found
    said = [line.partition("#")[0].split() for line in found[1].splitlines()]
    given = [words[4].split(".") + words[5:] for words in said if words[2:4] == ["config", "set"]]
    env = {f"SPENDGUARD_{section}_{name}".upper(): value for section, name, value in given}
    settings = load("", env)
    assert settings.bare_header == ("refuse" if part == "listen" else "keyless")
    assert settings.listen == (("172.17.0.1",) if part == "listen" else ())
    assert len(settings.hosts + settings.origins) == (1 if part == "listen" else 2)


@pytest.mark.parametrize("names", sorted(FORMATS))
def test_the_ledgers_format_lists_who_is_billed_and_for_what(names: tuple[str, str]) -> None:
    row = next(line for line in FORMAT.splitlines() if line.startswith("| `provider` string, `endpoint`"))
    assert all(f"`{name}`" in row for name in names)
