"""All that surrounds a program: its folder, its environment, its isolation, and what its user is told.

`Surroundings.made` does in order what must precede the rules: files and folders first, since nothing that is
made later directly in a narrowed folder has a rule.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spendguard_cli.exec import isolation
from spendguard_cli.exec.environment import Identity, cleaned, routed
from spendguard_cli.exec.isolation import Kept
from spendguard_cli.exec.programs import (
    GEMINI_HOME,
    GEMINI_OWN,
    OPENCODE_CONFIG,
    Needs,
    command_line,
    gemini_settings,
    needs_of,
    opencode_config,
)
from spendguard_daemon.errors import Code, SpendGuardError

NO_LANDLOCK = "this system has no Landlock (Linux 5.13 or later has it)"
ELSEWHERE = "--no-isolate lets it, and so does {} elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolating:
    """Whether and how to isolate. `wanted` None: where it is possible. `denied_port` is the sidecar's own."""

    wanted: bool | None
    home: Path
    denied_port: int | None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a program is started with. `notes` are sentences for who started it."""

    words: Sequence[str]
    env: Mapping[str, str]
    restrict: Callable[[], None] | None
    notes: tuple[str, ...]


@contextlib.contextmanager
def made(
    words: Sequence[str],
    env: Mapping[str, str],
    known_keys: Collection[str],
    identity: Identity,
    isolating: Isolating,
) -> Iterator[Surroundings]:
    """Yield what a command is started with; its folder is removed afterwards.

    Raises EXEC_FAILED where isolation was asked for by name and is not to be had, OSError where the temporary
    folder takes nothing.
    """
    kept = isolation.kept_of(isolating.home)
    clean = cleaned(env, known_keys)
    variables = routed(clean.variables, identity)
    needs = needs_of(words[0], variables)
    folder = Path(tempfile.mkdtemp(prefix="spendguard-exec-")).resolve()
    try:
        variables |= {OPENCODE_CONFIG: opencode_config(variables), **_gemini_home(variables, folder)}
        variables = {name: value for name, value in variables.items() if name not in needs.without}
        variables |= needs.variables
        rules, notes = None, _taken_out(clean.taken_out)
        if isolating.wanted is not False:
            variables |= _temporary(kept, folder)
            _make_folders(kept, needs)
            rules, why_not = _isolated(kept, isolating)
            notes += _narrowed(kept, needs, rules.missing) if rules else [f"not isolated: {why_not}"]
        try:
            yield Surroundings(
                command_line(words, needs), variables, rules.restrict if rules else None, tuple(notes)
            )
        finally:
            if rules:
                rules.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _isolated(kept: Kept, isolating: Isolating) -> tuple[isolation.Isolation | None, str]:
    """Return the rules, or why there are none; raise EXEC_FAILED for the latter where they must be."""
    try:
        rules, why_not = isolation.isolate(kept, isolating.denied_port), NO_LANDLOCK
    except OSError as error:
        rules, why_not = None, error.strerror or str(error)
    if rules is None and isolating.wanted:
        raise SpendGuardError(
            Code.EXEC_FAILED, f"exec failed: not isolated: {why_not}", remedy="leave out --isolate"
        )
    return rules, why_not


def _taken_out(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    return [f"taken out of its environment: {', '.join(names)}"]


def _temporary(kept: Kept, folder: Path) -> dict[str, str]:
    """Give the program a temporary folder of its own where nothing new can be made in the usual one."""
    if not kept.narrowed(folder.parent):
        return {}
    own = folder / "tmp"
    own.mkdir()
    return dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(own))


def _gemini_home(env: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Give Gemini CLI a home with settings that make it use its key, and links to what it has in its own."""
    usual = Path(env.get(GEMINI_HOME) or "~").expanduser() / ".gemini"
    try:
        text = (usual / "settings.json").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        text = ""
    settings = gemini_settings(text)
    if settings is None:
        return {}
    own = folder / "gemini" / ".gemini"
    own.mkdir(parents=True)
    (own / "settings.json").write_text(settings, encoding="utf-8")
    with contextlib.suppress(OSError):
        for entry in usual.iterdir():
            if entry.name not in GEMINI_OWN:
                (own / entry.name).symlink_to(entry)
    return {GEMINI_HOME: str(own.parent)}


def _make_folders(kept: Kept, needs: Needs) -> None:
    user = Path("~").expanduser()
    for name in needs.folders:
        if any(kept.narrowed(parent.resolve()) for parent in [user, *(user / name).parents]):
            with contextlib.suppress(OSError):
                (user / name).mkdir(parents=True, exist_ok=True)


def _narrowed(kept: Kept, needs: Needs, missing: Sequence[str]) -> list[str]:
    """Say what the isolation keeps from this program where it works, and what it does not keep."""
    notes = [f"isolated, but {sentence}" for sentence in missing]
    here = Path(os.getcwd())  # noqa: PTH109 (resolved by the system)
    inside = [path for path in (*kept.hidden, *kept.read_only) if here.is_relative_to(path)]
    if inside:
        remedy = _elsewhere(kept, inside)
        where = _all([here]) + (f", as it is in {_all(inside[:1])}" if here != inside[0] else "")
        notes.append(f"isolated: nothing can be written in {where}; {remedy}")
        return notes
    folders = [folder for folder in dict.fromkeys((here, _user())) if kept.narrowed(folder)]
    if folders:
        below = [path for folder in folders for path in kept.below(folder)]
        outermost = [path for path in below if not any(path.is_relative_to(one) for one in {*below} - {path})]
        notes.append(
            f"isolated: directly in {_all(folders)} nothing can be made, removed, renamed or replaced, "
            f"because of {_all(outermost)}; --no-isolate lets it"
        )
    if needs.isolated_note:
        notes.append(f"isolated: {needs.isolated_note}")
    return notes


def _user() -> Path:
    return Path("~").expanduser().resolve()


def _all(paths: Sequence[Path]) -> str:
    """Write paths as a shell takes them, short: those of the user from `~` on."""
    return " and ".join(_short(path) for path in dict.fromkeys(paths))


def _short(path: Path) -> str:
    user = _user()
    if path == user:
        return "~"
    return f"~/{path.relative_to(user)}" if path.is_relative_to(user) else str(path)


def _elsewhere(kept: Kept, paths: Sequence[Path]) -> str:
    """Return what lets a program write where these paths keep it from that."""
    kinds = (("a SPENDGUARD_HOME", kept.hidden), ("a SpendGuard installed", kept.read_only))
    needed = [what for what, those in kinds if {*those} & {*paths}]
    return ELSEWHERE.format(" and ".join(needed))
