"""What a person sees of agent keys. Pure: wire values in, Rich renderables out."""

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.text import Text

from spendguard_cli import shapes
from spendguard_cli.views import ink
from spendguard_cli.views.ink import BAD, GOOD, QUIET
from spendguard_daemon import wire
from spendguard_daemon.text import safe

KEY_LENGTH_MAX = 4096

Rows = list[tuple[str, RenderableType]]


def shown_once(value: shapes.KeyShown) -> RenderableType:
    """A key with its secret, and the two lines to use it."""
    made = value.made
    head = Text("✓ ", style=GOOD).append("key ").append(safe(made.key_id), style="bold")
    head.append("; it is shown this once", style=QUIET)
    return Group(
        head,
        ink.indent(ink.facts(_narrowed(made.label, made.limit_usd, made.expires_at, made.models))),
        Text("To use it:"),
        _line(f"  export OPENAI_BASE_URL={value.base_url}/v1"),
        _line(f"  export OPENAI_API_KEY={made.key}"),
        *(
            [Text("That is the agents' address: keys are good there, and nothing else.")]
            if value.for_agents
            else []
        ),
        Text("Other SDKs take it where their key goes, with their own base URL.", style=QUIET),
    )


def minted(value: shapes.KeyMinted) -> RenderableType:
    """A key that was made from another, and the line to use it."""
    head = Text("✓ ", style=GOOD).append("key ").append(safe(value.key_id), style="bold")
    head.append(f", generation {value.generation} below {safe(value.root_id)}", style=QUIET)
    return Group(
        head,
        ink.indent(ink.facts(_narrowed(value.label, value.limit_usd, value.expires_at, value.models))),
        Text("To use it, beside the base URL of the key above it:"),
        _line(f"  export OPENAI_API_KEY={value.key}"),
    )


def keys(values: list[wire.AgentKey]) -> RenderableType:
    """An agent's keys: what each has spent, what it and those above it leave to it, and until when."""
    table = ink.table(
        "KEY", "LABEL", "KIND", "CHILD OF", "MODELS", "SPENT", "LIMIT", "LEFT", "GOOD UNTIL",
        right=("SPENT", "LIMIT", "LEFT"),
        fixed=("KEY", "CHILD OF"),
        whole=("KIND", "GOOD UNTIL"),
        less=("CHILD OF", "KIND", "SPENT", "LABEL", "MODELS", "LIMIT"),
    )  # fmt: skip
    by_id = {value.key_id: value for value in values}
    for value in values:
        lineage = _lineage(value, by_id)
        left = [one.remaining_usd for one in lineage if one.remaining_usd is not None]
        models = next((one.models for one in lineage if one.models is not None), None)
        table.add_row(
            ink.foreign(value.key_id, "bold"),
            ink.foreign(value.label or "-"),
            ink.foreign(value.kind),
            ink.foreign(value.parent_id or "-", QUIET),
            ink.foreign("all" if models is None else ", ".join(models)),
            ink.usd(value.settled_usd),
            ink.usd(value.limit_usd),
            ink.usd(min(left, key=ink.nusd, default=None)),
            _until(value),
        )
    return table


def _lineage(value: wire.AgentKey, by_id: Mapping[str, wire.AgentKey]) -> list[wire.AgentKey]:
    """Return a key and those above it that are known, itself first."""
    lineage = [value]
    while (above := by_id.get(lineage[-1].parent_id or "")) is not None and len(lineage) < len(by_id):
        lineage.append(above)
    return lineage


def key(value: wire.AgentKey) -> RenderableType:
    """One key, whole; never its secret."""
    rows: Rows = [
        ("state", _state(value)),
        ("kind", ink.foreign(value.kind if value.parent_id is None else f"child of {value.parent_id}")),
        *_narrowed(value.label, value.limit_usd, value.expires_at, value.models),
        ("spent", ink.usd(value.settled_usd)),
        ("held", ink.usd(value.held_usd)),
        ("made", ink.when(value.created_at)),
    ]
    return Group(ink.foreign(value.key_id, "bold"), ink.indent(ink.facts(rows)))


def _until(value: wire.AgentKey) -> Text:
    """Say until when a key is good, to the minute (UTC), or what has become of it."""
    state = _state(value)
    if value.revoked or value.expired or value.expires_at is None:
        return state
    return Text(ink.when(value.expires_at).plain[:16] + "Z", style=GOOD)


def _state(value: wire.AgentKey) -> Text:
    if value.revoked:
        return Text("revoked", style=BAD)
    if value.expired:
        return Text("expired", style=BAD)
    if value.expires_at is None:
        return Text("good", style=GOOD)
    return Text("until ", style=GOOD).append_text(ink.when(value.expires_at))


def _narrowed(label: str, limit_usd: str | None, expires_at: str | None, models: list[str] | None) -> Rows:
    rows: Rows = [("label", ink.foreign(label))] if label else []
    rows += [("limit", ink.usd(limit_usd) if limit_usd is not None else Text("as its agent"))]
    rows += [("good until", ink.when(expires_at) if expires_at is not None else Text("it is revoked"))]
    return [*rows, ("models", ink.prose(", ".join(models)) if models is not None else Text("all"))]


def _line(text: str) -> Text:
    """Return a line that may be copied whole, however long it is."""
    return Text(safe(text, KEY_LENGTH_MAX + 100), no_wrap=True, overflow="ignore")
