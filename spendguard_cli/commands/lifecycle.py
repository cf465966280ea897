"""`up` `down` `restart`: the sidecar's life."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from spendguard_cli.commands import looking
from spendguard_cli.session import Session
from spendguard_cli.starting import (
    InsecurePricing,
    Listen,
    Port,
    RequireAgentKey,
    Start,
    Strict,
    UnsafeFs,
)
from spendguard_cli.verbs import TALKS, switch, verb
from spendguard_daemon.codes import Exit
from spendguard_daemon.errors import Code, SpendGuardError

if TYPE_CHECKING:
    from spendguard_cli.supervisor import Running
    from spendguard_daemon import wire
    from spendguard_daemon.runtime import Home

Now = Annotated[
    bool, switch("--now", help_text="Do not wait for calls in flight: charge them at their hold.")
]
STARTS = (Exit.FAILED, *TALKS, Exit.PRICING, Exit.LEDGER)


def join(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    verb(
        app,
        "up",
        examples=(
            "spendguard up",
            "spendguard up --port 9000",
            "spendguard up --foreground",
            "spendguard up --listen 172.17.0.1 --require-agent-key",
        ),
        exits=STARTS,
    )(up)
    verb(app, "down", examples=("spendguard down", "spendguard down --now"))(down)
    verb(app, "restart", examples=("spendguard restart", "spendguard restart --port 9000"), exits=STARTS)(
        restart
    )
    looking.join(app)


def up(
    session: Session,
    *,
    port: Port = None,
    foreground: Annotated[
        bool, switch("--foreground", help_text="Stay in this terminal and log to it; for service managers.")
    ] = False,
    unsafe_fs: UnsafeFs = False,
    strict: Strict = False,
    insecure_pricing: InsecurePricing = False,
    listen: Listen = None,
    require_agent_key: RequireAgentKey = False,
) -> None:
    """Start the sidecar, or say that it runs already."""
    from spendguard_cli import supervisor

    session.local_only("up")
    session.operator_only("up")
    home = session.connection.home
    start = Start(
        verb="up",
        port=port,
        unsafe_fs=unsafe_fs,
        strict=strict,
        insecure_pricing=insecure_pricing,
        listen=tuple(listen or ()),
        require_agent_key=require_agent_key,
    )
    start.check(home, session.env)
    env = start.env(session.env)
    wanted = session.connection.port if port is None else port
    if foreground:
        if supervisor.find(home) is not None:
            raise SpendGuardError(
                Code.LEDGER_LOCKED,
                "The sidecar runs already, in the background",
                remedy="spendguard down, then spendguard up --foreground",
            )
        supervisor.prepare(home)
        command = supervisor.command(wanted, "--foreground", *start.flags())
        os.execve(command[0], command, supervisor.daemon_env(home, env))  # noqa: S606 - our own command
    with start.told():
        running, started = _up(session, home, wanted, env, start)
    if wanted not in (None, 0, running.place.port):
        raise SpendGuardError(
            Code.LEDGER_LOCKED,
            f"The sidecar runs already, on port {running.place.port}",
            remedy=f"spendguard restart --port {wanted}",
        )
    _show_up(session, running, start, started=started)


def down(session: Session, *, now: Now = False) -> None:
    """Stop the sidecar.

    Calls in flight may end first; budgets and history stay.
    """
    from spendguard_cli import shapes
    from spendguard_cli.stopping import stop

    session.operator_only("down")
    session.local_only("down")
    home = session.connection.home
    stopped = stop(home, now=now, say=session.out.say)
    session.out.show(shapes.Sidecar(state="down", home=str(home.root), changed=stopped))


def restart(
    session: Session,
    *,
    port: Port = None,
    now: Now = False,
    unsafe_fs: UnsafeFs = False,
    strict: Strict = False,
    insecure_pricing: InsecurePricing = False,
    listen: Listen = None,
    require_agent_key: RequireAgentKey = False,
) -> None:
    """Stop the sidecar and start it again.

    It keeps its port unless another is named or configured, and its --listen and --require-agent-key;
    down, then up, drops these.
    """
    from spendguard_cli import supervisor, tomlfiles
    from spendguard_cli.starting import as_flags
    from spendguard_cli.stopping import stop

    session.local_only("restart")
    session.operator_only("restart")
    home = session.connection.home
    start = Start(
        verb="restart",
        port=port,
        unsafe_fs=unsafe_fs,
        strict=strict,
        insecure_pricing=insecure_pricing,
        listen=tuple(listen or ()),
        require_agent_key=require_agent_key,
    )
    before = supervisor.find_quietly(home)
    access = start.kept(before.info.access, session.env) if before else {}
    around = {**access, **session.env}
    start.check(home, around)
    env = start.env(around)
    configured = tomlfiles.configured_port(home, session.env)
    if before:
        supervisor.rehearse(home, env)  # what is wrong in a file must not cost the sidecar that runs
        start.check_prices(home, env, _prices_of(before))
    stop(home, now=now, say=session.out.say)
    kept = before.place.port if before and not configured else None
    wanted = kept if port is None else port
    if as_flags(access):
        session.out.say(f"as before: {as_flags(access)}; spendguard down, then spendguard up, drops it")
    with start.told():
        running, started = supervisor.ensure(home, wanted, env, session.out.say, *start.flags())
    _show_up(session, running, start, started=started)


def _prices_of(running: "Running") -> "wire.Pricing | None":
    """Return the prices of a sidecar that runs; None where it has none, or does not say."""
    try:
        with running.control() as control:
            return control.status().pricing
    except SpendGuardError:
        return None


def _up(
    session: Session, home: "Home", port: int | None, env: Mapping[str, str], start: Start
) -> "tuple[Running, bool]":
    """Return a sidecar that takes calls, started if need be; one that drains is waited for and replaced."""
    from spendguard_cli import stopping, supervisor

    say = session.out.say
    running, started = supervisor.ensure(home, port, env, say, *start.flags())
    if started:
        return running, True
    with running.control() as control:
        now = control.status()
    if now.state != "draining":
        return running, False
    say("the sidecar is stopping; it is started again when it has ended")
    stopping.await_end(home, now.calls_in_flight, say)
    return supervisor.ensure(home, port, env, say, *start.flags())


def _show_up(session: Session, running: "Running", start: Start, *, started: bool) -> None:
    from spendguard_cli import shapes, tomlfiles

    with running.control() as control:
        waits = control.not_ready()
        now = control.status()
    if start.verb == "up" and start.strict and now.pricing is not None and now.pricing.source == "local":
        raise SpendGuardError(
            Code.LEDGER_LOCKED,
            "The sidecar runs already, with prices that are self-signed",
            remedy="spendguard restart --strict",
        )
    start.check_running(now.listening, running.place.port, keys_required=now.keys_required)
    session.out.show(
        shapes.Sidecar(
            state="up",
            home=str(session.connection.home.root),
            changed=started,
            base_url=running.place.base_url,
            agents_url=now.agents_url,
            socket=now.socket,
            listening=now.listening,
            pid=now.pid,
            version=now.version,
            self_signed=now.pricing.self_signed if now.pricing else None,
            verified=now.pricing.verified if now.pricing else None,
        )
    )
    if start.port and start.port != tomlfiles.default_port(session.connection.home, session.env):
        session.out.hint(
            f"port {start.port} until it stops; for good: spendguard config set daemon.port {start.port}"
        )
    for warning in (*now.warnings, *(f"not ready: {reason}" for reason in waits)):
        session.out.warn(warning)
    if now.pricing is None:
        raise typer.Exit(Exit.PRICING)
    if now.agents == 0:
        session.out.hint("next: spendguard agent create --name my-agent")
