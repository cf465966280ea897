"""`doctor` itself: what it lists, what it mends, what it shows to whom, and on how narrow a terminal."""

import io
from typing import Any

import pytest
from rich.console import Console

from shell import Quick
from spendguard_cli.context import Flags
from spendguard_cli.doctor.examine import CHECKS, whole_groups
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


def shown(value: object, width: int, height: int = 1000) -> str:
    text = io.StringIO()
    console = Console(file=text, width=width, height=height, markup=False, highlight=False, emoji=False)
    console.print(view(value), crop=False)
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


MANY = [
    found(
        Level.RED, "agents.frozen", remedy=["spendguard agent unfreeze a"], evidence=[*"123", "or: wait", "5"]
    ),
    found(Level.RED, "failures.refused", remedy=["spendguard agent unfreeze a"], evidence=["refused twice"]),
    found(Level.WARNING, "money.unconfirmed", evidence=["one", "two", "three", "or: four"]),
    *(found(Level.NOTE, f"failures.no{number}", evidence=["old"], deed="look " * 40) for number in range(9)),
    found(Level.NOTE, "prices.catalogue", remedy=[COMMAND.strip()]),
]


def test_old_notes_are_a_line_each_and_long_evidence_is_told_where_it_is_asked_for() -> None:
    """The cause keeps its other ways out; what the same line mends is not told twice."""
    whole = Diagnosis(findings=MANY, worst="red")
    lines = [line.rstrip() for line in shown(whole, 60).splitlines()]
    assert lines == [
        "✗ agents.frozen is so  (agents.frozen)",
        *("  1", "  2", "  3", "  or: wait", "  $ spendguard agent unfreeze a"),
        "✗ failures.refused is so  (failures.refused, mended by the",
        "  same)",
        *("! money.unconfirmed is so  (money.unconfirmed)", "  one", "  two", "  three"),
        *(f"· failures.no{number} is so  (failures.no{number})" for number in range(9)),
        *("· prices.catalogue is so  (prices.catalogue)", f"  $ {COMMAND.strip()}"),
        "2 red findings, 1 warning, 10 notes; -v shows all that is",
        "known",
    ]
    told = shown(DiagnosisDetail(diagnosis=whole, verbose=True), 60)
    assert {"5", "or: four", "refused twice"} <= {line.strip() for line in told.splitlines()}
    assert told.count("  old") == 9


def test_the_cause_stays_in_sight_on_a_small_terminal() -> None:
    """It stands again below what does not fit, and nowhere else."""
    whole = Diagnosis(findings=MANY, worst="red")
    for verbose in (True, False):
        last = shown(DiagnosisDetail(diagnosis=whole, verbose=verbose), 100, height=20).splitlines()[-20:]
        seen = [line.rstrip() for line in last]
        cause = [
            "mend this first:",
            "✗ agents.frozen is so  (agents.frozen)",
            "  $ spendguard agent unfreeze a",
        ]
        assert seen[-4:-1] == cause, seen
    assert "mend this first" not in shown(whole, 100, height=40)


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_command_in_prose_is_never_broken(width: int) -> None:
    """It has a line of its own where the sentence does not fit on one."""
    typed = (
        "spendguard budget adjust --call 0a89ec47-0e88-4b0e-b30f-62347a8604f0 --to 0.5 --reason 'the bill'"
    )
    said = [f"or: enter it: {typed}; spendguard status", f"ask for it with `{typed}`, then look again"]
    one = found(Level.RED, "money.totals", evidence=said, deed=f"compare, then enter it: {typed}")
    lines = [line.rstrip() for line in shown(Diagnosis(findings=[one], worst="red"), width).splitlines()]
    assert lines.count(f"  $ {typed}") == 3
    assert {"  $ spendguard status", "  or: enter it:", "  ask for it with"} <= {*lines}
    assert all(len(line) <= width for line in lines if not line.startswith("  $"))
    assert f"  ask for it with `{typed}`, then look again" in shown(
        Diagnosis(findings=[one], worst="red"), 200
    )


def test_what_is_well_is_named_as_it_was_asked_for() -> None:
    """A check by its name, a group by its own only where all of it was looked at."""
    proxies = next(one for one in CHECKS if one.name == "clients.proxies")
    assert whole_groups([proxies]) == []
    assert whole_groups(CHECKS)[:2] == ["daemon", "home"]
    one = DiagnosisDetail(
        diagnosis=Diagnosis(findings=[found(Level.OK, "clients.proxies")], worst="ok"), whole=[]
    )
    assert shown(one, 80).splitlines()[0].rstrip() == "✓ ok: clients.proxies"


def test_sentences_begin_with_a_capital_and_names_stay_as_they_are() -> None:
    said = [Finding(level=Level.RED, finding=text) for text in ("agent toy is frozen", "openai answered 401")]
    lines = shown(Diagnosis(findings=said, worst="red"), 80).splitlines()
    assert [line.rstrip() for line in lines[:2]] == ["✗ Agent toy is frozen", "✗ openai answered 401"]


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
    assert all(one["about"][0].isupper() for one in listed)


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
