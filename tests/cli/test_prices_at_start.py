"""`up` and prices: a remote source is strict, switching verification off is said twice and shown in red."""

import json
import os
import signal
from collections.abc import Iterator

import httpx
import pytest

from price_page import PUBLIC_KEY, PricePage, fresh
from shell import Shell
from spendguard_cli import supervisor
from spendguard_daemon.runtime import Home
from until import until

OTHER_KEY = "A" * 42 + "E="
OFF = {"CAP_PRICING_VERIFY_SIGNATURE": "false"}
DANGER = "DANGER: signatures of prices are not verified"


@pytest.fixture
def page() -> Iterator[PricePage]:
    made = PricePage()
    yield made
    made.end()


def control(shell: Shell, method: str, path: str) -> httpx.Response:
    """Ask the control API as the operator."""
    token = (shell.home / "admin.token").read_text().strip()
    return httpx.request(
        method,
        f"http://127.0.0.1:{shell.daemon()['port']}{path}",
        json={} if method == "POST" else None,
        headers={"authorization": f"Bearer {token}"},
        trust_env=False,
    )


def documents(shell: Shell) -> set[str]:
    return {path.name for path in (shell.home / "pricing").glob("*.json")}


def generated(document: bytes) -> str:
    """The second a document was made in, by which it is newer than another."""
    return str(json.loads(document)["generated_at"])[:19]


def test_a_remote_document(shell: Shell, page: PricePage) -> None:
    """Asked plainly, verified, shown without the query of its address, renewed when told to."""
    up = shell.ok("up", **page.env).keys
    assert (up["self_signed"], up["verified"]) == ("false", "true")
    assert page.seen[0]["accept-encoding"] == "identity"
    ran = shell.quick.ok("status", "--json")
    assert "secret" not in ran.out
    shown = ran.json["pricing"]
    assert (shown["source"], shown["schema"], shown["verified"]) == ("remote", 1, True)
    assert shown["url"] == page.url.partition("?")[0]
    assert shown["key_ids"] == [shown["key_id"]]
    first = page.body
    page.body = until(lambda: fresh(400) if generated(fresh()) > generated(first) else None)
    renewed = control(shell, "POST", "/v1/pricing/refresh")
    assert renewed.status_code == 200
    assert renewed.json()["document_sha256"] != shown["document_sha256"]
    assert renewed.json() == control(shell, "GET", "/v1/pricing").json() | {
        "next_refresh_at": renewed.json()["next_refresh_at"],
        "age_seconds": renewed.json()["age_seconds"],
    }
    page.status = 500
    refused = control(shell, "POST", "/v1/pricing/refresh")
    assert (refused.status_code, refused.json()["spendguard"]["code"]) == (503, "pricing_unavailable")
    assert control(shell, "GET", "/v1/pricing").json()["last_error"]["detail"].endswith("it answered 500")


@pytest.mark.parametrize(
    ("status", "key", "said"),
    [
        (500, PUBLIC_KEY, "Remote pricing request failed: it answered 500"),
        (200, OTHER_KEY, "Remote pricing signature verification failed"),
    ],
)
def test_no_valid_document_no_sidecar(
    shell: Shell, page: PricePage, status: int, key: str, said: str
) -> None:
    """`up` says why and exits 8; nothing is written, and nothing falls back to prices of our own."""
    page.status = status
    ran = shell.run("up", **page.env | {"CAP_PRICING_SIGNING_PUBLIC_KEY": key})
    assert ran.code == 8
    assert said in ran.err
    assert documents(shell) == set()


def test_an_expired_document(shell: Shell, page: PricePage) -> None:
    """As the issue has it: the detail of the original."""
    page.body = fresh(generated_at="2026-11-23T12:00:00Z", expires_at="2026-11-23T12:05:00Z")
    ran = shell.run("up", **page.env)
    assert ran.code == 8
    assert "Remote pricing payload has expired" in ran.err


def test_remote_without_an_address(shell: Shell) -> None:
    """What to set is said."""
    ran = shell.run("up", CAP_PRICING_SOURCE="remote")
    assert ran.code == 8
    assert "CAP_PRICING_URL" in ran.err


def test_in_the_foreground_the_control_api_stays(shell: Shell, page: PricePage) -> None:
    """Health is well, nothing is ready, no call passes, and as soon as there is a document all is well."""
    agent_id = shell.agent("a", cents=100)
    shell.ok("down")
    page.status = 503
    process = shell.start("up", "--foreground", **page.env)
    home = Home(shell.home)
    try:
        assert until(lambda: supervisor.find_quietly(home) is not None)
        base = f"http://127.0.0.1:{shell.daemon()['port']}"
        assert httpx.get(f"{base}/health", trust_env=False).status_code == 200
        ready = httpx.get(f"{base}/ready", trust_env=False)
        assert ready.status_code == 503
        assert "it answered 503" in ready.json()["reasons"][0]
        again = shell.run("up", **page.env)
        assert again.code == 8
        assert "it answered 503" in again.err
        assert shell.ok("status", "--json").json["pricing"] is None
        refused = shell.call(agent_id)
        assert refused.status_code == 503
        assert refused.json()["spendguard"]["code"] == "pricing_unavailable"
        assert "Remote pricing request failed: it answered 503" in refused.json()["detail"]
        page.status, page.body = 200, fresh()
        assert until(lambda: httpx.get(f"{base}/ready", trust_env=False).status_code == 200)
        assert shell.call(agent_id).status_code == 200
    finally:
        running = supervisor.find_quietly(home)
        if running is not None:
            os.kill(running.info.pid, signal.SIGTERM)
        process.communicate(timeout=60)


class TestVerificationOff:
    def test_the_setting_alone_starts_nothing(self, shell: Shell) -> None:
        """From the environment or from config.toml; not by another command either."""
        for ran in (shell.run("up", **OFF), shell.run("agent", "list", **OFF)):
            assert ran.code == 8
            assert "--insecure-pricing" in ran.err
        shell.ok("config", "set", "prices.verify_signature", "false")
        assert shell.run("up").code == 8

    def test_nor_does_it_stop_one(self, shell: Shell) -> None:
        """`restart` refuses before anything is stopped."""
        shell.ok("up")
        assert shell.quick.run("status").code == 0
        assert shell.run("restart", **OFF).code == 8
        assert shell.quick.run("status").code == 0

    def test_said_twice_it_is_shown_everywhere(self, shell: Shell, page: PricePage) -> None:
        """Nobody's signature is looked at, and every surface says so."""
        env = page.env | OFF | {"CAP_PRICING_SIGNING_PUBLIC_KEY": OTHER_KEY}
        up = shell.ok("up", "--insecure-pricing", **env)
        assert up.keys["verified"] == "false"
        assert DANGER in up.err
        status = shell.ok("status", "--json", **env).json
        assert status["pricing"]["verified"] is False
        assert status["warnings"][0].startswith(DANGER)
        config = shell.ok("config", "show", "--json", **env).json
        assert config["warnings"][0].startswith(DANGER)
        ready = httpx.get(f"http://127.0.0.1:{shell.daemon()['port']}/ready", trust_env=False)
        assert ready.json()["warnings"][0].startswith(DANGER)
        assert control(shell, "GET", "/v1/pricing").json()["verified"] is False
        assert DANGER in (shell.home / "run" / "daemon.log").read_text()

    def test_prices_of_our_own_are_no_exception(self, shell: Shell) -> None:
        """They are signed and verified as ever, but who switched it off is told all the same."""
        up = shell.ok("up", "--insecure-pricing", **OFF)
        assert (up.keys["self_signed"], up.keys["verified"]) == ("true", "false")
        assert DANGER in up.err


def test_strict_is_not_what_runs(shell: Shell) -> None:
    """`up --strict` never passes a sidecar off as strict that signs its own prices."""
    shell.ok("up")
    ran = shell.run("up", "--strict")
    assert ran.code == 78
    assert "spendguard restart --strict" in ran.err


def test_a_strict_restart_costs_no_sidecar_that_runs(shell: Shell, page: PricePage) -> None:
    """The price server is asked first; and what is tried again by hand is the strict start, no other."""
    shell.ok("up")
    before = shell.daemon()["pid"]
    page.status = 500
    ran = shell.run("restart", "--strict", **page.env)
    assert ran.code == 8
    assert "it answered 500; so the sidecar was not stopped, and runs on with the prices it has" in ran.err
    assert "try: spendguard restart --strict tries again" in ran.err
    assert shell.quick.ok("status", "--json").json["pid"] == before
    shell.quick.ok("down", "--now")
    ran = shell.run("up", "--strict", **page.env)
    assert ran.code == 8
    assert "try: spendguard up --strict tries again" in ran.err


def test_prices_of_our_own_that_a_server_gave_bar_no_way_back(shell: Shell, page: PricePage) -> None:
    """From local to remote and back, on one key: no dead end."""
    shell.ok("up")
    (own,) = documents(shell)
    page.body = (shell.home / "pricing" / own).read_bytes()
    shell.quick.ok("config", "set", "prices.url", page.url)
    shell.quick.ok("config", "set", "prices.source", "remote")
    assert shell.ok("restart").keys["self_signed"] == "false"
    ran = shell.quick.ok("config", "unset", "prices.source")
    assert "prices.url is set, and so prices come from there" in ran.err
    assert "try: spendguard config unset prices.url" in ran.err
    shell.quick.ok("config", "unset", "prices.url")
    assert shell.ok("restart").keys["self_signed"] == "true"


def test_strict_takes_the_address_that_is_set(shell: Shell, page: PricePage) -> None:
    """And its key; whatever CAP_PRICING_SOURCE says."""
    ran = shell.ok("up", "--strict", **page.env, CAP_PRICING_SOURCE="local")
    assert ran.keys["self_signed"] == "false"
    assert shell.ok("up", "--strict", **page.env).keys["changed"] == "false"
    page.status = 500  # it has a document of that server, and may be started again with it
    assert shell.ok("restart", "--strict", **page.env).keys["self_signed"] == "false"
