"""`budget set|get|topup|adjust` and `budget daemon`: the money. Amounts are whole cents or marked dollars."""

from typing import TYPE_CHECKING, Annotated

import typer

from spendguard_cli.amounts import cents, dollars, usd_of
from spendguard_cli.commands.agents import Agent, AgentOption, named
from spendguard_cli.session import Session
from spendguard_cli.verbs import TALKS, group, switch, verb
from spendguard_daemon.codes import Exit
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.money import cents_ceil, format_usd, parse_usd

if TYPE_CHECKING:
    from spendguard_daemon import wire

app = group("Budgets: how much each agent may spend.")
daemon = group("The cap above all agents together; off by default.")
app.add_typer(daemon, name="daemon")

CENTS_LIKE_A_SLIP = 100
"""A limit below this is likely to be dollars that a shell has eaten."""

EXITS = (*TALKS, Exit.NOT_FOUND)

Amount = Annotated[str, typer.Option(metavar="AMOUNT", help="Whole cents (5000), '$50' or 50usd.")]
Limit = Annotated[
    str, typer.Option(metavar="AMOUNT", help="The most the balance may be: 5000, '$50', 50usd.")
]
Topup = Annotated[
    str | None,
    typer.Option(metavar="AMOUNT", help="What to add; the first time, without it, the whole limit."),
]


@verb(
    app,
    "set",
    examples=(
        "spendguard budget set --agent my-agent --limit 5000 --topup 5000",
        "spendguard budget set --agent my-agent --limit '$50'",
    ),
    exits=EXITS,
)
def set_(
    session: Session,
    *,
    agent: Agent = None,
    agent_option: AgentOption = None,
    limit: Limit,
    topup: Topup = None,
) -> None:
    """Set the limit of an agent's balance, and add to the balance."""
    session.operator_only("budget set")
    limit_cents, topup_cents = cents("--limit", limit), _optional("--topup", topup)
    agent_id = session.agent_id(named(agent, agent_option))
    before = session.control.agent(agent_id)
    shown = session.control.grant(agent_id, limit_cents, topup_cents)
    _show(session, shown)
    _tell_taken(session, before, shown)


@verb(
    app,
    "get",
    examples=("spendguard budget get --agent my-agent", "spendguard budget get --agent my-agent --json"),
    exits=EXITS,
)
def get(session: Session, *, agent: Agent = None, agent_option: AgentOption = None) -> None:
    """Show an agent's budget.

    What remains, what calls in flight hold, and which run they belong to; what lets waiting calls go on.
    Inside spendguard exec, without an agent: that of the program.
    """
    if agent is None and agent_option is None and session.connection.in_exec:
        agent = session.env.get("SPENDGUARD_AGENT_ID")
    agent_id = session.agent_id(named(agent, agent_option))
    _show(session, session.control.budget(agent_id))
    if not session.connection.in_exec:
        session.tell_ways_on([session.control.agent(agent_id)])


@verb(
    app,
    "topup",
    examples=(
        "spendguard budget topup --agent my-agent --amount 1000",
        "spendguard budget topup --agent my-agent --amount '$10'",
    ),
    exits=EXITS,
)
def topup(session: Session, *, agent: Agent = None, agent_option: AgentOption = None, amount: Amount) -> None:
    """Add to an agent's balance, up to its limit."""
    session.operator_only("budget topup")
    amount_cents = cents("--amount", amount)
    _show(session, session.control.top_up(session.agent_id(named(agent, agent_option)), amount_cents))


@verb(
    app,
    "adjust",
    examples=(
        "spendguard budget adjust --call 6f1c2f0e-3c0b-4f57-9a7e-0c9a4f1d2b3c --to 0.0123",
        "spendguard budget adjust --call 6f1c2f0e-3c0b-4f57-9a7e-0c9a4f1d2b3c --to 0 --reason 'not billed'",
    ),
    exits=(Exit.FAILED, *EXITS),
)
def adjust(
    session: Session,
    *,
    call: Annotated[
        str, typer.Option("--call", metavar="CALL", help="Id of an ended call, or how it begins.")
    ],
    to: Annotated[str, typer.Option("--to", metavar="USD", help="What it really cost, in dollars: 0.0123.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Kept in the ledger.")] = "",
) -> None:
    """Correct what an ended call was charged.

    For calls charged at worst, once the provider's bill is known. The same correction twice counts once.
    """
    from spendguard_cli.explain.looking import whole_id

    session.operator_only("budget adjust")
    cost_nusd = dollars("--to", to)
    shown = session.control.adjust(whole_id(session, call), format_usd(cost_nusd), reason)
    session.out.show(shown)
    if cost_nusd > parse_usd(shown.hold_usd):
        session.out.warn(f"${format_usd(cost_nusd)} is more than the ${shown.hold_usd} that this call held")


@verb(
    daemon,
    "set",
    examples=("spendguard budget daemon set --limit '$100'", "spendguard budget daemon set --off"),
)
def daemon_set(
    session: Session,
    *,
    limit: Annotated[str | None, typer.Option(metavar="AMOUNT", help="10000, '$100' or 100usd.")] = None,
    topup: Topup = None,
    off: Annotated[bool, switch("--off", help_text="Remove the cap.")] = False,
) -> None:
    """Cap the spending of all agents together, deleted ones included."""
    session.operator_only("budget daemon set")
    if off == (limit is not None) or (off and topup is not None):
        raise SpendGuardError(
            Code.USAGE, "Say either --limit or --off", remedy="spendguard budget daemon set --limit '$100'"
        )
    limit_cents = _optional("--limit", limit)
    shown = session.control.set_daemon_budget(limit_cents, _optional("--topup", topup))
    session.out.show(shown)
    _tell_ignored(session, shown, "spendguard budget daemon set")


@verb(
    daemon,
    "topup",
    examples=(
        "spendguard budget daemon topup --amount 5000",
        "spendguard budget daemon topup --amount 50usd",
    ),
)
def daemon_topup(session: Session, *, amount: Amount) -> None:
    """Add to the cap above all agents, up to its limit."""
    session.operator_only("budget daemon topup")
    amount_cents = cents("--amount", amount)
    try:
        shown = session.control.top_up_daemon(amount_cents)
    except SpendGuardError as error:
        if error.code is not Code.BUDGET_NOT_FOUND:
            raise
        raise SpendGuardError(
            error.code,
            f"{error.detail}: there is no cap above all agents",
            remedy="spendguard budget daemon set --limit <cents>",
        ) from None
    session.out.show(shown)
    _tell_ignored(session, shown, "spendguard budget daemon set")


@verb(daemon, "get", examples=("spendguard budget daemon get", "spendguard budget daemon get --json"))
def daemon_get(session: Session) -> None:
    """Show the cap above all agents."""
    session.out.show(session.control.daemon_budget())


def _show(session: Session, value: "wire.Budget") -> None:
    """Show an agent's money, to a person under its name; say what of a grant did not fit."""
    from spendguard_cli.shapes import BudgetDetail

    if session.out.is_terminal:
        name = session.control.agent(value.agent_id).name
        session.out.show(BudgetDetail(name=name, budget=value))
    else:
        session.out.show(value)
    _tell_ignored(session, value, f"spendguard budget set --agent {value.agent_id}")


def _tell_ignored(session: Session, value: "wire.Budget | wire.DaemonBudget", setting: str) -> None:
    """Say what of a grant did not fit under the limit, and the command that gives it: `setting`, completed.

    A higher limit alone gives nothing: what did not fit is added with it.
    """
    ignored_nusd, applied_nusd = (
        parse_usd(usd or "0") for usd in (value.topup_ignored_usd, value.topup_applied_usd)
    )
    if not ignored_nusd:
        return
    whole_usd = format_usd(applied_nusd + ignored_nusd)
    added = (
        f"only ${format_usd(applied_nusd)} of ${whole_usd} was added" if applied_nusd else "nothing was added"
    )
    session.out.warn(
        f"{added}: the balance may not be above the limit of {usd_of(value.hard_limit_cents or 0)}"
    )
    limit_cents = cents_ceil(parse_usd(value.remaining_usd or "0") + ignored_nusd)
    session.out.advise(f"{setting} --limit {limit_cents} --topup {cents_ceil(ignored_nusd)}")


def _optional(option: str, text: str | None) -> int | None:
    return None if text is None else cents(option, text)


def _tell_taken(session: Session, before: "wire.Agent", now: "wire.Budget") -> None:
    """Say what a limit below the balance took from it, and how it is given back."""
    had_cents = before.remaining_cents or 0
    taken_cents = had_cents - now.remaining_cents
    if taken_cents <= 0 or before.hard_limit_cents is None or now.hard_limit_cents >= before.hard_limit_cents:
        return
    limit = usd_of(now.hard_limit_cents)
    session.out.warn(
        f"{usd_of(taken_cents)} was taken from the balance: it may not be above the limit of {limit}"
    )
    if now.hard_limit_cents < CENTS_LIKE_A_SLIP and taken_cents * 2 > had_cents:
        session.out.warn(f"the limit is {limit}: a shell makes 0 of an unquoted $50, so write '$50' or 50usd")
    back = f"--limit {before.hard_limit_cents} --topup {taken_cents}"
    session.out.advise(f"spendguard budget set --agent {now.agent_id} {back}")
