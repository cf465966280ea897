"""Charged calls computed again from their usage and the document they were held by, to the nano-dollar.

Pure but for the archive it is given. A record keeps counts and lines, but not which of its service tiers a
provider said it served, nor the modifiers it reported: so a charge is confirmed where one reading of the
usage gives both the same lines and the same sum. Invariant: nothing is called equal that no rate of the
verified document gives.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from spendguard_cli.ledger.charged import Charged
from spendguard_cli.pricing.archive import Archive
from spendguard_cli.pricing.results import CallChecked, Recomputed
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.money import ceil_div, format_usd
from spendguard_daemon.pricing import catalogue
from spendguard_daemon.pricing.dimensions import DIMENSIONS, INPUT_DIMENSIONS
from spendguard_daemon.pricing.document import MOCK_PROVIDER
from spendguard_daemon.pricing.modifiers import PLAIN
from spendguard_daemon.pricing.ratecard import Cost, RateCard
from spendguard_daemon.usage import Usage

EQUAL, DIFFERENT, CANNOT = "equal", "different", "cannot"
PROVIDER_BILL = "provider_bill"
PUSD_PER_NUSD = 1_000

SLACK_NS = 60 * 10**9
"""A call is priced a moment before its hold is written, and waits for its turn; its end likewise."""

CALL_NS_MAX = 3_600 * 10**9
"""The absolute deadline of a call by default: until then a call is priced whose clock was set back."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one call: the nearest sum the document gives, None where it gives none, and why."""

    result: str
    computed_nusd: int | None = None
    why: str = ""


def check(call: Charged, archive: Archive) -> CallChecked:
    """Compute one call again."""
    found = _find(call, archive)
    why = [found.why] if found.why else []
    if call.corrected_nusd is not None:
        why.append(f"adjusted since to {format_usd(call.corrected_nusd)} USD")
    computed = found.computed_nusd
    return CallChecked(
        call_id=call.call_id,
        agent_id=call.agent_id,
        model=f"{call.provider}:{call.model}",
        state=call.state,
        result=found.result,
        booked_nusd=call.cost_nusd,
        computed_nusd=computed,
        booked_usd=format_usd(call.cost_nusd),
        computed_usd=None if computed is None else format_usd(computed),
        document_sha256=call.document_sha256,
        why="; ".join(why),
    )


def summary(rows: Iterable[CallChecked], *, all_rows: bool) -> Recomputed:
    """Add up; `rows` of the result are all, or those that are not equal."""
    counts = {EQUAL: 0, DIFFERENT: 0, CANNOT: 0}
    booked, computed, cannot, kept = 0, 0, 0, []
    for row in rows:
        counts[row.result] += 1
        if row.computed_nusd is None or row.result == CANNOT:
            cannot += row.booked_nusd
        else:
            booked, computed = booked + row.booked_nusd, computed + row.computed_nusd
        if all_rows or row.result != EQUAL:
            kept.append(row)
    return Recomputed(
        ok=not counts[DIFFERENT],
        calls=sum(counts.values()),
        equal=counts[EQUAL],
        different=counts[DIFFERENT],
        cannot=counts[CANNOT],
        booked_nusd=booked,
        computed_nusd=computed,
        cannot_nusd=cannot,
        rows=kept,
    )


def _find(call: Charged, archive: Archive) -> Finding:
    if [line["name"] for line in call.lines] == [PROVIDER_BILL]:
        billed = ceil_div(int(call.lines[0]["quantity"]), PUSD_PER_NUSD)
        if billed != call.cost_nusd:
            return Finding(DIFFERENT, billed, "not what the provider's own bill in the record comes to")
        return Finding(CANNOT, None, "charged by the provider's own bill, which no document has")
    try:
        cards = _cards(call, archive)
    except FileNotFoundError:
        return Finding(CANNOT, None, f"pricing/{call.document_sha256}.json is not there")
    except SpendGuardError as error:
        # The bytes are those of the hold, but whose signature they bear nobody here knows any more.
        unknown_key = error.code is Code.PRICING_SIGNATURE
        return Finding(CANNOT if unknown_key else DIFFERENT, None, error.detail)
    return _at_worst(call, cards[0]) if call.state == "settled_worst" else _by_usage(call, cards)


def _cards(call: Charged, archive: Archive) -> list[RateCard]:
    """Return the card of the model asked for, and that of the one which answered where that is another."""
    names = [call.model, *([call.answered_by] if call.answered_by else [])]
    if call.provider == MOCK_PROVIDER:  # constants of the program, in no document
        return [card for name in names for card in catalogue.MOCK_CARDS if card.model == name]
    book = archive.book(call.document_sha256, call.held_ns)
    return [book.card(call.provider, name) for name in names]


def _by_usage(call: Charged, cards: list[RateCard]) -> Finding:
    """Look for the reading that was booked; what is told of a difference is the first with the same lines."""
    lines = [dict(line) for line in call.lines]
    first: Cost | None = None
    fitting: Cost | None = None
    for cost in _readings(call, cards):
        if [line.to_json() for line in cost.lines] == lines:
            if cost.total_nusd == call.cost_nusd:
                return Finding(EQUAL, cost.total_nusd)
            fitting = fitting or cost
        first = first or cost
    if fitting:
        return Finding(DIFFERENT, fitting.total_nusd, "no reading of the usage gives this sum")
    if first:
        return Finding(DIFFERENT, first.total_nusd, "no reading of the usage gives these lines")
    return Finding(DIFFERENT, None, "the document has no price for this usage")


def _readings(call: Charged, cards: list[RateCard]) -> Iterator[Cost]:
    """Yield what the call costs by each service tier, kind of unsorted input, modifiers and time it may have.

    Of two models the dearer is charged, as when it ended.
    """
    events = {
        str(line["name"]).removeprefix("fee:"): int(line["quantity"])
        for line in call.lines
        if line["unit"] == "event" and line["name"] != "fee:request"
    }
    asked = tuple(name.removeprefix("bp:") for name in call.rates if name.startswith("bp:"))
    counts: Any = call.usage
    unsorted: list[tuple[str, ...]] = [(), *((name,) for name in sorted(INPUT_DIMENSIONS))]
    for tier, rates, modifiers, (from_ns, until_ns) in product(
        _tiers(cards[0]),
        unsorted if call.usage.get("unsorted_input_tokens") else [()],
        _modifiers(cards[0], asked),
        _spans(call, cards),
    ):
        try:
            usage = Usage(**counts, unsorted_rates=rates, events=events, service_tier=tier)
            costs = [
                card.price(usage, from_ns=from_ns, until_ns=until_ns, modifiers=modifiers) for card in cards
            ]
        except (SpendGuardError, TypeError):  # no rate by this reading; TypeError: a count of a later version
            continue
        yield max(costs, key=lambda cost: cost.total_nusd)


def _tiers(card: RateCard) -> list[str]:
    return list(dict.fromkeys(name for period in card.periods for name in period.tiers[0].rates))


def _modifiers(card: RateCard, asked: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return those asked for, then every other choice of one a kind that a provider may have reported."""
    kinds: dict[str, list[tuple[str, ...]]] = {}
    for name in sorted({*card.modifiers_bp, *asked} - PLAIN):
        kinds.setdefault(name.partition(":")[0], [()]).append((name,))
    choices = [tuple(name for part in choice for name in part) for choice in product(*kinds.values())]
    return [asked, *(choice for choice in choices if choice != asked)]


def _spans(call: Charged, cards: list[RateCard]) -> list[tuple[int, int]]:
    """Return when the call may have run; where prices never change, the records' own times will do."""
    exact = (call.held_ns, call.ended_ns)
    if all(len(card.periods) == 1 for card in cards):
        return [exact]
    begins = (call.held_ns, call.held_ns - SLACK_NS)
    ends = (call.ended_ns, call.ended_ns - SLACK_NS, call.held_ns + CALL_NS_MAX)
    return [exact, *(span for span in product(begins, ends) if span != exact)]


def _at_worst(call: Charged, card: RateCard) -> Finding:
    """Check a call charged at its hold against the least that its record says the hold must be."""
    if call.cost_nusd != call.hold_nusd:
        return Finding(DIFFERENT, call.hold_nusd, "charged at worst, but not what was held")
    tiers = {name.partition(":")[0] for name in call.rates if _is_tiered(name)}
    try:
        least = card.quote(
            input_tokens=call.input_tokens_bound,
            choices=call.choices,
            reach=frozenset(),
            from_ns=call.held_ns,
            until_ns=call.held_ns + CALL_NS_MAX if any("+" in name for name in call.rates) else call.held_ns,
            events={name.removeprefix("fee:"): 1 for name in call.rates if name.startswith("fee:")},
            service_tier=next(iter(tiers), "default"),
            modifiers=tuple(name.removeprefix("bp:") for name in call.rates if name.startswith("bp:")),
        ).at(call.output_tokens_held)
    except SpendGuardError as error:
        return Finding(DIFFERENT, None, error.detail)
    if least == call.hold_nusd:
        return Finding(EQUAL, least, "charged at worst: the hold")
    if least > call.hold_nusd:
        return Finding(DIFFERENT, least, "the hold is below the least that its bounds cost")
    told = (
        f"charged at worst: the record has not all that the hold is made of, at least {format_usd(least)} USD"
    )
    return Finding(CANNOT, None, told)


def _is_tiered(name: str) -> bool:
    """Tell a rate of another service tier, `flex:input@272001`, from a fee or a modifier."""
    apart, mark, rest = name.partition(":")
    dimension = rest.partition("@")[0].partition("+")[0]
    return bool(mark) and apart not in ("fee", "bp") and dimension in DIMENSIONS


def wanted(calls: Iterable[Charged], call_id: str | None) -> Iterator[Charged]:
    """Yield the one call that is asked for, or all."""
    return (call for call in calls if call_id in (None, call.call_id))
