"""Whether audio lasts as long as its bytes suggest: billed by the second, it is bounded by its size (B1).

An MPEG stream has 8 kbit/s or more (ISO 13818-3: the lowest bit rate of layer III), but AAC, which begins
with the same sync word in layer 0, takes some 70 bytes for a second of silence; a stream of layer III in free
format says no bit rate; and a WAV file itself says how fast it is played, and by which codec: at one sample a
second, 10 kB would last for hours. What stands behind an ID3 tag is looked at in its place, for any of these
may have one. Reads heads alone.
"""

import base64
import binascii
import re

SAMPLES_PER_SECOND_MIN = 4_000
BITS_PER_SAMPLE_MIN = 4
"""Half the rate of a telephone, at 4 bits a sample still 2,000 bytes a second."""

STEADY_CODECS = frozenset({1, 2, 3, 6, 7, 0x11})
"""The format tags of a WAV file whose samples all take the same space: PCM, ADPCM of two kinds, IEEE float,
A-law and mu-law (RFC 2361)."""

_EXTENSIBLE = 0xFFFE
_HEAD_CHARACTERS = 64
_BASE64 = re.compile(r"[A-Za-z0-9+/]*", re.ASCII)


def lasts_as_its_size_says(data: str) -> bool:
    """Tell whether base64 audio is MPEG, or WAV of a usual sample rate; nothing else is known to be."""
    head = _bytes_from(data, 0)
    if head.startswith(b"RIFF") and head[8:16] == b"WAVEfmt ":
        return _is_steady_wav(head)
    if head.startswith(b"ID3"):
        head = _bytes_from(data, _id3_bytes(head))
    return _is_mpeg(head)


def _bytes_from(data: str, start: int) -> bytes:
    """Return some bytes of the decoded audio from `start` on, none where it is not plainly written."""
    first = start // 3 * 4
    if _BASE64.fullmatch(data, 0, min(first, len(data))) is None:
        return b""  # with white space in between, the place would be another one
    try:
        return base64.b64decode(data[first : first + _HEAD_CHARACTERS], validate=True)[start % 3 :]
    except (binascii.Error, ValueError):
        return b""


def _id3_bytes(head: bytes) -> int:
    """Return the size of the tag: its own head, and what that says in four times seven bits (id3.org)."""
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size


def _is_mpeg(head: bytes) -> bool:
    """Tell the head of an MPEG frame: eleven bits of sync, a layer, and a bit rate that is named."""
    if len(head) < 3 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    layer, bit_rate = head[1] >> 1 & 0b11, head[2] >> 4
    return layer != 0 and bit_rate not in (0, 15)


def _is_steady_wav(head: bytes) -> bool:
    tag, rate, bits = (int.from_bytes(head[at:end], "little") for at, end in ((20, 22), (24, 28), (34, 36)))
    if tag == _EXTENSIBLE:
        tag = int.from_bytes(head[44:46], "little")
    return tag in STEADY_CODECS and rate >= SAMPLES_PER_SECOND_MIN and bits >= BITS_PER_SAMPLE_MIN
