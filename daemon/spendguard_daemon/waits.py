"""How long a call may wait for money or a lock: its client says, or its agent, or `[policy]`. Pure."""

from spendguard_daemon.ledger.events import AgentPolicy
from spendguard_daemon.settings import Settings


def wait_seconds(asked: int | None, own: AgentPolicy | None, settings: Settings) -> int | None:
    """Return for how long a call waits for all that may mend; None: only for held money, a short while."""
    if asked is not None:
        return asked
    own = own or AgentPolicy()
    if (own.on_insufficient or settings.on_insufficient) == "refuse":
        return None
    return settings.wait_seconds if own.wait_seconds is None else own.wait_seconds
