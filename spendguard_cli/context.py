"""Flags and environment made into one answer: which sidecar, which key, may we start it.

Pure: mappings in, a frozen `Connection` out. Knows no HTTP and no process. Invariant: whoever gets a
`Connection` needs neither the flags nor the environment again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.runtime import Home, home_of

LOOPBACK = ("127.0.0.1", "::1", "localhost")
MODES = ("sidecar", "hosted")
EXEC_MARK = "SPENDGUARD_EXEC"
"""Set to 1 by `spendguard exec` in the environment of the agent's program."""

AGENT_ID = "SPENDGUARD_AGENT_ID"
"""The id of the agent that pays for the program."""

AGENT_KEY = "SPENDGUARD_AGENT_KEY"
"""The program's own key, with which a command line inside `exec` may read of its agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What the options shared by all commands said; None where nothing was typed."""

    home: str | None = None
    base_url: str | None = None
    api_key: str | None = None
    no_spawn: bool = False
    json: bool = False

    def over(self, outer: "Flags") -> "Flags":
        """Return these flags, with those typed before the command where these say nothing."""
        return Flags(
            home=self.home or outer.home,
            base_url=self.base_url or outer.base_url,
            api_key=self.api_key or outer.api_key,
            no_spawn=self.no_spawn or outer.no_spawn,
            json=self.json or outer.json,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Where to speak to, as whom. `base_url` None means: wherever the sidecar of `home` listens.

    `base_url_from` is the flag or variable that named the address, for messages. `local` tells that it is a
    sidecar of this machine, which has to prove itself before it gets a token. `stay` says, as the end of a
    sentence, why no sidecar may be started; None where one may be.
    """

    home: Home
    base_url: str | None
    base_url_from: str
    api_key: str | None
    local: bool
    in_exec: bool
    stay: str | None

    @property
    def port(self) -> int | None:
        """The port that `base_url` names, if there is one."""
        if self.base_url is None:
            return None
        parts = urlsplit(self.base_url)
        return parts.port or (443 if parts.scheme == "https" else 80)


def resolve(flags: Flags, env: Mapping[str, str]) -> Connection:
    """Decide whom to talk to: flag before environment before the sidecar of the home (design 9).

    Raises USAGE naming the flag or variable that is wrong or missing.
    """
    home = _home(flags, env)
    mode = env.get("CAP_MODE", "").strip().lower() or "sidecar"
    if mode not in MODES:
        raise _usage("CAP_MODE", "sidecar or hosted", "unset CAP_MODE for the sidecar of this machine")
    base_url_from = "--base-url" if flags.base_url else "CAP_BASE_URL"
    base_url = _base_url(flags.base_url or env.get("CAP_BASE_URL", "").strip() or None, base_url_from)
    api_key_from = "--api-key" if flags.api_key else "CAP_API_KEY"
    api_key = _api_key(flags.api_key or env.get("CAP_API_KEY", "").strip() or None, api_key_from)
    in_exec = is_in_exec(env)
    if in_exec and api_key is None:
        api_key = _api_key(env.get(AGENT_KEY, "").strip() or None, AGENT_KEY)
    hosted = mode == "hosted"
    local = not hosted and (base_url is None or urlsplit(base_url).hostname in LOOPBACK)
    if hosted and base_url is None:
        raise SpendGuardError(
            Code.USAGE, "CAP_MODE=hosted needs an address", remedy="set CAP_BASE_URL, or pass --base-url"
        )
    if not local and api_key is None:
        why = "CAP_MODE=hosted" if hosted else "A sidecar on another machine"
        raise SpendGuardError(
            Code.USAGE, f"{why} needs an API key", remedy="pass --api-key KEY, or set CAP_API_KEY"
        )
    return Connection(
        home=home,
        base_url=base_url,
        base_url_from=base_url_from,
        api_key=api_key,
        local=local,
        in_exec=in_exec,
        stay=_stay(flags, base_url_from, hosted=hosted, local=local, in_exec=in_exec),
    )


def is_in_exec(env: Mapping[str, str]) -> bool:
    """Tell whether this is the environment of a program inside `exec`, whatever else is wrong with it."""
    return env.get(EXEC_MARK, "") not in ("", "0")


def _home(flags: Flags, env: Mapping[str, str]) -> Home:
    if not flags.home:
        return home_of(dict(env))
    try:
        return home_of(dict(env) | {"SPENDGUARD_HOME": flags.home})
    except SpendGuardError as error:
        said = error.detail.replace("SPENDGUARD_HOME", "--home", 1)
        raise SpendGuardError(error.code, said, remedy=error.remedy) from None


def _stay(flags: Flags, base_url_from: str, *, hosted: bool, local: bool, in_exec: bool) -> str | None:
    if hosted:
        return "CAP_MODE is hosted"
    if not local:
        return f"{base_url_from} names another machine"
    if in_exec:
        return "this shell runs inside spendguard exec"
    return "--no-spawn was given" if flags.no_spawn else None


def _base_url(text: str | None, name: str) -> str | None:
    """Return the address without a trailing slash or `/v1`; agents' base URLs end so, ours does not."""
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if not host or parts.scheme not in ("http", "https") or not text.isprintable() or " " in text:
        raise _usage(name, "an address such as http://127.0.0.1:8787", "correct it, or leave it out")
    if parts.username is not None or parts.query or parts.fragment:
        raise _usage(name, "an address without user, query or fragment", "correct it")
    return text.rstrip("/").removesuffix("/v1")


def _api_key(text: str | None, name: str) -> str | None:
    """Refuse a key that no header can carry, without ever repeating it."""
    if text is not None and not all("!" <= character <= "~" for character in text):
        raise SpendGuardError(
            Code.USAGE,
            f"{name}: the API key holds a space or a character that is not ASCII",
            remedy=f"copy it again into {name}",
        )
    return text


def _usage(name: str, expected: str, remedy: str) -> SpendGuardError:
    return SpendGuardError(Code.USAGE, f"{name}: expected {expected}", remedy=remedy)
