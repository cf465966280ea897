"""The ways out where the request, the key or the provider is at fault. Pure."""

import re
import shlex
from collections.abc import Callable, Mapping

from spendguard_cli.ways.case import SOME_AGENT, Case, Way, way
from spendguard_daemon.errors import Code
from spendguard_daemon.settings import PROVIDERS

OWN_POLICY = ("hosted_tools", "hosted_tool_uses", "server_state", "exact_count", "on_insufficient")
"""Settings of [policy] that an agent may have of its own, beside `allow`."""

RESTART = "spendguard restart"
_LIST_AGENTS = Way("see which agents there are", ("spendguard agent list",))

_ALLOW = re.compile(r"\[policy\] allow: (.+)")
_VALUE = re.compile(r'\[([a-z]+)\] ([a-z_]+) = "?([A-Za-z0-9_.:-]+)"?')


def setting_commands(setting: str, ref: str) -> tuple[str, ...]:
    """Return the commands that set what a refusal names as `setting`: for its agent alone where that can be.

    Nothing for a setting that is no single value.
    """
    allowed, value = _ALLOW.fullmatch(setting), _VALUE.fullmatch(setting)
    if allowed is not None:
        feature = shlex.quote(allowed[1])
        if ref == SOME_AGENT:
            return (f"spendguard config allow {feature}", RESTART)
        return (f"spendguard agent set {ref} --allow {feature}",)
    if value is None:
        return ()
    section, name, wanted = value.groups()
    if section == "policy" and name in OWN_POLICY and ref != SOME_AGENT:
        return (f"spendguard agent set {ref} --{name.replace('_', '-')} {wanted}",)
    return (f"spendguard config set {section}.{name} {wanted}", RESTART)


def _correct(case: Case) -> list[Way]:
    """Return the ways of a request that cannot be read or bounded as it is."""
    path, expected, setting = case.text("path"), case.text("expected"), case.text("setting")
    ways = []
    commands = setting_commands(setting, case.ref)
    if commands:
        ways.append(way(f"let it through: {setting}", *commands))
    elif setting:
        ways.append(Way(f"set {setting} in config.toml, then {RESTART}"))
    what = case.text("feature") or case.text("dimension")
    if path and expected:
        ways.append(Way(f"correct {path} in the request: {expected} is expected"))
    elif path or what:
        ways.append(Way(f"leave {path or what} out of the request"))
    return ways or [Way("correct the field that the message names")]


def _model(case: Case) -> list[Way]:
    near = case.texts("near_models")
    provider, model = case.text("provider"), case.text("model")
    ways = []
    if near:
        ways.append(Way(f"use a model that has a price: {', '.join(near)}"))
    named = f'[prices.overrides.{provider}."{model}"]' if provider and model else "[prices.overrides]"
    return [
        *ways,
        Way(f"give it a price of your own: a table {named} in config.toml, as in the README, then {RESTART}"),
        Way("see which models have prices", ("spendguard pricing show --json",)),
    ]


def _unpriced(case: Case) -> list[Way]:
    what = case.text("path") or case.text("dimension") or "the feature that the message names"
    return [
        Way(f"leave {what} out of the request, or use a model whose card has that rate"),
        Way("see which rates each card has", ("spendguard pricing show --json",)),
    ]


def _key(about: str) -> Callable[[Case], list[Way]]:
    return lambda case: [
        way(about, f"spendguard agent key {case.ref}"),
        way("see the keys that it has", f"spendguard agent key {case.ref} --list"),
    ]


def _key_required(case: Case) -> list[Way]:
    return [
        way("make a key, and give it to the program", f"spendguard agent key {case.ref}"),
        way("let the agent's id alone be enough again", f"spendguard agent set {case.ref} --no-needs-key"),
    ]


def _key_scope(case: Case) -> list[Way]:
    model = case.word("model") or "<pattern>"
    allowed = ", ".join(case.texts("allowed"))
    ways = [Way(f"use a model that the key names: {allowed}")] if allowed else []
    return [*ways, way("make a key for this model", f"spendguard agent key {case.ref} --model {model}")]


def _keys_too_many(case: Case) -> list[Way]:
    return [
        way("see the keys, and end one with --revoke <key>", f"spendguard agent key {case.ref} --list"),
    ]


def _missing_agent(case: Case) -> list[Way]:
    return [
        way("make a key, and give it to the program as its API key", f"spendguard agent key {case.ref}"),
        _LIST_AGENTS,
    ]


def _mock_only(case: Case) -> list[Way]:
    """Return which models this very agent may use, and how the other kind of agent is made."""
    is_mock = case.agent.mock if case.agent is not None else None
    real = Way("make an agent for real models, and use them with that", ("spendguard agent create",))
    mock = Way("make a mock agent, and use mock models with that", ("spendguard agent create --mock",))
    if is_mock is None:
        return [Way("use mock-small with a mock agent, and a real model with any other"), _LIST_AGENTS]
    if is_mock:
        return [Way("use mock-small or mock-large with this agent: it is a mock agent"), real]
    return [Way("use a real model with this agent: it is no mock agent"), mock]


def _subscription(case: Case) -> list[Way]:
    return [way("run the program without its plan", f"spendguard exec --agent {case.ref} -- <command>")]


def _first_call(about: str) -> Callable[[Case], list[Way]]:
    def ways(case: Case) -> list[Way]:
        first = case.word("first_call_id")
        look = (
            [Way("see what became of the first request", (f"spendguard explain {first}",))] if first else []
        )
        return [Way(about), *look]

    return ways


def _rate(case: Case) -> list[Way]:
    limit, most = case.text("limit"), case.number("limit_value")
    ways = [Way("wait a moment, then send it again; a loop of refused calls is slowed down on purpose")]
    if limit in ("agent_calls_max", "agent_requests_per_second", "agent_bytes_max", "bytes_max") and most:
        about = f"set a higher pace for all agents: [limits] {limit} is {most}"
        ways.insert(0, Way(about, (f"spendguard config set limits.{limit} {2 * most}", RESTART)))
    return ways


def _too_large(case: Case) -> list[Way]:
    most = case.number("body_bytes_max")
    ways = [Way("send less: the body is above [limits] body_bytes_max")]
    if most and most > 0:
        about = f"allow larger bodies: [limits] body_bytes_max is {most}"
        ways.append(Way(about, (f"spendguard config set limits.body_bytes_max {2 * most}", RESTART)))
    return ways


def _provider_key(case: Case) -> list[Way]:
    provider = _provider(case)
    return [
        way(
            "give the sidecar a key of the provider, which is read from standard input",
            f"spendguard provider set-key {provider}",
            f"spendguard provider test {provider}",
        )
    ]


def _unreachable(case: Case) -> list[Way]:
    about = "look whether the provider can be reached; nothing was sent, so send the call again then"
    return [way(about, f"spendguard provider test {_provider(case)}")]


def _provider(case: Case) -> str:
    provider = case.text("provider")
    return provider if provider in PROVIDERS else "<provider>"


REQUESTS: Mapping[Code, Callable[[Case], list[Way]]] = {
    Code.MALFORMED_REQUEST: _correct,
    Code.UNBOUNDED_FEATURE: _correct,
    Code.UNPRICED_DIMENSION: _unpriced,
    Code.UNKNOWN_MODEL: _model,
    Code.MISSING_AGENT: _missing_agent,
    Code.MOCK_ONLY: _mock_only,
    Code.SUBSCRIPTION_TOKEN: _subscription,
    Code.KEY_UNKNOWN: _key("make another key: this one was rotated, revoked, or is not whole"),
    Code.KEY_EXPIRED: _key("make another key: the time of this one is over"),
    Code.KEY_REQUIRED: _key_required,
    Code.KEY_SCOPE: _key_scope,
    Code.KEYS_TOO_MANY: _keys_too_many,
    Code.KEY_NOT_FOUND: _keys_too_many,
    Code.IDEMPOTENCY_IN_FLIGHT: _first_call("wait for the first request with this Idempotency-Key to end"),
    Code.IDEMPOTENCY_DONE: _first_call("use a new Idempotency-Key, which pays for another answer"),
    Code.IDEMPOTENCY_MISMATCH: _first_call("use a new Idempotency-Key for a new request"),
    Code.RATE_LIMITED: _rate,
    Code.BODY_TOO_LARGE: _too_large,
    Code.PROVIDER_KEY_MISSING: _provider_key,
    Code.PROVIDER_KEY_REJECTED: _provider_key,
    Code.UPSTREAM_UNREACHABLE: _unreachable,
}
"""How each of these codes is got out of."""
