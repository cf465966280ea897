"""Bare `spendguard`: the state of things and the next step. Starts nothing, changes nothing."""

from typing import TYPE_CHECKING

from spendguard_cli.session import Session

if TYPE_CHECKING:
    from spendguard_cli.shapes import Overview
    from spendguard_daemon import wire


def show(session: Session) -> None:
    """Show where things stand."""
    from spendguard_cli.holder import is_held
    from spendguard_cli.shapes import Overview

    try:
        control = session.peek()
        home = str(session.connection.home.root)
        if control is None and session.connection.local and is_held(session.connection.home):
            session.out.show(
                Overview(
                    state="unresponsive",
                    home=home,
                    next="spendguard down --now",
                    why="a process has the ledger open and does not answer: this ends it, if it is a sidecar",
                )
            )
            return
        if control is None:
            first = not session.connection.home.admin_token.exists()
            session.out.show(
                Overview(
                    state="down",
                    home=home,
                    next="spendguard demo" if first else "spendguard up",
                    why="see it work first: no key, no network, nothing left behind; then spendguard up"
                    if first
                    else "starts the sidecar; commands that need it do so by themselves",
                )
            )
            return
        session.out.show(_overview(control.base_url, control.status(), control.agents()))
    finally:
        session.close()


def _overview(base_url: str, status: "wire.Status", agents: "list[wire.Agent]") -> "Overview":
    from spendguard_cli.shapes import Overview

    step, why = next_step(base_url, status, agents)
    return Overview(
        state=status.state,
        home=status.home,
        next=step,
        why=why,
        base_url=base_url,
        agents=agents,
        warnings=status.warnings,
    )


def next_step(base_url: str, status: "wire.Status", agents: "list[wire.Agent]") -> tuple[str, str]:
    """Return the command that an operator most likely wants next, and why."""
    from spendguard_cli.ways_on import refs, ways_on

    named = refs(agents)
    if not agents:
        return "spendguard agent create --name my-agent", "an agent is who has a budget"
    bare = next((agent for agent in agents if agent.hard_limit_cents is None), None)
    if bare is not None:
        return (
            f"spendguard budget set --agent {named[bare.agent_id]} --limit 5000",
            "this agent can spend nothing until it has a budget",
        )
    on = next(iter(ways_on(agents, status.daemon_budget, named)), None)
    if on is not None:
        return on, "lets a call go on that waits, in its own request, for money or for the lock"
    waits = next((agent for agent in agents if agent.restored), None)
    if waits is not None:
        return (
            f"spendguard agent unfreeze {named[waits.agent_id]} --spent <amount>",
            "it came back with a backup: say what it spent since; 0 accepts the loss",
        )
    stopped = next((agent for agent in agents if agent.frozen), None)
    if stopped is not None:
        return (
            f"spendguard agent get {named[stopped.agent_id]}",
            "this agent is frozen: look before you unfreeze it",
        )
    if all(provider.key == "absent" for provider in status.providers) and not all(a.mock for a in agents):
        return "spendguard provider set-key openai", "the sidecar has no provider key yet"
    if status.unconfirmed_calls:
        return (
            "spendguard ledger export --unconfirmed",
            "lists the calls that were charged at worst; budget adjust corrects them",
        )
    return (
        f"OPENAI_BASE_URL={base_url}/v1/agents/{agents[-1].agent_id}/runs/default/openai/v1",
        "points an unmodified OpenAI client at this agent's budget",
    )
