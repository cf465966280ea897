"""`run create|list|abort`: groups of calls of one agent."""

from typing import Annotated

import typer

from spendguard_cli.commands import aborting
from spendguard_cli.commands.agents import Agent, AgentOption, named
from spendguard_cli.session import Session
from spendguard_cli.verbs import TALKS, group, verb
from spendguard_daemon.codes import Exit

app = group("Runs: groups of calls of one agent.")

EXITS = (*TALKS, Exit.NOT_FOUND)


@verb(
    app,
    "create",
    examples=(
        "spendguard run create --agent my-agent",
        "spendguard run create --agent my-agent --run-id nightly-7",
    ),
    exits=EXITS,
)
def create(
    session: Session,
    *,
    agent: Agent = None,
    agent_option: AgentOption = None,
    run_id: Annotated[str | None, typer.Option("--run-id", metavar="ID", help="Else a fresh one.")] = None,
) -> None:
    """Name a run.

    A client sends the id as x-cynsta-run-id, or in its base URL.
    """
    session.out.show(session.control.create_run(session.agent_id(named(agent, agent_option)), run_id))


@verb(
    app,
    "list",
    examples=("spendguard run list --agent my-agent", "spendguard run list --agent my-agent --json"),
    exits=EXITS,
)
def list_(session: Session, *, agent: Agent = None, agent_option: AgentOption = None) -> None:
    """List an agent's latest runs with their calls and cost."""
    session.out.show(session.control.runs(session.agent_id(named(agent, agent_option))))


aborting.join(app)
