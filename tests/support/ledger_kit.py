"""What ledger tests need again and again: commands with defaults, a ledger on a simulated disk, a journal."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sim import SimClock, SimRng
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.book import Book
from spendguard_daemon.ledger.events import CostLine, Hold
from spendguard_daemon.ledger.history import History
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.ledger.opening import FIRST_SEGMENT
from spendguard_daemon.ledger.rolling import SEGMENT_BYTES
from spendguard_daemon.ledger.room import RoomLimits
from spendguard_daemon.ledger.state import State
from spendguard_daemon.money import LinearCost
from spendguard_daemon.ports import Disk

FOLDER = Path("/home/ledger")
SEGMENT = FOLDER / FIRST_SEGMENT
HEAD = FOLDER / "head"
AGENT = "agent-1"
BARE = RoomLimits(free_bytes_min=0, ballast_bytes=0)
NOW = cmd.Now(wall_ns=1_800_000_000 * 10**9, monotonic_ns=10**9)


def offer(fixed_nusd: int, token_nusd: int, rung: str = "bytes") -> cmd.Offer:
    """Return an offer whose cost is `fixed_nusd + token_nusd * cap`."""
    return cmd.Offer(rung, 100, LinearCost(fixed_nusd, token_nusd, 1))


def hold_call(call_id: str, **changes: Any) -> cmd.HoldCall:
    """Return a command to hold 1,000 nUSD: 10 tokens at 100 nUSD, no floor below that."""
    values: dict[str, Any] = {
        "call_id": call_id,
        "agent_id": AGENT,
        "run_id": "run-1",
        "provider": "openai",
        "endpoint": "chat/completions",
        "model": "gpt-4o-mini",
        "offers": (offer(0, 100),),
        "choices": 1,
        "asked_output_tokens": 10,
        "output_tokens": 10,
        "floor_output_tokens": 10,
        "injected": False,
        "document_sha256": "d" * 64,
        "rates": {"input": 150_000, "output": 600_000},
        "deadline_ns": NOW.wall_ns + 3600 * 10**9,
    }
    return cmd.HoldCall(**(values | changes))


def new_agent(agent_id: str = AGENT, **changes: Any) -> cmd.NewAgent:
    """Return a command to make an exclusive, clamping agent."""
    values: dict[str, Any] = {"name": "n", "concurrency": "exclusive", "overflow": "clamp", "mock": False}
    return cmd.NewAgent(agent_id=agent_id, actor="test", **(values | changes))


def grant(limit_nusd: int, topup_nusd: int | None = None, agent_id: str = AGENT) -> cmd.GrantBudget:
    """Return a command to grant a budget."""
    return cmd.GrantBudget(agent_id, limit_nusd, topup_nusd, "test")


def add_key(key_id: str = "root", **changes: Any) -> cmd.AddKey:
    """Return a command to add a key; a child where it has a parent."""
    kind = "child" if changes.get("parent_id") else "agent"
    values: dict[str, Any] = {"public": f"public of {key_id}", "kind": kind, "actor": "test"}
    return cmd.AddKey(**({"agent_id": AGENT, "key_id": key_id} | values | changes))


def settle(call_id: str, cost_nusd: int) -> cmd.SettleCall:
    """Return a command to settle a call at a known cost."""
    usage = {"input_tokens": 3, "output_tokens": 4}
    line: CostLine = {
        "name": "output",
        "quantity": 4,
        "unit": "token",
        "rate": 600_000,
        "cost_nusd": str(cost_nusd),
    }
    return cmd.SettleCall(call_id, cost_nusd, usage, [line], 200, "reported")


def make_book(clock: SimClock | None = None) -> Book:
    """Return an empty book whose records go nowhere."""
    book = Book(State(), History(), clock or SimClock(), seq=0, wall_ns=0)
    book.sink = lambda entries: None
    return book


def funded_book(limit_nusd: int, **agent: Any) -> Book:
    """Return a book with one agent that has a budget."""
    book = make_book()
    book.execute(new_agent(**agent))
    book.execute(grant(limit_nusd))
    return book


@dataclass
class Failures:
    """A `fatal` callback that remembers."""

    seen: list[BaseException] = field(default_factory=list)

    def __call__(self, error: BaseException) -> None:
        self.seen.append(error)


def open_ledger(
    disk: Disk,
    clock: SimClock | None = None,
    fatal: Callable[[BaseException], None] | None = None,
    limits: RoomLimits = BARE,
    segment_bytes: int = SEGMENT_BYTES,
) -> Ledger:
    """Open the ledger on a disk, by default one whose room nobody minds; an unexpected failure is raised."""
    return Ledger.open(
        FOLDER,
        disk=disk,
        clock=clock or SimClock(),
        rng=SimRng(),
        fatal=fatal or _unexpected,
        version="0.3.0",
        limits=limits,
        segment_bytes=segment_bytes,
    )


def _unexpected(error: BaseException) -> None:
    raise AssertionError("the disk failed") from error


def refused_code(action: Callable[[], object]) -> str:
    """Return the code that `action` is refused with."""
    try:
        action()
    except SpendGuardError as error:
        return error.code.value
    raise AssertionError("not refused")


def in_its_place(error: SpendGuardError) -> SpendGuardError:
    """Return a refusal that may name a place in a file, after a look whether there can be one like it."""
    if "byte" in error.facts:
        line, byte = int(str(error.facts["line"])), int(str(error.facts["byte"]))
        assert line >= 1
        assert byte >= 0
        assert (line == 1) == (byte == 0), "only the first line begins at the first byte"
    return error


def held(book: Book, call_id: str = "c", **changes: Any) -> Hold:
    """Execute a hold that must be admitted."""
    (hold,) = book.execute(hold_call(call_id, **changes))
    assert isinstance(hold, Hold)
    return hold


def refused(book: Book, **changes: Any) -> SpendGuardError:
    """Execute a hold that must be refused, and check that it changed nothing."""
    before = repr(book.state)
    try:
        book.execute(hold_call("refused", **changes))
    except SpendGuardError as error:
        assert repr(book.state) == before
        return error
    raise AssertionError("not refused")


def spend(book: Book, call_id: str, cost_nusd: int) -> None:
    """Hold and settle one call."""
    book.execute(hold_call(call_id))
    book.execute(settle(call_id, cost_nusd))
