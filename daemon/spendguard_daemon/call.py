"""The shapes that a call takes on its way through `guard`: arrival, plan, answer.

Hardly any behaviour. `Client` is the port to whoever waits for the answer; the gateway implements it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from spendguard_daemon.errors import Code
from spendguard_daemon.ledger.commands import HoldCall
from spendguard_daemon.pricing.document import PriceBook
from spendguard_daemon.pricing.ratecard import RateCard
from spendguard_daemon.providers import Asked, Format, Request

SHORT_OF_MONEY = frozenset({Code.INSUFFICIENT_BUDGET, Code.BUDGET_HELD, Code.DAEMON_CAP, Code.KEY_LIMIT})
"""Refusals for which it matters how much is held."""


class ClientGoneError(Exception):
    """The client has left; its call goes on until the provider's usage is known."""


class AnswerTornError(Exception):
    """The rest of an answer that the client had begun to receive is lost: break the connection off."""


class Client(Protocol):
    """Who waits for the answer. Both methods raise ClientGoneError once it has left."""

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head of an answer."""

    async def write(self, data: bytes) -> None:
        """Send a part of the body; return when there is room for more."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A model call as the gateway received it: who, where to, and the untouched body.

    `provider` is empty on the bare root, where it follows from the model. `headers` have lower-case names,
    `query` holds parameters of the route's allow-list; `model` and `stream` are set where the path names
    them. `idempotency_key` is the one the client sent, if any; it never leaves for the provider, nor does
    `wait_seconds`: how long the client lets the call wait for money or a lock, None where it did not say.
    `keys` is the lineage of the agent key it came with, root first; `root_public` the public half (hex) that
    the root had when it was proven.
    """

    call_id: str
    agent_id: str
    run_id: str | None
    provider: str
    endpoint: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    idempotency_key: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    model: str = ""
    stream: bool = False
    keys: tuple[str, ...] = ()
    root_public: str = ""
    wait_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A call that was read and priced, ready to be held by the command `hold`.

    `card`, out of `book`, fixes its rates until it is settled. It may run from `from_ns` to
    `hold.deadline_ns` (wall clock), and every price that is in force in between was considered. `asked` is
    without its body, since a plan lives as long as its call. `state_tokens` is the size of the earlier
    answers that the request goes on from, None where it is not known.
    """

    asked: Asked
    format: Format
    request: Request
    card: RateCard
    book: PriceBook = field(repr=False)
    hold: HoldCall
    from_ns: int
    key: str = field(repr=False)
    state_tokens: int | None = None

    @property
    def provider(self) -> str:
        """The provider that the call goes to."""
        return self.hold.provider

    def trusting(self) -> tuple[str, ...]:
        """Return the features by which less would be held: what a provider may bill beyond the cap."""
        return self.request.trusting(self.card.fees, reasoning=self.card.reasoning)

    def without_text(self) -> "Plan":
        """Return the plan as it is needed once the request was rewritten."""
        return replace(self, request=self.request.without_text())

    def until_ns(self, now_ns: int) -> int:
        """Return until when the call may have run, if it has ended now (wall ns).

        Where the calendar was set back, or past the deadline, it is the deadline: so far the hold reaches.
        """
        return now_ns if self.from_ns <= now_ns <= self.hold.deadline_ns else self.hold.deadline_ns


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer that is still to be sent to the client."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
