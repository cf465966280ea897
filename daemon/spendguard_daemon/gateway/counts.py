"""The free count routes: `messages/count_tokens`, `responses/input_tokens`, `models/{model}:countTokens`.

They cost nothing, so there is no lock, no hold and no record; but an agent must be named, its body must be
one that a call could have, and it may ask only so often. What it sent is forwarded with the operator's key.
"""

from collections.abc import Callable
from dataclasses import replace

from aiohttp import web

from spendguard_daemon.aside import aside
from spendguard_daemon.codes import TABLE
from spendguard_daemon.earlier import earlier
from spendguard_daemon.errors import Code, Fact, SpendGuardError
from spendguard_daemon.free import FreeAnswer, UnansweredError, ask, post
from spendguard_daemon.gateway.fairness import Fairness, Stay
from spendguard_daemon.gateway.identity import Identity
from spendguard_daemon.gateway.proxy import lower, read_body
from spendguard_daemon.gateway.routes import Route
from spendguard_daemon.guard import ANSWERED, Guard
from spendguard_daemon.ledger.budgets import live_account
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.ledger.state import Account
from spendguard_daemon.own_policy import policy_of
from spendguard_daemon.pace import Pace
from spendguard_daemon.planner import PriceSource
from spendguard_daemon.ports import Clock, Upstream
from spendguard_daemon.provider_keys import ProviderKeys
from spendguard_daemon.providers import (
    Asked,
    Format,
    anthropic_count,
    format_for,
    gemini_count,
    key_headers,
)
from spendguard_daemon.providers.contract import CountAsked
from spendguard_daemon.relay import KEY_REJECTED, PASSED_ON
from spendguard_daemon.scope import check_lists
from spendguard_daemon.settings import Settings

PER_SECOND, BURST = 5, 60
ANSWER_SECONDS = 30


class CountRoutes:
    """Serves all count routes. One per daemon, so that all share its pace."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        guard: Guard,
        fairness: Fairness,
        prices: PriceSource,
        keys: Callable[[], ProviderKeys],
        upstreams: Callable[[str], Upstream],
        settings: Settings,
        clock: Clock,
    ):
        self._ledger = ledger
        self._guard = guard
        self._fairness = fairness
        self._prices = prices
        self._keys = keys
        self._upstreams = upstreams
        self._settings = settings
        self._clock = clock
        self._pace = Pace(per_second=PER_SECOND, burst=BURST, clock=clock)

    async def serve(
        self, identity: Identity, request: web.BaseRequest, route: Route, call_id: str
    ) -> web.Response:
        """Ask the provider how many tokens a request of `identity` has. Raises SpendGuardError."""
        account = live_account(self._ledger.state, identity.agent_id)
        if account.mock:
            raise SpendGuardError(Code.MOCK_ONLY, TABLE[Code.MOCK_ONLY].title)
        with self._fairness.enter(account.agent_id) as stay:
            self._pace.check(account.agent_id)
            return await self._count(identity, request, route, account, stay, call_id)

    async def _count(
        self,
        identity: Identity,
        request: web.BaseRequest,
        route: Route,
        account: Account,
        stay: Stay,
        call_id: str,
    ) -> web.Response:
        body = await read_body(request, self._settings.body_bytes_max, self._settings.body_seconds, stay)
        policy = policy_of(self._settings, account.policy)
        asked = Asked(
            body,
            policy=policy,
            headers=lower(request.headers),
            query=route.query,
            model=route.params.get("model", ""),
        )
        question = await aside(lambda: _read(route, asked), len(body))
        if identity.models:  # a key that names models asks about no other
            book = self._prices.current(self._clock.wall_ns())
            check_lists(identity.models, book.card(route.speaker, question.model))
        await earlier(question.state_ids, account.agent_id, self._ledger.history, self._guard.ending)
        form = format_for(route.speaker, route.endpoint)
        answer = await self._ask(route.speaker, form, question, asked)
        headers = _brought_back(form, answer) | {
            "x-spendguard-call-id": call_id,
            "x-spendguard-source": "provider",
        }
        return web.Response(status=answer.status, headers=headers, body=answer.body)

    async def _ask(self, provider: str, form: Format, question: CountAsked, asked: Asked) -> FreeAnswer:
        key = self._keys().get(provider)
        passed = [(name, asked.headers[name]) for name in PASSED_ON if name in asked.headers]
        request = post(
            provider, question.path, (*passed, *question.headers, *key_headers(provider, key)), asked.body
        )
        facts: dict[str, Fact] = {"provider": provider}
        try:
            answer = await ask(self._upstreams(provider), request, ANSWER_SECONDS)
        except UnansweredError as error:
            raise _unreachable(str(error), facts) from error
        if answer.status not in ANSWERED:
            raise _unreachable(f"it answered {answer.status}", facts)
        if answer.status in KEY_REJECTED or (answer.status >= 400 and _says_so(form, answer)):
            title = TABLE[Code.PROVIDER_KEY_REJECTED].title
            facts |= {"provider_status": answer.status}
            raise SpendGuardError(
                Code.PROVIDER_KEY_REJECTED,
                f"{title}: {provider} answered {answer.status}; nothing was charged",
                facts=facts,
            )
        if answer.status >= 400:
            return replace(answer, body=answer.body.replace(key.encode(), b"[redacted]"))
        return answer


_READERS = {"messages": anthropic_count.read_count, "generateContent": gemini_count.read_count}
"""The endpoints whose questions are no calls, by their readers."""


def _read(route: Route, asked: Asked) -> CountAsked:
    """Read a question as strictly as the call that it is about; raises what readers of calls raise."""
    reader = _READERS.get(route.endpoint)
    if reader is not None:
        return reader(asked)
    form = format_for(route.speaker, route.endpoint)
    read = form.read(asked)
    return CountAsked(read.model, f"{form.path(read)}/input_tokens", read.headers, (), read.state_ids)


def _says_so(form: Format, answer: FreeAnswer) -> bool:
    """Tell whether an error says that the operator's key is none."""
    reader = form.errors(answer.headers.get("content-encoding", ""))
    reader.feed(answer.body)
    reader.end()
    return reader.key_rejected


def _brought_back(form: Format, answer: FreeAnswer) -> dict[str, str]:
    prefixes = tuple(name for name in form.brought_back if name.endswith("-"))
    return {
        name: value
        for name, value in answer.headers.items()
        if name in form.brought_back or name.startswith(prefixes)
    }


def _unreachable(why: str, facts: dict[str, Fact]) -> SpendGuardError:
    title = TABLE[Code.UPSTREAM_UNREACHABLE].title
    return SpendGuardError(Code.UPSTREAM_UNREACHABLE, f"{title}: {why}; nothing was charged", facts=facts)
