"""`completions show|install`: TAB completes commands, options, agents, runs, calls and settings."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from spendguard_cli.output import Form
from spendguard_cli.session import Session
from spendguard_cli.verbs import group, verb
from spendguard_daemon.codes import Exit

app = group("Completions for bash, zsh and fish: what TAB knows.")

Shell = Literal["bash", "zsh", "fish"]
LOCAL = (Exit.FAILED, Exit.USAGE)


@verb(
    app,
    "show",
    examples=(
        "spendguard completions show zsh",
        "spendguard completions show bash",
    ),
    exits=LOCAL,
)
def show(
    session: Session,
    *,
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print the script that a shell loads; nothing is written."""
    from spendguard_cli.completing.scripts import SCRIPTS

    if session.out.form is Form.JSON:
        session.out.show({"script": SCRIPTS[shell], "shell": shell})
    else:
        session.out.pour([SCRIPTS[shell]])


@verb(
    app,
    "install",
    examples=(
        "spendguard completions install",
        "spendguard completions install fish",
        "spendguard completions install bash --path ~/.spendguard.bash",
    ),
    exits=LOCAL,
)
def install(
    session: Session,
    *,
    shell: Annotated[
        Shell | None,
        typer.Argument(
            metavar="[SHELL]", help="bash, zsh or fish; else the one that SHELL names.", show_default=False
        ),
    ] = None,
    path: Annotated[
        str | None, typer.Option("--path", metavar="FILE", help="Another place than where the shell looks.")
    ] = None,
) -> None:
    """Put the script where the shell finds it, and say what to type next.

    No file of your own, such as ~/.bashrc, is changed. Names are asked of the sidecar as you press TAB; it is
    never started for that.
    """
    from spendguard_cli.completing import places
    from spendguard_cli.shapes import CompletionsInstalled

    chosen = shell or places.shell_of(session.env)
    named = os.path.expanduser(path or "")  # noqa: PTH111 (which leaves the home of nobody as it was typed)
    where = Path(named).absolute() if path else places.place_of(chosen, session.env)
    changed = places.install(chosen, where)
    session.out.show(
        CompletionsInstalled(
            shell=chosen, path=str(where), changed=changed, next=places.then(chosen, where, session.env)
        )
    )
