"""The control API: agents, budgets, runs, calls, prices, providers, the daemon itself (design 6).

Each handler is a few lines: read the body, give the ledger a command, show the result. Who may call is
decided before, in `app`; what is possible is decided in the ledger.
"""

from collections import Counter
from collections.abc import Awaitable, Callable

from aiohttp import web

from spendguard_daemon import __version__, shown, wire
from spendguard_daemon.aside import LARGE_BYTES, aside
from spendguard_daemon.canonical import sha256_hex
from spendguard_daemon.errors import Code, MalformedError, SpendGuardError
from spendguard_daemon.gateway import access, bodies, feed_stream, flights, metrics, openapi, respond, views
from spendguard_daemon.gateway.asked import Asked
from spendguard_daemon.gateway.daemon_control import DaemonControl
from spendguard_daemon.gateway.door import Door
from spendguard_daemon.gateway.feed import Feed
from spendguard_daemon.gateway.key_control import KeyControl
from spendguard_daemon.gateway.proxy import read_body
from spendguard_daemon.gateway.routes import Route
from spendguard_daemon.gateway.tally import Tally
from spendguard_daemon.guard import Guard
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.budgets import live_account
from spendguard_daemon.ledger.events import BudgetSet, Event, agent_of
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.ledger.views import CallView
from spendguard_daemon.ports import Clock, Rng
from spendguard_daemon.price_keeper import PriceKeeper
from spendguard_daemon.settings import Settings

BODY_SECONDS = 10

Handler = Callable[[Asked], Awaitable[web.StreamResponse]]


class Control:
    """Serves every route of the control table, those of the daemon and of keys by way of their own."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        guard: Guard,
        settings: Settings,
        clock: Clock,
        rng: Rng,
        daemon: DaemonControl,
        prices: PriceKeeper,
        tally: Tally,
    ):
        self._ledger = ledger
        self._guard = guard
        self._settings = settings
        self._clock = clock
        self._rng = rng
        self._daemon = daemon
        self._prices = prices
        self._tally = tally
        self.feed = Feed.of(
            ledger=ledger,
            guard=guard,
            clock=clock,
            rng=rng,
            status=daemon.status,
            condition=daemon.condition,
        )
        self._routes = {**daemon.routes, **KeyControl(ledger=ledger, clock=clock, rng=rng).routes}

    async def handle(self, request: web.BaseRequest, route: Route, door: Door) -> web.StreamResponse:
        """Answer one control request. Raises SpendGuardError."""
        if route.name in self._daemon.open_routes:
            return self._daemon.open_routes[route.name](request, door)
        if route.name == "events":
            return await self._events(request, route)
        body = b""
        if request.method in ("POST", "PATCH") and request.can_read_body:
            body = await read_body(request, wire.CONTROL_JSON_BYTES_MAX, BODY_SECONDS)
        key = access.idempotency_key(request.headers.getall(access.IDEMPOTENCY_HEADER, []))
        asked = Asked(route, request.headers, body, key)
        if route.name in self._routes:
            return respond.value(await self._routes[route.name](asked))
        handler: Handler = getattr(self, f"_{route.name}")
        return await handler(asked)

    async def _events(self, request: web.BaseRequest, route: Route) -> web.StreamResponse:
        return await feed_stream.serve(self.feed, request, route)

    def _now(self) -> cmd.Now:
        return cmd.Now(self._clock.wall_ns(), self._clock.monotonic_ns())

    async def _openapi(self, _: Asked) -> web.Response:
        # Made once, out of tables: as long a piece of work as reading a large body.
        return web.Response(body=await aside(openapi.document, LARGE_BYTES), content_type=respond.JSON)

    async def _metrics(self, _: Asked) -> web.Response:
        try:
            prices = self._prices.report()
        except SpendGuardError:
            prices = None
        waiting = Counter(waiter.command.agent_id for waiter in self._ledger.waiting())
        facts = metrics.facts(__version__, self._ledger.state, waiting, self._tally, prices)
        size_bytes = len(facts.accounts) * metrics.BYTES_OF_AGENT
        body = await aside(lambda: metrics.text(facts).encode(), size_bytes)
        return web.Response(body=body, headers={"content-type": metrics.CONTENT_TYPE})

    # -- agents ---------------------------------------------------------------------------------------

    async def _list_agents(self, _: Asked) -> web.Response:
        state, now = self._ledger.state, self._now()
        live = [account for account in state.accounts.values() if not account.deleted]
        waiting = self._ledger.waiting
        listed = [shown.agent(account, state, now, waiting(account.agent_id)) for account in live]
        return respond.value(wire.Agents(listed))

    async def _create_agent(self, asked: Asked) -> web.Response:
        new = bodies.decode(asked.body, wire.NewAgent)
        agent_id = self._rng.uuid4()
        given = bodies.name(new.name) if new.name is not None else f"agent-{agent_id[:8]}"
        (made, *_) = await self._ledger.submit(
            cmd.NewAgent(
                agent_id=agent_id,
                name=given,
                concurrency=bodies.concurrency(new.concurrency) or self._settings.concurrency,
                overflow=bodies.overflow(new.overflow) or self._settings.overflow,
                mock=new.mock,
                actor=asked.actor,
                idempotency=asked.idempotency,
                policy=bodies.policy(new.policy, None),
            )
        )
        account = self._ledger.state.accounts[agent_of(made) or agent_id]
        created_at = wire.iso(account.created_ns)
        return respond.value(
            wire.AgentCreated(agent_id=account.agent_id, name=account.name or "", created_at=created_at)
        )

    async def _get_agent(self, asked: Asked) -> web.Response:
        state = self._ledger.state
        account, waiting = live_account(state, asked.agent_id), self._ledger.waiting(asked.agent_id)
        return respond.value(shown.agent(account, state, self._now(), waiting))

    async def _change_agent(self, asked: Asked) -> web.Response:
        change = bodies.decode(asked.body, wire.ChangeAgent)
        before = live_account(self._ledger.state, asked.agent_id).policy
        changed = cmd.ChangeAgent(
            agent_id=asked.agent_id,
            name=None if change.name is None else bodies.name(change.name),
            concurrency=bodies.concurrency(change.concurrency),
            overflow=bodies.overflow(change.overflow),
            actor=asked.actor,
            policy=bodies.policy(change.policy, before),
            needs_key=change.needs_key,
        )
        settings = (changed.name, changed.concurrency, changed.overflow, changed.policy, changed.needs_key)
        if any(setting is not None for setting in settings):
            await self._ledger.submit(changed)
        if change.frozen is True:
            why = bodies.reason(change.reason, "frozen by operator")
            await self._ledger.submit(cmd.Freeze(asked.agent_id, why, asked.actor))
        elif change.frozen is False:
            await self._ledger.submit(cmd.Unfreeze(asked.agent_id, asked.actor))
        return await self._get_agent(asked)

    async def _delete_agent(self, asked: Asked) -> web.Response:
        await self._ledger.submit(cmd.DeleteAgent(asked.agent_id, asked.actor))
        return respond.value(wire.AgentDeleted(agent_id=asked.agent_id))

    async def _confirm_agent(self, asked: Asked) -> web.Response:
        given = bodies.decode(asked.body, wire.ConfirmRestored)
        spent_nusd = bodies.usd(given.spent_usd, "spent_usd")
        why = bodies.reason(given.reason, "entered by operator")
        await self._ledger.submit(cmd.ConfirmRestored(asked.agent_id, spent_nusd, why, asked.actor))
        return await self._get_agent(asked)

    # -- budgets --------------------------------------------------------------------------------------

    async def _get_budget(self, asked: Asked) -> web.Response:
        state = self._ledger.state
        return respond.value(views.budget(live_account(state, asked.agent_id), state, self._now()))

    async def _grant_budget(self, asked: Asked) -> web.Response:
        grant = bodies.decode(asked.body, wire.GrantBudget)
        topup = None if grant.topup_cents is None else bodies.cents(grant.topup_cents, "topup_cents")
        limit = bodies.cents(grant.hard_limit_cents, "hard_limit_cents")
        command = cmd.GrantBudget(asked.agent_id, limit, topup, asked.actor, asked.idempotency)
        return self._granted(asked, await self._ledger.submit(command))

    async def _top_up(self, asked: Asked) -> web.Response:
        amount = bodies.cents(bodies.decode(asked.body, wire.TopUp).topup_cents, "topup_cents")
        command = cmd.TopUp(asked.agent_id, amount, asked.actor, asked.idempotency)
        return self._granted(asked, await self._ledger.submit(command))

    def _granted(self, asked: Asked, events: tuple[Event, ...]) -> web.Response:
        state = self._ledger.state
        grant = next((event for event in events if isinstance(event, BudgetSet)), None)
        granted = views.budget(
            state.accounts[asked.agent_id],
            state,
            self._now(),
            applied_nusd=grant.applied_nusd if grant else 0,
            ignored_nusd=grant.ignored_nusd if grant else 0,
        )
        return respond.value(granted)

    async def _list_deeds(self, asked: Asked) -> web.Response:
        live_account(self._ledger.state, asked.agent_id)
        return respond.value(shown.deeds(self._ledger.history.deeds.of(asked.agent_id)))

    # -- runs and calls -------------------------------------------------------------------------------

    async def _list_runs(self, asked: Asked) -> web.Response:
        live_account(self._ledger.state, asked.agent_id)
        runs = self._ledger.history.runs(asked.agent_id)
        return respond.value(wire.Runs([views.run(run) for run in runs]))

    async def _create_run(self, asked: Asked) -> web.Response:
        live_account(self._ledger.state, asked.agent_id)
        run_id = bodies.decode(asked.body, wire.NewRun).run_id
        run_id = self._fresh_run_id(asked) if run_id is None else run_id
        if not access.is_run_id(run_id):
            raise MalformedError("run_id", access.RUN_ID_FORM)
        run = self._ledger.history.note_run(asked.agent_id, run_id, self._clock.wall_ns())
        return respond.value(views.run(run))

    def _fresh_run_id(self, asked: Asked) -> str:
        """Make a run's id; from the Idempotency-Key where there is one, so that sent again it is the same."""
        if asked.idempotency is None:
            return self._rng.uuid4()
        return f"run-{sha256_hex(f'{asked.agent_id} {asked.idempotency.key}'.encode())[:32]}"

    async def _list_calls(self, asked: Asked) -> web.Response:
        live_account(self._ledger.state, asked.agent_id)
        limit, before = bodies.page(asked.route.query)
        calls = self._ledger.history.calls(asked.agent_id, limit, before)
        next_before = calls[-1].call_id if len(calls) == limit else None
        return respond.value(wire.Calls(calls=[*map(self._shown, calls)], next_before=next_before))

    async def _get_call(self, asked: Asked) -> web.Response:
        view = self._ledger.history.call(asked.route.params["call"])
        if view is None:
            raise SpendGuardError(Code.CALL_NOT_FOUND, "Call not found")
        return respond.value(self._shown(view))

    def _shown(self, view: CallView) -> wire.Call:
        relay = self._guard.relays.get(view.call_id)
        return flights.call(view, self._ledger.state, relay, self._now())

    async def _abort_call(self, asked: Asked) -> web.Response:
        call_id = asked.route.params["call"]
        if not await self._guard.abort(call_id, asked.actor):
            known = self._ledger.history.call(call_id)
            code, text = (
                (Code.CALL_NOT_OPEN, "Call has ended") if known else (Code.CALL_NOT_FOUND, "Call not found")
            )
            raise SpendGuardError(code, text)
        return await self._get_call(asked)

    async def _adjust_call(self, asked: Asked) -> web.Response:
        adjust = bodies.decode(asked.body, wire.Adjust)
        to_nusd = bodies.usd(adjust.cost_usd, "cost_usd")
        why = bodies.reason(adjust.reason, "corrected by operator")
        call_id = asked.route.params["call"]
        await self._ledger.submit(cmd.AdjustCall(call_id, to_nusd, why, asked.actor, asked.idempotency))
        return await self._get_call(asked)
