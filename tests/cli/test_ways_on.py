"""The command that lets a waiting call go on: the right one, with the right amount."""

import pytest

from spendguard_cli.ways_on import WAYS_SHOWN, refs, way_on, ways_on
from spendguard_daemon import wire


def one(code: str, lacking_cents: int | None = 3, *, since: str = "2026", agent: str = "A") -> wire.Waiting:
    """Return a waiting call that may cost 10.01 cents."""
    return wire.Waiting(
        call_id="c",
        agent_id=agent,
        run_id="r",
        model="m",
        code=code,
        worst_case_usd="0.1001",
        lacking_cents=lacking_cents,
        since=since,
        until="2027",
    )


def cap(limit_cents: int | None) -> wire.DaemonBudget:
    return wire.DaemonBudget(
        hard_limit_cents=limit_cents, remaining_cents=0, remaining_usd="0", held_usd="0", settled_usd="0"
    )


@pytest.mark.parametrize(
    ("code", "limit_cents", "daemon", "expected"),
    [
        ("insufficient_budget", 11, None, "spendguard budget topup --agent A --amount 3"),
        ("insufficient_budget", 10, None, "spendguard budget set --agent A --limit 11 --topup 3"),
        ("budget_not_set", None, None, "spendguard budget set --agent A --limit 3"),
        ("daemon_cap", 50, None, "spendguard budget daemon topup --amount 3"),
        ("daemon_cap", 50, cap(11), "spendguard budget daemon topup --amount 3"),
        ("daemon_cap", 50, cap(None), "spendguard budget daemon topup --amount 3"),
        ("daemon_cap", 50, cap(10), "spendguard budget daemon set --limit 11 --topup 3"),
        ("budget_locked", 50, None, "spendguard agent set A --concurrency shared"),
        ("budget_held", 50, None, None),
    ],
)
def test_the_command_for_each_reason(
    code: str, limit_cents: int | None, daemon: wire.DaemonBudget | None, expected: str | None
) -> None:
    assert way_on(one(code), limit_cents, daemon, "A") == expected


def agent_of(agent_id: str, name: str, *waiting: wire.Waiting) -> wire.Agent:
    return wire.Agent(
        agent_id=agent_id,
        name=name,
        created_at="2026",
        concurrency="shared",
        overflow="clamp",
        mock=False,
        frozen=False,
        hard_limit_cents=50,
        waiting=list(waiting),
    )


def test_an_agent_is_named_by_its_name_where_that_is_its_own() -> None:
    """As a shell takes it; what would be read as an option or as an id is not."""
    uuid = "00000000-0000-4000-8000-000000000000"
    names = {
        "1": "ci",
        "2": "two words",
        "3": "same",
        "4": "same",
        "5": "--yes",
        "6": uuid,
        "7": "",
        "8": "a\nb",
    }
    agents = [agent_of(agent_id, name) for agent_id, name in names.items()]
    found = refs(agents)
    assert (found["1"], found["2"]) == ("ci", "'two words'")
    assert all(found[agent_id] == agent_id for agent_id in "345678")
    waits = agent_of("1", "ci", one("budget_locked", agent="1"))
    assert ways_on([waits], None, found) == ["spendguard agent set ci --concurrency shared"]
    assert ways_on([waits], None) == ["spendguard agent set 1 --concurrency shared"]


def test_the_longest_waiting_comes_first_and_each_command_once() -> None:
    """At most a handful: after each of them it may be another one that is needed."""

    def agent(name: str, *waiting: wire.Waiting) -> wire.Agent:
        return agent_of(name, name, *waiting)

    second = agent("B", *(one("budget_locked", agent="B", since="2026-02") for _ in range(3)))
    first = agent("A", one("budget_held"), one("insufficient_budget", since="2026-01"))
    assert ways_on([second, first], None) == [
        "spendguard budget topup --agent A --amount 3",
        "spendguard agent set B --concurrency shared",
    ]
    many = [agent(f"a{number}", one("budget_locked", agent=f"a{number}")) for number in range(9)]
    assert len(ways_on(many, None)) == WAYS_SHOWN
