"""`pricing serve`: a real price server in a process of its own, asked over real sockets."""

import http.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from price_server import CONTENT, Server
from signed_prices import card
from sim import SimClock, SimRng
from spendguard_cli.pricing import serving, signing
from spendguard_cli.pricing.recipes import Recipe
from spendguard_cli.pricing.serving import PriceServer, address
from spendguard_cli.pricing.shelf import Shelf
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing.authority import Authority
from spendguard_daemon.pricing.wire_json import dumps, loads


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    if made.process is not None:
        made.process.kill()
        made.process.communicate()


def test_what_is_served_verifies_and_is_not_sent_twice(server: Server) -> None:
    server.signing("--ttl", "60")
    first = server.get()
    assert (first.status_code, first.headers["content-type"]) == (200, "application/json")
    assert first.headers["cache-control"] == "public, max-age=60"
    etag = first.headers["etag"]
    for asked in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        again = server.get(**{"if-none-match": asked})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag), asked
    assert server.get(**{"if-none-match": '"another"'}).status_code == 200
    found = server.quick.ok("pricing", "verify", server.url, "--key", server.key["public_key"], "--json").json
    assert found["models"] == ["openai:small"]
    assert etag == f'"{found["document_sha256"]}"'
    code, err = server.end()
    assert code == 130
    assert Path(server.key_path).read_text().strip() not in err


def test_only_get_and_head_of_one_document(server: Server) -> None:
    server.signing()
    head = httpx.head(server.url, trust_env=False)
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", server.get().headers["etag"])
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        answer = httpx.request(method, server.url, content=b"x", trust_env=False)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD"), method
    root = server.url.removesuffix("/v1/public/pricing")
    assert httpx.get(root + "/", trust_env=False).content == server.get().content
    for path in ("/team.key", "/v1/public/pricing/..", "/../content.json"):
        assert httpx.get(root + path, trust_env=False).status_code == 404, path
    assert server.get().status_code == 200


def test_a_connection_is_kept_and_a_broken_one_harms_nobody(server: Server) -> None:
    server.signing()
    where = urlsplit(server.url)
    link = http.client.HTTPConnection(str(where.hostname), where.port, timeout=30)
    for _ in range(2):
        link.request("GET", where.path)
        answer = link.getresponse()
        assert (answer.status, len(answer.read())) == (200, int(str(answer.getheader("content-length"))))
    link.close()
    torn = http.client.HTTPConnection(str(where.hostname), where.port, timeout=30)
    torn.connect()
    torn.send(b"GET / HTTP/1.1\r\nhost")
    torn.close()
    assert server.get().status_code == 200
    assert "Traceback" not in server.end()[1]


def test_changed_content_is_signed_anew_above_and_bad_content_is_not(server: Server) -> None:
    server.signing()
    before = loads(server.get().content)
    server.write({"openai": {"models": {"small": card(), "second": card()}}})
    after = loads(server.get().content)
    assert int(str(after["sequence"])) > int(str(before["sequence"]))
    server.write({"openai": {"models": {"small": card(endpoints=[])}}})
    assert loads(server.get().content) == after
    server.content.unlink()
    assert loads(server.get().content) == after
    _, err = server.end()
    assert "endpoints: expected at least one" in err
    assert err.count("is still served") == 2


def test_a_restart_goes_on_counting(server: Server) -> None:
    server.signing()
    before = loads(server.get().content)
    server.end()
    server.signing()
    assert int(str(loads(server.get().content)["sequence"])) >= int(str(before["sequence"]))


def test_a_signed_file_is_served_to_the_byte_and_read_again(server: Server) -> None:
    path = server.folder / "prices.json"
    line = ("pricing", "sign", str(server.content), "--key", server.key_path, "--output", str(path))
    server.quick.ok(*line)
    server.start("--document", str(path))
    assert server.get().content == path.read_bytes()
    server.quick.ok(*line, "--previous", str(path))
    assert loads(path.read_bytes())["sequence"] == 2
    assert server.get().content == path.read_bytes()


def test_what_cannot_be_served_is_said_before_anything_listens(server: Server) -> None:
    server.write({"openai": {"models": {"small": card(endpoints=[])}}})
    bad = str(server.content)
    for line, code in (
        ((bad, "--key", server.key_path), 8),
        (("--document", bad), 8),
        (("--document", bad, "--key", server.key_path), 2),
        ((bad,), 2),
        (("--catalogue", "--key", server.key_path, "--listen", "nowhere"), 2),
        (("--catalogue", "--key", server.key_path, "--listen", "192.0.2.1:1"), 2),
    ):
        ran = server.quick.run("pricing", "serve", *line)
        assert (ran.code, ran.out) == (code, ""), line


# -- the shelf, by a clock of its own ------------------------------------------------------------------------


class Shop:
    """A shelf on a clock that moves when told to, with a content that can be changed."""

    def __init__(self, lifetime_seconds: int = 3600) -> None:
        self.clock, self.said, self.key = SimClock(), list[str](), Authority.new(SimRng())
        self.content = dumps(CONTENT)
        self.shelf = Shelf(
            Recipe(lambda: self.content, self._make),
            clock=self.clock,
            lifetime_seconds=lifetime_seconds,
            ttl_seconds=300,
            say=self.said.append,
        )

    def _make(self, content: bytes, sequence: int, now_ns: int, seconds: int) -> signing.Signed:
        return signing.sign(loads(content), [self.key], sequence=sequence, now_ns=now_ns, seconds=seconds)


def test_a_document_is_replaced_when_half_of_its_life_is_over() -> None:
    shop = Shop()
    first = shop.shelf.current()
    assert first.ttl_seconds == 300
    shop.clock.advance(1799)
    assert shop.shelf.current().raw == first.raw
    shop.clock.advance(1)
    second = shop.shelf.current()
    assert int(str(loads(second.raw)["sequence"])) - int(str(loads(first.raw)["sequence"])) == 1800
    assert len(shop.said) == 1


def test_what_cannot_be_signed_is_said_once_and_the_rest_of_life_is_the_ttl() -> None:
    shop = Shop()
    first = shop.shelf.current()
    shop.content = b"{}"
    shop.clock.advance(3500)
    for _ in range(3):
        assert shop.shelf.current() == serving.Served(first.raw, first.document_sha256, 100)
    assert len(shop.said) == 1
    shop.clock.advance(200)
    assert shop.shelf.current().ttl_seconds == 0


def test_a_clock_set_back_does_not_lower_the_sequence() -> None:
    shop = Shop()
    first = shop.shelf.signed.document.sequence
    shop.clock.advance(-86_400)
    shop.content = dumps({"openai": {"models": {"other": card()}}})
    shop.shelf.current()
    assert shop.shelf.signed.document.sequence == first + 1


@pytest.mark.parametrize("text", ["", "1", ":1", "a:", "a:b", "a:123456", "a:-1", "localhost"])
def test_an_address_is_host_and_port(text: str) -> None:
    with pytest.raises(SpendGuardError) as refused:
        address(text)
    assert refused.value.code is Code.USAGE


def test_addresses_of_both_kinds() -> None:
    assert address("127.0.0.1:8790") == ("127.0.0.1", 8790)
    assert address("[::1]:0") == ("::1", 0)


def test_a_port_that_is_taken_is_said() -> None:
    def current() -> Any:
        raise AssertionError("nobody asks")

    with PriceServer("127.0.0.1", 0, current) as first:
        port = int(urlsplit(first.url).port or 0)
        with pytest.raises(SpendGuardError) as refused:
            PriceServer("127.0.0.1", port, current)
    assert f"127.0.0.1:{port}" in refused.value.detail
