"""How a usage splits into buckets that are billed at one rate each, by subtraction.

Owns the subset rules (cached tokens are a part of the input, reasoning of the output); knows no prices but
for asking which of two readings is the dearer. Invariant: the buckets of one side add up to its whole.
"""

from collections.abc import Callable

from spendguard_daemon.usage import Usage, absurd

Bucket = tuple[str, int]
"""A dimension of the rate card, and how many tokens are billed at it."""


def of_input(usage: Usage, rate: Callable[[str], int]) -> list[Bucket]:
    """Split the input. `rate` gives the rate of a dimension, and raises where there is none.

    Tokens that a report does not sort are billed at the dearest rate that they may have. Cached and written
    tokens have their own counts. Reports do not say which of the text, image and video
    tokens these were, so the dearest modalities are taken as the ones that were neither cached nor written.
    """
    split = [
        ("cache_read", usage.cached_input_tokens - usage.cached_audio_input_tokens),
        ("cache_read_audio", usage.cached_audio_input_tokens),
        ("cache_write", usage.cache_write_input_tokens),
        ("cache_write_1h", usage.cache_write_1h_input_tokens),
    ]
    uncached = usage.input_tokens - sum(quantity for _, quantity in split)
    media = usage.audio_input_tokens + usage.image_input_tokens + usage.video_input_tokens
    modalities = {
        "input": usage.input_tokens - media - usage.unsorted_input_tokens,
        "input_audio": usage.audio_input_tokens - usage.cached_audio_input_tokens,
        "input_image": usage.image_input_tokens,
        "input_video": usage.video_input_tokens,
    }
    if usage.unsorted_input_tokens:
        modalities[max(("input", *usage.unsorted_rates), key=rate)] += usage.unsorted_input_tokens
    present = [name for name, quantity in modalities.items() if quantity]
    for name in sorted(present, key=rate, reverse=True):
        taken = min(modalities[name], uncached)
        split.append((name, taken))
        uncached -= taken
    return split


def of_output(usage: Usage, *, reasoning_apart: bool) -> list[Bucket]:
    """Split the output; without a rate of its own, reasoning is billed as plain output.

    Raises UPSTREAM_FAILED where the parts are more than the whole.
    """
    apart = usage.reasoning_output_tokens if reasoning_apart else 0
    parts = apart + usage.audio_output_tokens + usage.image_output_tokens
    if parts > usage.output_tokens:
        raise absurd(f"reasoning and media output ({parts}) is more than its whole ({usage.output_tokens})")
    return [
        ("output", usage.output_tokens - parts),
        ("reasoning_output", apart),
        ("output_audio", usage.audio_output_tokens),
        ("output_image", usage.image_output_tokens),
    ]
