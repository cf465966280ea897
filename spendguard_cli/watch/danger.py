"""How bad it is for one agent, as a level, a mark that needs no colour, and a few words. Pure."""

from typing import Literal

from spendguard_cli.views.ink import nusd
from spendguard_cli.watch.board import Row
from spendguard_cli.watch.figures import short_age

Danger = Literal["calm", "care", "bad", "stopped"]
"""Nothing to do; soon empty, or just refused; nothing that a new call could hold; no call gets through.

The last two until a person acts."""

CARE_PERCENT = 10
CARE_SECONDS = 5 * 60
REFUSED_SECONDS = 60
"""For so long a refusal is told, where nothing worse is to be said."""

LEVELS: tuple[Danger, ...] = ("calm", "care", "bad", "stopped")
"""The worse the later."""

MARKS: dict[Danger, str] = {"calm": " ", "care": "!", "bad": "x", "stopped": "■"}
"""One cell each."""

STYLES: dict[Danger, str] = {"calm": "", "care": "yellow", "bad": "red", "stopped": "magenta"}


def danger(row: Row, now_seconds: float) -> Danger:
    """Return how bad it is, as of the source's time `now_seconds`."""
    return _judge(row, now_seconds)[0]


def mark(row: Row, now_seconds: float) -> str:
    """Return the one character that says so without colour."""
    return MARKS[danger(row, now_seconds)]


def reason(row: Row, now_seconds: float) -> str:
    """Return why, in at most three words that hold nothing from outside; empty where all is calm."""
    return _judge(row, now_seconds)[1]


def _judge(row: Row, now_seconds: float) -> tuple[Danger, str]:
    money = row.money
    if money.frozen_reason is not None:  # `row.agent` may be older: calls freeze their agent too
        return "stopped", "frozen"
    if money.remaining_usd is None or money.available_usd is None or money.hard_limit_usd is None:
        return "stopped", "no budget"
    remaining_nusd = nusd(money.remaining_usd)
    if remaining_nusd < 0:
        return "bad", "overdrawn"
    if nusd(money.available_usd) <= 0:
        return "bad", "all held" if remaining_nusd else "empty"
    seconds = row.spend.seconds_to_empty(remaining_nusd, now_seconds)
    if seconds is not None and seconds < CARE_SECONDS:
        return "care", f"empty in {short_age(seconds)}"
    if remaining_nusd * 100 < nusd(money.hard_limit_usd) * CARE_PERCENT:
        return "care", f"below {CARE_PERCENT} %"
    since_seconds = int(now_seconds - row.refused_seconds)
    if 0 <= since_seconds < REFUSED_SECONDS:
        return "care", f"refused {short_age(since_seconds)} ago"
    return "calm", ""
