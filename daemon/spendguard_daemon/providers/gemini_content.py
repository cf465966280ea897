"""The contents of a Gemini request: what of their parts bills, and by what.

Owns the walk over contents and parts. Nearly all is bounded by its bytes. What is not is taken out of the
values as it is counted: images by the card's cap for one, sound of a known pace by its bytes; all other
media, and what lies elsewhere, by the context window alone. Knows no prices.
Sources: `gemini_fields`; [docs] ai.google.dev/gemini-api/docs/tokens; costs.md B4 and C1.
"""

from dataclasses import dataclass, field

from spendguard_daemon.errors import MalformedError
from spendguard_daemon.providers.contract import Media
from spendguard_daemon.providers.gemini_fields import IMAGE_TYPES, PART_NAMES, PARTS
from spendguard_daemon.providers.gemini_names import camels, listed, member
from spendguard_daemon.providers.json_text import Json, join_path
from spendguard_daemon.providers.openai_audio import lasts_as_its_size_says
from spendguard_daemon.providers.policy import Policy
from spendguard_daemon.providers.refusals import SERVER_STATE_WINDOW, unbounded, unlisted

TEXT_TOKENS = 8
"""What one text part may take beyond its bytes (costs.md C1)."""

PART_TOKENS = 64
"""What any other part may: names, ids and results stand between marks of several tokens."""

ARGUMENT_TOKENS = 16
"""What one argument of a function call may, likewise."""

ANY_MEDIA = frozenset({"input_audio", "input_image", "input_video"})
"""The rates of media of which nobody here knows what they are."""

_BLOB_NAMES = ("inlineData", "fileData")
_CALLS = ("functionCall", "toolCall")


@dataclass(slots=True)
class Content:
    """What a walk found. `tokens` is the allowance for marks beyond the bytes.

    `foreign` tells of input that lies elsewhere, `documents` of media that only the window bounds.
    """

    policy: Policy
    messages: int = 0
    tokens: int = 0
    images: int = 0
    audio_bytes: int = 0
    documents: bool = False
    foreign: bool = False
    reach: set[str] = field(default_factory=set)

    @property
    def media(self) -> Media:
        """What is not billed by its bytes."""
        return Media(self.images, self.audio_bytes, self.documents)

    def contents(self, value: Json, path: str) -> None:
        """Walk a list of contents; raise MALFORMED_REQUEST or UNBOUNDED_FEATURE with the path."""
        found = listed(value, path)
        if not found:
            raise MalformedError(path, "at least one content")
        for index, content in enumerate(found):
            self.content(content, f"{path}[{index}]")

    def content(self, value: Json, path: str) -> None:
        """Walk one content: a role and parts."""
        if not isinstance(value, dict):
            raise MalformedError(path, "object")
        self.messages += 1
        for index, part in enumerate(listed(value.get("parts"), f"{path}.parts")):
            self._part(part, f"{path}.parts[{index}]")

    def system(self, value: Json) -> None:
        """Walk the system instruction: a content, or a text."""
        if isinstance(value, str):
            self.tokens += TEXT_TOKENS
        elif value is not None:
            self.content(value, "systemInstruction")

    def keep(self, path: str, what: str) -> None:
        """Note input that lies at the provider, or is fetched by it; refuse it where told to."""
        if self.policy.server_state == "refuse":
            raise unbounded(path, what, SERVER_STATE_WINDOW)
        self.foreign = True

    def _part(self, part: Json, path: str) -> None:
        if not isinstance(part, dict):
            raise MalformedError(path, "object")
        named = camels(part, PART_NAMES, path)
        for name in named:
            feature = f"gemini.part:{name[:100]}"
            if name not in PART_NAMES and feature not in self.policy.allow:
                raise unlisted(join_path(path, name), "a kind of part whose cost is known", feature)
        kinds = [name for name in named if name in PARTS and named[name] is not None]
        self.tokens += TEXT_TOKENS if kinds == ["text"] else PART_TOKENS
        if named.get("mediaProcessing") not in (None, "STATIC", "MEDIA_PROCESSING_UNSPECIFIED"):
            raise unbounded(f"{path}.mediaProcessing", "gemini.part:mediaProcessing")
        for name in _BLOB_NAMES:
            self._blob(name, named, path)
        for name in _CALLS:
            self._call(named.get(name), f"{path}.{name}")
        self._response(named.get("functionResponse"), f"{path}.functionResponse")

    def _call(self, call: Json, path: str) -> None:
        """Take a call that a model made: each argument may stand between marks."""
        if call is None:
            return
        if not isinstance(call, dict):
            raise MalformedError(path, "object")
        arguments = call.get("args")
        self.tokens += ARGUMENT_TOKENS * (len(arguments) if isinstance(arguments, dict) else 0)

    def _response(self, response: Json, path: str) -> None:
        """Take what a function answered: data, and perhaps media in parts of its own."""
        if response is None:
            return
        if not isinstance(response, dict):
            raise MalformedError(path, "object")
        for index, part in enumerate(listed(response.get("parts"), f"{path}.parts")):
            self._part(part, f"{path}.parts[{index}]")

    def _blob(self, name: str, part: dict[str, Json], path: str) -> None:
        blob, path = part.get(name), f"{path}.{name}"
        if blob is None:
            return
        if not isinstance(blob, dict):
            raise MalformedError(path, "object")
        kind = member(blob, "mimeType", path)
        if kind is not None and not isinstance(kind, str):
            raise MalformedError(f"{path}.mimeType", "string")
        if name == "fileData":  # what lies there may be of another type than the client says
            member(blob, "fileUri", path)
            self.reach |= ANY_MEDIA
            self.keep(path, "gemini.part:fileData")
            return
        kind = (kind or "").partition(";")[0].strip().lower()
        self.reach |= _rates_of(kind)
        data = blob.get("data")
        if not isinstance(data, str):
            raise MalformedError(f"{path}.data", "string")
        self._inline(kind, data, path, plain=not _sizes_itself(part.get("mediaResolution"), path))
        blob["data"] = ""

    def _inline(self, kind: str, data: str, path: str, *, plain: bool) -> None:
        """Take media in the body; `plain` tells that the client does not size it in tokens itself."""
        if kind in IMAGE_TYPES and plain:
            self.images += 1
        elif kind.startswith("audio/") and plain and lasts_as_its_size_says(data):
            self.audio_bytes += (len(data) * 3 + 3) // 4
        elif self.policy.server_state == "refuse":
            raise unbounded(path, f"gemini.media:{kind or 'unknown'}", SERVER_STATE_WINDOW)
        else:
            self.documents = True


def _rates_of(kind: str) -> frozenset[str]:
    """Return the rates at which a type of media may bill; a video has a sound track, a page is an image."""
    match kind.partition("/")[0]:
        case "image":
            return frozenset({"input_image"})
        case "audio":
            return frozenset({"input_audio"})
        case "video":
            return frozenset({"input_audio", "input_video"})
    if kind == "application/pdf":
        return frozenset({"input_image"})
    return frozenset() if kind.startswith("text/") else ANY_MEDIA


def _sizes_itself(resolution: Json, path: str) -> bool:
    """Tell whether a part says how many tokens its media take. [sdk] PartMediaResolution.num_tokens."""
    return isinstance(resolution, dict) and member(resolution, "numTokens", path) is not None
