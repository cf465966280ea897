"""Money as a person types it for an option: from text to exact amounts, and back in messages. Pure.

Every error is USAGE and begins with the option, so that it can be corrected without looking anything up.
"""

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.money import CENTS_MAX, NUSD_PER_CENT, Nusd, parse_amount, parse_usd


def amount(option: str, text: str) -> Nusd:
    """Read whole cents or marked dollars, to the nano-USD; raise USAGE naming the option."""
    try:
        return parse_amount(text)
    except SpendGuardError as error:
        if error.code is Code.USAGE:
            raise SpendGuardError(Code.USAGE, f"{option}: {error.detail}", remedy=error.remedy) from None
        raise SpendGuardError(
            Code.USAGE,
            f"{option}: {text!r} is too much",
            remedy=f"the largest amount is {usd_of(CENTS_MAX)}",
        ) from None


def cents(option: str, text: str) -> int:
    """Read an amount as whole cents; raise USAGE naming the option."""
    whole, rest = divmod(amount(option, text), NUSD_PER_CENT)
    if rest:
        raise SpendGuardError(
            Code.USAGE,
            f"{option}: {text!r} is not a whole number of cents",
            remedy="budgets are in whole cents",
        )
    return whole


def dollars(option: str, text: str) -> Nusd:
    """Read an amount that is dollars by the option's own definition; the marks are welcome, not needed."""
    plain = text.strip().lower().removeprefix("$").removesuffix("usd").rstrip()
    try:
        return parse_usd(plain)
    except SpendGuardError as error:
        raise SpendGuardError(
            Code.USAGE, f"{option}: {text!r} is not an amount in USD", remedy="write it like 0.0123"
        ) from error


def usd_of(amount_cents: int) -> str:
    """Write whole cents as dollars."""
    return f"${amount_cents // 100}.{amount_cents % 100:02d}"
