"""How a command joins the tree: the options all commands share, its examples and its exit codes.

A command is a function of a `Session` and its own parameters. `verb` gives it the shared options, so that
`--json` works where people type it, and a help text with purpose, examples and exit codes, none of which can
then be forgotten.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Concatenate, ParamSpec, cast

import typer

from spendguard_cli.context import Flags
from spendguard_cli.helptext import Group, Verb
from spendguard_cli.session import Session
from spendguard_daemon.codes import Exit

P = ParamSpec("P")
Command = Callable[Concatenate[Session, P], None]

PANEL = "Options of every command"


def switch(*names: str, help_text: str, panel: str | None = None) -> Any:
    """Make an option that takes no value, and is shown as such."""
    return typer.Option(*names, help=help_text, rich_help_panel=panel, show_default=False, metavar="")


Json = Annotated[bool, switch("--json", help_text="Print JSON with sorted keys.", panel=PANEL)]
Home = Annotated[
    str | None,
    typer.Option(
        "--home", metavar="DIR", help="Home of the sidecar; else SPENDGUARD_HOME.", rich_help_panel=PANEL
    ),
]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        "--base-url", metavar="URL", help="Address of the sidecar; else CAP_BASE_URL.", rich_help_panel=PANEL
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        metavar="KEY",
        help="Key to speak with; else CAP_API_KEY, else the home's admin token.",
        rich_help_panel=PANEL,
    ),
]
NoSpawn = Annotated[bool, switch("--no-spawn", help_text="Never start a sidecar.", panel=PANEL)]
SHARED: dict[str, tuple[Any, object]] = {
    "json": (Json, False),
    "home": (Home, None),
    "base_url": (BaseUrl, None),
    "api_key": (ApiKey, None),
    "no_spawn": (NoSpawn, False),
}

MEANINGS = {
    Exit.OK: "done",
    Exit.FAILED: "failed",
    Exit.USAGE: "usage",
    Exit.NO_DAEMON: "no sidecar",
    Exit.NOT_FOUND: "not found",
    Exit.NOT_ALLOWED: "not allowed",
    Exit.BUDGET: "refused by budget",
    Exit.LOCKED: "locked",
    Exit.PRICING: "prices",
    Exit.LEDGER: "ledger refuses to open",
    Exit.EXEC: "exec itself failed",
    Exit.INTERRUPTED: "interrupted",
}
TALKS = (Exit.USAGE, Exit.NO_DAEMON, Exit.NOT_ALLOWED)
"""What can happen to any command that speaks to a sidecar."""


def group(purpose: str) -> typer.Typer:
    """Make a group of commands."""
    return typer.Typer(help=purpose, cls=Group, no_args_is_help=True, add_completion=False)


def verb(
    app: typer.Typer,
    name: str,
    *,
    examples: tuple[str, ...],
    exits: tuple[Exit, ...] = TALKS,
    takes_minus: bool = False,
    takes_command: bool = False,
) -> Callable[[Command[P]], Command[P]]:
    """Register a command; its docstring is the purpose.

    `takes_minus`: a value may be `-1`, and no option. `takes_command`: what begins with the first word that
    is no option is a command line of its own.
    """

    def register(command: Command[P]) -> Command[P]:
        def run(ctx: typer.Context, **given: Any) -> None:
            flags = Flags(**{shared: given.pop(shared) for shared in SHARED})
            outer = ctx.obj if isinstance(ctx.obj, Flags) else Flags()
            with in_session(flags.over(outer), ctx.command_path) as session:
                cast("Callable[..., None]", command)(session, **given)

        _, *own = inspect.signature(command, eval_str=True).parameters.values()
        first = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        parameters = [first, *own, *_shared()]
        cast("Any", run).__signature__ = inspect.Signature(parameters)
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        settings = {"ignore_unknown_options": True} if takes_minus else {}
        settings |= {"allow_interspersed_args": False} if takes_command else {}
        purpose = explain(inspect.getdoc(command) or "", examples, exits)
        app.command(name, cls=Verb, help=purpose, context_settings=settings)(run)
        return command

    return register


@contextlib.contextmanager
def in_session(flags: Flags, typed: str) -> Iterator[Session]:
    """Yield the session of one command, `typed` so; tell what to type next where a file cannot be used.

    What cannot be read of the home, `doctor` knows more about; any other file was named by who typed.
    """
    session = Session(flags)
    try:
        yield session
    except OSError as error:
        if error.filename:
            error.add_note("spendguard doctor" if session.is_of_home(error.filename) else f"{typed} --help")
        raise
    finally:
        session.close()


def _shared() -> list[inspect.Parameter]:
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
        for name, (kind, default) in SHARED.items()
    ]


def explain(purpose: str, examples: tuple[str, ...], exits: tuple[Exit, ...]) -> str:
    """Put a help text together: paragraphs flow, and brackets are escaped, as Rich reads them as markup."""
    flowing = "\n\n".join(" ".join(part.split()) for part in purpose.split("\n\n"))
    shown = "\n".join(f"  $ {example}" for example in examples)
    codes = " · ".join(f"{int(code)} {MEANINGS[code]}" for code in sorted({Exit.OK, *exits}))
    return f"{flowing}\n\nExamples:\n{shown}\n\nExit codes: {codes}".replace("[", "\\[")
