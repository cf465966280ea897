"""Every setting, in one frozen dataclass, read once: flag > environment > config.toml > default (design 8).

A field is its own documentation: section, default, help, and the names of the original that still mean it.
Each is also `SPENDGUARD_SECTION_NAME` in the environment. Pure: text and mappings in, `Settings` out.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal
from urllib.parse import urlsplit

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.features import FEATURES_MAX, is_feature

PROVIDERS = ("openai", "grok", "anthropic", "gemini")
DEFAULT_BASE_URLS = {
    "openai": "https://api.openai.com/v1",
    "grok": "https://api.x.ai/v1",
    "anthropic": "https://api.anthropic.com",
    "gemini": "https://generativelanguage.googleapis.com",
}
"""As each provider's own SDK writes its base URL (design 8)."""

ROOT_BASE_URLS = ("anthropic", "gemini")
"""The providers whose paths have the version themselves, so that their base URLs have none."""

BASE_URL_NAMES = {"grok": ("XAI_BASE_URL",)}
KEY_NAMES = {
    "openai": ("OPENAI_API_KEY",),
    "grok": ("XAI_API_KEY", "GROK_API_KEY"),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
}
IGNORED = ("CAP_STORE", "CAP_SQLITE_PATH", "CAP_ALLOWED_ORIGINS")
"""Settings of the original that mean nothing here: warned about, never obeyed."""

OVERRIDES_FORM = '[prices.overrides.gemini."<model>"]'
"""How a price of the operator's own begins in config.toml."""

OVERRIDES_HELP = "write it in config.toml; the README says what it holds (Prices of your own)"


def _setting(section: str, default: Any, text: str, *, env: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"section": section, "help": text, "env": env})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that can be set. Names carry units; the section of each stands in its metadata."""

    port: int = _setting("daemon", 8787, "TCP port on both loopback addresses; 0 takes a free one")
    unsafe_fs: Literal["refuse", "allow"] = _setting(
        "daemon", "refuse", "a home on NFS, SMB, 9p or FUSE, where locks may not hold: refuse or allow"
    )
    overflow: Literal["clamp", "refuse"] = _setting(
        "policy", "clamp", "for new agents: clamp or refuse an output cap that does not fit"
    )
    concurrency: Literal["exclusive", "shared"] = _setting(
        "policy", "exclusive", "for new agents: exclusive or shared"
    )
    default_max_output: int = _setting(
        "policy",
        16_384,
        "output tokens allowed where a request names no cap",
        env=("CAP_DEFAULT_MAX_TOKENS", "CAP_DEFAULT_MAX_OUTPUT_TOKENS"),
    )
    held_wait_seconds: int = _setting("policy", 5, "how long a call waits for money that others hold")
    anonymous_run: str = _setting("policy", "join", "calls without a run id: join one run, or own run each")
    hosted_tools: Literal["strip", "refuse", "allow"] = _setting(
        "policy", "strip", "tools that run at the provider: taken out, refused, or allowed a few uses"
    )
    hosted_tool_uses: int = _setting("policy", 5, "most uses of each hosted tool in one call, where allowed")
    server_state: Literal["window", "refuse"] = _setting(
        "policy", "window", "input that lies at the provider (responses, files, PDFs): held dear, or refused"
    )
    exact_count: Literal["on_deny", "never"] = _setting(
        "policy", "on_deny", "ask a provider's free count endpoint before a call is cut or refused: or never"
    )
    allow: tuple[str, ...] = _setting(
        "policy", (), "features that pass beyond the lists in code, as refusals name them"
    )
    control: str = _setting(
        "access", "token", "control routes: token, or open-loopback (anyone on this machine)"
    )
    body_bytes_max: int = _setting("limits", 32 * 1024 * 1024, "largest request body")
    idle_seconds: int = _setting(
        "limits", 300, "longest silence of a provider before a call is ended at worst"
    )
    absolute_seconds: int = _setting("limits", 3600, "longest life of a call")
    drain_seconds: int = _setting("limits", 600, "how long an answer is read on after its client has left")
    body_seconds: int = _setting("limits", 60, "how long a client may take to send its request body")
    void_statuses: tuple[int, ...] = _setting(
        "billing", (429, 503, 529), "provider errors, in their documented shape, taken as unbilled beside 4xx"
    )
    base_urls: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_BASE_URLS))
    price_overrides: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


CHOICES = {
    "unsafe_fs": ("refuse", "allow"),
    "overflow": ("clamp", "refuse"),
    "concurrency": ("exclusive", "shared"),
    "anonymous_run": ("join", "own"),
    "hosted_tools": ("strip", "refuse", "allow"),
    "server_state": ("window", "refuse"),
    "exact_count": ("on_deny", "never"),
    "control": ("token", "open-loopback"),
}
RANGES = {
    "port": (0, 65535),
    "default_max_output": (1, 10_000_000),
    "held_wait_seconds": (0, 600),
    "hosted_tool_uses": (1, 100),
    "body_bytes_max": (1024, 256 * 1024 * 1024),
    "idle_seconds": (1, 86_400),
    "absolute_seconds": (1, 86_400),
    "drain_seconds": (0, 86_400),
    "body_seconds": (1, 3600),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One setting as `config show` lists it: where it lives and what it is for."""

    section: str
    name: str
    default: object
    help: str
    env: tuple[str, ...]


def rows() -> tuple[Row, ...]:
    """Return every plain setting, in order of the dataclass."""
    return tuple(
        Row(f.metadata["section"], f.name, f.default, f.metadata["help"], _env_names(f.name, f.metadata))
        for f in fields(Settings)
        if f.metadata
    )


def load(config_text: str, env: Mapping[str, str], flags: Mapping[str, object] | None = None) -> Settings:
    """Read settings from config.toml's text, the environment and flags (by field name).

    Raises USAGE naming the setting and what it takes; an unknown key in config.toml is an error too, since a
    misspelt limit that is silently ignored is no limit.
    """
    config = _parse(config_text)
    values: dict[str, Any] = {}
    warnings = [f"{name} is set, but means nothing here" for name in IGNORED if name in env]
    for row in rows():
        found = _pick(row, config, env, flags or {})
        if found is not None:
            values[row.name] = _check(row, *found)
    if env.get("CAP_SIDECAR_OPEN") == "1":
        values["control"] = "open-loopback"
    return Settings(
        **values,
        base_urls=_base_urls(config, env),
        price_overrides=_overrides(config),
        warnings=tuple(warnings),
    )


def _env_names(name: str, metadata: Mapping[str, Any]) -> tuple[str, ...]:
    return (f"SPENDGUARD_{metadata['section']}_{name}".upper(), *metadata["env"])


def _parse(text: str) -> dict[str, Any]:
    try:
        config = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpendGuardError(
            Code.USAGE, f"config.toml is not TOML: {error}", remedy="correct that line"
        ) from None
    known: dict[str, set[str]] = {"providers": set(PROVIDERS), "prices": {"overrides"}}
    for row in rows():
        known.setdefault(row.section, set()).add(row.name)
    for section, content in config.items():
        if section not in known or not isinstance(content, dict):
            raise SpendGuardError(Code.USAGE, f"config.toml: [{section}] is not a section", remedy=_SHOW)
        for name in content:
            if name not in known[section]:
                raise SpendGuardError(
                    Code.USAGE, f"config.toml: [{section}] {name} is no setting", remedy=_SHOW
                )
    return config


_SHOW = "spendguard config show lists every setting"


def _pick(
    row: Row, config: Mapping[str, Any], env: Mapping[str, str], flags: Mapping[str, object]
) -> tuple[object, str] | None:
    if flags.get(row.name) is not None:
        return flags[row.name], f"--{row.name.replace('_', '-')}"
    for name in row.env:
        if name in env:
            return env[name], name
    if row.name in config.get(row.section, {}):
        return config[row.section][row.name], f"config.toml: [{row.section}] {row.name}"
    return None


def _check(row: Row, value: object, origin: str) -> object:
    """Turn a value, or its text from the environment, into the type of the default."""
    if row.name in CHOICES:
        if value not in CHOICES[row.name]:
            raise _wrong(origin, f"one of {', '.join(CHOICES[row.name])}")
        return value
    if row.name == "allow":
        return _features(value, origin)
    if isinstance(row.default, tuple):
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            raise _wrong(origin, "a list of HTTP statuses")
        return tuple(_integer(item, origin, 100, 599) for item in items)
    return _integer(value, origin, *RANGES[row.name])


def _features(value: object, origin: str) -> tuple[str, ...]:
    items = [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or len(items) > FEATURES_MAX:
        raise _wrong(origin, f"a list of at most {FEATURES_MAX} features")
    for item in items:
        if not isinstance(item, str) or not is_feature(item):
            raise _wrong(origin, "features as refusals name them, such as anthropic.tool:bash_20250124")
    return tuple(dict.fromkeys(items))


def _integer(value: object, origin: str, low: int, high: int) -> int:
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 12:
        text = int(text)
    if isinstance(text, bool) or not isinstance(text, int) or not low <= text <= high:
        raise _wrong(origin, f"a whole number from {low} to {high}")
    return text


def _wrong(origin: str, expected: str, remedy: str = _SHOW) -> SpendGuardError:
    return SpendGuardError(Code.USAGE, f"{origin}: expected {expected}", remedy=remedy)


def _overrides(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the operator's own prices, a table for each model; what a card holds, `pricing` reads."""
    found: Mapping[str, Any] = config.get("prices", {}).get("overrides", {})
    rows = found.values() if isinstance(found, dict) else [None]
    cards = [card for row in rows for card in (row.values() if isinstance(row, dict) else [None])]
    if not all(isinstance(card, dict) for card in cards):
        expected = f"a table for each model, {OVERRIDES_FORM}"
        raise _wrong("config.toml: [prices] overrides", expected, OVERRIDES_HELP)
    return found


def _base_urls(config: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, str]:
    """Read where each provider lives; never from OPENAI_BASE_URL and its like, which point at us."""
    urls = {}
    for provider, default in DEFAULT_BASE_URLS.items():
        table = config.get("providers", {}).get(provider, {})
        if not isinstance(table, dict) or set(table) - {"base_url"}:
            raise SpendGuardError(
                Code.USAGE, f"config.toml: [providers.{provider}] takes base_url only", remedy=_SHOW
            )
        names = (f"SPENDGUARD_{provider.upper()}_BASE_URL", *BASE_URL_NAMES.get(provider, ()))
        from_env = next((env[name] for name in names if env.get(name)), None)
        urls[provider] = check_base_url(provider, from_env or table.get("base_url", default))
    return urls


def check_base_url(provider: str, url: object) -> str:
    """Return a base URL without trailing slash; https anywhere, http only to this machine."""
    if not isinstance(url, str):
        raise _wrong(f"base_url of {provider}", "a URL")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
        parts = urlsplit("")
    local = host in ("127.0.0.1", "::1", "localhost")
    if not host or parts.scheme not in ("https", "http") or (parts.scheme == "http" and not local):
        raise _wrong(f"base_url of {provider}", "https://HOST/..., or http:// to loopback")
    if host.endswith(".api.openai.com"):
        # costs.md B1: OpenAI's regional hosts bill 10 % more, which no card of ours says yet.
        raise _wrong(
            f"base_url of {provider}", "api.openai.com; regional hosts have a surcharge without a rate"
        )
    if provider in ROOT_BASE_URLS and parts.path.rstrip("/").endswith(("/v1", "/v1beta")):
        raise _wrong(f"base_url of {provider}", "the URL without its version, as its own SDK writes it")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise _wrong(f"base_url of {provider}", "a URL without user, query or fragment")
    return url.rstrip("/")
