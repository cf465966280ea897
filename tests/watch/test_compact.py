"""The line for status bars: what counts most comes first, nothing is cut, no name is in it."""

import msgspec
import pytest

from canned import NOW, at, crowd, snapshot, uuid
from spendguard_cli.watch.board import Board
from spendguard_cli.watch.compact import CELLS_MAX, line
from spendguard_cli.watch.messages import Snapped
from spendguard_cli.watch.once import Wanted, glance
from spendguard_cli.watch.seen import Glance
from spendguard_daemon.feed_wire import Snapshot


def seen(told: Snapshot, wanted: Wanted | None = None) -> Glance:
    """Return what is to be said of a snapshot, as of its own time."""
    board = Board()
    board.hear(Snapped(told), 0.0)
    return glance(board, NOW.timestamp(), wanted)


def test_all_that_goes_on_is_in_one_line() -> None:
    """Money left, calls in flight and waiting, refusals, pace and time, as far as they fit."""
    said = line(seen(snapshot()))
    assert said == "sg $94.85 left · 4 in flight · 1 waiting · 15 refused in 2h00m · 1h11m to empty"
    assert len(said) <= CELLS_MAX


def test_where_nothing_goes_on_little_is_said() -> None:
    """No zero is shown but that of the calls in flight."""
    quiet = msgspec.structs.replace(snapshot().totals, refusals=0, unconfirmed_usd="0", unconfirmed_calls=0)
    said = line(seen(msgspec.structs.replace(snapshot([]), totals=quiet)))
    assert said == "sg $0.00 left · 0 in flight"


def test_the_cap_of_all_is_what_is_left_where_it_is_less() -> None:
    """Agents cannot spend together what the daemon may not."""
    cap = msgspec.structs.replace(snapshot().totals.cap, remaining_usd="1.999")
    told = msgspec.structs.replace(snapshot(), totals=msgspec.structs.replace(snapshot().totals, cap=cap))
    assert line(seen(told)).startswith("sg $1.99 left")


@pytest.mark.parametrize("agents", [1, 500])
def test_it_fits_however_much_there_is(agents: int) -> None:
    """Eighty cells, and no colour."""
    said = line(seen(crowd(agents)))
    assert len(said) <= CELLS_MAX
    assert said.isprintable()


def test_one_agent_alone() -> None:
    """With --agent the sums are those of the agent."""
    told = snapshot()
    said = line(seen(told, Wanted(agent_id=told.agents[3].agent.agent_id)))
    assert said == "sg $0.10 left · 0 in flight · 12 refused in 2h00m · 1m40s to empty"
    told = msgspec.structs.replace(told, status=msgspec.structs.replace(told.status, started_at=at(-9)))
    said = line(seen(told, Wanted(agent_id=told.agents[3].agent.agent_id)))
    assert said == "sg $0.10 left · 0 in flight · 12 refused in 9s · burn $0.060/m · 1m40s to empty"


def test_many_agents_may_have_more_than_one_may() -> None:
    """A sum above the largest amount, of many agents with large limits, is a sum like any other."""
    first = snapshot().agents[0]
    rich = msgspec.structs.replace(first.money, hard_limit_usd="6000000", remaining_usd="6000000")
    told = [
        msgspec.structs.replace(
            first, agent=msgspec.structs.replace(first.agent, agent_id=uuid(one)), money=rich
        )
        for one in (1, 2)
    ]
    uncapped = msgspec.structs.replace(snapshot().totals.cap, hard_limit_cents=None, remaining_usd=None)
    totals = msgspec.structs.replace(snapshot().totals, cap=uncapped)
    said = line(seen(msgspec.structs.replace(snapshot(told), totals=totals)))
    assert said.startswith("sg $12000000 left")
