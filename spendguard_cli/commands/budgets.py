"""`budget set|get|topup|adjust` and `budget daemon`: the money. Amounts are whole cents or marked dollars."""

from typing import Annotated

import typer

from spendguard_cli.session import Session
from spendguard_cli.verbs import TALKS, group, switch, verb
from spendguard_daemon.codes import Exit
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.money import NUSD_PER_CENT, Nusd, format_usd, parse_amount, parse_usd

app = group("Budgets: how much each agent may spend.")
daemon = group("The cap above all agents together; off by default.")
app.add_typer(daemon, name="daemon")

EXITS = (*TALKS, Exit.NOT_FOUND)

Agent = Annotated[str, typer.Option("--agent", metavar="AGENT", help="Id or unique name.")]
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
def set_(session: Session, *, agent: Agent, limit: Limit, topup: Topup = None) -> None:
    """Set the limit of an agent's balance, and add to the balance."""
    session.operator_only("budget set")
    limit_cents, topup_cents = cents("--limit", limit), _optional("--topup", topup)
    session.out.show(session.control.grant(session.agent_id(agent), limit_cents, topup_cents))


@verb(
    app,
    "get",
    examples=("spendguard budget get --agent my-agent", "spendguard budget get --agent my-agent --json"),
    exits=EXITS,
)
def get(session: Session, *, agent: Agent) -> None:
    """Show an agent's budget.

    What remains, what calls in flight hold, and which run they belong to.
    """
    session.out.show(session.control.budget(session.agent_id(agent)))


@verb(
    app,
    "topup",
    examples=(
        "spendguard budget topup --agent my-agent --amount 1000",
        "spendguard budget topup --agent my-agent --amount '$10'",
    ),
    exits=EXITS,
)
def topup(session: Session, *, agent: Agent, amount: Amount) -> None:
    """Add to an agent's balance, up to its limit."""
    session.operator_only("budget topup")
    amount_cents = cents("--amount", amount)
    session.out.show(session.control.top_up(session.agent_id(agent), amount_cents))


@verb(
    app,
    "adjust",
    examples=(
        "spendguard budget adjust --call 7f3e… --to 0.0123 --reason 'bill of 3 May'",
        "spendguard budget adjust --call 7f3e… --to 0 --reason 'not on the bill'",
    ),
    exits=(Exit.FAILED, *EXITS),
)
def adjust(
    session: Session,
    *,
    call: Annotated[str, typer.Option("--call", metavar="CALL", help="Id of an ended call.")],
    to: Annotated[str, typer.Option("--to", metavar="USD", help="What it really cost, in dollars: 0.0123.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Kept in the ledger.")] = "",
) -> None:
    """Correct what an ended call was charged.

    For calls charged at worst, once the provider's bill is known. The same correction twice counts once.
    """
    session.operator_only("budget adjust")
    cost = dollars(to)
    session.out.show(session.control.adjust(call, format_usd(cost), reason))


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
    session.out.show(session.control.set_daemon_budget(limit_cents, _optional("--topup", topup)))


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
    session.out.show(session.control.top_up_daemon(cents("--amount", amount)))


@verb(daemon, "get", examples=("spendguard budget daemon get", "spendguard budget daemon get --json"))
def daemon_get(session: Session) -> None:
    """Show the cap above all agents."""
    session.out.show(session.control.daemon_budget())


def cents(option: str, text: str) -> int:
    """Read an amount typed for `option` as whole cents; raise USAGE naming the option."""
    try:
        amount: Nusd = parse_amount(text)
    except SpendGuardError as error:
        if error.code is Code.USAGE:
            raise SpendGuardError(Code.USAGE, f"{option}: {error.detail}", remedy=error.remedy) from None
        raise SpendGuardError(
            Code.USAGE, f"{option}: {text!r} is too much", remedy="no amount is above 2^53 - 1 nano-dollars"
        ) from None
    whole, rest = divmod(amount, NUSD_PER_CENT)
    if rest:
        raise SpendGuardError(
            Code.USAGE,
            f"{option}: {text!r} is not a whole number of cents",
            remedy="budgets are in whole cents",
        )
    return whole


def _optional(option: str, text: str | None) -> int | None:
    return None if text is None else cents(option, text)


def dollars(text: str) -> Nusd:
    """Read an amount that is dollars by the option's own definition; the marks are welcome, not needed."""
    plain = text.strip().lower().removeprefix("$").removesuffix("usd").rstrip()
    try:
        return parse_usd(plain)
    except SpendGuardError as error:
        raise SpendGuardError(
            Code.USAGE, f"--to: {text!r} is not an amount in USD", remedy="write it like 0.0123"
        ) from error
