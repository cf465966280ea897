"""What a person sees of prices: documents, cards, keys, what changed, what was computed again. Pure."""

from rich.console import Group, RenderableType
from rich.text import Text

from spendguard_cli.pricing import results
from spendguard_cli.render import count
from spendguard_cli.views import ink
from spendguard_cli.views.ink import BAD, CARE, GOOD, QUIET
from spendguard_daemon import wire

Rows = list[tuple[str, RenderableType]]

RESULT_STYLES = {"equal": GOOD, "different": BAD, "cannot": CARE}
KEY_STYLES = {"good": GOOD, "revoked": BAD, "over": CARE}


def in_force(value: wire.Pricing) -> RenderableType:
    """The document in force, how it is kept, and what it prices."""
    signed = Text("self-signed, by this home", style=CARE) if value.self_signed else Text("yes")
    rows: Rows = [
        ("source", ink.foreign(f"{value.source} {value.url or ''}".strip())),
        ("verified", signed if value.verified else Text("NO: anyone may have written it", style=BAD)),
        ("signed by", ink.foreign(f"{value.key_id}, {_age(value.age_seconds)} ago")),
        ("trusted", ink.foreign(", ".join(value.key_ids) or "-")),
        ("sequence", ink.foreign(f"{value.sequence}, schema {value.schema}")),
        ("issued", ink.when(value.issued_at)),
        ("valid to", ink.when(value.expires_at)),
        ("next look", ink.when(value.next_refresh_at)),
        ("catalogue", ink.foreign(value.catalogue_checked, CARE if value.catalogue_is_old else "")),
        ("sha256", ink.foreign(value.document_sha256, QUIET)),
    ]
    notes = [Text("! ", style=CARE).append_text(ink.prose(note)) for note in value.warnings]
    if value.last_error:
        told = f"last look failed: {value.last_error.detail}"
        notes.append(Text("! ", style=BAD).append_text(ink.prose(told)))
    head = Text("prices in force", style="bold")
    return Group(head, ink.indent(ink.facts(rows)), *notes, *_models(value.models))


def signed(value: results.SignedDocument) -> RenderableType:
    """A document that verifies."""
    head = Text("✓ ", style=GOOD).append(f"schema {value.schema}, verified", style="bold")
    rows: Rows = [
        ("document", ink.foreign(value.source)),
        ("signed by", ink.foreign(", ".join(value.signed_by))),
        ("sequence", Text(str(value.sequence))),
        ("issued", ink.when(value.issued_at)),
        ("valid to", ink.when(value.expires_at)),
        ("sha256", ink.foreign(value.document_sha256, QUIET)),
    ]
    return Group(head, ink.indent(ink.facts(rows)), *_models(value.models))


def _models(names: list[str]) -> list[RenderableType]:
    listed = Text(" ").join(ink.foreign(name) for name in names)
    return [Text(), Text(count(len(names), "model"), style=QUIET), ink.indent(listed)]


def card(value: results.Card) -> RenderableType:
    """One model: its limits, then each of its prices."""
    head = ink.foreign(f"{value.provider}:{value.model}", "bold")
    limits = (
        f"{value.context_tokens:,} context, {value.input_tokens_max:,} in, {value.output_tokens_max:,} out"
    )
    factors = ", ".join(f"{name} {points / 10_000:g}x" for name, points in value.modifiers_bp.items())
    rows: Rows = [
        ("also named", ink.foreign(", ".join(value.aliases) or "-")),
        ("endpoints", ink.foreign(", ".join(value.endpoints))),
        ("tokens", Text(limits)),
        ("factors", ink.foreign(factors or "-")),
        ("signed by", ink.foreign(f"{value.signed_by}, {_age(value.age_seconds)} ago")),
        ("valid to", ink.when(value.expires_at)),
    ]
    made = ink.table("FROM", "SERVICE", "INPUT FROM", "PRICE", "USD", "PER", right=("INPUT FROM", "USD"))
    for rate in value.rates:
        made.add_row(
            ink.when(rate.valid_from),
            ink.foreign(rate.service_tier or "-"),
            Text(f"{rate.input_tokens_ge:,}" if rate.input_tokens_ge else "-"),
            ink.foreign(rate.name),
            ink.foreign(rate.usd),
            ink.foreign(rate.per, QUIET),
        )
    return Group(head, ink.indent(ink.facts(rows)), Text(), made)


def _age(seconds: int) -> str:
    for unit, step in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= step:
            return f"{seconds // step} {unit}"
    return f"{seconds} s"


def key_made(value: results.KeyMade) -> RenderableType:
    """A new key, and the line that clients type; never its private half."""
    rows: Rows = [
        ("key id", ink.foreign(value.key_id, "bold")),
        ("public key", ink.foreign(value.public_key)),
        ("private key", ink.foreign(f"{value.key_file}, mode 0600: keep it, show it to nobody")),
    ]
    order = ink.prose(f"  {value.trust_command}")
    order.no_wrap, order.overflow = True, "ignore"
    head = Text("✓ ", style=GOOD).append("key made", style="bold")
    return Group(head, ink.indent(ink.facts(rows)), Text("Each client types:"), order)


def trusted(value: results.Trusted) -> RenderableType:
    """The pinned keys."""
    made = ink.table(
        "KEY", "STATE", "NOT AFTER", "PUBLIC KEY",
        fixed=("KEY", "PUBLIC KEY"), whole=("STATE", "NOT AFTER"), above=("PUBLIC KEY",),
    )  # fmt: skip
    for key in value.keys:
        made.add_row(
            ink.foreign(key.key_id, "bold"),
            ink.foreign(key.state, KEY_STYLES.get(key.state, CARE)),
            ink.when(key.not_after),
            ink.foreign(key.public_key, QUIET),
        )
    needed = ink.foreign(f"{count(value.threshold, 'signature')} needed, {value.path}", QUIET)
    return Group(made if value.keys else Text("no key is pinned yet", style=QUIET), needed)


def compared(value: results.Compared) -> RenderableType:
    """What changed from one document to another; what needs a look stands out."""
    made = ink.table("MODEL", "WHAT", "OLD", "NEW", "RATIO", "", right=("RATIO",), prose=("OLD", "NEW"))
    for change in value.changes:
        style = BAD if change.flag else ""
        made.add_row(
            ink.foreign(change.model, style),
            ink.foreign(change.what, style),
            ink.foreign("-" if change.old is None else change.old),
            ink.foreign("-" if change.new is None else change.new),
            ink.foreign(change.ratio or "-"),
            ink.foreign(change.flag, BAD),
        )
    head = f"{count(len(value.changes), 'change')} in {count(value.changed_models, 'model')}"
    parts: list[RenderableType] = [Text(head, style="bold")]
    for mark, names, style in (("+ ", value.added, GOOD), ("- ", value.removed, CARE)):
        parts += [Text(mark, style=style).append_text(ink.foreign(name)) for name in names]
    return Group(*parts, made) if value.changes else Group(*parts)


def serving(value: results.Serving) -> RenderableType:
    """A price server that has begun."""
    rows: Rows = [
        ("signed by", ink.foreign(", ".join(value.signed_by))),
        ("valid to", ink.when(value.expires_at)),
        ("sha256", ink.foreign(value.document_sha256, QUIET)),
    ]
    return Group(ink.foreign(value.url, "bold"), ink.indent(ink.facts(rows)))


def recomputed(value: results.Recomputed) -> RenderableType:
    """The calls that were computed again: the sums, then each that needs a look."""
    head = Text("✓ ", style=GOOD) if value.ok else Text("✗ ", style=BAD)
    head.append(f"{count(value.calls, 'call')} computed again", style="bold")
    counts = f"{value.equal} equal, {value.different} different, {value.cannot} cannot be computed"
    rows: Rows = [("calls", Text(counts))]
    if not value.rows:
        return Group(head, ink.indent(ink.facts(rows)))
    made = ink.table(
        "CALL", "MODEL", "RESULT", "BOOKED", "COMPUTED", "WHY",
        right=("BOOKED", "COMPUTED"), fixed=("CALL",), prose=("WHY",), above=("CALL",),
    )  # fmt: skip
    for row in value.rows:
        made.add_row(
            ink.foreign(row.call_id, QUIET),
            ink.foreign(row.model),
            ink.foreign(row.result, RESULT_STYLES.get(row.result, CARE)),
            ink.usd(row.booked_usd),
            ink.usd(row.computed_usd),
            ink.prose(row.why),
        )
    return Group(head, ink.indent(ink.facts(rows)), Text(), made)
