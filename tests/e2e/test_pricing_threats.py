"""Strict mode against price servers that lie, dawdle and flood: real sockets, a real daemon.

Whatever they send ends in one typed error that every surface shows; no file of prices or trust moves, and no
call goes to the provider unless a verified, unexpired document prices it.
"""

import base64
import gzip
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import hostile_prices as hostile
from hostile_prices import Behaviour, HostilePrices
from price_vector import OTHER_SEED, PIN
from recorded import RecordedUpstream
from shell import Quick
from sidecar import DAEMON, KEPT
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.settings import load
from strict import Strict, Surfaces, code_of, priced_1, priced_2, sha256_of, snapshot

UNAVAILABLE, INVALID = Code.PRICING_UNAVAILABLE, Code.PRICING_INVALID
UNSIGNED, EXPIRED, ROLLBACK = Code.PRICING_SIGNATURE, Code.PRICING_EXPIRED, Code.PRICING_ROLLBACK
MIB = 2**20


@dataclass(frozen=True)
class Scene:
    """A daemon that never saw a good document, its price server, and whoever must not hear of any of it."""

    server: HostilePrices
    elsewhere: HostilePrices
    upstream: RecordedUpstream
    sidecar: Strict
    agent_id: str


@pytest.fixture(scope="module")
def cold(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One daemon for all threats of a cold start: after each it is as cold as before."""
    home = tmp_path_factory.mktemp("cold") / "home"
    with (
        HostilePrices() as server,
        HostilePrices(hostile.body(priced_1())) as elsewhere,
        RecordedUpstream() as upstream,
        Strict(home, server.url, upstream.base_url) as sidecar,
    ):
        yield Scene(server, elsewhere, upstream, sidecar, sidecar.agent())


def flipped(document: bytes) -> bytes:
    """Return a document with one price changed after it was signed."""
    return document.replace(b'"output_cents_per_1m":60', b'"output_cents_per_1m":1')


def ago(**time: int) -> datetime:
    """Return a moment of the past."""
    return datetime.now(UTC) - timedelta(**time)


Threat = tuple[Callable[[Scene], Behaviour], Code]

THREATS: dict[str, Threat] = {
    "304 first": (lambda _: hostile.not_modified(), UNAVAILABLE),
    "304 first, with an ETag": (lambda _: hostile.not_modified('"a"'), UNAVAILABLE),
    "endless body": (lambda _: hostile.endless(), UNAVAILABLE),
    "a body of 1 GB": (lambda _: hostile.endless(n_bytes=2**30), UNAVAILABLE),
    "a byte a second": (lambda _: hostile.slow(priced_1()), UNAVAILABLE),
    "silence": (lambda _: hostile.silent(), UNAVAILABLE),
    "65 kB of headers": (lambda _: hostile.many_headers(65_536, priced_1()), UNAVAILABLE),
    "a header of 65 kB": (lambda _: hostile.long_header(65_536, priced_1()), UNAVAILABLE),
    "gzip": (lambda _: hostile.compressed(priced_1()), UNAVAILABLE),
    "gzip, said otherwise": (lambda _: hostile.compressed(priced_1(), "x-gzip"), UNAVAILABLE),
    "an encoding nobody knows": (lambda _: hostile.body(priced_1(), content_encoding="zz"), UNAVAILABLE),
    "gzip bomb": (lambda _: hostile.bomb(), UNAVAILABLE),
    "gzip that says nothing": (lambda _: hostile.body(gzipped()), INVALID),
    "500": (lambda _: hostile.status(500, priced_1()), UNAVAILABLE),
    "404": (lambda _: hostile.status(404, priced_1()), UNAVAILABLE),
    "201": (lambda _: hostile.status(201, priced_1()), UNAVAILABLE),
    "206": (lambda _: hostile.status(206, priced_1()), UNAVAILABLE),
    "204": (lambda _: hostile.raw(hostile.head(204)), UNAVAILABLE),
    "empty body": (lambda _: hostile.body(b""), INVALID),
    "reset": (lambda _: hostile.reset(), UNAVAILABLE),
    "reset amid the body": (lambda _: hostile.reset(hostile.head(200, n_bytes=999) + b"{"), UNAVAILABLE),
    "half a body": (lambda _: hostile.cut(priced_1()), UNAVAILABLE),
    "no HTTP": (lambda _: hostile.raw(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), UNAVAILABLE),
    "nothing": (lambda _: hostile.raw(b""), UNAVAILABLE),
    "no JSON": (lambda _: hostile.body(b"<html>sign in here</html>"), INVALID),
    "JSON, no document": (lambda _: hostile.body(b"{}"), INVALID),
    "BOM": (lambda _: hostile.body(b"\xef\xbb\xbf" + priced_1()), INVALID),
    "trailing bytes": (lambda _: hostile.body(priced_1() + b"{}"), INVALID),
    "nesting": (lambda _: hostile.body(b"[" * MIB), INVALID),
    "a price changed": (lambda _: hostile.body(flipped(priced_1())), UNSIGNED),
    "another signer": (lambda _: hostile.body(priced_1(seed=OTHER_SEED)), UNSIGNED),
    "another signer, schema 2": (lambda _: hostile.body(priced_2(7, seed=OTHER_SEED)), UNSIGNED),
    "a bad row": (lambda _: hostile.body(priced_1(output_cents=-1)), INVALID),
    "expired": (lambda _: hostile.body(priced_1(made=ago(seconds=400))), EXPIRED),
    "from the future": (lambda _: hostile.body(priced_1(made=ago(minutes=-6))), EXPIRED),
    "for eight days": (lambda _: hostile.body(priced_1(seconds=8 * 86_400)), INVALID),
    **{
        f"{code} to {name}": (lambda scene, code=code, to=to: hostile.redirect(to(scene), code), UNAVAILABLE)
        for code, name, to in (
            (301, "another port", lambda scene: scene.elsewhere.url),
            (302, "http", lambda scene: scene.elsewhere.url),
            (302, "the metadata address", lambda _: "http://169.254.169.254/latest/meta-data/"),
            (302, "a file", lambda _: "file:///etc/passwd"),
            (303, "another port", lambda scene: scene.elsewhere.url),
            (307, "itself", lambda scene: scene.server.url),
            (308, "another port", lambda scene: scene.elsewhere.url),
            (302, "nowhere", lambda _: ""),
        )
    },
}


def gzipped() -> bytes:
    """Return a document in gzip, whose head will not say so."""
    return gzip.compress(priced_1())


@pytest.mark.parametrize("name", THREATS)
def test_on_a_cold_start_each_threat_is_one_typed_error_and_no_call(cold: Scene, name: str) -> None:
    """The same code on /ready, at GET /v1/pricing, in the 503 of a call and at `up`; nothing else moved."""
    behave, code = THREATS[name]
    cold.server.behave = behave(cold)
    before, asked = snapshot(cold.sidecar.home.root), len(cold.server.asked)
    answer = cold.sidecar.refresh()
    assert (answer.status_code, answer.json()["spendguard"]["code"]) == (TABLE[code].status, code)
    assert 1 <= len(cold.server.asked) - asked <= 2, "asked once, or again after a 304: nothing was followed"
    assert cold.server.written < 64 * MIB, "the flood was cut off"
    assert cold.sidecar.surfaces(cold.agent_id) == Surfaces(ready=code, pricing=code, call=code)
    up = Quick(cold.sidecar.home.root).run("up")
    assert up.code == 8
    assert code_of(cold.sidecar.http.get("/ready").json()["reasons"][0]) is code
    assert cold.sidecar.http.get("/ready").json()["reasons"][0] in up.out + up.err
    assert snapshot(cold.sidecar.home.root) == before
    assert cold.elsewhere.asked == []
    assert cold.upstream.arrived == 0
    assert cold.sidecar.http.get("/health").text == '{"status":"ok"}'


def test_what_a_fetch_says_of_itself(cold: Scene) -> None:
    """It asks for no encoding, names no key of ours, and on a cold start has no ETag to offer."""
    cold.server.behave = hostile.status(500)
    cold.sidecar.refresh()
    headers = cold.server.asked[-1].headers
    assert headers["accept-encoding"] == "identity"
    assert not {"authorization", "cookie", "x-api-key", "if-none-match"} & set(headers)


BAD_URLS = (
    "file:///etc/passwd",
    "ftp://127.0.0.1/pricing",
    "http://prices.example/v1",
    "http://169.254.169.254/latest/meta-data/",
    "http://0.0.0.0/pricing",
    "http://127.0.0.1.prices.example/",
    "http://127.0.0.1@prices.example/",
    "http://user:secret@127.0.0.1/",
    "https://user:secret@prices.example/",
    "//127.0.0.1/pricing",
    "prices",
)
"""What is neither https nor plain http to this machine, or tells a secret to whoever reads the log."""


@pytest.mark.parametrize("url", BAD_URLS)
def test_other_urls_are_refused_by_the_settings(url: str) -> None:
    """Wherever they are written; the refusal names the setting, and no password."""
    for text, env in ((f'[prices]\nurl = "{url}"', {}), ("", {"CAP_PRICING_URL": url})):
        with pytest.raises(SpendGuardError) as refused:
            load(text, env)
        assert refused.value.code is Code.USAGE
        assert "CAP_PRICING_URL" in refused.value.detail or "[prices] url" in refused.value.detail
        assert "secret" not in refused.value.detail


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://169.254.169.254/latest/meta-data/"])
def test_no_daemon_starts_with_another_url(tmp_path: Path, url: str) -> None:
    """It says why, and asks nobody."""
    env = {name: value for name, value in os.environ.items() if name in KEPT}
    env |= {"SPENDGUARD_HOME": str(tmp_path / "home"), "CAP_PRICING_SOURCE": "remote", "CAP_PRICING_URL": url}
    done = subprocess.run([*DAEMON, "--port", "0"], env=env, capture_output=True, timeout=60, check=False)
    said = json.loads(done.stderr.splitlines()[-1])
    assert (done.returncode, said["code"]) == (2, "usage")


# -- once there was a good document -------------------------------------------------------------------------


@pytest.fixture
def warm(tmp_path: Path) -> Iterator[Scene]:
    """A daemon that has accepted sequence 5, and whose clock can be set."""
    (tmp_path / "clock").write_text("0")
    home = tmp_path / "home"
    with (
        HostilePrices(hostile.body(priced_2(5), etag='"five"')) as server,
        HostilePrices() as elsewhere,
        RecordedUpstream() as upstream,
        Strict(home, server.url, upstream.base_url, clock=tmp_path / "clock") as sidecar,
    ):
        scene = Scene(server, elsewhere, upstream, sidecar, sidecar.agent())
        assert sidecar.surfaces(scene.agent_id) == Surfaces(None, None, None)
        yield scene


def set_clock(scene: Scene, seconds: int) -> None:
    """Set the daemon's clock off by so much."""
    (scene.sidecar.home.root.parent / "clock").write_text(str(seconds))


def in_force(scene: Scene) -> str:
    """Return the hash of the document that prices calls."""
    told: str = scene.sidecar.pricing()["document_sha256"]
    return told


def test_prices_do_not_live_for_ever_on_304(warm: Scene) -> None:
    """The server says for ever that nothing changed; the document's time is over all the same."""
    warm.server.behave = hostile.not_modified('"five"')
    assert warm.sidecar.refresh().status_code == 200
    assert warm.server.asked[-1].headers["if-none-match"] == '"five"'
    before, forwarded = snapshot(warm.sidecar.home.root), warm.upstream.arrived
    set_clock(warm, 331)
    assert warm.sidecar.surfaces(warm.agent_id).call is EXPIRED
    assert warm.sidecar.refresh().json()["spendguard"]["code"] == EXPIRED
    surfaces = warm.sidecar.surfaces(warm.agent_id)
    assert surfaces == Surfaces(EXPIRED, EXPIRED, EXPIRED)
    assert Quick(warm.sidecar.home.root).run("up").code == 8
    assert (snapshot(warm.sidecar.home.root), warm.upstream.arrived) == (before, forwarded)


def test_a_clock_set_back_revives_nothing(warm: Scene) -> None:
    """Time that was seen once does not come again, also after a restart."""
    set_clock(warm, 331)
    assert warm.sidecar.surfaces(warm.agent_id).call is EXPIRED
    warm.sidecar.agent()  # something is written at that time
    set_clock(warm, -86_400)
    warm.server.behave = hostile.not_modified('"five"')
    assert warm.sidecar.surfaces(warm.agent_id).call is EXPIRED
    warm.sidecar.kill()
    warm.sidecar.start()
    assert warm.sidecar.surfaces(warm.agent_id).call is not None
    warm.server.behave = hostile.body(priced_2(5), etag='"five"')
    assert warm.sidecar.refresh().status_code == 503, "nor is the same number good for another time"


def test_the_etag_of_a_rejected_body_is_never_offered(warm: Scene) -> None:
    """Else a later 304 would be taken as proof of a body that nobody verified."""
    for bad in (priced_2(6, seed=OTHER_SEED), priced_2(6, output_micros=-1), priced_2(4)):
        warm.server.behave = hostile.body(bad, etag='"poison"')
        assert warm.sidecar.refresh().status_code == 503
        warm.server.behave = hostile.not_modified('"poison"')
        warm.sidecar.refresh()
    offered = {asked.headers.get("if-none-match") for asked in warm.server.asked}
    assert offered <= {None, '"five"'}
    warm.server.behave = hostile.body(priced_2(6), etag='"six"')
    assert warm.sidecar.refresh().status_code == 200
    assert warm.sidecar.pricing()["sequence"] == 6


def test_an_older_document_and_an_equal_one_are_refused_also_after_a_restart(warm: Scene) -> None:
    """The mark is in the ledger: neither kill -9 nor a lost cache brings an older price back."""
    good = in_force(warm)
    for bad in (priced_2(4), priced_2(5, output_micros=1)):
        warm.server.behave = hostile.body(bad)
        assert warm.sidecar.refresh().json()["spendguard"]["code"] == ROLLBACK
        assert warm.sidecar.surfaces(warm.agent_id) == Surfaces(None, ROLLBACK, None), "the good one goes on"
        before = snapshot(warm.sidecar.home.root)
        warm.sidecar.kill()
        warm.sidecar.start()
        assert in_force(warm) == good
        assert snapshot(warm.sidecar.home.root) == before
        assert warm.sidecar.call_of(warm.sidecar.call(warm.agent_id))["document_sha256"] == good
    warm.sidecar.kill()
    (warm.sidecar.home.pricing / f"{good}.json").unlink()
    warm.sidecar.start()
    assert warm.sidecar.surfaces(warm.agent_id) == Surfaces(ROLLBACK, ROLLBACK, ROLLBACK)


@pytest.mark.parametrize("restart", [False, True])
def test_the_last_good_document_is_enough_until_it_expires(warm: Scene, restart: bool) -> None:
    """A server that is down costs nobody a call, at a start neither."""
    good = in_force(warm)
    warm.server.behave = hostile.status(500)
    if restart:
        warm.sidecar.kill()
        warm.sidecar.start()
    assert warm.sidecar.refresh().status_code == 503
    assert warm.sidecar.surfaces(warm.agent_id) == Surfaces(None, UNAVAILABLE, None)
    assert in_force(warm) == good


@pytest.mark.parametrize("tamper", ["a price", "cut", "empty", "another document"])
def test_a_tampered_cache_is_no_document(warm: Scene, tamper: str) -> None:
    """What lies on the disk is verified in full, as if it had just come; and it is left as it is found."""
    path = warm.sidecar.home.pricing / f"{in_force(warm)}.json"
    warm.sidecar.kill()
    raw = path.read_bytes()
    changed = {
        "a price": raw.replace(b'"output":600000', b'"output":600001'),
        "cut": raw[:-1],
        "empty": b"",
        "another document": priced_2(9, seed=OTHER_SEED),
    }[tamper]
    assert changed != raw
    path.write_bytes(changed)
    warm.server.behave = hostile.status(500)
    before, forwarded = snapshot(warm.sidecar.home.root), warm.upstream.arrived
    warm.sidecar.start()
    surfaces = warm.sidecar.surfaces(warm.agent_id)
    assert surfaces.call is not None
    assert surfaces.ready is surfaces.call
    assert (snapshot(warm.sidecar.home.root), warm.upstream.arrived) == (before, forwarded)
    warm.server.behave = hostile.not_modified('"five"')
    assert warm.sidecar.refresh().status_code == 503, "304 is no proof of a file that is not what it was"
    warm.server.behave = hostile.body(priced_2(6))
    assert warm.sidecar.refresh().status_code == 200
    assert warm.sidecar.surfaces(warm.agent_id) == Surfaces(None, None, None)


def test_another_key_makes_the_cache_and_its_etag_worthless(warm: Scene) -> None:
    """What was verified under other keys was not verified."""
    warm.sidecar.kill()
    other = base64.b64encode(bytes(reversed(PIN.public_key))).decode()
    warm.sidecar._env["CAP_PRICING_SIGNING_PUBLIC_KEY"] = other
    warm.server.behave = hostile.not_modified('"five"')
    asked = len(warm.server.asked)
    warm.sidecar.start()
    assert warm.sidecar.surfaces(warm.agent_id).call is not None
    assert all("if-none-match" not in one.headers for one in warm.server.asked[asked:])


def test_files_of_prices_are_for_their_owner_only(warm: Scene) -> None:
    """0600, and named by their hash."""
    document = warm.sidecar.home.pricing / f"{in_force(warm)}.json"
    assert sha256_of(document.read_bytes()) == in_force(warm)
    for path in warm.sidecar.home.pricing.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path
