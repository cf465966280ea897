"""Decoding compressed answers: right, whole, and never more than allowed."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from json_values import relaxed
from spendguard_daemon.providers.inflate import MEMBERS_MAX, RATIO_FREE_BYTES, RATIO_MAX, Inflater

TEXT = b"The quick brown fox. " * 50


def packed(data: bytes) -> bytes:
    """Compress with gzip, the same bytes each time."""
    return gzip.compress(data, mtime=0)


def raw_deflate(data: bytes) -> bytes:
    """Compress without any header, as some servers do for `deflate`."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


CASES = [
    ("", TEXT),
    ("identity", TEXT),
    ("gzip", packed(TEXT)),
    ("gzip", packed(TEXT[:500]) + packed(TEXT[500:])),
    ("deflate", zlib.compress(TEXT)),
    ("deflate", raw_deflate(TEXT)),
]
NAMES = ["none", "identity", "gzip", "two-members", "deflate", "deflate-raw"]


@pytest.mark.parametrize(("encoding", "raw"), CASES, ids=NAMES)
@pytest.mark.parametrize("size", [1, 5, 10_000])
def test_every_encoding_comes_out_decoded(encoding: str, raw: bytes, size: int) -> None:
    inflater = Inflater(encoding, bytes_max=len(TEXT))
    out = b"".join(inflater.feed(raw[at : at + size]) for at in range(0, len(raw), size))
    inflater.end()
    assert (out, inflater.problem) == (TEXT, None)


@pytest.mark.parametrize(("encoding", "raw"), CASES, ids=NAMES)
def test_no_more_than_allowed_comes_out(encoding: str, raw: bytes) -> None:
    inflater = Inflater(encoding, bytes_max=len(TEXT) - 1)
    assert len(inflater.feed(raw)) < len(TEXT)
    assert inflater.problem == "the answer is larger than can be read"
    assert inflater.feed(raw) == b""


def test_a_bomb_stops_at_the_limit() -> None:
    inflater = Inflater("gzip", bytes_max=1_000)
    assert inflater.feed(packed(bytes(50_000_000))) == b""
    assert inflater.problem is not None


def test_a_bomb_stops_soon_also_where_much_is_allowed() -> None:
    """At 1000 to 1 a mebibyte would come out as one gibibyte."""
    bomb = packed(bytes(100 * 2**20))
    inflater = Inflater("gzip", bytes_max=2**30)
    out = sum(len(inflater.feed(bomb[at : at + 10_000])) for at in range(0, len(bomb), 10_000))
    assert inflater.problem == "the compressed answer is larger than it can be"
    assert out <= RATIO_FREE_BYTES + RATIO_MAX * len(bomb)


def test_text_at_a_fair_ratio_may_be_long() -> None:
    text = b"".join(b'data: {"id":%d}\n\n' % number for number in range(1_200_000))
    assert len(text) > RATIO_FREE_BYTES
    raw, inflater = packed(text), Inflater("gzip", bytes_max=2**30)
    out = sum(len(inflater.feed(raw[at : at + 65_536])) for at in range(0, len(raw), 65_536))
    assert (out, inflater.problem) == (len(text), None)


def test_members_are_counted_empty_or_not() -> None:
    """Each costs time to begin, and to copy what is behind it."""
    fits = Inflater("gzip", bytes_max=1_000)
    assert fits.feed(packed(b"x") * MEMBERS_MAX) == b"x" * MEMBERS_MAX
    assert fits.problem is None
    inflater = Inflater("gzip", bytes_max=1_000)
    inflater.feed(packed(b"") * 200_000)
    assert inflater.problem == "the compressed answer has too many parts"


@pytest.mark.parametrize(("encoding", "raw"), CASES[2:], ids=NAMES[2:])
def test_a_torn_body_is_noticed_at_every_byte(encoding: str, raw: bytes) -> None:
    border = len(packed(TEXT[:500]))
    for at in range(1, len(raw)):
        inflater = Inflater(encoding, bytes_max=len(TEXT))
        inflater.feed(raw[:at])
        inflater.end()
        between_two_members = at == border and raw is CASES[3][1]
        assert (inflater.problem is None) == between_two_members


def test_an_empty_body_is_not_torn() -> None:
    inflater = Inflater("gzip", bytes_max=10)
    inflater.end()
    assert inflater.problem is None


def test_garbage_behind_the_end_is_noticed() -> None:
    inflater = Inflater("gzip", bytes_max=10_000)
    inflater.feed(packed(TEXT) + b"garbage")
    assert inflater.problem == "the compressed answer is damaged"


@relaxed
@given(st.sampled_from(["gzip", "deflate", "br", ""]), st.lists(st.binary(max_size=30), max_size=5))
def test_any_bytes_are_survived(encoding: str, chunks: list[bytes]) -> None:
    inflater = Inflater(encoding, bytes_max=50)
    assert sum(len(inflater.feed(chunk)) for chunk in chunks) <= 50
    inflater.end()
