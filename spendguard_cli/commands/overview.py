"""Bare `spendguard`: the state of things and the next step. Starts nothing, changes nothing."""

from typing import TYPE_CHECKING

from spendguard_cli.session import Session
from spendguard_daemon.text import safe

if TYPE_CHECKING:
    from spendguard_cli.doctor.world import World
    from spendguard_cli.shapes import Overview
    from spendguard_daemon import wire


DOCTOR = "spendguard doctor"
AROUND = ("daemon", "home", "prices")
"""The groups of `doctor` that are quick, and tell of what stops all calls."""

OF_AGENTS = ("agents", "money")
LATELY = ("failures",)


def show(session: Session) -> None:
    """Show where things stand."""
    from spendguard_cli.doctor.world import World
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
            ill = _ill(World(session), AROUND)
            if ill is not None:
                session.out.show(Overview(state="down", home=home, next=DOCTOR, why=ill))
                return
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
        session.out.show(_overview(session, control.base_url, control.status(), control.agents()))
    finally:
        session.close()


def _ill(world: "World", groups: tuple[str, ...], level: str = "red") -> str | None:
    """Return what `doctor` finds first, where that is as bad as `level`; inside `exec` it is not asked."""
    from spendguard_cli.doctor.examine import CHECKS, examine
    from spendguard_cli.doctor.findings import RANK, Level

    if world.connection.in_exec:
        return None
    found = examine(world, [check for check in CHECKS if check.group in groups])
    return found[0].finding if found and RANK[found[0].level] <= RANK[Level(level)] else None


def _overview(
    session: Session, base_url: str, status: "wire.Status", agents: "list[wire.Agent]"
) -> "Overview":
    """Return where things stand; what is broken around all agents comes before what one of them needs."""
    from spendguard_cli.doctor.world import World
    from spendguard_cli.shapes import Overview

    world = World(session)
    ill, warnings = _ill(world, AROUND), list(status.warnings)
    if status.state == "draining":
        step, why = (
            "spendguard up",
            "it stops when its calls have ended; this waits for that and starts it again",
        )
    elif ill is not None:
        step, why = DOCTOR, ill
    else:
        step, why = next_step(base_url, status, agents)
    if step.startswith(("spendguard ledger export", "OPENAI_BASE_URL=")):
        red, lately = _ill(world, OF_AGENTS), _ill(world, LATELY, "warning")
        if red is not None:
            step, why = DOCTOR, red
        elif lately is not None and step.startswith("OPENAI"):
            step, why = DOCTOR, lately
    if step != DOCTOR and not session.connection.in_exec:
        warnings += _standing(world)
    return Overview(
        state=status.state,
        home=status.home,
        next=step,
        why=why,
        base_url=base_url,
        agents=agents,
        warnings=warnings,
    )


def _standing(world: "World") -> list[str]:
    """Return a line on calls that were refused lately, and would be again: a next step may hide that."""
    from spendguard_cli.doctor import lately
    from spendguard_cli.doctor.advice import AGENTS_MAX, still_true

    one = still_true(world) if len(world.everyone) <= AGENTS_MAX else None
    if one is None:
        return []
    when = lately.ago(world.now_ns, one.newest.created_at)
    said = f"{lately.named(one.agent)} was refused with {safe(one.code)} {when}, and still would be"
    return [f"{said}: {DOCTOR}"]


def next_step(base_url: str, status: "wire.Status", agents: "list[wire.Agent]") -> tuple[str, str]:
    """Return the command that an operator most likely wants next, and why."""
    from spendguard_cli.render import count
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
        calls = count(status.unconfirmed_calls, "call")
        told = f"lists the {calls} charged at worst, ${status.unconfirmed_usd} in all; budget adjust corrects"
        return "spendguard ledger export --unconfirmed", f"{told} them"
    return (
        f"OPENAI_BASE_URL={base_url}/v1/agents/{agents[-1].agent_id}/runs/default/openai/v1",
        "points an unmodified OpenAI client at this agent's budget",
    )
