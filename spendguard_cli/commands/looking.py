"""`status` `logs`: looking at the sidecar, without ever starting it."""

from typing import Annotated

import typer

from spendguard_cli.output import Form
from spendguard_cli.session import Session
from spendguard_cli.verbs import switch, verb
from spendguard_daemon.codes import Exit
from spendguard_daemon.errors import Code, SpendGuardError


def join(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    verb(app, "status", examples=("spendguard status", "spendguard status --json"))(status)
    verb(app, "logs", examples=("spendguard logs", "spendguard logs -f", "spendguard logs -n 200 --json"))(
        logs
    )


def status(session: Session) -> None:
    """Show the sidecar at a glance.

    Address, prices, keys, agents, money at risk. Never starts a sidecar: exit 3 tells that none is up.
    """
    from spendguard_cli import render, shapes
    from spendguard_daemon.system import SystemClock

    control = session.peek()
    if control is None:
        _show_absent(session)
        raise typer.Exit(Exit.NO_DAEMON)
    now = control.status()
    agents = control.agents() if session.out.is_terminal or now.waiting else []
    shown = render.merged({"state": now.state, "base_url": control.base_url}, now)
    if session.out.is_terminal:
        at_ns = SystemClock().wall_ns()
        session.out.show(
            shapes.StatusDetail(base_url=control.base_url, status=now, agents=agents, now_ns=at_ns)
        )
    elif session.out.form is Form.JSON or now.pricing is None:
        session.out.show(shown)
    else:
        prices = render.merged({}, now.pricing)
        session.out.show(shown | {"pricing": prices | {"models": len(now.pricing.models)}})
    if now.state == "draining":
        session.out.advise("spendguard down --now, to cut the calls in flight and charge them at their hold")
    if now.unconfirmed:
        session.out.advise("spendguard ledger export --unconfirmed, to list all that was charged at worst")
        session.out.advise(f"spendguard budget adjust --call {now.unconfirmed[0].call_id} --to <usd>")
    session.tell_ways_on(agents, now.daemon_budget)
    if session.out.is_terminal:
        from spendguard_cli.doctor.advice import advise

        advise(session)


def logs(
    session: Session,
    *,
    follow: Annotated[bool, switch("-f", "--follow", help_text="Go on as lines are written.")] = False,
    number: Annotated[int, typer.Option("-n", "--lines", min=0, help="How many lines of the past.")] = 50,
) -> None:
    """Show the sidecar's log, also while it is down."""
    from spendguard_cli import logfile

    session.local_only("logs")
    path = session.connection.home.log
    if not path.exists():
        raise SpendGuardError(
            Code.NO_DAEMON,
            f"No sidecar was ever started in {session.connection.home.root}",
            remedy="spendguard up",
        )
    for line in logfile.lines(path, number, follow=follow):
        session.out.log(line)


def _show_absent(session: Session) -> None:
    from spendguard_cli import shapes
    from spendguard_cli.holder import holder, is_held

    home = session.connection.home
    held = session.connection.local and is_held(home)
    who = holder(home) if held else None
    state = "unresponsive" if held else "down"
    session.out.show(shapes.Sidecar(state=state, home=str(home.root), pid=who.pid if who else None))
    if who is not None and not who.is_sidecar:
        session.out.say(f"process {who.pid} has the ledger open, and it is no sidecar of this home")
        session.out.advise(f"ps -p {who.pid}")
        return
    session.out.advise("spendguard down --now" if held else "spendguard up")
