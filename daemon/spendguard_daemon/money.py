"""Money: integer nano-USD, never a float; summed exactly, rounded up once.

Units (design 3): 1 USD = 10^9 nUSD = 10^12 pUSD; 1 cent = 10^7 nUSD. Token rates are integer micro-USD per
1M tokens, which is the same number in pUSD per token. Fees are integer micro-USD per 1,000, which is the
same number in nUSD each. No amount exceeds 2^53 - 1 nUSD, so any JSON reader can hold it exactly.
"""

import re
from dataclasses import dataclass
from typing import NewType

from spendguard_daemon.errors import Code, MalformedError, SpendGuardError

Nusd = NewType("Nusd", int)
"""An amount in nano-USD. May be negative only where an account is overdrawn."""

NUSD_PER_CENT = 10_000_000
NUSD_PER_USD = 1_000_000_000
PUSD_PER_NUSD = 1_000
NUSD_MAX = 2**53 - 1
CENTS_MAX = NUSD_MAX // NUSD_PER_CENT

_DOLLARS = re.compile(r"(?P<whole>[0-9]{1,9})(?:\.(?P<part>[0-9]{1,9}))?")

_GROUPED = re.compile(r"\$?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?( *usd)?")


@dataclass(frozen=True, slots=True)
class LinearCost:
    """The cost of a call as a function of its output cap: ceil((fixed + per_token * tokens) / divisor) nUSD.

    `fixed` and `per_token` share one exact unit, `divisor` of which make a nUSD (1,000 for pUSD; 10^7 with
    one modifier in basis points). The ceiling is taken once, here.
    """

    fixed: int
    per_token: int
    divisor: int

    def at(self, output_tokens: int) -> Nusd:
        """Return the cost with an output cap of `output_tokens`, all choices counted."""
        return Nusd(ceil_div(self.fixed + self.per_token * output_tokens, self.divisor))

    def most_tokens(self, budget_nusd: int) -> int:
        """Return the largest output cap whose cost is within `budget_nusd`; -1 where even 0 does not fit."""
        spare = budget_nusd * self.divisor - self.fixed
        if spare < 0:
            return -1
        return spare // self.per_token if self.per_token else NUSD_MAX


def ceil_div(numerator: int, denominator: int) -> int:
    """Divide two integers, rounding towards plus infinity."""
    return -(-numerator // denominator)


def checked(amount: int) -> Nusd:
    """Return `amount` as nUSD; raise MALFORMED_REQUEST beyond 2^53 - 1 in either direction."""
    if not -NUSD_MAX <= amount <= NUSD_MAX:
        raise MalformedError("amount", f"an amount of at most ${format_usd(Nusd(NUSD_MAX))}")
    return Nusd(amount)


def from_cents(cents: int) -> Nusd:
    """Turn whole cents into nUSD; raise MALFORMED_REQUEST where that exceeds the largest amount."""
    return checked(cents * NUSD_PER_CENT)


def cents_floor(amount: int) -> int:
    """Return whole cents, rounded down: what is certainly there (`remaining_cents`)."""
    return amount // NUSD_PER_CENT


def cents_ceil(amount: int) -> int:
    """Return whole cents, rounded up: what may be gone (`locked_cents`)."""
    return ceil_div(amount, NUSD_PER_CENT)


def format_usd(amount: int) -> str:
    """Write an amount as an exact decimal string of USD: 49.9999145, -0.5, 0.00; at least two decimals."""
    sign, whole = ("-", -amount) if amount < 0 else ("", amount)
    dollars, nano = divmod(whole, NUSD_PER_USD)
    decimals = f"{nano:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}{dollars}.{decimals}"


def exact_usd(amount: int, per_nusd: int) -> str:
    """Write an amount of which `per_nusd`, a power of ten, make a nUSD as an exact decimal string of USD.

    For the parts of a sum that is rounded only as a whole: 0.00000015, 0.000000000975.
    """
    per_usd = per_nusd * NUSD_PER_USD
    dollars, rest = divmod(amount, per_usd)
    decimals = f"{rest:0{len(str(per_usd)) - 1}d}".rstrip("0").ljust(2, "0")
    return f"{dollars}.{decimals}"


def parse_usd(text: str) -> Nusd:
    """Read an exact decimal of USD such as `0.000123456`; raise USAGE on anything else."""
    match = _DOLLARS.fullmatch(text)
    if not match:
        raise SpendGuardError(Code.USAGE, f"{text!r} is not an amount in USD", remedy="write it like 0.25")
    part = (match["part"] or "").ljust(9, "0")
    return checked(int(match["whole"]) * NUSD_PER_USD + int(part))


def parse_amount(text: str) -> Nusd:
    """Read what a person types for money: whole cents (`5000`), or dollars marked as such (`$50`, `50usd`).

    A bare decimal point is a USAGE error that shows both readings: nobody should guess a factor of 100.
    """
    plain = text.strip().lower().replace("_", "")
    if re.fullmatch(r"[0-9]{1,15}", plain):
        return from_cents(int(plain))
    if _GROUPED.fullmatch(plain):
        raise SpendGuardError(
            Code.USAGE,
            f"{text!r} is written with commas",
            remedy=f"write it without commas: '{plain.replace(',', '')}'",
        )
    if plain.startswith("$"):
        return parse_usd(plain[1:])
    if plain.endswith("usd"):
        return parse_usd(plain[:-3].rstrip())
    if _DOLLARS.fullmatch(plain):
        whole = plain.split(".", 1)[0]
        raise SpendGuardError(
            Code.USAGE,
            f"{text!r} could mean dollars or cents",
            remedy=f"for dollars write '${plain}' or {plain}usd; for cents a whole number such as {whole}",
        )
    raise SpendGuardError(
        Code.USAGE, f"{text!r} is not an amount", remedy="write whole cents (5000) or dollars ('$50', 50usd)"
    )
