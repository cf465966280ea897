"""`doctor` itself: what it lists, what it mends, what it shows to whom, and on how narrow a terminal."""

import io
from typing import Any

import pytest
from rich.console import Console

from shell import Quick
from spendguard_cli.context import Flags
from spendguard_cli.doctor.examine import CHECKS
from spendguard_cli.doctor.findings import Check, Finding, Level, ok
from spendguard_cli.doctor.fixing import mend
from spendguard_cli.doctor.world import World
from spendguard_cli.session import Session
from spendguard_cli.shapes import Diagnosis, DiagnosisDetail
from spendguard_cli.views import view
from spendguard_daemon.errors import Code, SpendGuardError

COMMAND = (
    "spendguard budget set --agent 0a89ec47-0e88-4b0e-b30f-62347a8604f0 --limit 500000 --topup 1000 " * 2
)
HOSTILE = "evil\x1b]0;owned\x07 \u202e[red]name[/red]"


def found(level: Level, check: str, **more: Any) -> Finding:
    return Finding(level=level, finding=f"{check} is so", check=check, group=check.partition(".")[0], **more)


FINDINGS = [
    found(Level.RED, "ledger.whole", remedy=[COMMAND.strip()], evidence=[HOSTILE * 3]),
    found(Level.WARNING, "home.modes", deed="Free the disk."),
    found(Level.OK, "daemon.up"),
    found(Level.OK, "daemon.port"),
    found(Level.OK, "home.place"),
    found(Level.OK, "prices.signed"),
]


def shown(value: object, width: int) -> str:
    text = io.StringIO()
    Console(file=text, width=width, markup=False, highlight=False, emoji=False).print(view(value), crop=False)
    return text.getvalue()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_diagnosis_fits_and_its_commands_are_whole(width: int) -> None:
    """The cause first; what is well in one line; a command on one line, however long it is."""
    lines = shown(Diagnosis(findings=FINDINGS, worst="red", done=["made a folder"]), width).splitlines()
    assert lines[0] == "done: made a folder"
    assert lines[1].startswith("✗ ledger.whole is so")
    assert f"  $ {COMMAND.strip()}" in lines
    assert all(len(line.rstrip()) <= width for line in lines if not line.startswith("  $"))
    assert "✓ ok: daemon, home.place, prices" in [line.rstrip() for line in lines]
    assert lines[-1].rstrip() == "1 red finding, 1 warning"
    assert not {"\x1b", "\x07", "\u202e"} & set("".join(lines))


def test_verbose_shows_what_is_well_line_by_line() -> None:
    whole = Diagnosis(findings=FINDINGS, worst="red")
    text = shown(DiagnosisDetail(diagnosis=whole, verbose=True), 100)
    assert "✓ daemon.port is so" in text
    assert "ok: daemon" not in text
    assert shown(Diagnosis(findings=FINDINGS[2:], worst="ok"), 100).splitlines()[-1].rstrip() == "all is well"


def test_fix_does_what_each_check_knows_and_one_failure_stops_nothing(bare: Quick) -> None:
    """What was done is said, and what could not be."""

    def fails(_: World) -> list[str]:
        raise SpendGuardError(Code.USAGE, "the disk says no")

    def sees(_: World) -> list[Finding]:
        return [ok("well")]

    checks = [
        Check("home.one", "one", sees),
        Check("home.two", "two", sees, mend=fails),
        Check("home.three", "three", sees, mend=lambda world: [f"looked at {world.home.root.name}"]),
    ]
    world = World(Session(Flags(home=str(bare.home)), {}))
    assert mend(world, checks) == ["home.two could not be mended: the disk says no", "looked at home"]


def test_fix_is_for_operators(bare: Quick) -> None:
    ran = bare.run("doctor", "--fix")
    assert ran.code == 5, ran
    assert "doctor --fix is for operators" in ran.err


def test_the_checks_are_listed_by_name(bare: Quick) -> None:
    """Each with what it looks at; the same as a person sees them."""
    listed = bare.ok("doctor", "--list", "--json").json
    assert [one["name"] for one in listed] == [check.name for check in CHECKS]
    assert len(bare.ok("doctor", "--list").out.splitlines()) == len(CHECKS)


@pytest.mark.parametrize("ref", ["nobody", "ffffffff-0000-4000-8000-000000000000"])
def test_an_agent_that_is_not_there_is_exit_4(served: Quick, ref: str) -> None:
    ran = served.run("doctor", "--agent", ref)
    assert ran.code == 4, ran
    assert (ran.out, "try: spendguard agent list" in ran.err) == ("", True)


def test_a_program_inside_exec_is_not_told_what_operators_type() -> None:
    """The finding stays, and whom to ask."""
    from spendguard_cli.commands.doctor import _for_agents

    told = _for_agents(found(Level.RED, "agents.money", remedy=["export A=b", "spendguard budget topup"]))
    assert (told.remedy, told.deed) == (["export A=b"], "Ask your operator to look at this.")
    untouched = found(Level.RED, "clients.url", remedy=["unset OPENAI_BASE_URL"], deed="Look.")
    assert _for_agents(untouched) == untouched


@pytest.mark.parametrize(
    "words",
    [("402", "--fix"), ("402", "--check", "home"), ("--probe", "--fix"), ("--probe", "--check", "home")],
)
def test_what_would_be_left_undone_is_a_usage_error(bare: Quick, words: tuple[str, ...]) -> None:
    ran = bare.run("doctor", *words)
    assert (ran.code, "do not go together" in ran.err) == (2, True), ran
