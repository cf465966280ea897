"""trust.toml: pinned keys as text, and the one form of base64."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signed_prices import NOW_NS, PINNED
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing.trust import (
    PinnedKey,
    Trust,
    decode_base64,
    encode_base64,
    read_trust,
    write_trust,
)

KEYS = (
    PINNED,
    PinnedKey("b", bytes(32), NOW_NS, revoked=False),
    PinnedKey("c:2", bytes(range(32)), None, revoked=True),
)


def test_round_trip() -> None:
    """What was written is what is read."""
    assert read_trust(write_trust(KEYS)) == Trust(KEYS)
    several = Trust(KEYS, threshold=2)
    assert read_trust(write_trust(several)) == several


def test_what_a_person_sees() -> None:
    """Plain tables, the time as a time."""
    assert write_trust(KEYS[1:2]) == (
        '[[key]]\nid = "b"\n'
        'public_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="\n'
        "not_after = 2026-11-23 12:00:00+00:00\nrevoked = false\n"
    )


def test_other_zones_are_times_too() -> None:
    """13:00 in Berlin's winter is noon."""
    text = write_trust(KEYS[1:2]).replace("12:00:00+00:00", "13:00:00+01:00")
    assert read_trust(text).keys == KEYS[1:2]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not toml",
        "threshold = 2\n",
        'key = "a"\n',
        "key = [1]\n",
        '[[key]]\nid = "a"\n',
        '[[key]]\nid = "a b"\npublic_key = "{good}"\n',
        '[[key]]\nid = 1\npublic_key = "{good}"\n',
        '[[key]]\nid = "a"\npublic_key = "AAAA"\n',
        '[[key]]\nid = "a"\npublic_key = "{good}"\nrevoked = "no"\n',
        '[[key]]\nid = "a"\npublic_key = "{good}"\nnot_after = 2026-11-23T12:00:00\n',
        '[[key]]\nid = "a"\npublic_key = "{good}"\nnot_after = 2026-11-23\n',
        '[[key]]\nid = "a"\npublic_key = "{good}"\nnot_after = "tomorrow"\n',
        '[[key]]\nid = "a"\npublic_key = "{good}"\nexpired = true\n',
        '[[key]]\nid = "a"\npublic_key = "{good}"\n[[key]]\nid = "a"\npublic_key = "{other}"\n',
        '[[key]]\nid = "a"\npublic_key = "{good}"\n[[key]]\nid = "b"\npublic_key = "{good}"\n',
        'threshold = 0\n[[key]]\nid = "a"\npublic_key = "{good}"\n',
        'threshold = 2\n[[key]]\nid = "a"\npublic_key = "{good}"\n',
        'threshold = true\n[[key]]\nid = "a"\npublic_key = "{good}"\n',
        'threshold = 1.0\n[[key]]\nid = "a"\npublic_key = "{good}"\n',
    ],
)
def test_half_understood_is_not_trusted(text: str) -> None:
    """A key with something we do not know is no key."""
    with pytest.raises(SpendGuardError) as refused:
        read_trust(
            text.replace("{good}", encode_base64(bytes(32))).replace("{other}", encode_base64(b"1" * 32))
        )
    assert refused.value.code is Code.PRICING_SIGNATURE
    assert "trust.toml" in refused.value.detail


@given(st.binary(max_size=70))
def test_base64_has_one_form(raw: bytes) -> None:
    """The right length comes back, any other does not."""
    assert decode_base64(encode_base64(raw), len(raw)) == raw
    assert decode_base64(encode_base64(raw), len(raw) + 1) is None
