"""Where the program begins: ready for Ctrl-C before anything is loaded that takes time.

Imports nothing but what the interpreter has loaded already, until the handler stands. No garbage is collected
while the rest is loaded: there is none, and to look for it takes a tenth of what a command does.
"""

import gc
import os
import signal
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130


def main() -> NoReturn:
    """Load the command line and run it: the entry point of the console script."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # not where the shell said to ignore it, as for `command &`
        signal.signal(signal.SIGINT, _leave)
    gc.disable()
    from spendguard_cli.app import main as run

    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGINT, usual)
    run()


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """End at once: half-loaded modules have nothing to clear up, and nobody needs their traceback."""
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)
