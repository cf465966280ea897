"""What Gemini's usage numbers mean: one running report, with parts by modality.

Owns the arithmetic, not the answers that the numbers come in (`gemini_answers`). Sources: the google-genai
SDK 3.6.1, `types.py`: GenerateContentResponseUsageMetadata ("the sum of prompt_token_count,
candidates_token_count, tool_use_prompt_token_count, and thoughts_token_count"), UsageMetadata; wire.md traps
3; recordings 30 to 36. Invariant: what cannot be true raises, and is not repaired.
"""

from collections.abc import Collection, Mapping

from spendguard_daemon.providers.gemini_fields import SERVICE_TIERS
from spendguard_daemon.providers.json_text import Json, kind_of
from spendguard_daemon.providers.openai_usage import count
from spendguard_daemon.usage import Usage, absurd

COUNTS = (
    "promptTokenCount",
    "cachedContentTokenCount",
    "toolUsePromptTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "totalTokenCount",
)
UNSPECIFIED = "MODALITY_UNSPECIFIED"
MODALITIES = frozenset({UNSPECIFIED, "TEXT", "IMAGE", "VIDEO", "AUDIO", "DOCUMENT"})
"""[sdk] MediaModality. A page of a document is read, and billed, as an image."""

INPUTS = frozenset({"input_audio", "input_image", "input_video"})
OUTPUTS = frozenset({"output_audio", "output_image"})
"""The rates beside the plain ones."""

_NO_EVENTS: Mapping[str, int] = {}


def check_rise(before: dict[str, Json], after: dict[str, Json]) -> None:
    """Refuse a later report that takes tokens back: running totals only grow."""
    for name in COUNTS:
        was, now = count(before, name, 0), count(after, name, 0)
        if now < was:
            raise absurd(f"{name} fell from {was} to {now}")


def read_usage(
    report: dict[str, Json],
    events: Mapping[str, int] = _NO_EVENTS,
    reach: Collection[str] = (),
    unsaid_tier: str = "default",
) -> Usage:
    """Read a usageMetadata; raises UPSTREAM_FAILED where it cannot be true.

    `reach` are the rates that the request may need beside the plain ones: what the parts by modality leave
    out of the input may be at any of these, and of an answer in sound or pictures nothing may be left out.
    `unsaid_tier` is what it means that no tier is named: [docs] priority-inference tells of it in a header.
    A missing `candidatesTokenCount` is 0: a blocked prompt, or thoughts that took the whole cap. A prompt of
    nothing is absurd, and so is a total that is not the sum of its parts.
    """
    prompt = count(report, "promptTokenCount", 0)
    used, thoughts = count(report, "toolUsePromptTokenCount", 0), count(report, "thoughtsTokenCount", 0)
    answer = count(report, "candidatesTokenCount", 0)
    if prompt < 1:
        raise absurd("promptTokenCount is 0: no prompt is empty")
    if min(used, thoughts, answer) < 0:
        raise absurd("a count is negative")
    total = prompt + used + answer + thoughts
    if count(report, "totalTokenCount", total) != total:
        raise absurd("totalTokenCount is not the sum of its parts")
    shown = _modalities(report, ("promptTokensDetails", prompt), ("toolUsePromptTokensDetails", used))
    told = _modalities(report, ("candidatesTokensDetails", answer))
    cached = count(report, "cachedContentTokenCount", 0)
    kept = _modalities(report, ("cacheTokensDetails", cached))
    if told.get("VIDEO"):
        raise absurd("an answer in video, which has no rate")
    if not OUTPUTS.isdisjoint(reach) and _said(told) != answer:
        raise absurd("candidatesTokensDetails does not say which tokens are of a modality with its own rate")
    rates, unsorted = unsorted_input(prompt + used - _said(shown), reach)
    return Usage(
        input_tokens=prompt + used,
        cached_input_tokens=0 if unsorted and "input_audio" in rates else cached,
        audio_input_tokens=shown.get("AUDIO", 0),
        cached_audio_input_tokens=0 if unsorted and "input_audio" in rates else kept.get("AUDIO", 0),
        image_input_tokens=shown.get("IMAGE", 0) + shown.get("DOCUMENT", 0),
        video_input_tokens=shown.get("VIDEO", 0),
        unsorted_input_tokens=unsorted,
        unsorted_rates=rates,
        output_tokens=answer + thoughts,
        reasoning_output_tokens=thoughts,
        audio_output_tokens=told.get("AUDIO", 0),
        image_output_tokens=told.get("IMAGE", 0) + told.get("DOCUMENT", 0),
        events=events,
        service_tier=_tier(report.get("serviceTier"), unsaid_tier),
    )


def unsorted_input(tokens: int, reach: Collection[str]) -> tuple[tuple[str, ...], int]:
    """Return the rates that input of which the report says no modality may have, and how much it is.

    Where these are those of sound, what was read from the cache is not told apart either: whoever takes them
    counts nothing as cached, for cached sound is dearer than other input from there.
    """
    rates = tuple(sorted(INPUTS.intersection(reach)))
    return rates, tokens if rates else 0


def _said(sums: Mapping[str, int]) -> int:
    return sum(tokens for modality, tokens in sums.items() if modality != UNSPECIFIED)


def _modalities(report: dict[str, Json], *parts: tuple[str, int]) -> dict[str, int]:
    """Return the tokens of each modality in these parts of a report, none of them above its whole."""
    sums: dict[str, int] = {}
    for name, whole in parts:
        rows = report.get(name)
        if rows is None:
            continue
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise absurd(f"{name} is no list of counts")
        within = 0
        for row in rows:
            modality, tokens = row.get("modality"), count(row, "tokenCount", 0)
            if not isinstance(modality, str) or modality not in MODALITIES or tokens < 0:
                raise absurd(f"{name} has an unknown modality, or a negative count")
            sums[modality] = sums.get(modality, 0) + tokens
            within += tokens
        if within > whole:
            raise absurd(f"{name} is more than its whole ({whole})")
    return sums


def _tier(tier: Json, unsaid: str) -> str:
    """Return the card's name of the tier that was served; one that no card has is charged at worst."""
    if tier in (None, "", "unspecified"):
        return unsaid
    if not isinstance(tier, str):
        raise absurd(f"serviceTier is a {kind_of(tier)}")
    return SERVICE_TIERS.get(tier.lower(), tier)
