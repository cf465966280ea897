"""A team's own strict mode, end to end: `pricing serve` on one side, a sidecar that trusts it on another."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from price_server import Server
from shell import Quick, finish
from signed_prices import card


class Team:
    """A price server, and a home whose sidecar takes prices from it."""

    def __init__(self, folder: Path):
        self.server = Server(folder)
        self.server.signing()
        self.shell = Quick(folder / "client", SPENDGUARD_EXEC="0", CAP_PRICING_URL=self.server.url)

    def trust(self) -> None:
        """Type the line that keygen printed."""
        _, *words = self.server.key["trust_command"].split()
        assert self.shell.run(*words).code == 0


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    made = Team(tmp_path)
    yield made
    made.shell.end()
    if made.server.process is not None:
        made.server.end()


def test_a_team_serves_its_prices_and_a_sidecar_follows_them(team: Team) -> None:
    """Pinned, started, changed at the server, taken over by `refresh`, shown; then the key is revoked."""
    team.trust()
    assert finish(team.shell.start("up")).code == 0
    first = team.shell.ok("pricing", "show", "--json").json
    assert (first["source"], first["self_signed"]) == ("remote", False)
    assert first["key_id"] == team.server.key["key_id"]
    assert "openai:small" in first["models"]
    dearer = card()
    dearer["periods"][0]["rates"]["default"]["output"] = 7_250_001
    team.server.write({"openai": {"models": {"small": dearer}}})
    second = team.shell.ok("pricing", "refresh", "--json").json
    assert second["sequence"] > first["sequence"]
    shown = team.shell.ok("pricing", "show", "small", "--json").json
    rates = {rate["name"]: rate["usd"] for rate in shown["rates"]}
    assert rates == {"input": "1.00", "output": "7.250001"}
    assert shown["document_sha256"] == second["document_sha256"]
    assert "usd=7.250001" in team.shell.ok("pricing", "show", "openai:small").out
    told = team.shell.run("pricing", "trust", "revoke", first["key_id"])
    assert (told.code, "spendguard pricing refresh" in told.err) == (0, True)
    refused = team.shell.run("pricing", "refresh")
    assert (refused.code, "revoked" in refused.err) == (8, True)


def test_a_model_that_no_card_has_is_said(served: Quick) -> None:
    ran = served.run("pricing", "show", "gpt-never")
    assert (ran.code, ran.out) == (2, "")
    assert "pricing show lists the models" in ran.err
    assert served.run("pricing", "show", "openai:gpt-never").code == 2


def test_a_local_sidecar_shows_what_it_signed(served: Quick) -> None:
    now = served.ok("pricing", "show", "--json").json
    assert (now["source"], now["self_signed"], list(now)) == ("local", True, sorted(now))
    shown = served.ok("pricing", "show", "gpt-4o-mini", "--json").json
    assert shown["document_sha256"] == now["document_sha256"]
    assert {"name": "input", "usd": "0.15"}.items() <= next(
        rate for rate in shown["rates"] if rate["name"] == "input" and rate["service_tier"] == "default"
    ).items()
    assert served.ok("pricing", "show", "mock-small").keys["provider"] == "mock"
    assert served.ok("pricing", "refresh", "--json").json["sequence"] == now["sequence"]


# -- answers that are no documents ---------------------------------------------------------------------------


def answering(raw: bytes) -> tuple[str, threading.Thread]:
    """Answer one request with these bytes, and close."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as link:
            link.recv(65536)
            link.sendall(raw)

    thread = threading.Thread(target=serve)
    thread.start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/", thread


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("302 Found\r\nlocation: http://127.0.0.1:1/", "no redirect is followed"),
        ("500 Broken", "it answered 500"),
        ("304 Not Modified", "no document"),
        ("200 OK\r\ncontent-encoding: gzip", "is encoded"),
        ("200 OK\r\ncontent-length: 99999999", "larger than"),
        ("200 OK\r\ncontent-length: 50", "failed"),
    ],
)
def test_an_answer_that_is_no_document_is_refused(bare: Quick, head: str, said: str) -> None:
    url, thread = answering(f"HTTP/1.1 {head}\r\nconnection: close\r\n\r\n".encode() + b"{}")
    ran = bare.run("pricing", "verify", url, "--key", "1ITgfCZsRETBLvSKFUoPsP7p3RKNH4Nto6zKLlUD8nQ=")
    thread.join()
    assert (ran.code, ran.out) == (8, "")
    assert said in ran.err


def test_nobody_there_is_said(bare: Quick) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    ran = bare.run("pricing", "verify", f"http://127.0.0.1:{port}/x")
    assert (ran.code, ran.out) == (8, "")
    assert "Remote pricing request failed" in ran.err
