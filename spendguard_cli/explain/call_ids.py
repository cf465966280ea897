"""How a call is named by whoever types: by its id, or by how that begins. Pure."""

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.text import safe

PREFIX_MIN = 6

_ID_CHARACTERS = frozenset("0123456789abcdef-")


def checked(ref: str) -> str:
    """Return what may be an id, or its beginning; raise USAGE for anything else."""
    text = ref.strip().lower().rstrip("…").rstrip(".")
    if set(text) <= _ID_CHARACTERS and PREFIX_MIN <= len(text) <= 36:
        return text
    raise SpendGuardError(
        Code.USAGE,
        f"{safe(ref)!r} is no call's id, nor {PREFIX_MIN} characters or more of its beginning",
        remedy="spendguard explain last --agent <agent>",
    )
