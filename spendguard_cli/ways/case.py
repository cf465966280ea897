"""One refusal as its ways out see it, and what a way is. Pure."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from spendguard_daemon import wire
from spendguard_daemon.errors import Fact, SpendGuardError
from spendguard_daemon.money import parse_usd
from spendguard_daemon.text import safe

SOME_AGENT = "<agent>"
"""How an agent is written that nobody named."""

_PLACE = re.compile(r"<[a-z][a-z ]*>")
_AMOUNT_LENGTH_MAX = 40


@dataclass(frozen=True, slots=True)
class Way:
    """One way out: `commands` typed one after the other as they stand, and in words what they do.

    Without commands, `about` is a deed that only a person can do.
    """

    about: str
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """A refusal with its numbers, and the money of its agent and of the daemon now, as far as known."""

    code: str
    facts: Mapping[str, Fact]
    agent: wire.Agent | None
    ref: str
    daemon: wire.DaemonBudget | None

    def nusd(self, *names: str) -> int | None:
        """Return the first of these facts that is an amount (nUSD)."""
        found = (nusd(self.facts.get(name)) for name in names)
        return next((amount for amount in found if amount is not None), None)

    def text(self, name: str) -> str:
        """Return a fact that is text, safe to show; "" where there is none."""
        fact = self.facts.get(name)
        return safe(fact) if isinstance(fact, str) else ""

    def texts(self, name: str) -> list[str]:
        """Return a fact that is a list of texts, safe to show."""
        fact = self.facts.get(name)
        return [safe(one) for one in fact if isinstance(one, str)] if isinstance(fact, list) else []

    def word(self, name: str) -> str:
        """Return a fact that is text as a shell takes it for one word; "" where there is none."""
        text = self.text(name)
        return "" if not text or text.startswith("-") else shlex.quote(text)

    def number(self, name: str) -> int | None:
        """Return a fact that is a whole number."""
        fact = self.facts.get(name)
        return fact if isinstance(fact, int) and not isinstance(fact, bool) else None


def nusd(fact: Fact) -> int | None:
    """Read the exact decimal of an amount, which may be negative, in nano-USD; None for anything else."""
    if not isinstance(fact, str) or len(fact) > _AMOUNT_LENGTH_MAX:
        return None
    try:
        return -parse_usd(fact[1:]) if fact.startswith("-") else parse_usd(fact)
    except SpendGuardError:
        return None


def dollars(usd: str | None) -> str:
    """Write an exact amount, which may be negative, with its sign in front: -$0.50."""
    text = safe(usd or "0")
    return f"-${text[1:]}" if text.startswith("-") else f"${text}"


def way(about: str, *commands: str) -> Way:
    """Return a way out; where a command lacks a name that nobody knows here, it is a deed."""
    if any(_PLACE.search(command) for command in commands):
        return Way(f"{about}: {'; '.join(commands)}")
    return Way(about, commands)
