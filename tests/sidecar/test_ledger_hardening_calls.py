"""A call and its ledger: an overrun is durable before its call is over, and no large body stops the loop."""

import asyncio
import threading
from pathlib import Path

import pytest

from ledger_kit import AGENT, Failures, grant, new_agent, open_ledger
from sim import SimClock, SimDisk, SimRng
from spendguard_daemon import planner as planning
from spendguard_daemon.aside import LARGE_BYTES
from spendguard_daemon.call import Answer, Arrival
from spendguard_daemon.canonical import sha256_hex
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.gateway.mock_upstream import MockUpstream
from spendguard_daemon.guard import Guard
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.planner import Planner
from spendguard_daemon.price_keeper import PriceKeeper
from spendguard_daemon.pricing.local import LocalPrices
from spendguard_daemon.provider_keys import ProviderKeys
from spendguard_daemon.providers import Asked
from spendguard_daemon.settings import Settings

OVER = (
    b'{"model":"mock-small","messages":[{"role":"user","content":"x"}],"max_tokens":50,'
    b'"metadata":{"mock":"lie:over"}}'
)


class NobodyThere:
    """A client that reads what it is sent."""

    async def start(self, status: int, headers: object) -> None:
        pass

    async def write(self, data: bytes) -> None:
        pass


def arrival(body: bytes = OVER, key: str | None = None) -> Arrival:
    """Return a call of the mock agent."""
    return Arrival("call-1", AGENT, None, "mock", "chat/completions", {}, body, key)


async def guarded(disk: SimDisk, failures: Failures) -> tuple[Ledger, Guard]:
    """Return a guard with a funded mock agent, whose provider is in the process."""
    clock = SimClock()
    ledger = open_ledger(disk, clock, failures)
    ledger.start(asyncio.get_running_loop())
    home = Path("/home")
    local = LocalPrices(home / "pricing", home / "trust.toml", disk=disk, clock=clock, rng=SimRng())
    prices = PriceKeeper(local, ledger, clock)
    await prices.load()
    await ledger.submit(new_agent(mock=True))
    await ledger.submit(grant(10**9))
    settings, upstream = Settings(), MockUpstream()
    keys = ProviderKeys({}, "")
    planner = Planner(
        prices=prices, keys=lambda: keys, settings=settings, clock=clock, agent_keys=ledger.state.agent_keys
    )
    guard = Guard(
        ledger=ledger, planner=planner, upstreams=lambda _: upstream, settings=settings, clock=clock
    )
    return ledger, guard


class Gate:
    """Keeps the sync of the batch with the overrun waiting, then lets it pass, or fail."""

    def __init__(self, disk: SimDisk) -> None:
        self.met, self.opened, self.fails = threading.Event(), threading.Event(), False
        self._disk = disk
        disk.hook = self

    def __call__(self, operation: str, path: Path) -> None:
        if operation != "sync" or b'"t":"overrun"' not in bytes(self._disk.files[path].data):
            return
        self.met.set()
        assert self.opened.wait(20)
        if self.fails:
            raise OSError(5, "Input/output error")


async def test_an_overrun_is_durable_before_its_call_is_over() -> None:
    """The answer used to be whole while the one record that may not be lost was still in memory."""
    disk, failures = SimDisk(), Failures()
    ledger, guard = await guarded(disk, failures)
    gate = Gate(disk)
    call = asyncio.create_task(guard.call(arrival(), NobodyThere()))
    assert await asyncio.to_thread(gate.met.wait, 20)
    assert ledger.state.accounts[AGENT].frozen_reason is not None
    for _ in range(50):
        await asyncio.sleep(0)
    assert not call.done()
    gate.opened.set()
    answer = await asyncio.wait_for(call, 20)
    assert isinstance(answer, Answer)
    assert b'"t":"overrun"' in _durable(disk)
    await ledger.close("test")


async def test_an_overrun_that_cannot_be_written_has_no_answer_and_no_stuck_call() -> None:
    """The disk fails under it: the call ends with that, at once."""
    disk, failures = SimDisk(), Failures()
    ledger, guard = await guarded(disk, failures)
    gate = Gate(disk)
    gate.fails = True
    gate.opened.set()
    with pytest.raises(SpendGuardError) as caught:
        await asyncio.wait_for(guard.call(arrival(), NobodyThere()), 20)
    assert caught.value.code is Code.DISK_FAILED
    assert len(failures.seen) == 1
    await ledger.close("test")


async def test_a_call_that_is_cut_while_its_overrun_is_written_ends_once() -> None:
    """It is booked already; the wait for the disk is all that is cut."""
    disk, failures = SimDisk(), Failures()
    ledger, guard = await guarded(disk, failures)
    gate = Gate(disk)
    call = asyncio.create_task(guard.call(arrival(), NobodyThere()))
    assert await asyncio.to_thread(gate.met.wait, 20)
    assert await guard.abort("call-1")
    gate.opened.set()
    with pytest.raises(SpendGuardError):
        await asyncio.wait_for(call, 20)
    await ledger.durable()
    assert _durable(disk).count(b'"t":"overrun"') == 1
    assert [view.state for view in ledger.history.calls(AGENT, 9)] == ["overrun"]
    await ledger.close("test")


async def test_the_key_of_a_large_body_is_hashed_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the reading of it; of a body without a key no hash is made."""
    where: list[int] = []

    def hashed(raw: bytes) -> str:
        where.append(threading.get_ident())
        return sha256_hex(raw)

    monkeypatch.setattr(planning, "sha256_hex", hashed)
    large = OVER.replace(b'"x"', b'"' + b"x" * LARGE_BYTES + b'"')
    ledger, guard = await guarded(SimDisk(), Failures())
    account, planner = ledger.state.accounts[AGENT], guard._planner
    reading = await planner.read(arrival(large, "k"), Asked(large), account)
    assert reading.idempotency is not None
    assert (reading.idempotency.key, reading.idempotency.body) == ("k", sha256_hex(large)[:32])
    assert len(where) == 1
    assert where[0] != threading.get_ident()
    assert (await planner.read(arrival(OVER, None), Asked(OVER), account)).idempotency is None
    assert len(where) == 1
    await ledger.close("test")


def _durable(disk: SimDisk) -> bytes:
    return b"".join(node.durable for path, node in disk.files.items() if path.name.startswith("seg-"))
