"""The command tree, and the one place where an error becomes a sentence, a remedy and an exit code.

Commands raise; nothing else catches SpendGuardError to print it. Results go to stdout, talk to stderr.
"""

import functools
import io
import os
import signal
import sys
import traceback
from types import TracebackType
from typing import Annotated, NoReturn, cast

import typer
from typer.core import TyperGroup

from spendguard_cli import verbs
from spendguard_cli.asked import is_json_asked
from spendguard_cli.commands import (
    budgets,
    completions,
    config,
    demo,
    doctor,
    execute,
    explain,
    keys,
    ledger,
    lifecycle,
    overview,
    providers,
    runs,
    trust,
    watch,
)
from spendguard_cli.context import Flags
from spendguard_cli.helptext import Group
from spendguard_cli.output import Form, Output
from spendguard_daemon import __version__
from spendguard_daemon.codes import Exit
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.text import safe

COMPLETING = "_SPENDGUARD_COMPLETE"
"""Set by the scripts of the shells: the program then answers what may stand at the cursor."""

NAME_LENGTH_MAX = 200
"""Of a file in an error: what is wrong with it comes after its name."""

app = typer.Typer(
    name="spendguard",
    cls=Group,
    help="Strict, hard budgets for the LLM spending of agents.",
    epilog="A terminal gets tables, a pipe key=value lines, --json JSON. Start with: spendguard demo",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
)
demo.join(app)
execute.join(app)
lifecycle.join(app)
doctor.join(app)
explain.join(app)
watch.join(app)
app.add_typer(keys.app, name="agent")  # those of `agents` and `freezing`, and its own
app.add_typer(budgets.app, name="budget")
app.add_typer(runs.app, name="run")
app.add_typer(ledger.app, name="ledger")
app.add_typer(trust.app, name="pricing")  # those of `pricing`, `authority`, its own
app.add_typer(providers.app, name="provider")
app.add_typer(config.app, name="config")
app.add_typer(completions.app, name="completions")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"spendguard {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    *,
    _version_wanted: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_version, metavar=""),
    ] = False,
    json: verbs.Json = False,
    home: verbs.Home = None,
    base_url: verbs.BaseUrl = None,
    api_key: verbs.ApiKey = None,
    no_spawn: verbs.NoSpawn = False,
) -> None:
    """Remember what was typed before the command; without a command show the state of things."""
    ctx.obj = Flags(json=json, home=home, base_url=base_url, api_key=api_key, no_spawn=no_spawn)
    if ctx.invoked_subcommand is None:
        with verbs.in_session(ctx.obj, "spendguard") as session:
            overview.show(session)


def main() -> NoReturn:
    """Run the command line; `entry` has loaded it."""
    sys.excepthook = _report_fault
    _prepare_streams()
    if COMPLETING in os.environ:
        from spendguard_cli.completing.answer import answer

        answer(_tree(), sys.argv[1:], os.environ)
        sys.exit(Exit.OK)
    if os.name == "nt":
        Output(Form.LINES).fail(
            "platform", "SpendGuard does not run on Windows", "run it under WSL, where it works"
        )
        sys.exit(Exit.FAILED)
    sys.exit(int(_outcome(sys.argv[1:])))


def _prepare_streams() -> None:
    """Let no stream be missing (`>&-`), and no character that the terminal lacks end a command."""
    sys.stdin = sys.stdin or os.fdopen(os.open(os.devnull, os.O_RDONLY))
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stderr = sys.stderr or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@functools.cache
def _tree() -> TyperGroup:
    """Return the tree of commands; to put it together takes longer than most of them do."""
    return cast("TyperGroup", typer.main.get_command(app))


def _outcome(arguments: list[str]) -> int:
    """Run the command and return the exit code, with whatever went wrong said on stderr."""
    command = _tree()
    out = Output(Form.JSON if is_json_asked(command, arguments) else Form.LINES)
    try:
        code = _run(command, arguments)
        sys.stdout.flush()
        return code
    except SpendGuardError as error:
        return out.refuse(error)
    except typer.TyperException as error:
        return _misused(out, error)
    except (KeyboardInterrupt, typer.Abort) as error:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not tear the way out
        for note in getattr(error, "__notes__", []):
            out.say(note)
        return out.interrupted()
    except BrokenPipeError:  # the reader has seen enough, as in `| head`
        _settle_stdout()
        return Exit.OK
    except OSError as error:
        _settle_stdout()
        where = f"{safe(str(error.filename), NAME_LENGTH_MAX)}: " if error.filename else ""
        (remedy,) = getattr(error, "__notes__", [""])[:1]
        out.fail("os_error", f"{where}{error.strerror or error}", remedy)
        return Exit.FAILED


def _run(command: TyperGroup, arguments: list[str]) -> int:
    for number, argument in enumerate(arguments, 1):
        if not _is_text(argument):
            raise typer.TyperException(f"Argument {number} is not UTF-8 text.")
    try:
        with command.make_context("spendguard", list(arguments)) as context:
            command.invoke(context)
    except typer.Exit as ended:
        return ended.exit_code
    return Exit.OK


def _settle_stdout() -> None:
    """Let nothing more be written to a stdout that takes nothing, not even by the interpreter's end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def _misused(out: Output, error: typer.TyperException) -> int:
    """Print what is wrong with the command line; a group without a command has shown its help already."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "spendguard"
    # "Value error" is what the library below typer calls any of its own findings.
    said = error.format_message().rstrip(".").replace(": Value error, ", ": ", 1)
    near = getattr(error, "possibilities", None)
    if near:
        said = f"{error.message.rstrip('.')}; did you mean {' or '.join(near)}?"
    if said:
        out.fail(Code.USAGE, said, f"{path} --help", Exit.USAGE)
    return Exit.USAGE


def _report_fault(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say in one line that we have a bug; the interpreter ends with 1 after this."""
    if issubclass(kind, KeyboardInterrupt):
        os.write(2, b"interrupted\n")
        os._exit(Exit.INTERRUPTED)
    if os.environ.get("SPENDGUARD_DEBUG") == "1":
        traceback.print_exception(kind, error, trace)
    asked = is_json_asked(_tree(), sys.argv[1:])
    Output(Form.JSON if asked else Form.LINES).fail(
        Code.INTERNAL,
        f"internal: {kind.__name__}: {error}",
        "spendguard logs; SPENDGUARD_DEBUG=1 before the same command shows where",
    )
