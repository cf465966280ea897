"""Whose turn it is: the lock, the claims, and the fair turn after 30 s."""

from ledger_kit import NOW
from spendguard_daemon.ledger.commands import Now
from spendguard_daemon.ledger.turns import CLAIMS_MAX, Turns

SECOND = 10**9
DEADLINE = NOW.wall_ns + 3600 * SECOND


def at(seconds: float) -> Now:
    """Return a point in time, in seconds after the start."""
    return Now(NOW.wall_ns + int(seconds * SECOND), NOW.monotonic_ns + int(seconds * SECOND))


class Agent:
    """One agent's lock, told about in seconds."""

    def __init__(self) -> None:
        self.turns = Turns()

    def attach(self, run: str, call: str, seconds: float, deadline_ns: int = DEADLINE) -> None:
        self.turns.attach("a", run, call, deadline_ns, at(seconds).monotonic_ns)

    def detach(self, call: str, seconds: float) -> None:
        self.turns.detach(call, at(seconds).monotonic_ns)

    def claim(self, run: str, seconds: float) -> None:
        self.turns.claim("a", run, at(seconds).monotonic_ns)

    def blocked_by(self, run: str, seconds: float) -> tuple[str, str | None] | None:
        """Return the run in the way and the run that is next."""
        block = self.turns.block("a", run, at(seconds))
        return (block.lock.run_id, block.next_run_id) if block else None


def long_holder(held_seconds: float = 31) -> Agent:
    """Return an agent whose run A has had calls in flight for so long, with a claim of B since second 20."""
    agent = Agent()
    agent.attach("A", "a1", 0)
    for second in range(20, int(held_seconds) + 1):
        agent.claim("B", second)
    return agent


def test_the_run_with_calls_in_flight_owns_the_lock() -> None:
    """Its own further calls join; other runs are blocked until its last call is gone."""
    agent = Agent()
    assert agent.blocked_by("A", 0) is None
    agent.attach("A", "a1", 0)
    agent.attach("A", "a2", 1)
    assert agent.blocked_by("A", 2) is None
    assert agent.blocked_by("B", 2) == ("A", None)
    agent.detach("a1", 3)
    assert agent.blocked_by("B", 3) == ("A", None)
    agent.detach("a2", 4)
    agent.detach("a2", 4)
    assert agent.blocked_by("B", 4) is None


def test_the_lock_tells_its_age_and_its_latest_deadline() -> None:
    """Age from the first call on, deadline of whichever call may last longest."""
    agent = Agent()
    assert agent.turns.lock("a", at(0)) is None
    agent.attach("A", "a1", 0, DEADLINE + 7)
    agent.attach("A", "a2", 5, DEADLINE)
    lock = agent.turns.lock("a", at(12))
    assert lock is not None
    assert (lock.run_id, lock.age_ns, lock.expires_ns) == ("A", 12 * SECOND, DEADLINE + 7)
    agent.detach("a1", 12)
    agent.detach("a2", 12)
    assert agent.turns.lock("a", at(12)) is None


def test_attached_tells_whether_a_call_still_has_its_client() -> None:
    """Until it ends or its client leaves."""
    agent = Agent()
    agent.attach("A", "a1", 0)
    assert agent.turns.attached("a1")
    agent.detach("a1", 1)
    assert not agent.turns.attached("a1")


def test_a_short_holder_need_not_yield() -> None:
    """Below 30 s its calls go on overlapping, whoever waits."""
    agent = long_holder(29)
    assert agent.blocked_by("A", 29.9) is None


def test_a_long_holder_yields_to_the_first_claim() -> None:
    """From 30 s on it gets no new call, and hears who is next; the claimant still waits for the lock."""
    agent = long_holder()
    assert agent.blocked_by("A", 31) == ("A", "B")
    assert agent.blocked_by("B", 31) == ("A", "B")


def test_a_long_holder_without_rivals_goes_on() -> None:
    """There is nobody to let in."""
    agent = Agent()
    agent.attach("A", "a1", 0)
    assert agent.blocked_by("A", 3000) is None


def test_the_freed_lock_is_kept_for_the_claimant() -> None:
    """For 5 s only the claimant gets in; once it had its turn, the old holder waits like anyone."""
    agent = long_holder()
    agent.detach("a1", 31)
    assert agent.blocked_by("A", 32) == ("B", "B")
    assert agent.blocked_by("C", 32) == ("B", "B")
    assert agent.blocked_by("B", 32) is None
    agent.attach("B", "b1", 32)
    assert agent.blocked_by("A", 33) == ("B", None)
    agent.detach("b1", 34)
    assert agent.blocked_by("A", 34) is None


def test_the_reserved_lock_says_until_when() -> None:
    """A blocked run learns how long the claimant waited, and when the reservation ends."""
    agent = long_holder()
    agent.detach("a1", 31)
    block = agent.turns.block("a", "A", at(33))
    assert block is not None
    assert (block.lock.age_ns, block.lock.expires_ns) == (13 * SECOND, at(36).wall_ns)


def test_the_reservation_ends_after_five_seconds() -> None:
    """A claimant that does not come back does not block the agent."""
    agent = long_holder()
    agent.detach("a1", 31)
    assert agent.blocked_by("A", 35.9) == ("B", "B")
    assert agent.blocked_by("A", 36) is None


def test_a_claim_dies_thirty_seconds_after_its_last_try() -> None:
    """Then the long holder may go on."""
    agent = long_holder()
    assert agent.blocked_by("A", 60.9) == ("A", "B")
    assert agent.blocked_by("A", 61) is None


def tries(agent: Agent, run: str, *seconds: float) -> list[bool]:
    """Let a run try at these times, as the ledger notes it; return what it is told of waiting on."""
    worth: list[bool] = []
    for second in seconds:
        block = agent.turns.block("a", run, at(second))
        assert block is not None
        worth.append(not block.in_vain)
        if not block.in_vain:
            agent.claim(run, second)
    return worth


def test_a_run_that_doubles_its_wait_is_told_to_stop_within_a_minute() -> None:
    """At the times when Claude Code was seen to try: the seventh try is the last; its claim dies out."""
    agent = Agent()
    agent.attach("A", "a1", 0)
    assert tries(agent, "B", 1, 2, 3.5, 5.5, 10, 19.7, 39.5, 45) == [True] * 6 + [False] * 2
    assert agent.blocked_by("C", 49) == ("A", "B")
    assert agent.blocked_by("C", 50) == ("A", None)
    assert tries(agent, "B", 50) == [True]


def test_thirty_seconds_are_long_enough() -> None:
    """To the nanosecond, and counted from the first try of a claim that is alive."""
    agent = Agent()
    agent.attach("A", "a1", 0)
    agent.claim("B", 10)
    agent.claim("B", 35)
    block = agent.turns.block("a", "B", Now(at(40).wall_ns, at(40).monotonic_ns - 1))
    assert block is not None
    assert (block.in_vain, block.waited_ns) == (False, 30 * SECOND - 1)
    assert tries(agent, "B", 40) == [False]
    agent.claim("C", 10)
    assert tries(agent, "C", 40) == [True]  # nobody has heard of it for 30 s


def test_a_holder_that_must_yield_is_told_how_long_it_waits_itself() -> None:
    """Blocked in favour of another, with calls in flight and without: it waits like anyone."""
    agent = long_holder()
    assert tries(agent, "A", 31) == [True]
    agent.detach("a1", 32)
    block = agent.turns.block("a", "A", at(33))
    assert block is not None
    assert (block.lock.run_id, block.lock.age_ns, block.waited_ns) == ("B", 13 * SECOND, 2 * SECOND)


def test_claims_are_served_in_the_order_of_the_first_try() -> None:
    """Trying again keeps the place; a dead claim loses it."""
    agent = Agent()
    agent.attach("A", "a1", 0)
    for second, run in ((20, "B"), (21, "C"), (30, "C"), (31, "B")):
        agent.claim(run, second)
    assert agent.blocked_by("A", 32) == ("A", "B")
    agent.claim("C", 60)
    assert agent.blocked_by("A", 61) == ("A", "C")
    agent.claim("B", 61)
    assert agent.blocked_by("A", 61) == ("A", "C")


def test_after_the_claimants_turn_the_next_claim_waits_for_thirty_seconds_again() -> None:
    """B had its turn; C's claim makes B yield only once B has held for 30 s."""
    agent = long_holder()
    agent.claim("C", 31)
    agent.detach("a1", 31)
    agent.attach("B", "b1", 32)
    agent.claim("C", 45)
    assert agent.blocked_by("B", 46) is None
    for second in range(46, 63):
        agent.claim("C", second)
    assert agent.blocked_by("B", 62) == ("B", "C")


def test_a_holder_that_lets_go_for_a_moment_did_not_let_go() -> None:
    """Calls one after the other, with gaps too short for anyone, add up to one long hold."""
    agent = Agent()
    for second in range(31):
        agent.attach("A", f"a{second}", second)
        agent.detach(f"a{second}", second + 0.9)
    agent.claim("B", 30.5)
    agent.attach("A", "last", 31)
    assert agent.blocked_by("A", 31) == ("A", "B")


def test_a_real_pause_starts_the_hold_anew() -> None:
    """Whoever was away for a second let others in."""
    agent = Agent()
    agent.attach("A", "a1", 0)
    agent.detach("a1", 29)
    agent.attach("A", "a2", 30)
    agent.claim("B", 40)
    assert agent.blocked_by("A", 41) is None


def test_another_run_that_comes_at_once_begins_anew() -> None:
    """Only the holder itself did not let go for a moment."""
    agent = Agent()
    agent.attach("A", "a1", 0)
    agent.detach("a1", 10)
    agent.attach("B", "b1", 10.5)
    lock = agent.turns.lock("a", at(12))
    assert lock is not None
    assert (lock.run_id, lock.age_ns) == ("B", 1.5 * SECOND)


def test_overlapping_runs_of_a_once_shared_agent_block_each_other() -> None:
    """When concurrency becomes exclusive with several runs in flight, the lock passes on as they end."""
    agent = Agent()
    agent.attach("A", "a1", 0)
    agent.attach("B", "b1", 1)
    agent.attach("C", "c1", 1)
    agent.detach("c1", 1)
    assert agent.blocked_by("A", 2) == ("A", None)
    assert agent.blocked_by("B", 2) == ("A", None)
    agent.detach("a1", 3)
    assert agent.blocked_by("A", 3) == ("B", None)
    assert agent.blocked_by("B", 3) is None
    lock = agent.turns.lock("a", at(4))
    assert lock is not None
    assert (lock.run_id, lock.age_ns) == ("B", SECOND)


def test_claims_are_bounded() -> None:
    """A flood of run ids takes no memory without end, and keeps the first one's place."""
    agent = Agent()
    agent.attach("A", "a1", 0)
    for index in range(10 * CLAIMS_MAX):
        agent.claim(f"r{index}", 29)
    assert len(agent.turns._turns["a"].claims) == CLAIMS_MAX
    assert agent.blocked_by("A", 31) == ("A", "r0")


def test_agents_do_not_meet() -> None:
    """One agent's lock is nothing to another."""
    agent = Agent()
    agent.attach("A", "a1", 0)
    assert agent.turns.block("b", "B", at(1)) is None
