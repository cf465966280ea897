"""Flags and environment make one answer: which sidecar, which key, may we start it."""

from pathlib import Path

import pytest

from spendguard_cli.context import Connection, Flags, resolve
from spendguard_daemon.errors import Code, SpendGuardError

HOSTED = {"CAP_MODE": "hosted", "CAP_BASE_URL": "https://caps.example.com"}


def refused(flags: Flags, env: dict[str, str]) -> SpendGuardError:
    with pytest.raises(SpendGuardError) as caught:
        resolve(flags, env)
    assert caught.value.code is Code.USAGE
    return caught.value


def test_nothing_said_means_the_sidecar_of_the_home_started_on_demand() -> None:
    found = resolve(Flags(), {"SPENDGUARD_HOME": "/srv/guard"})
    assert (found.home.root, found.base_url, found.api_key) == (Path("/srv/guard"), None, None)
    assert found.local
    assert found.stay is None


def test_a_flag_wins_over_the_environment() -> None:
    env = {"SPENDGUARD_HOME": "/a", "CAP_BASE_URL": "http://127.0.0.1:1", "CAP_API_KEY": "env-key"}
    found = resolve(Flags(home="/b", base_url="http://127.0.0.1:2", api_key="flag-key"), env)
    assert (found.home.root, found.base_url, found.api_key) == (Path("/b"), "http://127.0.0.1:2", "flag-key")


def test_flags_after_the_command_win_over_those_before_it() -> None:
    outer = Flags(home="/outer", api_key="outer", json=True)
    assert Flags(home="/inner").over(outer) == Flags(home="/inner", api_key="outer", json=True)


def test_hosted_mode_asks_for_the_key_by_name() -> None:
    error = refused(Flags(), HOSTED)
    assert "CAP_MODE=hosted" in error.detail
    assert "--api-key" in error.remedy
    assert "CAP_API_KEY" in error.remedy


def test_hosted_mode_asks_for_the_address_by_name() -> None:
    assert "CAP_BASE_URL" in refused(Flags(api_key="k"), {"CAP_MODE": "hosted"}).remedy


def test_a_sidecar_elsewhere_needs_a_key_too_and_is_never_started() -> None:
    assert "API key" in refused(Flags(), {"CAP_BASE_URL": "http://guard.lan:8787"}).detail
    found = resolve(Flags(api_key="k"), {"CAP_BASE_URL": "http://guard.lan:8787"})
    assert not found.local
    assert found.stay is not None


@pytest.mark.parametrize(
    ("flags", "env"),
    [
        (Flags(no_spawn=True), {}),
        (Flags(), {"SPENDGUARD_EXEC": "1"}),
        (Flags(api_key="k"), HOSTED),
    ],
)
def test_nothing_is_started_where_it_must_not_be(flags: Flags, env: dict[str, str]) -> None:
    assert resolve(flags, env).stay is not None


@pytest.mark.parametrize("address", ["http://127.0.0.1:9000", "http://localhost:9000", "http://[::1]:9000"])
def test_loopback_addresses_are_local(address: str) -> None:
    found = resolve(Flags(), {"CAP_BASE_URL": address})
    assert found.local
    assert found.port == 9000


@pytest.mark.parametrize("tail", ["", "/", "/v1", "/v1/"])
def test_the_address_may_be_written_as_clients_write_it(tail: str) -> None:
    assert resolve(Flags(base_url=f"http://127.0.0.1:9000{tail}"), {}).base_url == "http://127.0.0.1:9000"


@pytest.mark.parametrize(
    "address",
    ["8787", "localhost:8787", "ftp://127.0.0.1", "http://", "http://a b", "http://[::1", "http://h:99999",
     "http://user@127.0.0.1:1", "http://127.0.0.1:1/?a=b", "http://127.0.0.1:1/#x", "http://127.0.0.1\n:1"],
)  # fmt: skip
def test_what_is_no_address_is_a_usage_error(address: str) -> None:
    """The message names whichever of flag and variable was used."""
    assert refused(Flags(base_url=address), {}).detail.startswith("--base-url: ")
    assert refused(Flags(), {"CAP_BASE_URL": address}).detail.startswith("CAP_BASE_URL: ")


def test_an_unknown_mode_is_named() -> None:
    assert "CAP_MODE" in refused(Flags(), {"CAP_MODE": "cloud"}).detail


@pytest.mark.parametrize("key", ["two words", "snowman-☃", "line\nbreak", "nul\x00"])
def test_a_key_no_header_can_carry_is_refused_and_never_repeated(key: str) -> None:
    for flags, env, name in (
        (Flags(api_key=key), {}, "--api-key"),
        (Flags(), {"CAP_API_KEY": key}, "CAP_API_KEY"),
    ):
        error = refused(flags, env)
        assert key not in error.detail + error.remedy
        assert error.detail.startswith(f"{name}: ")


def test_a_home_that_is_none_is_named_as_it_was_given() -> None:
    nowhere = "~nobody-of-this-name/x"
    assert refused(Flags(home=nowhere), {}).detail.startswith("--home: ")
    assert refused(Flags(), {"SPENDGUARD_HOME": nowhere}).detail.startswith("SPENDGUARD_HOME: ")


def test_why_nothing_is_started_names_what_was_typed() -> None:
    assert resolve(Flags(base_url="http://guard.lan:1", api_key="k"), {}).stay == (
        "--base-url names another machine"
    )


def test_ports_follow_the_scheme_where_none_is_named() -> None:
    assert resolve(Flags(base_url="https://localhost"), {}).port == 443
    assert resolve(Flags(base_url="http://localhost"), {}).port == 80


def test_a_connection_tells_nothing_by_accident() -> None:
    """A connection is a value: it can be compared in tests and shown in a debugger."""
    assert isinstance(resolve(Flags(), {}), Connection)
