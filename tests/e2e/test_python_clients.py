"""The Python clients that people use, unmodified, each in a process of its own, through a real daemon.

What they run are the blocks of `references/routing-patterns.md`, with address and agent put in; what it
says of refusals is what is held here. A missing client fails.
"""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from clients.process import SUPPORT, ClientProcess
from routed import CLIENTS, HELLO, TEXTS, WEATHER, Routed, Running, attempts
from routing_page import AGENT, STATUSES, Block, addresses, blocks, refusals
from till import nusd
from until import until

HASTY = (sys.executable, str(SUPPORT / "hasty_daemon.py"))


@pytest.fixture(scope="module")
def routed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Routed]:
    """The sidecars; nothing that they sent was refused by the provider."""
    with Routed(tmp_path_factory.mktemp("routed"), command=HASTY) as running:
        yield running
        assert running.provider.refused == []


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ClientProcess]]:
    """The process of a family of clients, started when it is asked for first."""
    with contextlib.ExitStack() as ends:

        @functools.cache
        def process(family: str) -> ClientProcess:
            return ends.enter_context(ClientProcess(tmp_path_factory.mktemp(family) / "home"))

        yield process


@pytest.fixture(scope="module", params=CLIENTS)
def running(request: pytest.FixtureRequest, processes: Callable[[str], ClientProcess]) -> Running:
    """One client; those of a family share a process, since what they import takes seconds."""
    return Running(request.param, processes(CLIENTS[request.param].adapter))


def test_it_answers_and_is_charged(running: Running, routed: Routed) -> None:
    """A plain call, a stream, a tool called and answered; the ledger has what the provider reported."""
    sidecar, client = routed.sidecar, running.client
    agent_id = sidecar.agent()
    told = running.block(sidecar.base, agent_id)
    assert told.raised == ""
    assert HELLO in told.printed
    calls = 1
    if client.stream:
        told = running.adapter("stream")
        assert told.raised == ""
        assert HELLO.split()[-1] in told.printed
        calls += 1
    if client.tools:
        told = running.adapter("tools")
        assert (told.raised, told.printed.strip()) == ("", WEATHER)
        calls += 2
    until(lambda: all(call["ended_at"] for call in sidecar.calls(agent_id)))  # a stream settles after its end
    ended = sidecar.calls(agent_id)
    assert [call["state"] for call in ended] == ["settled"] * calls
    assert {nusd(call["cost_usd"]) for call in ended} == {client.nusd}
    assert nusd(sidecar.budget(agent_id)["settled_usd"]) == calls * client.nusd


@pytest.mark.parametrize("status", STATUSES)
def test_it_is_refused_as_the_page_says(running: Running, routed: Routed, status: int) -> None:
    """So many attempts, and our text is what the user sees, in the client's own error."""
    row = refusals()[running.name]
    with routed.refusing(status) as (sidecar, agent_id):
        told = running.block(sidecar.base, agent_id)
        assert attempts(sidecar, agent_id, status) == row.attempts[status]
    seen = told.raised or told.printed
    assert TEXTS[status] in seen
    assert seen.strip().startswith(row.seen[STATUSES.index(status) % len(row.seen)])


IN_PATH = {
    "OpenAI": "openai",
    "Anthropic": "anthropic",
    "Gemini": "google-genai",
    "Gemini, in OpenAI's format": "openai, for Gemini",
    "Grok (xAI)": "openai, for Grok",
}
"""The blocks that show each base URL of the page's first table."""


@pytest.mark.parametrize("provider", IN_PATH)
def test_the_base_url_can_name_the_agent(
    provider: str, processes: Callable[[str], ClientProcess], routed: Routed
) -> None:
    """With the other base URL of the page, and without the header, the call is the agent's and its run's."""
    plain, with_agent = addresses()[provider]
    header = f'"x-cynsta-agent-id": "{AGENT}"'

    def edit(block: Block) -> Block:
        assert f'"{plain}"' in block.text
        assert header in block.text
        return replace(block, text=block.text.replace(header, "").replace(f'"{plain}"', f'"{with_agent}"'))

    name, agent_id = IN_PATH[provider], routed.sidecar.agent()
    told = Running(name, processes(CLIENTS[name].adapter)).block(routed.sidecar.base, agent_id, edit)
    assert (told.raised, told.printed.strip()) == ("", HELLO)
    (call,) = routed.sidecar.calls(agent_id)
    assert (call["state"], call["run_id"]) == ("settled", "nightly")


def test_the_page_and_the_clients_are_the_same() -> None:
    """Each block of the page is run, each client has a block and a row, and none repeats a 402."""
    rows = refusals()
    assert set(blocks("run")) == set(CLIENTS)
    assert set(addresses()) == set(IN_PATH)
    assert {rows[name].attempts[402] for name in CLIENTS} == {1}
