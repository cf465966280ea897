"""The local source: makes its key once, signs when it must, and uses nothing that was not verified."""

from pathlib import Path

import pytest

import signed_prices
from local_home import FOLDER, KEY, TRUST, Home
from signed_prices import DAY_NS, NOW_NS
from spendguard_daemon import canonical
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing import trust
from spendguard_daemon.pricing.local import LocalPrices
from spendguard_daemon.pricing.trust import HighWater
from spendguard_daemon.system import SystemClock, SystemDisk, SystemRng


@pytest.fixture
def home() -> Home:
    return Home()


def refusal(prices: LocalPrices, mark: HighWater | None = None) -> SpendGuardError:
    with pytest.raises(SpendGuardError) as refused:
        prices.load(mark)
    return refused.value


def test_first_start(home: Home) -> None:
    """A key, its pin, and a document by its hash; no network, nothing asked."""
    book = home.start()
    assert (book.sequence, book.self_signed, book.issued_ns) == (1, True, NOW_NS)
    assert book.expires_ns == NOW_NS + 7 * DAY_NS
    assert book.card("openai", "gpt-4o-mini")
    assert home.disk.writes == [TRUST, KEY, FOLDER / f"{book.document_sha256}.json"]
    assert canonical.sha256_hex(home.disk.files[home.documents[0]]) == book.document_sha256
    (pinned,) = trust.read_trust(home.disk.files[TRUST].decode()).keys
    assert pinned.key_id == book.key_id


def test_a_second_start_uses_what_was_accepted(home: Home) -> None:
    """Not a byte is written."""
    first = home.start()
    home.clock.now_ns += 5 * DAY_NS
    home.disk.writes.clear()
    assert home.start().document_sha256 == first.document_sha256
    assert home.disk.writes == []
    assert home.rng.drawn == 1


def test_less_than_a_day_left(home: Home) -> None:
    """A new document with the next number; the old one stays for those who look back."""
    first = home.start()
    home.clock.now_ns += 6 * DAY_NS
    assert home.start().sequence == 1
    home.clock.now_ns += 1
    second = home.start()
    assert (second.sequence, second.key_id) == (2, first.key_id)
    assert len(home.documents) == 2


def test_long_asleep(home: Home) -> None:
    """An expired document is replaced at start."""
    home.start()
    home.clock.now_ns += 90 * DAY_NS
    book = home.start()
    assert book.sequence == 2
    assert book.issued_ns == home.clock.now_ns


def test_the_clock_was_set_back(home: Home) -> None:
    """The accepted document lies in the future now; a local one can simply be signed for today."""
    home.start()
    home.clock.now_ns -= 400 * DAY_NS
    book = home.start()
    assert (book.sequence, book.issued_ns) == (2, home.clock.now_ns)


def test_changed_overrides(home: Home) -> None:
    """Once per change, and signed like the rest."""
    home.start()
    mine = {"openai": {"mine": signed_prices.card()}}
    book = home.start(mine)
    assert (book.sequence, book.card("openai", "mine").limits.context_tokens) == (2, 1000)
    assert home.start(mine).sequence == 2
    assert home.start().sequence == 3


def test_bad_overrides_are_refused_and_nothing_moves(home: Home) -> None:
    """The daemon says which row; the files stay as they were."""
    home.start()
    before = dict(home.disk.files)
    error = refusal(home.prices({"openai": {"gpt-4o": {"input": 2.5}}}), home.mark)
    assert error.code is Code.PRICING_INVALID
    assert "openai" in error.detail
    error = refusal(home.prices({"openai": {"gpt-4o": signed_prices.card(reasoning="yes")}}), home.mark)
    assert "prices.overrides.openai.gpt-4o.reasoning" in error.detail
    assert home.disk.files == before


def test_a_tampered_document_is_not_used(home: Home) -> None:
    """Cheaper prices written into the stored file: it is verified in full when loaded."""
    first = home.start()
    (path,) = home.documents
    home.disk.files[path] = home.disk.files[path].replace(b'"output":600000', b'"output":600001')
    prices = home.prices()
    book = prices.load(home.mark)
    assert book.sequence == 2
    assert "signature verification failed" in prices.signed_because
    assert book.card("openai", "gpt-4o-mini") == first.card("openai", "gpt-4o-mini")


def test_another_document_under_the_accepted_name(home: Home) -> None:
    """Older, valid and signed by us, but not the one that the ledger names."""
    home.start()
    old = home.disk.files[home.documents[0]]
    home.start({"openai": {"mine": signed_prices.card()}})
    assert home.mark is not None
    home.disk.files[FOLDER / f"{home.mark.document_sha256}.json"] = old
    prices = home.prices()
    assert prices.load(home.mark).sequence == 3
    assert "older than one already accepted" in prices.signed_because


def test_the_accepted_document_is_lost(home: Home) -> None:
    """The number still rises."""
    home.start()
    home.disk.files.pop(home.documents[0])
    assert home.start().sequence == 2


def test_a_removed_key_is_made_anew_and_pinned_beside_the_others(home: Home) -> None:
    """Keys that the operator pinned stay."""
    first = home.start()
    home.disk.files.pop(KEY)
    second = home.start()
    assert second.key_id != first.key_id
    pins = trust.read_trust(home.disk.files[TRUST].decode())
    assert [pin.key_id for pin in pins.keys] == [first.key_id, second.key_id]


def test_removed_trust_is_pinned_again(home: Home) -> None:
    """The home's own key is what there is to trust."""
    first = home.start()
    home.disk.files.pop(TRUST)
    assert home.start().document_sha256 == first.document_sha256
    assert TRUST in home.disk.files


def test_a_revoked_local_key_is_not_replaced_behind_the_operator_s_back(home: Home) -> None:
    """Whoever edits trust.toml means it."""
    home.start()
    text = home.disk.files[TRUST].decode()
    home.disk.files[TRUST] = text.replace("revoked = false", "revoked = true").encode()
    error = refusal(home.prices(), home.mark)
    assert error.code is Code.PRICING_SIGNATURE
    assert "revoked" in error.detail


@pytest.mark.parametrize("text", [b"key = 1\n", b"\xff\xfe", b""])
def test_broken_trust_is_refused(home: Home, text: bytes) -> None:
    """Not repaired, not ignored."""
    home.start()
    home.disk.files[TRUST] = text
    assert refusal(home.prices(), home.mark).code is Code.PRICING_SIGNATURE
    assert home.disk.files[TRUST] == text


@pytest.mark.parametrize("call", ["read", "replace"])
def test_a_failing_disk_is_a_typed_error(home: Home, call: str) -> None:
    """It names the file and the system's reason."""
    home.disk.broken.add(call)
    error = refusal(home.prices())
    assert error.code is Code.PRICING_UNAVAILABLE
    assert "Permission denied" in error.detail or "No space left" in error.detail


@pytest.mark.parametrize("writes", [1, 2])
def test_a_crash_while_making_the_key(home: Home, writes: int) -> None:
    """After any of the first writes, the next start gets through."""
    home.start()
    keep = {TRUST, KEY} if writes == 2 else {TRUST}
    home.disk.files = {path: data for path, data in home.disk.files.items() if path in keep}
    home.mark = None
    assert home.start().sequence == 1


def test_on_a_real_disk(tmp_path: Path) -> None:
    """The key and the documents are for the owner alone, and a second start finds them."""
    folder, trust_path = tmp_path / "pricing", tmp_path / "trust.toml"
    first = LocalPrices(folder, trust_path, disk=SystemDisk(), clock=SystemClock(), rng=SystemRng()).load(
        None
    )
    files = [trust_path, folder / "authority.key", folder / f"{first.document_sha256}.json"]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    again = LocalPrices(folder, trust_path, disk=SystemDisk(), clock=SystemClock(), rng=SystemRng())
    mark = HighWater(first.sequence, first.document_sha256)
    assert again.load(mark).document_sha256 == first.document_sha256
    assert again.signed_because == ""


class TestUse:
    def test_nothing_is_priced_before_a_book_was_loaded(self, home: Home) -> None:
        """No default prices, ever."""
        with pytest.raises(SpendGuardError) as refused:
            home.prices().current(NOW_NS)
        assert refused.value.code is Code.PRICING_UNAVAILABLE

    def test_expiry_is_checked_at_each_use(self, home: Home) -> None:
        """A daemon that was never restarted stops, too."""
        prices = home.prices()
        book = prices.load(None)
        assert prices.current(book.expires_ns + 30 * 10**9) is book
        with pytest.raises(SpendGuardError) as refused:
            prices.current(book.expires_ns + 30 * 10**9 + 1)
        assert refused.value.code is Code.PRICING_EXPIRED

    def test_a_refreshed_book_waits_until_it_is_adopted(self, home: Home) -> None:
        """Between the two its acceptance is made durable."""
        prices = home.prices()
        first = prices.load(None)
        mark = HighWater(first.sequence, first.document_sha256)
        assert prices.refresh(mark) is None
        home.clock.now_ns += 6 * DAY_NS + 1
        second = prices.refresh(mark)
        assert second is not None
        assert second.sequence == 2
        assert prices.current(home.clock.now_ns) is first
        prices.adopt(second)
        assert prices.current(home.clock.now_ns) is second

    def test_a_failed_refresh_leaves_the_book_in_use(self, home: Home) -> None:
        """It is good until it expires."""
        prices = home.prices()
        first = prices.load(None)
        home.clock.now_ns += 6 * DAY_NS + 1
        home.disk.broken.add("replace")
        with pytest.raises(SpendGuardError):
            prices.refresh(HighWater(first.sequence, first.document_sha256))
        assert prices.current(home.clock.now_ns) is first
