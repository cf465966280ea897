"""How this program was called, for hints that can be typed as they stand."""

import shlex
import shutil
import sys
from pathlib import Path


def program() -> str:
    """Return `spendguard` where the shell finds it by that name, else the words that were typed for it."""
    if shutil.which("spendguard"):
        return "spendguard"
    typed = sys.argv[0]
    if Path(typed).name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m spendguard_cli"
    return shlex.quote(typed)
