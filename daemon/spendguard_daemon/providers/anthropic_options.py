"""What a `messages` request says about how it is run: model, cap, thinking, tier, geography, speed, edits.

Owns the reading of small members; none of them is shown to the model but for what the provider makes of
them. Sources: `anthropic_fields.FIELDS`; costs.md B3; [docs] data residency, fast mode, structured outputs.
"""

import re
from dataclasses import dataclass

from spendguard_daemon.errors import MalformedError
from spendguard_daemon.providers.anthropic_count import model_of
from spendguard_daemon.providers.anthropic_fields import EDITS, EDITS_REFUSED, SERVICE_TIERS, THINKING
from spendguard_daemon.providers.json_text import Document, Json
from spendguard_daemon.providers.policy import Policy
from spendguard_daemon.providers.refusals import unbounded, unlisted, unpriced

OUTPUT_TOKENS_MAX = 2**31 - 1
ANSWER_TOKENS = 1_024
"""What must be left for the answer above a thinking budget (design 5.3)."""

OPTION_TOKENS = 1_024
"""What the provider may add for a schema, or a budget that the model is told. [docs] structured outputs: "an
additional system prompt"; no size is told."""

GLOBAL = "global"
US = "geo:us"
GEO_OF_WORKSPACE = "anthropic.geo:workspace"
"""The feature that leaves the geography to the workspace: held at the dearer rate, for it may be `us`."""

_GEO_SINCE = (4, 6)
_OLD_NAME = re.compile(r"claude-(?:instant|v?[0-3](?!\d)|4-)")
_NAME = re.compile(r"claude-[a-z]+-(\d{1,2})(?:-(\d{1,2}))?(?!\d)")


@dataclass(frozen=True, slots=True)
class Options:
    """How the request is run. `shown_tokens` is the allowance for what the model is told on account of it.

    The answer needs a cap of `floor_output_tokens`; one below `least_output_tokens` the provider refuses.
    """

    model: str
    output_tokens: int
    floor_output_tokens: int
    least_output_tokens: int
    modifiers: tuple[str, ...]
    shown_tokens: int


def read_options(document: Document, policy: Policy) -> Options:
    """Read them; raise MALFORMED_REQUEST, UNBOUNDED_FEATURE or UNPRICED_DIMENSION with the path."""
    model = model_of(document)
    cap = _integer(document.value("max_tokens"), "max_tokens", 0)
    _check_tier(document.value("service_tier"))
    _check_edits(document.value("context_management"), policy)
    geography = _geography(document.value("inference_geo"), model, policy)
    budget = _thinking_budget(document.value("thinking"), policy)
    return Options(
        model=model,
        output_tokens=cap,
        floor_output_tokens=min(cap, budget + ANSWER_TOKENS) if budget else 0,
        least_output_tokens=budget + 1,
        modifiers=(*geography, *_speed(document.value("speed"))),
        shown_tokens=_shown(document),
    )


def takes_geography(model: str) -> bool:
    """Tell whether a model takes `inference_geo`: Claude Opus 4.6 and all after it; older ones answer 400."""
    if _OLD_NAME.match(model):
        return False
    name = _NAME.match(model)
    return name is None or (int(name[1]), int(name[2] or 0)) >= _GEO_SINCE


def _integer(value: Json, path: str, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= OUTPUT_TOKENS_MAX:
        raise MalformedError(path, f"an integer from {least} to {OUTPUT_TOKENS_MAX}")
    return value


def _check_tier(tier: Json) -> None:
    if tier is not None and tier not in SERVICE_TIERS:
        raise unpriced("service_tier", "a service tier without a known rate")


def _check_edits(management: Json, policy: Policy) -> None:
    """Let edits pass that leave input out; refuse those that make more of it."""
    edits = management.get("edits") if isinstance(management, dict) else None
    if edits is not None and not isinstance(edits, list):
        raise MalformedError("context_management.edits", "array")
    for index, edit in enumerate(edits or ()):
        path = f"context_management.edits[{index}]"
        kind = edit.get("type") if isinstance(edit, dict) else None
        if not isinstance(kind, str):
            raise MalformedError(path, "an object with a type")
        feature = f"anthropic.edit:{kind}"
        if kind in EDITS_REFUSED:
            raise unbounded(path, feature)
        if kind not in EDITS and feature not in policy.allow:
            raise unlisted(f"{path}.type", "an edit whose cost is known", feature)


def _thinking_budget(thinking: Json, policy: Policy) -> int:
    """Return the thinking budget, 0 for none: it is inside the cap, which must be above it."""
    if thinking is None:
        return 0
    kind = thinking.get("type")
    if not isinstance(kind, str):
        raise MalformedError("thinking.type", "string")
    feature = f"anthropic.thinking:{kind}"
    if kind not in THINKING and feature not in policy.allow:
        raise unlisted("thinking.type", "a kind of thinking whose cost is known", feature)
    if kind != "enabled":
        return 0
    return _integer(thinking.get("budget_tokens"), "thinking.budget_tokens", 1)


def _geography(geo: Json, model: str, policy: Policy) -> tuple[str, ...]:
    """Return what the place of inference scales the bill by."""
    if geo is None:
        return (US,) if GEO_OF_WORKSPACE in policy.allow and takes_geography(model) else ()
    if geo not in (GLOBAL, "us"):
        raise unpriced("inference_geo", "an inference geography without a known rate")
    return (US,) if geo == "us" else ()


def _speed(speed: Json) -> tuple[str, ...]:
    if speed in (None, "standard"):
        return ()
    if speed != "fast":
        raise unpriced("speed", "a speed without a known rate")
    return ("speed:fast",)


def _shown(document: Document) -> int:
    config = document.value("output_config") or {}
    told = [config.get("format"), config.get("task_budget"), document.value("output_format")]
    return OPTION_TOKENS * sum(option is not None for option in told)
