"""Finer bounds of a call's input, for when the coarse ones do not fit the money (design 5.3).

The bounds that a request itself gives are free; these take time: counting tokens here, then asking the
provider's free count endpoint. So they are made only for a call that nothing but its sum stops, and a bound
that cannot be had is never an error. Invariant: offers are only added, each of them sound by itself.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace

from spendguard_daemon.aside import LARGE_BYTES, aside
from spendguard_daemon.call import Plan
from spendguard_daemon.canonical import sha256_hex
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.free import UnansweredError, ask, post
from spendguard_daemon.ledger.admission import fits
from spendguard_daemon.ledger.commands import HoldCall, Now
from spendguard_daemon.ledger.state import State
from spendguard_daemon.pace import Pace
from spendguard_daemon.planner import offer
from spendguard_daemon.ports import Clock, Upstream
from spendguard_daemon.providers import Asked
from spendguard_daemon.providers.contract import CountQuestion
from spendguard_daemon.usage import InputBound

COUNT_SECONDS = 10
COUNTS_AT_ONCE = 4
COUNTS_PER_SECOND, COUNTS_BURST = 2, 30
"""How often one agent may make us ask a provider's count endpoint."""

COUNTS_KEPT, COUNT_BYTES_KEPT = 1_000, 1_000
"""Answers that are remembered, so that a call sent again with the cap that its refusal named finds the bound
which that cap was worked out from, also where the provider could not be asked so soon again."""

LOCAL_BYTES_MAX = 8 * 1024 * 1024
"""Larger bodies are not counted here: it would keep the one thread aside from others for seconds."""

Counting = Callable[[Callable[[], InputBound | None], int], Awaitable[InputBound | None]]
"""How work that takes a while is done; in the daemon `aside`, which a simulator cannot use."""

log = logging.getLogger(__name__)


class Sharpener:
    """Adds finer rungs to the offers of a plan. One per daemon, so that all calls share its bounds."""

    def __init__(
        self,
        *,
        state: State,
        upstreams: Callable[[str], Upstream],
        clock: Clock,
        counting: Counting = aside,
    ):
        self._state = state
        self._upstreams = upstreams
        self._clock = clock
        self._counting = counting
        self._at_once = asyncio.Semaphore(COUNTS_AT_ONCE)
        self._pace = Pace(per_second=COUNTS_PER_SECOND, burst=COUNTS_BURST, clock=clock)
        self._kept: OrderedDict[str, tuple[int, bytes]] = OrderedDict()

    async def sharpen(self, plan: Plan, asked: Asked) -> Plan:
        """Return the plan with finer bounds where it needs them, and they can be had. Raises nothing."""
        if not self._wants_finer(plan, whole=True):
            return plan
        if len(asked.body) <= LOCAL_BYTES_MAX:
            plan = self._with(plan, await self._counting(lambda: _local_bound(plan, asked), LARGE_BYTES))
        # An injected cap is ours to lower; only what a client asked for, or a refusal, is worth a question.
        whole = not plan.hold.injected
        if asked.policy.exact_count == "never" or not self._wants_finer(plan, whole=whole):
            return plan
        return self._with(plan, await self._counted(plan, asked))

    def _wants_finer(self, plan: Plan, *, whole: bool) -> bool:
        """Tell whether the sum alone is in the way of this call, and a smaller input could help it."""
        now = Now(self._clock.wall_ns(), self._clock.monotonic_ns())
        try:
            if fits(self._state, plan.hold, now, whole=whole):
                return False
            return fits(self._state, _without_input(plan), now, whole=False)
        except SpendGuardError:
            return False  # it is refused for something else, which the ledger will say

    async def _counted(self, plan: Plan, asked: Asked) -> InputBound | None:
        question = plan.format.count_question(asked, plan.request)
        if question is None or not plan.key:
            return None
        same = _digest(plan, question)
        if same in self._kept:
            return plan.format.count_bound(plan.request, *self._kept[same])
        if self._pace.take(plan.hold.agent_id):
            return None
        headers = (*plan.request.headers, *plan.format.auth(plan.key))
        request = post(plan.provider, question.path, headers, question.body)
        try:
            async with asyncio.timeout(COUNT_SECONDS), self._at_once:
                answer = await ask(self._upstreams(plan.provider), request, COUNT_SECONDS)
        except (UnansweredError, TimeoutError) as error:
            facts = {"provider": plan.provider, "why": str(error)}
            log.info("no count from the provider", extra={"facts": facts})
            return None
        bound = plan.format.count_bound(plan.request, answer.status, answer.body)
        if bound is not None and len(answer.body) <= COUNT_BYTES_KEPT:
            self._kept[same] = answer.status, answer.body
            if len(self._kept) > COUNTS_KEPT:
                self._kept.popitem(last=False)
        return bound

    def _with(self, plan: Plan, bound: InputBound | None) -> Plan:
        """Return the plan with one more rung, the smallest first; not with one that was overrun once."""
        if bound is None or (plan.provider, plan.card.model, bound.rung) in self._state.distrusted:
            return plan
        finer = offer(bound, plan.request, plan.card, plan.from_ns, plan.hold.deadline_ns)
        offers = sorted((*plan.hold.offers, finer), key=lambda each: each.input_tokens)
        return replace(plan, hold=replace(plan.hold, offers=tuple(offers)))


def _local_bound(plan: Plan, asked: Asked) -> InputBound | None:
    return plan.format.local_bound(asked, plan.request, plan.card.limits, plan.state_tokens)


def _digest(plan: Plan, question: CountQuestion) -> str:
    """Return what names a question: two with the same have the same answer."""
    head = repr((plan.provider, question.path, plan.request.headers)).encode()
    return sha256_hex(head + b"\n" + question.body)


def _without_input(plan: Plan) -> HoldCall:
    """Return the hold that the call would need if it had no input at all: no bound can be lower."""
    least = offer(InputBound("none", 0), plan.request, plan.card, plan.from_ns, plan.hold.deadline_ns)
    return replace(plan.hold, offers=(least,))
