"""Does what runs in this shell go through the sidecar, and does it say who it is."""

import shlex
from collections.abc import Iterator
from datetime import datetime

from spendguard_cli.doctor.findings import Check, Finding, Level, ok
from spendguard_cli.doctor.groups.client_urls import CLIENTS, Client, Target, target_of, url_of, wrong_tail
from spendguard_cli.doctor.groups.providers import leads_here
from spendguard_cli.doctor.world import World
from spendguard_cli.prove import Found, Place, knock
from spendguard_daemon import wire
from spendguard_daemon.addresses import DEFAULT_BASE_URLS
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code
from spendguard_daemon.settings import KEY_NAMES
from spendguard_daemon.text import safe

USUAL_PORT = 8787
LATELY_SECONDS = 3600
AGENT_KEY = "sg_agent_"
PROXIES = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
PLANS = {"CLAUDE_CODE_OAUTH_TOKEN": "", "ANTHROPIC_AUTH_TOKEN": "sk-ant-oat"}
"""Variables of a subscription's login, and how their values begin then."""

AGAIN = (
    "Start the program again from a shell with this base URL, which names the agent even where headers are "
    "dropped."
)

STOPS = frozenset(
    {Code.MISSING_AGENT, Code.KEY_UNKNOWN, Code.KEY_REQUIRED, Code.AGENT_NOT_FOUND, Code.SUBSCRIPTION_TOKEN}
)
"""Codes of programs that are meant to be served, and are not."""


CHOOSE = (
    "Choose who pays, one of spendguard agent list; then spendguard doctor --check clients --agent <agent> "
    "prints the line to type"
)


def payer(world: World) -> wire.Agent | None:
    """Return the agent that an example is for: that of --agent, or the one that alone could pay."""
    could = _could_pay(world)
    return could[0] if len(could) == 1 else None


def _could_pay(world: World) -> list[wire.Agent]:
    if world.agent_ref is not None:
        return world.agents
    return [agent for agent in world.agents if not agent.mock and not agent.frozen]


def address(world: World) -> str:
    """Return where programs reach the sidecar."""
    if world.status is not None and world.status.addresses:
        return world.status.addresses[0]
    return f"http://127.0.0.1:{world.port.number or USUAL_PORT}"


def way_in(world: World, client: Client) -> list[str]:
    """Return the lines that send programs of this shell to the sidecar, with the agent that pays.

    None where several could pay: that is for the operator to choose (`or_choose`).
    """
    agent = payer(world)
    if agent is None:
        return [] if _could_pay(world) else ["spendguard agent create --name my-agent"]
    url = url_of(address(world), client, agent.agent_id)
    first = []
    if client.provider == "grok" and not world.env.get("SPENDGUARD_GROK_BASE_URL"):
        # A sidecar that is started from this shell reads XAI_BASE_URL too, as the address of xAI.
        first = [f"export SPENDGUARD_GROK_BASE_URL={DEFAULT_BASE_URLS['grok']}"]
    return [*first, f"export {client.variables[0]}={url}"]


def or_choose(world: World, deed: str = "") -> str:
    """Return what a person has to do: choose who pays where several could, else `deed`."""
    return CHOOSE if payer(world) is None and _could_pay(world) else deed


def with_exec(world: World) -> str:
    """Return the one command that does all of it for a program."""
    agent = payer(world)
    ref = (
        " --agent <agent>" if agent is None else f" --agent {world.named.get(agent.agent_id, agent.agent_id)}"
    )
    return f"or start it as: spendguard exec{ref} -- <command>, which gives it a key of its own as well"


def base_urls(world: World) -> Iterator[Finding]:
    """Look where the SDKs of this shell are sent."""
    if world.connection.in_exec or world.status is None:
        yield ok("where programs of this shell are sent was not looked at")
        return
    found = [one for client in CLIENTS for one in _sent(world, world.status, client)]
    yield from found or [ok("no program of this shell is sent past the sidecar")]


def _sent(world: World, status: wire.Status, client: Client) -> Iterator[Finding]:
    named = next((name for name in client.variables if world.env.get(name, "").strip()), None)
    key = next((name for name in KEY_NAMES[client.provider] if world.env.get(name, "").strip()), None)
    if key is not None and world.env[key].strip().startswith(AGENT_KEY):
        key = None
    target = None if named is None else target_of(world.env[named])
    if named is None or target is None or not leads_here(status, world.env[named]):
        wrong = None if named is None or target is None else _elsewhere(world, named, target, client)
        if wrong is not None:
            yield wrong
        elif key is not None:
            yield _direct(world, client, key, named)
        return
    problem = wrong_tail(client, target)
    if problem:
        yield _wrong(world, client, f"{named} leads to the sidecar, but {problem}")
    elif target.in_run and target.agent_id not in [agent.agent_id for agent in world.everyone]:
        yield _wrong(
            world,
            client,
            f"{named} names an agent that does not exist, or was deleted",
            f"{safe(target.agent_id)} is the id of no agent; names are not taken there",
            code=Code.AGENT_NOT_FOUND.value,
        )


def _elsewhere(world: World, named: str, target: Target, client: Client) -> Finding | None:
    """Say that a URL of this machine is meant for the sidecar, and misses it; None where it is another's."""
    if not target.is_local:
        return None
    ours = target.in_run or target.port == USUAL_PORT
    if not ours and knock(Place.at(target.port), []) is not Found.NOTHING:
        return None
    return _wrong(
        world,
        client,
        f"{named} names port {target.port}, where no sidecar of yours is",
        f"it is at {address(world)}",
    )


def _wrong(world: World, client: Client, finding: str, *evidence: str, code: str | None = None) -> Finding:
    return Finding(
        level=Level.RED,
        finding=finding,
        evidence=[*evidence, with_exec(world)],
        remedy=way_in(world, client),
        deed=or_choose(world),
        code=code,
    )


def _direct(world: World, client: Client, key: str, named: str | None) -> Finding:
    where = f"{client.variables[0]} is not set" if named is None else f"{named} does not lead to the sidecar"
    return Finding(
        level=Level.WARNING,
        finding=f"Programs started here pay {client.provider} directly, outside every budget",
        evidence=[f"{key} is in this shell, and {where}", with_exec(world)],
        remedy=way_in(world, client),
        deed=or_choose(world),
    )


def proxies(world: World) -> Iterator[Finding]:
    """Look for a proxy between the programs of this shell and the sidecar."""
    proxy = next((name for name in PROXIES if world.env.get(name)), None)
    past = {name: world.env[name] for name in ("NO_PROXY", "no_proxy") if name in world.env}
    heeded = [_spares(hosts) for hosts in past.values()] or [False]
    if proxy is None or all(heeded):
        yield ok("no proxy stands between programs and the sidecar")
        return
    remedy = []
    for name in past or {"NO_PROXY": ""}:
        hosts = [host.strip() for host in past.get(name, "").split(",") if host.strip()]
        more = dict.fromkeys([*hosts, "127.0.0.1", "localhost", "::1"])
        remedy.append(f"export {name}={shlex.quote(','.join(more))}")
    yield Finding(
        level=Level.WARNING,
        finding="A proxy stands between the programs of this shell and the sidecar",
        evidence=[f"{proxy} is set, and NO_PROXY does not name 127.0.0.1"],
        remedy=remedy,
    )


def _spares(hosts: str) -> bool:
    named = {host.strip() for host in hosts.split(",")}
    return "*" in named or {"127.0.0.1", "localhost"} <= named


def plans(world: World) -> Iterator[Finding]:
    """Look for the login of a subscription, which is not billed by the token."""
    found = [
        name for name, start in PLANS.items() if world.env.get(name) and world.env[name].startswith(start)
    ]
    if not found or world.connection.in_exec:
        yield ok("no subscription is logged in by this shell")
        return
    yield Finding(
        level=Level.WARNING,
        finding="Programs of this shell use the login of a subscription, which the sidecar refuses",
        evidence=[f"{' and '.join(found)} is set", with_exec(world)],
        remedy=[f"unset {' '.join(found)}"],
        code=Code.SUBSCRIPTION_TOKEN.value,
    )


def strangers(world: World) -> Iterator[Finding]:
    """Tell whose requests were refused before it was known which agent pays."""
    if world.status is None:
        yield ok("no sidecar answers, and whom it refused was not looked at")
        return
    lately = [one for one in world.status.strangers if _is_recent(world, one)]
    if not lately:
        yield ok("whoever called lately said who it is")
    for one in lately:
        yield _stranger(world, one)


def _is_recent(world: World, one: wire.Stranger) -> bool:
    return world.now_ns / 1e9 - datetime.fromisoformat(one.last_at).timestamp() < LATELY_SECONDS


def _stranger(world: World, one: wire.Stranger) -> Finding:
    who = one.program or "A program"
    times = "once" if one.count == 1 else f"{one.count} times"
    evidence = [f"{one.endpoint}, {times}, last at {one.last_at}: {one.detail}", with_exec(world)]
    code = Code(one.code) if one.code in set(Code) else Code.INTERNAL
    if code is Code.UNAUTHORIZED or (code is Code.ROUTE_NOT_FOUND and not one.provider):
        return _no_caller(one, who, evidence[:1])
    level = Level.RED if code in STOPS and one.count > 1 else Level.WARNING  # once may be a slip of the hand
    client = next((client for client in CLIENTS if client.provider == one.provider), CLIENTS[0])
    if code in (Code.MISSING_AGENT, Code.AGENT_NOT_FOUND):
        what = (
            "does not say which agent pays" if code is Code.MISSING_AGENT else "names an agent that is none"
        )
        return Finding(
            level=level,
            finding=f"{who} calls the sidecar, but {what}",
            evidence=evidence,
            deed=or_choose(world, AGAIN),
            remedy=way_in(world, client),
            code=one.code,
        )
    entry = TABLE[code]
    return Finding(
        level=level,
        finding=f"{who} is refused before it is known which agent pays: {entry.title}",
        evidence=[*evidence, entry.cause],
        deed=f"{entry.operator_remedy[:1].upper()}{entry.operator_remedy[1:]}.",
        code=one.code,
    )


def _no_caller(one: wire.Stranger, who: str, evidence: list[str]) -> Finding:
    """Tell of who asked for no model: a look at the control API without its token, or at no path of ours."""
    lost = one.code == Code.ROUTE_NOT_FOUND
    return Finding(
        level=Level.NOTE,
        finding=f"{who} asked for a path that is not served"
        if lost
        else f"{who} asked the control API, without the admin token",
        evidence=evidence,
        deed=""
        if lost
        else "If it is a tool of yours, such as one that reads /metrics, give it the admin token: "
        "Authorization: Bearer, and the word in admin.token of the home.",
        code=one.code,
    )


def control(world: World) -> Iterator[Finding]:
    """Look whether raising budgets takes the operator's token."""
    status = world.status
    if status is None:
        yield ok("no sidecar answers, and who may raise budgets was not looked at")
        return
    if not any(said.startswith("the control API is open") for said in status.warnings):
        yield ok("whoever raises a budget needs the admin token")
        return
    here = world.env.get("CAP_SIDECAR_OPEN") or world.env.get("SPENDGUARD_ACCESS_CONTROL")
    yield Finding(
        level=Level.RED,
        finding="Anyone on this machine can raise budgets: the control API takes no token",
        evidence=["[access] control is open-loopback, or CAP_SIDECAR_OPEN=1 when the sidecar was started"],
        remedy=[
            *(["unset CAP_SIDECAR_OPEN SPENDGUARD_ACCESS_CONTROL"] if here else []),
            "spendguard config set access.control token",
            "spendguard restart",
        ],
    )


CHECKS: tuple[Check, ...] = (
    Check("clients.control", "who may raise budgets", control),
    Check("clients.base_urls", "where the SDKs of this shell are sent", base_urls),
    Check("clients.strangers", "programs that do not say which agent pays", strangers),
    Check("clients.proxies", "proxies in the way of this shell's programs", proxies),
    Check("clients.plans", "logins of subscriptions", plans),
)
