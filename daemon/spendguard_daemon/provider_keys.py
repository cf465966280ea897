"""The operator's provider keys: the environment first, then `secrets.toml`. They go out in one header only.

No other module reads a key; `log` asks here which strings must never be written.
"""

import tomllib
from collections.abc import Mapping

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.settings import KEY_NAMES

KEY_LENGTH_MAX = 1024


class ProviderKeys:
    """Keys by provider, with where each came from. Its repr shows no key."""

    def __init__(self, env: Mapping[str, str], secrets_text: str):
        self._keys: dict[str, tuple[str, str]] = {}
        for provider, key in parse_secrets(secrets_text).items():
            self._keys[provider] = (key, "secrets.toml")
        for provider, names in KEY_NAMES.items():
            for name in reversed(names):
                if env.get(name, "").strip():
                    self._keys[provider] = (env[name].strip(), name)

    def __repr__(self) -> str:
        return f"ProviderKeys({', '.join(sorted(self._keys))})"

    def get(self, provider: str) -> str:
        """Return the key of a provider; raise PROVIDER_KEY_MISSING without one."""
        if provider not in self._keys:
            raise SpendGuardError(
                Code.PROVIDER_KEY_MISSING,
                f"No key for this provider: {provider}",
                remedy=f"spendguard provider set-key {provider}",
                facts={"provider": provider},
            )
        return self._keys[provider][0]

    def origin(self, provider: str) -> str:
        """Return where a provider's key came from (a variable's name, secrets.toml), or `absent`."""
        return self._keys[provider][1] if provider in self._keys else "absent"

    def secrets(self) -> frozenset[str]:
        """Return every key, for redaction only."""
        return frozenset(key for key, _ in self._keys.values())


def parse_secrets(text: str) -> dict[str, str]:
    """Read the text of secrets.toml: a table [keys] of provider names; raise USAGE where it is not that.

    Nothing else may stand in it: a key under a name that nobody reads would be a key that nobody uses.
    """
    try:
        root = tomllib.loads(text)
    except (ValueError, RecursionError):
        raise _wrong("is not TOML") from None
    if set(root) - {"keys"}:
        raise _wrong("holds something beside the one table [keys]")
    keys = root.get("keys", {})
    if not isinstance(keys, dict):
        raise _wrong("[keys] is not a table")
    for provider, key in keys.items():
        if provider not in KEY_NAMES:
            raise _wrong(f"[keys] names a provider that is none of {', '.join(KEY_NAMES)}")
        if not isinstance(key, str):
            raise _wrong(f"the key of {provider} is not text in quotes")
        if not is_key(key):
            raise _wrong(f"the key of {provider} is not a line of printable ASCII")
    return dict(keys)


def is_key(text: str) -> bool:
    """Tell whether `text` can be sent in a header as a key."""
    return 0 < len(text) <= KEY_LENGTH_MAX and text.isascii() and text.isprintable() and " " not in text


def _wrong(what: str) -> SpendGuardError:
    # Neither the parser's own message nor any name found is repeated: either could be, or quote, a key.
    return SpendGuardError(
        Code.USAGE,
        f"secrets.toml {what}",
        remedy="correct or remove secrets.toml, then spendguard provider set-key openai",
    )
