"""Base URLs of SDKs: which variable names one, what it must look like to lead to the sidecar, what is wrong.

Pure. The forms are those of references/routing-patterns.md.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

from spendguard_cli.context import LOOPBACK


@dataclass(frozen=True, slots=True)
class Client:
    """How the SDKs of one provider are sent somewhere.

    `variables`: those that name the base URL, the usual one first. `tails`: what may follow the host, or an
    agent's run; `bare_tails` only behind a run. `adds` is what the SDK puts behind its base URL by itself.
    """

    provider: str
    variables: tuple[str, ...]
    tails: tuple[str, ...]
    bare_tails: tuple[str, ...]
    own_tail: str
    adds: str = ""


CLIENTS = (
    Client(
        "openai",
        ("OPENAI_BASE_URL", "OPENAI_API_BASE"),
        ("v1", "openai/v1", "grok/v1", "gemini/v1beta/openai"),
        ("openai", "grok"),
        "openai/v1",
    ),
    Client("anthropic", ("ANTHROPIC_BASE_URL",), ("", "anthropic"), (), "anthropic", "v1"),
    Client("gemini", ("GOOGLE_GEMINI_BASE_URL",), ("", "gemini"), (), "gemini", "v1beta"),
    Client("grok", ("XAI_BASE_URL",), ("v1", "grok/v1"), ("grok",), "grok/v1"),
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a base URL leads: its host and port, the agent in it (empty for none), and what follows."""

    host: str
    port: int
    agent_id: str
    in_run: bool
    tail: str

    @property
    def is_local(self) -> bool:
        """Whether it is this machine."""
        return self.host in LOOPBACK


def target_of(url: str) -> Target | None:
    """Take a base URL apart; None for what is none."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    if not parts.hostname or port is None:
        return None
    steps = [step for step in parts.path.split("/") if step]
    in_run = steps[:2] == ["v1", "agents"] and len(steps) >= 5 and steps[3] == "runs"
    agent_id, rest = (steps[2], steps[5:]) if in_run else ("", steps)
    return Target(parts.hostname, port, agent_id, in_run, "/".join(rest))


def wrong_tail(client: Client, target: Target) -> str:
    """Return what is wrong with the path of a URL that leads to the sidecar, as a sentence's end; or ''."""
    good = (*client.tails, *(client.bare_tails if target.in_run else ()))
    if target.tail in good:
        return ""
    version = client.adds or client.tails[0]
    if target.tail.split("/")[-1:] == [version] and target.tail.removesuffix(version).rstrip("/") in good:
        adds = ", which the SDK adds by itself" if client.adds else ""
        return f"has /{version} once too often{adds}"
    if not client.adds and f"{target.tail}/{version}".strip("/") in good:
        return f"lacks /{version}"
    return "has a path that the sidecar does not serve"


def url_of(base_url: str, client: Client, agent_id: str) -> str:
    """Return the base URL that sends an SDK to the sidecar, with the agent that pays in it."""
    return f"{base_url.rstrip('/')}/v1/agents/{agent_id}/runs/default/{client.own_tail}"
