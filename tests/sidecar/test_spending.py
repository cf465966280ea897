"""What each agent spent lately: steps of ten seconds, a quarter of an hour of them, for people to look at."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from ledger_kit import AGENT, funded_book, hold_call, settle
from spendguard_daemon.feed_wire import SPEND_STEPS
from spendguard_daemon.gateway.spending import STEP_NS, Spending
from spendguard_daemon.ledger import events as ev

SUMS = {"funded_nusd": 0, "settled_nusd": 0, "held_nusd": 0}
START = 1_000 * STEP_NS


@dataclass(frozen=True)
class Spent:
    """So much, so many steps after the start."""

    step: int
    nusd: int


SPENT = st.lists(st.builds(Spent, st.integers(0, 300), st.integers(0, 10**12)), max_size=60)


def overrun(agent_id: str, nusd: int) -> ev.Overrun:
    """Return the end of a call that cost so much."""
    return ev.Overrun(
        agent_id=agent_id,
        call_id="c",
        cost_nusd=nusd,
        hold_nusd=0,
        usage={},
        lines=[],
        http_status=200,
        reason="reported",
        **SUMS,
    )


def adjust(from_nusd: int, to_nusd: int) -> ev.Adjust:
    """Return a correction."""
    return ev.Adjust(
        agent_id=AGENT, call_id="c", from_nusd=from_nusd, to_nusd=to_nusd, reason="bill", actor="me", **SUMS
    )


@given(SPENT, st.integers(0, 400))
def test_its_steps_are_the_sums_of_their_time(spent: list[Spent], now: int) -> None:
    """The last ninety steps, oldest first, from the first spending on; in the order of time all is there."""
    spending = Spending()
    heard = sorted((one for one in spent if one.step <= now), key=lambda one: one.step)
    for one in heard:
        spending.hear(overrun(AGENT, one.nusd), START + one.step * STEP_NS + 7)
    steps = [
        sum(one.nusd for one in heard if one.step == step) for step in range(now - SPEND_STEPS + 1, now + 1)
    ]
    while steps and not steps[0]:
        steps.pop(0)
    assert spending.of(AGENT, START + now * STEP_NS) == steps
    assert spending.of("another", START) == []


@given(SPENT)
def test_it_is_bounded(spent: list[Spent]) -> None:
    """However the wall clock jumps, no agent has more steps than are shown."""
    spending = Spending()
    for one in spent * 3:
        spending.hear(overrun(AGENT, one.nusd), START + one.step * STEP_NS)
        assert len(spending.of(AGENT, START + one.step * STEP_NS)) <= SPEND_STEPS


def test_a_correction_counts_upwards_alone() -> None:
    """What was charged too much comes back to the budget, but nothing is spent by it."""
    spending = Spending()
    spending.hear(adjust(100, 40), START)
    assert spending.of(AGENT, START) == []
    spending.hear(adjust(40, 90), START)
    assert spending.of(AGENT, START) == [50]


def test_who_is_deleted_is_forgotten() -> None:
    """And what is no spending is none."""
    spending = Spending()
    spending.hear(overrun(AGENT, 5), START)
    spending.hear(ev.Freeze(agent_id=AGENT, reason="x", actor="me"), START)
    assert spending.of(AGENT, START) == [5]
    spending.hear(ev.AgentDel(agent_id=AGENT, actor="me"), START)
    assert spending.of(AGENT, START) == []


def test_it_begins_with_the_calls_of_the_daemon_before() -> None:
    """Those that ended, at what they cost, when they ended; not what is held."""
    book = funded_book(100_000)
    for number in range(3):
        book.execute(hold_call(f"c{number}"))
    book.execute(settle("c0", 70))
    book.execute(settle("c1", 0))
    calls = book.history.latest(100)
    ended_ns = calls[-1].ended_ns
    assert ended_ns is not None
    assert Spending(calls).of(AGENT, ended_ns) == [70]
