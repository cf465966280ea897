"""Whose turn it is: which run of an agent has its lock, and which other run is let in after it.

Owns what lives only as long as the process: which calls have a client still attached, and which runs were
turned away. Never journaled, reads no clock, moves no money.

Rules (design 4). The run with attached calls owns the agent's lock, and its further calls join it. A run
that was turned away has a claim, alive for 30 s after its last try; claims stand in the order of the first
try. A run that has tried for 30 s is told to stop, and what it tries after that keeps no claim alive. A run
that has kept the lock for 30 s lets the first live claim in: its new calls are blocked until the claimant had
its turn, or the lock has been free for 5 s, or the claim has died. A holder that lets go for less than a
second did not let go: nobody could have come in between.
"""

from dataclasses import dataclass, field

from spendguard_daemon.ledger.commands import Now
from spendguard_daemon.ledger.times import NS_PER_SECOND

CLAIM_TTL_NS = 30 * NS_PER_SECOND
"""Claude Code 2.1.332 doubles its wait: 20 s lie between its sixth try and its seventh."""

PATIENCE_NS = 30 * NS_PER_SECOND
"""A program that doubles its wait and has tried for 30 s would come again after more than a minute."""

TURN_NS = 30 * NS_PER_SECOND
GRACE_NS = 5 * NS_PER_SECOND
GAP_NS = 1 * NS_PER_SECOND
CLAIMS_MAX = 256


@dataclass(frozen=True, slots=True)
class Lock:
    """An agent's lock as it is now: its run, for how long (ns), and when its last call must have ended.

    `calls` are those of the run in flight with a client; 0 where the lock is kept for the run that is next.
    """

    run_id: str
    age_ns: int
    expires_ns: int
    calls: int


@dataclass(frozen=True, slots=True)
class Block:
    """Why a run may not start a call now: `lock` is in its way, `next_run_id` is to be let in next.

    `waited_ns` is how long the run itself has tried, 0 at its first try.
    """

    lock: Lock
    next_run_id: str | None
    waited_ns: int

    @property
    def in_vain(self) -> bool:
        """Whether the run has tried for so long that it had better stop, and come again another time."""
        return self.waited_ns >= PATIENCE_NS


@dataclass(slots=True)
class _Claim:
    first_ns: int
    last_ns: int


@dataclass(slots=True)
class _Turn:
    """One agent's lock. `holder` is the run that has it or had it last, since `since_ns`."""

    calls: dict[str, dict[str, int]] = field(default_factory=dict)  # run -> call -> deadline (wall ns)
    claims: dict[str, _Claim] = field(default_factory=dict)  # run -> claim, in order of the first try
    holder: str | None = None
    since_ns: int = 0
    freed_ns: int = 0

    def heir(self, now_ns: int) -> str | None:
        """Return the first run whose claim is alive."""
        alive = (run for run, claim in self.claims.items() if now_ns - claim.last_ns < CLAIM_TTL_NS)
        return next(alive, None)

    def waited_ns(self, run_id: str, now_ns: int) -> int:
        """Return how long a run has tried, 0 where it has no claim alive."""
        claim = self.claims.get(run_id)
        return now_ns - claim.first_ns if claim and now_ns - claim.last_ns < CLAIM_TTL_NS else 0


class Turns:
    """The locks of all agents."""

    def __init__(self) -> None:
        self._turns: dict[str, _Turn] = {}
        self._calls: dict[str, tuple[str, str]] = {}

    def attach(self, agent_id: str, run_id: str, call_id: str, deadline_ns: int, now_ns: int) -> None:
        """Note a call with its client: its run now has the lock, and had its turn."""
        turn = self._turns.setdefault(agent_id, _Turn())
        came_back = turn.holder == run_id and now_ns - turn.freed_ns < GAP_NS
        if not turn.calls and not came_back:
            turn.holder, turn.since_ns = run_id, now_ns
        turn.claims.pop(run_id, None)
        turn.calls.setdefault(run_id, {})[call_id] = deadline_ns
        self._calls[call_id] = (agent_id, run_id)

    def detach(self, call_id: str, now_ns: int) -> None:
        """Note that a call has ended or lost its client; it no longer holds the lock. Safe to repeat."""
        agent_id, run_id = self._calls.pop(call_id, (None, None))
        if agent_id is None or run_id is None:
            return
        turn = self._turns[agent_id]
        calls = turn.calls[run_id]
        del calls[call_id]
        if calls:
            return
        del turn.calls[run_id]
        if not turn.calls:
            turn.freed_ns = now_ns
        elif turn.holder == run_id:  # runs overlapped while the agent was shared; the next one has it now
            turn.holder, turn.since_ns = next(iter(turn.calls)), now_ns

    def attached(self, call_id: str) -> bool:
        """Tell whether the call's client is still there."""
        return call_id in self._calls

    def claim(self, agent_id: str, run_id: str, now_ns: int) -> None:
        """Note that a run was turned away and waits for its turn."""
        turn = self._turns.setdefault(agent_id, _Turn())
        for run in [run for run, claim in turn.claims.items() if now_ns - claim.last_ns >= CLAIM_TTL_NS]:
            del turn.claims[run]
        if run_id in turn.claims:
            turn.claims[run_id].last_ns = now_ns
        elif len(turn.claims) < CLAIMS_MAX:
            turn.claims[run_id] = _Claim(now_ns, now_ns)

    def lock(self, agent_id: str, now: Now) -> Lock | None:
        """Return the agent's lock, None where no call with a client is in flight."""
        turn = self._turns.get(agent_id)
        return _lock(turn, now) if turn is not None and turn.calls else None

    def block(self, agent_id: str, run_id: str, now: Now) -> Block | None:
        """Return what keeps a run from starting a call, None where it may; changes nothing."""
        turn = self._turns.get(agent_id)
        if turn is None:
            return None
        if any(run != run_id for run in turn.calls):
            now_ns = now.monotonic_ns
            return Block(_lock(turn, now), turn.heir(now_ns), turn.waited_ns(run_id, now_ns))
        return _block_of_long_holder(turn, run_id, now) if turn.claims else None


def _block_of_long_holder(turn: _Turn, run_id: str, now: Now) -> Block | None:
    """Return the block that reserves the lock for the first live claim, once its holder kept it too long."""
    now_ns = now.monotonic_ns
    heir = turn.heir(now_ns)
    if heir is None or heir == run_id:
        return None
    held_ns = (now_ns if turn.calls else turn.freed_ns) - turn.since_ns
    if turn.holder is None or held_ns < TURN_NS:
        return None
    if turn.calls:
        return Block(_lock(turn, now), heir, turn.waited_ns(run_id, now_ns))
    free_ns = now_ns - turn.freed_ns
    if free_ns >= GRACE_NS:
        return None
    reserved = Lock(heir, turn.waited_ns(heir, now_ns), now.wall_ns + GRACE_NS - free_ns, 0)
    return Block(reserved, heir, turn.waited_ns(run_id, now_ns))


def _lock(turn: _Turn, now: Now) -> Lock:
    run_id = next(iter(turn.calls))  # the holder's calls stand first
    calls = turn.calls[run_id]
    return Lock(run_id, now.monotonic_ns - turn.since_ns, max(calls.values()), len(calls))
