"""Editing config.toml and secrets.toml: typed values, nothing else touched, nothing secret repeated."""

import stat
import tomllib
from pathlib import Path

import pytest

from spendguard_cli import tomlfiles
from spendguard_daemon import settings
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.runtime import Home

CANARY = "sk-canary-0123456789"


def test_a_setting_gets_the_type_of_its_default() -> None:
    text = tomlfiles.with_setting("", "limits.idle_seconds", "120")
    text = tomlfiles.with_setting(text, "billing.void_statuses", "429, 503")
    text = tomlfiles.with_setting(text, "policy.overflow", "refuse")
    assert tomllib.loads(text) == {
        "limits": {"idle_seconds": 120},
        "billing": {"void_statuses": [429, 503]},
        "policy": {"overflow": "refuse"},
    }
    assert settings.load(text, {}).idle_seconds == 120


def test_features_are_allowed_and_taken_back() -> None:
    text = tomlfiles.with_allowed(
        '[policy]\noverflow = "refuse"\n', ["a.b:c", "a.b:d", "a.b:c"], remove=False
    )
    assert tomllib.loads(text) == {"policy": {"overflow": "refuse", "allow": ["a.b:c", "a.b:d"]}}
    assert settings.load(text, {}).allow == ("a.b:c", "a.b:d")
    text = tomlfiles.with_allowed(text, ["a.b:e", "a.b:c"], remove=False)
    assert settings.load(text, {}).allow == ("a.b:d", "a.b:e", "a.b:c")
    text = tomlfiles.with_allowed(text, ["a.b:d", "a.b:x"], remove=True)
    assert settings.load(text, {}).allow == ("a.b:e", "a.b:c")
    assert settings.load(tomlfiles.with_setting("", "policy.allow", "a.b:c, a.b:d"), {}).allow == (
        "a.b:c",
        "a.b:d",
    )
    with pytest.raises(SpendGuardError):
        tomlfiles.with_allowed("[policy]\nallow = 5\n", ["a.b:c"], remove=False)


def test_other_settings_stay() -> None:
    before = '[policy]\noverflow = "refuse"\n[providers.openai]\nbase_url = "http://127.0.0.1:1/v1"\n'
    found = tomllib.loads(tomlfiles.with_setting(before, "policy.held_wait_seconds", "0"))
    assert found["policy"] == {"overflow": "refuse", "held_wait_seconds": 0}
    assert found["providers"]["openai"]["base_url"] == "http://127.0.0.1:1/v1"


def test_a_providers_address_can_be_set() -> None:
    text = tomlfiles.with_setting("", "providers.openai.base_url", "http://127.0.0.1:9/v1")
    assert settings.load(text, {}).base_urls["openai"] == "http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limits.idle_seconds", "soon"),
        ("limits.idle_seconds", "0"),
        ("policy.overflow", "both"),
        ("policy.nosuch", "1"),
        ("policy.overflow.deep", "1"),
        ("billing.void_statuses", "429,x"),
        ("providers.openai.base_url", "http://example.com"),
        ("nowhere", "1"),
        ("a.b.c.d", "1"),
        ("prices", "1"),
        ("", "1"),
        (".", "1"),
    ],
)
def test_what_is_no_setting_never_passes_the_settings_own_reader(name: str, value: str) -> None:
    """`config set` writes only what `settings.load` takes."""
    with pytest.raises(SpendGuardError) as caught:
        settings.load(tomlfiles.with_setting('[policy]\noverflow = "clamp"\n', name, value), {})
    assert caught.value.code is Code.USAGE


@pytest.mark.parametrize("name", ["prices.overrides", "prices", "prices.overrides.gemini.m"])
def test_a_price_of_ones_own_is_no_plain_setting(name: str) -> None:
    with pytest.raises(SpendGuardError, match="is no plain setting") as refused:
        tomlfiles.with_setting("", name, "x")
    assert refused.value.code is Code.USAGE
    assert '[prices.overrides.gemini."<model>"]' in refused.value.detail
    assert "README" in refused.value.remedy


def test_keys_are_added_and_replaced_one_by_one() -> None:
    text = tomlfiles.with_key(tomlfiles.with_key("", "openai", "sk-1"), "grok", "xai-2")
    assert tomllib.loads(tomlfiles.with_key(text, "openai", CANARY)) == {
        "keys": {"openai": CANARY, "grok": "xai-2"}
    }


def test_a_key_with_quotes_is_data() -> None:
    nasty = 'x"\\n[keys]\\ngrok="y'
    assert tomllib.loads(tomlfiles.with_key("", "openai", nasty)) == {"keys": {"openai": nasty}}


def test_broken_secrets_are_refused_without_repeating_them() -> None:
    with pytest.raises(SpendGuardError) as caught:
        tomlfiles.with_key(f'[keys]\nopenai = "{CANARY}', "grok", "k")
    assert CANARY not in caught.value.detail + caught.value.remedy


def test_a_file_is_written_for_its_owner_only(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with tomlfiles.editing(home):
        tomlfiles.save(home, home.secrets, "[keys]\n")
    assert stat.S_IMODE(home.secrets.stat().st_mode) == 0o600
    assert home.secrets.read_text() == "[keys]\n"


def test_every_setting_is_shown_with_its_origin(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.config.write_text("[limits]\nidle_seconds = 5\n")
    env = {
        "SPENDGUARD_POLICY_OVERFLOW": "refuse",
        "CAP_SIDECAR_OPEN": "1",
        "XAI_BASE_URL": "http://127.0.0.1:1",
    }
    shown = {row.name: row for row in tomlfiles.show(home, env).settings}
    assert {f"{row.section}.{row.name}" for row in settings.rows()} < set(shown)
    assert (shown["limits.idle_seconds"].value, shown["limits.idle_seconds"].origin) == ("5", "config.toml")
    assert shown["policy.overflow"].origin == "SPENDGUARD_POLICY_OVERFLOW"
    assert shown["policy.concurrency"].origin == "default"
    assert (shown["access.control"].value, shown["access.control"].origin) == (
        "open-loopback",
        "CAP_SIDECAR_OPEN",
    )
    assert shown["providers.grok.base_url"].origin == "XAI_BASE_URL"
    assert all(row.help for row in shown.values())


@pytest.mark.parametrize(
    ("config", "env", "port"),
    [
        ("", {}, None),
        ("[daemon]\nport = 9000\n", {}, 9000),
        ("", {"SPENDGUARD_DAEMON_PORT": "9001"}, 9001),
        ("", {"SPENDGUARD_DAEMON_PORT": "0"}, None),
    ],
)
def test_a_port_counts_as_configured_only_if_somebody_asked_for_one(
    tmp_path: Path, config: str, env: dict[str, str], port: int | None
) -> None:
    home = Home(tmp_path)
    home.config.write_text(config)
    assert tomlfiles.configured_port(home, env) == port


@pytest.mark.parametrize(
    "text",
    ["[providers]\nopenai = 'sk-canary'\n", "OPENAI_API_KEY = 'sk-canary'\n", "[keys]\nopenai = 5\n",
     "[keys]\nacme = 'sk-canary'\n", "keys = 'sk-canary'\n", "[keys.openai]\nkey = 'sk-canary'\n"],
)  # fmt: skip
def test_what_nobody_would_read_in_secrets_is_refused(text: str) -> None:
    """Before, a key under another name lay there unused and unsaid."""
    with pytest.raises(SpendGuardError) as caught:
        tomlfiles.with_key(text, "openai", "k")
    assert caught.value.detail.startswith("secrets.toml ")
    assert "sk-canary" not in caught.value.detail + caught.value.remedy
