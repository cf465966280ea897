"""An event that cannot follow from those before it is found out."""

from typing import Any

import msgspec
import pytest

from ledger_kit import AGENT, NOW, funded_book, held, hold_call, new_agent, spend
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.apply import apply
from spendguard_daemon.ledger.state import ContradictionError


def contradictions() -> list[ev.Event]:
    """Return events that cannot follow in a book where call c is open and call e has ended at 5 nUSD."""
    balances: dict[str, Any] = {"funded_nusd": 5_000, "settled_nusd": 5, "held_nusd": 0}
    of_other: dict[str, Any] = {"funded_nusd": 0, "settled_nusd": 0, "held_nusd": 0}
    adjust: dict[str, Any] = {
        "call_id": "e",
        "agent_id": AGENT,
        "reason": "",
        "actor": "",
        "funded_nusd": 5_000,
    }
    end: dict[str, Any] = {
        "call_id": "c",
        "agent_id": AGENT,
        "hold_nusd": 1_000,
        "http_status": None,
        "reason": "r",
    }
    return [
        ev.Void(**(end | balances | {"call_id": "x"})),
        ev.Void(**(end | balances | {"hold_nusd": 999})),
        ev.Void(**(end | balances | {"agent_id": "x"})),
        ev.Void(**(end | of_other | {"agent_id": "other", "held_nusd": -1_000})),
        ev.Void(**(end | balances | {"held_nusd": 1})),
        ev.Void(**(end | balances | {"settled_nusd": 4})),
        ev.Void(**(end | balances | {"funded_nusd": 4})),
        ev.Sent(call_id="x", agent_id=AGENT, changed=[]),
        ev.Adjust(**(adjust | {"from_nusd": 4, "to_nusd": 5, "settled_nusd": 6, "held_nusd": 1_000})),
        ev.Adjust(**(adjust | {"from_nusd": 5, "to_nusd": 7, "settled_nusd": 6, "held_nusd": 1_000})),
        ev.Adjust(**(adjust | of_other | {"agent_id": "other", "from_nusd": 5, "to_nusd": 5})),
        ev.Adjust(**(adjust | balances | {"call_id": "c", "from_nusd": 0, "to_nusd": 0})),
        ev.Freeze(agent_id="x", reason="r", actor="me"),
        ev.AgentNew(agent_id=AGENT, name="n", concurrency="shared", overflow="clamp", mock=False, actor="me"),
        ev.DaemonLimitSet(
            limit_nusd=5,
            applied_nusd=5,
            ignored_nusd=0,
            cut_nusd=0,
            actor="me",
            funded_nusd=5,
            settled_nusd=0,
            held_nusd=0,
        ),
    ]


@pytest.mark.parametrize("event", contradictions())
def test_an_event_that_cannot_follow_is_a_contradiction(event: ev.Event) -> None:
    """Replay checks each record against those before it."""
    book = funded_book(5_000)
    book.execute(new_agent("other"))
    spend(book, "e", 5)
    book.execute(hold_call("c"))
    with pytest.raises(ContradictionError):
        apply(book.state, event, NOW.wall_ns)


def test_a_restored_ledger_is_of_the_generation_that_its_record_says() -> None:
    """Agents that are deleted wait for nothing; a freeze for another reason stays."""
    book = funded_book(5_000)
    for agent_id in ("frozen", "deleted"):
        book.execute(new_agent(agent_id))
    book.execute(cmd.Freeze("frozen", "mad", "me"))
    book.execute(cmd.DeleteAgent("deleted", "me"))
    book.record(ev.Restored(generation=7, backup_ts="", manifest_sha256="", actor="me"))
    assert book.state.generation == 7
    assert {name: (a.restored, a.frozen_reason) for name, a in book.state.accounts.items()} == {
        AGENT: (True, "restored"),
        "frozen": (True, "mad"),
        "deleted": (False, None),
    }


def test_a_second_hold_of_an_open_call_is_a_contradiction() -> None:
    """A call has one hold, also where the sums would allow another."""
    book = funded_book(5_000)
    second = msgspec.structs.replace(held(book), held_nusd=2_000)
    with pytest.raises(ContradictionError, match="already open"):
        apply(book.state, second, NOW.wall_ns)
