"""Gemini's OpenAI-compatible endpoint, `/v1beta/openai/chat/completions`.

Owns in what it differs from OpenAI's: fewer fields, Gemini's key and errors, thoughts that the usage names
nowhere but in its total, and that any file may stand where an image does: Google reads it by its type.
Sources: [docs] ai.google.dev/gemini-api/docs/openai; wire.md trap 4 (35 + 12, total 109). What the
documentation does not name is not on the list.
"""

from collections.abc import Collection
from dataclasses import replace
from functools import partial

from spendguard_daemon.errors import MalformedError
from spendguard_daemon.providers import gemini_errors
from spendguard_daemon.providers.contract import AnswerReader, Asked, Request
from spendguard_daemon.providers.fields import Field, Use
from spendguard_daemon.providers.gemini_content import ANY_MEDIA
from spendguard_daemon.providers.gemini_fields import IMAGE_TYPES, THINKING_NAMES
from spendguard_daemon.providers.gemini_names import camels, spellings
from spendguard_daemon.providers.gemini_options import unasked_rates
from spendguard_daemon.providers.gemini_usage import OUTPUTS, unsorted_input
from spendguard_daemon.providers.json_text import Document, Json, join_path, kind_of
from spendguard_daemon.providers.openai_answers import ChatMeter
from spendguard_daemon.providers.openai_chat import OpenAIChat
from spendguard_daemon.providers.openai_fields import CHAT_FIELDS, CHAT_PARTS
from spendguard_daemon.providers.openai_parts import feature
from spendguard_daemon.providers.openai_usage import count, part
from spendguard_daemon.providers.policy import Policy
from spendguard_daemon.providers.refusals import unlisted
from spendguard_daemon.usage import Usage, absurd

_TAKEN = (
    "messages", "tools", "response_format", "tool_choice", "model", "max_completion_tokens", "max_tokens",
    "n", "stream", "stream_options", "service_tier", "frequency_penalty", "presence_penalty", "temperature",
    "top_p", "seed", "stop", "parallel_tool_calls", "reasoning_effort", "user",
)  # fmt: skip
_PARTS = ("text", "image_url", "input_audio", "file")
FIELDS = {name: CHAT_FIELDS[name] for name in _TAKEN} | {
    "extra_body": Field(Use.CONTROL, ("object",), "[docs] openai; what OpenAI has no words for, in `google`")
}
EXTRA = frozenset({"thinkingConfig", "thoughtTagMarker"})
"""[docs] openai: what may stand in `extra_body.google`; a cache could not be sized there."""

PARTS = {name: CHAT_PARTS[name] for name in _PARTS}
SERVICE_TIERS = {"auto": "default", "default": "default", "standard": "default"}
"""Whether other tiers are served here is not said."""


class GeminiChat(OpenAIChat):
    """OpenAI's chat completions as Google answers them."""

    api = "gemini.openai_chat"
    fields = FIELDS
    parts = PARTS
    image_types = IMAGE_TYPES
    modalities = frozenset({"text"})
    tiers = SERVICE_TIERS
    plain_tier = None
    pins_tier = False
    normalised = True

    def read(self, asked: Asked) -> Request:
        """Read a body; raise MALFORMED_REQUEST, UNBOUNDED_FEATURE or UNPRICED_DIMENSION, with the path."""
        request = super().read(asked)
        reach, media = request.reach | unasked_rates(request.model), request.media
        reach |= {"input_image"} if media.images else set()
        if media.documents or request.foreign_state:
            reach |= ANY_MEDIA  # a file may hold sound or a film
        return replace(request, reach=reach)

    def path(self, _request: Request) -> str:
        """Return the path below the provider's base URL."""
        return "/v1beta/openai/chat/completions"

    def refuse_unbounded(self, document: Document, policy: Policy) -> None:
        """Refuse in `extra_body` all but how the model thinks, which is within the cap."""
        path, extra = "extra_body", document.value("extra_body") or {}
        _check(extra, {"google": "google"}, path, policy)
        path, google = f"{path}.google", extra.get("google") or {}
        if not isinstance(google, dict):
            raise MalformedError(path, "object")
        found = _check(google, spellings(EXTRA), path, policy)
        thinking = found.get("thinkingConfig") or {}
        if not isinstance(thinking, dict):
            raise MalformedError(f"{path}.thinkingConfig", "object")
        _check(thinking, THINKING_NAMES, f"{path}.thinkingConfig", policy)

    def meter(self, request: Request) -> ChatMeter:
        """Return what reads the usage of one answer."""
        return ChatMeter(partial(read_usage, reach=request.reach))

    def errors(self, encoding: str) -> AnswerReader:
        """Return the reader of an answer that is no success: Google's, in a list or not."""
        return gemini_errors.reader(encoding)


FORMAT = GeminiChat()


def _check(holder: dict[str, Json], known: dict[str, str], path: str, policy: Policy) -> dict[str, Json]:
    """Return the members of an object by their camel names; refuse what is on no list."""
    for name in holder:
        wanted = feature("gemini.openai_chat", "extra", name)
        if name not in known and wanted not in policy.allow:
            raise unlisted(join_path(path, name), "a field whose cost is known", wanted)
    return camels(holder, known, path)


def read_usage(report: Json, reach: Collection[str] = ()) -> Usage:
    """Read a usage object; raises UPSTREAM_FAILED where it cannot be true.

    `reach` are the rates that the request may need: which of the prompt is media is not told. All that the
    total has beyond the prompt is output: what `completion_tokens` leaves out are thoughts.
    """
    if not isinstance(report, dict):
        raise absurd(f"usage is a {kind_of(report)}")
    prompt, total = count(report, "prompt_tokens"), count(report, "total_tokens")
    answer = count(report, "completion_tokens", 0)
    if prompt < 1:
        raise absurd("prompt_tokens is 0: no prompt is empty")
    if answer < 0 or total < prompt + answer:
        raise absurd("total_tokens is less than prompt_tokens plus completion_tokens")
    if not OUTPUTS.isdisjoint(reach):
        raise absurd("nothing says which tokens of the answer are of a modality with its own rate")
    details = part(report, "prompt_tokens_details")
    sound = count(details, "audio_tokens", 0)
    rates, unsorted = unsorted_input(prompt - sound, reach)
    return Usage(
        input_tokens=prompt,
        cached_input_tokens=0 if "input_audio" in rates else count(details, "cached_tokens", 0),
        audio_input_tokens=sound,
        unsorted_input_tokens=unsorted,
        unsorted_rates=rates,
        output_tokens=total - prompt,
        reasoning_output_tokens=total - prompt - answer,
    )
