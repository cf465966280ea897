"""What in a request to Gemini is not text: images, sound, files, and what nobody can size (costs.md B4).

An image is what its resolution allows at most, sound 32 tokens a second at the lowest bit rate of MP3. What a
file or a film holds is unknown, up to the window. Names are read in both spellings.
"""

import base64
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from billing.worst import UnboundedBillError

WINDOW = 10**12
"""More than any window: what the provider may fill as far as it goes."""

IMAGE = (24 + 1) * 258
"""Before Gemini 3: 258 tokens for the whole and for each of its tiles. A tile is two thirds of the shorter
side, from 256 to 768 pixels, and the longer side at most 3,072: twelve times two, for 3,072 x 384."""

IMAGE_ULTRA_HIGH = 2_240
"""From Gemini 3 on: the dearest of the resolutions that a part may ask for."""

SOUND_TOKENS_A_SECOND, SOUND_BYTES_A_SECOND, SAMPLES_A_SECOND = 32, 1_000, 4_000
OLDER = re.compile(r"(models/)?(gemini-[12][.-]|gemini-embedding|gemma)")
RATES = {
    "audio": frozenset({"input_audio"}),
    "video": frozenset({"input_audio", "input_video", "input_image"}),
    "application": frozenset({"input_image"}),
    "image": frozenset({"input_image"}),
}
"""The rates beside text's of what is of this kind: a film has sound, a document pictures."""


def said(value: Mapping[str, Any], name: str) -> Any:
    """Return what stands under a name in either of its spellings."""
    snake = re.sub(r"([A-Z])", lambda found: "_" + found[1].lower(), name)
    both = [value[key] for key in dict.fromkeys((name, snake)) if value.get(key) is not None]
    if len(both) > 1:
        raise UnboundedBillError(f"{name} is said twice")
    return both[0] if both else None


def parts_of(turns: list[Any]) -> Iterator[Mapping[str, Any]]:
    """Yield all parts, and those inside of functions' answers."""
    for turn in turns:
        parts = turn.get("parts") or ()
        for part in [parts] if isinstance(parts, dict) else parts:
            if isinstance(part, dict):
                yield part
                answer = said(part, "functionResponse") or {}
                yield from parts_of([{"parts": answer.get("parts") or ()}])


class Media:
    """What is not text: tokens of images, tokens of sound, and the rates of what nobody can size."""

    def __init__(self) -> None:
        self.image_tokens = self.sound_tokens = 0
        self.unknown = False
        self.rates: frozenset[str] = frozenset()

    def add_unknown(self, kind: str) -> None:
        """Take what fills the window as far as it goes: of any kind, where it lies elsewhere."""
        self.unknown = True
        self.rates |= RATES.get(kind.partition("/")[0], frozenset())

    def add(self, part: Mapping[str, Any], model: str) -> None:
        """Take a part."""
        resolution = said(part, "mediaResolution")
        if isinstance(resolution, dict) and said(resolution, "numTokens"):
            self.add_unknown(said(said(part, "inlineData") or {}, "mimeType") or "video")
        if str(said(part, "mediaProcessing") or "STATIC").upper() != "STATIC":
            raise UnboundedBillError("media that an agent looks at as often as it likes")
        if said(part, "fileData") or said(part, "videoMetadata"):
            self.add_unknown("video")
        data = said(part, "inlineData")
        if data:
            self._add_data(said(data, "mimeType") or "", data.get("data") or "", model)

    def add_openai(self, part: Mapping[str, Any], model: str) -> bool:
        """Take a part in OpenAI's shape; tell whether it is media."""
        match part.get("type"):
            case "image_url":
                kind, _, data = str(part["image_url"]["url"]).removeprefix("data:").partition(";base64,")
                self._add_data(kind if data else "video", data, model)
            case "input_audio":
                self._add_data("audio/" + str(part["input_audio"].get("format")), _data_of(part), model)
            case "file":
                kind = str(part["file"].get("file_data", "data:video/x")).removeprefix("data:")
                self.add_unknown(kind)
            case _:
                return False
        return True

    def _add_data(self, kind: str, data: str, model: str) -> None:
        match kind.partition("/")[0]:
            case "image":
                self.image_tokens += _image(model)
            case "audio" if _keeps_pace(data):
                seconds = len(base64.b64decode(data)) / SOUND_BYTES_A_SECOND
                self.sound_tokens += math.ceil(seconds * SOUND_TOKENS_A_SECOND)
            case _:
                self.add_unknown(kind)


def _data_of(part: Mapping[str, Any]) -> str:
    data: str = part["input_audio"]["data"]
    return data


def _keeps_pace(data: str) -> bool:
    """Tell whether sound lasts as its bytes say: MPEG but no AAC, or WAV of 4,000 samples a second."""
    head = base64.b64decode(data[:64])
    if head.startswith(b"RIFF"):
        return int.from_bytes(head[24:28], "little") >= SAMPLES_A_SECOND
    return len(head) > 1 and head[0] == 0xFF and head[1] >= 0xE0 and head[1] & 0b110 != 0


def _image(model: str) -> int:
    return IMAGE if OLDER.match(model) else IMAGE_ULTRA_HIGH
