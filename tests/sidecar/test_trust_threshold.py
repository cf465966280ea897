"""Several keys: how many different ones must have signed, and keys that are pinned without an id."""

from dataclasses import replace
from typing import Any

import pytest
from nacl.signing import SigningKey

import signed_prices
from signed_prices import NOW_NS, PINNED, SEED, body, co_signed, document
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing.document import PriceDocument
from spendguard_daemon.pricing.trust import PinnedKey, Trust, encode_base64, read_unverified, verify

SEED_B, SEED_C = bytes([2]) * 32, bytes([3]) * 32
B = PinnedKey("b", bytes(SigningKey(SEED_B).verify_key))
C = PinnedKey("c", bytes(SigningKey(SEED_C).verify_key))
TWO_OF_THREE = Trust((PINNED, B, C), threshold=2)


def check(raw: bytes, trust: Trust = TWO_OF_THREE) -> PriceDocument:
    return verify(raw, pinned=trust, now_ns=NOW_NS, high_water=None)


def refusal(raw: bytes, trust: Trust = TWO_OF_THREE) -> SpendGuardError:
    with pytest.raises(SpendGuardError) as refused:
        check(raw, trust)
    return refused.value


def trust_of(*keys: PinnedKey, threshold: int = 2) -> Trust:
    return Trust(keys, threshold)


def test_two_of_three() -> None:
    """One of them is not enough; which two does not matter."""
    assert refusal(document()).code is Code.PRICING_SIGNATURE
    assert "1 of 2" in refusal(document()).detail
    assert check(co_signed(body(), {"b": SEED_B})).key_id == "test-key"
    assert check(co_signed(body(key_id="c"), {"b": SEED_B}, SEED_C)).key_id == "c"


def test_one_key_does_not_count_twice() -> None:
    """Neither by its own id again, nor by a second id that has the same bytes."""
    assert refusal(co_signed(body(), {"test-key": SEED})).code is Code.PRICING_SIGNATURE
    twin = PinnedKey("twin", PINNED.public_key)
    assert refusal(co_signed(body(), {"twin": SEED}), trust_of(PINNED, twin)).code is Code.PRICING_SIGNATURE


@pytest.mark.parametrize("change", [{"revoked": True}, {"not_after_ns": NOW_NS - 1}])
def test_a_key_out_of_use_does_not_count(change: dict[str, Any]) -> None:
    """As the second signature or as the first."""
    raw = co_signed(body(), {"b": SEED_B})
    assert refusal(raw, trust_of(PINNED, replace(B, **change), C)).code is Code.PRICING_SIGNATURE
    assert refusal(raw, trust_of(replace(PINNED, **change), B, C)).code is Code.PRICING_SIGNATURE


def test_rotation_with_both_keys() -> None:
    """Signed by the old key and the new one, a document outlives the old one's revocation."""
    raw = co_signed(body(), {"b": SEED_B})
    assert check(raw, trust_of(PINNED, B, threshold=1)).key_id == "test-key"
    assert check(raw, trust_of(replace(PINNED, revoked=True), B, threshold=1)).key_id == "b"


def test_an_unknown_key_beside_a_good_one() -> None:
    """Nobody is kept from signing as well: a machine that has not pinned the next key goes on."""
    assert check(co_signed(body(), {"d": bytes([4]) * 32}), trust_of(PINNED, threshold=1))
    assert refusal(co_signed(body(), {"d": bytes([4]) * 32})).code is Code.PRICING_SIGNATURE


def test_a_wrong_signature_of_a_pinned_key_refuses() -> None:
    """Even where enough others are right: somebody changed something."""
    raw = co_signed(body(), {"b": SEED_C, "c": SEED_C})
    assert refusal(raw).code is Code.PRICING_SIGNATURE
    assert refusal(co_signed(body(), {"b": SEED_B, "c": SEED_C}, SEED_B)).code is Code.PRICING_SIGNATURE


@pytest.mark.parametrize("members", [[], "x", {"b": "AAAA"}, {"b": 1}, {"a/b": "A" * 86 + "=="}])
def test_co_signatures_of_another_form(members: Any) -> None:
    """An object of key ids and base64."""
    own = encode_base64(
        SigningKey(SEED).sign(b"spendguard-pricing-v2\n" + signed_prices.plain(body())).signature
    )
    raw = signed_prices.plain(body() | {"co_signatures": members, "signature": own})
    assert refusal(raw, trust_of(PINNED, threshold=1)).code is Code.PRICING_SIGNATURE


def test_too_many_co_signatures() -> None:
    """Nobody makes us verify thousands."""
    raw = co_signed(body(), {f"k{n}": SEED for n in range(17)})
    assert refusal(raw, trust_of(PINNED, threshold=1)).code is Code.PRICING_SIGNATURE


def test_a_key_without_an_id() -> None:
    """As a setting pins one: it signs under any id that no other pinned key has."""
    bare = PinnedKey("", PINNED.public_key)
    found = check(document(), trust_of(bare, threshold=1))
    assert found.key_id == bare.name == "key-" + bare.name.removeprefix("key-")
    assert len(bare.name) == 20
    named = replace(PINNED, public_key=B.public_key)
    assert refusal(document(), trust_of(bare, named, threshold=1)).code is Code.PRICING_SIGNATURE


def test_names_are_those_of_keys_in_force() -> None:
    """The marks of a revoked key do not bind: it may have signed a number beyond all reach."""
    trust = trust_of(replace(PINNED, revoked=True), B)
    assert trust.names() == {"b"}
    assert trust.sha256() != trust_of(PINNED, B).sha256()


def test_unverified_checks_all_but_the_signature() -> None:
    """Form, times and rollback stay; who signed is not known, and not named."""
    forged = signed_prices.sign(body(), SEED_C)
    assert read_unverified(forged, now_ns=NOW_NS, high_water=None).key_id == "unverified"
    with pytest.raises(SpendGuardError) as refused:
        read_unverified(forged, now_ns=NOW_NS + 7 * signed_prices.DAY_NS, high_water=None)
    assert refused.value.code is Code.PRICING_EXPIRED
