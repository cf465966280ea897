"""The composition root: from flags and environment to a serving daemon, and back down again.

Everything is made here once and handed to those who need it; no other module knows how the parts are wired.
"""

import argparse
import asyncio
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from spendguard_daemon import __version__, log, memory_dumps, price_sources, runtime
from spendguard_daemon.codes import TABLE, Exit
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.gateway import descriptors
from spendguard_daemon.gateway.app import Gateway
from spendguard_daemon.gateway.control import Control
from spendguard_daemon.gateway.counts import CountRoutes
from spendguard_daemon.gateway.daemon_control import GRACE_SECONDS, DaemonControl, Identity, KeyRing
from spendguard_daemon.gateway.door import Doors
from spendguard_daemon.gateway.fairness import Fairness
from spendguard_daemon.gateway.identity import Identifier
from spendguard_daemon.gateway.mock_upstream import MockUpstream
from spendguard_daemon.gateway.models import ModelList
from spendguard_daemon.gateway.serving import serve
from spendguard_daemon.gateway.sockets import open_doors
from spendguard_daemon.gateway.strangers import Strangers
from spendguard_daemon.gateway.tally import Tally
from spendguard_daemon.gateway.upstream import HttpUpstream
from spendguard_daemon.guard import Guard
from spendguard_daemon.ledger.faults import disk_fault
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.planner import Planner
from spendguard_daemon.ports import Clock, Rng, Upstream
from spendguard_daemon.price_keeper import PriceClock, PriceKeeper
from spendguard_daemon.pricing import catalogue
from spendguard_daemon.provider_keys import ProviderKeys
from spendguard_daemon.runtime import DaemonInfo, Home
from spendguard_daemon.setting_values import UNVERIFIED_PRICES, check_said_twice
from spendguard_daemon.settings import Settings, load
from spendguard_daemon.skew import Skew
from spendguard_daemon.stopping import Stopping
from spendguard_daemon.system import SystemClock, SystemDisk, SystemRng
from spendguard_daemon.vigil import Vigil
from spendguard_daemon.wire import iso

logger = logging.getLogger("spendguard")


def main() -> int:
    """Run the daemon; return its exit code. A failed start ends with one JSON line on stderr."""
    parser = argparse.ArgumentParser(prog="spendguard_daemon", description=__doc__)
    parser.add_argument("--port", type=int)
    parser.add_argument("--foreground", action="store_true")
    parser.add_argument("--unsafe-fs", action="store_const", const="allow")
    parser.add_argument("--insecure-pricing", action="store_true")
    parser.add_argument("--check", action="store_true", help="read all that a start reads, and end")
    flags = parser.parse_args()
    os.umask(0o077)
    memory_dumps.forbid()
    env, disk = dict(os.environ), SystemDisk()
    try:
        home = runtime.home_of(env)
        descriptors.raise_limit()
        runtime.prepare(home, disk)
        flagged = {"port": flags.port, "unsafe_fs": flags.unsafe_fs}
        settings = load(runtime.read_text(home.config), env, flagged)
        keys = KeyRing(lambda: ProviderKeys(env, runtime.read_text(home.secrets)))
        if flags.check:
            with tempfile.TemporaryDirectory() as name:
                price_sources.rehearse(settings, Path(name), disk=disk, clock=SystemClock(), rng=SystemRng())
            return Exit.OK
        check_said_twice(verifies=settings.price_verify_signature, insecure=flags.insecure_pricing)
        log.configure(home.log, lambda: keys().secrets(), foreground=flags.foreground)
        run = _uvloop_run() or asyncio.run
        return run(_daemon(home, settings, keys, stay=flags.foreground))
    except SpendGuardError as error:
        return _report(error)
    except OSError as error:
        return _report(disk_fault(error))


async def _daemon(home: Home, settings: Settings, keys: KeyRing, *, stay: bool) -> int:
    """Open the ledger, load prices, listen, serve until told to stop; `stay` without valid prices too."""
    clock, disk, rng = SystemClock(), SystemDisk(), SystemRng()
    ledger = Ledger.open(
        home.ledger,
        disk=disk,
        clock=clock,
        rng=rng,
        fatal=_fail_stop,
        version=__version__,
        unsafe_fs=settings.unsafe_fs == "allow",
    )
    ledger.limit_waiting(settings.connections_max // 2, max(1, settings.agent_calls_max // 2))
    started_ns = clock.wall_ns()
    info = DaemonInfo(
        pid=os.getpid(),
        port=0,
        version=__version__,
        started_at=iso(started_ns),
        addresses=[],
        access={name: os.environ[name] for name in runtime.KEPT if os.environ.get(name)},
    )
    runtime.write_lock_info(home, disk, info)  # from here on whoever finds the lock taken knows by whom
    ledger.start(asyncio.get_running_loop())
    token = runtime.ensure_admin_token(home, disk, rng)  # under the ledger's lock: one daemon makes it
    price_clock, skew = PriceClock(clock, ledger), Skew(clock)
    source = price_sources.make(
        settings, home.pricing, home.trust, disk=disk, clock=price_clock, rng=rng, note=skew.note
    )
    prices = PriceKeeper(source, ledger, clock)
    await _load_prices(prices, settings, stay=stay)
    for warning in catalogue.warnings(clock.wall_ns()):
        logger.warning("the price catalogue is old", extra={"facts": {"warning": warning}})
    bound = open_doors(settings, home, disk)
    info = msgspec.structs.replace(
        info,
        port=bound.port,
        addresses=list(bound.addresses),
        agents_url=bound.agents_url,
        socket=bound.socket,
    )
    runtime.write_lock_info(home, disk, info)  # before any proof is given: who is proven, is named there
    real, mock = HttpUpstream(settings.base_urls, skew.note), MockUpstream()

    def upstreams(provider: str) -> Upstream:
        return mock if provider == "mock" else real

    stopping = Stopping()
    identity = Identity(
        str(home.root), token, bound.addresses, bound.agents_url, bound.socket, bound.listening, started_ns
    )
    parts = _Parts(ledger, prices, keys, upstreams, settings, clock, rng, skew)
    guard, gateway = _gateway(parts, identity, bound.doors, stopping)
    runner = await serve(gateway.connections(), bound.sockets)
    keeper = asyncio.create_task(prices.keep())
    vigil = Vigil(clock, asyncio.get_running_loop().time, settings.idle_seconds)
    watcher = asyncio.create_task(vigil.keep(lambda: list(ledger.state.open_calls), guard.abort))
    runtime.write_daemon_info(home, disk, info)
    logger.info("listening", extra={"facts": {"addresses": bound.told, "version": __version__}})
    await stopping.wait()
    keeper.cancel()
    watcher.cancel()
    logger.info("stopping", extra={"facts": {"calls_in_flight": len(ledger.state.open_calls)}})
    await _drain(guard, gateway, ledger, stopping)
    await runner.cleanup()
    bound.remove_socket()
    await real.close()
    await ledger.close("shutdown")
    logger.info("stopped")
    return Exit.OK


async def _load_prices(prices: PriceKeeper, settings: Settings, *, stay: bool) -> None:
    """Load the first price document; a remote one may come later where the daemon stays."""
    if not settings.price_verify_signature:
        logger.critical(UNVERIFIED_PRICES)
    try:
        await prices.load()
    except SpendGuardError as error:
        if not stay or settings.price_source == "local":
            raise
        logger.critical("no calls: no valid price document", extra={"facts": {"detail": error.detail}})


@dataclass(frozen=True, slots=True)
class _Parts:
    """What is made once and handed to all who need it."""

    ledger: Ledger
    prices: PriceKeeper
    keys: KeyRing
    upstreams: Callable[[str], Upstream]
    settings: Settings
    clock: Clock
    rng: Rng
    skew: Skew


def _gateway(parts: _Parts, identity: Identity, doors: Doors, stopping: Stopping) -> tuple[Guard, Gateway]:
    """Wire up what serves: the life of calls, the free routes, the control API, and the one before them."""
    ledger, prices, keys, upstreams = parts.ledger, parts.prices, parts.keys, parts.upstreams
    settings, clock, rng = parts.settings, parts.clock, parts.rng
    strangers, tally = Strangers(clock), Tally()
    ledger.subscribe(tally.hear)
    planner = Planner(
        prices=prices, keys=keys, settings=settings, clock=clock, agent_keys=ledger.state.agent_keys
    )
    guard = Guard(ledger=ledger, planner=planner, upstreams=upstreams, settings=settings, clock=clock)
    daemon_control = DaemonControl(
        identity=identity,
        ledger=ledger,
        prices=prices,
        keys=keys,
        upstreams=upstreams,
        settings=settings,
        clock=clock,
        stop=stopping,
        skew=parts.skew,
        strangers=strangers,
    )
    accounts = ledger.state.accounts
    fairness = Fairness(
        settings, clock, calls_open=lambda agent_id: accounts[agent_id].calls_open, note=ledger.refuse
    )
    counts = CountRoutes(
        ledger=ledger,
        guard=guard,
        fairness=fairness,
        prices=prices,
        keys=keys,
        upstreams=upstreams,
        settings=settings,
        clock=clock,
    )
    gateway = Gateway(
        guard=guard,
        identifier=Identifier(ledger=ledger, settings=settings, token=identity.token, clock=clock),
        counts=counts,
        models=ModelList(state=ledger.state, fairness=fairness, prices=prices, keys=keys, clock=clock),
        control=Control(
            ledger=ledger,
            guard=guard,
            settings=settings,
            clock=clock,
            rng=rng,
            daemon=daemon_control,
            prices=prices,
            tally=tally,
        ),
        fairness=fairness,
        settings=settings,
        token=identity.token,
        doors=doors,
        rng=rng,
        clock=clock,
        strangers=strangers,
        tally=tally,
    )
    return guard, gateway


async def _drain(guard: Guard, gateway: Gateway, ledger: Ledger, stopping: Stopping) -> None:
    """Let calls in flight end, for as long as they may, and the feed; cut them when somebody says now."""
    closing = asyncio.create_task(guard.close(0 if stopping.now else GRACE_SECONDS))
    hurry = asyncio.create_task(stopping.wait_for_now())
    await asyncio.wait({closing, hurry}, return_when=asyncio.FIRST_COMPLETED)
    hurry.cancel()
    if not closing.done():
        await guard.close(0)
    await closing
    with suppress(SpendGuardError):  # a disk that fails is said by the ledger's own end
        await ledger.durable()
    gateway.end_feeds()


def _fail_stop(error: BaseException) -> None:
    """End the process at once: after a failed write or sync nothing more may be forwarded or answered."""
    logger.critical("the disk failed, stopping", extra={"facts": {"error": str(error)}})
    with suppress(OSError):  # whoever started us may be gone
        _report(disk_fault(error))
    os._exit(Exit.DISK)


def _report(error: SpendGuardError) -> int:
    """Say in one JSON line on stderr why the daemon does not run; return its exit code."""
    entry = TABLE[error.code]
    report = {
        "code": error.code.value,
        "detail": error.detail,
        "remedy": error.remedy or entry.operator_remedy,
    }
    if logging.getLogger().handlers:  # else nothing of the home may be trusted yet, its log neither
        logger.critical("ended", extra={"facts": report})
    sys.stderr.write(json.dumps(report) + "\n")
    sys.stderr.flush()
    return entry.exit


def _uvloop_run() -> Callable[..., int] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.run
