"""Why the feed of a sidecar is not heard, in plain words, and what to type."""

from spendguard_cli.context import Connection
from spendguard_cli.holder import is_held
from spendguard_cli.watch.messages import Away
from spendguard_cli.watch.order import LostError
from spendguard_cli.watch.sse import EndlessError
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.text import safe

WHY_LENGTH_MAX = 300
OPERATORS_ALONE = (Code.UNAUTHORIZED, Code.ROUTE_NOT_FOUND, Code.NOT_ALLOWED)


def absent(connection: Connection) -> Away:
    """Return what is to be said where no sidecar was found."""
    if connection.base_url is None and is_held(connection.home):
        return Away("the sidecar is starting or stopping, or does not answer")
    where = f" at {safe(connection.base_url)}" if connection.base_url else ""
    return Away(f"no sidecar is running{where}", "spendguard up")


def lost(error: LostError | EndlessError) -> Away:
    """Return what is to be said of a feed that made no sense, or had a hole; it is asked for anew."""
    why = "a message of it has no end" if isinstance(error, EndlessError) else str(error)
    return Away(_cut(f"the feed is lost: {why}"))


def away_of(error: SpendGuardError | OSError | None, connection: Connection, *, opened: bool) -> Away:
    """Return what is to be said of an error, None for an end; `opened` where the feed was heard before."""
    if opened or error is None:
        return Away("the feed has ended; looking for the sidecar")
    if not isinstance(error, SpendGuardError):
        return Away(_cut(f"the sidecar cannot be looked for: {error}"), "spendguard doctor")
    if connection.in_exec and error.code in OPERATORS_ALONE:
        return Away("inside spendguard exec only your own agent can be read; use an operator's shell")
    match error.code:
        case Code.ROUTE_NOT_FOUND:
            return Away("the sidecar is of an older version, which has no feed", "spendguard restart")
        case Code.UNAUTHORIZED:
            return Away(_cut(f"the sidecar refuses the key: {error.detail}"), _cut(error.remedy))
        case Code.SHUTTING_DOWN:
            return Away("the sidecar is stopping", "spendguard up")
    return Away(_cut(error.detail), _cut(error.remedy))


def _cut(text: str) -> str:
    return safe(text, WHY_LENGTH_MAX)
