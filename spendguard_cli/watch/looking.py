"""The board of a sidecar, asked once."""

from typing import TYPE_CHECKING

from spendguard_cli.watch.board import Board
from spendguard_cli.watch.messages import Snapped
from spendguard_daemon.errors import Code, SpendGuardError

if TYPE_CHECKING:
    from spendguard_cli.client import Control


def look(control: "Control") -> Board:
    """Return what is so now; raise NOT_ALLOWED for a key that is no operator's, INTERNAL for an old sidecar."""
    try:
        snapshot = control.snapshot()
    except SpendGuardError as error:
        if error.code is not Code.ROUTE_NOT_FOUND:
            raise
        raise SpendGuardError(
            Code.INTERNAL,
            "The sidecar that runs has no feed: it is of an older version",
            remedy="spendguard restart",
        ) from error
    board = Board()
    board.hear(Snapped(snapshot), 0.0)
    return board
