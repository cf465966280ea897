"""Read, bound and price a call: from what arrived to the hold it needs, and to what may leave under it.

Design 5.2 to 5.4 and the first half of 5.6. Nothing is held here and nothing leaves; the clock is read once.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from spendguard_daemon.aside import aside
from spendguard_daemon.call import Arrival, Plan
from spendguard_daemon.canonical import sha256_hex
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, MalformedError, SpendGuardError
from spendguard_daemon.ledger.commands import HoldCall, Offer
from spendguard_daemon.ledger.events import Hold, Idempotency
from spendguard_daemon.ledger.state import Account
from spendguard_daemon.ports import Clock
from spendguard_daemon.pricing.document import PriceBook
from spendguard_daemon.pricing.ratecard import RateCard
from spendguard_daemon.provider_keys import ProviderKeys
from spendguard_daemon.providers import Outgoing, Request, format_for
from spendguard_daemon.settings import Settings
from spendguard_daemon.usage import InputBound

NANOSECONDS = 1_000_000_000
IMPLICIT_RUN = "default"
"""The run that calls without a run id join (design 4)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a body says, and which request it is, where the client gave that a key."""

    request: Request
    idempotency: Idempotency | None


class PriceSource(Protocol):
    """Where the verified price document in force comes from."""

    def current(self, now_ns: int) -> PriceBook:
        """Return it; raise PRICING_UNAVAILABLE or PRICING_EXPIRED."""


class Planner:
    """Turns arrivals into plans by the settings, prices and keys in force."""

    def __init__(
        self, *, prices: PriceSource, keys: Callable[[], ProviderKeys], settings: Settings, clock: Clock
    ):
        self._prices = prices
        self._keys = keys
        self._settings = settings
        self._clock = clock

    def plan(
        self,
        arrival: Arrival,
        reading: Reading,
        account: Account,
        distrusted: Collection[tuple[str, str, str]],
    ) -> Plan:
        """Return the plan of a call that was read as `reading`.

        `distrusted` names (provider, model, rung) whose bound was overrun once. Raises what the price
        document and the keys raise; the model is added to the facts once it is known.
        """
        request, from_ns = reading.request, self._clock.wall_ns()
        book = self._prices.current(from_ns)
        provider = _provider_of(book, request.model, arrival.provider, account)
        card = book.card(provider, request.model)
        if arrival.endpoint not in card.endpoints:
            raise MalformedError("model", f"a model of {arrival.endpoint}; {card.model} is not")
        if (provider == "mock") is not account.mock:
            raise SpendGuardError(Code.MOCK_ONLY, TABLE[Code.MOCK_ONLY].title)
        key = "" if provider == "mock" else self._keys().get(provider)
        form = format_for(provider, arrival.endpoint)
        bounds = form.bounds(request, card.limits)
        trusted = [b for b in bounds if (provider, card.model, b.rung) not in distrusted] or bounds[-1:]
        asked = request.asked_output_tokens
        wanted = min(asked or self._settings.default_max_output, card.limits.output_tokens_max)
        floor = form.floor_output_tokens(
            request, output_tokens_min=card.output_tokens_min, reasoning=card.reasoning
        )
        until_ns = from_ns + self._settings.absolute_seconds * NANOSECONDS
        hold = HoldCall(
            call_id=arrival.call_id,
            agent_id=arrival.agent_id,
            run_id=self._run_id(arrival),
            provider=provider,
            endpoint=arrival.endpoint,
            model=card.model,
            offers=tuple(_offer(bound, request, card, from_ns, until_ns) for bound in trusted),
            choices=request.choices,
            asked_output_tokens=asked,
            output_tokens=wanted,
            floor_output_tokens=min(wanted, floor),
            injected=asked is None,
            document_sha256=book.document_sha256,
            rates=card.pinned_rates(input_tokens=trusted[-1].tokens, from_ns=from_ns, until_ns=until_ns),
            deadline_ns=until_ns,
            idempotency=reading.idempotency,
        )
        return Plan(arrival.headers, form, request, card, book, hold, from_ns, key)

    def _run_id(self, arrival: Arrival) -> str:
        if arrival.run_id is not None:
            return arrival.run_id
        return IMPLICIT_RUN if self._settings.anonymous_run == "join" else f"own-{arrival.call_id}"


async def read(arrival: Arrival) -> Reading:
    """Read the body of a call, a large one aside. Raises what its format's reader raises."""
    return await aside(lambda: _read(arrival), len(arrival.body))


def _read(arrival: Arrival) -> Reading:
    request = format_for(arrival.provider or "openai", arrival.endpoint).read(arrival.body)
    return Reading(request, _idempotency(arrival))


async def rewritten(plan: Plan, hold: Hold) -> Outgoing:
    """Rewrite the request to what was held, a large one aside."""
    return await aside(lambda: _rewritten(plan, hold), len(plan.request.document.text))


def _rewritten(plan: Plan, hold: Hold) -> Outgoing:
    """Rewrite the request, then read it back: the very same hold must bound it."""
    outgoing = plan.format.rewrite(plan.request, output_tokens=hold.output_tokens)
    again = plan.format.read(outgoing.body)
    same = (
        again.asked_output_tokens == hold.output_tokens
        and again.choices == hold.choices
        and again.model == plan.request.model
        and again.stream == plan.request.stream
        and again.reach == plan.request.reach
        and plan.format.bounds(again, plan.card.limits) == plan.format.bounds(plan.request, plan.card.limits)
    )
    if not same:
        raise SpendGuardError(Code.INTERNAL, "Internal error: the rewritten request is not what was held")
    return outgoing


def _offer(bound: InputBound, request: Request, card: RateCard, from_ns: int, until_ns: int) -> Offer:
    """Price one rung of the input bound."""
    cost = card.quote(
        input_tokens=bound.tokens,
        choices=request.choices,
        reach=request.reach,
        from_ns=from_ns,
        until_ns=until_ns,
    )
    return Offer(bound.rung, bound.tokens, cost)


def _idempotency(arrival: Arrival) -> Idempotency | None:
    if arrival.idempotency_key is None:
        return None
    return Idempotency(arrival.idempotency_key, arrival.endpoint, sha256_hex(arrival.body)[:32])


def _provider_of(book: PriceBook, model: str, named: str, account: Account) -> str:
    """Return whose model this is; on the bare root (`named` empty) it follows from the model (design 6).

    A mock agent finds its models on every root, so that a program needs no other base URL to be tried out.
    """
    providers = book.providers_of(model)
    if account.mock and "mock" in providers:
        return "mock"
    if named:
        return named
    if not providers:
        raise SpendGuardError(
            Code.UNKNOWN_MODEL,
            f"Unknown model for pricing: openai:{model}",
            facts={"path": "model", "provider": "openai", "model": model},
        )
    return providers[0]
