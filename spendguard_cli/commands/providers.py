"""`provider list|set-key|test`: the operator's keys. A key is read from stdin, never from an argument."""

import sys
from difflib import get_close_matches
from typing import Annotated

import typer

from spendguard_cli.session import Session
from spendguard_cli.verbs import TALKS, group, verb
from spendguard_daemon.codes import Exit
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.settings import PROVIDERS

app = group("Providers: where they are reached, and with whose key.")

COMPANIES = {"xai": "grok", "x.ai": "grok", "google": "gemini", "claude": "anthropic", "chatgpt": "openai"}
"""What people also call the providers."""

STDIN_CHARACTERS_MAX = 64 * 1024

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help=f"{', '.join(PROVIDERS[:-1])} or {PROVIDERS[-1]}.",
    ),
]


@verb(app, "list", examples=("spendguard provider list", "spendguard provider list --json"))
def list_(session: Session) -> None:
    """List the providers.

    Their addresses, and where their keys come from; never a key.
    """
    session.out.show(session.control.providers())


@verb(
    app,
    "set-key",
    examples=(
        "spendguard provider set-key openai",
        "printenv MY_KEY | spendguard provider set-key openai",
    ),
    exits=(Exit.USAGE, Exit.NOT_ALLOWED),
)
def set_key(session: Session, *, name: Name) -> None:
    """Store a provider's key.

    It is read from stdin, or asked for unseen, and kept in secrets.toml, mode 0600.
    """
    from spendguard_cli import shapes, tomlfiles
    from spendguard_daemon.runtime import read_text

    session.local_only("provider set-key")
    session.operator_only("provider set-key")
    _known(name)
    key = _read_key(name)
    home = session.connection.home
    with tomlfiles.editing(home):
        text = tomlfiles.with_key(read_text(home.secrets), name, key)
        tomlfiles.save(home, home.secrets, text)
    control = session.peek()
    used = "secrets.toml"
    if control is not None:
        used = next((found.key for found in control.reload_keys() if found.name == name), "absent")
    state = "down" if control is None else "up"
    session.out.show(shapes.KeySet(name=name, key=used, path=str(home.secrets), sidecar=state))
    if used != "secrets.toml":
        session.out.warn(f"the sidecar uses {used} of its environment, which wins over secrets.toml")


@verb(
    app,
    "test",
    examples=("spendguard provider test openai", "spendguard provider test openai --json"),
    exits=(Exit.FAILED, *TALKS),
)
def test(session: Session, *, name: Name) -> None:
    """Try a provider's key.

    The sidecar asks for the list of models, which costs nothing.
    """
    _known(name)
    found = session.control.test_provider(name)
    session.out.show(found)
    if not found.ok:
        if found.remedy:
            session.out.advise(found.remedy)
        raise typer.Exit(Exit.FAILED)


def _known(name: str) -> None:
    if name not in PROVIDERS:
        near = get_close_matches(name.lower(), PROVIDERS, 1)
        meant = COMPANIES.get(name.lower()) or (near[0] if near else "")
        raise SpendGuardError(
            Code.USAGE,
            f"{name!r} is no provider" + (f"; did you mean {meant}?" if meant else ""),
            remedy=f"name one of {', '.join(PROVIDERS)}",
        )


def _read_key(name: str) -> str:
    """Read a key, from a pipe or unseen from the terminal; raise USAGE without ever repeating it."""
    from spendguard_daemon.provider_keys import is_key

    if sys.stdin.isatty():
        import getpass

        text = getpass.getpass(f"Key of {name} (not shown): ")
    else:
        text = sys.stdin.read(STDIN_CHARACTERS_MAX)
    key = text.strip()
    if not is_key(key):
        what = "No key came on stdin" if not key else "What came on stdin is not one line of printable ASCII"
        raise SpendGuardError(
            Code.USAGE, what, remedy=f"printenv MY_KEY | spendguard provider set-key {name}"
        )
    return key
