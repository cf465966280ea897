"""OpenAI's documented error answer: the one shape by which a provider says that it did, and bills, nothing.

Sources: the openai SDK 3.54.0, `types/shared/error_object.py`, and recordings 10 and 11. Strict on purpose: a
member beyond those could be an answer, or its usage, in other words. Of the SDK's members, `misalignment` is
left out: nothing says that such a block comes before any work.
"""

from spendguard_daemon.errors import MalformedError
from spendguard_daemon.providers import sse
from spendguard_daemon.providers.answers import ERROR_BYTES_MAX, JsonAnswer
from spendguard_daemon.providers.contract import AnswerReader
from spendguard_daemon.providers.json_text import parse
from spendguard_daemon.usage import Usage

_VALUES_MAX = 100
_MEMBERS = frozenset({"message", "type", "param", "code"})
_KINDS = (str, int, float, type(None))


def reader(encoding: str) -> AnswerReader:
    """Return the reader of one answer that is no success."""
    return JsonAnswer(ErrorMeter(), encoding, bytes_max=ERROR_BYTES_MAX)


class ErrorMeter:
    """Tells the documented error from anything else; satisfies `answers.Meter`. It never finds usage."""

    usage: Usage | None = None
    model: str | None = None
    answer_id: str | None = None

    def __init__(self) -> None:
        self.complete = False
        self.documented_error = False
        self.problem: str | None = None

    def document(self, body: bytes) -> None:
        """Take a whole answer."""
        try:
            answer = parse(body, lone_surrogates=True, values_max=_VALUES_MAX)
        except MalformedError:
            self.problem = "the error answer is not JSON that can be read"
            return
        self.complete = True
        error = answer.value("error")
        self.documented_error = (
            answer.members.keys() == {"error"}
            and isinstance(error, dict)
            and isinstance(error.get("message"), str)
            and error.keys() <= _MEMBERS
            and all(isinstance(value, _KINDS) and not isinstance(value, bool) for value in error.values())
        )
        if not self.documented_error:
            self.problem = "the error answer is not the documented one"

    def event(self, _event: sse.Event) -> bool:
        """Errors are no streams."""
        return False

    def end(self) -> None:
        """Errors are no streams."""
