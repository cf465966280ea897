"""`run abort`: cut calls in flight, one or all of a run."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from spendguard_cli import render
from spendguard_cli.output import Form
from spendguard_cli.render import count
from spendguard_cli.session import Session
from spendguard_cli.verbs import TALKS, switch, verb
from spendguard_daemon.codes import TABLE, Exit
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.money import format_usd, parse_usd
from spendguard_daemon.text import safe

if TYPE_CHECKING:
    from spendguard_daemon import wire

CALLS_LOOKED_AT = 1000
"""Of one agent at once: as many as the sidecar keeps at hand."""

UNBILLED = ("voided", "refused")


def join(app: typer.Typer) -> None:
    """Add the command to its group."""
    verb(
        app,
        "abort",
        examples=(
            "spendguard run abort --call 6f1c2f0e-3c0b-4f57-9a7e-0c9a4f1d2b3c",
            "spendguard run abort --agent my-agent --run nightly-7 --yes",
        ),
        exits=(Exit.FAILED, *TALKS, Exit.NOT_FOUND),
    )(abort)


def abort(
    session: Session,
    *,
    call: Annotated[
        str | None,
        typer.Option("--call", metavar="CALL", help="The one call to cut: its id, or how it begins."),
    ] = None,
    agent: Annotated[
        str | None, typer.Option("--agent", metavar="AGENT", help="With --run: whose run; id or unique name.")
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", "--run-id", metavar="RUN", help="All its calls in flight.")
    ] = None,
    yes: Annotated[bool, switch("--yes", "-y", help_text="Do not ask.")] = False,
) -> None:
    """Cut calls in flight, so that their run lets go of its lock.

    A call whose cost is not known by then is charged at its hold, until budget adjust corrects it; one that
    never left costs nothing. On a terminal you are asked first.
    """
    session.operator_only("run abort")
    if (call is None) == (agent is None and run is None) or (call is None and None in (agent, run)):
        raise SpendGuardError(
            Code.USAGE,
            "Say which calls: --call, or --agent and --run",
            remedy="spendguard run abort --agent my-agent --run nightly-7",
        )
    found = [_open(session, call)] if call is not None else _of_run(session, agent or "", run or "")
    held_usd = format_usd(sum(parse_usd(one.hold_usd) for one in found))
    if not _agreed(session, yes, f"Cut {count(len(found), 'call')} in flight, for at most ${held_usd}?"):
        session.out.hint("nothing was cut")
        raise typer.Exit(Exit.FAILED)
    ended = [_cut(session, one) for one in found]
    if call is not None:
        session.out.show(ended[0])
    else:
        whole = session.out.is_terminal or session.out.form is Form.JSON
        session.out.show(ended if whole else _lines(ended))
    _tell(session, ended)


def _agreed(session: Session, yes: bool, question: str) -> bool:
    asks = not yes and sys.stdin.isatty() and sys.stderr.isatty()
    return not asks or session.out.ask(question)


def _open(session: Session, call_id: str) -> "wire.Call":
    """Return a call in flight; raise CALL_NOT_FOUND, or CALL_NOT_OPEN with what became of it."""
    from spendguard_cli.explain.looking import whole_id

    found = session.control.call(whole_id(session, call_id))
    if found.state != "held":
        raise _ended(found)
    return found


def _of_run(session: Session, agent: str, run_id: str) -> "list[wire.Call]":
    """Return the calls of a run that are in flight; raise CALL_NOT_OPEN where there is none."""
    agent_id = session.agent_id(agent)
    calls = session.control.calls(agent_id, CALLS_LOOKED_AT)
    found = [call for call in calls if call.state == "held" and call.run_id == run_id]
    if not found:
        raise SpendGuardError(
            Code.CALL_NOT_OPEN,
            f"No call in flight: run {safe(run_id)!r} of this agent has none",
            remedy=f"spendguard agent get {agent_id} lists its calls",
        )
    return found


def _cut(session: Session, call: "wire.Call") -> "wire.Call":
    """Cut a call; one that ended by itself meanwhile needs no cut."""
    try:
        return session.control.abort(call.call_id)
    except SpendGuardError as error:
        if error.code is not Code.CALL_NOT_OPEN:
            raise
        return session.control.call(call.call_id)


def _ended(call: "wire.Call") -> SpendGuardError:
    state, cost = safe(call.state), safe(call.cost_usd or "0")
    adjust = f"spendguard budget adjust --call {call.call_id} --to <usd> corrects what it was charged"
    return SpendGuardError(
        Code.CALL_NOT_OPEN,
        f"{TABLE[Code.CALL_NOT_OPEN].title}: it is {state}, and was charged ${cost}",
        remedy=f"spendguard explain {call.call_id}" if call.state in UNBILLED else adjust,
    )


def _lines(calls: "Sequence[wire.Call]") -> render.Plain:
    from spendguard_cli import shapes

    return render.plain([shapes.call_line(call) for call in calls])


def _tell(session: Session, calls: "Sequence[wire.Call]") -> None:
    """Say what was charged, and how a charge that is only a bound is corrected."""
    charged_usd = format_usd(sum(parse_usd(call.cost_usd or "0") for call in calls))
    worst = [call for call in calls if call.state == "settled_worst"]
    bound = f", {len(worst)} of them at the hold, as the cost is not known" if worst else ""
    session.out.say(f"{count(len(calls), 'call')} ended; charged ${charged_usd}{bound}")
    for call in worst:
        session.out.advise(f"spendguard budget adjust --call {call.call_id} --to <usd>, by the bill")
