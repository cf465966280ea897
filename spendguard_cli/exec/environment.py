"""The environment of a program inside `exec`: every SDK sent to the sidecar with one key, no other key left.

Pure: the shell's variables in, the child's out. Which name each SDK reads is from its own documentation;
`tests/cli/test_exec_sdks.py` and `tests/agents` run them. Invariant: no value that is or looks like a
provider's key, a plan's token or an operator's token leaves here.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from spendguard_cli.context import AGENT_ID, AGENT_KEY, EXEC_MARK
from spendguard_daemon.settings import KEY_NAMES

RUN_ID = "SPENDGUARD_RUN_ID"

_KEYS = frozenset(name for names in KEY_NAMES.values() for name in names) | {
    *("ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "AWS_BEARER_TOKEN_BEDROCK", "CODEX_API_KEY"),
    *("CODEX_ACCESS_TOKEN", "OPENAI_ADMIN_KEY", "GROK_TOKEN", "CAP_API_KEY"),
}
_KEYS_BY_FORM = re.compile(
    r"(OPENROUTER|AZURE_OPENAI|AZURE_AI|AZURE_API|SPENDGUARD)(_[A-Z0-9]+)*_(KEY|KEYS|TOKEN|SECRET)"
    r"|(OPENAI|ANTHROPIC|CLAUDE|GEMINI|XAI|GROK)(_[A-Z0-9]+)*_(API_KEY|API_KEYS|AUTH_TOKEN|OAUTH_TOKEN)"
    r"|(OPENAI|ANTHROPIC|GEMINI|GOOGLE|XAI|GROK)_API_KEY(_[A-Z0-9]+)+"
)
_ELSEWHERE = frozenset(
    {
        *("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY", "CAP_MODE"),
        *("GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_ENTERPRISE", "GOOGLE_GENAI_USE_GCA"),
        *("GOOGLE_VERTEX_BASE_URL", "OPENAI_API_TYPE", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"),
    }
)
"""What sends an SDK past its base URL, or names an account that is not the sidecar's."""

_KEY_STARTS = ("sk-", "sk_", "xai-", "AIza", "AQ.", "gsk_", "sg_admin_", "sg_agent_")
_KEY_LENGTH_MIN = 16
_IDENTITY = re.compile(r"x-(cynsta|spendguard)-", re.IGNORECASE)
_LOOPBACK = ("127.0.0.1", "localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """As whom a program calls, and where: `base_url` is the address that takes agent keys."""

    base_url: str
    agent_id: str
    run_id: str
    key: str


@dataclass(frozen=True, slots=True)
class Cleaned:
    """An environment, and the names of what was taken out of it or given another value."""

    variables: Mapping[str, str]
    taken_out: tuple[str, ...]


def cleaned(env: Mapping[str, str], known_keys: Collection[str]) -> Cleaned:
    """Return the environment without what authenticates anywhere else, and what would go round the sidecar.

    `known_keys` are provider keys in use here: whatever has one in it goes.
    """
    taken_out = {name for name, value in env.items() if value and _goes(name, value, known_keys)}
    kept = {name: value for name, value in env.items() if name not in taken_out}
    return Cleaned(kept, tuple(sorted(taken_out)))


def routed(env: Mapping[str, str], identity: Identity) -> dict[str, str]:
    """Return the environment with every SDK sent to the sidecar."""
    base, key = identity.base_url.rstrip("/"), identity.key
    openai, grok = f"{base}/v1", f"{base}/grok/v1"
    own = {
        "OPENAI_BASE_URL": openai,
        "OPENAI_API_BASE": openai,  # litellm, LangChain, and openai before 1.0
        "OPENAI_API_KEY": key,
        "ANTHROPIC_BASE_URL": base,
        "ANTHROPIC_API_BASE": base,  # litellm
        "ANTHROPIC_API_KEY": key,
        "GOOGLE_GEMINI_BASE_URL": base,
        "GEMINI_API_BASE": f"{base}/v1beta",  # litellm
        "GEMINI_API_KEY": key,  # not GOOGLE_API_KEY as well: Google's SDK warns of two
        "XAI_BASE_URL": grok,
        "XAI_API_BASE": grok,  # litellm
        "XAI_API_KEY": key,
        "GROK_BASE_URL": grok,
        "GROK_API_KEY": key,
        "CAP_BASE_URL": base,
        "CAP_AGENT_ID": identity.agent_id,
        EXEC_MARK: "1",
        AGENT_ID: identity.agent_id,
        RUN_ID: identity.run_id,
        AGENT_KEY: key,
    }
    direct = {name: _with_loopback(env.get(name, "")) for name in ("NO_PROXY", "no_proxy")}
    return {**env, **own, **direct}


def _goes(name: str, value: str, known_keys: Collection[str]) -> bool:
    upper = name.upper()
    if upper in _KEYS or upper in _ELSEWHERE or _KEYS_BY_FORM.fullmatch(upper):
        return True
    if any(len(key) >= _KEY_LENGTH_MIN and key in value for key in known_keys):
        return True  # a word such as `test` in place of a key would be found anywhere
    if len(value) >= _KEY_LENGTH_MIN and value.startswith(_KEY_STARTS):
        return True
    return upper.endswith("_HEADERS") and _IDENTITY.search(value) is not None


def _with_loopback(hosts: str) -> str:
    """Add this machine to a list of hosts that no proxy is asked for."""
    named = [host.strip() for host in hosts.split(",") if host.strip()]
    return hosts if "*" in named else ",".join(dict.fromkeys([*named, *_LOOPBACK]))
