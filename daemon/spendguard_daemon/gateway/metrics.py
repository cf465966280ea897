"""`GET /metrics`: the ledger's numbers in the text format of Prometheus (0.0.4). Pure.

Amounts are written as exact decimals from nano-USD, never by way of a float; what a scraper makes of them is
its own affair. What may fall, as a charge that is corrected, is a gauge; counters only grow, and begin anew
with the daemon.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from spendguard_daemon.gateway.tally import Tally
from spendguard_daemon.ledger.state import Account, DaemonAccount, State
from spendguard_daemon.ledger.times import NS_PER_SECOND
from spendguard_daemon.money import format_usd
from spendguard_daemon.price_keeper import PriceReport
from spendguard_daemon.text import safe

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

AGENTS_MAX = 1_000
"""Of more agents than these only the newest are shown one by one; the sums are always those of all."""

STATES = ("settled", "settled_worst", "voided", "overrun", "refused")

FAMILIES: Mapping[str, tuple[str, str]] = {
    "spendguard_up_info": ("gauge", "Always 1; the version of the sidecar is its label."),
    "spendguard_agents": ("gauge", "Agents that were not deleted."),
    "spendguard_agent_limit_usd": ("gauge", "The limit of the agent's balance, in USD."),
    "spendguard_agent_funded_usd": ("gauge", "What was ever granted to the agent, in USD."),
    "spendguard_agent_settled_usd": ("gauge", "What the agent was ever charged, as corrected, in USD."),
    "spendguard_agent_held_usd": ("gauge", "What the agent's calls in flight hold, in USD."),
    "spendguard_agent_remaining_usd": ("gauge", "Granted and not charged, in USD; may be negative."),
    "spendguard_agent_calls_in_flight": ("gauge", "The agent's calls that have a hold and no end yet."),
    "spendguard_agent_calls_waiting": ("gauge", "The agent's calls that wait for money or a lock."),
    "spendguard_agent_frozen": ("gauge", "1 while the agent is frozen, else 0."),
    "spendguard_daemon_limit_usd": ("gauge", "The cap above all agents, in USD; absent while it is off."),
    "spendguard_daemon_remaining_usd": ("gauge", "What remains of that cap, in USD; absent while it is off."),
    "spendguard_daemon_held_usd": ("gauge", "What all calls in flight hold, in USD."),
    "spendguard_daemon_settled_usd": ("gauge", "What all agents were ever charged, deleted ones too."),
    "spendguard_calls_in_flight": ("gauge", "Calls that have a hold and no end yet."),
    "spendguard_calls_waiting": ("gauge", "Calls that wait for money or a lock."),
    "spendguard_unconfirmed_calls": ("gauge", "Calls charged at a bound, until a person corrects them."),
    "spendguard_unconfirmed_usd": ("gauge", "What those calls were charged, in USD."),
    "spendguard_calls_total": ("counter", "Calls that ended since the daemon began, by agent and state."),
    "spendguard_charged_usd_total": ("counter", "What ended calls were charged, since the daemon began."),
    "spendguard_refusals_total": ("counter", "Errors that SpendGuard itself answered, since it began."),
    "spendguard_prices_in_force": ("gauge", "1 while calls can be priced, else 0."),
    "spendguard_price_document_age_seconds": ("gauge", "Since the price document was issued."),
    "spendguard_price_document_expires_in_seconds": ("gauge", "Until the price document expires."),
    "spendguard_price_document_self_signed": ("gauge", "1 where this machine signed its prices, else 0."),
    "spendguard_price_document_verified": ("gauge", "0 where nobody looked at the signature, else 1."),
    "spendguard_ledger_durable_seq": ("gauge", "The last record that is on disk; absent before the first."),
}  # fmt: skip
"""Every metric: its type, and what it says."""

BYTES_OF_AGENT = 1_500
"""What the lines of one agent take, about."""

Sample = tuple[str, str, str]
"""The name of a metric, its labels as they are written, and its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is told of, as it was at one moment; `accounts` are those that are shown one by one.

    `waiting` counts the waiting calls of each agent; `prices` is None while no document is in force.
    """

    version: str
    agents: int
    accounts: Sequence[Account]
    daemon: DaemonAccount
    calls_in_flight: int
    unconfirmed_calls: int
    unconfirmed_nusd: int
    waiting: Mapping[str, int]
    tally: Tally
    prices: PriceReport | None


def facts(
    version: str, state: State, waiting: Mapping[str, int], tally: Tally, prices: PriceReport | None
) -> Facts:
    """Copy what is told of, which is quick; writing it down is not, and the ledger goes on meanwhile."""
    live = [account for account in state.accounts.values() if not account.deleted]
    return Facts(
        version=version,
        agents=len(live),
        accounts=[replace(account) for account in live[-AGENTS_MAX:]],
        daemon=replace(state.daemon),
        calls_in_flight=len(state.open_calls),
        unconfirmed_calls=state.unconfirmed_calls,
        unconfirmed_nusd=state.unconfirmed_nusd,
        waiting=waiting,
        tally=tally.copy(),
        prices=prices,
    )


def text(facts: Facts) -> str:
    """Write all metrics, each family under its help and type."""
    lines: dict[str, list[str]] = {name: [] for name in FAMILIES}
    for name, labels, value in _samples(facts):
        lines[name].append(f"{name}{labels} {value}\n")
    return "".join(
        f"# HELP {name} {about}\n# TYPE {name} {kind}\n{''.join(lines[name])}"
        for name, (kind, about) in FAMILIES.items()
        if lines[name]
    )


def _samples(facts: Facts) -> Iterator[Sample]:
    yield "spendguard_up_info", _labels(version=facts.version), "1"
    yield "spendguard_agents", "", str(facts.agents)
    for account in facts.accounts:
        yield from _of_agent(account, facts)
    yield from _of_all(facts)
    yield from _of_prices(facts.prices)
    if facts.tally.durable_seq:
        yield "spendguard_ledger_durable_seq", "", str(facts.tally.durable_seq)


def _of_agent(account: Account, facts: Facts) -> Iterator[Sample]:
    agent_id, tally = account.agent_id, facts.tally
    labels = _labels(agent_id=agent_id, name=safe(account.name or ""))
    if account.limit_nusd is not None:
        for what, nusd in (
            ("limit", account.limit_nusd),
            ("funded", account.funded_nusd),
            ("settled", account.settled_nusd),
            ("held", account.held_nusd),
            ("remaining", account.remaining_nusd),
        ):
            yield f"spendguard_agent_{what}_usd", labels, format_usd(nusd)
    yield "spendguard_agent_calls_in_flight", labels, str(account.calls_open)
    yield "spendguard_agent_calls_waiting", labels, str(facts.waiting.get(agent_id, 0))
    yield "spendguard_agent_frozen", labels, str(int(account.frozen_reason is not None))
    yield "spendguard_charged_usd_total", _labels(agent_id=agent_id), format_usd(tally.charged_nusd[agent_id])
    for state in STATES:
        ended = str(tally.calls[agent_id, state])
        yield "spendguard_calls_total", _labels(agent_id=agent_id, state=state), ended


def _of_all(facts: Facts) -> Iterator[Sample]:
    daemon = facts.daemon
    sums: Iterable[tuple[str, int | None]] = (
        ("daemon_limit", daemon.limit_nusd),
        ("daemon_remaining", daemon.remaining_nusd),
        ("daemon_held", daemon.held_nusd),
        ("daemon_settled", daemon.settled_nusd),
        ("unconfirmed", facts.unconfirmed_nusd),
    )
    for what, nusd in sums:
        if nusd is not None:
            yield f"spendguard_{what}_usd", "", format_usd(nusd)
    yield "spendguard_calls_in_flight", "", str(facts.calls_in_flight)
    yield "spendguard_calls_waiting", "", str(sum(facts.waiting.values()))
    yield "spendguard_unconfirmed_calls", "", str(facts.unconfirmed_calls)
    for code, count in sorted(facts.tally.refusals.items()):
        yield "spendguard_refusals_total", _labels(code=code.value), str(count)


def _of_prices(report: PriceReport | None) -> Iterator[Sample]:
    yield "spendguard_prices_in_force", "", str(int(report is not None))
    if report is None:
        return
    book, now_ns = report.book, report.now_ns
    for what, value in (
        ("age_seconds", max(0, now_ns - book.issued_ns) // NS_PER_SECOND),
        ("expires_in_seconds", (book.expires_ns - now_ns) // NS_PER_SECOND),
        ("self_signed", int(book.self_signed)),
        ("verified", int(book.verified)),
    ):
        yield f"spendguard_price_document_{what}", "", str(value)


def _labels(**named: str) -> str:
    """Write labels; of a value, backslash, quote and line end are escaped, as the format wants it."""
    written = (f'{name}="{_escaped(value)}"' for name, value in named.items())
    return "{" + ",".join(written) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
