"""Answers to embedding requests: one JSON value, whose usage alone is read.

Owns what the providers' answers have in common; where the usage stands and what it means, each provider's
module says. Invariant: the vectors, millions of numbers, are not decoded, and without usage that can be true
there is nothing to settle by.
"""

from collections.abc import Callable

import msgspec

from spendguard_daemon.errors import MalformedError, SpendGuardError
from spendguard_daemon.providers import sse
from spendguard_daemon.usage import Usage

NULL = msgspec.Raw(b"null")

_PROBLEM_CHARACTERS_MAX = 200


class Said(msgspec.Struct):
    """What an answer says that matters, under its names in OpenAI's format."""

    model: str | None = None
    usage: msgspec.Raw = NULL
    error: msgspec.Raw = NULL


class EmbeddingMeter:
    """Reads the usage and model of one answer; satisfies `answers.Meter`.

    `said` decodes it, `read` reads its usage: it raises UPSTREAM_FAILED where that cannot be true, and
    MALFORMED_REQUEST where it is no object.
    """

    documented_error = False
    key_rejected = False
    answer_id: str | None = None

    def __init__(self, said: Callable[[bytes], Said], read: Callable[[bytes], Usage]) -> None:
        self._said = said
        self._read = read
        self.complete = False
        self.model: str | None = None
        self.problem: str | None = None
        self.usage: Usage | None = None

    def document(self, body: bytes) -> None:
        """Take a whole answer."""
        try:
            said = self._said(body)
        except (msgspec.DecodeError, RecursionError):
            self.problem = "the answer is not whole JSON"
            return
        self.complete = True
        self.model = said.model
        if said.error != NULL:
            self.problem = "the answer reports an error"
        elif said.usage == NULL:
            self.problem = "the answer reports no usage"
        else:
            self._settle(bytes(said.usage))

    def event(self, _event: sse.Event) -> bool:
        """Embeddings are no streams."""
        return False

    def end(self) -> None:
        """Embeddings are no streams."""

    def _settle(self, report: bytes) -> None:
        try:
            self.usage = self._read(report)
        except MalformedError:
            self.problem = "Absurd usage: it is no object"
        except SpendGuardError as lie:
            self.problem = lie.detail[:_PROBLEM_CHARACTERS_MAX]
