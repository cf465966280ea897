"""Read, bound and price a call: from what arrived to the hold it needs, and to what may leave under it.

Design 5.2 to 5.4 and the first half of 5.6. Nothing is held here and nothing leaves; the clock is read once.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Protocol
from urllib.parse import parse_qsl

from spendguard_daemon.aside import aside
from spendguard_daemon.call import Arrival, Plan
from spendguard_daemon.canonical import sha256_hex
from spendguard_daemon.codes import TABLE
from spendguard_daemon.earlier import Earlier
from spendguard_daemon.errors import Code, MalformedError, SpendGuardError
from spendguard_daemon.ledger.commands import HoldCall, Offer
from spendguard_daemon.ledger.events import Hold, Idempotency
from spendguard_daemon.ledger.state import Account, AgentKey
from spendguard_daemon.own_policy import policy_of, wait_seconds
from spendguard_daemon.ports import Clock
from spendguard_daemon.pricing.document import PriceBook
from spendguard_daemon.pricing.ratecard import RateCard
from spendguard_daemon.pricing.trust import check_unexpired
from spendguard_daemon.provider_keys import ProviderKeys
from spendguard_daemon.providers import (
    FORMATS,
    Asked,
    Format,
    Outgoing,
    Request,
    format_for,
)
from spendguard_daemon.scope import check_scope
from spendguard_daemon.settings import Settings
from spendguard_daemon.usage import InputBound
from spendguard_daemon.whose import glance, provider_of, speaker

NANOSECONDS = 1_000_000_000
IMPLICIT_RUN = "default"
"""The run that calls without a run id join (design 4)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a body says, in whose format, and which request it is, where the client gave that a key."""

    provider: str
    request: Request
    idempotency: Idempotency | None


class PriceSource(Protocol):
    """Where the verified price document in force comes from."""

    def current(self, now_ns: int) -> PriceBook:
        """Return it; raise PRICING_UNAVAILABLE or PRICING_EXPIRED."""


class Planner:
    """Turns arrivals into plans by the settings, prices and keys in force."""

    def __init__(
        self,
        *,
        prices: PriceSource,
        keys: Callable[[], ProviderKeys],
        settings: Settings,
        clock: Clock,
        agent_keys: Mapping[str, AgentKey],
    ):
        self._prices = prices
        self._keys = keys
        self._settings = settings
        self._clock = clock
        self._agent_keys = agent_keys

    def asked(self, arrival: Arrival, account: Account) -> Asked:
        """Return what is to be read, with the policy of the agent that asks."""
        policy = policy_of(self._settings, account.policy)
        return Asked(
            arrival.body,
            policy=policy,
            headers=arrival.headers,
            query=arrival.query,
            model=arrival.model,
            stream=arrival.stream,
        )

    async def read(self, arrival: Arrival, asked: Asked, account: Account) -> Reading:
        """Read the body of a call, a large one aside. Raises what its format's reader raises.

        On the bare root the format follows from the model, which is glanced at first. Where there are no
        prices yet, or no such model, it is that of the endpoint; then `plan` refuses the call.
        """
        try:
            book = self._prices.current(self._clock.wall_ns())
        except SpendGuardError:
            book = None

        def reading() -> Reading:
            named = asked.model or glance(asked.body)
            provider = speaker(arrival) if book is None else provider_of(book, named, arrival, account)
            form = FORMATS.get((provider, arrival.endpoint))
            form = form or format_for(speaker(arrival), arrival.endpoint)
            return Reading(provider, form.read(asked), _idempotency(arrival))

        return await aside(reading, len(asked.body))

    def plan(
        self,
        arrival: Arrival,
        asked: Asked,
        reading: Reading,
        account: Account,
        earlier: Earlier,
        distrusted: Collection[tuple[str, str, str]],
    ) -> Plan:
        """Return the plan of a call that was read as `reading`.

        `distrusted` names (provider, model, rung) whose bound was overrun once. Raises what the price
        document and the keys raise; the model is added to the facts once it is known.
        """
        request, from_ns = reading.request, self._clock.wall_ns()
        book = self._prices.current(from_ns)
        provider = reading.provider
        card = book.card(provider, request.model)
        if arrival.endpoint not in card.endpoints:
            raise MalformedError("model", f"a model of {arrival.endpoint}; {card.model} is not")
        check_scope(arrival.keys, card, self._agent_keys)
        if (provider == "mock") is not account.mock:
            raise SpendGuardError(Code.MOCK_ONLY, TABLE[Code.MOCK_ONLY].title)
        key = "" if provider == "mock" else self._keys().get(provider)
        form = format_for(provider, arrival.endpoint)
        state_tokens = earlier.tokens_for(provider, card.model)
        bounds = form.bounds(request, card.limits, state_tokens)
        trusted = [b for b in bounds if (provider, card.model, b.rung) not in distrusted] or bounds[-1:]
        wanted, floor = self._caps(form, request, card)
        waits = wait_seconds(arrival.wait_seconds, account.policy, self._settings)
        waits_at_most = self._settings.held_wait_seconds if waits is None else waits
        until_ns = from_ns + (self._settings.absolute_seconds + waits_at_most) * NANOSECONDS
        hold = HoldCall(
            call_id=arrival.call_id,
            agent_id=arrival.agent_id,
            run_id=self._run_id(arrival),
            provider=provider,
            endpoint=arrival.endpoint,
            model=card.model,
            offers=tuple(offer(bound, request, card, from_ns, until_ns) for bound in trusted),
            choices=request.choices,
            asked_output_tokens=request.asked_output_tokens,
            output_tokens=wanted,
            floor_output_tokens=floor,
            least_output_tokens=max(request.least_output_tokens, card.output_tokens_min),
            injected=request.asked_output_tokens is None and not request.capless,
            document_sha256=book.document_sha256,
            rates=card.pinned_rates(
                input_tokens=max(bound.tokens for bound in trusted),
                from_ns=from_ns,
                until_ns=until_ns,
                events=events_of(request, card),
                service_tier=request.service_tier,
                modifiers=request.modifiers,
            ),
            deadline_ns=until_ns,
            idempotency=reading.idempotency,
            keys=arrival.keys,
            root_public=arrival.root_public,
            wait_seconds=waits,
        )
        bodiless = replace(asked, body=b"")
        return Plan(bodiless, form, request, card, book, hold, from_ns, key, state_tokens)

    def outdated(self, plan: Plan, account: Account) -> SpendGuardError | None:
        """Return why a call that waited may not go as it was planned; None where that is still good.

        A newer document alone is no reason: the call was priced by one that was verified, and is held at it.
        """
        if plan.asked.policy != policy_of(self._settings, account.policy):
            return SpendGuardError(Code.POLICY_CHANGED, TABLE[Code.POLICY_CHANGED].title)
        now_ns = self._clock.wall_ns()
        try:
            if self._prices.current(now_ns) is not plan.book:
                check_unexpired(plan.book.expires_ns, now_ns)
        except SpendGuardError as error:
            return error
        return None

    def _caps(self, form: Format, request: Request, card: RateCard) -> tuple[int, int]:
        """Return the output cap that is wanted per choice, and the least that a clamp may leave of it."""
        if request.capless:
            return 0, 0
        useful = form.floor_output_tokens(
            request, output_tokens_min=card.output_tokens_min, reasoning=card.reasoning
        )
        floor = max(useful, request.floor_output_tokens)
        asked = request.asked_output_tokens
        wanted = max(self._settings.default_max_output, floor) if asked is None else asked
        wanted = min(wanted, card.limits.output_tokens_max)
        return wanted, min(wanted, floor)

    def _run_id(self, arrival: Arrival) -> str:
        if arrival.run_id is not None:
            return arrival.run_id
        return IMPLICIT_RUN if self._settings.anonymous_run == "join" else f"own-{arrival.call_id}"


async def rewritten(plan: Plan, hold: Hold) -> Outgoing:
    """Rewrite the request to what was held, a large one aside."""
    return await aside(lambda: _rewritten(plan, hold), len(plan.request.document.text))


def _rewritten(plan: Plan, hold: Hold) -> Outgoing:
    """Rewrite the request, then read back what goes out, body and headers: the same hold must bound it."""
    outgoing = plan.format.rewrite(plan.request, output_tokens=hold.output_tokens)
    again = plan.format.read(_leaving(plan, outgoing))
    capped = again.capless or again.asked_output_tokens == hold.output_tokens
    if not capped or again.choices != hold.choices or not _as_held(plan, again):
        raise SpendGuardError(Code.INTERNAL, "Internal error: the rewritten request is not what was held")
    return outgoing


def _leaving(plan: Plan, outgoing: Outgoing) -> Asked:
    """Return what goes out as if a client had asked for it: body, headers, query, and what the path names."""
    request = plan.request
    return replace(
        plan.asked,
        body=outgoing.body,
        headers=dict(request.headers),
        query=dict(parse_qsl(request.query)),
        model=request.model,
        stream=request.stream,
    )


def _as_held(plan: Plan, again: Request) -> bool:
    """Tell whether all that was bounded and priced is in the outgoing request as it was in the client's."""
    before, limits, state_tokens = plan.request, plan.card.limits, plan.state_tokens
    return (
        _billed(again) == _billed(before)
        and again.stripped == ()
        and plan.format.bounds(again, limits, state_tokens)
        == plan.format.bounds(before, limits, state_tokens)
    )


def _billed(request: Request) -> tuple[object, ...]:
    return (
        request.model,
        request.stream,
        request.capless,
        request.input_tokens_exact,
        request.media,
        request.state_ids,
        request.foreign_state,
        request.passes,
        request.output_passes,
        request.reach,
        dict(request.events),
        request.penalties,
        request.uncapped,
        request.service_tier,
        request.modifiers,
        request.headers,
    )


def offer(bound: InputBound, request: Request, card: RateCard, from_ns: int, until_ns: int) -> Offer:
    """Price one rung of the input bound."""
    cost = card.quote(
        input_tokens=bound.tokens,
        choices=request.choices * request.output_passes,
        reach=request.reach,
        from_ns=from_ns,
        until_ns=until_ns,
        events=events_of(request, card),
        service_tier=request.service_tier,
        modifiers=request.modifiers,
        uncapped_tokens=request.uncapped_tokens(card.limits, reasoning=card.reasoning),
    )
    return Offer(bound.rung, bound.tokens, cost)


def events_of(request: Request, card: RateCard) -> dict[str, int]:
    """Return the most of each fee that a request may cause, with one of each penalty that the card lists."""
    return {**request.events, **{name: 1 for name in request.penalties if name in card.fees}}


def _idempotency(arrival: Arrival) -> Idempotency | None:
    if arrival.idempotency_key is None:
        return None
    # What the path says is as much of the request as its body.
    of_path = f"{arrival.model}:{arrival.stream}\n".encode() if arrival.model else b""
    return Idempotency(arrival.idempotency_key, arrival.endpoint, sha256_hex(of_path + arrival.body)[:32])
