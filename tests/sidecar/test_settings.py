"""Settings: precedence, strictness, and the addresses that keys may be sent to."""

import pytest

from spendguard_daemon.addresses import DEFAULT_BASE_URLS, PUBLIC_PRICES_KEY, PUBLIC_PRICES_URL
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.settings import Settings, load, rows


def test_defaults() -> None:
    """No file, no variable: the documented values."""
    settings = load("", {})
    assert settings == Settings()
    assert (settings.port, settings.default_max_output, settings.held_wait_seconds) == (8787, 16384, 5)
    assert settings.base_urls == DEFAULT_BASE_URLS


def test_flag_beats_environment_beats_file_beats_default() -> None:
    """One order for all."""
    text = "[daemon]\nport = 1111\n"
    assert load(text, {}).port == 1111
    assert load(text, {"SPENDGUARD_DAEMON_PORT": "2222"}).port == 2222
    assert load(text, {"SPENDGUARD_DAEMON_PORT": "2222"}, {"port": 3333}).port == 3333
    assert load(text, {"SPENDGUARD_DAEMON_PORT": "2222"}, {"port": None}).port == 2222


@pytest.mark.parametrize("name", ["CAP_DEFAULT_MAX_TOKENS", "CAP_DEFAULT_MAX_OUTPUT_TOKENS"])
def test_names_of_the_original_keep_their_meaning(name: str) -> None:
    """Who comes from the original changes nothing."""
    assert load("", {name: "99"}).default_max_output == 99


def test_settings_that_mean_nothing_are_warned_about() -> None:
    """Not obeyed, not silent."""
    assert any("CAP_STORE" in warning for warning in load("", {"CAP_STORE": "sqlite"}).warnings)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[daemon]\nport = '8787'\n", None),
        ("[daemon]\nport = true\n", "port"),
        ("[daemon]\nport = 1.5\n", "port"),
        ("[daemon]\nport = 65536\n", "port"),
        ("[daemon]\nprot = 1\n", "prot"),
        ("[deamon]\nport = 1\n", "deamon"),
        ("daemon = 1\n", "daemon"),
        ("[policy]\noverflow = 'clip'\n", "overflow"),
        ("[policy]\nheld_wait_seconds = -1\n", "held_wait_seconds"),
        ("[billing]\nvoid_statuses = [42]\n", "void_statuses"),
        ("[billing]\nvoid_statuses = 429\n", "void_statuses"),
        ("[providers.openai]\nkey = 'sk'\n", "openai"),
        ("[providers.acme]\nbase_url = 'https://x'\n", "acme"),
        ("[prices]\noverrides = 'x'\n", '[prices.overrides.gemini."<model>"]'),
        ("[prices.overrides]\ngemini = 5\n", "overrides"),
        ("[prices.overrides.gemini]\nm = 2\n", "overrides"),
        ("not toml", "config.toml"),
    ],
)
def test_a_wrong_setting_is_named(text: str, named: str | None) -> None:
    """A misspelt limit must not be no limit; text that is a number is one."""
    if named is None:
        assert load(text, {}).port == 8787
        return
    with pytest.raises(SpendGuardError) as refused:
        load(text, {})
    assert named in refused.value.detail


@pytest.mark.parametrize("value", ["²", "٣", "1e3", "", "0x10", "99999999999999"])
def test_odd_digits_in_the_environment_are_no_numbers(value: str) -> None:
    """`"²".isdigit()` is true, and int() of it crashes."""
    with pytest.raises(SpendGuardError):
        load("", {"SPENDGUARD_DAEMON_PORT": value})


@pytest.mark.parametrize(
    "url",
    [
        "http://api.openai.com/v1",
        "ftp://127.0.0.1",
        "https://user:pass@host/v1",
        "https://host/v1?x=1",
        "//host",
        "",
        "https://[::1",
    ],
)
def test_keys_go_over_tls_or_stay_here(url: str) -> None:
    """Plain http only to this machine, and no credentials in a URL."""
    with pytest.raises(SpendGuardError):
        load("", {"SPENDGUARD_OPENAI_BASE_URL": url or " "})


def test_upstreams_never_come_from_the_variables_that_point_at_us() -> None:
    """OPENAI_BASE_URL is what agents use to reach the sidecar."""
    env = {"OPENAI_BASE_URL": "http://127.0.0.1:8787/v1", "XAI_BASE_URL": "https://eu.x.ai/v1/"}
    urls = load("", env).base_urls
    assert urls["openai"] == DEFAULT_BASE_URLS["openai"]
    assert urls["grok"] == "https://eu.x.ai/v1"
    assert (
        load("", {"SPENDGUARD_OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})
        .base_urls["openai"]
        .endswith(":9/v1")
    )


def test_every_setting_says_what_it_is_for() -> None:
    """`config show` has a line for each."""
    assert all(row.help and row.env[0].startswith("SPENDGUARD_") for row in rows())


class TestPrices:
    def test_local_unless_a_url_is_set(self) -> None:
        """`CAP_PRICING_SOURCE` says it outright (design 7)."""
        url = {"CAP_PRICING_URL": "https://prices.example/doc?team=1"}
        assert load("", {}).price_source == "local"
        assert load("", url).price_source == "remote"
        assert load("", url).price_url == "https://prices.example/doc?team=1"
        assert load("", {**url, "CAP_PRICING_SOURCE": "local"}).price_source == "local"
        assert load("[prices]\nurl = 'http://127.0.0.1:9/p'\n", {}).price_source == "remote"
        assert load("", {"CAP_PRICING_SOURCE": "remote"}).price_url == ""

    def test_strict_is_the_public_document(self) -> None:
        """Its published key goes with it; another address has its own."""
        strict = {"SPENDGUARD_PRICES_SOURCE": "strict", "CAP_PRICING_SOURCE": "local"}
        found = load("", strict)
        assert (found.price_source, found.price_url) == ("remote", PUBLIC_PRICES_URL)
        assert found.price_public_key == PUBLIC_PRICES_KEY
        own = load("", {**strict, "CAP_PRICING_SIGNING_PUBLIC_KEY": "mine"})
        assert (own.price_url, own.price_public_key) == (PUBLIC_PRICES_URL, "mine")
        other = load("", {**strict, "CAP_PRICING_URL": "https://prices.example/"})
        assert (other.price_source, other.price_public_key) == ("remote", "")

    def test_names_of_the_original(self) -> None:
        """Each keeps its meaning."""
        found = load(
            "",
            {
                "CAP_PRICING_SCHEMA_VERSION": "1",
                "CAP_PRICE_TABLE_REFRESH_SECONDS": "60",
                "CAP_PRICING_EXPIRY_SKEW_SECONDS": "0",
                "CAP_PRICING_HTTP_TIMEOUT_SECONDS": "3",
                "CAP_PRICING_VERIFY_SIGNATURE": "False",
            },
        )
        assert found.price_schema == "1"
        assert (found.price_refresh_seconds, found.price_expiry_skew_seconds) == (60, 0)
        assert found.price_http_timeout_seconds == 3
        assert not found.price_verify_signature
        assert load("[prices]\nverify_signature = true\n", {}).price_verify_signature

    @pytest.mark.parametrize(
        "url",
        [
            "http://prices.example/",
            "http://169.254.169.254/latest",
            "http://127.0.0.1.nip.io/",
            "file:///etc/passwd",
            "ftp://127.0.0.1/prices",
            "https://me:secret@prices.example/",
            "https://prices.example/#x",
            "//prices.example",
            "https://" + "x" * 3000,
        ],
    )
    def test_where_a_document_may_come_from(self, url: str) -> None:
        """Https, or this machine; nothing else, whoever asks for it."""
        with pytest.raises(SpendGuardError):
            load("", {"CAP_PRICING_URL": url})

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("CAP_PRICING_SOURCE", "file"),
            ("CAP_PRICING_SCHEMA_VERSION", "3"),
            ("CAP_PRICE_TABLE_REFRESH_SECONDS", "0"),
            ("CAP_PRICING_EXPIRY_SKEW_SECONDS", "301"),
            ("CAP_PRICING_VERIFY_SIGNATURE", "maybe"),
            ("CAP_PRICING_SIGNING_PUBLIC_KEY", "x" * 300),
        ],
    )
    def test_what_they_do_not_take(self, name: str, value: str) -> None:
        """Named in the refusal."""
        with pytest.raises(SpendGuardError) as refused:
            load("", {name: value})
        assert name in refused.value.detail

    def test_overrides_mean_nothing_to_a_remote_source(self) -> None:
        """Not obeyed, not silent."""
        text = "[prices.overrides.openai.x]\nfree = true\n"
        assert not load(text, {}).warnings
        assert any("overrides" in said for said in load(text, {"CAP_PRICING_URL": "https://a/"}).warnings)
