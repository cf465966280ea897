"""The reader and the board beside a real sidecar: what is shown is what its ledger says, kill -9 or not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from played_feed import Listener
from sidecar import Sidecar
from spendguard_cli.context import Connection
from spendguard_cli.watch.feed import FeedReader, Patience
from until import until

PATIENCE = Patience(pause=0.05, pause_max=0.2)
CHAT = {"model": "mock-small", "max_tokens": 20, "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    """A daemon of its own."""
    with Sidecar(tmp_path / "home") as running:
        yield running


@pytest.fixture
def listener(sidecar: Sidecar) -> Iterator[Listener]:
    """Who listens to it, as `watch` does: by its home."""
    connection = Connection(
        home=sidecar.home,
        base_url=None,
        base_url_from="",
        api_key=None,
        local=True,
        in_exec=False,
        stay="it must not be started",
    )
    reader, listening = FeedReader(connection, PATIENCE), Listener()
    reader.start(listening)
    yield listening
    reader.close()


def is_true(listener: Listener, sidecar: Sidecar) -> bool:
    """Tell whether the board is live and shows each agent's money and calls as the sidecar says them."""
    board = listener.board
    agents = {one["agent_id"]: one for one in sidecar.control("GET", "/v1/agents")["agents"]}
    if board.link != "live" or set(board.rows) != set(agents) or board.flights:
        return False
    for agent_id, row in board.rows.items():
        budget = sidecar.budget(agent_id)
        for part in ("hard_limit_usd", "remaining_usd", "available_usd", "held_usd", "settled_usd"):
            if getattr(row.money, part) != budget[part]:
                return False
        if row.money.frozen_reason != agents[agent_id].get("frozen_reason"):
            return False
        if {one.call_id for one in board.of_agent(agent_id)} != {
            one["call_id"] for one in sidecar.calls(agent_id)
        }:
            return False
    return True


def test_it_shows_what_the_ledger_says_also_after_a_kill(listener: Listener, sidecar: Sidecar) -> None:
    """Calls, refusals, a top-up and a freeze are seen; a daemon that is killed is away, and then back."""
    until(lambda: listener.board.link == "live")
    first = sidecar.agent(mock=True)
    poor = sidecar.agent(mock=True, cents=0)
    for _ in range(5):
        assert sidecar.chat(first, CHAT, run="one").status_code == 200
        assert sidecar.chat(poor, CHAT, run="one").status_code == 402
    sidecar.control("POST", f"/v1/agents/{poor}/budget", {"hard_limit_cents": 700, "topup_cents": 700})
    until(lambda: is_true(listener, sidecar))
    sidecar.control("PATCH", f"/v1/agents/{first}", {"frozen": True, "reason": "loops"})
    until(lambda: listener.board.rows[first].money.frozen_reason == "loops")
    until(lambda: is_true(listener, sidecar))

    epoch = listener.board.epoch
    sidecar.kill()
    until(lambda: listener.board.link == "away")
    until(lambda: listener.board.remedy == "spendguard up")
    assert "as of" in listener.board.doubt()
    sidecar.start()
    until(lambda: is_true(listener, sidecar))
    assert listener.board.epoch != epoch
    assert sidecar.chat(poor, CHAT, run="two").status_code == 200
    until(lambda: is_true(listener, sidecar))


def test_a_sidecar_that_stops_is_away(listener: Listener, sidecar: Sidecar) -> None:
    """Stopped politely, it says so as well, and what to type."""
    until(lambda: listener.board.link == "live")
    sidecar.stop()
    until(lambda: listener.board.remedy == "spendguard up")
    assert listener.board.link == "away"
