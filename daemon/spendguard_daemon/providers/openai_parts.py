"""The content of OpenAI requests: parts, media and cache marks, for chat and responses alike.

Owns what is found while the messages or items of one request are read. What is not billed by its bytes (the
data of images, audio and files) is taken out of the values as it is counted, so that the bytes left over are
those that bill as text. Knows nothing of fields at the top, prices or limits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from re import compile as pattern

from spendguard_daemon.errors import MalformedError
from spendguard_daemon.providers.contract import Media
from spendguard_daemon.providers.json_text import Json
from spendguard_daemon.providers.openai_audio import lasts_as_its_size_says
from spendguard_daemon.providers.openai_fields import CACHE_TTLS, Part
from spendguard_daemon.providers.openai_responses_fields import TOOLS, ToolTable
from spendguard_daemon.providers.policy import Policy
from spendguard_daemon.providers.refusals import SERVER_STATE_WINDOW, unbounded, unlisted, unpriced

_BREAKPOINT = "prompt_cache_breakpoint"
_WORD = pattern(r"[A-Za-z0-9_.-]{1,64}")
_DATA = pattern(r"data:([^;,]{1,128})[;,]")


@dataclass(slots=True)
class Found:
    """What a request's content holds; filled while it is read.

    `api` begins the names of its features (`openai.chat`). `texts` are the strings whose tokens can be
    counted one by one. `stored` tells of input that lies at the provider, `remote` of input that is fetched
    from elsewhere, so that it may be another tomorrow. `built_in_bytes` are those of descriptions that the
    provider adds. `hosted` are the types of the tools that run there, `table` says which ones do.
    `image_types` are the types that count as one image, where any file may stand in an image's place; None
    where the provider takes images alone there.
    """

    api: str
    parts: Mapping[str, Part]
    policy: Policy
    table: ToolTable = TOOLS
    image_types: frozenset[str] | None = None
    messages: int = 0
    tools: int = 0
    images: int = 0
    audio_bytes: int = 0
    documents: bool = False
    stored: bool = False
    remote: bool = False
    writes_cache: bool = False
    built_in_bytes: int = 0
    texts: list[str] = field(default_factory=list)
    hosted: set[str] = field(default_factory=set)
    reach: set[str] = field(default_factory=set)

    @property
    def media(self) -> Media:
        """What is not billed by its bytes."""
        return Media(self.images, self.audio_bytes, self.documents)

    def allows(self, kind: str, word: Json) -> bool:
        """Tell whether the operator has put this on the allow-list by name."""
        return self.feature(kind, word) in self.policy.allow

    def feature(self, kind: str, word: Json) -> str:
        """Return the name of a feature; words that are no plain words stay out of it."""
        return feature(self.api, kind, word)

    def content(self, content: Json, path: str) -> None:
        """Read a message's content: text, parts, or nothing."""
        if isinstance(content, str):
            self.texts.append(content)
        elif isinstance(content, list):
            for index, part in enumerate(content):
                self.part(part, f"{path}[{index}]")
        elif content is not None:
            raise MalformedError(path, "string or array")

    def part(self, part: Json, path: str) -> None:
        """Read one content part."""
        if not isinstance(part, dict):
            raise MalformedError(path, "object")
        kind = part.get("type")
        known = self.parts.get(kind) if isinstance(kind, str) else None
        if known is None and not self.allows("part", kind):
            raise unlisted(f"{path}.type", " or ".join(sorted(self.parts)), self.feature("part", kind))
        match known:
            case Part.TEXT:
                self.texts += [part[key] for key in ("text", "refusal") if isinstance(part.get(key), str)]
            case Part.IMAGE:
                self._image(part, path)
            case Part.AUDIO:
                self._audio(part, path)
            case Part.DOCUMENT:
                self._document(part, path)
            case Part.REFUSED:
                raise unbounded(path, self.feature("part", kind))
        self.cache_mark(part, path)

    def keep(self, path: str, what: str) -> None:
        """Note input that lies at the provider and that nobody here can size; refuse it where told to."""
        if self.policy.server_state == "refuse":
            raise unbounded(path, what, setting=SERVER_STATE_WINDOW)
        self.stored = True

    def cache_mark(self, holder: dict[str, Json], path: str) -> None:
        """Note a cache breakpoint, and refuse a lifetime that has no rate."""
        mark = holder.get(_BREAKPOINT)
        if mark is None:
            return
        if not isinstance(mark, dict):
            raise MalformedError(f"{path}.{_BREAKPOINT}", "object")
        check_ttl(mark, f"{path}.{_BREAKPOINT}")
        self.writes_cache = True

    def image(self, holder: dict[str, Json], key: str, path: str) -> None:
        """Count the image whose data or address is the string `key` of an object."""
        source = holder.get(key)
        if source is not None and not isinstance(source, str):
            raise MalformedError(f"{path}.{key}", "string")
        if self.image_types is None or _type_of(source) in self.image_types:
            self.images += 1
        elif self.policy.server_state == "refuse":
            raise unbounded(path, "what may be no image", setting=SERVER_STATE_WINDOW)
        else:
            self.documents = True
        self.remote |= source is not None and ":" in source[:16] and not source.startswith("data:")
        if source is not None:
            holder[key] = ""

    def _image(self, part: dict[str, Json], path: str) -> None:
        inner = part.get("image_url")
        if part.get("file_id") is not None and self.policy.server_state == "refuse":
            raise unbounded(f"{path}.file_id", "a file kept by the provider", setting=SERVER_STATE_WINDOW)
        if isinstance(inner, dict):
            if not isinstance(inner.get("url"), str):
                raise MalformedError(f"{path}.image_url.url", "string")
            self.image(inner, "url", f"{path}.image_url")
            return
        if inner is None and not isinstance(part.get("file_id"), str):
            raise MalformedError(f"{path}.image_url", "an image, by URL or data")
        self.image(part, "image_url", path)

    def _audio(self, part: dict[str, Json], path: str) -> None:
        audio = part.get("input_audio")
        data = audio.get("data") if isinstance(audio, dict) else None
        if not isinstance(audio, dict) or not isinstance(data, str):
            raise MalformedError(f"{path}.input_audio.data", "string")
        self.audio_bytes += (len(data) * 3 + 3) // 4
        self.documents |= not lasts_as_its_size_says(data)
        self.reach.add("input_audio")
        audio["data"] = ""

    def _document(self, part: dict[str, Json], path: str) -> None:
        if self.policy.server_state == "refuse":
            raise unbounded(path, str(part["type"]), setting=SERVER_STATE_WINDOW)
        self.documents = True
        inner = part.get("file")
        holder = inner if isinstance(inner, dict) else part
        self.remote |= holder.get("file_url") is not None
        for key in ("file_data", "file_url"):
            if isinstance(holder.get(key), str):
                holder[key] = ""


def _type_of(source: str | None) -> str:
    """Return the media type that a data address names, empty for what lies elsewhere: it may be any."""
    found = _DATA.match(source or "")
    return found[1].strip().lower() if found else ""


def feature(api: str, kind: str, word: Json) -> str:
    """Return the name by which an operator may let a thing through: `openai.chat.tool:foo`."""
    plain = isinstance(word, str) and _WORD.fullmatch(word)
    return f"{api}.{kind}:{word if plain else '<word>'}"


def one_of(value: Json, allowed: frozenset[str]) -> bool:
    """Tell whether a value is one of the words allowed; a value of any other type is not."""
    return isinstance(value, str) and value in allowed


def check_ttl(options: dict[str, Json], path: str) -> None:
    """Refuse a cache lifetime that has no known rate."""
    ttl = options.get("ttl")
    if ttl is not None and not one_of(ttl, CACHE_TTLS):
        raise unpriced(f"{path}.ttl", "a cache lifetime without a known rate")
