"""Whether a program's calls can be paid at all, asked before it starts. Pure."""

from spendguard_daemon import wire
from spendguard_daemon.text import safe

AMOUNT_CENTS = 500
"""What the commands below propose, as all examples do."""


def why_unpaid(agent: wire.Agent, limit_cents: int | None, daemon: wire.DaemonBudget) -> str | None:
    """Return why every call of an agent will be refused, and the operator's command; None where none need be.

    `limit_cents` is the program's own limit, None where it has none.
    """
    found = _found(agent, limit_cents, daemon)
    if found is None:
        return None
    why, command = found
    return f"{why}, so calls will be refused; try: {command}"


def _found(agent: wire.Agent, limit_cents: int | None, daemon: wire.DaemonBudget) -> tuple[str, str] | None:
    who, agent_id = f"agent {safe(agent.name)}", agent.agent_id
    if agent.restored:
        command = f"spendguard agent unfreeze {agent_id} --spent <amount since the backup>"
        return f"{who} waits for what it spent since the backup", command
    if agent.frozen:
        reason = f" ({safe(agent.frozen_reason)})" if agent.frozen_reason else ""
        return f"{who} is frozen{reason}", f"spendguard agent unfreeze {agent_id}"
    if limit_cents == 0:
        return "--limit 0 leaves nothing to spend", f"--limit {AMOUNT_CENTS}"
    if agent.remaining_cents is None or not agent.hard_limit_cents:
        lacks = "has no budget" if agent.remaining_cents is None else "has a limit of $0.00"
        return f"{who} {lacks}", f"spendguard budget set --agent {agent_id} --limit {AMOUNT_CENTS}"
    if _is_none(agent.remaining_usd):
        return (
            f"{who} has nothing left",
            f"spendguard budget topup --agent {agent_id} --amount {AMOUNT_CENTS}",
        )
    if daemon.hard_limit_cents is not None and _is_none(daemon.remaining_usd):
        command = f"spendguard budget daemon topup --amount {AMOUNT_CENTS}"
        return "the cap above all agents has nothing left", command
    return None


def _is_none(usd: str | None) -> bool:
    """Tell whether an amount is nothing, or after an overrun less."""
    return usd is not None and (usd.startswith("-") or not usd.strip("0."))
