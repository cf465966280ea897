"""What the coding agents need beside the variables of their SDKs, each found by running it (`tests/agents`).

Pure. A program is known by the name of its file. What it needs in its home folder is made beforehand, since a
program that is isolated can make nothing directly in a folder that the sidecar's home is in.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

GEMINI_HOME = "GEMINI_CLI_HOME"
GEMINI_BY_KEY = "gemini-api-key"
GEMINI_OWN = ("settings.json", "oauth_creds.json")
"""Of its home's files, what a program does not get: the settings that are replaced, the token of a plan."""

OPENCODE_CONFIG = "OPENCODE_CONFIG_CONTENT"

CODEX_NOTE = (
    "its own sandbox cannot work inside this isolation: let codex do without, by --sandbox "
    "danger-full-access, or exec by --no-isolate"
)


@dataclass(frozen=True, slots=True)
class Needs:
    """What a program needs. `arguments` go right behind its name, `without` is what it must not have.

    `folders` are those of the user's home in which it keeps its own things; `isolated_note` is said where it
    is isolated.
    """

    arguments: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    isolated_note: str = ""


def needs_of(command: str, env: Mapping[str, str]) -> Needs:
    """Return what a command needs, in an environment that `environment.routed` has made."""
    name = PurePath(command).name.removesuffix(".js").removesuffix(".cmd")
    if name == "claude":
        return _claude(env)
    if name == "codex":
        return Needs(arguments=_codex(env["OPENAI_BASE_URL"]), folders=(".codex",), isolated_note=CODEX_NOTE)
    if name == "gemini":
        return Needs(folders=(".gemini",))
    if name == "opencode":
        return Needs(
            folders=(".config/opencode", ".local/share/opencode", ".local/state/opencode", ".cache/opencode")
        )
    return Needs()


def opencode_config(env: Mapping[str, str]) -> str:
    """Return opencode's configuration with each provider's address, over what was given by the user."""
    given = _object(env.get(OPENCODE_CONFIG, ""))
    options = {
        "openai": (env["OPENAI_BASE_URL"], "{env:OPENAI_API_KEY}"),
        "anthropic": (f"{env['ANTHROPIC_BASE_URL']}/v1", "{env:SPENDGUARD_AGENT_KEY}"),
        "google": (f"{env['GOOGLE_GEMINI_BASE_URL']}/v1beta", "{env:GEMINI_API_KEY}"),
        "xai": (env["XAI_BASE_URL"], "{env:XAI_API_KEY}"),
    }
    providers = _object(given.get("provider"))
    for name, (base_url, key) in options.items():
        provider = _object(providers.get(name))
        chosen = {**_object(provider.get("options")), "baseURL": base_url, "apiKey": key}
        providers[name] = {**provider, "options": chosen}
    return json.dumps({**given, "provider": providers}, sort_keys=True)


def gemini_settings(text: str) -> str | None:
    """Return Gemini CLI's settings with a key chosen as its way in; None where `text` says so already.

    With a base URL it takes no key from the environment unless its settings say that it has one, and there
    are no other settings than those of its home that everybody may make.
    """
    given = _object(text)
    security = _object(given.get("security"))
    auth = _object(security.get("auth"))
    if auth.get("selectedType") == GEMINI_BY_KEY:
        return None
    chosen = {**security, "auth": {**auth, "selectedType": GEMINI_BY_KEY}}
    return json.dumps({**given, "security": chosen}, sort_keys=True)


def command_line(words: Sequence[str], needs: Needs) -> list[str]:
    """Return a command with the arguments that its program needs."""
    return [words[0], *needs.arguments, *words[1:]]


def _claude(env: Mapping[str, str]) -> Needs:
    """A bearer token is taken without the question that a key from the environment meets in a terminal."""
    quiet = "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"
    return Needs(
        variables={"ANTHROPIC_AUTH_TOKEN": env["ANTHROPIC_API_KEY"], quiet: env.get(quiet, "1")},
        without=("ANTHROPIC_API_KEY",),
        folders=(".claude",),
    )


def _codex(base_url: str) -> tuple[str, ...]:
    """Codex heeds no variable for its address; without the last line it sends what is refused six times."""
    provider = "model_providers.spendguard"
    lines = (
        'model_provider="spendguard"',
        f'{provider}.name="SpendGuard"',
        f"{provider}.base_url={json.dumps(base_url)}",
        f'{provider}.env_key="OPENAI_API_KEY"',
        f'{provider}.wire_api="responses"',
        f"{provider}.stream_max_retries=0",
    )
    return tuple(word for line in lines for word in ("-c", line))


def _object(value: Any) -> dict[str, Any]:
    """Return a JSON object, or one from its text; an empty one for anything else."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return dict(value) if isinstance(value, dict) else {}
