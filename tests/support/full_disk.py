"""What the real daemon does on a disk that is really full, from the first 507 to the last exit code.

`scenario` runs on any `Medium`. As a program it runs on a folder that it finds empty, on a file system small
enough to be filled:

    unshare -rm sh -c 'mount -t tmpfs -o size=112m none DIR && exec python tests/support/full_disk.py DIR'
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from audit import audit
from raw_http import Answer, request, send
from recorded import RecordedUpstream
from sidecar import DAEMON, Sidecar
from spendguard_daemon.ledger.room import LOOK_NS
from until import until

CALLS = 60
FILL_BYTES = 1024 * 1024


class Medium(Protocol):
    """A disk that can be filled from outside."""

    def fill(self) -> None:
        """Take all that is free."""

    def fill_again(self) -> None:
        """Take also what the daemon gave back of its own."""

    def free(self) -> None:
        """Give it back."""


class RealDisk:
    """A small file system: a file takes what is free."""

    def __init__(self, folder: Path) -> None:
        self._filler = folder / "filler"

    def fill(self) -> None:
        with self._filler.open("ab", buffering=0) as file:
            for size in (FILL_BYTES, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError as error:
                    assert error.errno == 28, error

    def fill_again(self) -> None:
        self.fill()

    def free(self) -> None:
        self._filler.unlink(missing_ok=True)


def chat(port: int, agent_id: str, number: int) -> bytes:
    """Return a chat call as it goes over the wire."""
    body = {"model": "gpt-4o-mini", "max_tokens": 50, "messages": [{"role": "user", "content": f"{number}"}]}
    headers = {"x-cynsta-agent-id": agent_id}
    return request(port, "/v1/chat/completions", headers, json.dumps(body).encode())


async def a_new_look() -> None:
    """Let the daemon's last reading of the free space grow too old to be used."""
    await asyncio.sleep(LOOK_NS / 1e9 + 0.1)


async def scenario(home: Path, medium: Medium, command: Sequence[str], env: dict[str, str]) -> None:
    """Fill the disk with calls in flight, twice: the first time they end well, the second time too many."""
    with RecordedUpstream(bill=lambda _, prompt, tokens: prompt * 150 + tokens * 600) as upstream:
        sidecar = Sidecar(home, upstream.base_url, env=env, command=command)
        sidecar.start()
        agent_id = sidecar.agent(cents=5_000, concurrency="shared")
        assert await status(sidecar, agent_id) == 200
        ballast = sidecar.home.ledger / "ballast"
        assert ballast.stat().st_size == 16 * 2**20

        calls = await in_flight(sidecar, upstream, agent_id, CALLS)
        medium.fill()
        await a_new_look()
        refused = await one(sidecar, agent_id)
        check_refusal(refused)
        assert ballast.exists()
        upstream.release()
        answers = await asyncio.gather(*calls)
        assert {answer.status for answer in answers if answer} == {200}, "calls in flight end well"
        sidecar.control("PATCH", f"/v1/agents/{agent_id}", {"name": "an operator can still work"})
        assert not ballast.exists(), "their ends fit where the ballast was"
        check_refusal(await one(sidecar, agent_id))
        budget = sidecar.budget(agent_id)
        assert budget["held_usd"] == "0.00"

        medium.free()
        await a_new_look()
        assert await status(sidecar, agent_id) == 200, "calls pass again by themselves"
        assert ballast.stat().st_size == 16 * 2**20

        calls = await in_flight(sidecar, upstream, agent_id, CALLS)
        arrived = upstream.arrived
        medium.fill()
        ids = [call["call_id"] for call in sidecar.calls(agent_id) if call["state"] == "held"]
        assert len(ids) == CALLS
        while ballast.exists():
            await abort(sidecar, agent_id, ids.pop())
        medium.fill_again()
        while ids and await abort(sidecar, agent_id, ids.pop()):
            pass
        assert ids, "even the ends of calls did not fit any more"
        code, said = await asyncio.to_thread(sidecar.died)
        assert (code, said["code"]) == (74, "ledger_full"), said
        upstream.release()
        assert any(answer is None for answer in await asyncio.gather(*calls))
        assert upstream.arrived == arrived

        medium.free()
        sidecar.start()
        at_worst = sidecar.control("GET", "/v1/status")["settled_at_worst_at_start"]
        assert at_worst > len(ids) // 2
        assert await status(sidecar, agent_id) == 200
        sidecar.stop()
        found = audit(home / "ledger")
        assert not found.open_calls
        assert upstream.billed_nusd <= found.agents[agent_id].settled


async def in_flight(
    sidecar: Sidecar, upstream: RecordedUpstream, agent_id: str, count: int
) -> list["asyncio.Task[Answer | None]"]:
    """Begin calls that the provider holds open."""
    upstream.hold_open()
    arrived = upstream.arrived
    raw = [chat(sidecar.port, agent_id, number) for number in range(count)]
    calls = [asyncio.create_task(send(sidecar.port, each)) for each in raw]
    await asyncio.to_thread(upstream.wait_arrived, arrived + count)
    # What nobody waits for is written a moment later: the ballast shall not go for the begin of a call.
    await asyncio.to_thread(until, lambda: all_begun(sidecar))
    return calls


def all_begun(sidecar: Sidecar) -> bool:
    """Tell whether the journal says of every call that was held that it was sent."""
    kinds = [record["t"] for record in sidecar.journal()]
    return kinds.count("sent") == kinds.count("hold")


async def one(sidecar: Sidecar, agent_id: str) -> Answer:
    answer = await send(sidecar.port, chat(sidecar.port, agent_id, 0))
    assert answer is not None
    return answer


async def status(sidecar: Sidecar, agent_id: str) -> int:
    return (await one(sidecar, agent_id)).status


async def abort(sidecar: Sidecar, agent_id: str, call_id: str) -> bool:
    """Cut a call in flight, and see its end written; tell whether the daemon was still there to answer."""
    headers = {"authorization": f"Bearer {sidecar.token}"}
    raw = request(sidecar.port, f"/v1/calls/{call_id}/abort", headers, b"{}")
    if await send(sidecar.port, raw) is None:
        return False
    # An end waits for others to be written with; an operator's command is answered when both are on the disk.
    raw = request(sidecar.port, f"/v1/agents/{agent_id}/budget/topup", headers, b'{"topup_cents": 1}')
    return await send(sidecar.port, raw) is not None


def check_refusal(answer: Answer) -> None:
    assert answer.status == 507, answer.body
    said = answer.json()
    assert said["spendguard"]["code"] == "ledger_full"
    assert said["detail"].startswith("The ledger's disk is full")
    assert answer.headers["x-should-retry"] == "false"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    asyncio.run(scenario(folder / "home", RealDisk(folder), DAEMON, {}))
    print("tmpfs was full")
