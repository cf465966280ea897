"""How a Gemini request is run: model, cap, candidates, thinking, modalities, tier.

Owns the reading of small members. Sources: `gemini_fields`; costs.md B4: `maxOutputTokens` covers thoughts
and answer, `thinkingBudget` is a soft hint. Invariant: what it returns bounds and prices the output of every
request that it lets pass.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from spendguard_daemon.errors import MalformedError
from spendguard_daemon.providers.fields import Field, Use
from spendguard_daemon.providers.gemini_fields import (
    CONFIG,
    CONFIG_NAMES,
    OUTPUT_MODALITIES,
    SERVICE_TIERS,
    THINKING_NAMES,
)
from spendguard_daemon.providers.gemini_names import camels, canonical
from spendguard_daemon.providers.json_text import Document, Json, Member, join_path, kind_of
from spendguard_daemon.providers.openai_endpoint import OUTPUT_TOKENS_MAX, within
from spendguard_daemon.providers.policy import Policy
from spendguard_daemon.providers.refusals import unbounded, unlisted, unpriced

CANDIDATES_MAX = 128
ANSWER_TOKENS = 1_024
"""What must be left for the answer above a thinking budget (design 5.3)."""

MODEL_PREFIX = "models/"

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}", re.ASCII)
_BUDGET_MIN = -1
_UNASKED = {"-image": "output_image", "-tts": "output_audio", "-audio": "output_audio"}
"""[docs] ai.google.dev/gemini-api/docs/image-generation: such a model draws where no modality is named."""


@dataclass(frozen=True, slots=True)
class Options:
    """How the request is run. `shown` are the members of its configuration that the model is shown."""

    output_tokens: int | None
    choices: int
    floor_output_tokens: int
    reach: frozenset[str]
    shown: tuple[Member, ...]


def read_model(name: Json, path: str = "model") -> str:
    """Return a model's name without the prefix that Google's own list puts before it."""
    if not isinstance(name, str) or not _MODEL.fullmatch(name):
        raise MalformedError(path, "a model's name")
    return name.removeprefix(MODEL_PREFIX)


def check_fields(
    document: Document, known: Mapping[str, Field], kind: str, policy: Policy, path: str = ""
) -> None:
    """Refuse members that are on no list, that have no bound, or that are of another type."""
    for name, member in document.members.items():
        entry, feature, where = known.get(name), f"gemini.{kind}:{name[:100]}", join_path(path, name)
        if entry is None:
            if feature not in policy.allow:
                raise unlisted(where, "a field of Gemini whose cost is known", feature)
        elif member.value is None:
            continue
        elif entry.use is Use.REFUSED:
            raise unbounded(where, feature)
        elif kind_of(member.value) not in entry.kinds:
            raise MalformedError(where, " or ".join(entry.kinds))


def config_of(document: Document) -> Document | None:
    """Return `generationConfig` with its members under their camel names, None where there is none."""
    member = document.members.get("generationConfig")
    if member is None or not document.text.startswith("{", member.value_start):
        return None
    return canonical(document.child("generationConfig"), CONFIG_NAMES, "generationConfig")


def read_options(config: Document | None, policy: Policy) -> Options:
    """Read the configuration; raise MALFORMED_REQUEST, UNBOUNDED_FEATURE or UNPRICED_DIMENSION."""
    if config is None:
        return Options(None, 1, 0, frozenset(), ())
    check_fields(config, CONFIG, "config", policy, "generationConfig")
    cap, count = config.value("maxOutputTokens"), config.value("candidateCount")
    if cap is not None:
        cap = within(cap, "generationConfig.maxOutputTokens", 1, OUTPUT_TOKENS_MAX)
    budget = _thinking_budget(config.value("thinkingConfig"), policy)
    floor = budget + ANSWER_TOKENS if budget > 0 else 0
    return Options(
        output_tokens=cap,
        choices=1 if count is None else within(count, "generationConfig.candidateCount", 1, CANDIDATES_MAX),
        floor_output_tokens=floor if cap is None else min(cap, floor),
        reach=_output_rates(config.value("responseModalities")),
        shown=tuple(
            member
            for name, member in config.members.items()
            if member.value is not None and (name not in CONFIG or CONFIG[name].use is Use.INPUT)
        ),
    )


def read_tier(tier: Json) -> str:
    """Return the service tier by which the card bills what was asked."""
    if tier is None:
        return "default"
    if tier not in SERVICE_TIERS:
        raise unpriced("serviceTier", "a service tier without a known rate")
    return SERVICE_TIERS[tier]


def _thinking_budget(thinking: Json, policy: Policy) -> int:
    """Return the thinking budget, 0 for none: it is a hint, so it moves the floor of the cap alone."""
    if thinking is None:
        return 0
    path = "generationConfig.thinkingConfig"
    named = camels(thinking, THINKING_NAMES, path)
    for name in named:
        feature = f"gemini.thinking:{name[:100]}"
        if name not in THINKING_NAMES and feature not in policy.allow:
            raise unlisted(join_path(path, name), "a way of thinking whose cost is known", feature)
    budget = named.get("thinkingBudget")
    if budget is None:
        return 0
    return within(budget, f"{path}.thinkingBudget", _BUDGET_MIN, OUTPUT_TOKENS_MAX)


def unasked_rates(model: str) -> frozenset[str]:
    """Return the rates at which a model that draws or speaks answers, whatever is asked for."""
    return frozenset(rate for mark, rate in _UNASKED.items() if mark in model)


def _output_rates(modalities: Json) -> frozenset[str]:
    """Return the rates that the answer may need beside plain output."""
    path, rates = "generationConfig.responseModalities", set[str]()
    for index, modality in enumerate(modalities or ()):
        if not isinstance(modality, str):
            raise MalformedError(f"{path}[{index}]", "string")
        if modality.upper() not in OUTPUT_MODALITIES:
            raise unpriced(f"{path}[{index}]", "a modality of answers without a known rate")
        rate = OUTPUT_MODALITIES[modality.upper()]
        rates |= {rate} if rate else set()
    return frozenset(rates)
