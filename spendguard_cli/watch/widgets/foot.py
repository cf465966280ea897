"""The last line of every view: the keys that work there."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from rich.text import Text

from spendguard_cli.watch import frame
from spendguard_cli.watch.widgets.rows import Rows

if TYPE_CHECKING:
    from spendguard_cli.watch.screens.view import View


class Foot(Rows):
    """Draws as many keys as fit."""

    DEFAULT_CSS = "Foot { dock: bottom; background: $panel; }"

    def lines(self, width: int) -> Sequence[Text]:
        """Return the one line."""
        return [frame.foot(cast("View", self.screen).keys(), width)]
