"""Web pages that may call models: what a browser is told, and nothing to any other page. Pure.

Sources: the Fetch standard (CORS protocol) and Private Network Access. Pages are named in `[access] origins`
and come with an agent key, never with cookies: no answer allows credentials. Without the setting there is no
such header at all.
"""

from collections.abc import Mapping, Sequence

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.gateway.routes import MODEL_ROUTES, match

MAX_AGE_SECONDS = 600

HEADERS = (
    "accept",
    "anthropic-beta",
    "anthropic-dangerous-direct-browser-access",
    "anthropic-version",
    "authorization",
    "content-type",
    "idempotency-key",
    "openai-beta",
    "openai-organization",
    "openai-project",
    "user-agent",
    "x-api-key",
    "x-client-request-id",
    "x-cynsta-agent-id",
    "x-cynsta-run-id",
    "x-goog-api-client",
    "x-goog-api-key",
    "x-server-timeout",
    "x-spendguard-wait",
    "x-stainless-arch",
    "x-stainless-custom-poll-interval",
    "x-stainless-helper",
    "x-stainless-helper-method",
    "x-stainless-lang",
    "x-stainless-os",
    "x-stainless-package-version",
    "x-stainless-poll-helper",
    "x-stainless-retry-count",
    "x-stainless-runtime",
    "x-stainless-runtime-version",
    "x-stainless-timeout",
)
"""What the SDKs of OpenAI, Anthropic and Google send from a browser, and our own."""

SHOWN = (
    "request-id",
    "retry-after",
    "retry-after-ms",
    "x-request-id",
    "x-should-retry",
    "x-spendguard-call-id",
    "x-spendguard-cost-usd",
    "x-spendguard-held-usd",
    "x-spendguard-max-tokens",
    "x-spendguard-remaining-cents",
    "x-spendguard-source",
    "x-spendguard-stripped",
)
"""What a page may read of an answer's headers, beside those that each may."""


def marks(origin: str | None) -> Mapping[str, str]:
    """Return the headers by which a browser lets a page read an answer; none where no page asks."""
    if origin is None:
        return {}
    return {
        "access-control-allow-origin": origin,
        "access-control-expose-headers": ", ".join(SHOWN),
        "vary": "Origin",
    }


def preflight(
    origin: str, target: str, methods: Sequence[str], private: Sequence[str], served: frozenset[str] | None
) -> Mapping[str, str]:
    """Return what a browser is told that asks whether a page may send `methods` to `target`.

    `private` are the values of Access-Control-Request-Private-Network. Raises FORBIDDEN_ORIGIN for what is no
    model route, and for what is no such question; ROUTE_NOT_FOUND, METHOD_NOT_ALLOWED.
    """
    if len(methods) != 1:
        raise refused()
    route = match(methods[0], target, served)
    if route.name not in MODEL_ROUTES:
        raise refused()
    told = {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": methods[0],
        "access-control-allow-headers": ", ".join(HEADERS),
        "access-control-max-age": str(MAX_AGE_SECONDS),
        "vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Private-Network",
    }
    if list(private) == ["true"]:
        told["access-control-allow-private-network"] = "true"
    return told


def refused() -> SpendGuardError:
    """Return the refusal of what a page, though it is known, may not ask."""
    return SpendGuardError(Code.FORBIDDEN_ORIGIN, "Requests from web pages are refused: all but model calls")
