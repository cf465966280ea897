"""`doctor`: what is wrong, why it is thought so, and what to type next."""

import sys
from typing import Annotated

import typer

from spendguard_cli.session import Session
from spendguard_cli.shapes import Diagnosis
from spendguard_cli.verbs import switch, verb
from spendguard_daemon.codes import Exit

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
        ),
        exits=(Exit.FAILED, Exit.USAGE, Exit.NOT_FOUND),
    )(doctor)


def doctor(
    session: Session,
    *,
    subject: Subject = None,
    agent: Annotated[str | None, typer.Option("--agent", metavar="AGENT", help="Only this agent.")] = None,
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
) -> None:
    """Say what is wrong, why it is thought so, and what to type next.

    Starts nothing and changes nothing, unless --fix or --probe is given. Exit 1: something is red.
    """
    from spendguard_cli.doctor import failure
    from spendguard_cli.doctor.examine import chosen, examine
    from spendguard_cli.doctor.findings import Level, worst
    from spendguard_cli.doctor.world import World

    world = World(session, agent)
    if agent is not None and world.status is not None:
        session.agent_id(agent)  # says which one was meant, where there is none of this name
    if subject is None:
        findings = examine(world, chosen(check or []))
    else:
        findings = failure.explain(world, subject, sys.stdin)
    session.out.show(Diagnosis(findings=findings, worst=worst(findings)))
    if worst(findings) is Level.RED:
        raise typer.Exit(Exit.FAILED)
