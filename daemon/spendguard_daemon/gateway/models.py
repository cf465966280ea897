"""`GET /v1/models`, `/v1/models/{id}`, and `/v1beta/...` likewise: what an agent can call.

From the price document, in the asker's shape; nothing is asked of a provider. Listed is only what a call
could be sent to: a priced model whose provider is served and has a key, under every name that the card knows.
A mock agent sees the mock models alone, and who comes with a key that names models sees those.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from aiohttp import web

from spendguard_daemon.errors import Code, MalformedError, SpendGuardError
from spendguard_daemon.gateway import respond
from spendguard_daemon.gateway.identity import Identity
from spendguard_daemon.gateway.routes import Route
from spendguard_daemon.ledger.budgets import live_account
from spendguard_daemon.ledger.state import State
from spendguard_daemon.planner import PriceSource
from spendguard_daemon.ports import Clock
from spendguard_daemon.pricing.ratecard import RateCard
from spendguard_daemon.provider_keys import ProviderKeys
from spendguard_daemon.providers import BARE_ROOT, FORMATS
from spendguard_daemon.scope import may_call
from spendguard_daemon.wire import iso

ANTHROPIC_VERSION = "anthropic-version"
GOOGLE_KEY = "x-goog-api-key"
"""Headers by which a client's own dialect is known on the bare root: Google's SDK lists `/v1/models`."""

PAGE_MAX = 1000

_LIMIT = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)

_PLACE = re.compile(r"[0-9]{1,6}", re.ASCII)

GEMINI_PREFIX = "models/"
GEMINI_METHODS: Mapping[str, tuple[str, ...]] = {
    "generateContent": ("generateContent", "streamGenerateContent", "countTokens"),
    "embedContent": ("embedContent",),
    "batchEmbedContents": ("batchEmbedContents",),
}
"""What Google's list calls the endpoints of a model."""

Named = tuple[str, RateCard]
One = Callable[[Named], Mapping[str, object]]
Many = Callable[[Sequence[Named], Mapping[str, str]], Mapping[str, object]]


class ModelList:
    """Answers both routes."""

    def __init__(self, *, state: State, prices: PriceSource, keys: Callable[[], ProviderKeys], clock: Clock):
        self._state = state
        self._prices = prices
        self._keys = keys
        self._clock = clock

    def serve(self, identity: Identity | None, request: web.BaseRequest, route: Route) -> web.Response:
        """Answer with the list, or with the one model that is named; raise ROUTE_NOT_FOUND for a stranger."""
        dialect = _dialect(request, route)
        found = self._callable(route, mock=self._is_mock(identity, route), dialect=dialect)
        if identity is not None:
            found = [
                named for named in found if all(may_call(models, named[1]) for models in identity.models)
            ]
        one, many = _SHAPES[dialect]
        if route.name == "models":
            return respond.value(many(found, route.query))
        wanted = route.params["model"]
        card = next((card for name, card in found if name == wanted), None)
        if card is None:
            raise SpendGuardError(
                Code.ROUTE_NOT_FOUND,
                f"Route not found: no model {wanted} that could be called here",
                facts={"model": wanted},
            )
        return respond.value(one((wanted, card)))

    def _is_mock(self, identity: Identity | None, route: Route) -> bool:
        """Tell whether a mock agent asks. Who names no agent sees what is real."""
        if identity is None:
            return route.provider == "mock"
        return live_account(self._state, identity.agent_id).mock

    def _callable(self, route: Route, *, mock: bool, dialect: str) -> list[Named]:
        book, keys = self._prices.current(self._clock.wall_ns()), self._keys()
        found: list[Named] = []
        for card in book.cards():
            provider = card.provider
            if mock is not (provider == "mock") or not _speaks(card, dialect):
                continue
            if not mock and (keys.origin(provider) == "absent" or route.provider not in ("", provider)):
                continue
            found += [(name, card) for name in (card.model, *card.aliases)]
        return found


def _dialect(request: web.BaseRequest, route: Route) -> str:
    """Return whose list of models the asker understands."""
    if route.endpoint:
        return BARE_ROOT.get(route.endpoint, "openai")
    if ANTHROPIC_VERSION in request.headers:
        return "anthropic"
    return "gemini" if GOOGLE_KEY in request.headers else "openai"


def _speaks(card: RateCard, dialect: str) -> bool:
    """Tell whether a client that speaks this wire format can call the model."""
    return any(
        (card.provider, endpoint) in FORMATS and BARE_ROOT.get(endpoint, "openai") == dialect
        for endpoint in card.endpoints
    )


def _openai_model(named: Named) -> Mapping[str, object]:
    name, card = named
    created = card.periods[0].from_ns // 1_000_000_000
    return {"id": name, "object": "model", "created": created, "owned_by": card.provider}


def _anthropic_model(named: Named) -> Mapping[str, object]:
    name, card = named
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": iso(card.periods[0].from_ns),
        "lifecycle": "active",
        "max_input_tokens": card.limits.input_tokens_max,
        "max_tokens": card.limits.output_tokens_max,
    }


def _gemini_model(named: Named) -> Mapping[str, object]:
    """[sdk] google-genai 3.6.1, types.py: Model, as `models.get` of the Gemini API answers it."""
    name, card = named
    return {
        "name": f"{GEMINI_PREFIX}{name}",
        "version": name,
        "displayName": name,
        "inputTokenLimit": card.limits.input_tokens_max,
        "outputTokenLimit": card.limits.output_tokens_max,
        "supportedGenerationMethods": [
            verb
            for endpoint in card.endpoints
            for verb in GEMINI_METHODS.get(endpoint, ())
            if BARE_ROOT.get(endpoint) == "gemini"
        ],
    }


def _gemini_page(found: Sequence[Named], query: Mapping[str, str]) -> Mapping[str, object]:
    """Return the page of the list that a query asks for; the token of a page is where it begins."""
    size, token = query.get("pageSize", str(PAGE_MAX)), query.get("pageToken", "0")
    if not _LIMIT.fullmatch(size) or int(size) > PAGE_MAX:
        raise MalformedError("query.pageSize", f"a whole number from 1 to {PAGE_MAX}")
    if not _PLACE.fullmatch(token):
        raise MalformedError("query.pageToken", "one of an answer")
    start, end = int(token), int(token) + int(size)
    page: dict[str, object] = {"models": [_gemini_model(named) for named in found[start:end]]}
    return page | ({"nextPageToken": str(end)} if end < len(found) else {})


def _openai_list(found: Sequence[Named], _query: Mapping[str, str]) -> Mapping[str, object]:
    return {"object": "list", "data": [_openai_model(named) for named in found]}


def _anthropic_page(found: Sequence[Named], query: Mapping[str, str]) -> Mapping[str, object]:
    """Return the page of the list that a query asks for, as Anthropic's SDKs turn pages."""
    limit = query.get("limit", str(PAGE_MAX))
    if not _LIMIT.fullmatch(limit) or int(limit) > PAGE_MAX:
        raise MalformedError("query.limit", f"a whole number from 1 to {PAGE_MAX}")
    ids = [name for name, _ in found]
    start, end = 0, len(ids)
    if "after_id" in query:
        start = ids.index(query["after_id"]) + 1 if query["after_id"] in ids else end
    if "before_id" in query:
        end = ids.index(query["before_id"]) if query["before_id"] in ids else 0
        start = max(start, end - int(limit))
    page = [_anthropic_model(named) for named in found[start:end][: int(limit)]]
    return {
        "data": page,
        "has_more": start + len(page) < end or ("before_id" in query and start > 0),
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
    }


_SHAPES: Mapping[str, tuple[One, Many]] = {
    "openai": (_openai_model, _openai_list),
    "anthropic": (_anthropic_model, _anthropic_page),
    "gemini": (_gemini_model, _gemini_page),
}
"""How each dialect shows one model, and a page of them."""
