"""What a call consumes: the usage a provider reports, and the limits a model has. Counts only, no money."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from spendguard_daemon.errors import Code, SpendGuardError

TOKENS_MAX = 2**40
"""More tokens than any model can bill for one call: a larger count is a lie or a bug (costs.md D)."""

COST_PUSD_MAX = 10**18
"""A million dollars: more than any one call can cost."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens billed for one call, normalised across providers (design 6).

    `input_tokens` includes the cached and the cache-written ones, `output_tokens` includes reasoning; the
    audio, image and video counts are parts of the input or output that carry their own rate; of the
    `unsorted_input_tokens` the report does not tell which they are, so they may be plain, or at one of the
    `unsorted_rates`. `events` counts
    what is billed each: `{"web_search": 2}`. `service_tier` is the tier the provider says it served,
    empty where it does not say and another than the default was asked for,
    `modifiers` what it says scales the whole bill (`geo:us`, `speed:fast`). `cost_pusd` is the provider's own
    bill in pico-USD, where it gives one: the call is settled at that, whatever the counts come to.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    cache_write_1h_input_tokens: int = 0
    audio_input_tokens: int = 0
    cached_audio_input_tokens: int = 0
    image_input_tokens: int = 0
    video_input_tokens: int = 0
    unsorted_input_tokens: int = 0
    unsorted_rates: tuple[str, ...] = ()
    output_tokens: int = 0
    reasoning_output_tokens: int = 0
    audio_output_tokens: int = 0
    image_output_tokens: int = 0
    events: Mapping[str, int] = field(default_factory=dict)
    service_tier: str = "default"
    modifiers: tuple[str, ...] = ()
    cost_pusd: int | None = None

    def __post_init__(self) -> None:
        """Refuse a usage that cannot be true: a negative or absurd count, a part larger than its whole."""
        for name in _COUNTS:
            _check_count(name, getattr(self, name))
        for name, count in self.events.items():
            _check_count(name, count)
        cached = self.cached_input_tokens + self.cache_write_input_tokens + self.cache_write_1h_input_tokens
        _check_part("cached and cache-written input", cached, self.input_tokens)
        media = self.audio_input_tokens + self.image_input_tokens + self.video_input_tokens
        _check_part("media and unsorted input", media + self.unsorted_input_tokens, self.input_tokens)
        _check_part("cached audio input", self.cached_audio_input_tokens, self.audio_input_tokens)
        _check_part("cached audio input", self.cached_audio_input_tokens, self.cached_input_tokens)
        _check_part("reasoning output", self.reasoning_output_tokens, self.output_tokens)
        media = self.audio_output_tokens + self.image_output_tokens
        _check_part("media output", media, self.output_tokens)
        if self.cost_pusd is not None and not 0 <= self.cost_pusd <= COST_PUSD_MAX:
            raise absurd(f"a cost of {self.cost_pusd} pico-USD")

    def counts(self) -> dict[str, int]:
        """Return the token counts by name, always with input and output, the others where not zero."""
        always = {"input_tokens", "output_tokens"}
        return {name: getattr(self, name) for name in _COUNTS if name in always or getattr(self, name)}


@dataclass(frozen=True, slots=True)
class Limits:
    """A model's hard limits in tokens, and what its framing may add to the text of a request.

    `context_tokens` bounds input and output together, `input_tokens_max` the input alone. `image_tokens_max`
    caps one image at any size and detail, `audio_bytes_per_token` is the least that one token of audio
    takes; None where the model takes no such input or nobody knows. `encoding` names the tokenizer where
    tokens can be counted here (`o200k_base`). `uncapped_tokens_max` is the most output of one choice that its
    cap does not count, where the wire format has such; None is all that the context holds.
    """

    input_tokens_max: int
    context_tokens: int
    output_tokens_max: int
    per_request_tokens: int = 64
    per_message_tokens: int = 16
    per_tool_tokens: int = 64
    tools_base_tokens: int = 128
    image_tokens_max: int | None = None
    audio_bytes_per_token: int | None = None
    encoding: str | None = None
    uncapped_tokens_max: int | None = None


@dataclass(frozen=True, slots=True)
class InputBound:
    """An upper bound of an input, and its rung of the ladder: `bytes`, `local`, `counted`, `window`."""

    rung: str
    tokens: int


_NO_COUNTS = frozenset({"unsorted_rates", "events", "service_tier", "modifiers", "cost_pusd"})
_COUNTS = tuple(f.name for f in fields(Usage) if f.name not in _NO_COUNTS)


def _check_count(name: str, count: int) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= TOKENS_MAX:
        raise absurd(f"{name} is {count!r}")


def _check_part(name: str, part: int, whole: int) -> None:
    if part > whole:
        raise absurd(f"{name} ({part}) is more than its whole ({whole})")


def absurd(what: str) -> SpendGuardError:
    """Return the error of a usage report that cannot be true; its call is settled at worst."""
    return SpendGuardError(Code.UPSTREAM_FAILED, f"Absurd usage: {what}")
