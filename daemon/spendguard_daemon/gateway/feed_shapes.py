"""The ledger's state as the feed tells it: one agent's money, all agents, the sums, how answers go on."""

from collections import Counter
from collections.abc import Callable, Iterable

from spendguard_daemon import feed_wire, shown, wire
from spendguard_daemon.gateway import flights
from spendguard_daemon.gateway.spending import Spending
from spendguard_daemon.gateway.views import Condition
from spendguard_daemon.guard import Guard
from spendguard_daemon.ledger.commands import Now
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.ledger.state import Account
from spendguard_daemon.ledger.times import NS_PER_SECOND
from spendguard_daemon.money import format_usd
from spendguard_daemon.ports import Clock
from spendguard_daemon.relay import Relay

ENDED_SHOWN = 200


Waits = tuple[int, list[wire.Waiting]]
"""How many calls of an agent wait, and the first of them."""


class Shapes:
    """Makes the feed's shapes out of what is so now.

    `refusals` count by agent, of those that exist, `refused` of all there ever were, since the daemon began.
    `status` is all of the daemon's, `condition` what of it changes by itself.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        guard: Guard,
        clock: Clock,
        status: Callable[[], wire.Status],
        condition: Callable[[], Condition],
    ) -> None:
        self._ledger, self._guard, self._clock = ledger, guard, clock
        self.status, self.condition = status, condition
        self._agents: int | None = None
        self.refusals, self.refused = Counter[str](), 0

    def count_refusal(self, agent_id: str) -> None:
        """Count a refused call."""
        self.refused += 1
        if self.account(agent_id) is not None:
            self.refusals[agent_id] += 1

    def recount_agents(self) -> None:
        """Count the agents anew when they are asked for: one was made, or deleted."""
        self._agents = None

    def now(self) -> Now:
        """Return the time."""
        return Now(self._clock.wall_ns(), self._clock.monotonic_ns())

    def account(self, agent_id: str) -> Account | None:
        """Return an agent that was not deleted."""
        account = self._ledger.state.accounts.get(agent_id)
        return None if account is None or account.deleted else account

    def money(self, account: Account, now: Now) -> feed_wire.Money:
        """Show an agent's money."""
        waits = len(self._ledger.waiting(account.agent_id))
        return shown.money(account, self._ledger.state, now, self.refusals[account.agent_id], waits)

    def agent(self, account: Account, now: Now) -> wire.Agent:
        """Show an agent's settings, with the first of its waiting calls."""
        return shown.agent(account, self._ledger.state, now, self._ledger.waiting(account.agent_id))

    def agents(self) -> Iterable[str]:
        """Return the ids of all agents, those that were deleted too."""
        return self._ledger.state.accounts

    def all_waiting(self) -> dict[str, Waits]:
        """Show the first waiting calls of each agent that has any, and count them all."""
        counts, shown_of = Counter[str](), dict[str, list[wire.Waiting]]()
        for waiter in self._ledger.waiting():
            agent_id = waiter.command.agent_id
            counts[agent_id] += 1
            if counts[agent_id] <= shown.WAITING_SHOWN:
                told = shown.waiting_call(waiter, self._ledger.state)
                shown_of.setdefault(agent_id, []).append(told)
        return {agent_id: (counts[agent_id], waits) for agent_id, waits in shown_of.items()}

    def all_progress(self, now: Now) -> list[feed_wire.Progress]:
        """Show how far the answers to all calls in flight have come."""
        return [self.progress(relay, now) for relay in self._guard.relays.values()]

    def call(self, call_id: str, now: Now) -> wire.Call | None:
        """Show a call, None where it is forgotten."""
        view = self._ledger.history.call(call_id)
        relay = self._guard.relays.get(call_id)
        return None if view is None else flights.call(view, self._ledger.state, relay, now)

    def standing(self, account: Account, spending: Spending, now: Now) -> feed_wire.Standing:
        """Show an agent with its money, and what it spent lately."""
        steps = spending.of(account.agent_id, now.wall_ns)
        return feed_wire.Standing(
            agent=self.agent(account, now),
            money=self.money(account, now),
            spent_usd=[*map(format_usd, steps)],
        )

    def totals(self) -> feed_wire.Totals:
        """Show the sums over all agents."""
        state = self._ledger.state
        if self._agents is None:
            self._agents = sum(not account.deleted for account in state.accounts.values())
        return feed_wire.Totals(
            state=self.condition().state,
            agents=self._agents,
            calls_in_flight=len(state.open_calls),
            calls_waiting=len(self._ledger.waiting()),
            refusals=self.refused,
            cap=shown.daemon_budget(state),
            unconfirmed_usd=format_usd(state.unconfirmed_nusd),
            unconfirmed_calls=state.unconfirmed_calls,
            unconfirmed=shown.unconfirmed(state),
        )

    def progress(self, relay: Relay, now: Now) -> feed_wire.Progress:
        """Show how far the answer to a call has come."""
        answer_bytes, tokens = relay.so_far
        offers, hold = relay.plan.hold.offers, relay.hold
        each = tokens // max(1, hold.choices)
        cost_nusd = min([hold.amount_nusd, *(one.cost.at(each) for one in offers)]) if tokens else 0
        return feed_wire.Progress(
            call_id=hold.call_id,
            agent_id=hold.agent_id,
            answer_bytes=answer_bytes,
            output_tokens=tokens or None,
            cost_usd=format_usd(cost_nusd),
            idle_seconds=max(0, now.monotonic_ns - relay.heard_ns) // NS_PER_SECOND,
            attached=not relay.client_gone,
        )

    def in_flight(self, now: Now) -> list[wire.Call]:
        """Show the calls in flight."""
        calls = (self.call(call_id, now) for call_id in list(self._ledger.state.open_calls))
        return [call for call in calls if call is not None]

    def ended(self) -> list[wire.Call]:
        """Show the latest ends and refusals, newest first; those in flight stand among the calls."""
        found = self._ledger.history.latest(ENDED_SHOWN + len(self._ledger.state.open_calls))
        return [shown.call(view) for view in found if view.state != "held"][:ENDED_SHOWN]
