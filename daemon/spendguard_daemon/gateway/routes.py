"""The fixed table of routes: from method and raw request target to what is asked. Pure.

Nothing is decoded, joined or normalised: a target with an escape, an empty or dot segment, or any character
outside the small set below is no route, so no trick of paths can reach a provider.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from urllib.parse import parse_qsl

from spendguard_daemon.errors import Code, MalformedError, SpendGuardError
from spendguard_daemon.gateway import google_paths
from spendguard_daemon.providers import FORMATS, speaker_of

PROVIDERS = tuple(dict.fromkeys(provider for provider, _ in FORMATS))
COUNT_TAILS: Mapping[tuple[str, ...], str] = {
    ("messages", "count_tokens"): "messages",
    ("responses", "input_tokens"): "responses",
}
"""What follows the version segment of a free count route -> the endpoint whose requests it counts."""

COUNTERS = frozenset({("anthropic", "messages"), ("openai", "responses")})
"""The providers that have such a route of that name."""

_VERSIONS = frozenset({"v1", google_paths.VERSION})
_SEGMENT = re.compile(r"[A-Za-z0-9._:-]{1,128}")

_CONTROL = {
    "GET health": "health",
    "GET ready": "ready",
    "GET openapi.json": "openapi",
    "GET metrics": "metrics",
    "GET v1/status": "status",
    "GET v1/events": "events",
    "GET v1/agents": "list_agents",
    "POST v1/agents": "create_agent",
    "GET v1/agents/{agent}": "get_agent",
    "PATCH v1/agents/{agent}": "change_agent",
    "DELETE v1/agents/{agent}": "delete_agent",
    "POST v1/agents/{agent}/confirm": "confirm_agent",
    "GET v1/agents/{agent}/budget": "get_budget",
    "POST v1/agents/{agent}/budget": "grant_budget",
    "POST v1/agents/{agent}/budget/topup": "top_up",
    "GET v1/agents/{agent}/budget/history": "list_deeds",
    "GET v1/agents/{agent}/runs": "list_runs",
    "POST v1/agents/{agent}/runs": "create_run",
    "GET v1/agents/{agent}/calls": "list_calls",
    "GET v1/agents/{agent}/keys": "list_keys",
    "POST v1/agents/{agent}/keys": "create_key",
    "GET v1/agents/{agent}/keys/{key}": "get_key",
    "DELETE v1/agents/{agent}/keys/{key}": "revoke_key",
    "POST v1/agents/{agent}/keys/{key}/rotate": "rotate_key",
    "GET v1/calls/{call}": "get_call",
    "POST v1/calls/{call}/abort": "abort_call",
    "POST v1/calls/{call}/adjust": "adjust_call",
    "GET v1/pricing": "get_pricing",
    "POST v1/pricing/refresh": "refresh_pricing",
    "GET v1/daemon/budget": "get_daemon_budget",
    "POST v1/daemon/budget": "grant_daemon_budget",
    "POST v1/daemon/budget/topup": "top_up_daemon",
    "POST v1/daemon/shutdown": "shutdown",
    "GET v1/providers": "list_providers",
    "POST v1/providers/reload": "reload_providers",
    "POST v1/providers/{provider}/test": "test_provider",
}

MARKS = frozenset({"beta", "client_version"})
"""What older SDKs of Anthropic, and Codex, add to a question about models; it changes nothing here."""

PAGE = frozenset({"limit", "after_id", "before_id"})
QUERIES: Mapping[str, frozenset[str]] = {
    "list_calls": frozenset({"limit", "before"}),
    "events": frozenset({"after"}),
    "models": PAGE | MARKS | google_paths.PAGE,
    "model": MARKS,
}
"""Query parameters that a route takes; any other is refused."""

OPEN = frozenset({"health", "ready", "root"})
"""Routes that need no token."""

OWN_READS = frozenset(
    {"get_agent", "get_budget", "list_runs", "list_calls", "get_call", "list_keys", "get_key"}
)
"""Control routes that an agent may read of itself."""

MODEL_ROUTES = frozenset({"call", "count", "models", "model"})
"""Routes of agents, which name themselves in other ways than operators do."""


@dataclass(frozen=True, slots=True)
class Route:
    """What a request asks for. `call` alone may cost money; `endpoint` names the wire format it is in.

    `keys` is what the query holds where Google's clients put a key: it names an agent, and goes nowhere.
    """

    name: str
    endpoint: str = ""
    provider: str = ""
    agent_id: str = ""
    run_id: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    stream: bool = False
    keys: tuple[str, ...] = field(default=(), repr=False)

    @property
    def speaker(self) -> str:
        """The provider whose error shape the asker understands."""
        return speaker_of(self.provider, self.endpoint)


@dataclass(slots=True)
class _Node:
    """A step of the control table: literal next segments, one parameter, and the methods that end here."""

    literal: dict[str, "_Node"] = field(default_factory=dict)
    param: tuple[str, "_Node"] | None = None
    methods: dict[str, str] = field(default_factory=dict)


def _plant() -> _Node:
    root = _Node()
    for pattern, name in _CONTROL.items():
        method, path = pattern.split(" ")
        node = root
        for segment in path.split("/"):
            if segment.startswith("{"):
                node.param = node.param or (segment.strip("{}"), _Node())
                node = node.param[1]
            else:
                node = node.literal.setdefault(segment, _Node())
        node.methods[method] = name
    return root


_ROOT = _plant()


def match(method: str, target: str, served: frozenset[str] | None = None) -> Route:
    """Return the route of a request; raise ROUTE_NOT_FOUND or METHOD_NOT_ALLOWED (facts: allow).

    Of the control table only the names in `served` exist, where it is given.
    """
    path, _, query = target.partition("?")
    segments = _segments(path)
    found = _of_agents(segments) or _control(method, segments, served)
    methods = _METHODS.get(found.name)
    if methods and method not in methods:
        raise _not_allowed(methods)
    named = _query(found, query)
    keys = (named.pop(google_paths.KEY),) if google_paths.KEY in named else ()
    return replace(found, query=named, keys=keys)


_METHODS = {"call": ["POST"], "count": ["POST"], "models": ["GET"], "model": ["GET"], "root": ["GET", "HEAD"]}


def control_patterns() -> Mapping[str, str]:
    """Return the control table, `METHOD path` -> name, for the tests that walk it."""
    return _CONTROL


def _segments(path: str) -> list[str]:
    if path in ("", "/"):
        return []
    segments = path.removeprefix("/").removesuffix("/").split("/")
    wrong = [index for index, s in enumerate(segments) if not (_SEGMENT.fullmatch(s) and s.strip("."))]
    if wrong == [4] and segments[4] and segments[:2] == ["v1", "agents"] and segments[3] == "runs":
        raise MalformedError("run id", "1 to 128 of A-Z a-z 0-9 . _ : -")
    if wrong or not path.startswith("/"):
        raise _not_found()
    return segments


def _of_agents(segments: list[str]) -> Route | None:
    """Match the four roots of model calls: bare, by provider, and both under an agent's run."""
    rest, agent_id, run_id = segments, "", ""
    if rest[:2] == ["v1", "agents"] and len(rest) >= 5 and rest[3] == "runs":
        agent_id, run_id, rest = rest[2], rest[4], rest[5:]
    provider = rest[0] if rest and rest[0] in PROVIDERS else ""
    rest = rest[1:] if provider else rest
    if not rest and (provider or run_id or not segments):
        return Route("root", _spoken(provider), provider, agent_id, run_id)
    version = rest[0] if rest[0] in ("v1", google_paths.VERSION) else ""
    if not version and not (provider and run_id):
        return None
    tail = rest[1:] if version else rest
    path = None
    if provider == google_paths.PROVIDER or (version == google_paths.VERSION and not provider):
        path = google_paths.of_google(tail, version=version, in_run=bool(run_id))
        if path is None:
            return None
    elif not provider:
        path = google_paths.of_verb(tail)
    if path is not None:
        whose = path.provider or provider
        return Route(path.name, path.endpoint, whose, agent_id, run_id, path.params, stream=path.stream)
    if version == google_paths.VERSION:
        return None
    name, endpoint, params = _tail(provider, tail)
    return Route(name, endpoint, provider, agent_id, run_id, params) if name else None


def _tail(provider: str, rest: list[str]) -> tuple[str, str, dict[str, str]]:
    """Return name, endpoint and parameters of what follows the version segment; no name where nothing is."""
    joined = "/".join(rest)
    if joined not in google_paths.ENDPOINTS and (speaker_of(provider, joined), joined) in FORMATS:
        return "call", joined, {}
    counted = COUNT_TAILS.get(tuple(rest), "")
    if (speaker_of(provider, counted), counted) in COUNTERS:
        return "count", counted, {}
    if rest == ["models"]:
        return "models", _spoken(provider), {}
    if len(rest) == 2 and rest[0] == "models":
        return "model", _spoken(provider), {"model": rest[1]}
    return "", "", {}


def _spoken(provider: str) -> str:
    """Return an endpoint of a provider, whose wire format answers about no endpoint are in."""
    return next((endpoint for name, endpoint in FORMATS if name == provider), "")


def _control(method: str, segments: list[str], served: frozenset[str] | None) -> Route:
    node, params = _ROOT, {}
    for segment in segments:
        if segment in node.literal:
            node = node.literal[segment]
        elif node.param:
            params[node.param[0]] = segment
            node = node.param[1]
        else:
            raise _not_found(segments)
    methods = sorted(allowed for allowed, name in node.methods.items() if served is None or name in served)
    if not methods or (method in node.methods and method not in methods):
        raise _not_found(segments)
    if method not in methods:
        raise _not_allowed(methods)
    return Route(node.methods[method], agent_id=params.get("agent", ""), params=params)


def _query(route: Route, query: str) -> dict[str, str]:
    if not query:
        return {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=16)
    except ValueError:
        raise MalformedError("query", "name=value") from None
    named = dict(pairs)
    googles = route.endpoint and route.speaker == google_paths.PROVIDER
    if not googles:
        google_paths.check_no_key(named)
    if route.name in ("call", "count") and route.endpoint == "messages":
        if pairs != [("beta", "true")]:  # so Anthropic's SDKs mark what uses beta features
            raise MalformedError("query", "only beta=true")
        return named
    if googles and len(named) == len(pairs):
        google_paths.check_query(route.name, named, stream=route.stream)
        return named
    allowed = QUERIES.get(route.name, frozenset())
    if len(named) != len(pairs) or not set(named) <= allowed:
        raise MalformedError("query", f"only {', '.join(sorted(allowed))}" if allowed else "none")
    return named


def asker(target: str) -> tuple[str, str]:
    """Return provider and endpoint of whose error shape the path of no route asks for; empty if of nobody."""
    rest = target.partition("?")[0].split("/")[1:]
    if rest[:2] == ["v1", "agents"]:
        rest = rest[5:]
    first = rest[0] if rest else ""
    provider = google_paths.PROVIDER if first == google_paths.VERSION else first
    return (provider, _spoken(provider)) if provider in PROVIDERS else ("", "")


def _not_found(segments: Sequence[str] = ()) -> SpendGuardError:
    """Return the refusal of a path; what is often meant by it is named."""
    why = "nothing was forwarded"
    twice = next((two for two in pairwise(segments) if set(two) <= _VERSIONS), None)
    verb = google_paths.unserved(segments)
    if twice:
        why = (
            f"the version is there twice, as /{'/'.join(twice)}: give the SDK the base URL without it; {why}"
        )
    elif verb:
        batch = " (batches are not)" if "batch" in verb.lower() else ""
        why = f"{verb} is not served{batch}; {why}"
    return SpendGuardError(Code.ROUTE_NOT_FOUND, f"Route not found: {why}")


def _not_allowed(methods: list[str]) -> SpendGuardError:
    return SpendGuardError(
        Code.METHOD_NOT_ALLOWED, f"Method not allowed: use {' or '.join(methods)}", facts={"allow": methods}
    )
