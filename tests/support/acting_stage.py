"""`watch` over a real sidecar with a provider that can be made to wait: what a test of a deed needs.

`watching(sidecar)` gives the program on that sidecar's feed, with a desk. `seen` lets the program go on until
something is so; `look_at` puts what an action is about under the cursor, whatever the view.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from textual.pilot import Pilot
from textual.widgets import Static

from sidecar import Sidecar
from spendguard_cli.context import Connection, Flags, resolve
from spendguard_cli.watch.acting import begin, desk_at
from spendguard_cli.watch.app import WatchApp
from spendguard_cli.watch.feed import FeedReader
from spendguard_cli.watch.modals import Ask
from spendguard_cli.watch.subject import Subject
from spendguard_cli.watch.widgets.lines import LineTable

BODY = {"model": "gpt-4o-mini", "max_tokens": 1000, "messages": [{"role": "user", "content": "hello"}]}
DEADLINE_SECONDS = 20
Found = TypeVar("Found")


def connection(sidecar: Sidecar) -> Connection:
    """Return how a command line reaches a sidecar."""
    return resolve(Flags(home=str(sidecar.home.root), no_spawn=True), {})


class Watching:
    """A running `watch`, a pilot at its keys, and the sidecar that it is about."""

    def __init__(self, app: WatchApp, pilot: Pilot[None], sidecar: Sidecar) -> None:
        self.app, self.pilot, self.sidecar = app, pilot, sidecar

    async def seen(self, look: Callable[[], Found]) -> Found:
        """Let the program go on until `look` returns something true; return that."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (found := look()):
            assert time.monotonic() < deadline, f"never seen; toasts: {self.toasts()}"
            await self.pilot.pause(0.02)
        return found

    def toasts(self) -> list[str]:
        """Return what was told in passing."""
        return [one.message for one in self.app._notifications]

    async def told(self, words: str) -> str:
        """Wait for a toast with these words; return it."""
        return await self.seen(lambda: next((one for one in self.toasts() if words in one), ""))

    async def ask(self, name: str, subject: Subject) -> Ask:
        """Begin an action; return its question once it is shown."""
        begin(self.app, name, subject)
        await self.seen(lambda: isinstance(self.app.screen, Ask))
        await self.pilot.pause()
        screen = self.app.screen
        assert isinstance(screen, Ask)
        return screen

    def says(self) -> str:
        """Return the consequences that the question in sight tells."""
        return str(self.app.screen.query_one("#says", Static).content)

    async def point(self, agent_id: str) -> None:
        """Put the cursor of the agents' view on an agent."""
        self.app.redraw()
        await self.pilot.pause()
        table = self.app.screen.query_one(LineTable)
        await self.seen(lambda: agent_id in table.keys)
        table.point(agent_id)
        await self.pilot.pause()
        assert table.key == agent_id

    async def press(self, *keys: str) -> None:
        """Press keys, and let them be seen."""
        for key in keys:
            await self.pilot.press(key)
            await self.pilot.pause()

    async def done(self, work: Callable[[], Found]) -> Found:
        """Ask the sidecar on a thread, so that the program goes on meanwhile."""
        return await asyncio.to_thread(work)

    def records(self, kind: str, **facts: object) -> list[dict[str, Any]]:
        """Return the journal's records of a kind with these facts."""
        found = [one for one in self.sidecar.journal() if one["t"] == kind]
        return [one for one in found if all(one.get(key) == fact for key, fact in facts.items())]


@asynccontextmanager
async def watching(
    sidecar: Sidecar, *agents: str, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[Watching]:
    """Run `watch` on a sidecar's feed until the block ends; it knows these agents when it begins."""
    reached = connection(sidecar)
    app = WatchApp(FeedReader(reached), desk=desk_at(reached))
    async with app.run_test(size=size, notifications=True) as pilot:
        seat = Watching(app, pilot, sidecar)
        await seat.seen(lambda: app.board.link == "live" and set(agents) <= set(app.board.rows))
        yield seat
