"""Prices whose signature nobody checks: only who says so twice gets them, and sees it in red everywhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import hostile_prices as hostile
from hostile_prices import HostilePrices
from price_vector import OTHER_SEED, PIN, text_of
from recorded import RecordedUpstream
from shell import Shell, Terminal
from strict import CALL, priced_1, priced_2, snapshot

OFF = {"CAP_PRICING_VERIFY_SIGNATURE": "false"}
RED = re.compile(rb"\x1b\[(?:[0-9]+;)*31m[^\x1b]*(?:not verified|unverified)", re.IGNORECASE)
"""A red sentence about it, and not a red mark somewhere."""


@pytest.fixture
def server() -> Iterator[HostilePrices]:
    """A price server whose documents are signed by a key that nobody pinned."""
    with HostilePrices(hostile.body(priced_2(5, seed=OTHER_SEED))) as server:
        yield server


@pytest.fixture
def upstream() -> Iterator[RecordedUpstream]:
    """A provider."""
    with RecordedUpstream() as upstream:
        yield upstream


@pytest.fixture
def shell(tmp_path: Path, server: HostilePrices, upstream: RecordedUpstream) -> Iterator[Shell]:
    """A shell in strict mode, with the right key pinned."""
    made = Shell(
        tmp_path / "home",
        CAP_PRICING_URL=server.url,
        CAP_PRICING_SIGNING_PUBLIC_KEY=text_of(PIN.public_key),
        SPENDGUARD_OPENAI_BASE_URL=upstream.base_url,
        OPENAI_API_KEY="sk-canary-0123456789abcdef",
    )
    yield made
    made.end()


def call(shell: Shell, agent_id: str) -> int:
    """Make one call to the provider; return its status."""
    return shell.call(agent_id, **CALL).status_code


@pytest.mark.parametrize("where", ["environment", "config.toml"])
def test_the_setting_alone_starts_nothing(shell: Shell, server: HostilePrices, where: str) -> None:
    """It may have been set for another day, or by another program."""
    env = OFF
    if where == "config.toml":
        env = {}
        shell.home.mkdir(mode=0o700)
        (shell.home / "config.toml").write_text("[prices]\nverify_signature = false\n")
        (shell.home / "config.toml").chmod(0o600)
    for command in (["up"], ["up", "--foreground"], ["restart"]):
        ran = shell.run(*command, **env)
        assert ran.code == 8, ran
        assert "--insecure-pricing" in ran.out + ran.err
    assert shell.quick.run("status").code == 3
    assert server.asked == []


def test_the_flag_alone_verifies_all_the_same(shell: Shell) -> None:
    """Two keys to one door."""
    ran = shell.run("up", "--insecure-pricing")
    assert ran.code == 8
    assert "signature verification failed" in ran.out + ran.err
    assert shell.quick.run("status").code == 3


def test_both_run_in_red_on_every_surface(shell: Shell, upstream: RecordedUpstream) -> None:
    """Whoever looks sees it: a person at a terminal, a script, a program that asks."""
    up = Terminal(shell_with(shell, OFF), "up", "--insecure-pricing")
    assert up.end() == 0, up.said
    assert RED.search(up.said), up.said
    status = Terminal(shell, "status")
    assert status.end() == 0
    assert RED.search(status.said), status.said
    told = shell.quick.ok("status", "--json").json
    assert told["pricing"]["verified"] is False
    assert any("not verified" in warning or "unverified" in warning for warning in told["warnings"])
    again = Terminal(shell, "up")
    assert again.end() == 0
    assert RED.search(again.said), again.said
    agent_id = shell.quick.agent("a", cents=500, mock=False)
    assert call(shell, agent_id) == 200
    assert upstream.arrived == 1


def test_without_signature_all_else_is_checked(shell: Shell, server: HostilePrices) -> None:
    """Expiry, form, rows and rollback need no key."""
    shell.ok("up", "--insecure-pricing", **OFF)
    agent_id = shell.quick.agent("a", cents=500, mock=False)
    for bad, code in (
        (priced_2(4, seed=OTHER_SEED), "pricing_rollback"),
        (priced_2(6, output_micros=-1), "pricing_invalid"),
        (priced_2(6, seconds=8 * 86_400), "pricing_invalid"),
        (priced_1()[:-1], "pricing_invalid"),
    ):
        server.behave = hostile.body(bad)
        assert code in refreshed(shell), code
        assert call(shell, agent_id) == 200, "the one before goes on"


def test_once_verified_again_nothing_unverified_is_left(shell: Shell, server: HostilePrices) -> None:
    """What was taken without a signature is not taken from the disk with one."""
    shell.ok("up", "--insecure-pricing", **OFF)
    shell.quick.ok("down")
    before = snapshot(shell.home)
    assert shell.run("up").code == 8
    server.behave = hostile.status(500)
    assert shell.run("up").code == 8
    assert snapshot(shell.home) == before
    server.behave = hostile.body(priced_2(1))
    shell.ok("up")
    assert shell.quick.ok("status", "--json").json["pricing"]["sequence"] == 1, "an unsigned 5 is no mark"
    status = Terminal(shell, "status")
    assert status.end() == 0
    assert not RED.search(status.said)


def shell_with(shell: Shell, env: dict[str, str]) -> Shell:
    """Return the same shell with more in its environment."""
    made = Shell(shell.home)
    made.env = shell.env | env
    return made


def refreshed(shell: Shell) -> str:
    """Have the prices fetched; return what is answered."""
    token = (shell.home / "admin.token").read_text().strip()
    url = f"http://127.0.0.1:{shell.daemon()['port']}/v1/pricing/refresh"
    return httpx.post(url, headers={"x-api-key": token}, trust_env=False, verify=False).text
