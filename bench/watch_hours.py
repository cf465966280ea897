"""Hours of simulated events, for bench/watch.py: does what is known of them grow? No sidecar, no clock.

The board alone, then the whole program without a terminal; each call is a hold, some progress and an end.
"""

import asyncio
import gc
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from spendguard_cli.watch.app import WatchApp
from spendguard_cli.watch.board import Board
from spendguard_cli.watch.messages import Happened, Message, Post, Snapped
from spendguard_daemon import wire
from spendguard_daemon.feed_wire import Event, Money, Progress, Snapshot, Standing, Totals
from spendguard_daemon.money import format_usd

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
WARM_PART = 4
"""Memory is compared with that after this part of the time: first everything that is kept must be full."""

FLUSHES = 10
"""Of the feed, in a second."""

LIMIT_NUSD = 10**12
COST_NUSD = 367_000
CAP = wire.DaemonBudget(
    hard_limit_cents=None, remaining_cents=None, remaining_usd=None, held_usd="0", settled_usd="0"
)
TOTALS = Totals(
    state="up",
    agents=0,
    calls_in_flight=0,
    calls_waiting=0,
    refusals=0,
    cap=CAP,
    unconfirmed_usd="0",
    unconfirmed_calls=0,
)
STATUS = wire.Status(
    version="0",
    pid=1,
    started_at="2026-01-01T00:00:00Z",
    home="/",
    addresses=[],
    pricing=None,
    providers=[],
    daemon_budget=CAP,
    agents=0,
    calls_in_flight=0,
    unconfirmed_usd="0",
    unconfirmed_calls=0,
    settled_at_worst_at_start=0,
    warnings=[],
)


def at(seconds: float) -> str:
    """Return a time of the simulated hours."""
    return (BEGAN + timedelta(seconds=seconds)).isoformat()


def uuid(number: int) -> str:
    """Return an id."""
    return f"{number % 2**32:08x}-0000-4000-8000-{number:012x}"


def money(settled_nusd: int, calls: int) -> Money:
    """Return an agent's money."""
    left = format_usd(LIMIT_NUSD - settled_nusd)
    return Money(
        hard_limit_usd=format_usd(LIMIT_NUSD),
        remaining_usd=left,
        available_usd=left,
        funded_usd=format_usd(LIMIT_NUSD),
        settled_usd=format_usd(settled_nusd),
        calls_in_flight=calls,
    )


def agent(number: int) -> wire.Agent:
    """Return an agent."""
    return wire.Agent(
        agent_id=uuid(number),
        name=f"agent-{number:03d}",
        created_at=at(0),
        concurrency="shared",
        overflow="clamp",
        mock=True,
        frozen=False,
    )


def call(number: int, agent_id: str, seconds: float, *, ended: bool) -> wire.Call:
    """Return a call, in flight or ended."""
    return wire.Call(
        call_id=uuid(10**6 + number),
        agent_id=agent_id,
        run_id=f"run-{number % 50}",
        provider="mock",
        endpoint="chat/completions",
        model="mock-small",
        state="settled" if ended else "held",
        hold_usd="0.001",
        cost_usd=format_usd(COST_NUSD) if ended else None,
        usage={"input_tokens": 9, "output_tokens": 20} if ended else None,
        lines=[],
        changed=[],
        document_sha256="a" * 64,
        http_status=200 if ended else None,
        code=None,
        reason=None,
        created_at=at(seconds),
        ended_at=at(seconds + 1) if ended else None,
    )


def messages(agents: int, rate: float, seconds: int) -> Iterator[Message]:
    """Yield a snapshot, then the events of each second as one batch."""
    standing = [Standing(agent=agent(number), money=money(0, 0)) for number in range(agents)]
    yield Snapped(Snapshot(epoch="bench", seq=0, at=at(0), status=STATUS, totals=TOTALS, agents=standing))
    settled, seq, number = [0] * agents, 0, 0
    for second in range(seconds):
        events: list[Event] = []
        for _ in range(int(rate)):
            whose = number * 7919 % agents
            agent_id = uuid(whose)
            settled[whose] += COST_NUSD
            held, ended = (call(number, agent_id, second, ended=over) for over in (False, True))
            told = Progress(call_id=held.call_id, agent_id=agent_id, answer_bytes=100, output_tokens=9)
            before, after = money(settled[whose] - COST_NUSD, 1), money(settled[whose], 0)
            told_at = at(second)
            mine = (
                Event(seq=seq + 1, at=told_at, kind="hold", agent_id=agent_id, money=before, call=held),
                Event(seq=seq + 2, at=told_at, kind="progress", agent_id=agent_id, progress=[told]),
                Event(seq=seq + 3, at=told_at, kind="end", agent_id=agent_id, money=after, call=ended),
            )
            events += mine
            seq, number = seq + 3, number + 1
        yield Happened(tuple(events))


def simulate(agents: int, rate: float, hours: float) -> dict[str, object]:
    """Return how much memory was held when all was warm, and how much more at the end, in MiB."""
    seconds = int(hours * 3600)
    board, warm = Board(), 0.0
    for second, message in enumerate(messages(agents, rate, seconds)):
        board.hear(message, float(second))
        if second == seconds // WARM_PART:
            warm = _rss_mib()
    figures: dict[str, object] = {
        "board_rss_warm_mib": round(warm, 1),
        "board_rss_growth_mib": round(_rss_mib() - warm, 1),
    }
    del board
    warm, end = asyncio.run(_in_app(agents, rate, seconds))
    return figures | {"app_rss_warm_mib": round(warm, 1), "app_rss_growth_mib": round(end - warm, 1)}


class _Hand:
    """A source that tells what it is handed."""

    def start(self, post: Post) -> None:
        self.post = post

    def close(self) -> None:
        """Nothing is open."""


async def _in_app(agents: int, rate: float, seconds: int) -> tuple[float, float]:
    """Tell the whole program the same, drawn once a simulated second."""
    hand, now = _Hand(), [0.0]
    app, warm = WatchApp(hand, local_seconds=lambda: now[0]), 0.0
    async with app.run_test(size=(160, 50)) as pilot:
        for second, message in enumerate(messages(agents, rate, seconds)):
            now[0] = float(second)
            hand.post(message)
            await pilot.pause(0)
            app.redraw()
            if second == seconds // WARM_PART:
                warm = _rss_mib()
        return warm, _rss_mib()


def storm(agents: int, rate: float, seconds: int = 60) -> dict[str, object]:
    """Return what a minute of so many refusals a second costs the program, in shares of a core and in MiB."""
    return asyncio.run(_in_storm(agents, int(rate), seconds))


async def _in_storm(agents: int, rate: int, seconds: int) -> dict[str, object]:
    """Tell refusals as the feed does, ten flushes a second, each decoded as a reader does; draw as often."""
    hand, now, used_seconds, warm = _Hand(), [0.0], 0.0, 0.0
    app = WatchApp(hand, local_seconds=lambda: now[0])
    async with app.run_test(size=(160, 50)) as pilot:
        hand.post(next(messages(agents, 0, 1)))
        for flush in range(seconds * FLUSHES):
            now[0] = flush / FLUSHES
            numbers = range(flush * rate // FLUSHES, (flush + 1) * rate // FLUSHES)
            told = [msgspec.json.encode(refused(number, agents, now[0])) for number in numbers]
            began = time.process_time()
            hand.post(Happened(tuple(msgspec.json.decode(one, type=Event) for one in told)))
            await pilot.pause(0)
            app.redraw()
            used_seconds += time.process_time() - began
            if flush == seconds * FLUSHES // WARM_PART:
                warm = _rss_mib()
        return {
            "storm_percent_of_a_core": round(100 * used_seconds / seconds, 1),
            "storm_rss_growth_mib": round(_rss_mib() - warm, 1),
        }


def refused(number: int, agents: int, seconds: float) -> Event:
    """Return the event of a call that got no hold."""
    agent_id = uuid(number * 7919 % agents)
    over = call(number, agent_id, seconds, ended=True)
    why = "Insufficient budget: this call can cost up to $0.82035, $0.00019 remains"
    over = msgspec.structs.replace(
        over, state="refused", cost_usd=None, http_status=402, code="insufficient_budget", reason=why
    )
    counted = msgspec.structs.replace(money(0, 0), refusals=number // agents + 1)
    return Event(seq=number + 1, at=at(seconds), kind="refused", agent_id=agent_id, money=counted, call=over)


def _rss_mib() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
