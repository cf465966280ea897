"""The life of a call, top to bottom: plan, hold, forward, relay, settle (design 5).

This file owns the order of things and nothing else. The parts: `planner` (read, bound, price), `earlier` and
`sharpen` (what more there is to know of the input), `ledger` (money), `relay` (passing on), `outcome` and
`booking` (what an ended call costs). All I/O is its ports', and it knows no HTTP library. Its invariant: no
byte leaves for a provider before a durable hold, and every hold ends in exactly one final record, whatever
happens to the client, the provider or this task.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection

from spendguard_daemon import outcome as outcomes
from spendguard_daemon.booking import booking
from spendguard_daemon.call import Answer, AnswerTornError, Arrival, Client, Plan
from spendguard_daemon.codes import TABLE
from spendguard_daemon.earlier import earlier
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.insistence import Insistence
from spendguard_daemon.ledger.admission import free_nusd
from spendguard_daemon.ledger.budgets import live_account
from spendguard_daemon.ledger.commands import MarkSent, VoidCall
from spendguard_daemon.ledger.events import Hold
from spendguard_daemon.ledger.faults import fault
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.ledger.refusals import Refusal
from spendguard_daemon.money import cents_floor, format_usd
from spendguard_daemon.outcome import Outcome
from spendguard_daemon.pace import Pace
from spendguard_daemon.patience import Patience
from spendguard_daemon.planner import IMPLICIT_RUN, Planner, rewritten
from spendguard_daemon.ports import Clock, NotSentError, Upstream, UpstreamLostError, UpstreamResponse
from spendguard_daemon.relay import Relay
from spendguard_daemon.settings import Settings
from spendguard_daemon.sharpen import Sharpener
from spendguard_daemon.ways import Ways

DURABLE_SOON_SECONDS = 0.005

ANSWERED = range(200, 600)
"""Statuses that end an HTTP answer; with any other the provider has said nothing that a client could read."""

log = logging.getLogger(__name__)


class Guard:
    """Takes calls one by one through their life. One per daemon; `relays` is for reading."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        planner: Planner,
        upstreams: Callable[[str], Upstream],
        settings: Settings,
        clock: Clock,
        sharpener: Sharpener | None = None,
    ):
        self._ledger = ledger
        self._planner = planner
        self._upstreams = upstreams
        self._settings = settings
        self._clock = clock
        self._sharpener = sharpener or Sharpener(state=ledger.state, upstreams=upstreams, clock=clock)
        self._ways = Ways(planner, ledger.state, clock)
        self._running: dict[str, asyncio.Task[Answer | None]] = {}
        self.relays: dict[str, Relay] = {}
        self._closing, self._voids, self._insistence = False, Pace.of_voids(clock), Insistence(clock)

    def check_agent(self, agent_id: str) -> None:
        """Raise AGENT_NOT_FOUND for a stranger, before any of its body is read."""
        live_account(self._ledger.state, agent_id)

    async def call(self, arrival: Arrival, client: Client) -> Answer | None:
        """Take one call through its life; return what is still to be sent to the client.

        Raises SpendGuardError where nothing was relayed, AnswerTornError where the rest of an answer is lost.
        Cancelling the awaiting task means that the client has left: before the hold that ends the call, after
        it the call lives on in a task of our own, since no client may cancel a settlement.
        """
        if self._closing:
            raise fault(Code.SHUTTING_DOWN)
        state = self._ledger.state
        account = live_account(state, arrival.agent_id)
        plan: Plan | None = None
        try:
            self._voids.look(arrival.agent_id)
            asked = self._planner.asked(arrival, account)
            reading = await self._planner.read(arrival, asked, account)
            ids = reading.request.state_ids
            before = await earlier(ids, account.agent_id, self._ledger.history, self.ending)
            plan = self._planner.plan(arrival, asked, reading, account, before, self._ledger.state.distrusted)
            plan = await self._sharpener.sharpen(plan, asked)
            hold = await self._ledger.hold(plan.hold, self._settings.held_wait_seconds)
            self._insistence.got_it(hold.agent_id, hold.run_id)
        except SpendGuardError as error:
            self._ways.tell(error, arrival, plan, account)
            self._note_refusal(arrival, plan, error)
            raise
        changed = fault(Code.SHUTTING_DOWN) if self._closing else self._planner.outdated(plan, account)
        if changed:  # since it began to wait
            self._ledger.post(VoidCall(hold.call_id, f"not sent: {changed.code.replace('_', ' ')}", None))
            raise changed
        relay = Relay(plan, hold, client, self._clock)
        del arrival, asked, reading, plan  # what the client sent must not live as long as the call
        task = asyncio.create_task(self._after_hold(relay), name=f"call {hold.call_id}")
        self._running[hold.call_id], self.relays[hold.call_id] = task, relay
        task.add_done_callback(lambda _: self._strike_off(relay, task))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise self._lost(relay, Code.UPSTREAM_FAILED) from None
            relay.client_gone = True
            self._ledger.detach(hold.call_id)
            raise

    def _strike_off(self, relay: Relay, task: asyncio.Task[Answer | None]) -> None:
        """Take an ended call off the list; where its client has left, nobody else would hear of a fault."""
        del self._running[relay.hold.call_id], self.relays[relay.hold.call_id]
        if relay.hold.call_id in self._ledger.state.open_calls:
            # Cancelled before the task's first step, or its booking failed: only the former is provably free.
            ended = Outcome("worst", "internal error") if relay.left else outcomes.not_sent(relay.cut_by)
            self._book(relay, ended)
        error = None if task.cancelled() else task.exception()
        if relay.client_gone and error and not isinstance(error, AnswerTornError | SpendGuardError):
            log.error("internal error", exc_info=error, extra={"facts": {"call_id": relay.hold.call_id}})

    def ending(self, agent_id: str, answer_ids: Collection[str]) -> list[asyncio.Task[Answer | None]]:
        """Return the open calls of an agent whose answers have given one of these ids already."""
        return [
            self._running[call_id]
            for call_id, relay in self.relays.items()
            if relay.hold.agent_id == agent_id and relay.answer_id in answer_ids
        ]

    def _note_refusal(self, arrival: Arrival, plan: Plan | None, error: SpendGuardError) -> None:
        """Keep a refused call in sight of its operator, and tell the caller whose budget spoke."""
        run_id = plan.hold.run_id if plan else arrival.run_id or IMPLICIT_RUN
        self._insistence.judge(error, arrival.agent_id, run_id)
        error.facts |= {"agent_id": arrival.agent_id, "run_id": run_id}
        self._ledger.refuse(
            Refusal(
                call_id=arrival.call_id,
                agent_id=arrival.agent_id,
                run_id=run_id,
                provider=plan.provider if plan else arrival.provider or str(error.facts.get("provider", "")),
                endpoint=arrival.endpoint,
                model=plan.card.model if plan else str(error.facts.get("model", "")),
                code=error.code,
                detail=error.detail,
                facts=error.facts,
            )
        )

    async def _after_hold(self, relay: Relay) -> Answer | None:
        """Forward a held call and bring it to its one final record, also when this task is cancelled."""
        hold = relay.hold
        try:
            changed = relay.prepare(await rewritten(relay.plan, hold))
            self._ledger.post(MarkSent(hold.call_id, changed))
        except BaseException:
            self._book(relay, outcomes.not_sent("it could not be rewritten"))
            raise
        late = False
        try:
            async with asyncio.timeout(relay.may_last(self._settings.absolute_seconds)):
                await self._forward(relay)
        except NotSentError as error:
            self._book(relay, outcomes.not_sent(str(error)))
            raise SpendGuardError(
                Code.UPSTREAM_UNREACHABLE,
                f"The provider could not be reached: {error}; nothing was charged",
                facts=relay.facts(),
            ) from error
        except UpstreamLostError as error:
            relay.problem = str(error)
        except TimeoutError as error:
            relay.problem, late = str(error) or "the call's deadline passed", True
        except BaseException as error:
            # Cut by shutdown or an operator, or a fault of our own: bytes may be out, so the table decides.
            relay.problem = relay.cut_by if isinstance(error, asyncio.CancelledError) else "internal error"
            await self._settle(relay)
            raise
        charged_nusd = await self._settle(relay)
        return self._answer(relay, charged_nusd, Code.UPSTREAM_TIMEOUT if late else Code.UPSTREAM_FAILED)

    async def _forward(self, relay: Relay) -> None:
        """Send the request and read the answer to its end, passing on what the client may see."""
        relay.left = True
        async with Patience(self._settings.idle_seconds):
            response = await self._upstreams(relay.plan.provider).send(relay.request())
        try:
            relay.begin(response)
            async for chunk in self._watched(relay, response):
                await relay.take(chunk)
                if relay.client_gone:
                    self._ledger.detach(relay.hold.call_id)
            await relay.finish()
        finally:
            await response.close()

    async def _watched(self, relay: Relay, response: UpstreamResponse) -> AsyncIterator[bytes]:
        """Yield the answer's chunks, each within the idle deadline; draining for nobody is bounded apart."""
        chunks = aiter(response.chunks())
        now = asyncio.get_running_loop().time
        drained_until: float | None = None
        while True:
            wait_seconds = float(self._settings.idle_seconds)
            if relay.client_gone:
                drained_until = drained_until or now() + self._settings.drain_seconds
                wait_seconds = min(wait_seconds, drained_until - now())
            try:
                async with Patience(wait_seconds):
                    chunk = await anext(chunks, None)
            except TimeoutError:
                raise TimeoutError(f"no byte from the provider within {wait_seconds:.0f} s") from None
            if chunk is None:
                return
            yield chunk

    async def _settle(self, relay: Relay) -> int:
        """Book the end of a call whose bytes left, return what was charged (nUSD).

        Durability rides along, for an end lost to a crash is charged at the hold; only an overrun costs more.
        """
        charged_nusd = self._book(relay, outcomes.outcome(relay.seen(), self._settings.void_statuses))
        if charged_nusd > relay.hold.amount_nusd:
            await self._ledger.durable()
        return charged_nusd

    def _book(self, relay: Relay, ended: Outcome) -> int:
        """Book the one final record of a call, return what was charged (nUSD)."""
        booked = booking(relay, ended, self._clock.wall_ns())
        facts = {"call_id": relay.hold.call_id}
        if booked.odd:
            log.warning("a bill is not what was expected", extra={"facts": {**facts, "odd": booked.odd}})
        if booked.charged_nusd > relay.hold.amount_nusd:
            log.error("overrun: the bound of a call was too low", extra={"facts": facts})
        if isinstance(booked.command, VoidCall):
            self._voids.charge(relay.hold.agent_id)
        self._ledger.post(booked.command)
        return booked.charged_nusd

    def _answer(self, relay: Relay, charged_nusd: int, code: Code) -> Answer | None:
        """Say what the client of an ended and booked call still gets."""
        if relay.started:
            if relay.problem:
                raise AnswerTornError(relay.problem)
            return None
        if relay.status is None or relay.problem or relay.status not in ANSWERED:
            raise self._lost(relay, code)
        if relay.rejects_key:
            raise relay.key_rejected(charged_nusd)
        left_nusd = self._ledger.state.accounts[relay.hold.agent_id].remaining_nusd
        headers = relay.headers()
        headers["x-spendguard-cost-usd"] = format_usd(charged_nusd)
        headers["x-spendguard-remaining-cents"] = str(cents_floor(left_nusd))
        if relay.status >= 500 and not self._affordable(relay.hold):
            headers["x-should-retry"] = "false"
        return Answer(relay.status, headers, relay.whole_body())

    def _lost(self, relay: Relay, code: Code) -> SpendGuardError:
        held_usd = format_usd(relay.hold.amount_nusd)
        return SpendGuardError(
            code,
            f"{TABLE[code].title}: {relay.problem or 'it was cut off'}; the call was charged its hold of "
            f"{held_usd} USD until an operator corrects it",
            facts={**relay.facts(), "charged_usd": held_usd, "affordable": self._affordable(relay.hold)},
        )

    def _affordable(self, hold: Hold) -> bool:
        """Tell whether the same call could be held once more."""
        return free_nusd(self._ledger.state, hold) >= hold.amount_nusd

    async def abort(self, call_id: str, actor: str = "") -> bool:
        """Cut a call in flight; it settles by the outcome table. Return whether it was in flight."""
        while (task := self._running.get(call_id)) is None:
            if call_id not in self._ledger.state.open_calls:
                return False
            await asyncio.sleep(DURABLE_SOON_SECONDS)  # held, but not yet on disk
        self.relays[call_id].cut_by = f"aborted by {actor}" if actor else "aborted"
        task.cancel()
        await asyncio.wait([task])
        return True

    async def close(self, grace_seconds: float) -> None:
        """Take no new call, wait for those in flight, then cut the rest, which settles them at worst.

        Calls that still wait for their hold are refused first.
        """
        self._closing = True
        self._ledger.stop_waiting()
        tasks = list(self._running.values())
        if tasks:
            await asyncio.wait(tasks, timeout=grace_seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
