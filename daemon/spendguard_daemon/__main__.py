"""The composition root: from flags and environment to a serving daemon, and back down again.

Everything is made here once and handed to those who need it; no other module knows how the parts are wired.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from spendguard_daemon import __version__, log, runtime
from spendguard_daemon.codes import TABLE, Exit
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.gateway.app import Gateway, listen, serve
from spendguard_daemon.gateway.control import Control
from spendguard_daemon.gateway.daemon_control import DaemonControl, Identity, KeyRing
from spendguard_daemon.gateway.mock_upstream import MockUpstream
from spendguard_daemon.gateway.upstream import HttpUpstream
from spendguard_daemon.guard import Guard
from spendguard_daemon.ledger.faults import disk_fault
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.planner import Planner
from spendguard_daemon.ports import Upstream
from spendguard_daemon.price_keeper import PriceKeeper
from spendguard_daemon.pricing.source import LocalPrices
from spendguard_daemon.provider_keys import ProviderKeys
from spendguard_daemon.runtime import DaemonInfo, Home
from spendguard_daemon.settings import Settings, load
from spendguard_daemon.system import SystemClock, SystemDisk, SystemRng
from spendguard_daemon.vigil import Vigil
from spendguard_daemon.wire import iso

GRACE_SECONDS = 20
"""How long calls in flight may go on after a polite signal; then they are cut and settle at worst."""

logger = logging.getLogger("spendguard")


def main() -> int:
    """Run the daemon; return its exit code. A failed start ends with one JSON line on stderr."""
    parser = argparse.ArgumentParser(prog="spendguard_daemon", description=__doc__)
    parser.add_argument("--port", type=int)
    parser.add_argument("--foreground", action="store_true")
    parser.add_argument("--unsafe-fs", action="store_const", const="allow")
    flags = parser.parse_args()
    env = dict(os.environ)
    home, disk = runtime.home_of(env), SystemDisk()
    try:
        runtime.prepare(home, disk)
        settings = load(_text(home.config), env, {"port": flags.port, "unsafe_fs": flags.unsafe_fs})
        keys = KeyRing(lambda: ProviderKeys(env, _text(home.secrets)))
        token = runtime.ensure_admin_token(home, disk, SystemRng())
        log.configure(home.log, lambda: keys().secrets() | {token}, foreground=flags.foreground)
        run = _uvloop_run() or asyncio.run
        return run(_daemon(home, settings, keys, token))
    except SpendGuardError as error:
        return _report(error)
    except OSError as error:
        return _report(disk_fault(error))


async def _daemon(home: Home, settings: Settings, keys: KeyRing, token: str) -> int:
    """Open the ledger, load prices, listen, serve until told to stop."""
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
    ledger.start(asyncio.get_running_loop())
    prices = PriceKeeper(
        LocalPrices(
            home.pricing, home.trust, disk=disk, clock=clock, rng=rng, overrides=settings.price_overrides
        ),
        ledger,
        clock,
    )
    await prices.load()
    sockets = listen(settings.port)
    port: int = sockets[0].getsockname()[1]
    addresses = tuple(_address(bound.getsockname()) for bound in sockets)
    real, mock = HttpUpstream(settings.base_urls), MockUpstream()

    def upstreams(provider: str) -> Upstream:
        return mock if provider == "mock" else real

    planner = Planner(prices=prices, keys=keys, settings=settings, clock=clock)
    guard = Guard(ledger=ledger, planner=planner, upstreams=upstreams, settings=settings, clock=clock)
    stopping = _Stopping()
    daemon_control = DaemonControl(
        identity=Identity(str(home.root), token, port, addresses, clock.wall_ns()),
        ledger=ledger,
        prices=prices,
        keys=keys,
        upstreams=upstreams,
        settings=settings,
        clock=clock,
        stop=stopping.ask,
    )
    control = Control(
        ledger=ledger, guard=guard, settings=settings, clock=clock, rng=rng, daemon=daemon_control
    )
    gateway = Gateway(guard=guard, control=control, settings=settings, token=token, port=port, rng=rng)
    runner = await serve(gateway.handle, sockets)
    keeper = asyncio.create_task(prices.keep())
    vigil = Vigil(clock, asyncio.get_running_loop().time, settings.idle_seconds)
    watcher = asyncio.create_task(vigil.keep(lambda: list(ledger.state.open_calls), guard.abort))
    started_at = iso(clock.wall_ns())
    runtime.write_daemon_info(
        home,
        disk,
        DaemonInfo(
            pid=os.getpid(), port=port, version=__version__, started_at=started_at, addresses=list(addresses)
        ),
    )
    logger.info("listening", extra={"facts": {"addresses": addresses, "version": __version__}})
    await stopping.wait()
    keeper.cancel()
    watcher.cancel()
    await guard.close(0 if stopping.now else GRACE_SECONDS)
    await runner.cleanup()
    await real.close()
    await ledger.close("shutdown")
    logger.info("stopped")
    return Exit.OK


class _Stopping:
    """The wish to stop: by signal or by the control API; a second one means now."""

    def __init__(self) -> None:
        self.now = False
        self._asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)

    def ask(self, now: bool) -> None:
        """Stop soon, or at once."""
        self.now = self.now or now
        self._asked.set()

    async def wait(self) -> None:
        """Return when somebody wants the daemon to stop."""
        await self._asked.wait()

    def _on_signal(self) -> None:
        if self._asked.is_set():
            # Holds that are open now settle at worst at the next start: nothing is lost by leaving.
            os._exit(Exit.FAILED)
        self.ask(now=False)


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
    sys.stderr.write(json.dumps(report) + "\n")
    sys.stderr.flush()
    return entry.exit


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _address(name: tuple[object, ...]) -> str:
    host, port = name[0], name[1]
    return f"http://[{host}]:{port}" if ":" in str(host) else f"http://{host}:{port}"


def _uvloop_run() -> Callable[..., int] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.run


if __name__ == "__main__":
    sys.exit(main())
