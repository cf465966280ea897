"""Has each provider a key that works, and does its address lead to the provider."""

from collections.abc import Iterator
from datetime import datetime
from urllib.parse import urlsplit

from spendguard_cli.context import LOOPBACK
from spendguard_cli.doctor.findings import Check, Finding, Level, ok
from spendguard_cli.doctor.world import World
from spendguard_daemon import wire
from spendguard_daemon.addresses import BASE_URL_NAMES, DEFAULT_BASE_URLS
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.settings import KEY_NAMES

RESTART = "spendguard restart"
LATELY_SECONDS = 3600
TYPE_THE_KEY = "Type the right key when you are asked for it; it is not shown."
NO_SUCH_PAGE = (404, 405)
"""What an address may answer to the question for models that is no provider's own, and yet take calls."""


def upstream(world: World) -> Iterator[Finding]:
    """Find an address of a provider that is the sidecar's own: each call would come back to it."""
    if world.status is None:
        yield ok("no sidecar answers, and where it sends calls was not looked at")
        return
    found = list(_own(world, world.status)) or list(_next(world, world.status))
    yield from found or [ok("no provider's address is the sidecar's own")]
    for one in world.status.providers:
        default = DEFAULT_BASE_URLS.get(one.name)
        if default not in (None, one.base_url) and not leads_here(world.status, one.base_url):
            yield Finding(
                level=Level.NOTE,
                finding=f"Calls to {one.name} go to {one.base_url}, which is not the provider's own address",
                evidence=[f"the provider's own is {default}"],
            )


def _own(world: World, status: wire.Status) -> Iterator[Finding]:
    for one in status.providers:
        if leads_here(status, one.base_url):
            yield Finding(
                level=Level.RED,
                finding=f"The address of {one.name} is the sidecar's own: its calls would come back to it",
                evidence=[f"{one.name} is reached at {one.base_url}, and the sidecar is there"],
                remedy=[*_back_to_default(world, one.name), RESTART],
            )


def _next(world: World, status: wire.Status) -> Iterator[Finding]:
    """Find what the next start would take for a provider's address: XAI_BASE_URL is read by clients too."""
    if world.settings is None:
        return
    for provider, url in world.settings.base_urls.items():
        if leads_here(status, url):
            remedy = _back_to_default(world, provider)
            if any(leads_here(status, world.env.get(name, "")) for name in BASE_URL_NAMES.get(provider, ())):
                remedy = [f"export SPENDGUARD_{provider.upper()}_BASE_URL={DEFAULT_BASE_URLS[provider]}"]
            yield Finding(
                level=Level.WARNING,
                finding=f"A sidecar started from this shell would take itself for {provider}",
                evidence=[f"by the settings of this shell {provider} is reached at {url}"],
                remedy=remedy,
            )


def _back_to_default(world: World, provider: str) -> list[str]:
    """Return what takes a provider's address back to its own, wherever the one that is set stands."""
    from spendguard_cli import tomlfiles

    names = [f"SPENDGUARD_{provider.upper()}_BASE_URL", *BASE_URL_NAMES.get(provider, ())]
    named = [name for name in names if world.env.get(name)]
    remedy = [f"unset {' '.join(named)}"] if named else []
    if world.settings is not None and world.connection.local:
        without = {name: value for name, value in world.env.items() if name not in names}
        setting = f"providers.{provider}.base_url"
        rows = {row.name: row for row in tomlfiles.show(world.home, without).settings}
        if rows[setting].origin != "default":
            remedy.append(f"spendguard config set {setting} {DEFAULT_BASE_URLS[provider]}")
    return remedy


def another_key(one: wire.Provider) -> list[str]:
    """Return what gives the sidecar another key: a variable wins over secrets.toml, so it has to go first."""
    names, stored = KEY_NAMES.get(one.name, ()), f"spendguard provider set-key {one.name}"
    return [f"unset {' '.join(names)}", stored, RESTART] if one.key in names else [stored]


def leads_here(status: wire.Status, url: str) -> bool:
    """Tell whether a URL's host and port are among the sidecar's own."""
    own = [*status.addresses, *status.listening, *([status.agents_url] if status.agents_url else [])]
    place = _place(url)
    return place is not None and place in {_place(one) for one in own}


def _place(url: str) -> tuple[str, int] | None:
    """Return host and port, all of loopback as one."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    if not parts.hostname or port is None:
        return None
    return ("localhost" if parts.hostname in LOOPBACK else parts.hostname, port)


def keys(world: World) -> Iterator[Finding]:
    """Find providers without a key that calls need, or that this shell has."""
    if world.status is None:
        yield ok("no sidecar answers, and its keys were not looked at")
        return
    absent = [one.name for one in world.status.providers if one.key == "absent"]
    wanted = _refused_for_keys(world)
    found = [_absent(world, name, wanted.get(name)) for name in absent]
    told = [one for one in found if one is not None]
    if (
        not told
        and any(not agent.mock for agent in world.agents)
        and len(absent) == len(world.status.providers)
    ):
        told = [
            Finding(
                level=Level.WARNING,
                finding="No provider has a key, so that only mock agents can make calls",
                deed="Type the key of the provider that your agents call when you are asked for it.",
                remedy=["spendguard provider set-key openai"],
                code=Code.PROVIDER_KEY_MISSING.value,
            )
        ]
    yield from told or [ok("the providers in use have keys")]


def _absent(world: World, name: str, refused: wire.Call | None) -> Finding | None:
    """Say what a missing key means: calls are refused for it, or this shell has it, or has it empty."""
    level = Level.WARNING if refused is None else Level.RED
    shown = [] if refused is None else [f"call {refused.call_id} was refused for it at {refused.created_at}"]
    names = KEY_NAMES.get(name, ())
    here = next((one for one in names if world.env.get(one, "").strip()), None)
    if here is not None:
        return Finding(
            level=level,
            finding=f"This shell has {here}, but the sidecar has no key of {name}",
            evidence=[
                *shown,
                "a sidecar takes its keys from the shell that starts it, and from secrets.toml",
            ],
            deed=f"To keep it for all shells instead: printenv {here} | spendguard provider set-key {name}",
            remedy=[RESTART],
            code=Code.PROVIDER_KEY_MISSING.value,
        )
    empty = next((one for one in names if one in world.env), None)
    if empty is None and refused is None:
        return None
    what = "has no key" if empty is None else f"has no key: {empty} of this shell is empty"
    return Finding(
        level=level,
        finding=f"The sidecar {what}, which calls to {name} need" if empty is None else f"{name} {what}",
        evidence=shown,
        deed="Type the key when you are asked for it; it is not shown.",
        remedy=[f"spendguard provider set-key {name}"],
        code=Code.PROVIDER_KEY_MISSING.value,
    )


def _refused_for_keys(world: World) -> dict[str, wire.Call]:
    """Return the latest call of each provider that was refused for want of a key within the last hour."""
    found: dict[str, wire.Call] = {}
    for agent in (one for one in world.agents if not one.mock):
        for call in world.calls(agent.agent_id):
            late = world.now_ns / 1e9 - datetime.fromisoformat(call.created_at).timestamp()
            if call.code == Code.PROVIDER_KEY_MISSING and late < LATELY_SECONDS:
                found.setdefault(call.provider, call)
    return found


def reach(world: World) -> Iterator[Finding]:
    """Ask each provider that there is a key for, for its list of models, which is free."""
    status, tests = world.status, world.key_tests
    if status is None:
        yield ok("no sidecar answers, and no provider was asked")
        return
    found: list[Finding] = []
    for one in status.providers:
        tested = tests.get(one.name)
        if tested is not None and not leads_here(status, one.base_url):
            found += _tested(one, tested)
    yield from found or [ok("each provider that there is a key for takes it")]


def _tested(one: wire.Provider, tested: wire.ProviderTest | SpendGuardError) -> Iterator[Finding]:
    if isinstance(tested, SpendGuardError):
        yield Finding(level=Level.WARNING, finding=f"{one.name} could not be asked: {tested.detail}")
    elif tested.ok:
        return
    elif tested.http_status is None:
        yield Finding(
            level=Level.RED,
            finding=f"The provider {one.name} cannot be reached",
            evidence=[f"{tested.detail}, at {one.base_url}"],
            deed="Check the network, and the address (spendguard config show); the provider's own is "
            f"{DEFAULT_BASE_URLS[one.name]}.",
            code=Code.UPSTREAM_UNREACHABLE.value,
        )
    elif tested.remedy:
        yield _rejected(one, tested)
    elif tested.http_status in NO_SUCH_PAGE and one.base_url != DEFAULT_BASE_URLS[one.name]:
        yield Finding(level=Level.NOTE, finding=f"{one.base_url} has no list of models to try the key with")
    else:
        yield Finding(
            level=Level.WARNING,
            finding=f"The provider {one.name} answers, but not as it should",
            evidence=[tested.detail],
            deed="Look at the provider's status page; spendguard provider test shows if it is well again.",
        )


def _rejected(one: wire.Provider, tested: wire.ProviderTest) -> Finding:
    return Finding(
        level=Level.RED,
        finding=f"{one.name} rejects the sidecar's key, which came from {one.key}",
        evidence=[tested.detail],
        deed=TYPE_THE_KEY,
        remedy=another_key(one),
        code=Code.PROVIDER_KEY_REJECTED.value,
    )


CHECKS: tuple[Check, ...] = (
    Check("providers.address", "the addresses of the providers", upstream),
    Check("providers.keys", "the providers' keys", keys),
    Check("providers.reach", "whether providers are there, and take their keys", reach),
)
