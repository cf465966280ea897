"""The ledger's state as the control API shows it: pure, from state to `wire` shapes.

Amounts are shown as they are, negative ones too; `remaining_cents` rounds down, `locked_cents` up.
"""

from collections import Counter
from dataclasses import dataclass

from spendguard_daemon import wire
from spendguard_daemon.addresses import without_query
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger.commands import Now
from spendguard_daemon.ledger.state import Account, AgentKey, State
from spendguard_daemon.ledger.times import NS_PER_SECOND
from spendguard_daemon.ledger.views import RunView
from spendguard_daemon.money import cents_ceil, cents_floor, format_usd
from spendguard_daemon.price_keeper import PriceReport
from spendguard_daemon.pricing import catalogue
from spendguard_daemon.provider_keys import ProviderKeys
from spendguard_daemon.settings import PROVIDERS, Settings
from spendguard_daemon.wire import iso


@dataclass(frozen=True, slots=True)
class Condition:
    """What of the daemon's status changes by itself; it takes no look at agents or calls, however many."""

    state: str
    pricing: wire.Pricing | None
    warnings: tuple[str, ...]


def budget(
    account: Account,
    state: State,
    now: Now,
    *,
    applied_nusd: int | None = None,
    ignored_nusd: int | None = None,
) -> wire.Budget:
    """Show an agent's money; raise BUDGET_NOT_FOUND where none was ever granted."""
    if account.limit_nusd is None:
        raise SpendGuardError(Code.BUDGET_NOT_FOUND, "Budget not found", facts={"agent_id": account.agent_id})
    lock = state.turns.lock(account.agent_id, now) if account.concurrency == "exclusive" else None
    return wire.Budget(
        agent_id=account.agent_id,
        hard_limit_cents=cents_floor(account.limit_nusd),
        remaining_cents=cents_floor(account.remaining_nusd),
        locked_cents=cents_ceil(account.held_nusd),
        locked_run_id=lock.run_id if lock else None,
        locked_expires_at=iso(lock.expires_ns) if lock else None,
        hard_limit_usd=format_usd(account.limit_nusd),
        remaining_usd=format_usd(account.remaining_nusd),
        available_usd=format_usd(account.available_nusd),
        held_usd=format_usd(account.held_nusd),
        settled_usd=format_usd(account.settled_nusd),
        funded_usd=format_usd(account.funded_nusd),
        topup_applied_cents=None if applied_nusd is None else cents_floor(applied_nusd),
        topup_ignored_cents=None if ignored_nusd is None else cents_floor(ignored_nusd),
        topup_applied_usd=None if applied_nusd is None else format_usd(applied_nusd),
        topup_ignored_usd=None if ignored_nusd is None else format_usd(ignored_nusd),
    )


def agent_key(key: AgentKey, now_ns: int) -> wire.AgentKey:
    """Show a key of an agent; its secret is not known here."""
    return wire.AgentKey(
        key_id=key.key_id,
        agent_id=key.agent_id,
        parent_id=key.parent_id,
        kind=key.kind,
        label=key.label,
        limit_usd=None if key.limit_nusd is None else format_usd(key.limit_nusd),
        remaining_usd=None if key.remaining_nusd is None else format_usd(key.remaining_nusd),
        settled_usd=format_usd(key.settled_nusd),
        held_usd=format_usd(key.held_nusd),
        expires_at=None if key.expires_ns is None else iso(key.expires_ns),
        models=key.models,
        run_id=key.run_id,
        created_at=iso(key.created_ns),
        revoked=key.revoked,
        expired=key.expired(now_ns),
    )


def unconfirmed_agents(state: State) -> list[wire.UnconfirmedAgent]:
    """Show which agents have unconfirmed calls, how many, and their sum; the dearest first."""
    calls, charged_nusd = Counter[str](), Counter[str]()
    for ended in state.unconfirmed.values():
        calls[ended.agent_id] += 1
        charged_nusd[ended.agent_id] += ended.cost_nusd
    return [
        wire.UnconfirmedAgent(
            agent_id=agent_id,
            agent_name=state.accounts[agent_id].name or "",
            calls=calls[agent_id],
            charged_usd=format_usd(nusd),
        )
        for agent_id, nusd in charged_nusd.most_common()
    ]


def run(view: RunView) -> wire.Run:
    """Show a run."""
    return wire.Run(
        run_id=view.run_id,
        calls=view.calls,
        cost_usd=format_usd(view.cost_nusd),
        created_at=iso(view.first_ns),
        last_seen_at=iso(view.last_ns),
    )


def pricing(report: PriceReport) -> wire.Pricing:
    """Show the price document in force, and how it is kept."""
    book, last, checked = report.book, report.last_error, catalogue.bundled().checked
    return wire.Pricing(
        document_sha256=book.document_sha256,
        schema=book.document.schema,
        sequence=book.sequence,
        key_id=book.key_id,
        self_signed=book.self_signed,
        verified=book.verified,
        issued_at=iso(book.issued_ns),
        expires_at=iso(book.expires_ns),
        age_seconds=max(0, report.now_ns - book.issued_ns) // NS_PER_SECOND,
        source=report.source,
        url=without_query(report.url) or None,
        key_ids=list(report.key_ids),
        last_error=None
        if last is None
        else wire.PricingError(code=last.code, detail=last.detail, at=iso(last.at_ns)),
        next_refresh_at=None if report.next_refresh_ns is None else iso(report.next_refresh_ns),
        catalogue_checked=checked,
        catalogue_is_old=catalogue.age_days(report.now_ns) > catalogue.STALE_DAYS,
        warnings=list(book.document.warnings),
        ten_fold=list(report.slips),
        models=[f"{card.provider}:{card.model}" for card in book.cards()],
    )


def pricing_warnings(pricing: wire.Pricing | None) -> list[str]:
    """Return what an operator should know of prices that are in force."""
    if pricing is None:
        return []
    found, last, slips = [], pricing.last_error, pricing.ten_fold
    if last is not None:
        found.append(f"prices were not renewed: {last.detail} ({last.code})")
    if slips:
        more = f", and {len(slips) - 1} more (spendguard pricing show --json)" if len(slips) > 1 else ""
        found.append(f"the new price document has a price that may be a slip: {slips[0]}{more}")
    return found


def providers(settings: Settings, keys: ProviderKeys) -> wire.Providers:
    """Show where each provider lives and whether there is a key, never the key."""
    return wire.Providers(
        [
            wire.Provider(
                name=name,
                base_url=settings.base_urls[name],
                key=keys.origin(name),
            )
            for name in PROVIDERS
        ]
    )
