"""Answers that are no success: read whole, and told apart by their provider's one documented shape.

Owns the reading; what that shape is, each provider's module says. Invariant: it never finds usage, so such an
answer is void where it is the documented one, and charged at worst otherwise.
"""

from collections.abc import Callable

from spendguard_daemon.errors import MalformedError
from spendguard_daemon.providers import sse
from spendguard_daemon.providers.answers import ERROR_BYTES_MAX, JsonAnswer
from spendguard_daemon.providers.contract import AnswerReader
from spendguard_daemon.providers.json_text import Json, parse
from spendguard_daemon.usage import Usage

IsDocumented = Callable[[dict[str, Json]], bool]
"""Tells whether the members of an answer are those of the provider's documented error."""

RejectsKey = Callable[[dict[str, Json]], bool]
"""Tells whether they say that the key is none, of a provider that says so with 400."""

Unwrap = Callable[[bytes], bytes]
"""Takes the object out of what a provider may put around it."""

_VALUES_MAX = 100


def _as_it_is(body: bytes) -> bytes:
    return body


def _says_it_by_status(_members: dict[str, Json]) -> bool:
    return False


def reader(
    encoding: str,
    is_documented: IsDocumented,
    *,
    rejects_key: RejectsKey = _says_it_by_status,
    unwrap: Unwrap = _as_it_is,
) -> AnswerReader:
    """Return the reader of one answer that is no success."""
    return JsonAnswer(ErrorMeter(is_documented, rejects_key, unwrap), encoding, bytes_max=ERROR_BYTES_MAX)


class ErrorMeter:
    """Tells the documented error from anything else; satisfies `answers.Meter`."""

    usage: Usage | None = None
    model: str | None = None
    answer_id: str | None = None

    def __init__(self, is_documented: IsDocumented, rejects_key: RejectsKey, unwrap: Unwrap) -> None:
        self.complete = False
        self.documented_error = False
        self.key_rejected = False
        self.problem: str | None = None
        self._is_documented = is_documented
        self._rejects_key = rejects_key
        self._unwrap = unwrap

    def document(self, body: bytes) -> None:
        """Take a whole answer."""
        try:
            answer = parse(self._unwrap(body), lone_surrogates=True, values_max=_VALUES_MAX)
        except MalformedError:
            self.problem = "the error answer is not JSON that can be read"
            return
        self.complete = True
        members = {name: member.value for name, member in answer.members.items()}
        self.documented_error = self._is_documented(members)
        self.key_rejected = self._rejects_key(members)
        if not self.documented_error:
            self.problem = "the error answer is not the documented one"

    def event(self, _event: sse.Event) -> bool:
        """Errors are no streams."""
        return False

    def end(self) -> None:
        """Errors are no streams."""
