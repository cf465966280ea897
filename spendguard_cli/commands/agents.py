"""`agent create|list|get|rename|delete|set|freeze|unfreeze`: who has a budget."""

import sys
from typing import Annotated, Literal

import typer

from spendguard_cli.commands.policies import (
    Allow,
    Disallow,
    ExactCount,
    HostedTools,
    HostedToolsAgain,
    HostedToolUses,
    OnInsufficient,
    OnInsufficientAgain,
    ServerState,
    WaitSeconds,
    given,
    own_policy,
    split,
    warn_absent,
    warn_unknown,
)
from spendguard_cli.output import Form
from spendguard_cli.render import count
from spendguard_cli.session import Session
from spendguard_cli.verbs import TALKS, group, switch, verb
from spendguard_daemon.codes import Exit
from spendguard_daemon.errors import Code, SpendGuardError

app = group("Agents: the identities that have budgets.")

CALLS_SHOWN = 20
EXITS = (*TALKS, Exit.NOT_FOUND)

Agent = Annotated[str | None, typer.Argument(metavar="AGENT", help="Id or unique name.", show_default=False)]
AgentOption = Annotated[str | None, typer.Option("--agent", metavar="AGENT", help="The same as AGENT.")]
Concurrency = Annotated[
    Literal["exclusive", "shared"] | None,
    typer.Option(help="exclusive: one run at a time. shared: any number; the cap is just as strict."),
]
Overflow = Annotated[
    Literal["clamp", "refuse"] | None,
    typer.Option(help="What happens to an output cap that does not fit: made smaller, or refused."),
]

NeedsKey = Annotated[
    bool | None,
    switch("--needs-key/--no-needs-key", help_text="Whether its id alone is refused, and a key is needed."),
]


@verb(
    app,
    "create",
    examples=(
        "spendguard agent create --name my-agent",
        "spendguard agent create --name trial --mock",
        "spendguard agent create --name researcher --hosted-tools allow --hosted-tool-uses 3",
    ),
)
def create(
    session: Session,
    *,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Up to 200 printable characters.")] = None,
    concurrency: Concurrency = None,
    overflow: Overflow = None,
    mock: Annotated[
        bool, switch("--mock", help_text="May use the built-in mock models, and nothing that costs.")
    ] = False,
    hosted_tools: HostedTools = None,
    hosted_tool_uses: HostedToolUses = None,
    server_state: ServerState = None,
    exact_count: ExactCount = None,
    allow: Allow = None,
    on_insufficient: OnInsufficient = None,
    wait_seconds: WaitSeconds = None,
) -> None:
    """Create an agent.

    It can spend nothing until it has a budget.
    """
    session.operator_only("agent create")
    wanted: dict[str, object] = {"name": name, "concurrency": concurrency, "overflow": overflow}
    allowed = split(allow) or None
    body = given(wanted) | own_policy(
        hosted_tools, hosted_tool_uses, server_state, exact_count, allowed, on_insufficient, wait_seconds
    )
    same = [agent.agent_id for agent in session.control.agents() if agent.name == name] if name else []
    made = session.control.create_agent(body | ({"mock": True} if mock else {}))
    session.out.show(made)
    warn_unknown(session.out, allowed or ())
    if same:
        session.out.warn(
            f"another agent has this name: {', '.join(same)}; from now on the name alone means neither, "
            "use the ids"
        )
    session.out.hint(f"next: spendguard budget set --agent {made.agent_id} --limit 5000")


@verb(app, "list", examples=("spendguard agent list", "spendguard agent list --json"))
def list_(session: Session) -> None:
    """List all agents with what remains to them."""
    found = session.control.agents()
    session.out.show(found)
    if not found:
        session.out.hint("next: spendguard agent create --name my-agent")


@verb(
    app,
    "get",
    examples=("spendguard agent get my-agent", "spendguard agent get my-agent --json"),
    exits=EXITS,
)
def get(session: Session, *, agent: Agent = None, agent_option: AgentOption = None) -> None:
    """Show one agent and its latest calls; spendguard explain <call> tells the life of one."""
    from spendguard_cli import render, shapes
    from spendguard_daemon.system import SystemClock

    agent_id = session.agent_id(named(agent, agent_option))
    found = session.control.agent(agent_id)
    calls = session.control.calls(agent_id, CALLS_SHOWN)
    if session.out.is_terminal:
        session.out.show(shapes.AgentDetail(agent=found, calls=calls, now_ns=SystemClock().wall_ns()))
        if calls:
            session.out.hint(f"the life of a call, each sum of it: spendguard explain {calls[0].call_id}")
        if found.restored:
            session.out.advise(f"spendguard agent unfreeze {agent_id} --spent <amount since the backup>")
    else:
        whole = session.out.form is Form.JSON
        shown = render.plain(calls) if whole else render.plain([shapes.call_line(call) for call in calls])
        session.out.show(render.merged({}, found) | {"calls": shown})
    session.tell_ways_on([found])
    if any(call.state == "refused" for call in calls) and not session.connection.in_exec:
        from spendguard_cli.doctor.advice import advise

        advise(session, agent_id)


@verb(
    app,
    "rename",
    examples=(
        "spendguard agent rename my-agent better-name",
        "spendguard agent rename --agent my-agent --name better-name",
    ),
    exits=EXITS,
)
def rename(
    session: Session,
    *,
    words: Annotated[list[str] | None, typer.Argument(metavar="[AGENT] [NAME]", show_default=False)] = None,
    agent_option: AgentOption = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="The new name.")] = None,
) -> None:
    """Give an agent another name; its id, budget and history stay."""
    session.operator_only("agent rename")
    given = list(words or [])
    ref = agent_option if agent_option is not None or not given else given.pop(0)
    new = name if name is not None or not given else given.pop(0)
    if ref is None or new is None or given:
        raise SpendGuardError(
            Code.USAGE,
            "rename takes an agent and its new name",
            remedy="spendguard agent rename my-agent better-name",
        )
    session.out.show(session.control.change_agent(session.agent_id(ref), {"name": new}))


@verb(
    app,
    "delete",
    examples=("spendguard agent delete my-agent", "spendguard agent delete my-agent --yes"),
    exits=EXITS,
)
def delete(
    session: Session,
    *,
    agent: Agent = None,
    agent_option: AgentOption = None,
    yes: Annotated[bool, switch("--yes", "-y", help_text="Do not ask.")] = False,
) -> None:
    """Delete an agent for good.

    It is hidden and its calls are refused; its history stays. On a terminal you are asked first.
    """
    session.operator_only("agent delete")
    ref = named(agent, agent_option)
    agent_id = session.agent_id(ref)
    found = session.control.agent(agent_id)
    if found.calls_in_flight:
        session.out.warn(
            f"{count(found.calls_in_flight, 'call')} of this agent in flight will still end and settle"
        )
    asks = not yes and sys.stdin.isatty() and sys.stderr.isatty()
    if asks and not session.out.ask(f"Delete {found.name} ({agent_id}) for good?"):
        session.out.hint("nothing was deleted")
        raise typer.Exit(Exit.FAILED)
    session.out.show(session.control.delete_agent(agent_id))


@verb(
    app,
    "set",
    examples=(
        "spendguard agent set my-agent --concurrency shared",
        "spendguard agent set my-agent --overflow refuse",
        "spendguard agent set my-agent --hosted-tools allow --hosted-tool-uses 3",
        "spendguard agent set my-agent --allow anthropic.tool:bash_20250124",
        "spendguard agent set my-agent --allow 'grok.chat.cap:reasoning, grok.fee:violation'",
        "spendguard agent set my-agent --hosted-tools inherit",
        "spendguard agent set my-agent --on-insufficient wait --wait-seconds 120",
        "spendguard agent set my-agent --no-needs-key",
    ),
    exits=EXITS,
)
def set_(
    session: Session,
    *,
    agent: Agent = None,
    agent_option: AgentOption = None,
    concurrency: Concurrency = None,
    overflow: Overflow = None,
    hosted_tools: HostedToolsAgain = None,
    hosted_tool_uses: HostedToolUses = None,
    server_state: ServerState = None,
    exact_count: ExactCount = None,
    allow: Allow = None,
    disallow: Disallow = None,
    on_insufficient: OnInsufficientAgain = None,
    wait_seconds: WaitSeconds = None,
    needs_key: NeedsKey = None,
) -> None:
    """Change how an agent's calls are read and admitted, whether they wait, and whether they need a key.

    What an agent has of its own stands before [policy] in config.toml; --allow adds to what is allowed there.
    An agent needs a key from its first agent key on, also when none is left; --no-needs-key takes that back.
    """
    session.operator_only("agent set")
    agent_id: str | None = None
    before: list[str] = []
    added, dropped, allowed = split(allow), split(disallow), None
    if added or dropped:
        agent_id = session.agent_id(named(agent, agent_option))
        before = session.control.agent(agent_id).policy.allow or []
        allowed = [*(feature for feature in before if feature not in dropped), *added]
    body = given({"concurrency": concurrency, "overflow": overflow, "needs_key": needs_key})
    body |= own_policy(
        hosted_tools, hosted_tool_uses, server_state, exact_count, allowed, on_insufficient, wait_seconds
    )
    if not body:
        raise SpendGuardError(
            Code.USAGE,
            "Nothing to set",
            remedy="pass --concurrency, --overflow, --needs-key or a setting of [policy]; "
            "--help shows what they take",
        )
    agent_id = agent_id or session.agent_id(named(agent, agent_option))
    session.out.show(session.control.change_agent(agent_id, body))
    warn_unknown(session.out, added)
    warn_absent(session.out, dropped, before)


def named(argument: str | None, option: str | None) -> str:
    """Return the agent that was named, by argument or by --agent; raise USAGE for none or two."""
    if argument is not None and option is not None and argument != option:
        raise SpendGuardError(Code.USAGE, "Two agents are named", remedy="name one, as AGENT or as --agent")
    ref = option if argument is None else argument
    if not ref:
        raise SpendGuardError(Code.USAGE, "No agent is named", remedy="name its id or unique name")
    return ref
