"""In whose words an asker is answered: by the path, else by what its headers say of its SDK."""

from aiohttp import web

from spendguard_daemon.gateway.models import ANTHROPIC_VERSION, GOOGLE_KEY
from spendguard_daemon.gateway.routes import Route, asker
from spendguard_daemon.providers import FORMATS


def asker_of(request: web.BaseRequest, route: Route) -> tuple[str, str, str]:
    """Return the provider and endpoint whose error shape the asker understands, and its User-Agent."""
    return *_dialect(request, route), request.headers.get("user-agent", "")


def _dialect(request: web.BaseRequest, route: Route) -> tuple[str, str]:
    if route.endpoint:
        return route.speaker, route.endpoint
    provider, endpoint = asker(request.raw_path)
    if provider:
        return provider, endpoint
    if ANTHROPIC_VERSION in request.headers and ("anthropic", "messages") in FORMATS:
        return "anthropic", "messages"
    if GOOGLE_KEY in request.headers and ("gemini", "generateContent") in FORMATS:
        return "gemini", "generateContent"
    return "openai", "chat/completions"
