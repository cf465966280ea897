"""How the program on the screen is run, and ended: the terminal is given back whatever happens.

A signal ends it as `q` does, with the exit code of the signal; a fault of ours is raised to whoever says it
in one line, and neither a traceback nor what stood in a variable is drawn; what was asked of the sidecar and
not answered yet when one left is said, and not waited for.
"""

import asyncio
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from spendguard_cli.watch.app import WatchApp

ENDS = (signal.SIGTERM, signal.SIGHUP)
UNANSWERED = "the sidecar had not answered yet; whether it was done is not known: look before you do it again"
SIGNALLED = 128
Found = TypeVar("Found")


def run(app: "WatchApp", warn: Callable[[str], None]) -> int:
    """Show the program until it is left; return the exit code. `warn` says what is not known at the end.

    Raises what the program failed with.
    """

    async def shown() -> None:
        loop = asyncio.get_running_loop()
        for number in ENDS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # not where it was said to go on, as by nohup
                loop.add_signal_handler(number, partial(app.exit, return_code=SIGNALLED + number))
        await app.run_async()

    asyncio.run(shown())
    if app.fault is not None:
        raise app.fault
    for title in app.unanswered:
        warn(f"{title}: {UNANSWERED}")
    return app.return_code or 0


async def aside(work: Callable[[], Found]) -> Found:
    """Do something in a thread of its own, which nobody waits for once the program has ended."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Found] = loop.create_future()

    def settle(found: Found | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(found)  # type: ignore[arg-type]

    def worked() -> None:
        found, error = None, None
        try:
            found = work()
        except BaseException as raised:  # noqa: BLE001 (whatever it is, it is raised where it is waited for)
            error = raised
        with suppress(RuntimeError):  # the program has ended
            loop.call_soon_threadsafe(settle, found, error)

    threading.Thread(target=worked, daemon=True).start()
    return await done
