"""Is it the sidecar of another home of this user that has a port: proven by that home's own token."""

from pathlib import Path

from spendguard_cli.doctor import listeners
from spendguard_cli.prove import Found, Place, knock
from spendguard_daemon import runtime
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.runtime import Home

KNOCK_SECONDS = 1.0


def at(port: int) -> Path | None:
    """Return the home of the sidecar on a port: the one its process names, or the usual one; None for none.

    A process may say what it likes of itself: it counts where it knows the token of the home that it names.
    """
    named = listeners.variable(port, "SPENDGUARD_HOME")
    for root in (Path(named) if named else None, Path("~/.spendguard").expanduser()):
        if root is not None and root.is_absolute() and _is_of(port, root):
            return root
    return None


def _is_of(port: int, root: Path) -> bool:
    try:
        token = runtime.read_admin_token(Home(root))
    except (SpendGuardError, OSError):
        return False
    return knock(Place.at(port), [token], KNOCK_SECONDS) is Found.PROVEN
