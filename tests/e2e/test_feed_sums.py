"""The counts that the feed tells, where not all that is counted is shown, or is there any more."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from feeds import Listening
from sidecar import Sidecar
from spendguard_daemon.shown import WAITING_SHOWN
from until import until

BODY = {"model": "gpt-4o-mini", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}
NOWHERE = "http://127.0.0.1:9/v1"
"""No call of these tests gets a hold, so none leaves."""


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """A daemon."""
    with Sidecar(tmp_path_factory.mktemp("sums") / "home", NOWHERE) as running:
        yield running


def waits(sidecar: Sidecar, agent_id: str) -> socket.socket:
    """Begin a call that waits for money; it waits no more when its connection is closed."""
    caller, body = socket.create_connection(("127.0.0.1", sidecar.port)), json.dumps(BODY)
    head = {
        "host": f"127.0.0.1:{sidecar.port}",
        "x-cynsta-agent-id": agent_id,
        "x-spendguard-wait": "60",
        "content-type": "application/json",
        "content-length": str(len(body)),
    }
    lines = [f"{name}: {value}" for name, value in head.items()]
    caller.sendall("\r\n".join(["POST /v1/chat/completions HTTP/1.1", *lines, "", body]).encode())
    return caller


def test_those_who_wait_are_counted_also_where_they_are_not_shown(sidecar: Sidecar) -> None:
    """The last ones of a long line leave: those that are shown are the same, their number is not."""
    agent_id = sidecar.agent(cents=0, concurrency="shared")

    def told() -> int:
        events = feed.of("waiting", agent_id)
        return int(events[-1]["money"].get("calls_waiting", 0)) if events else 0

    with ExitStack() as stack, Listening(sidecar) as feed:
        until(lambda: feed.snapshots)
        callers: list[socket.socket] = []
        for number in range(1, WAITING_SHOWN + 4):
            callers.append(stack.enter_context(waits(sidecar, agent_id)))
            until(lambda number=number: told() == number)
        for caller in callers[-2:]:
            caller.close()
        until(lambda: told() == len(callers) - 2)
        assert len(feed.of("waiting", agent_id)[-1]["waiting"]) == WAITING_SHOWN


def test_the_refusals_of_a_deleted_agent_stay_in_the_sum(sidecar: Sidecar) -> None:
    """As much as `Totals` promises: the sums are over all agents, those deleted too."""
    agent_id = sidecar.agent(cents=0)
    with Listening(sidecar) as feed:
        before = until(lambda: feed.snapshots)[0]["totals"].get("refusals", 0)
        agents = feed.snapshots[0]["totals"]["agents"]
        assert sidecar.chat(agent_id, BODY).status_code == 402
        assert until(lambda: feed.of("refused", agent_id))[-1]["money"]["refusals"] == 1
        sidecar.control("DELETE", f"/v1/agents/{agent_id}")
        gone = until(lambda: [one for one in feed.of("totals") if one["totals"]["agents"] == agents - 1])[-1]
        assert gone["totals"]["refusals"] == before + 1
