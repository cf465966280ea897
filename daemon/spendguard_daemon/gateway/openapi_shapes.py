"""The schemas of `/openapi.json`: the shapes of `wire` as msgspec tells them, refusals by dialect. Pure.

msgspec knows types; what more a field must be, `bodies` checks, and `_FIELDS` says, from the same constants.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from spendguard_daemon import wire
from spendguard_daemon.agent_keys import LABEL, LABEL_LENGTH_MAX, MODEL, MODEL_LENGTH_MAX, MODELS_MAX
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code
from spendguard_daemon.features import FEATURE, FEATURES_MAX
from spendguard_daemon.gateway.key_control import LIFETIME_SECONDS_MAX
from spendguard_daemon.gateway.operations import ANYWHERE, CONTROL, Shape
from spendguard_daemon.money import CENTS_MAX
from spendguard_daemon.providers import format_for
from spendguard_daemon.settings import CHOICES, RANGES
from spendguard_daemon.text import NAME_LENGTH_MAX

Schema = dict[str, Any]

SEGMENT = r"^\.*[A-Za-z0-9_:-][A-Za-z0-9._:-]*$"
"""An id in a path: not dots alone."""

SEGMENT_MAX = 128
ID: Schema = {"type": "string", "pattern": SEGMENT, "minLength": 1, "maxLength": SEGMENT_MAX}

EARLY = ANYWHERE | {Code.ROUTE_NOT_FOUND, Code.METHOD_NOT_ALLOWED}
"""Refusals from before it is known what was asked: the path and headers tell whose dialect answers."""

DIALECTS = ("openai", "anthropic", "google")

_CENTS: Schema = {"minimum": 0, "maximum": CENTS_MAX}
_USD: Schema = {"pattern": r"^[0-9]{1,9}(\.[0-9]{1,9})?$", "format": "usd"}
_FIELDS: Mapping[str, Schema] = {
    "hard_limit_cents": _CENTS,
    "topup_cents": _CENTS,
    "cost_usd": _USD,
    "spent_usd": _USD,
    "name": {"minLength": 1, "maxLength": NAME_LENGTH_MAX, "format": "printable"},
    "run_id": {"pattern": r"^[A-Za-z0-9._:-]{1,128}$"},
    "label": {"maxLength": LABEL_LENGTH_MAX, "pattern": f"^{LABEL.pattern}$"},
    "limit_cents": _CENTS,
    "expires_in_seconds": {"minimum": 1, "maximum": LIFETIME_SECONDS_MAX},
    "models": {
        "minItems": 1,
        "maxItems": MODELS_MAX,
        "uniqueItems": True,
        "items": {"type": "string", "maxLength": MODEL_LENGTH_MAX, "pattern": f"^{MODEL.pattern}$"},
    },
    "kind": {"enum": ["agent", "exec"]},
    **{
        name: dict(zip(("minimum", "maximum"), RANGES[name], strict=True))
        for name in ("hosted_tool_uses", "wait_seconds")
    },
    "allow": {
        "maxItems": FEATURES_MAX,
        "items": {"type": "string", "pattern": f"^{FEATURE.pattern}$"},
    },
    **{
        name: {"enum": list(CHOICES[name])}
        for name in (
            *("concurrency", "overflow", "on_insufficient"),
            *("hosted_tools", "server_state", "exact_count"),
        )
    },
}
"""What a field of a request must be beyond its type, by its name."""

_ERRORS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "openai": (("message", "type", "param", "code"), ()),
    "anthropic": (("type", "message"), ("type",)),
    "google": (("code", "message", "status"), ()),
}
"""The members of `error` in each dialect, and those that stand beside it."""

_LISTS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "openai": (("id", "object", "created", "owned_by"), ("object", "data")),
    "anthropic": (("id", "type", "display_name", "created_at"), ("data", "has_more", "first_id", "last_id")),
    "google": (("name", "displayName", "supportedGenerationMethods"), ("models",)),
}
"""What a model, and a list of models, has in each dialect at least."""


def schemas() -> Schema:
    """Return all components of the document that are schemas, by name."""
    asked = [row.asks for row in CONTROL.values() if row.asks is not None]
    answered = [row.answer for row in CONTROL.values() if row.answer is not None]
    found = _components(asked)
    for schema in found.values():
        for name, field in schema.get("properties", {}).items():
            _narrow(field, _FIELDS.get(name, {}))
    answers = _components(answered)
    structs = {name: shape for name, shape in vars(wire).items() if name in answers}
    for name, shape in structs.items():
        if not shape.__struct_config__.omit_defaults:
            fields = msgspec.structs.fields(shape)
            answers[name]["required"] = [f.encode_name for f in fields if f.default is not msgspec.UNSET]
    found |= answers | _refusals()
    for dialect, (one, many) in _LISTS.items():
        found[f"{dialect}Model"] = {"type": "object", "required": list(one)}
        found[f"{dialect}Models"] = {"type": "object", "required": list(many)}
    found["ProvidersOwn"] = {
        "description": "What the provider answered, as it came.",
        "not": {"type": "object", "required": ["spendguard"]},
    }
    return dict(sorted(found.items()))


def ref(name: str) -> Schema:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def shape_name(shape: Shape) -> str:
    """Return the name under which a shape stands in the document."""
    return shape.__name__


def needs_body(shape: Shape) -> bool:
    """Tell whether a shape has a field that must be there; an empty body counts as `{}`."""
    return any(field.required for field in msgspec.structs.fields(shape))


def dialect_of(speaker: str, endpoint: str) -> str:
    """Return in whose dialect a format tells errors: one of DIALECTS."""
    told = json.loads(format_for(speaker, endpoint).error_body(400, "", "", {}))
    if "type" in told:
        return "anthropic"
    return "google" if "status" in told["error"] else "openai"


def refusal(codes: Collection[Code], dialect: str, *, relays: bool) -> Schema:
    """Return what an answer with these codes, all of one status, is; `dialect` empty where it may be any."""
    told = (dialect,) if dialect and not EARLY.intersection(codes) else DIALECTS
    whose = [ref(f"{name}Refusal") for name in told]
    named = {"properties": {"code": {"enum": sorted(code.value for code in codes)}}}
    ours: Schema = {
        "allOf": [
            whose[0] if len(whose) == 1 else {"anyOf": whose},
            {"type": "object", "properties": {"spendguard": named}},
        ]
    }
    return {"anyOf": [ours, ref("ProvidersOwn")]} if relays else ours


def _components(shapes: list[Shape]) -> Schema:
    _, found = msgspec.json.schema_components(
        shapes, schema_hook=lambda _: {"description": "Anything"}, ref_template="#/components/schemas/{name}"
    )
    return dict(found)


def _narrow(field: Schema, more: Schema) -> None:
    """Add to a field what it must be, where it may be null to its other form."""
    forms = [form for form in field.get("anyOf", [field]) if form.get("type") != "null"]
    for form in forms:
        form.update(more)


def _refusals() -> Schema:
    code = {"type": "string", "enum": sorted(code.value for code in TABLE)}
    facts = {
        "type": "object",
        "required": ["code", "remedy", "call_id"],
        "properties": {"code": code, "remedy": {"type": "string"}, "call_id": {"type": "string"}},
    }
    base = {
        "type": "object",
        "description": "A refusal, in the provider's own shape with `detail` and `spendguard` beside it.",
        "required": ["detail", "spendguard", "error"],
        "properties": {"detail": {"type": "string"}, "spendguard": facts, "error": {"type": "object"}},
    }
    found: Schema = {"Refusal": base}
    for dialect, (members, beside) in _ERRORS.items():
        error = {"type": "object", "required": list(members), "properties": {"message": {"type": "string"}}}
        own = {"type": "object", "required": list(beside), "properties": {"error": error}}
        found[f"{dialect}Refusal"] = {"allOf": [ref("Refusal"), own]}
    return found
