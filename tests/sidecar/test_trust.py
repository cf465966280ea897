"""The verifier of signed documents: each threat of ledger-and-security.md 3.3 that needs no network."""

import base64
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

import signed_prices
from signed_prices import DAY_NS, NOW_NS, PINNED, document
from spendguard_daemon import canonical
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing.document import PriceDocument
from spendguard_daemon.pricing.trust import HighWater, PinnedKey, encode_base64, verify

SECOND_NS = 10**9
OTHER_SEED = bytes(range(1, 33))
OTHER = PinnedKey("other-key", bytes(SigningKey(OTHER_SEED).verify_key))
GOOD = document()
ORDER = 2**252 + 27742317777372353535851937790883648493
"""The order of the Ed25519 group: adding it to S gives another signature that sloppy verifiers accept."""


def check(raw: bytes, **changes: Any) -> PriceDocument:
    """Verify with the test key pinned, at the time of issue, with no earlier document."""
    given: dict[str, Any] = {"pinned": [OTHER, PINNED], "now_ns": NOW_NS, "high_water": None}
    return verify(raw, **(given | changes))


def refusal(raw: bytes, **changes: Any) -> Code:
    """Return the code of the refusal; the detail begins with that code's title."""
    with pytest.raises(SpendGuardError) as refused:
        check(raw, **changes)
    assert refused.value.detail.startswith(TABLE[refused.value.code].title)
    return refused.value.code


def test_a_good_document_is_accepted() -> None:
    """Its hash is that of the bytes as received."""
    found = check(GOOD)
    assert (found.sequence, found.key_id) == (7, "test-key")
    assert found.document_sha256 == canonical.sha256_hex(GOOD)


class TestSignature:
    def test_one_flipped_bit_anywhere(self) -> None:
        """Every bit of every byte: document, key id and signature alike."""
        codes = set()
        for index in range(len(GOOD)):
            for bit in range(8):
                flipped = bytearray(GOOD)
                flipped[index] ^= 1 << bit
                codes.add(refusal(bytes(flipped)))
        assert codes == {Code.PRICING_INVALID, Code.PRICING_SIGNATURE}

    def test_one_byte_less_or_more_anywhere(self) -> None:
        """Cut at each byte, and with a byte put in at each."""
        for index in range(len(GOOD)):
            refusal(GOOD[:index])
            refusal(GOOD[:index] + b"0" + GOOD[index:])

    def test_mix_and_match(self) -> None:
        """The rates of one document under the signature of another."""
        donor = signature_of(document(sequence=8))
        assert refusal(with_signature(donor)) is Code.PRICING_SIGNATURE

    @pytest.mark.parametrize("pinned", [[], [OTHER]])
    def test_unknown_key(self, pinned: list[PinnedKey]) -> None:
        """Rightly signed, by someone whom nobody pinned."""
        assert refusal(GOOD, pinned=pinned) is Code.PRICING_SIGNATURE

    def test_revoked_key(self) -> None:
        """The list says so, whatever the document says."""
        assert refusal(GOOD, pinned=[replace(PINNED, revoked=True)]) is Code.PRICING_SIGNATURE

    def test_key_past_its_time(self) -> None:
        """Good until, and including, its last moment."""
        check(GOOD, pinned=[replace(PINNED, not_after_ns=NOW_NS)])
        late = [replace(PINNED, not_after_ns=NOW_NS - 1)]
        assert refusal(GOOD, pinned=late) is Code.PRICING_SIGNATURE

    def test_right_signature_under_the_wrong_key_id(self) -> None:
        """The id is part of what is signed, so it cannot be swapped for another pinned one."""
        assert refusal(GOOD.replace(b'"test-key"', b'"other-key"')) is Code.PRICING_SIGNATURE

    def test_another_key_under_the_right_id(self) -> None:
        """Who signs is decided by the pinned bytes, not by the name."""
        forged = signed_prices.sign(signed_prices.body(), OTHER_SEED)
        assert refusal(forged) is Code.PRICING_SIGNATURE

    def test_another_context(self) -> None:
        """A signature of the same bytes for another purpose is none."""
        content = signed_prices.plain(signed_prices.body())
        bare = encode_base64(SigningKey(signed_prices.SEED).sign(content).signature)
        assert refusal(signed_prices.with_signature(content, bare)) is Code.PRICING_SIGNATURE

    @pytest.mark.parametrize("n_bytes", [0, 1, 32, 63, 65, 128])
    def test_signature_of_another_length(self, n_bytes: int) -> None:
        """63 bytes are ValueError in PyNaCl, not BadSignatureError."""
        good = signature_of(GOOD)
        other = encode_base64((good * 2)[:n_bytes])
        assert refusal(with_signature(other)) is Code.PRICING_SIGNATURE

    def test_signature_in_another_form(self) -> None:
        """Odd trailing bits, no padding, the URL alphabet, space, no ASCII, no text, none at all."""
        good = encode_base64(signature_of(GOOD))
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        odd = good[:-3] + letters[letters.index(good[-3]) | 1] + "=="
        assert base64.b64decode(odd, validate=True) == base64.b64decode(good)
        for form in [odd, good[:-2], good + "=", good.replace("+", "-") + " ", good[:-3] + "é==", ""]:
            assert refusal(with_signature(form)) is Code.PRICING_SIGNATURE
        for form in [b"1", b"null", b'["' + good.encode() + b'"]']:
            raw = GOOD.replace(b'"' + good.encode() + b'"', form)
            assert refusal(raw) is Code.PRICING_SIGNATURE
        assert refusal(signed_prices.plain(signed_prices.body())) is Code.PRICING_SIGNATURE

    def test_malleable_and_degenerate_signatures(self) -> None:
        """S + L, all zeros, and a public key of small order."""
        good = signature_of(GOOD)
        s = int.from_bytes(good[32:], "little")
        assert (
            refusal(with_signature(good[:32] + (s + ORDER).to_bytes(32, "little"))) is Code.PRICING_SIGNATURE
        )
        assert refusal(with_signature(bytes(64))) is Code.PRICING_SIGNATURE
        small_order = PinnedKey("test-key", bytes([1]) + bytes(31))
        forged = with_signature(bytes([1]) + bytes(63))
        assert refusal(forged, pinned=[small_order]) is Code.PRICING_SIGNATURE

    @pytest.mark.parametrize("key", [b"", bytes(31), bytes(33), bytes(32)])
    def test_a_pinned_key_that_is_none(self, key: bytes) -> None:
        """Not even a broken pin lets another exception through."""
        assert refusal(GOOD, pinned=[PinnedKey("test-key", key)]) is Code.PRICING_SIGNATURE


class TestSyntax:
    """Rightly signed, and yet refused: the key holder may be careless, too."""

    CONTENT = signed_prices.plain(signed_prices.body())

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (b'"sequence":7', b'"sequence":7,"sequence":7'),
            (b'"sequence":7', b'"sequence":1e5'),
            (b'"sequence":7', b'"sequence":7.0'),
            (b'"sequence":7', b'"sequence":-0'),
            (b'"sequence":7', b'"sequence":NaN'),
            (b'"sequence":7', b'"sequence":9007199254740993'),
            (b'"sequence":7', b'"sequence":' + b"7" * 4301),
            (b'"sequence":7', b'"sequence": 7'),
            (b'"sequence":7', b'"sequence":"7"'),
            (b'"sequence":7', b'"sequence":' + b"[" * 100_000 + b"]" * 100_000),
            (b'"small"', b'"sm\\ud800ll"'),
            (b'"small"', b'"sm\\u0061ll"'),
            (b'"small"', '"smäll"'.encode()),
            (b'"small-1"', b'"\\ud800"'),
            (b'"output":5000000', b'"output":0'),
            (b'"output":5000000', b'"output":-1'),
            (b'"output":5000000', b'"output":1000000000000'),
            (b'"schema":2', b'"schema":"2"'),
            (b'"schema":2', b'"schema":true'),
            (b'"schema":2', b'"schema":1'),
        ],
    )
    def test_another_form(self, old: bytes, new: bytes) -> None:
        """One member changed before signing."""
        assert self.CONTENT.count(old) == 1
        assert refusal(signed_prices.sign_raw(self.CONTENT.replace(old, new))) is Code.PRICING_INVALID

    @pytest.mark.parametrize("frame", [b"\xef\xbb\xbf%s", b"%s\n", b" %s", b"%s{}", b"[%s]"])
    def test_something_around_it(self, frame: bytes) -> None:
        """BOM, trailing bytes, and the like."""
        assert refusal(frame % GOOD) is Code.PRICING_INVALID

    def test_too_large(self) -> None:
        """Nothing is parsed beyond 4 MiB."""
        assert refusal(GOOD + b" " * 4 * 2**20) is Code.PRICING_INVALID

    def test_a_bad_row_among_many(self) -> None:
        """One price of a hundred is negative: all are refused."""
        models = {f"m{n}": signed_prices.card() for n in range(100)}
        models["m57"]["periods"][0]["rates"]["default"]["output"] = -1
        assert refusal(document(providers={"openai": {"models": models}})) is Code.PRICING_INVALID


class TestTimes:
    EXPIRES_NS = NOW_NS + 6 * DAY_NS

    def test_expiry_with_30_seconds_for_clocks_that_differ(self) -> None:
        """Accepted up to the last nanosecond of the skew."""
        check(GOOD, now_ns=self.EXPIRES_NS + 30 * SECOND_NS)
        late = self.EXPIRES_NS + 30 * SECOND_NS + 1
        assert refusal(GOOD, now_ns=late) is Code.PRICING_EXPIRED

    def test_issued_in_the_future(self) -> None:
        """Five minutes ahead at most: more is a wrong clock, or an attempt to be the newest for ever."""
        check(GOOD, now_ns=NOW_NS - 300 * SECOND_NS)
        assert refusal(GOOD, now_ns=NOW_NS - 300 * SECOND_NS - 1) is Code.PRICING_EXPIRED

    def test_a_lifetime_of_seven_days_at_most(self) -> None:
        """A stolen key or an endless 304 is worth a week, not a lifetime."""
        check(document(expires_at="2026-11-30T12:00:00Z"))
        assert refusal(document(expires_at="2026-11-30T12:00:01Z")) is Code.PRICING_INVALID
        assert refusal(document(expires_at="2099-01-01T00:00:00Z")) is Code.PRICING_INVALID

    @pytest.mark.parametrize("expires_at", ["2026-11-23T12:00:00Z", "2026-11-23T11:59:59Z"])
    def test_expiry_before_issue(self, expires_at: str) -> None:
        """Such a document was never valid."""
        assert refusal(document(expires_at=expires_at)) is Code.PRICING_INVALID


class TestRollback:
    MARK = HighWater(7, canonical.sha256_hex(GOOD))

    def test_the_same_document_again(self) -> None:
        """Equal sequence and equal hash: it is the one that was accepted."""
        assert check(GOOD, high_water=self.MARK).sequence == 7

    def test_a_newer_one(self) -> None:
        """The sequence may skip numbers."""
        assert check(document(sequence=9), high_water=self.MARK).sequence == 9

    def test_an_older_one(self) -> None:
        """Valid in all else."""
        assert refusal(document(sequence=6), high_water=self.MARK) is Code.PRICING_ROLLBACK

    def test_equal_sequence_with_other_content(self) -> None:
        """Two documents of one number: one of them is a lie."""
        other = document(expires_at="2026-11-28T12:00:00Z")
        assert refusal(other, high_water=self.MARK) is Code.PRICING_ROLLBACK


@given(st.data())
def test_no_garbage_gets_through(data: st.DataObject) -> None:
    """Pieces of the good document put together at random: refused, always by one typed error."""
    pieces = st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 80)), max_size=6)
    raw = b"".join(GOOD[start : start + length] for start, length in data.draw(pieces))
    assert refusal(raw + data.draw(st.binary(max_size=8)))


def signature_of(raw: bytes) -> bytes:
    """Cut the signature out of a document."""
    return base64.b64decode(raw.partition(b'"signature":"')[2].partition(b'"')[0], validate=True)


def with_signature(signature: bytes | str) -> bytes:
    """Return the good document under another signature."""
    text = encode_base64(signature) if isinstance(signature, bytes) else signature
    return signed_prices.with_signature(signed_prices.plain(signed_prices.body()), text)
