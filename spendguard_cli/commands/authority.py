"""`pricing keygen|sign|serve`: a price authority of one's own."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spendguard_cli.commands.pricing import READS, app
from spendguard_cli.session import Session
from spendguard_cli.verbs import switch, verb
from spendguard_daemon.codes import Exit
from spendguard_daemon.errors import Code, SpendGuardError

if TYPE_CHECKING:
    from spendguard_cli.pricing.recipes import Recipe
    from spendguard_daemon.pricing.authority import Authority

__all__ = ["app"]

LISTEN = "127.0.0.1:8790"

Content = Annotated[
    str | None,
    typer.Argument(
        metavar="[CONTENT]",
        help="A catalogue, or a document whose prices are to be signed.",
        show_default=False,
    ),
]
Bundle = Annotated[
    bool, switch("--catalogue", help_text="Sign the bundled catalogue with this home's \\[prices.overrides].")
]
Keys = Annotated[
    list[str] | None,
    typer.Option("--key", metavar="FILE", help="A private key of keygen; further ones co-sign."),
]
Lifetime = Annotated[str, typer.Option(metavar="TIME", help="How long it is valid, at most 7d: 12h, 90s.")]
Schema = Annotated[
    Literal["1", "2"], typer.Option(help="1 is the public wire contract, 2 is ours: whole and with key ids.")
]


@verb(
    app,
    "keygen",
    examples=("spendguard pricing keygen team.key", "spendguard pricing keygen team.key --json"),
    exits=(Exit.FAILED, Exit.USAGE),
)
def keygen(
    session: Session,
    *,
    path: Annotated[str, typer.Argument(metavar="FILE", help="A new file for the private key, mode 0600.")],
) -> None:
    """Make a key pair to sign prices with.

    The private half goes into the file and is never shown. The line that each client types to trust it is
    printed.
    """
    from spendguard_cli.pricing import keyfiles
    from spendguard_cli.pricing.results import KeyMade
    from spendguard_daemon.pricing.trust import encode_base64
    from spendguard_daemon.system import SystemRng

    made = keyfiles.make(path, SystemRng())
    public_key = encode_base64(made.public_key)
    session.out.show(
        KeyMade(
            key_id=made.key_id,
            public_key=public_key,
            key_file=path,
            trust_command=f"spendguard pricing trust add {made.key_id} {public_key}",
        )
    )
    session.out.hint(f"next: spendguard pricing sign --catalogue --key {path} --output prices.json")


@verb(
    app,
    "sign",
    examples=(
        "spendguard pricing sign --catalogue --key team.key --output prices.json",
        "spendguard pricing sign content.json --key team.key --previous prices.json --output prices.json",
        "spendguard pricing sign content.json --key a.key --key b.key --lifetime 24h --sequence 12",
        "spendguard pricing sign rates.json --schema 1 --key team.key --output schema1.json",
    ),
    exits=READS,
)
def sign(
    session: Session,
    *,
    content: Content = None,
    bundle: Bundle = False,
    key: Keys = None,
    lifetime: Lifetime = "7d",
    sequence: Annotated[
        int | None,
        typer.Option(
            min=1, max=2**53 - 1, metavar="N", help="Above every one signed before.", show_default=False
        ),
    ] = None,
    previous: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The document signed last: the sequence is one above its own."),
    ] = None,
    schema: Schema = "2",
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write to a file, whole or not at all."),
    ] = None,
) -> None:
    """Sign prices, as a document that sidecars accept.

    Without --output the document itself goes to stdout, to the byte. It is verified before it is given away.
    Clients accept no sequence number below one that they have seen: 1 is for the first document only.
    """
    from spendguard_cli.ledger import sheet
    from spendguard_cli.ledger.places import new_file
    from spendguard_cli.pricing import checking, signing, sources
    from spendguard_daemon.system import SystemClock

    seconds = signing.lifetime_seconds(lifetime)
    if previous is not None and sequence is not None:
        raise SpendGuardError(
            Code.USAGE, "--previous: the sequence number is said already", remedy="leave one of them out"
        )
    if schema == "1" and (previous is not None or sequence is not None):
        raise SpendGuardError(
            Code.USAGE,
            "A document of schema 1 has no sequence number, its time of issue stands for it",
            remedy="leave --sequence and --previous out",
        )
    if previous is not None:
        sequence = signing.next_sequence(sources.read_file(previous), previous)
    path = None if output is None else new_file(output, session.connection.home)
    recipe = _recipe(session, content, bundle=bundle, keys=key, schema=schema)
    made = recipe.make(recipe.read(), sequence or 1, SystemClock().wall_ns(), seconds)
    if path is None:
        session.out.pour([made.raw.decode()])
        return
    sheet.write(path, [made.raw.decode()])
    signed_by = [one.key_id for one in _keys(key)]
    session.out.show(checking.shown(made.document, signed_by, str(path)))
    for warning in made.document.warnings:
        session.out.warn(warning)


@verb(
    app,
    "serve",
    examples=(
        "spendguard pricing serve --catalogue --key team.key",
        "spendguard pricing serve content.json --key team.key --listen 127.0.0.1:8790 --ttl 60",
        "spendguard pricing serve --document prices.json",
    ),
    exits=(*READS, Exit.INTERRUPTED),
)
def serve(
    session: Session,
    *,
    content: Content = None,
    bundle: Bundle = False,
    document: Annotated[
        str | None,
        typer.Option("--document", metavar="FILE", help="Serve this signed document; it needs no key here."),
    ] = None,
    key: Keys = None,
    lifetime: Lifetime = "1h",
    ttl: Annotated[
        int, typer.Option(min=0, max=86_400, metavar="SECONDS", help="How long a client may keep an answer.")
    ] = 300,
    schema: Schema = "2",
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Loopback by default; port 0 takes a free one.")
    ] = LISTEN,
) -> None:
    """Serve signed prices over HTTP, until Ctrl-C.

    What is served is signed anew when half of its time is over, and when the content's file or config.toml
    changes. Sidecars ask other machines over https only: put a TLS proxy in front to serve them.
    """
    from spendguard_cli.pricing import checking, recipes, signing
    from spendguard_cli.pricing.serving import PriceServer, address
    from spendguard_cli.pricing.shelf import Shelf
    from spendguard_daemon.system import SystemClock

    if document is not None:
        if content is not None or bundle or key:
            raise SpendGuardError(
                Code.USAGE, "--document is served as it is", remedy="leave content and keys out"
            )
        recipe, seconds = recipes.of_signed(document), 0
    else:
        recipe = _recipe(session, content, bundle=bundle, keys=key, schema=schema)
        seconds = signing.lifetime_seconds(lifetime)
    clock = SystemClock()
    shelf = Shelf(recipe, clock=clock, lifetime_seconds=seconds, ttl_seconds=ttl, say=session.out.say)
    with PriceServer(*address(listen), shelf.current) as server:
        signed_by = [one.key_id for one in _keys(key)] if key else []
        session.out.show(checking.serving(shelf.signed.document, signed_by, server.url))
        session.out.flush()
        session.out.hint("Ctrl-C ends it")
        server.serve_forever()


def _recipe(
    session: Session, content: str | None, *, bundle: bool, keys: list[str] | None, schema: str
) -> "Recipe":
    from spendguard_cli.pricing import recipes

    if bundle == (content is not None):
        raise SpendGuardError(
            Code.USAGE,
            "Name the content to sign, or say --catalogue",
            remedy="spendguard pricing sign --catalogue --key FILE",
        )
    if content is not None:
        return recipes.of_content(content, _keys(keys), int(schema))
    if schema == "1":
        raise SpendGuardError(
            Code.USAGE,
            "--schema 1: the bundled catalogue says more than schema 1 can",
            remedy="name a file with rates of schema 1, see references/price-document.md",
        )
    return recipes.of_bundle(session.connection.home, session.env, _keys(keys))


def _keys(texts: list[str] | None) -> "list[Authority]":
    from spendguard_cli.pricing import keyfiles

    if not texts:
        raise SpendGuardError(
            Code.USAGE, "No key to sign with", remedy="--key FILE; spendguard pricing keygen FILE makes one"
        )
    return keyfiles.read_all(texts)
