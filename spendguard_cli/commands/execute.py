"""`exec`: any program under a budget, with a key of its own that ends with it."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from spendguard_cli.amounts import cents
from spendguard_cli.output import Form
from spendguard_cli.session import Session
from spendguard_cli.verbs import TALKS, switch, verb
from spendguard_daemon.codes import TABLE, Exit
from spendguard_daemon.errors import Code, SpendGuardError

if TYPE_CHECKING:
    from spendguard_cli.client import Control
    from spendguard_cli.exec.account import Account, Wanted
    from spendguard_cli.exec.child import Ended
    from spendguard_cli.exec.surroundings import Isolating

BOTH_FORMS = (
    "spendguard exec --agent my-agent -- COMMAND spends from an agent's budget; "
    "spendguard exec --limit 500 -- COMMAND from a throw-away one"
)


def join(app: typer.Typer) -> None:
    """Put the command into the tree."""
    verb(
        app,
        "exec",
        examples=(
            "spendguard exec --agent my-agent -- claude -p 'Fix the failing test'",
            "spendguard exec --agent my-agent --limit '$2' -- codex exec 'Write the changelog'",
            "spendguard exec --limit 500 -- python research.py",
            "spendguard exec --agent nightly --kill-on-402 --json -- ./nightly.sh",
        ),
        exits=(*TALKS, Exit.BUDGET, Exit.EXEC),
        takes_command=True,
    )(execute)


def execute(
    session: Session,
    *,
    command: Annotated[list[str] | None, typer.Argument(metavar="-- COMMAND...", show_default=False)] = None,
    agent: Annotated[
        str | None, typer.Option("--agent", metavar="AGENT", help="Whose budget: an id or a unique name.")
    ] = None,
    limit: Annotated[
        str | None,
        typer.Option(
            metavar="AMOUNT",
            help="The most that it may spend: 500 (cents), '$5', 5usd. Without --agent: of a throw-away agent.",
        ),
    ] = None,
    run_id: Annotated[
        str | None, typer.Option("--run-id", metavar="ID", help="Its run; else a fresh one.")
    ] = None,
    kill_on_402: Annotated[
        bool, switch("--kill-on-402", help_text="End it once a call is refused for money; exit code 6.")
    ] = False,
    isolate: Annotated[
        bool | None,
        typer.Option(
            "--isolate/--no-isolate",
            help="Keep it from the sidecar's files, processes and own port; the default where Linux can.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run any program under a budget.

    The SDKs of OpenAI, Anthropic, Google and xAI, Claude Code, Codex, Gemini CLI and opencode are sent to the
    sidecar by the program's environment, with a key that ends with the program. Provider keys are taken out of
    it. At the end one line on stderr says what it has cost.

    On Linux the program is isolated: it can read and change all that you can, but not the sidecar's home, nor
    the code that SpendGuard runs from, and it cannot reach the sidecar but with its key. Nothing new can be made
    directly in a folder that one of them is in; --no-isolate leaves all this out.

    The exit code is the program's own: 128 and the signal's number where one ended it, 127 where there is no
    such command, 126 where it cannot be run.
    """
    session.operator_only("exec")
    if not command or (agent is None and limit is None):
        raise SpendGuardError(
            Code.USAGE,
            "exec takes a command" if not command else "exec takes an agent, a limit, or both",
            remedy=BOTH_FORMS,
        )
    limit_cents = None if limit is None else cents("--limit", limit)
    try:
        code = _run(session, command, agent, limit_cents, run_id, kill_on_402=kill_on_402, isolate=isolate)
    except SpendGuardError as error:
        if TABLE[error.code].exit is Exit.USAGE:
            raise
        remedy = error.remedy or TABLE[error.code].operator_remedy
        raise SpendGuardError(Code.EXEC_FAILED, error.detail, remedy=remedy) from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise SpendGuardError(Code.EXEC_FAILED, f"exec failed: {where}{error.strerror or error}") from error
    raise typer.Exit(code)


def _run(
    session: Session,
    command: list[str],
    agent: str | None,
    limit_cents: int | None,
    run_id: str | None,
    *,
    kill_on_402: bool,
    isolate: bool | None,
) -> int:
    from spendguard_cli.exec.account import Wanted
    from spendguard_cli.exec.child import SIGNALLED, ending_signal, let_through, signals_held_back
    from spendguard_cli.exec.surroundings import Isolating

    agent_id = None if agent is None else session.agent_id(agent)
    base_url, own_port = _addresses(session, session.control)
    wanted = Wanted(agent_id=agent_id, limit_cents=limit_cents, run_id=run_id, command=command[0])
    isolating = Isolating(wanted=isolate, home=session.connection.home.root, denied_port=own_port)
    with signals_held_back() as mask:

        def connect() -> "Control":
            with let_through(mask):  # a sidecar that is started has none of them blocked
                return session.again()

        early = ending_signal()
        if early:
            return SIGNALLED + early
        return _Execution(session, connect, mask, base_url, kill_on_402=kill_on_402).of(
            command, wanted, isolating
        )


class _Execution:
    """One program from its key to its cost."""

    def __init__(
        self,
        session: Session,
        connect: "Callable[[], Control]",
        mask: "set[signal.Signals]",
        base_url: str,
        *,
        kill_on_402: bool,
    ):
        self._session = session
        self._connect = connect
        self._mask = mask
        self._base_url = base_url
        self._kill_on_402 = kill_on_402
