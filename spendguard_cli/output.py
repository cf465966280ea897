"""Where words go: results to stdout, talk to stderr; Rich on a terminal, lines on a pipe, JSON on request.

The only module that prints. It formats nothing itself: `render` and `views` do.
"""

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from types import MappingProxyType

from spendguard_cli import render
from spendguard_daemon.codes import TABLE, Exit
from spendguard_daemon.errors import Fact, SpendGuardError
from spendguard_daemon.setting_values import DANGER
from spendguard_daemon.text import safe

TALK_LENGTH_MAX = 2000
NONE: Mapping[str, Fact] = MappingProxyType({})


class Form(Enum):
    """How results are written."""

    TERMINAL = "terminal"
    LINES = "lines"
    JSON = "json"


class Output:
    """The two streams of one invocation."""

    def __init__(self, form: Form):
        self.form = form

    @property
    def is_terminal(self) -> bool:
        """Whether a person reads the results."""
        return self.form is Form.TERMINAL

    @classmethod
    def choose(cls, *, json: bool) -> "Output":
        """Pick the form: JSON when asked for, Rich where a person looks, lines for everything else."""
        if json:
            return cls(Form.JSON)
        return cls(Form.TERMINAL if sys.stdout.isatty() else Form.LINES)

    def show(self, value: object, *, on_terminal: object | None = None) -> None:
        """Print a result; a person may be shown `on_terminal`, which says the same and more."""
        if self.form is Form.TERMINAL:
            from spendguard_cli.views import ink, view

            # Not cropped: tables fit by themselves, and a command that is cut at the edge is another command.
            ink.console(sys.stdout).print(view(value if on_terminal is None else on_terminal), crop=False)
            return
        text = render.to_json(value) if self.form is Form.JSON else render.to_lines(value)
        if text:
            sys.stdout.write(text + "\n")

    def pour(self, lines: Iterable[str]) -> None:
        """Print text that is what was asked for as it stands, each part with its line end."""
        sys.stdout.writelines(lines)

    def flush(self) -> None:
        """Let whoever reads stdout have what was printed so far, while the command goes on."""
        sys.stdout.flush()

    def log(self, record: dict[str, object]) -> None:
        """Print one record of the sidecar's log as it comes."""
        if self.form is Form.TERMINAL:
            from spendguard_cli.views import ink, sidecar

            ink.console(sys.stdout).print(sidecar.log_line(record), soft_wrap=True)
            return
        line = render.to_json_line(record) if self.form is Form.JSON else render.record(record)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def warn(self, text: str) -> None:
        """Tell what the operator should know, whoever reads."""
        self._talk("warning: ", text, "red" if text.startswith(DANGER) else "yellow")

    def say(self, text: str) -> None:
        """Tell what is going on, whoever reads: what is waited for, what was left undone."""
        self._talk("", text, "")

    def tell(self, line: str) -> None:
        """Write a line for a program that reads stderr, as stdout is not ours."""
        sys.stderr.write(line + "\n")

    def advise(self, remedy: str) -> None:
        """Tell the command to try next, whoever reads."""
        self._talk("try: ", remedy, "cyan")

    def hint(self, text: str) -> None:
        """Tell a person what to do next; a script is not bothered with it."""
        if sys.stderr.isatty():
            self._talk("", text, "dim")

    def ask(self, question: str) -> bool:
        """Ask before something that cannot be undone; raise typer.Abort on Ctrl-C."""
        import typer

        return typer.confirm(safe(question, TALK_LENGTH_MAX), err=True)

    def refuse(self, error: SpendGuardError) -> Exit:
        """Print a refusal with its remedy, and return the exit code."""
        known = TABLE[error.code]
        self.fail(error.code, error.detail, error.remedy or known.operator_remedy, known.exit, error.facts)
        return known.exit

    def interrupted(self) -> Exit:
        """Tell that the command was interrupted, and return the exit code."""
        if self.form is Form.JSON:
            self.fail("interrupted", "interrupted", "", Exit.INTERRUPTED)
        else:
            sys.stderr.write("interrupted\n")
        return Exit.INTERRUPTED

    def fail(
        self,
        code: str,
        detail: str,
        remedy: str,
        left: Exit = Exit.FAILED,
        facts: Mapping[str, Fact] = NONE,
    ) -> None:
        """Print an error and its remedy, each on a line of its own; as one line of JSON where asked for."""
        with contextlib.suppress(OSError):  # a closed pipe must not hide the error
            sys.stdout.flush()
        if self.form is Form.JSON:
            said = safe(detail, TALK_LENGTH_MAX)
            own: dict[str, Fact] = {"code": str(code), "detail": said, "exit": int(left), "remedy": remedy}
            with _talking():
                self.tell(render.to_json_line({"error": {**facts, **own}}))
            return
        self._talk("error: ", detail, "bold red")
        if remedy:
            self.advise(remedy)

    def _talk(self, mark: str, text: str, style: str) -> None:
        line = safe(text, TALK_LENGTH_MAX)
        with _talking():
            if not sys.stderr.isatty():
                sys.stderr.write(f"{mark}{line}\n")
                return
            from spendguard_cli.views import ink

            ink.say(sys.stderr, mark, line, style)


@contextlib.contextmanager
def _talking() -> Iterator[None]:
    """Say no more where stderr takes nothing: what a command does, and its exit code, are the same."""
    try:
        yield
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
