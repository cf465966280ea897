"""Whether a call gets its hold: the one place where "never past the cap" is decided.

Pure; changes nothing. Checks from cheap to dear: the agent, the keys, the state of both, the lock, then the
money. The cap of an answer is clamped here and nowhere else. Invariant: a hold is returned only if its amount
is within what is available to the agent, to each key of the call that has a limit and, where there is a cap
above all agents, to all of them together.
"""

from dataclasses import dataclass

from spendguard_daemon.codes import NOTHING_FITS, TABLE
from spendguard_daemon.errors import Code, Fact, SpendGuardError
from spendguard_daemon.ledger.agent_keys import check_lineage
from spendguard_daemon.ledger.commands import HoldCall, Now, Offer
from spendguard_daemon.ledger.events import Hold
from spendguard_daemon.ledger.keys import check_call
from spendguard_daemon.ledger.state import Account, AgentKey, DaemonAccount, State
from spendguard_daemon.ledger.times import NS_PER_SECOND, format_time_ms
from spendguard_daemon.ledger.turns import Block
from spendguard_daemon.money import format_usd

HELD_RETRY_MS = 500
LOCKED_RETRY_MS = 1_000


@dataclass(frozen=True, slots=True)
class _Budget:
    """One of the budgets that a call must fit; `short` is what a call is refused with that does not."""

    name: str
    short: Code
    account: Account | AgentKey | DaemonAccount

    @property
    def remaining_nusd(self) -> int:
        return self.account.remaining_nusd or 0

    @property
    def available_nusd(self) -> int:
        return self.account.available_nusd or 0


def admit(state: State, command: HoldCall, now: Now) -> Hold:
    """Return the hold for a call.

    Raises AGENT_NOT_FOUND, KEY_UNKNOWN, KEY_EXPIRED, what `keys.check_call` raises, AGENT_FROZEN,
    BUDGET_NOT_SET, BUDGET_LOCKED, or one of INSUFFICIENT_BUDGET, KEY_LIMIT, DAEMON_CAP and BUDGET_HELD, which
    carry the whole sum; LEDGER_REFUSED where the command makes no sense.
    """
    account = _admissible(state, command, now)
    chosen = _choose(account, command, free_nusd(state, command))
    if chosen is None:
        raise refusal(state, command)
    offer, output_tokens = chosen
    amount_nusd = offer.cost.at(output_tokens)
    return Hold(
        call_id=command.call_id,
        agent_id=command.agent_id,
        run_id=command.run_id,
        provider=command.provider,
        endpoint=command.endpoint,
        model=command.model,
        amount_nusd=amount_nusd,
        rung=offer.rung,
        input_tokens=offer.input_tokens,
        choices=command.choices,
        asked_output_tokens=command.asked_output_tokens,
        output_tokens=output_tokens,
        document_sha256=command.document_sha256,
        rates=dict(command.rates),
        funded_nusd=account.funded_nusd,
        settled_nusd=account.settled_nusd,
        held_nusd=account.held_nusd + amount_nusd,
        idempotency=command.idempotency,
        keys=list(command.keys),
    )


def fits(state: State, command: HoldCall, now: Now, *, whole: bool) -> bool:
    """Tell whether a call would get its hold now; `whole`: with all the output that it wants.

    Raises what has nothing to do with the sum, as `admit` does.
    """
    account = _admissible(state, command, now)
    chosen = _choose(account, command, free_nusd(state, command))
    return chosen is not None and (not whole or chosen[1] == command.output_tokens)


def refusal(state: State, command: HoldCall) -> SpendGuardError:
    """Return the refusal of a call whose worst case is not free, with the numbers that explain it.

    `needed_usd` is the least that must be free for the call to be admitted, `short_usd` what is lacking for
    all that it wants. BUDGET_HELD where it fits what remains; else INSUFFICIENT_BUDGET, or KEY_LIMIT where it
    would fit its agent, or DAEMON_CAP where only the daemon's cap is too small. The balances are those of the
    budget that refuses, named by the fact `budget`, and by `key_id` where it is a key's.
    """
    account, budgets = state.accounts[command.agent_id], _budgets(state, command)
    remaining_nusd = min(budget.remaining_nusd for budget in budgets)
    needed_tokens = _floor(account, command)
    needed_nusd = min(offer.cost.at(needed_tokens) for offer in command.offers)
    if needed_nusd <= remaining_nusd:
        code, refuses = Code.BUDGET_HELD, min(budgets, key=lambda budget: budget.available_nusd)
    else:
        refuses = next(budget for budget in budgets if budget.remaining_nusd < needed_nusd)
        code = refuses.short
    cheapest = min(command.offers, key=lambda offer: offer.cost.at(command.output_tokens))
    most_tokens = max(offer.cost.most_tokens(remaining_nusd) for offer in command.offers)
    worst_nusd = cheapest.cost.at(command.output_tokens)
    affordable_tokens = min(most_tokens, command.output_tokens)
    if affordable_tokens < command.least_output_tokens:
        affordable_tokens = 0
    facts = _balances(refuses) | {
        "worst_case_usd": format_usd(worst_nusd),
        "needed_usd": format_usd(needed_nusd),
        "short_usd": format_usd(max(0, worst_nusd - refuses.available_nusd)),
        "input_tokens_bound": cheapest.input_tokens,
        "rung": cheapest.rung,
        "asked_output_tokens": command.asked_output_tokens,
        "floor_output_tokens": needed_tokens,
        "affordable_max_tokens": affordable_tokens,
    }
    if code is Code.BUDGET_HELD:
        facts |= {"retry_after_ms": HELD_RETRY_MS, "worth_waiting": True}
    if code in (Code.INSUFFICIENT_BUDGET, Code.KEY_LIMIT) and not affordable_tokens:
        facts["remedy"] = NOTHING_FITS
    return SpendGuardError(code, _sentence(code, facts), remedy=TABLE[code].agent_remedy, facts=facts)


def _admissible(state: State, command: HoldCall, now: Now) -> Account:
    """Return the account of a call that only its money can still stop."""
    _check(state, command)
    account = _callable_account(state, command, now)
    if account.concurrency == "exclusive":
        block = state.turns.block(command.agent_id, command.run_id, now)
        if block is not None:
            raise _locked(block)
    return account


def _check(state: State, command: HoldCall) -> None:
    if command.call_id in state.open_calls or state.ended_call(command.call_id):
        raise SpendGuardError(Code.LEDGER_REFUSED, f"Call id {command.call_id} was used before")
    if not command.offers or command.output_tokens < 0 or command.choices < 1:
        raise SpendGuardError(
            Code.LEDGER_REFUSED, f"Call {command.call_id} offers nothing that could be held"
        )
    if any(offer.cost.fixed < 0 or offer.cost.per_token < 0 for offer in command.offers):
        raise SpendGuardError(Code.LEDGER_REFUSED, f"Call {command.call_id} offers a negative cost")


def _callable_account(state: State, command: HoldCall, now: Now) -> Account:
    account = state.accounts.get(command.agent_id)
    if account is None or account.deleted:
        raise _refused(Code.AGENT_NOT_FOUND)
    check_lineage(state, command, now)
    # Before the money: who sends a call again must hear what became of the first, also with an empty budget.
    check_call(state, command, now)
    if account.frozen_reason is not None:
        raise _refused(Code.AGENT_FROZEN, f": {account.frozen_reason}", {"reason": account.frozen_reason})
    if account.limit_nusd is None:
        raise _refused(Code.BUDGET_NOT_SET)
    return account


def free_nusd(state: State, call: HoldCall | Hold) -> int:
    """Return what one more call like this could hold now: the least of what its budgets have free."""
    return min(budget.available_nusd for budget in _budgets(state, call))


def _budgets(state: State, call: HoldCall | Hold) -> list[_Budget]:
    """Return the budgets that a call must fit: the agent's, the keys' (the least first), the daemon's."""
    budgets = [_Budget("agent", Code.INSUFFICIENT_BUDGET, state.accounts[call.agent_id])]
    # A key that is not there was forgotten while the call waited for money.
    keys = [state.agent_keys[key_id] for key_id in call.keys if key_id in state.agent_keys]
    limited = [_Budget("key", Code.KEY_LIMIT, key) for key in keys if key.limit_nusd is not None]
    budgets += sorted(limited, key=lambda budget: budget.remaining_nusd)
    if state.daemon.limit_nusd is not None:
        budgets.append(_Budget("daemon", Code.DAEMON_CAP, state.daemon))
    return budgets


def _floor(account: Account, command: HoldCall) -> int:
    """Return the smallest cap that may be held: the wanted one itself where clamping is off."""
    if account.overflow == "refuse":
        return command.output_tokens
    return min(command.floor_output_tokens, command.output_tokens)


def _choose(account: Account, command: HoldCall, free_nusd: int) -> tuple[Offer, int] | None:
    """Pick the offer and the output cap to hold, None where nothing fits.

    A cap that we injected, in an agent where others spend too, takes at most half of what is free, so that
    one call without a `max_tokens` does not starve its siblings; but never less than the floor.
    """
    clamps = account.overflow == "clamp"
    halved = clamps and command.injected and (account.concurrency == "shared" or account.calls_open > 0)
    within_nusd = free_nusd // 2 if halved else free_nusd
    for offer in command.offers:
        if offer.cost.at(command.output_tokens) <= within_nusd:
            return offer, command.output_tokens
    if not clamps:
        return None
    floor_tokens = _floor(account, command)
    offer = max(command.offers, key=lambda offer: offer.cost.most_tokens(within_nusd))
    most_tokens = offer.cost.most_tokens(within_nusd)
    if most_tokens >= floor_tokens:
        return offer, min(most_tokens, command.output_tokens)
    for offer in command.offers:
        if offer.cost.at(floor_tokens) <= free_nusd:
            return offer, floor_tokens
    return None


def _balances(budget: _Budget) -> dict[str, Fact]:
    facts: dict[str, Fact] = {"budget": budget.name}
    if isinstance(budget.account, AgentKey):
        facts["key_id"] = budget.account.key_id
    return facts | {
        "limit_usd": format_usd(budget.account.limit_nusd or 0),
        "remaining_usd": format_usd(budget.remaining_nusd),
        "available_usd": format_usd(budget.available_nusd),
        "held_usd": format_usd(budget.account.held_nusd),
    }


def _sentence(code: Code, facts: dict[str, Fact]) -> str:
    title = TABLE[code].title
    sums = f"this call can cost up to ${facts['worst_case_usd']}, ${facts['remaining_usd']} remains"
    if code is Code.BUDGET_HELD:
        return f"{title}: {sums}, but only ${facts['available_usd']} is free"
    affordable = facts["affordable_max_tokens"]
    if affordable:
        return f"{title}: {sums}; max_tokens {affordable} would fit"
    return f"{title}: {sums}; no max_tokens would fit"


def _locked(block: Block) -> SpendGuardError:
    lock, next_run_id = block.lock, block.next_run_id
    age_seconds = lock.age_ns // NS_PER_SECOND
    if next_run_id == lock.run_id:
        why = f": run {lock.run_id} waited {age_seconds} s and is next"
    elif next_run_id is not None:
        why = f": run {lock.run_id} has it for {age_seconds} s; run {next_run_id} is next"
    else:
        why = f": run {lock.run_id} has it for {age_seconds} s"
    if block.in_vain:
        why += f"; this run has waited {block.waited_ns // NS_PER_SECOND} s, long enough for now"
    facts: dict[str, Fact] = {
        "locked_run_id": lock.run_id,
        "locked_calls": lock.calls,
        "locked_age_seconds": age_seconds,
        "locked_expires_at": format_time_ms(lock.expires_ns),
        "next_run_id": next_run_id,
        "waited_seconds": block.waited_ns // NS_PER_SECOND,
        "worth_waiting": not block.in_vain,
    }
    if not block.in_vain:
        facts["retry_after_ms"] = LOCKED_RETRY_MS
    return _refused(Code.BUDGET_LOCKED, why, facts)


def _refused(code: Code, why: str = "", facts: dict[str, Fact] | None = None) -> SpendGuardError:
    entry = TABLE[code]
    return SpendGuardError(code, entry.title + why, remedy=entry.agent_remedy, facts=facts)
