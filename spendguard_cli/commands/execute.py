"""`exec`: any program under a budget, with a key of its own that ends with it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from spendguard_cli.amounts import cents
from spendguard_cli.session import Session
from spendguard_cli.verbs import switch, verb
from spendguard_daemon.codes import TABLE, Exit
from spendguard_daemon.errors import Code, SpendGuardError

if TYPE_CHECKING:
    from spendguard_cli.exec.child import Ended

BOTH_FORMS = (
    "spendguard exec --agent my-agent -- COMMAND spends from an agent's budget; "
    "spendguard exec --limit 500 -- COMMAND from a throw-away one"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """What was typed, read. `isolate` None: where it is possible."""

    command: list[str]
    agent: str | None
    limit_cents: int | None
    run_id: str | None
    kill_on_402: bool
    isolate: bool | None
    mock: bool


def join(app: typer.Typer) -> None:
    """Put the command into the tree."""
    verb(
        app,
        "exec",
        examples=(
            "spendguard exec --agent my-agent -- claude -p 'Fix the failing test'",
            "spendguard exec --agent my-agent --limit '$2' -- codex exec 'Write the changelog'",
            "spendguard exec --limit 500 -- python research.py",
            "spendguard exec --limit 50 --mock -- python try-it.py",
            "spendguard exec --agent nightly --kill-on-402 --json -- ./nightly.sh",
        ),
        exits=(Exit.USAGE, Exit.NOT_ALLOWED, Exit.BUDGET, Exit.EXEC),
        takes_command=True,
    )(execute)


Words = Annotated[
    list[str] | None, typer.Argument(metavar="COMMAND", help="What to run, after --.", show_default=False)
]
Whose = Annotated[
    str | None, typer.Option("--agent", metavar="AGENT", help="Whose budget: an id or a unique name.")
]
Limit = Annotated[
    str | None,
    typer.Option(
        metavar="AMOUNT",
        help="The most that it may spend: 500 (cents), '$5', 5usd. Alone: of a throw-away agent.",
    ),
]
RunId = Annotated[str | None, typer.Option("--run-id", metavar="ID", help="Its run; else a fresh one.")]
KillOn402 = Annotated[
    bool, switch("--kill-on-402", help_text="End it once a call is refused for money; exit code 6.")
]
Mock = Annotated[
    bool, switch("--mock", help_text="Let the throw-away agent call mock models, which cost no real money.")
]
Isolate = Annotated[
    bool | None,
    typer.Option(
        "--isolate/--no-isolate",
        help="Keep it from the sidecar's files, processes and own port; the default where Linux can.",
        show_default=False,
        metavar="",
    ),
]


def execute(
    session: Session,
    *,
    command: Words = None,
    agent: Whose = None,
    limit: Limit = None,
    run_id: RunId = None,
    kill_on_402: KillOn402 = False,
    isolate: Isolate = None,
    mock: Mock = False,
) -> None:
    """Run any program under a budget.

    The SDKs of OpenAI, Anthropic, Google and xAI, Claude Code, Codex, Gemini CLI and opencode are sent to the
    sidecar by the program's environment, with a key that ends with the program. Provider keys are taken out
    of it. At the end one line on stderr says what it has cost; with --json it is JSON, on stderr too, and the
    last line.

    On Linux the program is isolated: it can read and change what you can, but not the sidecar's home, nor the
    code that SpendGuard runs from, and it reaches the sidecar only with its key. Directly in a folder that
    one of these is in, such as your home folder, nothing can be made, removed, renamed or replaced, and tools
    that replace a file to edit it fail there; --no-isolate leaves this out.

    What the program has started in the background goes on after its end, but its key is worth nothing then.

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
    if mock and agent is not None:
        raise SpendGuardError(
            Code.USAGE,
            "--mock is for the throw-away agent of --limit alone; an agent that exists is mock or is not",
            remedy="spendguard agent create --name NAME --mock, or leave out --mock",
        )
    given = _Given(
        command=command,
        agent=agent,
        limit_cents=None if limit is None else cents("--limit", limit),
        run_id=run_id,
        kill_on_402=kill_on_402,
        isolate=isolate,
        mock=mock,
    )
    try:
        ended = _run(session, given)
    except SpendGuardError as error:
        if TABLE[error.code].exit is Exit.USAGE:
            raise
        remedy = error.remedy or TABLE[error.code].operator_remedy
        raise SpendGuardError(Code.EXEC_FAILED, error.detail, remedy=remedy) from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise SpendGuardError(Code.EXEC_FAILED, f"exec failed: {where}{error.strerror or error}") from error
    if ended.interrupted:
        from spendguard_cli.exec.child import die_interrupted

        die_interrupted(ended)
    raise typer.Exit(ended.code)


def _run(session: Session, given: _Given) -> "Ended":
    """Run the command to its end and return how it has ended."""
    from spendguard_cli.exec import launch
    from spendguard_cli.exec.account import Wanted
    from spendguard_cli.exec.surroundings import Isolating

    agent_id = None if given.agent is None else session.agent_id(given.agent)
    base_url, own_port = _addresses(session)
    wanted = Wanted(
        agent_id=agent_id,
        limit_cents=given.limit_cents,
        run_id=given.run_id,
        command=given.command[0],
        mock=given.mock,
    )
    isolating = Isolating(wanted=given.isolate, home=session.connection.home.root, denied_port=own_port)
    return launch.run(
        launch.Launch(
            words=given.command,
            env=dict(session.env),
            known_keys=_known_keys(session),
            base_url=base_url,
            wanted=wanted,
            isolating=isolating,
            kill_on_402=given.kill_on_402,
        ),
        launch.Finding(session.alive, lambda: session.control),
        session.out,
    )


def _addresses(session: Session) -> tuple[str, int | None]:
    """Return where agent keys are taken, and the port here that takes more than those.

    A sidecar elsewhere has one address for all; there is nothing here to keep a program from.
    """
    control = session.control
    if not session.connection.local:
        return control.base_url, None
    agents_url = control.status().agents_url
    if agents_url is None:
        raise SpendGuardError(
            Code.EXEC_FAILED,
            "exec failed: the sidecar has no port for agent keys, so it is of an older version",
            remedy="spendguard restart",
        )
    return agents_url, urlsplit(control.base_url).port


def _known_keys(session: Session) -> frozenset[str]:
    """Return the provider keys in use here, so that they are found under any name; without a file, none."""
    from spendguard_daemon.provider_keys import ProviderKeys
    from spendguard_daemon.runtime import read_text

    return ProviderKeys(session.env, read_text(session.connection.home.secrets)).secrets()
