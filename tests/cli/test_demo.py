"""Issue 2, "done" 1: the demo shows what it claims, adds up, and leaves nothing behind, however it ends."""

import os
import signal
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Self

import pytest

from shell import Shell, Terminal, finish
from spendguard_cli.demo import play
from spendguard_cli.demo.acts import Cast
from spendguard_cli.demo.reckoning import reckon
from spendguard_cli.demo.scenes import Check, Reckoning
from spendguard_cli.demo.stage import private
from spendguard_cli.output import Form, Output
from spendguard_daemon import wire


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Shell]:
    """A shell whose temporary folder is ours to look into; its home must never come into being."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    yield Shell(tmp_path / "home", TMPDIR=str(temporary), OPENAI_API_KEY="sk-canary-0123456789")
    assert not (tmp_path / "home").exists()
    assert list(temporary.iterdir()) == []
    assert daemons(temporary) == []


def daemons(temporary: Path) -> list[int]:
    """The living sidecars whose home lies in `temporary`; needs /proc."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, environ = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:
            continue
        if b"spendguard_daemon" in command and f"SPENDGUARD_HOME={temporary}".encode() in environ:
            found.append(int(process.name))
    return found


def test_the_demo_on_a_pipe_is_plain_and_complete(stage: Shell) -> None:
    told = stage.ok("demo")
    assert told.err == ""
    assert "\x1b" not in told.out
    assert "FAILED" not in told.out
    for shown in ("sent ", "402", "409", "holder release-1", "kill -9", "settled_worst", "granted"):
        assert shown in told.out
    assert "sk-canary" not in told.out


def test_the_demo_for_a_machine_adds_up_to_the_nano_dollar(stage: Shell) -> None:
    """The test adds again, from the figures alone."""
    verdict = stage.ok("demo", "--json").json
    assert verdict["ok"] is True
    assert [scene["name"] for scene in verdict["scenes"]] == ["spend", "clamp", "refuse", "lock", "crash"]
    assert all(check["ok"] for scene in verdict["scenes"] for check in scene["checks"])
    entries, accounts = verdict["reckoning"]["entries"], verdict["reckoning"]["accounts"]
    *single, total = accounts
    for account in accounts:
        assert Decimal(account["funded_usd"]) == Decimal(account["settled_usd"]) + Decimal(
            account["remaining_usd"]
        )
        assert Decimal(account["held_usd"]) == 0
    for account in single:
        costs = [Decimal(entry["cost_usd"]) for entry in entries if entry["agent"] == account["agent"]]
        assert sum(costs) == Decimal(account["settled_usd"])
    assert sum(Decimal(account["settled_usd"]) for account in single) == Decimal(total["settled_usd"])
    crashed = [entry for entry in entries if entry["state"] == "settled_worst"]
    assert len(crashed) == 1
    assert crashed[0]["cost_usd"] == crashed[0]["hold_usd"] != "0.00"
    assert sorted(entry["state"] for entry in entries).count("refused") == 2


def test_the_demo_on_a_terminal_is_for_people(stage: Shell) -> None:
    terminal = Terminal(stage, "demo")
    assert terminal.end() == 0
    assert "✓" in terminal.said.decode()
    assert b"\x1b[" in terminal.said


@pytest.mark.parametrize(
    ("number", "lines"),
    [(signal.SIGINT, 0), (signal.SIGTERM, 1), (signal.SIGINT, 12), (signal.SIGHUP, 24), (signal.SIGTERM, 28)],
)
def test_an_interrupted_demo_leaves_nothing_behind(stage: Shell, number: signal.Signals, lines: int) -> None:
    process = stage.start("demo")
    for _ in range(lines):
        process.stdout.readline()  # type: ignore[union-attr]
    if lines == 0:
        wait_for_folder(Path(stage.env["TMPDIR"]))
    process.send_signal(number)
    process.send_signal(signal.SIGINT)
    ran = finish(process)
    assert ran.code == 130, ran


def wait_for_folder(temporary: Path) -> None:
    """Return at the first sign of a demo: its folder, some moments before its sidecar."""
    deadline = time.monotonic() + 30
    while not list(temporary.iterdir()):
        assert time.monotonic() < deadline


def test_the_demo_works_inside_a_configured_shell(stage: Shell) -> None:
    """Nothing of the operator's settings reaches the private sidecar, and hosted mode is no hindrance."""
    strange = {
        "CAP_MODE": "hosted",
        "CAP_BASE_URL": "https://caps.example.com",
        "SPENDGUARD_POLICY_OVERFLOW": "refuse",
    }
    assert stage.ok("demo", "--json", **strange).json["ok"] is True


def test_the_private_environment_has_no_key_and_no_setting() -> None:
    env = {
        "PATH": "/bin",
        "OPENAI_API_KEY": "k",
        "CAP_MODE": "hosted",
        "SPENDGUARD_HOME": "/h",
        "XAI_BASE_URL": "u",
    }
    assert private(env) == {"PATH": "/bin"}


class Ledger:
    """Stands for the stage and its sidecar: one agent, one call, and books that may be wrong."""

    def __init__(self, *, cost: str, settled: str, remaining: str, held: str = "0.00"):
        self.control = self
        self._cost = cost
        self._budget = (settled, remaining, held)

    def calls(self, agent_id: str, limit: int) -> list[wire.Call]:
        return [
            wire.Call(
                call_id="c", agent_id=agent_id, run_id="r", provider="mock", endpoint="e", model="m",
                state="settled", hold_usd="0.10", cost_usd=self._cost, usage=None, lines=[], changed=[],
                document_sha256=None, http_status=200, code=None, reason=None, created_at="", ended_at="",
            )
        ]  # fmt: skip

    def budget(self, agent_id: str) -> wire.Budget:
        settled, remaining, held = self._budget
        return wire.Budget(
            agent_id=agent_id, hard_limit_cents=100, remaining_cents=0, locked_cents=0, locked_run_id=None,
            locked_expires_at=None, hard_limit_usd="1.00", remaining_usd=remaining, available_usd=remaining,
            held_usd=held, settled_usd=settled, funded_usd="1.00",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("ledger", "sums", "identity"),
    [
        (Ledger(cost="0.000000001", settled="0.000000001", remaining="0.999999999"), True, True),
        (Ledger(cost="0.000000002", settled="0.000000001", remaining="0.999999999"), False, True),
        (Ledger(cost="0.000000001", settled="0.000000001", remaining="0.999999998"), True, False),
        (Ledger(cost="0.01", settled="0.01", remaining="0.99", held="0.000000001"), False, True),
    ],
)
def test_the_reckoning_sees_a_single_nano_dollar(ledger: Ledger, sums: bool, identity: bool) -> None:
    """Checked on books that are wrong by one: a table that always agrees would prove nothing."""
    table = reckon(Cast(ledger, agents={"a": "id"}))  # type: ignore[arg-type]
    total = table.accounts[-1]
    assert (total.agent, total.funded_usd) == ("all", "1.00")
    assert table.checks[0].ok is sums
    added = Decimal(total.settled_usd) + Decimal(total.remaining_usd) == Decimal(total.funded_usd)
    assert added is identity
    if not identity:
        assert not table.checks[1].ok


def test_a_claim_that_is_not_borne_out_fails_the_demo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Nothing:
        def __init__(self, env: object): ...

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

        def start(self) -> None: ...

    wrong = Reckoning(entries=[], accounts=[], checks=[Check(claim="two and two are five", ok=False)])
    monkeypatch.setattr(play, "Stage", Nothing)
    monkeypatch.setattr(play, "acts", lambda _: iter(()))
    monkeypatch.setattr(play, "reckon", lambda _: wrong)
    assert play.perform(Output(Form.LINES), dict(os.environ)) is False
    said = capsys.readouterr()
    assert "FAILED: two and two are five" in said.out
    assert "two and two are five" in said.err
