"""The local authority: its key, and what it signs."""

import base64

import pytest
from nacl.signing import VerifyKey

import signed_prices
from signed_prices import DAY_NS, NOW_NS
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing import wire_json
from spendguard_daemon.pricing.authority import Authority
from spendguard_daemon.pricing.trust import verify

PROVIDERS = signed_prices.body()["providers"]


class CountingRng:
    """Gives bytes 0, 1, 2, ... as the private key of RFC-like examples."""

    def token(self, n_bytes: int) -> bytes:
        return bytes(range(n_bytes))

    def uuid4(self) -> str:
        raise AssertionError("no id is needed for a key")


AUTHORITY = Authority.new(CountingRng())


def signed() -> bytes:
    return AUTHORITY.sign(PROVIDERS, sequence=1, issued_ns=NOW_NS, expires_ns=NOW_NS + DAY_NS)


def test_the_public_half_is_the_known_one() -> None:
    """The public key of the private bytes 0..31, computed by another program (pricing/README.md)."""
    known = base64.b64decode("A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=")
    assert AUTHORITY.public_key == known
    assert AUTHORITY.key_id == "local-56475aa75463474c"
    assert AUTHORITY.pinned().public_key == known


def test_the_key_survives_its_file_and_is_never_shown() -> None:
    """The file holds it; nothing printed does."""
    assert Authority.from_key_file(AUTHORITY.key_file()) == AUTHORITY
    secret = AUTHORITY.key_file().decode().strip()
    assert secret not in repr(AUTHORITY)
    assert repr(bytes(range(32))) not in repr(AUTHORITY)


@pytest.mark.parametrize("raw", [b"", b"AAAA\n", b"\xff\xfe", b"x" * 44, AUTHORITY.key_file()[:-3] + b"\n"])
def test_a_damaged_key_file_is_said_to_be_so(raw: bytes) -> None:
    """With what to do about it."""
    with pytest.raises(SpendGuardError) as refused:
        Authority.from_key_file(raw)
    assert refused.value.code is Code.PRICING_UNAVAILABLE
    assert "authority.key" in refused.value.remedy


def test_what_it_signs_verifies() -> None:
    """By our verifier, and by the bare algorithm over the bytes that the format names."""
    raw = signed()
    document = verify(raw, pinned=[AUTHORITY.pinned()], now_ns=NOW_NS, high_water=None)
    assert (document.sequence, document.issued_ns, document.expires_ns) == (1, NOW_NS, NOW_NS + DAY_NS)
    body = wire_json.loads(raw)
    signature = base64.b64decode(str(body.pop("signature")))
    VerifyKey(AUTHORITY.public_key).verify(b"spendguard-pricing-v2\n" + signed_prices.plain(body), signature)


def test_the_same_content_gives_the_same_bytes() -> None:
    """Whether a stored document is still what we would say is one comparison."""
    assert signed() == signed()


def test_times_are_cut_to_the_second() -> None:
    """So a document is never valid for longer than was asked."""
    raw = AUTHORITY.sign(PROVIDERS, sequence=1, issued_ns=NOW_NS + 999_999_999, expires_ns=NOW_NS + DAY_NS)
    assert verify(raw, pinned=[AUTHORITY.pinned()], now_ns=NOW_NS, high_water=None).issued_ns == NOW_NS


def test_what_has_no_canonical_form_is_not_signed() -> None:
    """An operator's 0.15 in config.toml is a float; the message names the place."""
    with pytest.raises(SpendGuardError, match=r"providers\.openai\.models\.m is a float") as refused:
        AUTHORITY.sign({"openai": {"models": {"m": 0.15}}}, sequence=1, issued_ns=0, expires_ns=1)
    assert refused.value.code is Code.PRICING_INVALID
