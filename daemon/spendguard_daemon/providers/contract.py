"""What every wire format gives to the guard: a request read and bounded, an answer watched for its usage.

Owns the shapes only. A format is one module that implements `Format` without I/O, clock or money.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from spendguard_daemon.errors import Fact
from spendguard_daemon.providers.json_text import Document
from spendguard_daemon.providers.policy import CAREFUL, Policy
from spendguard_daemon.usage import InputBound, Limits, Usage

FLOOR_TOKENS = 1_024
FLOOR_TOKENS_REASONING = 4_096
"""What an answer needs to be of use; models that reason use more of it up before they begin (design 5.3)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client asked for: the untouched body, and what beside it changes how it is read.

    `headers` have lower-case names, `query` holds the parameters of the route's allow-list. `model` and
    `stream` are set where the path names them (Gemini).
    """

    body: bytes = field(repr=False)
    policy: Policy = CAREFUL
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict)
    model: str = ""
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Media:
    """What in a request is not billed by its bytes, each bounded by a cap of the model's card (`Limits`).

    `images` is their number. `audio_bytes` is the size of the audio as decoded. `documents` tells that the
    body holds files whose size in tokens does not follow from their bytes (PDF, audio of an odd pace): the
    window alone bounds those.
    """

    images: int = 0
    audio_bytes: int = 0
    documents: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was read and found billable within bounds.

    Output: `asked_output_tokens` is the client's own cap per choice (0 is a cap), in its own field
    `asked_field`; both None where there is none. `capless` formats have no output at all (embeddings).
    `floor_output_tokens` is the least cap that the request can live with (a thinking budget + 1024), below
    `least_output_tokens` the provider itself refuses it (a thinking budget + 1).
    `uncapped` names the output that may be billed beside the cap: `reasoning`, `calls` of functions.
    Input: `input_bytes` counts what may be billed as input, media apart. `messages` and `tools` are their
    numbers, for framing.
    `input_tokens_exact` is set where the client sent token ids. `state_ids` are earlier answers at the
    provider that this request goes on from, `foreign_state` other input there that nobody here can size.
    `leaves_out`: the provider may leave earlier turns out of this input that a later request sees again.
    `passes` is how often the provider may read the whole context (more than 1 with hosted tools),
    `output_passes` how often it may write the whole cap.
    Rates: `reach` names the rates beyond plain input and output that the call may land in, `events` the most
    of each fee, `penalties` the fees that a provider may take instead of an answer, if its card lists them,
    `service_tier` the tier that `rewrite` pins, `modifiers` what scales the whole bill.
    `trusts` gives, for what of `uncapped` and `penalties` an operator may rule out, the feature that does so;
    `capped_by` is the provider's endpoint whose cap is known to count all output, where this one's is not.
    `wants_usage`: the client itself asked for usage in the stream. `stripped` names what `rewrite` leaves
    out, `headers` are those to send beside our own, `query` what follows the path. `document` is what
    `rewrite` needs: the text, and the values of small members; `changed` says in what it already differs from
    what the client sent.
    """

    model: str
    stream: bool
    choices: int
    asked_output_tokens: int | None
    asked_field: str | None
    input_bytes: int
    messages: int
    tools: int
    reach: frozenset[str]
    wants_usage: bool
    service_tier: str
    document: Document = field(repr=False)
    capless: bool = False
    floor_output_tokens: int = 0
    least_output_tokens: int = 1
    uncapped: frozenset[str] = frozenset()
    input_tokens_exact: int | None = None
    media: Media = Media()
    state_ids: tuple[str, ...] = ()
    foreign_state: bool = False
    leaves_out: bool = False
    passes: int = 1
    output_passes: int = 1
    events: Mapping[str, int] = field(default_factory=dict)
    penalties: tuple[str, ...] = ()
    modifiers: tuple[str, ...] = ()
    trusts: Mapping[str, str] = field(default_factory=dict)
    capped_by: str = ""
    stripped: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    query: str = ""
    changed: tuple[str, ...] = ()

    @property
    def unsaid_tier(self) -> str:
        """What an answer says of its tier by naming none: nothing, if more than the default may be meant."""
        return "default" if self.service_tier == "default" else ""

    def uncapped_tokens(self, limits: Limits, *, reasoning: bool) -> int:
        """Return the most output tokens of one choice that may be billed beside its cap."""
        if not (self.uncapped if reasoning else self.uncapped - {"reasoning"}):
            return 0
        known = limits.uncapped_tokens_max
        return limits.context_tokens if known is None else known

    def floor(self, output_tokens_min: int, *, reasoning: bool) -> int:
        """Return the smallest cap that a clamp may reach (design 5.3); never above what was asked."""
        useful = max(output_tokens_min, FLOOR_TOKENS_REASONING if reasoning else FLOOR_TOKENS)
        useful = max(useful, self.floor_output_tokens)
        return useful if self.asked_output_tokens is None else min(useful, self.asked_output_tokens)

    def trusting(self, fees: Collection[str], *, reasoning: bool) -> tuple[str, ...]:
        """Return the features by which less would be held, for a card with these fees."""
        held = set(self.penalties).intersection(fees)
        held |= self.uncapped if reasoning else self.uncapped - {"reasoning"}
        return tuple(feature for name, feature in self.trusts.items() if name in held)

    def without_text(self) -> "Request":
        """Return what must outlive the rewriting: all but the text, which may be 32 MiB."""
        return replace(self, document=Document("", 0, {}))


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What goes to the provider. `changed` says, for a person, what differs from what the client sent.

    `hides_usage`: the usage chunk is there because we asked, so the client must not see it.
    """

    body: bytes = field(repr=False)
    changed: tuple[str, ...]
    hides_usage: bool


@dataclass(frozen=True, slots=True)
class CountQuestion:
    """A question to a provider's free count endpoint: the path below its base URL, and the body."""

    path: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CountAsked:
    """A client's own question to a count endpoint: forwarded as it is to `path`, with `headers`.

    `stripped` names what is not sent, `state_ids` the earlier answers that it goes on from.
    """

    model: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    stripped: tuple[str, ...] = ()
    state_ids: tuple[str, ...] = ()


class AnswerReader(Protocol):
    """Watches one answer on its way to the client. Never raises on what a provider may send.

    After `end()`: `usage` is what the provider reports, None where it did not or where that cannot be true;
    `complete` tells that the answer came to its own end (`[DONE]`, or JSON read whole); `problem` says why
    the usage must not be relied on, None where it may; `documented_error` that the whole body is the
    provider's documented error, with nothing in it that could be billed; `key_rejected` that it is about the
    operator's key, which it may repeat.
    """

    @property
    def usage(self) -> Usage | None:
        """What the provider says it bills."""

    @property
    def complete(self) -> bool:
        """Whether the answer came to its own end."""

    @property
    def model(self) -> str | None:
        """The model that the answer names."""

    @property
    def answer_id(self) -> str | None:
        """The id under which the provider keeps the answer, where a later request may go on from it."""

    @property
    def problem(self) -> str | None:
        """Why the usage cannot be relied on."""

    @property
    def documented_error(self) -> bool:
        """Whether this is the provider's documented error."""

    @property
    def key_rejected(self) -> bool:
        """Whether the answer says that the operator's key is none, whatever its status."""

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes as they arrived; return those to relay now."""

    def end(self) -> bytes:
        """Take the end of the answer; return what is still to relay."""


class Format(Protocol):
    """One provider endpoint's wire format."""

    @property
    def endpoint(self) -> str:
        """The name in routes and records: `chat/completions`."""

    @property
    def brought_back(self) -> tuple[str, ...]:
        """The provider's answer headers that the client may see; a name that ends in `-` is a prefix."""

    def read(self, asked: Asked) -> Request:
        """Read a body; raise MALFORMED_REQUEST, UNBOUNDED_FEATURE or UNPRICED_DIMENSION."""

    def path(self, request: Request) -> str:
        """Return the path below the provider's base URL, with its query."""

    def auth(self, key: str) -> tuple[tuple[str, str], ...]:
        """Return the headers that carry the operator's provider key."""

    def bounds(
        self, request: Request, limits: Limits, state_tokens: int | None = None
    ) -> tuple[InputBound, ...]:
        """Return the upper bounds of the input known without asking anyone, smallest first, at least one.

        `state_tokens` is the size of what `state_ids` name, None where it is not known. Raises
        UNBOUNDED_FEATURE where the card has no cap for media of the request.
        """

    def local_bound(
        self, asked: Asked, request: Request, limits: Limits, state_tokens: int | None = None
    ) -> InputBound | None:
        """Return a bound from counting tokens here (rung `local`), slow; None where that cannot be done."""

    def count_question(self, asked: Asked, request: Request) -> CountQuestion | None:
        """Return what to ask the provider's free count endpoint; None where it cannot tell."""

    def count_bound(self, request: Request, status: int, body: bytes) -> InputBound | None:
        """Return the bound that its answer gives (rung `counted`), margin included; None for no answer."""

    def floor_output_tokens(self, request: Request, *, output_tokens_min: int, reasoning: bool) -> int:
        """Return the smallest cap that a clamp may reach; never above what the client asked for."""

    def rewrite(self, request: Request, *, output_tokens: int) -> Outgoing:
        """Return the body to send, held to `output_tokens` per choice; ValueError above the asked cap."""

    def reader(self, request: Request, *, hides_usage: bool, status: int, encoding: str) -> AnswerReader:
        """Return the reader of the answer with this status and content encoding."""

    def errors(self, encoding: str) -> AnswerReader:
        """Return the reader of an answer that is no success."""

    def error_body(self, status: int, code: str, detail: str, spendguard: Mapping[str, Fact]) -> bytes:
        """Return an error of ours in the provider's shape, with `detail` and `spendguard` beside it."""
