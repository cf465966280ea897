"""What every wire format gives to the guard: a request read and bounded, an answer watched for its usage.

Owns the shapes only. A format is one module that implements `Format` without I/O, clock or money.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from spendguard_daemon.errors import Fact
from spendguard_daemon.providers.json_text import Document
from spendguard_daemon.usage import InputBound, Limits, Usage


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was read and found billable within bounds.

    `asked_output_tokens` is the client's own cap per choice, in its own field `asked_field`; both None where
    there is none. `input_bytes` counts what may be billed as input, `messages` and `tools` are their numbers,
    for framing. `reach` names the rates beyond plain input and output that the call may land in.
    `wants_usage`: the client itself asked for usage in the stream. `service_tier` is the tier that
    `rewrite` pins. `document` is what `rewrite` needs: the text, and the values of small members.
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


class AnswerReader(Protocol):
    """Watches one answer on its way to the client. Never raises on what a provider may send.

    After `end()`: `usage` is what the provider reports, None where it did not or where that cannot be true;
    `complete` tells that the answer came to its own end (`[DONE]`, or JSON read whole); `problem` says why
    the usage must not be relied on, None where it may; `documented_error` that the whole body is the
    provider's documented error, with nothing in it that could be billed.
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
    def problem(self) -> str | None:
        """Why the usage cannot be relied on."""

    @property
    def documented_error(self) -> bool:
        """Whether this is the provider's documented error."""

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
    def upstream_path(self) -> str:
        """The path below the provider's base URL."""

    def read(self, body: bytes) -> Request:
        """Read a body; raise MALFORMED_REQUEST, UNBOUNDED_FEATURE or UNPRICED_DIMENSION."""

    def bounds(self, request: Request, limits: Limits) -> tuple[InputBound, ...]:
        """Return the upper bounds of the input known without asking anyone, smallest first, at least one."""

    def floor_output_tokens(self, request: Request, *, output_tokens_min: int, reasoning: bool) -> int:
        """Return the smallest cap that a clamp may reach; never above what the client asked for."""

    def rewrite(self, request: Request, *, output_tokens: int) -> Outgoing:
        """Return the body to send, held to `output_tokens` per choice; ValueError above the asked cap."""

    def reader(self, request: Request, *, hides_usage: bool, status: int, encoding: str) -> AnswerReader:
        """Return the reader of the answer with this status and content encoding."""

    def error_body(self, status: int, code: str, detail: str, spendguard: Mapping[str, Fact]) -> bytes:
        """Return an error of ours in the provider's shape, with `detail` and `spendguard` beside it."""
