"""What happened lately, for people and for the API: a bounded view, fed by events, live and on replay alike.

Owns no money and decides nothing; when it forgets, the journal still knows. Refused calls are kept in a ring
of their own, so that an agent that is refused in a loop cannot push its real calls out of sight.
"""

from collections.abc import Iterator
from heapq import merge
from itertools import islice

from spendguard_daemon.errors import Fact
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.deeds import Deeds
from spendguard_daemon.ledger.times import parse_time_ms
from spendguard_daemon.ledger.views import AgentRun, CallView, Kept, RunView, begun, changed

CALLS_MAX = 20_000
CALLS_PER_AGENT_MAX = 1_000
REFUSALS_MAX = 4_000
REFUSALS_PER_AGENT_MAX = 200
RUNS_PER_AGENT_MAX = 1_000
KEPT_CALLS = 5_000
KEPT_REFUSALS = 500
KEPT_RUNS = 5_000
"""How much of the view outlives a compaction and a restart: the latest, and every call that is still open."""


class _Ring:
    """Calls in order of arrival, at most so many in all and for each agent; the oldest go first."""

    def __init__(self, calls_max: int, calls_per_agent_max: int) -> None:
        self._max, self._per_agent_max = calls_max, calls_per_agent_max
        self.by_id: dict[str, CallView] = {}
        self.by_answer: dict[tuple[str, str], str] = {}
        self._by_agent: dict[str, dict[str, None]] = {}

    def put(self, view: CallView) -> None:
        self.by_id[view.call_id] = view
        if view.answer_id is not None:
            self.by_answer[view.agent_id, view.answer_id] = view.call_id

    def add(self, view: CallView) -> None:
        self.put(view)
        of_agent = self._by_agent.setdefault(view.agent_id, {})
        of_agent[view.call_id] = None
        if len(of_agent) > self._per_agent_max:
            self._drop(next(iter(of_agent)))
        elif len(self.by_id) > self._max:
            self._drop(next(iter(self.by_id)))

    def newest_first(self, agent_id: str) -> Iterator[CallView]:
        return (self.by_id[call_id] for call_id in reversed(self._by_agent.get(agent_id, {})))

    def _drop(self, call_id: str) -> None:
        dropped = self.by_id.pop(call_id)
        agent_id = dropped.agent_id
        if self.by_answer.get((agent_id, dropped.answer_id or "")) == call_id:
            del self.by_answer[agent_id, dropped.answer_id or ""]
        of_agent = self._by_agent[agent_id]
        del of_agent[call_id]
        if not of_agent:
            del self._by_agent[agent_id]


class History:
    """The calls and runs of late, and in `deeds` what people did to agents' budgets."""

    def __init__(self) -> None:
        self.deeds = Deeds()
        self._calls = _Ring(CALLS_MAX, CALLS_PER_AGENT_MAX)
        self._refusals = _Ring(REFUSALS_MAX, REFUSALS_PER_AGENT_MAX)
        self._runs: dict[str, dict[str, RunView]] = {}
        self._order = 0

    def call(self, call_id: str) -> CallView | None:
        """Return a call, None where there was none or it is forgotten."""
        return self._calls.by_id.get(call_id) or self._refusals.by_id.get(call_id)

    def answered(self, agent_id: str, answer_id: str) -> CallView | None:
        """Return the call of this agent that a provider's answer of this id was given to, as far as kept."""
        call_id = self._calls.by_answer.get((agent_id, answer_id))
        return None if call_id is None else self._calls.by_id[call_id]

    def calls(self, agent_id: str, limit: int, before_call_id: str | None = None) -> list[CallView]:
        """Return at most `limit` calls of an agent, newest first, from the one before `before_call_id` on.

        An unknown or forgotten `before_call_id` gives an empty page: all that was before it is forgotten too.
        """
        rings = (self._calls.newest_first(agent_id), self._refusals.newest_first(agent_id))
        views: Iterator[CallView] = merge(*rings, key=lambda view: -view.order)
        if before_call_id is not None:
            before = self.call(before_call_id)
            if before is None:
                return []
            views = (view for view in views if view.order < before.order)
        return list(islice(views, limit))

    def latest(self, limit: int) -> list[CallView]:
        """Return at most `limit` calls of all agents, newest first."""
        rings = (reversed(self._calls.by_id.values()), reversed(self._refusals.by_id.values()))
        return list(islice(merge(*rings, key=lambda view: -view.order), limit))

    def runs(self, agent_id: str) -> list[RunView]:
        """Return the runs of an agent, the one seen last first."""
        return sorted(self._runs.get(agent_id, {}).values(), key=lambda run: -run.last_ns)

    def note_run(self, agent_id: str, run_id: str, wall_ns: int) -> RunView:
        """Note that a run was made or seen."""
        runs = self._runs.setdefault(agent_id, {})
        run = runs.pop(run_id, None) or RunView(run_id=run_id, first_ns=wall_ns, last_ns=wall_ns)
        run.last_ns = max(run.last_ns, wall_ns)
        runs[run_id] = run  # the one seen longest ago stands first: a loop of new runs costs no search
        if len(runs) > RUNS_PER_AGENT_MAX:
            del runs[next(iter(runs))]
        return run

    def note_refusal(
        self,
        *,
        call_id: str,
        agent_id: str,
        run_id: str,
        provider: str,
        endpoint: str,
        model: str,
        code: str,
        detail: str,
        http_status: int,
        wall_ns: int,
        facts: dict[str, Fact],
        count: int = 1,
    ) -> None:
        """Note a call that got no hold, and `count` - 1 others of that moment that are not shown."""
        view = CallView(
            order=self._next(),
            call_id=call_id,
            agent_id=agent_id,
            run_id=run_id,
            provider=provider,
            endpoint=endpoint,
            model=model,
            state="refused",
            created_ns=wall_ns,
            cost_nusd=0,
            http_status=http_status,
            code=code,
            count=count,
            facts=facts,
            reason=detail,
            ended_ns=wall_ns,
        )
        self._refusals.add(view)

    def note(self, event: ev.Event, wall_ns: int) -> None:
        """Follow one event."""
        if isinstance(event, ev.Hold):
            self._note_hold(event, wall_ns)
        elif isinstance(event, ev.Refused):
            self._note_refused(event)
        elif isinstance(event, ev.CallEvent):
            view = self._calls.by_id.get(event.call_id)
            if view is not None:
                self._calls.put(changed(view, event, wall_ns))
            self._note_cost(event, view, wall_ns)
        else:
            self.deeds.note(event, wall_ns)

    def kept(self) -> Kept:
        """Return what a snapshot keeps."""
        calls = list(self._calls.by_id.values())
        older = [view for view in calls[:-KEPT_CALLS] if view.state == "held"]
        runs = [
            AgentRun(agent_id=agent_id, run=run)
            for agent_id, by_id in self._runs.items()
            for run in by_id.values()
        ]
        if len(runs) > KEPT_RUNS:
            runs = sorted(runs, key=lambda kept: kept.run.last_ns)[-KEPT_RUNS:]
        refusals = list(self._refusals.by_id.values())[-KEPT_REFUSALS:]
        kept_calls = older + calls[-KEPT_CALLS:]
        return Kept(runs=runs, calls=kept_calls, refusals=refusals, deeds=self.deeds.kept())

    @classmethod
    def of(cls, kept: Kept) -> "History":
        """Return a history that goes on from what a snapshot kept."""
        history = cls()
        history.deeds = Deeds(kept.deeds)
        for entry in kept.runs:
            history._runs.setdefault(entry.agent_id, {})[entry.run.run_id] = entry.run
        for view in kept.calls:
            history._calls.add(view)
        for view in kept.refusals:
            history._refusals.add(view)
        history._order = max((view.order for view in [*kept.calls, *kept.refusals]), default=0)
        return history

    def _note_hold(self, event: ev.Hold, wall_ns: int) -> None:
        self.note_run(event.agent_id, event.run_id, wall_ns).calls += 1
        self._calls.add(begun(event, self._next(), wall_ns))

    def _note_refused(self, event: ev.Refused) -> None:
        if event.call_id in self._refusals.by_id:
            return  # live: each of them was shown when it happened
        self.note_refusal(
            call_id=event.call_id,
            agent_id=event.agent_id,
            run_id=event.run_id,
            provider=event.provider,
            endpoint=event.endpoint,
            model=event.model,
            code=event.code,
            detail=event.detail,
            http_status=event.http_status,
            wall_ns=parse_time_ms(event.at),
            facts=event.facts,
            count=event.count,
        )

    def _note_cost(
        self, event: ev.Sent | ev.Adjust | ev.EndEvent, view: CallView | None, wall_ns: int
    ) -> None:
        run = self._runs.get(event.agent_id, {}).get(view.run_id) if view else None
        if run is None or isinstance(event, ev.Sent | ev.Void):
            return
        if isinstance(event, ev.Adjust):
            run.cost_nusd += event.to_nusd - event.from_nusd
        else:
            run.cost_nusd += event.cost_nusd
            run.last_ns = max(run.last_ns, wall_ns)

    def _next(self) -> int:
        self._order += 1
        return self._order
