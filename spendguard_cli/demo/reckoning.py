"""The closing table: every call with its hold and cost, and the sums that must agree to the nano-dollar."""

from spendguard_cli.demo.acts import Cast
from spendguard_cli.demo.scenes import Account, Check, Entry, Reckoning
from spendguard_daemon import wire
from spendguard_daemon.money import format_usd, parse_usd

CALLS_MAX = 100


def reckon(cast: Cast) -> Reckoning:
    """Add everything up, from the ledger as it stands after the crash."""
    control = cast.stage.control
    entries: list[Entry] = []
    accounts: list[Account] = []
    added, spent = True, True
    for name, agent_id in cast.agents.items():
        calls = [call for call in reversed(control.calls(agent_id, CALLS_MAX)) if call.state != "refused"]
        budget = control.budget(agent_id)
        entries += [_entry(cast, name, call) for call in calls]
        entries += [entry for entry in cast.refused if entry.agent == name]
        accounts.append(_account(name, budget))
        added = added and _adds_up(accounts[-1])
        costs = sum(parse_usd(call.cost_usd or "0") for call in calls)
        spent = spent and costs == parse_usd(budget.settled_usd) and parse_usd(budget.held_usd) == 0
    total = _total(accounts)
    seen = {entry.state for entry in entries}
    return Reckoning(
        entries=entries,
        accounts=[*accounts, total],
        checks=[
            Check(
                claim="the costs of the calls are what was settled, and nothing is held any more", ok=spent
            ),
            Check(
                claim="granted = settled + remaining, to the nano-dollar",
                ok=added and _adds_up(total) and seen == {"settled", "settled_worst", "refused"},
            ),
        ],
    )


def _entry(cast: Cast, agent: str, call: wire.Call) -> Entry:
    return Entry(
        agent=agent,
        call=cast.names.get(call.call_id, call.call_id),
        state=call.state,
        hold_usd=call.hold_usd,
        cost_usd=call.cost_usd or "0.00",
    )


def _account(name: str, budget: wire.Budget) -> Account:
    return Account(
        agent=name,
        funded_usd=budget.funded_usd,
        settled_usd=budget.settled_usd,
        remaining_usd=budget.remaining_usd,
        held_usd=budget.held_usd,
    )


def _adds_up(account: Account) -> bool:
    whole = parse_usd(account.settled_usd) + parse_usd(account.remaining_usd)
    return parse_usd(account.funded_usd) == whole


def _total(accounts: list[Account]) -> Account:
    def added(name: str) -> str:
        return format_usd(sum(parse_usd(getattr(account, name)) for account in accounts))

    return Account(
        agent="all",
        funded_usd=added("funded_usd"),
        settled_usd=added("settled_usd"),
        remaining_usd=added("remaining_usd"),
        held_usd=added("held_usd"),
    )
