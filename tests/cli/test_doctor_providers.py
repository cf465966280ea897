"""The doctor on providers: keys that are missing, empty or wrong, and addresses that lead nowhere."""

from collections.abc import Iterator
from typing import Any

import pytest

from models_page import RIGHT_KEY, ModelsPage
from shell import Shell
from spendguard_cli import supervisor
from spendguard_daemon.runtime import Home
from typist import Typist

Found = dict[str, Any]


class Desk:
    """A sidecar, a provider, an agent with money, and an operator; `first`: what the doctor names first."""

    def __init__(self, shell: Shell, page: ModelsPage, typist: Typist):
        self.shell, self.page, self.typist = shell, page, typist
        self.agent, self.started_with = shell.agent("worker", cents=1000, mock=False), ""

    def first(self) -> Found:
        return self.typist.look("--agent", self.agent)[0]

    def has_no_key(self) -> None:
        """Let the sidecar have no key, nor this shell, and make an agent of which nothing was refused yet."""
        self.typist.env.pop("OPENAI_API_KEY", None)
        (self.shell.home / "secrets.toml").unlink(missing_ok=True)
        if self.started_with:
            self.starts_with("")
        running = supervisor.find(Home(self.shell.home))
        assert running is not None
        with running.control() as control:
            control.reload_keys()
            self.agent = control.create_agent({}).agent_id
            control.grant(self.agent, 1000, None)

    def has_key(self, key: str) -> None:
        """Let the sidecar be started from a shell with this key, and with no other anywhere."""
        (self.shell.home / "secrets.toml").unlink(missing_ok=True)
        if self.started_with != key or self.typist.env.get("OPENAI_API_KEY") != key:
            self.starts_with(key)

    def starts_with(self, key: str) -> None:
        """Start the sidecar anew from a shell with this key, if it is one."""
        self.typist.env |= {"OPENAI_API_KEY": key} if key else {}
        assert self.typist.type("spendguard restart").code == 0
        self.started_with = key

    def refused(self) -> None:
        """Make a call that is refused for want of a key."""
        answer = self.shell.call(self.agent, model="gpt-4o-mini")
        assert answer.json()["spendguard"]["code"] == "provider_key_missing"

    def asks(self) -> int:
        """Make a call, and return the status of its answer."""
        return self.shell.call(self.agent, model="gpt-4o-mini").status_code

    def well(self) -> None:
        """Nothing is wrong with this provider any more, and it takes the key."""
        found = [one for one in self.typist.look("--agent", self.agent) if one["group"] == "providers"]
        assert {one["level"] for one in found} <= {"ok", "note"}, found
        assert self.typist.type("spendguard provider test openai").code == 0
        assert self.asks() == 200


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("providers")
    page = ModelsPage()
    shell = Shell(folder / "home", SPENDGUARD_OPENAI_BASE_URL=page.base_url)
    shell.ok("up")
    yield Desk(shell, page, Typist(shell, folder / "at"))
    shell.end()
    page.end()


def test_a_missing_key(desk: Desk) -> None:
    desk.has_no_key()
    desk.refused()
    first = desk.first()
    assert (first["check"], first["level"], first["code"]) == (
        "providers.keys",
        "red",
        "provider_key_missing",
    )
    assert "which calls to openai need" in first["finding"]
    (line,) = first["remedy"]
    assert desk.typist.type(line, stdin=RIGHT_KEY).code == 0
    desk.well()


def test_an_empty_key(desk: Desk) -> None:
    desk.has_no_key()
    desk.typist.env["OPENAI_API_KEY"] = " "
    first = desk.first()
    assert (first["check"], first["level"]) == ("providers.keys", "warning")
    assert "OPENAI_API_KEY of this shell is empty" in first["finding"]
    desk.refused()
    first = desk.first()
    assert first["level"] == "red"
    (line,) = first["remedy"]
    assert desk.typist.type(line, stdin=RIGHT_KEY).code == 0
    desk.well()


def test_a_key_that_this_shell_alone_has(desk: Desk) -> None:
    desk.has_no_key()
    desk.refused()
    desk.typist.env["OPENAI_API_KEY"] = RIGHT_KEY
    first = desk.first()
    assert (first["check"], first["level"]) == ("providers.keys", "red")
    assert "This shell has OPENAI_API_KEY" in first["finding"]
    assert RIGHT_KEY not in str(first)
    desk.typist.mends(first)
    desk.started_with = RIGHT_KEY
    desk.well()


def test_a_provider_that_cannot_be_reached(desk: Desk) -> None:
    desk.has_key(RIGHT_KEY)
    desk.page.end()
    first = desk.first()
    assert (first["check"], first["level"], first["code"]) == (
        "providers.reach",
        "red",
        "upstream_unreachable",
    )
    assert "Check the network" in first["deed"]
    assert desk.page.base_url in str(first["evidence"])
    desk.page.start()
    desk.well()


def test_a_variable_that_client_and_sidecar_both_read(desk: Desk) -> None:
    """XAI_BASE_URL sends the SDK to the sidecar, and would send the next sidecar to itself."""
    desk.has_key(RIGHT_KEY)
    kept = dict(desk.typist.env)
    desk.typist.env["OPENAI_BASE_URL"] = f"http://127.0.0.1:{desk.shell.daemon()['port']}/v1"
    desk.typist.env["XAI_BASE_URL"] = f"http://127.0.0.1:{desk.shell.daemon()['port']}/grok/v1"
    first = desk.first()
    assert (first["check"], first["level"]) == ("providers.address", "warning")
    assert "would take itself for grok" in first["finding"]
    desk.typist.mends(first)
    desk.well()
    shown = desk.shell.quick.ok("config", "show", "--json", **desk.typist.env).json["settings"]
    urls = {row["name"]: row["value"] for row in shown}
    assert urls["providers.grok.base_url"] == "https://api.x.ai/v1"
    desk.typist.env = kept


def test_a_wrong_key(desk: Desk) -> None:
    """A call that was answered 401 leads to the same remedy, by whichever check; typed, the call passes."""
    desk.has_key("sk-wrong-0123456789abcdef")
    assert desk.asks() == 503
    [failed] = desk.typist.look("--agent", desk.agent, "--check", "failures.providers")
    assert (failed["level"], failed["code"]) == ("red", "provider_key_rejected")
    first = desk.first()
    assert (first["check"], first["level"], first["code"]) == (
        "providers.reach",
        "red",
        "provider_key_rejected",
    )
    assert "which came from OPENAI_API_KEY" in first["finding"]
    assert "sk-wrong" not in str(first)
    assert failed["remedy"] == first["remedy"] and failed["deed"] == first["deed"]
    assert first["remedy"][0].startswith("unset ")
    for line in failed["remedy"]:
        assert desk.typist.type(line, stdin=RIGHT_KEY).code == 0
    desk.started_with = ""
    desk.well()
    [after] = desk.typist.look("--agent", desk.agent, "--check", "failures.providers")
    assert after["level"] == "note"


def test_an_address_that_is_the_sidecars_own(desk: Desk) -> None:
    desk.typist.env.pop("OPENAI_API_KEY", None)
    (desk.shell.home / "secrets.toml").unlink(missing_ok=True)
    own = f"http://127.0.0.1:{desk.shell.daemon()['port']}"
    kept = dict(desk.typist.env)
    desk.typist.env["SPENDGUARD_OPENAI_BASE_URL"] = f"{own}/v1"
    assert desk.typist.type(f"spendguard config set providers.grok.base_url {own}/grok/v1").code == 0
    assert desk.typist.type("spendguard restart").code == 0
    for provider in ("openai", "grok"):
        first = desk.first()
        assert (first["check"], first["level"]) == ("providers.address", "red")
        assert f"The address of {provider} is the sidecar's own" in first["finding"]
        desk.typist.mends(first)
    assert desk.first()["check"] != "providers.address"
    desk.typist.env, desk.started_with = kept, "none, and not at this page"
