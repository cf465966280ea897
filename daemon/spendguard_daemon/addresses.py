"""Where keys and questions may be sent: the addresses of the providers and of the price source.

Owns what an address in a setting may look like: https anywhere, plain http only to this machine, no
credentials in it. Pure; knows no other setting.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from spendguard_daemon.errors import Code, SpendGuardError

DEFAULT_BASE_URLS = {
    "openai": "https://api.openai.com/v1",
    "grok": "https://api.x.ai/v1",
    "anthropic": "https://api.anthropic.com",
    "gemini": "https://generativelanguage.googleapis.com",
}
"""As each provider's own SDK writes its base URL (design 8)."""

ROOT_BASE_URLS = ("anthropic", "gemini")
"""The providers whose paths have the version themselves, so that their base URLs have none."""

PUBLIC_PRICES_URL = "https://api.cynsta.com/v1/public/pricing"
PUBLIC_PRICES_KEY = "1ITgfCZsRETBLvSKFUoPsP7p3RKNH4Nto6zKLlUD8nQ="
"""Where the public price document is, and the published key that it is signed with (design 7)."""

BASE_URL_NAMES = {"grok": ("XAI_BASE_URL",)}

SHOW = "spendguard config show lists every setting"
URL_CHARACTERS_MAX = 2048


def wrong(origin: str, expected: str, remedy: str = SHOW) -> SpendGuardError:
    """Return the error of a setting that is not what it should be."""
    return SpendGuardError(Code.USAGE, f"{origin}: expected {expected}", remedy=remedy)


def read_base_urls(config: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, str]:
    """Read where each provider lives; never from OPENAI_BASE_URL and its like, which point at us."""
    urls = {}
    for provider, default in DEFAULT_BASE_URLS.items():
        table = config.get("providers", {}).get(provider, {})
        if not isinstance(table, dict) or set(table) - {"base_url"}:
            raise SpendGuardError(
                Code.USAGE, f"config.toml: [providers.{provider}] takes base_url only", remedy=SHOW
            )
        names = (f"SPENDGUARD_{provider.upper()}_BASE_URL", *BASE_URL_NAMES.get(provider, ()))
        from_env = next((env[name] for name in names if env.get(name)), None)
        urls[provider] = check_base_url(provider, from_env or table.get("base_url", default))
    return urls


def check_base_url(provider: str, url: object) -> str:
    """Return a base URL without trailing slash; https anywhere, http only to this machine."""
    origin = f"base_url of {provider}"
    parts, host = _split(origin, url)
    if host.endswith(".api.openai.com"):
        # costs.md B1: OpenAI's regional hosts bill 10 % more, which no card of ours says yet.
        raise wrong(origin, "api.openai.com; regional hosts have a surcharge without a rate")
    if provider in ROOT_BASE_URLS and parts.path.rstrip("/").endswith(("/v1", "/v1beta")):
        raise wrong(origin, "the URL without its version, as its own SDK writes it")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise wrong(origin, "a URL without user, query or fragment")
    return parts.geturl().rstrip("/")


def check_price_url(url: object, origin: str) -> str:
    """Return the address of a price document, empty for none; a file or an FTP server is none."""
    if url == "":
        return ""
    parts, _ = _split(origin, url)
    if parts.username or parts.password or parts.fragment:
        raise wrong(origin, "a URL without user or fragment")
    return parts.geturl()


def settle_price_source(values: dict[str, Any]) -> None:
    """Say which source it is: strict is remote, with the public document and its key unless others are set.

    The published key goes with the public document alone; for another address it is trust.toml that counts.
    """
    if values.get("price_source") == "strict":
        values["price_source"] = "remote"
        if not values.get("price_url"):
            values["price_url"] = PUBLIC_PRICES_URL
            values["price_public_key"] = values.get("price_public_key") or PUBLIC_PRICES_KEY
    if "price_source" not in values and values.get("price_url"):
        values["price_source"] = "remote"


def without_query(url: str) -> str:
    """Return a URL as it may be shown: what follows the question mark may be a secret."""
    return url.partition("?")[0]


def _split(origin: str, url: object) -> tuple[SplitResult, str]:
    """Return the parts of a URL and its host; raise USAGE unless it is https, or http to this machine."""
    if not isinstance(url, str) or len(url) > URL_CHARACTERS_MAX:
        raise wrong(origin, "a URL")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise wrong(origin, "https://HOST/..., or http:// to loopback") from None
    local = host in ("127.0.0.1", "::1", "localhost")
    if not host or parts.scheme not in ("https", "http") or (parts.scheme == "http" and not local):
        raise wrong(origin, "https://HOST/..., or http:// to loopback")
    return parts, host
