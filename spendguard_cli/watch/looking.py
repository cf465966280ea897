"""One look at a sidecar: its board as the feed's first message tells it, and no more."""

import queue
from typing import TYPE_CHECKING

from spendguard_cli.watch.board import Board
from spendguard_cli.watch.messages import Away, Message
from spendguard_daemon.errors import Code, SpendGuardError

if TYPE_CHECKING:
    from spendguard_cli.context import Connection

LOOK_SECONDS = 30.0
"""For how long a table is waited for: a snapshot of thousands of agents takes its time."""


def look(connection: "Connection", seconds: float = LOOK_SECONDS) -> Board:
    """Return what is so now; raise NO_DAEMON where no sidecar is up, or none tells it in so many seconds."""
    from spendguard_cli.watch.feed import FeedReader

    messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
    reader = FeedReader(connection)
    reader.start(messages.put)
    try:
        message = messages.get(timeout=seconds)
    except queue.Empty:
        message = Away(f"The sidecar did not tell what is so within {seconds:g} s", "spendguard status")
    finally:
        reader.close()
    if isinstance(message, Away):
        raise SpendGuardError(Code.NO_DAEMON, message.why, remedy=message.remedy or "spendguard status")
    board = Board()
    board.hear(message, 0.0)
    return board
