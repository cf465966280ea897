"""Is the home open to its owner alone; what a link leads to, out of the home, is told and never changed."""

import os
import shlex
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from spendguard_cli.doctor.findings import Finding, Level, ok
from spendguard_cli.doctor.world import World
from spendguard_daemon.errors import Code
from spendguard_daemon.text import safe

REVEALED = (
    "If others may have read them: make new provider keys (spendguard provider set-key), and a new admin "
    "token, which a start makes where there is none: "
)


@dataclass(frozen=True, slots=True)
class _Mode:
    """A file or folder with a mode that the daemon refuses."""

    path: Path
    has: int
    wanted: int
    through_link: bool

    @property
    def command(self) -> str:
        return f"chmod {self.wanted:o} {shlex.quote(str(self.path))}"


def modes(world: World) -> Iterable[Finding]:
    """Is the home, and all that matters in it, open to its owner alone."""
    if not world.is_own or not world.home.root.is_dir():
        return [ok("There is no home of this shell to look at")]
    wrong = list(_wrong_modes(world))
    if not wrong:
        return [ok("The home is open to its owner alone")]
    return [
        Finding(
            level=Level.RED,
            finding=f"The home folder is not safe: {_what(one)}"
            + (f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""),
            evidence=[f"{each.path} has mode {each.has:o}, wanted is {each.wanted:o}" for each in wrong],
            remedy=[each.command for each in wrong if not each.through_link],
            deed=". ".join([*_links(wrong), f"{REVEALED}{_new_token(world)}"]),
            code=Code.HOME_UNSAFE,
            safe=not all(each.through_link for each in wrong),
        )
        for one in wrong[:1]
    ]


def mend(world: World) -> Iterable[str]:
    """Take the rights of others away, and give the owner's back."""
    for each in [each for each in _wrong_modes(world) if not each.through_link]:
        each.path.chmod(each.wanted)
        yield f"{each.path} has mode {each.wanted:o} now"


def guarded(world: World) -> Iterator[Path]:
    """Yield what the daemon looks at before it starts, what of it is there."""
    home = world.home
    named = (home.root, home.ledger, home.pricing, home.secrets, home.trust, home.admin_token, home.config)
    for path in (*named, *(sorted(home.ledger.iterdir()) if home.ledger.is_dir() else ())):
        if path.exists():
            yield path


def _wrong_modes(world: World) -> Iterator[_Mode]:
    for path in guarded(world):
        found = path.stat()
        wanted, has = (0o700 if path.is_dir() else 0o600), stat.S_IMODE(found.st_mode)
        closed = has & wanted != wanted and (path.is_dir() or path.parent == world.home.ledger)
        if found.st_uid == os.geteuid() and (has & ~wanted or closed):
            yield _Mode(path, has, wanted, _is_through_link(world, path))


def _is_through_link(world: World, path: Path) -> bool:
    """Tell whether a link within the home leads to it: what is there is not for the doctor to change."""
    root = world.home.root
    return os.path.realpath(path) != str(Path(os.path.realpath(root)) / path.relative_to(root))


def _links(wrong: list[_Mode]) -> list[str]:
    return [
        f"{each.path} is reached by a link, to {safe(os.path.realpath(each.path))}: put that in the link's "
        "place, or take the link away"
        for each in wrong
        if each.through_link
    ]


def _new_token(world: World) -> str:
    return f"spendguard down && rm {shlex.quote(str(world.home.admin_token))} && spendguard up"


def _what(one: _Mode) -> str:
    return f"{one.path} is {'open to other users' if one.has & ~one.wanted else 'closed to its owner'}"
