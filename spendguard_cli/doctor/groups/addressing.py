"""Whom this shell talks to: CAP_BASE_URL, CAP_MODE, CAP_API_KEY, and which `spendguard` it runs."""

import shlex
from collections.abc import Iterable

from spendguard_cli.doctor import own_program
from spendguard_cli.doctor.findings import Finding, Level, ok
from spendguard_cli.doctor.world import World
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.text import safe

NOT_THE_KEY = (Code.NO_DAEMON, Code.UNPROVEN_DAEMON, Code.INTERNAL, Code.HOME_UNSAFE)
"""What happens before the sidecar has seen a key, or for another reason."""

WHOM = ("CAP_BASE_URL", "CAP_MODE", "CAP_API_KEY")


def address(world: World) -> Iterable[Finding]:
    """Does this shell talk to the sidecar that is meant."""
    error = world.connection_error
    if error is not None:
        return [_nonsense(world, error)]
    found = world.connection
    if found.in_exec:
        return [_inside(world)]
    if found.base_url is None and found.api_key is None:
        return [ok(f"This shell talks to the sidecar of {found.home.root}")]
    up = world.control is not None and world.status is not None
    where = found.base_url or f"the sidecar of {found.home.root}"
    if up:
        return [ok(f"This shell talks to {where}", *_named(world))]
    return [_not_reached(world, world.status_error)]


def program(world: World) -> Iterable[Finding]:
    """Is the `spendguard` that a shell finds this program."""
    first, mine = own_program.first_on_path(world.env), own_program.own()
    if first is not None and own_program.is_own(first):
        return [ok(f"The first spendguard on PATH is this program: {safe(str(first))}")]
    remedy, deed = [], ""
    if mine is not None:
        remedy = [f'export PATH={shlex.quote(str(mine.parent))}:"$PATH"']
    if first is None:
        told = "No spendguard is on PATH, so that commands cannot be typed as they are printed"
        return [Finding(level=Level.NOTE, finding=told, remedy=remedy)]
    if mine is None:
        deed = f"Remove {safe(str(first))}, or put the folder of this program before it on PATH"
    line = own_program.first_line(first)
    return [
        Finding(
            level=Level.WARNING,
            finding=f"The first spendguard on PATH is another program: {safe(str(first))}",
            evidence=[
                *([f"it begins with {line}"] if line else []),
                f"this program is {mine}" if mine else "this program has no script of its own",
            ],
            remedy=remedy,
            deed=deed,
        )
    ]


def _nonsense(world: World, error: SpendGuardError) -> Finding:
    """Say which variable makes no sense; it is the one that the error names first."""
    named = [name for name in (*WHOM, "SPENDGUARD_HOME") if name in world.env and name in error.detail]
    if not named and "another machine" in error.detail:
        named = ["CAP_BASE_URL"]
    return Finding(
        level=Level.RED,
        finding=f"Nobody can be talked to from this shell: {safe(error.detail)}",
        evidence=_named(world),
        remedy=[f"unset {' '.join(named)}"] if named else [],
        deed=f"{error.remedy[:1].upper()}{error.remedy[1:]}",
        code=Code.USAGE,
    )


def _inside(world: World) -> Finding:
    told = "This shell runs inside spendguard exec: only its own agent can be seen, not the sidecar's home"
    own = world.env.get("SPENDGUARD_AGENT_ID", "")
    return Finding(
        level=Level.NOTE,
        finding=told,
        evidence=[f"SPENDGUARD_AGENT_ID={safe(own)}"] if own else [],
        deed="For all of it, an operator runs spendguard doctor outside",
    )


def _not_reached(world: World, error: SpendGuardError | None) -> Finding:
    """Tell why the sidecar that was named cannot be used; one that is merely down is told elsewhere."""
    found = world.connection
    if error is not None and error.code not in NOT_THE_KEY and found.api_key is not None:
        told = f"CAP_API_KEY is not accepted by the sidecar: {safe(error.detail)}"
        return _wrong(world, told, ("CAP_API_KEY",), error)
    if found.base_url is None or (found.local and _is_own_port(world)):
        return ok("This shell talks to the sidecar of the home")
    if error is None:
        told = f"nothing answers at {safe(found.base_url)}"
        return _wrong(world, f"{found.base_url_from} names nobody: {told}", WHOM, None)
    told = f"{found.base_url_from} names a sidecar that cannot be used: {safe(error.detail)}"
    return _wrong(world, told, WHOM, error)


def _is_own_port(world: World) -> bool:
    """Tell whether the address is that of the home's own sidecar, be it down, hung, or not yet started."""
    port = world.connection.port
    if world.ledger_is_held:
        return world.info is not None and world.info.port == port
    return port == world.set_port


def _wrong(world: World, told: str, names: Iterable[str], error: SpendGuardError | None) -> Finding:
    """Return the finding whose remedy takes these variables out of the shell."""
    set_here = [name for name in names if name in world.env]
    code = error.code if error else Code.NO_DAEMON
    deed = "" if set_here else "Correct the flags --base-url and --api-key, or leave them out"
    return Finding(
        level=Level.RED,
        finding=told,
        evidence=_named(world),
        remedy=[f"unset {' '.join(set_here)}"] if set_here else [],
        deed=deed,
        code=code,
    )


def _named(world: World) -> list[str]:
    """Return the variables that say whom to talk to; of a key only that there is one."""
    shown = [f"{name}={safe(world.env[name])}" for name in WHOM[:2] if world.env.get(name)]
    return shown + (["CAP_API_KEY is set"] if world.env.get("CAP_API_KEY") else [])
