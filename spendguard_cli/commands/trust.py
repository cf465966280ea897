"""`pricing trust add|revoke|list`: the keys whose price documents this home accepts."""

from typing import TYPE_CHECKING, Annotated

import typer

from spendguard_cli.commands.authority import app
from spendguard_cli.commands.pricing import READS, settings_of
from spendguard_cli.session import Session
from spendguard_cli.verbs import group, verb
from spendguard_daemon.codes import Exit

if TYPE_CHECKING:
    from collections.abc import Callable

    from spendguard_daemon.pricing.trust import Trust

__all__ = ["app"]

trust_app = group("The keys whose price documents this home accepts.")
app.add_typer(trust_app, name="trust")

EXAMPLE_KEY = "key-2026 1ITgfCZsRETBLvSKFUoPsP7p3RKNH4Nto6zKLlUD8nQ="


@verb(
    trust_app,
    "list",
    examples=("spendguard pricing trust list", "spendguard pricing trust list --json"),
    exits=READS,
)
def list_(session: Session) -> None:
    """List the keys in trust.toml, the revoked ones as well."""
    _show_trust(session)


@verb(
    trust_app,
    "add",
    examples=(
        f"spendguard pricing trust add {EXAMPLE_KEY}",
        f"spendguard pricing trust add {EXAMPLE_KEY} --not-after 2027-01-01 --threshold 2",
    ),
    exits=(*READS, Exit.NOT_ALLOWED),
)
def add(
    session: Session,
    *,
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="As keygen printed it.")],
    public_key: Annotated[str, typer.Argument(metavar="PUBLIC_KEY", help="Base64 of 32 bytes.")],
    not_after: Annotated[
        str | None, typer.Option(metavar="TIME", help="A day or a time (UTC) from which it counts no more.")
    ] = None,
    threshold: Annotated[
        int | None, typer.Option(metavar="N", help="From now on, so many keys must have signed a document.")
    ] = None,
) -> None:
    """Trust a key: accept the price documents that it signs.

    To replace a key without a gap: add the new one, let the authority sign with it, then revoke the old one.
    """
    from spendguard_cli.ledger.exporting import moment
    from spendguard_cli.pricing import trusting

    until_ns = None if not_after is None else moment("--not-after", not_after, ends=True)
    key = trusting.pinned(key_id, public_key, until_ns)
    _edit_trust(
        session,
        "pricing trust add",
        lambda before: trusting.with_threshold(trusting.added(before, key), threshold),
    )


@verb(
    trust_app,
    "revoke",
    examples=("spendguard pricing trust revoke key-2025", "spendguard pricing trust revoke key-2025 --json"),
    exits=(*READS, Exit.NOT_ALLOWED),
)
def revoke(
    session: Session,
    *,
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="As trust list shows it.")],
) -> None:
    """Trust a key no more.

    It stays in trust.toml as revoked, and the documents of its time can still be recomputed.
    """
    from spendguard_cli.pricing import trusting

    _edit_trust(session, "pricing trust revoke", lambda before: trusting.revoked(before, key_id))


def _edit_trust(session: Session, verb_name: str, change: "Callable[[Trust], Trust]") -> None:
    """Change trust.toml under the editors' lock, and tell what a running sidecar makes of it."""
    from spendguard_cli import tomlfiles
    from spendguard_cli.pricing import trusting
    from spendguard_daemon.pricing import trust
    from spendguard_daemon.runtime import read_text

    session.local_only(verb_name)
    session.operator_only(verb_name)
    home = session.connection.home
    with tomlfiles.editing(home):
        before = read_text(home.trust)
        after = change(trusting.read(before))
        text = trust.write_trust(after)
        trust.read_trust(text)
        tomlfiles.save(home, home.trust, text)
    _show_trust(session)
    if any(line.lstrip().startswith("#") for line in before.splitlines()):
        session.out.warn("the comments in trust.toml were not kept")
    if settings_of(session).price_public_key:
        session.out.warn("one key is set in place of trust.toml ([prices] public_key): that one counts")
    if session.peek() is not None:
        session.out.say(
            "a running sidecar takes it at its next refresh; spendguard pricing refresh does it now"
        )


def _show_trust(session: Session) -> None:
    from spendguard_cli.pricing import trusting
    from spendguard_daemon.runtime import read_text
    from spendguard_daemon.system import SystemClock

    session.local_only("pricing trust")
    path = session.connection.home.trust
    now_ns = SystemClock().wall_ns()
    session.out.show(trusting.shown(str(path), trusting.read(read_text(path)), now_ns))
