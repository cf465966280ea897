"""What can be set: every setting as a field, with its section, default, help, choices and range (design 8).

A field is its own documentation. Knows nothing of files, environments or flags: `settings` reads those.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from spendguard_daemon.addresses import DEFAULT_BASE_URLS


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
    on_insufficient: Literal["refuse", "wait"] = _setting(
        "policy", "refuse", "a call that its budget or a lock refuses: refused at once, or waits for either"
    )
    wait_seconds: int = _setting(
        "policy", 30, "how long such a call waits; x-spendguard-wait of a request wins over both"
    )
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
    bare_header: Literal["keyless", "refuse"] = _setting(
        "access", "keyless", "x-cynsta-agent-id without a key: for agents that need none, or refused for all"
    )
    hosts: tuple[str, ...] = _setting(
        "access",
        (),
        "names beside localhost under which the sidecar may be reached, such as host.docker.internal",
    )
    origins: tuple[str, ...] = _setting(
        "access", (), "web pages that may call models, with an agent key: https://app.example.com"
    )
    listen: tuple[str, ...] = _setting(
        "access",
        (),
        "addresses beside loopback to listen on, for agents with a key; needs --require-agent-key",
    )
    body_bytes_max: int = _setting("limits", 32 * 1024 * 1024, "largest request body")
    idle_seconds: int = _setting(
        "limits", 300, "longest silence of a provider before a call is ended at worst"
    )
    absolute_seconds: int = _setting("limits", 3600, "longest life of a call")
    drain_seconds: int = _setting("limits", 600, "how long an answer is read on after its client has left")
    body_seconds: int = _setting("limits", 60, "how long a client may take to send its request body")
    header_seconds: int = _setting("limits", 10, "how long a client may take to send its request's head")
    connections_max: int = _setting(
        "limits", 1024, "connections at a time; beyond, the one that has been idle longest is closed"
    )
    agent_calls_max: int = _setting("limits", 256, "requests of one agent at a time, waiting ones included")
    agent_requests_per_second: int = _setting(
        "limits", 100, "requests of one agent, on average; up to twenty seconds of them at once"
    )
    agent_bytes_max: int = _setting("limits", 128 * 1024 * 1024, "request bodies of one agent in memory")
    bytes_max: int = _setting("limits", 512 * 1024 * 1024, "request bodies of all agents in memory")
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
    "on_insufficient": ("refuse", "wait"),
    "hosted_tools": ("strip", "refuse", "allow"),
    "server_state": ("window", "refuse"),
    "exact_count": ("on_deny", "never"),
    "bare_header": ("keyless", "refuse"),
    "control": ("token", "open-loopback"),
    "price_source": ("local", "remote", "strict"),
    "price_schema": ("any", "1", "2"),
}
RANGES = {
    "port": (0, 65535),
    "default_max_output": (1, 10_000_000),
    "held_wait_seconds": (0, 600),
    "wait_seconds": (0, 600),
    "hosted_tool_uses": (1, 100),
    "body_bytes_max": (1024, 256 * 1024 * 1024),
    "idle_seconds": (1, 86_400),
    "absolute_seconds": (1, 86_400),
    "drain_seconds": (0, 86_400),
    "body_seconds": (1, 3600),
    "header_seconds": (1, 300),
    "connections_max": (16, 65_535),
    "agent_calls_max": (1, 65_535),
    "agent_requests_per_second": (1, 100_000),
    "agent_bytes_max": (1024 * 1024, 64 * 1024**3),
    "bytes_max": (1024 * 1024, 64 * 1024**3),
    "price_refresh_seconds": (1, 86_400),
    "price_expiry_skew_seconds": (0, 300),
    "price_http_timeout_seconds": (1, 300),
}
