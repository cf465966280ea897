"""What is to be signed, as an operator writes it: a catalogue of ours, a document's content, or the bundle.

Pure but for the home's settings. Reads JSON of any layout, but no key twice. Invariant: what comes out has
been through no check of its rows; `signing` puts every document through the verifier before it is given away.
"""

import json
from collections.abc import Mapping
from typing import Any

from spendguard_daemon import settings
from spendguard_daemon.canonical import Json
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing import catalogue
from spendguard_daemon.pricing.document import UNITS, PriceDocument, read_document
from spendguard_daemon.runtime import Home, read_text
from spendguard_daemon.text import safe

Providers = Mapping[str, Json]
"""The member `providers` of a schema 2 document."""


def bundled(home: Home, env: Mapping[str, str]) -> Providers:
    """Return what this home's own authority would sign: the bundled catalogue and [prices.overrides]."""
    found = settings.load(read_text(home.config), env)
    return catalogue.merge(catalogue.bundled().models, found.price_overrides)


def providers_of(raw: bytes, where: str) -> Providers:
    """Read a catalogue of ours or a document of schema 2, signed or not; raise USAGE for anything else."""
    root = load(raw, where)
    if isinstance(root.get("models"), dict) and "checked" in root:
        return catalogue.merge(catalogue.parse(raw).models)
    if isinstance(root.get("providers"), dict):
        return dict(root["providers"])
    raise SpendGuardError(
        Code.USAGE,
        f"{safe(where)} has neither the models of a catalogue nor the providers of a schema 2 document",
        remedy="references/price-document.md shows both; pricing sign --catalogue needs no file",
    )


def load(raw: bytes, where: str) -> dict[str, Any]:
    """Parse one JSON object, floats and layout as they come; raise USAGE where it is none."""
    try:
        root = json.loads(raw, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise SpendGuardError(
            Code.USAGE, f"{safe(where)} is not JSON: {safe(str(error))}", remedy=f"correct {safe(where)}"
        ) from None
    if not isinstance(root, dict):
        raise SpendGuardError(
            Code.USAGE, f"{safe(where)}: expected a JSON object", remedy=f"correct {safe(where)}"
        )
    return root


def unsigned(providers: Providers, document_sha256: str) -> PriceDocument:
    """Return the cards of a content, for looking at them; raise PRICING_INVALID on any bad row."""
    content: dict[str, Json] = {
        "schema": 2,
        **UNITS,
        "key_id": "unsigned",
        "sequence": 1,
        "issued_at": "1970-01-01T00:00:00Z",
        "expires_at": "1970-01-01T00:00:01Z",
        "providers": dict(providers),
    }
    return read_document(content, document_sha256)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return result


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")
