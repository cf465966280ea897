"""A progress bar on stderr, for what may take long; only a terminal that knows
escape sequences gets it, and it leaves nothing behind."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from spendguard_cli.colours import is_coloured

Advance = Callable[[int, int], None]
"""Is told how much is done, and of how much."""


@contextlib.contextmanager
def progress(what: str, *, shown: bool = True) -> Iterator[Advance]:
    """Show how far something is, as long as the block runs; nothing where nobody looks."""
    if not (shown and is_coloured(sys.stderr)):
        yield _nobody_looks
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from spendguard_cli.views import ink

    columns = (TextColumn(what, markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=ink.console(sys.stderr), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _nobody_looks(_: int, __: int) -> None:
    pass
