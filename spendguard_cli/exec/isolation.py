"""What a program inside `exec` may reach: everything but the sidecar's home, its port, and its code.

Landlock knows rules that allow and none that deny, and each holds for all that is below its path. So every
sibling on the way from `/` to what is kept is allowed by name, and the folders on that way may be listed but
no more: nothing can be made, removed or replaced directly in them. Listing is inherited too: the
names in the home can be seen, never what is in its files. `plan` is pure but for the listing that it gets.
"""

import functools
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import spendguard_cli
import spendguard_daemon
from spendguard_cli.exec import landlock, powers, seccomp
from spendguard_cli.exec.landlock import EVERYTHING, READING, Grant, Right

CONTROL_GROUPS = Path("/sys/fs/cgroup")
"""Who may write there can freeze and end all processes of a group: a user's own session is the user's."""

Listing = Callable[[Path], Iterable[Path]]


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept from a program: real paths that it may not touch, and such as it may only read."""

    hidden: tuple[Path, ...]
    read_only: tuple[Path, ...]

    def narrowed(self, folder: Path) -> bool:
        """Tell whether nothing can be made or replaced directly in a folder: something kept is below."""
        return bool(self.below(folder))

    def below(self, folder: Path) -> list[Path]:
        """Return what is kept below a folder, or is the folder; hidden ones first."""
        return [path for path in (*self.hidden, *self.read_only) if path.is_relative_to(folder)]


@dataclass(frozen=True, slots=True)
class Isolation:
    """Rules that are ready to be put on. `close` when the child has them."""

    descriptor: int
    kept: Kept
    missing: tuple[str, ...]
    restrict: Callable[[], None]

    def close(self) -> None:
        """Forget the rules here; who has put them on keeps them."""
        os.close(self.descriptor)


def kept_of(home: Path) -> Kept:
    """Return what is kept on this machine for the sidecar of a home."""
    inside = home.resolve()
    only_read = (*_code(), *([CONTROL_GROUPS] if CONTROL_GROUPS.exists() else []))
    return Kept((inside,), tuple(path for path in only_read if not path.is_relative_to(inside)))


def isolate(kept: Kept, denied_port: int | None) -> Isolation | None:
    """Make the rules; None where this system has no Landlock. Raises OSError where it will not have them.

    `denied_port` is where the sidecar takes more than agent keys; None where it has no such port here.
    """
    version = landlock.abi()
    if not version:
        return None
    whole = replace(kept, hidden=(*kept.hidden, *powers.disks()))
    descriptor = landlock.ruleset(version, plan(Path("/"), whole, _children), denied_port)
    by_landlock = landlock.restrict(descriptor)
    by_filter = seccomp.restrict()
    by_powers = powers.drop()

    def restrict() -> None:
        by_powers()
        by_landlock()
        if by_filter is not None:
            by_filter()

    return Isolation(descriptor, kept, tuple(missing(version, filtered=by_filter is not None)), restrict)


def plan(path: Path, kept: Kept, listing: Listing, rights: Right = EVERYTHING) -> Iterator[Grant]:
    """Yield what is granted at a path and below it; `rights` are the most that it may have."""
    if path in kept.hidden:
        return
    if path in kept.read_only:
        rights &= READING
    if not _is_above(path, kept.hidden) and (rights == READING or not _is_above(path, kept.read_only)):
        yield Grant(path, rights)
        return
    yield Grant(path, Right.READ_DIR)
    for child in listing(path):
        yield from plan(child, kept, listing, rights)


def missing(version: int, *, filtered: bool) -> Iterator[str]:
    """Yield what an older kernel, or a machine that is not known here, leaves open."""
    if version < landlock.ABI_TRUNCATE:
        yield "files of the sidecar's home can be emptied, though not read (needs Linux 6.2)"
    if version < landlock.ABI_NET:
        yield "the sidecar's own port can be reached, with the bare id of any agent (needs Linux 6.7)"
    elif not filtered:
        yield "the sidecar's own port can be reached by multipath TCP or TCP Fast Open on this machine"
    if not filtered:
        yield "the terminal can be typed into, and processes outside be given limits, on this machine"
    if version < landlock.ABI_SCOPE:
        yield "processes outside can be sent signals, the sidecar too (needs Linux 6.12)"


def _is_above(path: Path, kept: tuple[Path, ...]) -> bool:
    return path in _above(kept)


@functools.cache
def _above(kept: tuple[Path, ...]) -> frozenset[Path]:
    """Return the folders that they lie in; a plan looks at hundreds of paths."""
    return frozenset(folder for path in kept for folder in path.parents)


def _children(path: Path) -> list[Path]:
    try:
        return [path / name for name in os.listdir(path)]  # noqa: PTH208 (a name is all that is needed)
    except OSError:  # what may not be listed, or is gone by now, gets no rules
        return []


def _code() -> list[Path]:
    """Return the folders that the operator's next command runs from: no program may change what that does."""
    modules = (spendguard_cli.__file__, spendguard_daemon.__file__)
    found = {Path(file).resolve().parent.parent for file in modules if file}  # as on sys.path
    if sys.prefix != sys.base_prefix:
        found.add(Path(sys.prefix).resolve())
    base, user = Path(sys.base_prefix).resolve(), Path("~").expanduser().resolve()
    if base.is_relative_to(user):
        found.add(base)
    return sorted(found)
