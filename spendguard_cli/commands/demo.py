"""`demo`: the promise shown on a private home, with no key and no network, and checked as it is shown."""

import typer

from spendguard_cli.session import Session
from spendguard_cli.verbs import verb
from spendguard_daemon.codes import Exit


def join(app: typer.Typer) -> None:
    """Add the command to the tree."""
    verb(
        app,
        "demo",
        examples=("spendguard demo", "spendguard demo --json"),
        exits=(Exit.FAILED, Exit.USAGE, Exit.INTERRUPTED),
    )(demo)


def demo(session: Session) -> None:
    """See it work: no key, no network, nothing left behind.

    Starts a sidecar of its own on a temporary home, shows calls that lower a budget, a clamped max_tokens, a
    402, a 409, a kill -9 in mid-call, and checks that it all adds up to the nano-dollar. Takes seconds.
    """
    from spendguard_cli.demo.play import perform

    if not perform(session.out, session.env):
        raise typer.Exit(Exit.FAILED)
