"""`watch`: who spends how fast, who holds what lock, what failed and why, and one key to act."""

from typing import Annotated, get_args

import typer

from spendguard_cli.session import Session
from spendguard_cli.verbs import TALKS, switch, verb
from spendguard_cli.watch.asked import Asked, Order, check
from spendguard_daemon.codes import Exit

SORT_HELP = f"What comes first: {', '.join(get_args(Order))}."
Sort = Annotated[Order | None, typer.Option("--sort", metavar="ORDER", show_default="danger", help=SORT_HELP)]
ServePort = Annotated[
    int | None,
    typer.Option("--serve-port", metavar="N", min=1, max=65_535, show_default="a free one", help="Its port."),
]


def join(app: typer.Typer) -> None:
    """Add this command to the tree."""
    verb(
        app,
        "watch",
        examples=(
            "spendguard watch",
            "spendguard watch --agent my-agent",
            "spendguard watch --once",
            "spendguard watch --once --json",
            "spendguard watch --compact",
            "spendguard watch --at 03:12",
            "spendguard watch --replay --at 03:00 --speed 8",
        ),
        exits=(*TALKS, Exit.NOT_FOUND, Exit.LEDGER),
    )(watch)


def watch(
    session: Session,
    *,
    once: Annotated[bool, switch("--once", help_text="Print all agents as they stand, and end.")] = False,
    compact: Annotated[
        bool, switch("--compact", help_text="Print one line for a status bar, and end. Starts no sidecar.")
    ] = False,
    agent: Annotated[
        str | None, typer.Option("--agent", metavar="AGENT", help="Only this one, by id or name.")
    ] = None,
    sort: Sort = None,
    text: Annotated[
        str | None,
        typer.Option("--filter", metavar="TEXT", help="Only agents with these words in name, id or state."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="WHEN", help="Show the past: 03:12, 2026-11-30T03:12Z, '2 min ago'."),
    ] = None,
    replay: Annotated[
        bool, switch("--replay", help_text="Play the past, from the time of --at or from the beginning.")
    ] = False,
    speed: Annotated[
        float | None, typer.Option("--speed", metavar="X", help="How fast to play; 1 is as it was.")
    ] = None,
    read_only: Annotated[
        bool, switch("--read-only", help_text="Look alone: no key of this program changes anything.")
    ] = False,
    serve: Annotated[
        bool, switch("--serve", help_text="Show it in a browser of this machine, read only.")
    ] = False,
    serve_port: ServePort = None,
) -> None:
    """Watch the agents live: who spends how fast, what failed and why, how long the money lasts.

    Keys act on what the cursor stands on, and ask first: top up, set a limit, freeze, abort, and so on.
    Press ? for all keys. --once prints a table (on a pipe lines), --compact one line for tmux. The past is
    read from the ledger, and cannot be acted upon.
    """
    asked = Asked(
        once=once,
        compact=compact,
        agent=agent,
        sort=sort,
        text=text,
        at=at,
        replay=replay,
        speed=speed,
        read_only=read_only,
        serve=serve,
        serve_port=serve_port,
    )
    check(asked, form=session.out.form, env=session.env)
    session.operator_only("watch")
    from spendguard_cli.watch import ways_to_look

    ways_to_look.choose(session, asked)
