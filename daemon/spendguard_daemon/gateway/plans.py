"""Tokens of subscription plans, refused by name: a program that sends one believes that it is on a plan.

Forwarded they are never; but were they ignored, calls that the plan was to pay would be billed by the token.
Sources: Claude Code sends its OAuth token as `Authorization: Bearer sk-ant-oat01-...` on every request, with
whatever other headers it is given; Codex sends the JWT of a ChatGPT login with `chatgpt-account-id`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spendguard_daemon.codes import TABLE, Money
from spendguard_daemon.errors import Code, SpendGuardError

ACCOUNT_HEADER = "chatgpt-account-id"
CLAUDE_TOKENS = ("sk-ant-oat", "sk-ant-ort")

_JWT = re.compile(r"eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan that a program may be logged in with, and how it goes on without."""

    name: str
    instead: str

    def refusal(self) -> SpendGuardError:
        """Return the refusal of its token."""
        title = TABLE[Code.SUBSCRIPTION_TOKEN].title
        return SpendGuardError(
            Code.SUBSCRIPTION_TOKEN,
            f"{title}: this is the login of a {self.name} plan, and calls here are billed by the token; "
            f"{Money.NOTHING.value}",
            facts={
                "plan": self.name,
                "expected": "an agent key, or any value, where the API key goes",
                "remedy": f"{self.instead} Or ask your operator for an agent key.",
            },
        )


CLAUDE = Plan(
    "Claude", "Log out of the plan (/logout in Claude Code), and put the agent key into ANTHROPIC_API_KEY."
)
CHATGPT = Plan("ChatGPT", "Log out of the plan (codex logout), and put the agent key into OPENAI_API_KEY.")


def plan_of(headers: Mapping[str, str], slots: Sequence[str]) -> Plan | None:
    """Return the plan whose token stands in a key slot, None where there is none."""
    if any(slot.startswith(CLAUDE_TOKENS) for slot in slots):
        return CLAUDE
    if ACCOUNT_HEADER in headers and any(map(_JWT.fullmatch, slots)):
        return CHATGPT
    return None
