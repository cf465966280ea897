"""The remote source: what each answer changes, with the network played; real sockets are for others."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from nacl.signing import SigningKey

import schema1_prices
import signed_prices
from local_home import FOLDER, TRUST
from remote_home import NOT_MODIFIED, STATE, URL, FixedRng, RemoteHome, answer
from signed_prices import DAY_NS, NOW_NS, PINNED, document
from spendguard_daemon import canonical
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing import trust
from spendguard_daemon.pricing.answers import Answer, failed
from spendguard_daemon.pricing.trust import HighWater, PinnedKey

SECOND_NS = 10**9
GOOD = document()
NEWER = document(sequence=8)
SEED_B = bytes([2]) * 32
B = PinnedKey("b", bytes(SigningKey(SEED_B).verify_key))


def of_b(sequence: int) -> bytes:
    return signed_prices.sign(signed_prices.body(key_id="b", sequence=sequence), SEED_B)


def looked(home: RemoteHome, *answers: Answer | Exception) -> Any:
    return asyncio.run(home.look(*answers))


def refusal(home: RemoteHome, *answers: Answer | Exception) -> SpendGuardError:
    """Return why a look brought nothing; it changed no file."""
    before = dict(home.files)
    with pytest.raises(SpendGuardError) as refused:
        looked(home, *answers)
    assert home.files == before
    return refused.value


@pytest.fixture
def home() -> RemoteHome:
    return RemoteHome()


class TestFirstDocument:
    def test_kept_as_received(self, home: RemoteHome) -> None:
        """Under its hash, and beside it whose it is."""
        book = looked(home, answer(GOOD, etag='"a"'))
        assert (book.self_signed, book.verified, book.key_id) == (False, True, "test-key")
        assert home.prices.current(NOW_NS) is book
        sha256 = canonical.sha256_hex(GOOD)
        assert home.files[FOLDER / f"{sha256}.json"] == GOOD
        state = json.loads(home.files[STATE])
        assert (state["url"], state["etag"], state["document_sha256"]) == (URL, '"a"', sha256)
        assert home.server.asked == [(URL, "")]

    def test_nothing_before_it(self, home: RemoteHome) -> None:
        """No document, no call; and none on disk."""
        for ask in (home.prices.load, home.prices.refresh, home.prices.current):
            with pytest.raises(SpendGuardError) as refused:
                ask(0 if ask == home.prices.current else None)  # type: ignore[arg-type]
            assert refused.value.code is Code.PRICING_UNAVAILABLE

    def test_304_to_a_question_without_a_tag(self, home: RemoteHome) -> None:
        """Asked once more, and then it is an error."""
        assert looked(home, NOT_MODIFIED, answer(GOOD)).sequence == 7
        assert home.server.asked == [(URL, ""), (URL, "")]
        other = RemoteHome()
        refused = refusal(other, NOT_MODIFIED, NOT_MODIFIED)
        assert refused.code is Code.PRICING_UNAVAILABLE
        assert "304" in refused.detail

    def test_no_address(self, home: RemoteHome) -> None:
        """Remote without a URL: nobody is asked, and the refusal says what to set."""
        home.prices = home.source(url="")
        assert "CAP_PRICING_URL" in refusal(home).detail


class TestAnswers:
    @pytest.mark.parametrize(
        "said",
        [
            answer(GOOD, status=301, location="http://127.0.0.1/"),
            answer(GOOD, status=302, location="http://169.254.169.254/"),
            answer(GOOD, status=307, location="https://other.example/"),
            answer(GOOD, status=206),
            answer(GOOD, status=404),
            answer(GOOD, status=500),
            answer(GOOD, content_encoding="gzip"),
            answer(GOOD, content_encoding="identity"),
            answer(GOOD, x_padding="x" * 70_000),
            answer(GOOD, content_length="4194305"),
            answer(GOOD, content_length="9" * 5000),
            failed("the connection was refused or reset"),
        ],
    )
    def test_what_is_no_document(self, home: RemoteHome, said: Answer | Exception) -> None:
        """Redirects are not followed, encodings not undone, sizes not believed."""
        refused = refusal(home, said)
        assert refused.code is Code.PRICING_UNAVAILABLE
        assert refused.detail.startswith("Remote pricing request failed: ")
        looked(home, answer(GOOD))
        assert refusal(home, said).code is Code.PRICING_UNAVAILABLE
        assert home.prices.current(NOW_NS).sequence == 7

    @pytest.mark.parametrize(
        ("raw", "code"),
        [
            (GOOD[:-1], Code.PRICING_INVALID),
            (of_b(9), Code.PRICING_SIGNATURE),
            (document(sequence=6), Code.PRICING_ROLLBACK),
            (document(expires_at="2026-11-28T12:00:00Z"), Code.PRICING_ROLLBACK),
            (document(sequence=9, issued_at="2026-11-24T12:00:00Z"), Code.PRICING_EXPIRED),
            (document(sequence=9, expires_at="2099-01-01T00:00:00Z"), Code.PRICING_INVALID),
        ],
    )
    def test_a_document_that_is_refused(self, home: RemoteHome, raw: bytes, code: Code) -> None:
        """The one in use stays in use, its tag too: that of the refused body is forgotten."""
        looked(home, answer(GOOD, etag='"good"'))
        assert refusal(home, answer(raw, etag='"bad"')).code is code
        assert home.prices.current(NOW_NS).sequence == 7
        assert looked(home, NOT_MODIFIED) is None
        assert home.server.asked[-1] == (URL, '"good"')

    def test_a_newer_document(self, home: RemoteHome) -> None:
        """It replaces the one before, which stays in the archive."""
        looked(home, answer(GOOD))
        assert looked(home, answer(NEWER)).sequence == 8
        assert looked(home, answer(NEWER)) is None
        assert FOLDER / f"{canonical.sha256_hex(GOOD)}.json" in home.files

    @pytest.mark.parametrize("etag", ["", "x" * 300, '"\u00e9"', '"a\rb"'])
    def test_a_tag_that_cannot_be_sent_back(self, home: RemoteHome, etag: str) -> None:
        """Too long, or not of printable ASCII: asked without."""
        looked(home, answer(GOOD, etag=etag))
        looked(home, answer(GOOD))
        assert home.server.asked[-1] == (URL, "")

    def test_schema_1_is_taken_unless_the_other_is_asked_for(self, home: RemoteHome) -> None:
        """CAP_PRICING_SCHEMA_VERSION."""
        raw = schema1_prices.document()
        home.prices = home.source(schemas=frozenset({2}))
        assert refusal(home, answer(raw)).code is Code.PRICING_INVALID
        home.prices = home.source(schemas=frozenset({1}))
        assert refusal(home, answer(GOOD)).code is Code.PRICING_INVALID
        assert looked(home, answer(raw)).document.schema == 1

    def test_the_disk_is_full(self, home: RemoteHome) -> None:
        """What cannot be kept is not used: after a restart there would be none."""
        home.disk.broken.add("replace")
        assert refusal(home, answer(GOOD)).code is Code.PRICING_UNAVAILABLE
        with pytest.raises(SpendGuardError):
            home.prices.current(NOW_NS)


class TestTime:
    EXPIRES_NS = NOW_NS + 6 * DAY_NS

    def test_expiry_at_each_use(self, home: RemoteHome) -> None:
        """With the skew that is set."""
        home.prices = home.source(skew_ns=5 * SECOND_NS)
        looked(home, answer(GOOD))
        home.prices.current(self.EXPIRES_NS + 5 * SECOND_NS)
        with pytest.raises(SpendGuardError) as refused:
            home.prices.current(self.EXPIRES_NS + 5 * SECOND_NS + 1)
        assert refused.value.code is Code.PRICING_EXPIRED

    def test_endless_304(self, home: RemoteHome) -> None:
        """Not modified is good for as long as the document is; then it is asked for whole."""
        looked(home, answer(GOOD, etag='"a"'))
        home.clock.now_ns = self.EXPIRES_NS
        assert looked(home, NOT_MODIFIED) is None
        home.clock.now_ns += 31 * SECOND_NS
        assert refusal(home, NOT_MODIFIED).code is Code.PRICING_EXPIRED
        assert refusal(home, NOT_MODIFIED).code is Code.PRICING_EXPIRED
        assert [etag for _, etag in home.server.asked[-2:]] == ['"a"', ""]

    @pytest.mark.parametrize(
        ("refresh_seconds", "life", "seconds"),
        [(300, 6 * 86_400, 300), (60, 6 * 86_400, 60), (300, 300, 100), (300, 30, 10)],
    )
    def test_how_often_it_asks(self, refresh_seconds: int, life: int, seconds: int) -> None:
        """A third of the document's time, five minutes, or what is set: the least of them."""
        home = RemoteHome(refresh_seconds=refresh_seconds)
        assert home.prices.wait_seconds(NOW_NS, 0) == 0
        expires_at = trust.wire_json.format_time(NOW_NS + life * SECOND_NS)
        looked(home, answer(document(expires_at=expires_at)))
        assert home.prices.wait_seconds(NOW_NS, 0) == pytest.approx(seconds)
        home.rng.byte = 255
        assert home.prices.wait_seconds(NOW_NS, 0) == pytest.approx(seconds * 7 / 8)

    def test_late_in_its_life_it_asks_sooner(self, home: RemoteHome) -> None:
        """Half of what is left, so that one lost answer does no harm."""
        looked(home, answer(GOOD))
        assert home.prices.wait_seconds(self.EXPIRES_NS - 100 * SECOND_NS, 0) == 50
        assert home.prices.wait_seconds(self.EXPIRES_NS + DAY_NS, 0) == 1

    def test_after_failures(self, home: RemoteHome) -> None:
        """Soon, then less and less often, never less than usual."""
        refusal(home, answer(status=500))
        assert [home.prices.wait_seconds(NOW_NS, n) for n in (1, 2, 3, 8, 9, 500)] == [
            2,
            4,
            8,
            256,
            300,
            300,
        ]


class TestKeys:
    def test_rotation_without_a_restart(self, home: RemoteHome) -> None:
        """Old key, both, new key, old one revoked; the numbers go on rising over all of them."""
        looked(home, answer(GOOD, etag='"a"'))
        home.pin(PINNED, B)
        assert looked(home, answer(of_b(8))).key_id == "b"
        assert home.server.asked[-1] == (URL, "")  # the tag was for the keys of before
        home.pin(replace(PINNED, revoked=True), B)
        assert home.prices.counts(home.prices.mark_source, "b")
        assert not home.prices.counts(home.prices.mark_source, "test-key")
        assert looked(home, answer(of_b(8))) is None
        assert home.prices.current(NOW_NS).key_id == "b"
        assert home.prices.key_ids() == ("b",)

    def test_a_revoked_key_ends_its_document(self, home: RemoteHome) -> None:
        """At the next look, whether or not anybody answers."""
        looked(home, answer(GOOD, etag='"a"'))
        home.pin(replace(PINNED, revoked=True))
        refused = refusal(home, failed("the connection was refused or reset"))
        assert refused.code is Code.PRICING_UNAVAILABLE
        with pytest.raises(SpendGuardError) as unpriced:
            home.prices.current(NOW_NS)
        assert unpriced.value.code is Code.PRICING_UNAVAILABLE
        assert "revoked" in unpriced.value.detail
        assert refusal(home, answer(GOOD)).code is Code.PRICING_SIGNATURE
        assert home.server.asked[-1] == (URL, "")

    def test_trust_that_cannot_be_read(self, home: RemoteHome) -> None:
        """Half understood trust is none, and nobody is asked for more."""
        looked(home, answer(GOOD))
        home.disk.files[TRUST] = b"not toml"
        assert refusal(home).code is Code.PRICING_SIGNATURE
        with pytest.raises(SpendGuardError):
            home.prices.current(NOW_NS)
        home.pin(PINNED)
        assert looked(home, answer(GOOD)) is not None

    def test_no_trust_at_all(self, home: RemoteHome) -> None:
        """Without trust.toml and without a key in the settings nobody may set prices."""
        del home.disk.files[TRUST]
        assert refusal(home, answer(GOOD)).code is Code.PRICING_SIGNATURE

    def test_one_key_in_place_of_the_file(self, home: RemoteHome) -> None:
        """CAP_PRICING_SIGNING_PUBLIC_KEY; one that is none is refused."""
        home.disk.files[TRUST] = b"not toml"
        home.prices = home.source(public_key=trust.encode_base64(PINNED.public_key))
        book = looked(home, answer(GOOD))
        assert home.prices.key_ids() == (book.key_id,)
        home.prices = home.source(public_key="AAAA")
        assert refusal(home).code is Code.PRICING_SIGNATURE


class TestRestart:
    def test_the_kept_document_is_verified_in_full(self, home: RemoteHome) -> None:
        """And its tag is used again."""
        looked(home, answer(GOOD, etag='"a"'))
        assert home.restart().sequence == 7
        assert looked(home, NOT_MODIFIED) is None
        assert home.server.asked[-1] == (URL, '"a"')

    def test_a_kept_document_under_other_keys(self, home: RemoteHome) -> None:
        """It is judged by the keys of today, and its tag is not used."""
        looked(home, answer(GOOD, etag='"a"'))
        home.pin(PINNED, B)
        assert home.restart().sequence == 7
        looked(home, answer(GOOD))
        assert home.server.asked[-1] == (URL, "")
        home.pin(B)
        with pytest.raises(SpendGuardError) as refused:
            home.restart()
        assert refused.value.code is Code.PRICING_SIGNATURE

    def test_another_address(self, home: RemoteHome) -> None:
        """What one server said is nothing to another."""
        looked(home, answer(GOOD, etag='"a"'))
        with pytest.raises(SpendGuardError) as refused:
            home.restart(url="https://other.example/")
        assert refused.value.code is Code.PRICING_UNAVAILABLE

    @pytest.mark.parametrize("state", [b"", b"[]", b"{", b"[" * 100_000, b'{"url": 1}', b"\xff"])
    def test_state_that_is_none(self, home: RemoteHome, state: bytes) -> None:
        """One typed error, and the document is asked for again."""
        looked(home, answer(GOOD, etag='"a"'))
        home.disk.files[STATE] = state
        with pytest.raises(SpendGuardError) as refused:
            home.restart()
        assert refused.value.code is Code.PRICING_UNAVAILABLE
        assert looked(home, answer(GOOD)) is not None
        assert home.server.asked[-1] == (URL, "")

    def test_a_tampered_file(self, home: RemoteHome) -> None:
        """Also where it is another document that was signed once."""
        looked(home, answer(GOOD))
        path = FOLDER / f"{canonical.sha256_hex(GOOD)}.json"
        for raw in (NEWER, GOOD.replace(b"5000000", b"1000000"), b""):
            home.disk.files[path] = raw
            with pytest.raises(SpendGuardError) as refused:
                home.restart()
            assert refused.value.code is Code.PRICING_INVALID
        del home.disk.files[path]
        with pytest.raises(SpendGuardError) as refused:
            home.restart()
        assert refused.value.code is Code.PRICING_UNAVAILABLE

    def test_a_name_that_leads_elsewhere(self, home: RemoteHome) -> None:
        """The hash in the state is a hash, and no path."""
        looked(home, answer(GOOD))
        state = json.loads(home.disk.files[STATE])
        home.disk.files[STATE] = json.dumps(state | {"document_sha256": "../trust"}).encode()
        with pytest.raises(SpendGuardError) as refused:
            home.restart()
        assert refused.value.code is Code.PRICING_UNAVAILABLE

    def test_an_older_document_put_back(self, home: RemoteHome) -> None:
        """With its state file, as a backup would: the mark in the ledger knows better."""
        looked(home, answer(GOOD))
        before = dict(home.disk.files)
        looked(home, answer(NEWER))
        home.disk.files.update(before)
        with pytest.raises(SpendGuardError) as refused:
            home.restart()
        assert refused.value.code is Code.PRICING_ROLLBACK


class TestUnverified:
    def test_whoever_answers_sets_the_prices(self) -> None:
        """Under a name of its own, so that no mark of a real key is touched."""
        home = RemoteHome(verifies=False)
        home.disk.files[TRUST] = b"not toml"
        book = looked(home, answer(of_b(2**53 - 1)))
        assert (book.verified, book.key_id) == (False, "unverified")
        assert home.prices.mark_source == "insecure"
        assert home.prices.counts("insecure", "unverified")
        assert home.prices.key_ids() == ()

    def test_what_it_kept_is_nothing_to_one_that_verifies(self) -> None:
        """Switched on again, the file is judged like any other."""
        home = RemoteHome(verifies=False)
        looked(home, answer(of_b(8)))
        home.mark = None
        with pytest.raises(SpendGuardError) as refused:
            home.restart(verifies=True)
        assert refused.value.code is Code.PRICING_SIGNATURE


def test_the_mark_of_a_restart_holds(home: RemoteHome) -> None:
    """Equal sequence with another hash is refused, whatever came before."""
    home.mark = HighWater(7, "0" * 64)
    assert refusal(home, answer(GOOD)).code is Code.PRICING_ROLLBACK


def test_chance_is_drawn_from_the_port() -> None:
    """The jitter of two daemons differs."""
    home = RemoteHome()
    looked(home, answer(GOOD))
    waits = set()
    for byte in range(0, 256, 17):
        home.rng = FixedRng(byte)
        source = home.source()
        source._asked = True
        waits.add(source.wait_seconds(NOW_NS, 0))
    assert len(waits) == 16
    assert min(waits) >= 300 * 7 / 8
