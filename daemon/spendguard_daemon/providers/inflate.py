"""Decode a compressed answer for the reader, within bounds. The client gets the bytes as they came.

Owns the content encodings we can read: none, gzip, deflate. We ask providers for `identity`; some compress
all the same (wire.md 2). Invariant: never more than `bytes_max` decoded bytes, nor many more than arrived,
whatever the input.
"""

import zlib

MEMBERS_MAX = 100
"""Most gzip members taken; servers send one. Each costs time, also when it is empty."""

RATIO_MAX = 100
RATIO_FREE_BYTES = 16 * 2**20
"""Decoded bytes taken at any ratio. Text comes at 5 to 1, the dullest stream at some 40 to 1."""

_GZIP, _ZLIB, _RAW = 31, 15, -15


class Inflater:
    """Decodes one answer. Once `problem` is set nothing more comes out."""

    def __init__(self, encoding: str, *, bytes_max: int) -> None:
        self.problem: str | None = None
        self._kind = encoding.strip().lower()
        self._left = bytes_max
        self._allowed = RATIO_FREE_BYTES
        self._members = 0
        self._head = b""
        self._stream: zlib._Decompress | None = None
        if self._kind not in ("", "identity", "gzip", "x-gzip", "deflate"):
            self.problem = "the answer has a content encoding that cannot be read"

    @property
    def plain(self) -> bool:
        """Whether the bytes come out as they went in."""
        return self._kind in ("", "identity")

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes as they came; return them decoded."""
        if self.problem is not None:
            return b""
        if self.plain:
            return self._within(chunk)
        self._allowed += RATIO_MAX * len(chunk)
        try:
            return self._inflate(chunk)
        except zlib.error:
            self.problem = "the compressed answer is damaged"
            return b""

    def end(self) -> None:
        """Take the end of the answer; a compressed one must have come to its own."""
        torn = self._head or (self._stream is not None and not self._stream.eof)
        if self.problem is None and torn:
            self.problem = "the compressed answer is torn"

    def _inflate(self, chunk: bytes) -> bytes:
        pieces: list[bytes] = []
        while chunk and self.problem is None:
            if self._stream is None or self._stream.eof:
                chunk = self._head + chunk
                if len(chunk) < 2:
                    self._head = chunk
                    break
                self._head = b""
                self._members += 1
                if self._members > MEMBERS_MAX:
                    self.problem = "the compressed answer has too many parts"
                    break
                self._stream = zlib.decompressobj(self._window_bits(chunk))
            piece = self._stream.decompress(chunk, min(self._left, self._allowed) + 1)
            self._allowed -= len(piece)
            if self._allowed < 0:
                self.problem = "the compressed answer is larger than it can be"
                break
            pieces.append(self._within(piece))
            chunk = self._stream.unused_data
        return b"".join(pieces)

    def _window_bits(self, head: bytes) -> int:
        """Tell gzip, and the two things that servers call deflate, apart (RFC 9110 8.4.1, RFC 1950 2.2)."""
        if self._kind != "deflate":
            return _GZIP
        zlib_header = head[0] & 0x0F == 8 and int.from_bytes(head[:2], "big") % 31 == 0
        return _ZLIB if zlib_header else _RAW

    def _within(self, decoded: bytes) -> bytes:
        if len(decoded) > self._left:
            self.problem = "the answer is larger than can be read"
            return b""
        self._left -= len(decoded)
        return decoded
