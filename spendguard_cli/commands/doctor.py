"""`doctor`: what is wrong, why it is thought so, and what to type next."""

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from spendguard_cli.context import is_in_exec
from spendguard_cli.session import UUID, Session
from spendguard_cli.verbs import switch, verb
from spendguard_daemon.codes import Exit
from spendguard_daemon.errors import Code, SpendGuardError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from spendguard_cli.doctor.findings import Check, Finding
    from spendguard_cli.doctor.world import World

Subject = Annotated[
    str | None,
    typer.Argument(
        metavar="[402|409|400|signature|CODE|-]",
        help="A failure to explain: a status, a code, or - for the body of a refusal on standard input.",
        show_default=False,
    ),
]


def join(app: typer.Typer) -> None:
    """Add the command to the tree."""
    verb(
        app,
        "doctor",
        examples=(
            "spendguard doctor",
            "spendguard doctor 402 --agent my-agent",
            "spendguard doctor --check prices",
            "spendguard doctor --fix",
            "spendguard doctor --probe",
            "spendguard doctor --probe --provider openai --agent my-agent",
        ),
        exits=(Exit.FAILED, Exit.USAGE, Exit.NO_DAEMON, Exit.NOT_FOUND, Exit.NOT_ALLOWED),
    )(doctor)


def doctor(
    session: Session,
    *,
    subject: Subject = None,
    agent: Annotated[
        str | None,
        typer.Option("--agent", metavar="AGENT", help="Only this agent; with --probe: who pays a real call."),
    ] = None,
    check: Annotated[
        list[str] | None,
        typer.Option("--check", metavar="NAME", help="Only this check, or group of checks. May be repeated."),
    ] = None,
    list_: Annotated[bool, switch("--list", help_text="List the checks.")] = False,
    fix: Annotated[
        bool, switch("--fix", help_text="Mend what is safe to mend. Never touches money.")
    ] = False,
    probe: Annotated[bool, switch("--probe", help_text="Send one mock call through the whole path.")] = False,
    provider: Annotated[
        str | None,
        typer.Option("--provider", metavar="NAME", help="With --probe: a real call, its price said first."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="MODEL", help="With --provider: this model, not the cheapest."),
    ] = None,
    yes: Annotated[bool, switch("--yes", "-y", help_text="With --provider: do not ask.")] = False,
    verbose: Annotated[
        bool, switch("--verbose", "-v", help_text="Show all that is known, and what is well too.")
    ] = False,
) -> None:
    """Say what is wrong, why it is thought so, and what to type next.

    Starts nothing and changes nothing, unless --fix or --probe is given. Exit 1: something is red.
    """
    from spendguard_cli.doctor.examine import chosen
    from spendguard_cli.doctor.world import World

    if not probe and (provider, model, yes) != (None, None, False):
        raise SpendGuardError(
            Code.USAGE, "--provider, --model and --yes go with --probe", remedy="spendguard doctor --probe"
        )
    asked = {"a failure to explain": subject is not None, "--probe": probe, "--fix": fix, "--list": list_}
    _one_of(asked, narrowed=bool(check))
    checks = chosen(check or [])
    if list_:
        _list(session, checks)
    elif probe:
        _probe(session, provider, model, agent, yes=yes)
    else:
        world = World(session, agent)
        _check_agent(world)
        if subject is not None:
            _explain(session, world, subject)
        else:
            _examine(session, world, checks, fix=fix, verbose=verbose)


def _one_of(asked: "Mapping[str, bool]", *, narrowed: bool) -> None:
    """Raise USAGE where several things are asked for, of which only one would be done."""
    named = [name for name, is_asked in asked.items() if is_asked]
    if narrowed and named and named[0] not in ("--fix", "--list"):
        named.append("--check")
    if len(named) > 1:
        raise SpendGuardError(
            Code.USAGE, f"{named[0]} and {named[1]} do not go together", remedy="type one after the other"
        )


def _list(session: Session, checks: "Iterable[Check]") -> None:
    from spendguard_cli.shapes import CheckName

    session.out.show(
        [
            CheckName(name=one.name, about=one.about[:1].upper() + one.about[1:], mends=one.mend is not None)
            for one in checks
        ]
    )


def _probe(
    session: Session, provider: str | None, model: str | None, agent: str | None, *, yes: bool
) -> None:
    from spendguard_cli.doctor.findings import worst
    from spendguard_cli.doctor.probing import run

    probed = run(session, provider=provider, model=model, agent=agent, yes=yes)
    if probed is None:
        raise typer.Exit(Exit.FAILED)
    session.out.show(probed)
    session.out.say(_verdict(probed.findings))
    _end(worst(probed.findings))


def _verdict(findings: "list[Finding]") -> str:
    """Say in a line what a probe's legs come to."""
    broken = [one for one in findings if one.level == "red"]
    if not broken:
        return "all is well: the call went the whole way, and cost what was said"
    return f"the way is broken at {broken[0].check.removeprefix('probe.')}: {broken[0].finding}"


def _examine(session: Session, world: "World", checks: "list[Check]", *, fix: bool, verbose: bool) -> None:
    from spendguard_cli.doctor.examine import examine, whole_groups
    from spendguard_cli.doctor.fixing import mend
    from spendguard_cli.doctor.world import World

    done: list[str] = []
    if fix:
        session.operator_only("doctor --fix")
        done = mend(world, checks)
        if not done:
            session.out.say("nothing was mended: none of what --fix knows how to mend is wrong")
        with contextlib.suppress(SpendGuardError):
            session.alive()  # a sidecar may have been started anew meanwhile
        world = World(session, world.agent_ref)
    _show(session, examine(world, checks), done, verbose=verbose, whole=whole_groups(checks))


def _explain(session: Session, world: "World", subject: str) -> None:
    """Say what one failure was, and what gets out of it."""
    from spendguard_cli.doctor.failure import explain

    _show(session, explain(world, subject, sys.stdin), [], verbose=True)


def _show(
    session: Session,
    found: "list[Finding]",
    done: list[str],
    *,
    verbose: bool,
    whole: list[str] | None = None,
) -> None:
    from spendguard_cli.doctor.findings import worst
    from spendguard_cli.shapes import Diagnosis, DiagnosisDetail

    findings = [_for_agents(one) for one in found] if is_in_exec(session.env) else found
    shown = Diagnosis(findings=findings, worst=worst(findings), done=done)
    session.out.show(shown, on_terminal=DiagnosisDetail(diagnosis=shown, verbose=verbose, whole=whole))
    _end(worst(findings))


def _for_agents(finding: "Finding") -> "Finding":
    """Return a finding as a program inside `exec` is shown it: without what only operators may type."""
    from msgspec.structs import replace

    kept = [line for line in finding.remedy if not line.lstrip().startswith("spendguard")]
    dropped = len(kept) < len(finding.remedy)
    deed = "" if "spendguard " in finding.deed else finding.deed
    evidence = [line for line in finding.evidence if not line.startswith("or: ")]
    asks = dropped or deed != finding.deed
    return replace(
        finding,
        remedy=kept,
        deed=deed or ("Ask your operator to look at this." if asks else ""),
        evidence=evidence,
    )


def _check_agent(world: "World") -> None:
    """Raise AGENT_NOT_FOUND for an agent that a sidecar that is up does not know."""
    ref = world.agent_ref
    if ref is None or world.status is None or world.agents:
        return
    if UUID.fullmatch(ref):
        raise SpendGuardError(Code.AGENT_NOT_FOUND, f"Agent not found: {ref}", remedy="spendguard agent list")
    world.session.agent_id(ref)


def _end(level: str) -> None:
    from spendguard_cli.doctor.findings import Level

    if level == Level.RED:
        raise typer.Exit(Exit.FAILED)
