"""The prices in force in words: whose word they are, how old, how long they last, what was wrong. Pure."""

from dataclasses import dataclass

from rich.text import Text

from spendguard_cli.render import count
from spendguard_cli.views.ink import BAD, CARE, GOOD, QUIET
from spendguard_cli.watch.board import seconds
from spendguard_cli.watch.telling import ago, begin, clock, left, span, title
from spendguard_daemon import wire
from spendguard_daemon.text import safe

LIFE_PARTS = 10
"""With less than a tenth of its life left a document should have been replaced twice over."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and what is so."""

    name: str
    value: Text


def expiry(value: wire.Pricing, now_seconds: float) -> Text:
    """Write how long the document is good still; in words and colour where that is not long."""
    if not value.expires_at:
        return Text("not known: the journal does not tell", style=QUIET)
    ends, began = seconds(value.expires_at), seconds(value.issued_at)
    if ends <= now_seconds:
        said = f"EXPIRED {span(now_seconds - ends)} ago: no call is let through"
        return Text(said, style=BAD)
    rest = ends - now_seconds
    if rest * LIFE_PARTS < ends - began:
        return Text(f"SOON: in {span(rest)}, {clock(value.expires_at)}", style=CARE)
    return Text(f"in {span(rest)}, {clock(value.expires_at)}")


def signer(value: wire.Pricing) -> Text:
    """Write whose signature the document bears, and whether anybody looked at it."""
    if not value.verified:
        return Text("NOT VERIFIED: anyone may have written it", style=BAD)
    who = begin(safe(value.key_id))
    if value.self_signed:
        return who.append(", self-signed: by this machine's own authority", style=CARE)
    return who.append(", verified", style=GOOD)


def facts(value: wire.Pricing, now_seconds: float) -> list[Fact]:
    """Return what is known of a document, the most pressing first."""
    source = f"{value.source} {value.url or ''}".strip()
    issued = f"{ago(value.issued_at, now_seconds)} ago, {clock(value.issued_at)}"
    if not value.issued_at:
        issued = "not known: the journal does not tell"
    checked = f"checked on {safe(value.catalogue_checked) or 'an unknown day'}"
    catalogue = begin(checked, style=CARE if value.catalogue_is_old else "")
    if value.catalogue_is_old:
        catalogue.append(": OLD, prices may have changed since")
    following = "not planned" if value.next_refresh_at is None else left(value.next_refresh_at, now_seconds)
    return [
        Fact("expires", expiry(value, now_seconds)),
        Fact("signed by", signer(value)),
        Fact("issued", Text(issued)),
        Fact("sequence", Text(f"{value.sequence}, schema {value.schema}")),
        Fact("source", Text(safe(source))),
        Fact("next look", Text(following)),
        Fact("catalogue", catalogue),
        Fact("sha256", Text(safe(value.document_sha256), style=QUIET)),
    ]


def notes(value: wire.Pricing, now_seconds: float) -> list[Text]:
    """Return what is to be looked at: the last error, prices ten times what they were, warnings."""
    told = []
    if value.last_error is not None:
        last = value.last_error
        when = ago(last.at, now_seconds)
        said = f"the last look failed {when} ago: {title(last.code)}: {safe(last.detail, 300)}"
        told.append(Text(f"✗ {said}", style=BAD))
    if value.ten_fold:
        changed = f"{count(len(value.ten_fold), 'price')} ten times what they were, or a tenth: "
        told.append(Text(f"! {changed}{', '.join(safe(one) for one in value.ten_fold)}", style=CARE))
    told += [Text(f"! {safe(one, 300)}", style=CARE) for one in value.warnings]
    return told


def table(rows: list[Fact]) -> Text:
    """Lay out names and values in two columns."""
    cells, said = max((len(row.name) for row in rows), default=0), Text()
    for place, row in enumerate(rows):
        said.append("\n" if place else "").append(f"{row.name:<{cells}}  ", style=QUIET).append_text(
            row.value
        )
    return said


def in_force(status: wire.Status | None, now_seconds: float) -> Text:
    """Write all but the models."""
    if status is None:
        return Text("the prices are not known yet", style=QUIET)
    if status.pricing is None:
        said = begin("NO PRICES ARE IN FORCE: no call is let through", style=BAD)
        for one in status.warnings:
            said.append(f"\n! {safe(one, 300)}", style=CARE)
        return said.append("\n  $ ", style="cyan").append("spendguard doctor signature")
    said = Text()
    for note in notes(status.pricing, now_seconds):
        said.append_text(note).append("\n")
    return said.append_text(table(facts(status.pricing, now_seconds)))


def matching(models: list[str], wanted: str) -> list[str]:
    """Return the models that hold each word of a text, whatever its case."""
    words = wanted.lower().split()
    return [one for one in models if all(word in one.lower() for word in words)]
