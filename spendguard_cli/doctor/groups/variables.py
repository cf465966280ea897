"""The settings in this shell's environment: wrong ones, those of the original, and misspelt ones."""

from collections.abc import Iterable, Iterator, Mapping

from spendguard_cli.doctor.findings import Finding, Level, ok
from spendguard_cli.doctor.world import World
from spendguard_daemon import settings
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.runtime import read_text
from spendguard_daemon.text import safe


def environment(world: World) -> Iterable[Finding]:
    """Are the settings in this shell's environment settings, and do they mean something."""
    if not world.is_own:
        return [ok("The settings of this shell are not looked at: no sidecar of this machine is meant")]
    found = list(_wrong_variables(world))
    ignored = [name for name in settings.IGNORED if name in world.env]
    if ignored:
        told = f"{', '.join(ignored)}: the original knew this setting; here it means nothing"
        found.append(Finding(level=Level.NOTE, finding=told, remedy=[f"unset {' '.join(ignored)}"]))
    unknown = [name for name in sorted(world.env) if _is_misspelt(name)]
    if unknown:
        told = f"{safe(', '.join(unknown))}: no setting has this name, so it means nothing"
        deed = "spendguard config show lists every setting"
        found.append(Finding(level=Level.NOTE, finding=told, deed=deed))
    return found or [ok("The settings in this shell's environment can be read")]


def _wrong_variables(world: World) -> Iterator[Finding]:
    try:
        text = read_text(world.home.config)
        settings.load(text, {})
    except SpendGuardError:
        text = ""  # that is told of the file itself
    found = _bad_variable(text, world.env)
    if found is not None:
        name, error = found
        yield Finding(
            level=Level.WARNING if world.control is not None else Level.RED,
            finding=f"A setting in this shell's environment is wrong: {safe(error.detail)}",
            evidence=[f"{name} is set in this shell"],
            remedy=[f"unset {name}"],
            code=Code.USAGE,
        )


def _is_misspelt(name: str) -> bool:
    """Tell whether a variable looks like a setting of a section that there is, and is none."""
    known = {each for row in settings.rows() for each in row.env}
    sections = {f"SPENDGUARD_{row.section.upper()}_" for row in settings.rows()}
    return name.startswith(tuple(sections)) and name not in known


def _bad_variable(config: str, env: Mapping[str, str]) -> tuple[str, SpendGuardError] | None:
    """Return the variable without which settings can be read, and what is wrong with it."""
    try:
        settings.load(config, env)
    except SpendGuardError as error:
        for name in env:
            rest = {key: value for key, value in env.items() if key != name}
            if name.startswith(("SPENDGUARD_", "CAP_", "XAI_")) and _loads(config, rest, error.detail):
                return name, error
    return None


def _loads(config: str, env: Mapping[str, str], said: str) -> bool:
    try:
        settings.load(config, env)
    except SpendGuardError as error:
        return error.detail != said
    return True
