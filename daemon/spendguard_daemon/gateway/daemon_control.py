"""The control API about the daemon itself: health, status, prices, its cap, providers, shutdown."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec
from aiohttp import web

from spendguard_daemon import __version__, shown, wire
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.gateway import bodies, respond, views
from spendguard_daemon.gateway.asked import Asked
from spendguard_daemon.gateway.door import Door, reach_warnings
from spendguard_daemon.gateway.strangers import Strangers
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.money import format_usd
from spendguard_daemon.ports import Clock, NotSentError, Upstream, UpstreamLostError, UpstreamRequest
from spendguard_daemon.price_keeper import PriceKeeper
from spendguard_daemon.pricing import catalogue
from spendguard_daemon.provider_keys import ProviderKeys
from spendguard_daemon.providers import key_headers
from spendguard_daemon.runtime import NONCE, proof
from spendguard_daemon.setting_values import DANGER
from spendguard_daemon.settings import PROVIDERS, Settings
from spendguard_daemon.skew import Skew

NONCE_HEADER = "x-spendguard-nonce"
PROOF_HEADER = "x-spendguard-proof"
TEST_SECONDS = 15
GRACE_SECONDS = 20
"""How long calls in flight may go on after a polite wish to stop; then they are cut and settle at worst."""

FREE_QUESTIONS: Mapping[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "openai": ("/models", ()),
    "anthropic": ("/v1/models", (("anthropic-version", "2023-06-01"),)),
    "gemini": ("/v1beta/models", ()),
    "grok": ("/models", ()),
}
"""A request of each provider that costs nothing and needs the key, its list of models: path and headers."""


KEY_DOUBTED = frozenset({400, 401, 403})
"""What a key may be at fault for, of a question without a body; Google answers 400 to one that is none."""


class GrantDaemonBudget(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/daemon/budget`: as for an agent; a null limit lifts the cap."""

    hard_limit_cents: int | None
    topup_cents: int | None = None


class Stop(Protocol):
    """The wish to stop, which a route may utter."""

    @property
    def asked(self) -> bool:
        """Whether somebody wants the daemon to stop: it drains."""

    def ask(self, now: bool) -> None:
        """Stop soon, or at once."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What the daemon says of itself. `listening` are the addresses beside loopback."""

    home: str
    token: str
    addresses: tuple[str, ...]
    agents_url: str
    socket: str | None
    listening: tuple[str, ...]
    started_ns: int


class KeyRing:
    """The provider keys in force; `reload` reads them anew."""

    def __init__(self, read: Callable[[], ProviderKeys]):
        self._read = read
        self._keys = read()

    def __call__(self) -> ProviderKeys:
        """Return the keys."""
        return self._keys

    def reload(self) -> None:
        """Read environment and secrets.toml again; on an error the old keys stay."""
        self._keys = self._read()


class DaemonControl:
    """Serves the routes that are not about one agent."""

    def __init__(
        self,
        *,
        identity: Identity,
        ledger: Ledger,
        prices: PriceKeeper,
        keys: KeyRing,
        upstreams: Callable[[str], Upstream],
        settings: Settings,
        clock: Clock,
        stop: Stop,
        skew: Skew,
        strangers: Strangers,
    ):
        self._identity = identity
        self._ledger = ledger
        self._prices = prices
        self._keys = keys
        self._upstreams = upstreams
        self._settings = settings
        self._clock = clock
        self._stop = stop
        self._skew = skew
        self._strangers = strangers
        self.open_routes: Mapping[str, Callable[[web.BaseRequest, Door], web.Response]] = {
            "health": self._health,
            "ready": self._ready,
            "root": self._root,
        }
        self.routes: Mapping[str, Callable[[Asked], Awaitable[msgspec.Struct]]] = {
            "status": self._get_status,
            "get_pricing": self._get_pricing,
            "refresh_pricing": self._refresh_pricing,
            "get_daemon_budget": self._get_daemon_budget,
            "grant_daemon_budget": self._grant_daemon_budget,
            "top_up_daemon": self._top_up_daemon,
            "list_providers": self._list_providers,
            "reload_providers": self._reload_providers,
            "test_provider": self._test_provider,
            "shutdown": self._shutdown,
        }

    # -- open to anyone on this machine -----------------------------------------------------------------

    def _health(self, request: web.BaseRequest, door: Door) -> web.Response:
        """Answer {"status":"ok"}, and prove to a client that asks that this is the daemon of its home.

        The proof binds the place where it was asked for: a loopback port, the address and port of
        `[access] listen`, or the Unix socket with the port of the same daemon.
        """
        response = web.Response(body=b'{"status":"ok"}', content_type=respond.JSON)
        nonce = request.headers.get(NONCE_HEADER, "")
        if NONCE.fullmatch(nonce):
            response.headers[PROOF_HEADER] = proof(self._identity.token, nonce, door.place)
        return response

    def _ready(self, _: web.BaseRequest, __: Door) -> web.Response:
        reasons = [*self._reasons(), *(["the sidecar is stopping"] if self._stop.asked else [])]
        status = "not ready" if reasons else "ready"
        dangers = [said for said in self._settings.warnings if said.startswith(DANGER)]
        told = wire.Ready(status=status, reasons=reasons, warnings=dangers or msgspec.UNSET)
        return respond.value(told, 503 if reasons else 200)

    def _root(self, _: web.BaseRequest, __: Door) -> web.Response:
        return web.Response(text="SpendGuard sidecar\n")

    def _reasons(self) -> list[str]:
        try:
            self._prices.current(self._clock.wall_ns())
        except SpendGuardError as error:
            return [error.detail]
        return []

    # -- for operators ----------------------------------------------------------------------------------

    async def _get_status(self, _: Asked) -> wire.Status:
        return self.status()

    def status(self) -> wire.Status:
        """Return the daemon at a glance."""
        state, condition, waiting = self._ledger.state, self.condition(), self._ledger.waiting()
        return wire.Status(
            state=condition.state,
            version=__version__,
            pid=os.getpid(),
            started_at=wire.iso(self._identity.started_ns),
            home=self._identity.home,
            addresses=list(self._identity.addresses),
            agents_url=self._identity.agents_url,
            socket=self._identity.socket,
            listening=list(self._identity.listening),
            keys_required=self._settings.bare_header == "refuse",
            pricing=condition.pricing,
            providers=views.providers(self._settings, self._keys()).providers,
            daemon_budget=shown.daemon_budget(state),
            agents=sum(not account.deleted for account in state.accounts.values()),
            calls_in_flight=len(state.open_calls),
            unconfirmed_usd=format_usd(state.unconfirmed_nusd),
            unconfirmed_calls=state.unconfirmed_calls,
            settled_at_worst_at_start=len(self._ledger.recovered.settled_at_worst),
            warnings=list(condition.warnings),
            unconfirmed=shown.unconfirmed(state),
            unconfirmed_agents=views.unconfirmed_agents(state),
            calls_waiting=len(waiting),
            waiting=[shown.waiting_call(waiter, state) for waiter in waiting[: shown.WAITING_SHOWN]],
            clock_skew_seconds=self._skew.seconds(),
            strangers=self._strangers.shown(),
        )

    def condition(self) -> views.Condition:
        """Return what of the status changes by itself, which whoever watches looks at again and again."""
        reasons = self._reasons()
        pricing = None if reasons else views.pricing(self._prices.report())
        warnings = [
            *reasons,
            *self._settings.warnings,
            *views.pricing_warnings(pricing),
            *self._own_warnings(),
            *self._ledger.recovered.warnings,
        ]
        return views.Condition("draining" if self._stop.asked else "up", pricing, tuple(warnings))

    def _own_warnings(self) -> list[str]:
        warnings = catalogue.warnings(self._clock.wall_ns())
        if self._settings.control == "open-loopback":
            warnings.insert(0, "the control API is open to everyone on this machine ([access] control)")
        return [*reach_warnings(self._identity.listening), *warnings]

    async def _get_pricing(self, _: Asked) -> wire.Pricing:
        return views.pricing(self._prices.report())

    async def _refresh_pricing(self, _: Asked) -> wire.Pricing:
        """Look for a newer document now; refuse with what was wrong, even while the old one is in force."""
        await self._prices.refresh()
        return views.pricing(self._prices.report())

    async def _get_daemon_budget(self, _: Asked) -> wire.DaemonBudget:
        return shown.daemon_budget(self._ledger.state)

    async def _grant_daemon_budget(self, asked: Asked) -> wire.DaemonBudget:
        grant = bodies.decode(asked.body, GrantDaemonBudget)
        limit = (
            None
            if grant.hard_limit_cents is None
            else bodies.cents(grant.hard_limit_cents, "hard_limit_cents")
        )
        topup = None if grant.topup_cents is None else bodies.cents(grant.topup_cents, "topup_cents")
        command = cmd.SetDaemonLimit(limit, topup, asked.actor, asked.idempotency)
        return shown.daemon_budget(self._ledger.state, await self._ledger.submit(command))

    async def _top_up_daemon(self, asked: Asked) -> wire.DaemonBudget:
        amount = bodies.cents(bodies.decode(asked.body, wire.TopUp).topup_cents, "topup_cents")
        events = await self._ledger.submit(cmd.TopUpDaemon(amount, asked.actor, asked.idempotency))
        return shown.daemon_budget(self._ledger.state, events)

    async def _list_providers(self, _: Asked) -> wire.Providers:
        return views.providers(self._settings, self._keys())

    async def _reload_providers(self, _: Asked) -> wire.Providers:
        self._keys.reload()
        return views.providers(self._settings, self._keys())

    async def _test_provider(self, asked: Asked) -> wire.ProviderTest:
        """Ask a provider for its model list with the operator's key: free, and shows if the key works."""
        name = asked.route.params["provider"]
        if name not in PROVIDERS:
            known = " and ".join(PROVIDERS)
            raise SpendGuardError(
                Code.ROUTE_NOT_FOUND, f"Route not found: {name!r} is no provider; only {known} are"
            )
        path, headers = FREE_QUESTIONS[name]
        keyed = (*headers, ("accept-encoding", "identity"), *key_headers(name, self._keys().get(name)))
        question = UpstreamRequest(provider=name, method="GET", path=path, headers=keyed, body=b"")
        seconds = min(TEST_SECONDS, self._settings.idle_seconds)
        try:
            async with asyncio.timeout(seconds):
                response = await self._upstreams(name).send(question)
        except (NotSentError, UpstreamLostError, TimeoutError) as error:
            detail = str(error) or f"{name} did not answer within {seconds} s"
            return wire.ProviderTest(
                name=name, ok=False, http_status=None, detail=detail, remedy="check the network"
            )
        await response.close()
        ok, doubted = response.status == 200, response.status in KEY_DOUBTED
        remedy = f"spendguard provider set-key {name}" if doubted else ""
        answered = f"{name} answered {response.status}"
        detail = "the key works" if ok else f"the key was rejected: {answered}" if doubted else answered
        return wire.ProviderTest(name=name, ok=ok, http_status=response.status, detail=detail, remedy=remedy)

    async def _shutdown(self, asked: Asked) -> msgspec.Struct:
        now = bodies.decode(asked.body, wire.Shutdown).now
        self._stop.ask(now)
        return wire.Stopping(
            calls_in_flight=len(self._ledger.state.open_calls), grace_seconds=0 if now else GRACE_SECONDS
        )
