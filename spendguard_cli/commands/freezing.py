"""`agent freeze|unfreeze`: stop an agent, and let it go on, also one that came back with a backup."""

from typing import Annotated

import typer

from spendguard_cli.amounts import amount
from spendguard_cli.commands.agents import EXITS, Agent, AgentOption, app, named
from spendguard_cli.session import Session
from spendguard_cli.verbs import verb
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.money import Nusd, format_usd

__all__ = ["app"]


@verb(
    app,
    "freeze",
    examples=("spendguard agent freeze my-agent", "spendguard agent freeze my-agent --reason 'loops'"),
    exits=EXITS,
)
def freeze(
    session: Session,
    *,
    agent: Agent = None,
    agent_option: AgentOption = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Shown with the refusals.")] = None,
) -> None:
    """Stop an agent.

    New calls are refused, those in flight settle.
    """
    session.operator_only("agent freeze")
    body: dict[str, object] = {"frozen": True} | ({} if reason is None else {"reason": reason})
    session.out.show(session.control.change_agent(session.agent_id(named(agent, agent_option)), body))


@verb(
    app,
    "unfreeze",
    examples=(
        "spendguard agent unfreeze my-agent",
        "spendguard agent unfreeze my-agent --spent 12.5usd --reason 'bill of 3 May'",
        "spendguard agent unfreeze my-agent --spent 0",
    ),
    exits=EXITS,
)
def unfreeze(
    session: Session,
    *,
    agent: Agent = None,
    agent_option: AgentOption = None,
    spent: Annotated[
        str | None,
        typer.Option(
            metavar="AMOUNT",
            help="After a ledger restore: what it spent since the backup, 1250, '$12.50' or 12.5usd.",
        ),
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="With --spent: kept in the ledger.")] = "",
) -> None:
    """Let a frozen agent call again.

    One that came back with a backup goes on only with --spent: that much is charged to it first; 0 accepts
    the loss. The keys that it had have ended; agent key makes new ones.
    """
    session.operator_only("agent unfreeze")
    spent_nusd = None if spent is None else amount("--spent", spent)
    if reason and spent_nusd is None:
        raise SpendGuardError(Code.USAGE, "--reason goes with --spent", remedy="leave it out")
    agent_id = session.agent_id(named(agent, agent_option))
    restored = session.control.agent(agent_id).restored
    if restored:
        _confirm(session, agent_id, spent_nusd, reason)
    elif spent_nusd is not None:
        raise SpendGuardError(
            Code.USAGE,
            "--spent is for an agent that came back with a backup, and this one waits for nothing",
            remedy=f"spendguard agent unfreeze {agent_id}",
        )
    session.out.show(session.control.change_agent(agent_id, {"frozen": False}))
    if restored:
        session.out.say(
            f"keys from before the restore have ended; spendguard agent key {agent_id} makes new ones"
        )


def _confirm(session: Session, agent_id: str, spent_nusd: Nusd | None, reason: str) -> None:
    """Charge what was spent since the backup; it is asked for, where it was not said."""
    if spent_nusd is None:
        raise SpendGuardError(
            Code.RESTORE_UNCONFIRMED,
            f"{TABLE[Code.RESTORE_UNCONFIRMED].title}: it came back with a backup, which does not know it",
            remedy=f"spendguard agent unfreeze {agent_id} --spent <amount>, by the provider's bill; "
            "--spent 0 accepts the loss",
        )
    session.control.confirm_restored(agent_id, format_usd(spent_nusd), reason)
