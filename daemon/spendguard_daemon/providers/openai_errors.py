"""OpenAI's documented error answer: the one shape by which a provider says that it did, and bills, nothing.

Sources: the openai SDK 3.54.0, `types/shared/error_object.py`, and recordings 10 and 11. Strict on purpose: a
member beyond those could be an answer, or its usage, in other words. Of the SDK's members, `misalignment` is
left out: nothing says that such a block comes before any work.
"""

from spendguard_daemon.providers import error_answers
from spendguard_daemon.providers.contract import AnswerReader
from spendguard_daemon.providers.json_text import Json

_MEMBERS = frozenset({"message", "type", "param", "code"})
_KINDS = (str, int, float, type(None))


def reader(encoding: str) -> AnswerReader:
    """Return the reader of one answer that is no success."""
    return error_answers.reader(encoding, is_documented)


def is_documented(members: dict[str, Json]) -> bool:
    """Tell whether these are the members of OpenAI's documented error."""
    error = members.get("error")
    return (
        members.keys() == {"error"}
        and isinstance(error, dict)
        and isinstance(error.get("message"), str)
        and error.keys() <= _MEMBERS
        and all(isinstance(value, _KINDS) and not isinstance(value, bool) for value in error.values())
    )
