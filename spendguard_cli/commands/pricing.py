"""`pricing show|refresh|verify|diff|recompute`: what prices are in force, and whether they were kept to."""

from typing import TYPE_CHECKING, Annotated

import typer

from spendguard_cli.session import Session
from spendguard_cli.verbs import TALKS, group, switch, verb
from spendguard_daemon.codes import Exit
from spendguard_daemon.errors import Code, SpendGuardError

if TYPE_CHECKING:
    from spendguard_cli.pricing.archive import Archive
    from spendguard_daemon.pricing.document import PriceBook
    from spendguard_daemon.pricing.trust import Trust
    from spendguard_daemon.settings import Settings

app = group("Prices: what is in force, who signed it, what it comes to; and an authority of your own.")

READS = (Exit.USAGE, Exit.PRICING)


@verb(
    app,
    "show",
    examples=(
        "spendguard pricing show",
        "spendguard pricing show claude-sonnet-4-5",
        "spendguard pricing show gemini:gemini-2.5-pro --json",
    ),
    exits=(*TALKS, Exit.PRICING),
)
def show(
    session: Session,
    *,
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="A model, or provider:model.", show_default=False),
    ] = None,
) -> None:
    """Show the price document in force, or one model's card.

    The card is read from the document as it was received, verified again: limits, tiers, dated periods,
    rates in USD per million tokens, fees per 1,000 events.
    """
    now = session.control.pricing()
    if model is None:
        session.out.show(now)
        return
    from spendguard_cli.pricing import showing
    from spendguard_daemon.system import SystemClock

    session.local_only("pricing show MODEL")
    now_ns = SystemClock().wall_ns()
    book = _in_force(archive_of(session), now.document_sha256, now_ns)
    session.out.show(showing.shown(showing.card_of(book, model), book, now_ns))


@verb(
    app,
    "refresh",
    examples=("spendguard pricing refresh", "spendguard pricing refresh --json"),
    exits=(*TALKS, Exit.PRICING),
)
def refresh(session: Session) -> None:
    """Make the sidecar fetch or sign its prices now, and show what is in force then.

    A document that does not verify leaves the one before it in force: exit 8 says why.
    """
    session.operator_only("pricing refresh")
    session.out.show(session.control.refresh_prices())


@verb(
    app,
    "verify",
    examples=(
        "spendguard pricing verify prices.json",
        "spendguard pricing verify https://prices.example.com/v1/public/pricing",
        "spendguard pricing verify prices.json --key 1ITgfCZsRETBLvSKFUoPsP7p3RKNH4Nto6zKLlUD8nQ=",
    ),
    exits=READS,
)
def verify(
    session: Session,
    *,
    source: Annotated[str, typer.Argument(metavar="FILE-or-URL", help="https, or http to this machine.")],
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="BASE64", help="The one public key to trust, in place of trust.toml."),
    ] = None,
) -> None:
    """Verify a price document in full: signatures, form, every row, times.

    Of either schema, against this home's trust.toml. Changes nothing. What the sidecar checks beside this is
    that no document is older than one it has accepted.
    """
    from spendguard_cli.pricing import checking, sources
    from spendguard_cli.progress import progress
    from spendguard_daemon.pricing import trust
    from spendguard_daemon.system import SystemClock

    trusted = trust_of(session) if key is None else trust.read_public_key(key)
    with progress("fetching", shown="://" in source):
        raw = sources.read(source)
    found = checking.verified(raw, trusted, SystemClock().wall_ns(), source)
    session.out.show(found)
    for warning in found.warnings:
        session.out.warn(warning)


@verb(
    app,
    "diff",
    examples=(
        "spendguard pricing diff old.json new.json",
        "spendguard pricing diff prices.json https://prices.example.com/v1/public/pricing --json",
    ),
    exits=(Exit.FAILED, *READS),
)
def diff(
    session: Session,
    *,
    old: Annotated[str, typer.Argument(metavar="OLD", help="A file or an address.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="A file or an address.")],
) -> None:
    """Compare the prices of two documents, number by number.

    Signed or not, of either schema, or catalogues; signatures and times are not looked at. Exit 1 where a
    price became cheaper, or ten times as dear or more: look at each before you sign.
    """
    from spendguard_cli.pricing import checking, differing, sources

    before = checking.read_cards(sources.read(old), old)
    after = checking.read_cards(sources.read(new), new)
    found = differing.compare(before.cards, after.cards, old_name=old, new_name=new)
    session.out.show(found)
    if found.flagged:
        session.out.warn("prices became cheaper, or ten times as dear: see the flagged changes")
        raise typer.Exit(Exit.FAILED)


@verb(
    app,
    "recompute",
    examples=(
        "spendguard pricing recompute --all",
        "spendguard pricing recompute 0b6c1c9e-8d0f-4c57-9f0a-3f5a3f0d6a11",
        "spendguard pricing recompute --all --json",
    ),
    exits=(Exit.FAILED, Exit.USAGE, Exit.NO_DAEMON, Exit.NOT_FOUND, Exit.PRICING, Exit.LEDGER),
)
def recompute(
    session: Session,
    *,
    call: Annotated[
        str | None, typer.Argument(metavar="[CALL]", help="A call's id.", show_default=False)
    ] = None,
    every: Annotated[bool, switch("--all", help_text="Every call that was charged.")] = False,
) -> None:
    """Compute charged calls again from the documents they were held by.

    Offline: from the ledger's files and pricing/, each document verified again as of its call. To the
    nano-dollar; what an operator adjusted later is told beside it. Of --all, the calls that are not equal are
    listed. Exit 1 where one is different; those that cannot be computed are told with the reason.
    """
    from spendguard_cli.ledger.charged import charged_calls
    from spendguard_cli.ledger.journal import Journal
    from spendguard_cli.ledger.places import home_ledger
    from spendguard_cli.pricing import recomputing
    from spendguard_cli.progress import progress
    from spendguard_daemon.system import SystemDisk

    if every == (call is not None):
        raise SpendGuardError(
            Code.USAGE, "Name one call, or say --all", remedy="spendguard pricing recompute --all"
        )
    session.local_only("pricing recompute")
    disk = SystemDisk()
    place, archive = home_ledger(session.connection.home, disk), archive_of(session)
    with progress("computing") as advance:
        journal = Journal.read(place.path, disk=disk, on_progress=advance)
        calls = recomputing.wanted(charged_calls(journal), call)
        found = recomputing.summary((recomputing.check(one, archive) for one in calls), all_rows=not every)
    if call is not None and not found.calls:
        raise SpendGuardError(
            Code.CALL_NOT_FOUND,
            f"Call not found: no call {call!r} was charged anything",
            remedy="spendguard ledger export lists all calls, those that were never charged as well",
        )
    session.out.show(found)
    if journal.first_seq > 1:
        session.out.warn(
            f"records 1 to {journal.first_seq - 1} are not there: calls settled by then are missing"
        )
    if not found.ok:
        session.out.fail(
            "differs",
            f"{found.different} of {found.calls} calls were not charged what their documents say",
            "spendguard ledger verify says if the records are whole",
        )
        raise typer.Exit(Exit.FAILED)


def settings_of(session: Session) -> "Settings":
    """Return the settings of this home, as this shell's environment has them."""
    from spendguard_daemon import settings
    from spendguard_daemon.runtime import read_text

    return settings.load(read_text(session.connection.home.config), session.env)


def trust_of(session: Session) -> "Trust":
    """Return whom this home trusts: the one key of its settings, else those of trust.toml."""
    from spendguard_cli.pricing import trusting
    from spendguard_daemon.pricing import trust
    from spendguard_daemon.runtime import read_text

    named = settings_of(session).price_public_key
    if named:
        return trust.read_public_key(named)
    return trusting.read(read_text(session.connection.home.trust))


def archive_of(session: Session) -> "Archive":
    """Return this home's documents, with all keys that may have signed one.

    Those of trust.toml, that of the settings, and the published one, which `up --strict` trusts.
    """
    from dataclasses import replace

    from spendguard_cli.pricing import trusting
    from spendguard_cli.pricing.archive import Archive
    from spendguard_daemon.addresses import PUBLIC_PRICES_KEY
    from spendguard_daemon.pricing import trust
    from spendguard_daemon.runtime import read_text
    from spendguard_daemon.system import SystemDisk

    home, found = session.connection.home, settings_of(session)
    published = trust.read_public_key(PUBLIC_PRICES_KEY).keys
    keys = {*trusting.read(read_text(home.trust)).keys, *trust_of(session).keys}
    keys |= {replace(key, key_id="published") for key in published}
    skew_ns = found.price_expiry_skew_seconds * 1_000_000_000
    return Archive(home.pricing, keys, SystemDisk(), skew_ns=skew_ns)


def _in_force(archive: "Archive", document_sha256: str, now_ns: int) -> "PriceBook":
    try:
        return archive.book(document_sha256, now_ns)
    except FileNotFoundError:
        raise SpendGuardError(
            Code.PRICING_UNAVAILABLE,
            f"No valid price document: pricing/{document_sha256}.json is not in this home",
            remedy="spendguard pricing refresh; or --home names the home of the sidecar that answers",
        ) from None
