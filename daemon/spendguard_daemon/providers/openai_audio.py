"""Whether audio lasts as long as its bytes suggest: billed by the second, it is bounded by its size (B1).

An MPEG stream has 8 kbit/s or more (ISO 13818-3: the lowest bit rate of layer III), but a WAV file itself
says how fast it is played: at one sample a second, 10 kB would last for hours. Reads the head alone.
"""

import base64
import binascii

SAMPLES_PER_SECOND_MIN = 4_000
"""Half the rate of a telephone, at 4 bits a sample still 2,000 bytes a second."""

_HEAD_CHARACTERS = 64
_MPEG_SYNC = 0xFFE0


def lasts_as_its_size_says(data: str) -> bool:
    """Tell whether base64 audio is MPEG, or WAV of a usual sample rate; nothing else is known to be."""
    try:
        head = base64.b64decode(data[:_HEAD_CHARACTERS], validate=True)
    except (binascii.Error, ValueError):
        return False
    if head.startswith(b"RIFF") and head[8:16] == b"WAVEfmt ":
        return int.from_bytes(head[24:28], "little") >= SAMPLES_PER_SECOND_MIN
    return head.startswith(b"ID3") or int.from_bytes(head[:2], "big") & _MPEG_SYNC == _MPEG_SYNC
