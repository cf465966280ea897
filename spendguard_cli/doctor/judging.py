"""Whether what was refused would be refused again: judged by what is so now.

The balances, the lock, the keys, the prices decide it. Where nothing of that does, a later call of the same
kind that got through shows that it is mended; but not where the request itself was at fault: another one
proves nothing of it. Pure over the world's values.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from spendguard_cli.doctor.lately import FAULTS, Refused, needed_nusd
from spendguard_cli.remedies import facts_of
from spendguard_cli.ways.case import Case, nusd
from spendguard_daemon import wire
from spendguard_daemon.errors import Code, Fact

if TYPE_CHECKING:
    from spendguard_cli.doctor.world import World


def again(world: "World", one: Refused) -> bool | None:
    """Tell whether the newest of these would be refused again now; None where that cannot be known."""
    judge = _JUDGES.get(one.code)
    said = judge(world, one) if judge else None
    if said is not None:
        return said
    if passed_since(world, one.newest):
        return None if one.code in FAULTS else False
    return None if one.code in _MAY_PASS else True


def passed_since(world: "World", call: wire.Call) -> bool:
    """Tell whether a later call of the same kind got through."""
    for later in world.calls(call.agent_id):
        if later.call_id == call.call_id:
            return False
        same = later.endpoint == call.endpoint and (not call.model or later.model == call.model)
        if same and later.state != "refused" and later.created_at > call.created_at:
            return True
    return False


def _short(_: "World", one: Refused) -> bool | None:
    if one.agent.remaining_usd is None:
        return True
    needed, remaining = needed_nusd(one.newest), nusd(one.agent.remaining_usd)
    return None if needed is None or remaining is None else remaining < needed


def _cap(world: "World", one: Refused) -> bool | None:
    cap = world.status.daemon_budget if world.status else None
    if cap is None or cap.remaining_usd is None:
        return False if cap else None
    needed, remaining = needed_nusd(one.newest), nusd(cap.remaining_usd)
    return None if needed is None or remaining is None else remaining < needed


def _held(_: "World", one: Refused) -> bool | None:
    needed, held = needed_nusd(one.newest), nusd(one.agent.held_usd)
    remaining = nusd(one.agent.remaining_usd)
    if one.newest.facts.get("budget") in ("key", "daemon") or needed is None or held is None:
        return None if one.agent.calls_in_flight else False
    return (remaining or 0) - held < needed


def _locked(world: "World", one: Refused) -> bool | None:
    """A lock that was taken after the refusal is not the one that it was refused for."""
    agent = one.agent
    if agent.concurrency != "exclusive" or agent.locked_run_id in (None, one.newest.run_id):
        return False
    flying = [call for call in world.in_flight(agent.agent_id) if call.run_id == agent.locked_run_id]
    is_newer = flying and all(call.created_at > one.newest.created_at for call in flying)
    return None if is_newer else True


def _key(world: "World", one: Refused) -> bool | None:
    """A key that is made after the refusal, and that has enough, mends it: the program can be given that."""
    needed = needed_nusd(one.newest) or 0
    for key in world.keys(one.agent.agent_id):
        live = key.kind == "agent" and not key.revoked and not key.expired
        enough = key.remaining_usd is None or (nusd(key.remaining_usd) or 0) >= needed
        if live and enough and key.created_at > one.newest.created_at:
            return False
    return None


def _priced(world: "World", one: Refused) -> bool | None:
    case = Case(one.code, facts_of(one.newest), None, "", None)
    name = f"{case.text('provider')}:{case.text('model')}"
    pricing = world.status.pricing if world.status else None
    return None if pricing is None or name.endswith(":") else name not in pricing.models


def _provider_key(world: "World", one: Refused) -> bool | None:
    named = one.newest.facts.get("provider") or one.newest.provider
    known = world.status.providers if world.status else []
    return next((provider.key == "absent" for provider in known if provider.name == named), None)


def _limits(world: "World", one: Refused) -> bool | None:
    """A sidecar that was started since has read its limits anew, and counts from nothing."""
    started = world.status.started_at if world.status else ""
    return False if started > one.newest.created_at else None


def _let_through(world: "World", one: Refused) -> bool | None:
    """What the agent's own policy, or that of all, lets through by now is mended."""
    policy, setting = one.agent.policy, str(one.newest.facts.get("setting") or "")
    feature = one.newest.facts.get("feature")
    if isinstance(feature, str) and feature in (policy.allow or ()):
        return False
    own = {
        f'[policy] {name} = "{getattr(policy, name)}"'
        for name in ("hosted_tools", "server_state", "exact_count")
        if getattr(policy, name) is not None
    }
    return False if setting in own or _is_set_for_all(world, one, setting, feature) else None


def _is_set_for_all(world: "World", one: Refused, setting: str, feature: Fact) -> bool:
    """Tell whether a sidecar that was started since was told to let this through."""
    wanted, started = world.settings, world.status.started_at if world.status else ""
    if wanted is None or started <= one.newest.created_at:
        return False
    names = ("hosted_tools", "server_state", "exact_count")
    return feature in wanted.allow or setting in {
        f'[policy] {name} = "{getattr(wanted, name)}"' for name in names
    }


def _large(world: "World", one: Refused) -> bool | None:
    """A sidecar that was started since may take larger bodies; how large this one was is not known."""
    before, wanted = one.newest.facts.get("body_bytes_max"), world.settings
    started = world.status.started_at if world.status else ""
    if wanted is None or not isinstance(before, int) or started <= one.newest.created_at:
        return None
    return False if wanted.body_bytes_max > before else None


_JUDGES: Mapping[str, "Callable[[World, Refused], bool | None]"] = {
    Code.INSUFFICIENT_BUDGET: _short,
    Code.BUDGET_NOT_SET: lambda _, one: one.agent.hard_limit_cents is None,
    Code.AGENT_FROZEN: lambda _, one: one.agent.frozen,
    Code.DAEMON_CAP: _cap,
    Code.BUDGET_HELD: _held,
    Code.BUDGET_LOCKED: _locked,
    Code.KEY_LIMIT: _key,
    Code.KEY_SCOPE: _key,
    Code.UNKNOWN_MODEL: _priced,
    Code.PROVIDER_KEY_MISSING: _provider_key,
    Code.RATE_LIMITED: _limits,
    Code.UNBOUNDED_FEATURE: _let_through,
    Code.MALFORMED_REQUEST: _let_through,
    Code.BODY_TOO_LARGE: _large,
    Code.PRICING_UNAVAILABLE: lambda world, _: None if world.status is None else world.status.pricing is None,
}
_MAY_PASS = frozenset(
    {
        Code.INSUFFICIENT_BUDGET,
        Code.BUDGET_HELD,
        Code.DAEMON_CAP,
        Code.RATE_LIMITED,
        Code.POLICY_CHANGED,
        Code.IDEMPOTENCY_IN_FLIGHT,
        Code.IDEMPOTENCY_DONE,
        Code.IDEMPOTENCY_MISMATCH,
        Code.SHUTTING_DOWN,
        Code.CONNECTIONS_FULL,
        Code.LEDGER_FULL,
        Code.UPSTREAM_UNREACHABLE,
        Code.INTERNAL,
    }
)
"""Refusals that time, or another request, gets out of: that they would be refused again is not certain."""
