"""An agent that names another run in each call, 100,000 times: what is remembered of runs has an end.

The run is a word of the client's own, so nothing that is kept by run may grow with the number of them.
"""

import sys
from collections.abc import Callable

from sim import SimClock
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.insistence import RUNS_MAX, Insistence
from spendguard_daemon.ledger.commands import Now
from spendguard_daemon.ledger.history import REFUSALS_PER_AGENT_MAX, RUNS_PER_AGENT_MAX, History
from spendguard_daemon.ledger.refusals import Refusal, Refusals
from spendguard_daemon.ledger.turns import CLAIMS_MAX, Turns

MANY = 100_000
AGENT = "a"


def size_of(thing: object, seen: set[int] | None = None) -> int:
    """Return the bytes that an object and all that it refers to take."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, type | Callable):  # type: ignore[arg-type]
        return 0
    seen.add(id(thing))
    parts = [
        getattr(thing, name, None) for cls in type(thing).__mro__ for name in getattr(cls, "__slots__", ())
    ]
    parts += [*getattr(thing, "__dict__", {}).values()]
    if isinstance(thing, dict):
        parts += [*thing, *thing.values()]
    elif isinstance(thing, list | tuple | set):
        parts += thing
    return sys.getsizeof(thing) + sum(size_of(part, seen) for part in parts)


def run(number: int) -> str:
    """Return the longest run id that there may be."""
    return f"{number:0128}"


def test_the_list_of_runs() -> None:
    """The latest thousand of each agent."""
    history = History()
    for number in range(MANY):
        history.note_run(AGENT, run(number), number)
    runs = history.runs(AGENT)
    assert [seen.run_id for seen in runs] == [
        run(number) for number in range(MANY - 1, MANY - 1 - RUNS_PER_AGENT_MAX, -1)
    ]
    assert size_of(history) < 1_000_000


def test_refused_calls_of_all_of_them() -> None:
    """Shown are the latest, and in the journal they are one line."""
    history, refusals = History(), Refusals()
    for number in range(MANY):
        refusal = Refusal("c", AGENT, run(number), "openai", "chat", "m", Code.RATE_LIMITED, "why", {})
        refusals.note(refusal, Now(number, number))
        history.note_refusal(
            call_id=f"c-{number}",
            agent_id=AGENT,
            run_id=run(number),
            provider="openai",
            endpoint="chat",
            model="m",
            code="rate_limited",
            detail="why",
            http_status=429,
            wall_ns=number,
            facts={},
        )
    assert len(history.calls(AGENT, MANY)) == REFUSALS_PER_AGENT_MAX
    assert [record.count for record in refusals.all()] == [MANY]
    assert size_of(history) < 1_000_000
    assert size_of(refusals) < 100_000


def test_runs_that_wait_for_their_turn_and_those_that_had_it() -> None:
    """A claim of a run that is not heard of any more dies; of those alive there are only so many."""
    turns = Turns()
    turns.attach(AGENT, "holder", "c", 10**12, 0)
    for number in range(MANY):
        turns.claim(AGENT, run(number), number)
    assert size_of(turns) < CLAIMS_MAX * 1_000
    turns.detach("c", MANY)
    for number in range(MANY):
        turns.attach(AGENT, run(number), "c", 10**12, MANY + number)
        turns.detach("c", MANY + number)
    assert size_of(turns) < CLAIMS_MAX * 1_000


def test_runs_that_insist() -> None:
    """So many of all agents together."""
    insistence = Insistence(SimClock())
    for number in range(MANY):
        insistence.judge(SpendGuardError(Code.BUDGET_HELD, "held"), AGENT, run(number))
    assert size_of(insistence) < RUNS_MAX * 1_000
