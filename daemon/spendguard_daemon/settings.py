"""Every setting, in one frozen dataclass, read once: flag > environment > config.toml > default (design 8).

A field is its own documentation: section, default, help, and the names of the original that still mean it.
Each is also `SPENDGUARD_SECTION_NAME` in the environment. Pure: text and mappings in, `Settings` out.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from spendguard_daemon.addresses import (
    DEFAULT_BASE_URLS,
    SHOW,
    check_price_url,
    read_base_urls,
    settle_price_source,
    wrong,
)
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.setting_values import (
    UNVERIFIED_PRICES,
    read_features,
    read_flag,
    read_integer,
    read_line,
    read_overrides,
)

PROVIDERS = ("openai", "grok", "anthropic", "gemini")
KEY_NAMES = {
    "openai": ("OPENAI_API_KEY",),
    "grok": ("XAI_API_KEY", "GROK_API_KEY"),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
}
IGNORED = ("CAP_STORE", "CAP_SQLITE_PATH", "CAP_ALLOWED_ORIGINS")
"""Settings of the original that mean nothing here: warned about, never obeyed."""


def _setting(section: str, default: Any, text: str, *, env: tuple[str, ...] = (), name: str = "") -> Any:
    """Describe a field; `name` is what it is called in its section, where that is not the field's own."""
    return field(default=default, metadata={"section": section, "help": text, "env": env, "name": name})


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
    price_source: Literal["local", "remote"] = _setting(
        "prices",
        "local",
        "whose prices: local (signed here), remote, or strict: remote, the public document unless set",
        env=("CAP_PRICING_SOURCE",),
        name="source",
    )
    price_url: str = _setting(
        "prices",
        "",
        "where the remote price document is; set, it makes remote the source",
        env=("CAP_PRICING_URL",),
        name="url",
    )
    price_public_key: str = _setting(
        "prices",
        "",
        "the one key (base64) of the remote source, in place of trust.toml",
        env=("CAP_PRICING_SIGNING_PUBLIC_KEY",),
        name="public_key",
    )
    price_schema: Literal["any", "1", "2"] = _setting(
        "prices",
        "any",
        "the schema that a remote document must have",
        env=("CAP_PRICING_SCHEMA_VERSION",),
        name="schema",
    )
    price_refresh_seconds: int = _setting(
        "prices",
        300,
        "longest time between two looks at the remote source",
        env=("CAP_PRICE_TABLE_REFRESH_SECONDS",),
        name="refresh_seconds",
    )
    price_expiry_skew_seconds: int = _setting(
        "prices",
        30,
        "how long past its expiry a document counts, for clocks that differ",
        env=("CAP_PRICING_EXPIRY_SKEW_SECONDS",),
        name="expiry_skew_seconds",
    )
    price_http_timeout_seconds: int = _setting(
        "prices",
        10,
        "how long a remote document may take, from the first byte to the last",
        env=("CAP_PRICING_HTTP_TIMEOUT_SECONDS",),
        name="http_timeout_seconds",
    )
    price_verify_signature: bool = _setting(
        "prices",
        True,
        "false needs spendguard up --insecure-pricing as well: then anyone's document counts",
        env=("CAP_PRICING_VERIFY_SIGNATURE",),
        name="verify_signature",
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
    "price_source": ("local", "remote", "strict"),
    "price_schema": ("any", "1", "2"),
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
    "price_refresh_seconds": (1, 86_400),
    "price_expiry_skew_seconds": (0, 300),
    "price_http_timeout_seconds": (1, 300),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One setting as `config show` lists it: where it lives, its field here, and what it is for."""

    section: str
    name: str
    field: str
    default: object
    help: str
    env: tuple[str, ...]


def rows() -> tuple[Row, ...]:
    """Return every plain setting, in order of the dataclass."""
    return tuple(
        _row(f.metadata["name"] or f.name, f.name, f.default, f.metadata)
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
            values[row.field] = _check(row, *found)
    if env.get("CAP_SIDECAR_OPEN") == "1":
        values["control"] = "open-loopback"
    overrides = read_overrides(config)
    settle_price_source(values)
    if overrides and values.get("price_source") == "remote":
        warnings.append("[prices.overrides] mean nothing: the remote source alone says what a call costs")
    if values.get("price_verify_signature") is False:
        warnings.insert(0, UNVERIFIED_PRICES)
    return Settings(
        **values, base_urls=read_base_urls(config, env), price_overrides=overrides, warnings=tuple(warnings)
    )


def _row(name: str, field_name: str, default: object, metadata: Mapping[str, Any]) -> Row:
    section = metadata["section"]
    env = (f"SPENDGUARD_{section}_{name}".upper(), *metadata["env"])
    return Row(section, name, field_name, default, metadata["help"], env)


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
            raise SpendGuardError(Code.USAGE, f"config.toml: [{section}] is not a section", remedy=SHOW)
        for name in content:
            if name not in known[section]:
                raise SpendGuardError(
                    Code.USAGE, f"config.toml: [{section}] {name} is no setting", remedy=SHOW
                )
    return config


def _pick(
    row: Row, config: Mapping[str, Any], env: Mapping[str, str], flags: Mapping[str, object]
) -> tuple[object, str] | None:
    if flags.get(row.field) is not None:
        return flags[row.field], f"--{row.field.replace('_', '-')}"
    for name in row.env:
        if name in env:
            return env[name], name
    if row.name in config.get(row.section, {}):
        return config[row.section][row.name], f"config.toml: [{row.section}] {row.name}"
    return None


def _check(row: Row, value: object, origin: str) -> object:
    """Turn a value, or its text from the environment, into the type of the default."""
    if row.field in CHOICES:
        if value not in CHOICES[row.field]:
            raise wrong(origin, f"one of {', '.join(CHOICES[row.field])}")
        return value
    if row.field in _READERS:
        return _READERS[row.field](value, origin)
    if isinstance(row.default, tuple):
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            raise wrong(origin, "a list of HTTP statuses")
        return tuple(read_integer(item, origin, 100, 599) for item in items)
    return read_integer(value, origin, *RANGES[row.field])


_READERS: Mapping[str, Callable[[object, str], object]] = {
    "allow": read_features,
    "price_url": check_price_url,
    "price_public_key": read_line,
    "price_verify_signature": read_flag,
}
