"""What an agent has of its own in place of `[policy]`: how it is read, how long its calls may wait. Pure."""

from spendguard_daemon.ledger.events import AgentPolicy
from spendguard_daemon.providers import Policy
from spendguard_daemon.settings import Settings


def policy_of(settings: Settings, own: AgentPolicy | None) -> Policy:
    """Return how an agent's requests are read: its own settings before `[policy]`; `allow` adds up."""
    own = own or AgentPolicy()
    return Policy(
        hosted_tools=own.hosted_tools or settings.hosted_tools,
        hosted_tool_uses=own.hosted_tool_uses or settings.hosted_tool_uses,
        server_state=own.server_state or settings.server_state,
        exact_count=own.exact_count or settings.exact_count,
        allow=frozenset((*settings.allow, *(own.allow or ()))),
    )


def wait_seconds(asked: int | None, own: AgentPolicy | None, settings: Settings) -> int | None:
    """Return for how long a call waits for all that may mend; None: only for held money, a short while."""
    if asked is not None:
        return asked
    own = own or AgentPolicy()
    if (own.on_insufficient or settings.on_insufficient) == "refuse":
        return None
    return settings.wait_seconds if own.wait_seconds is None else own.wait_seconds
