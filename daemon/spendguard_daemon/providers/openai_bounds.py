"""How large the input of a request to OpenAI can be: by bytes, by tokens counted here, by the window.

Owns what each kind of input is bounded by. Text: its bytes, or its tokens (`local_count`). Images: the
card's cap for one image at any size and detail. Audio: its bytes over the least bytes of one token. What lies
at the provider, files, and hosted tools, which make the model read its context again: the context window,
which no pass can exceed, as a larger request is refused, unbilled (costs.md C1).
"""

from collections.abc import Sequence

from spendguard_daemon.providers import local_count, tokens
from spendguard_daemon.providers.contract import Request
from spendguard_daemon.providers.refusals import unbounded
from spendguard_daemon.usage import InputBound, Limits


def bounds(request: Request, limits: Limits, state_tokens: int | None) -> tuple[InputBound, ...]:
    """Return the bounds known offline, smallest first; raise UNBOUNDED_FEATURE for media without a cap."""
    if _is_unsized(request, state_tokens):
        window = min(limits.input_tokens_max, limits.context_tokens)
        return (InputBound("window", request.passes * window),)
    return tokens.ladder(limits, _by_bytes(request, limits, state_tokens))


def local_bound(
    request: Request, limits: Limits, state_tokens: int | None, texts: Sequence[str]
) -> InputBound | None:
    """Return the bound with these texts counted in tokens instead of bytes; None where that cannot be done.

    Raises UNBOUNDED_FEATURE for media without a cap.
    """
    if limits.encoding is None or _is_unsized(request, state_tokens):
        return None
    saved = local_count.saved(texts, limits.encoding)
    if saved is None:
        return None
    return InputBound("local", _by_bytes(request, limits, state_tokens) - saved)


def _is_unsized(request: Request, state_tokens: int | None) -> bool:
    """Tell whether only the window bounds the input."""
    unknown_state = bool(request.state_ids) and state_tokens is None
    return request.passes > 1 or request.foreign_state or request.media.documents or unknown_state


def _by_bytes(request: Request, limits: Limits, state_tokens: int | None) -> int:
    text = tokens.byte_bound(
        limits, input_bytes=request.input_bytes, messages=request.messages, tools=request.tools
    )
    return text + _media_tokens(request, limits) + (state_tokens or 0)


def _media_tokens(request: Request, limits: Limits) -> int:
    media = request.media
    images = audio = 0
    if media.images:
        if limits.image_tokens_max is None:
            raise unbounded("model", f"an image for {request.model}")
        images = media.images * limits.image_tokens_max
    if media.audio_bytes:
        if limits.audio_bytes_per_token is None:
            raise unbounded("model", f"audio for {request.model}")
        audio = -(-media.audio_bytes // limits.audio_bytes_per_token)
    return images + audio
