"""`explain`: the life of one call, line by line."""

from typing import Annotated

import typer

from spendguard_cli.session import Session
from spendguard_cli.verbs import TALKS, verb
from spendguard_daemon.codes import Exit


def join(app: typer.Typer) -> None:
    """Add the command to the tree."""
    verb(
        app,
        "explain",
        examples=(
            "spendguard explain 6f1c2f0e-3c0b-4f57-9a7e-0c9a4f1d2b3c",
            "spendguard explain last --agent my-agent",
        ),
        exits=(*TALKS, Exit.NOT_FOUND, Exit.LEDGER),
    )(explain)


def explain(
    session: Session,
    *,
    call: Annotated[
        str,
        typer.Argument(
            metavar="CALL", help="The call's id, 6 or more characters of its beginning, or `last`."
        ),
    ],
    agent: Annotated[str | None, typer.Option("--agent", metavar="AGENT", help="Whose last call.")] = None,
) -> None:
    """Tell the life of one call: bound, hold, forward, usage, settlement; of a refused one, the sum.

    The id stands in the answer's header x-spendguard-call-id, and in the body of a refusal.
    """
    from spendguard_cli.explain.looking import Looker

    session.out.show(Looker(session).story(call, agent))
