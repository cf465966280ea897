"""From a resolved `Connection` to a `Control` that may be trusted with a token.

The one place that decides between using, starting and refusing a sidecar. Invariant: a sidecar of this
machine is proven before its token is sent; one elsewhere gets the operator's key and nothing of this home.
"""

from collections.abc import Callable, Mapping

from spendguard_cli import tomlfiles
from spendguard_cli.client import Control
from spendguard_cli.context import Connection
from spendguard_cli.inside import ControlInside
from spendguard_cli.prove import Found, Place, knock
from spendguard_cli.supervisor import Running, ensure, find
from spendguard_daemon import runtime
from spendguard_daemon.errors import Code, SpendGuardError


def connect(
    connection: Connection, env: Mapping[str, str], say: Callable[[str], None]
) -> tuple[Control, bool]:
    """Return a control client, and whether a sidecar had to be started for it.

    `say` is told what is waited for. Raises NO_DAEMON, UNPROVEN_DAEMON, or what a started daemon died of.
    """
    control = _unproven(connection)
    if control is not None:
        return control, False
    if connection.base_url is not None:
        return _named(connection, connection.base_url, env, say)
    running = find(connection.home)
    started = False
    if running is None:
        _may_start(connection)
        running, started = ensure(connection.home, None, env, say)
    return _control(connection, running), started


def peek(connection: Connection) -> Control | None:
    """Return a control client if its sidecar is up; never start one. Raises UNPROVEN_DAEMON."""
    control = _unproven(connection)
    if control is not None:
        return control
    if connection.base_url is None:
        running = find(connection.home)
        return _control(connection, running) if running else None
    tokens = _tokens(connection)
    place = Place(connection.base_url)
    found = knock(place, tokens)
    if found is Found.PROVEN:
        return _trusted(connection, place, tokens[0])
    if found is Found.NOTHING:
        return None
    raise _not_ours(found, connection.base_url)


def _unproven(connection: Connection) -> Control | None:
    """Return a client of a sidecar that cannot prove itself to us: one elsewhere, or ours, inside `exec`.

    There the token that it would be proven with is out of reach, and only the program's own key is sent.
    """
    if connection.base_url is None:
        return None
    if not connection.local:
        return Control(connection.base_url, connection.api_key, local=False, named=True)
    if connection.in_exec and connection.api_key is not None:
        return ControlInside(connection.base_url, connection.api_key, local=True, named=True)
    return None


def _named(
    connection: Connection, base_url: str, env: Mapping[str, str], say: Callable[[str], None]
) -> tuple[Control, bool]:
    """Use the sidecar at an address that was named; start one there only if it is the home's own address."""
    control = peek(connection)
    if control is not None:
        return control, False
    _may_start(connection)
    if connection.port != tomlfiles.default_port(connection.home, env):
        raise _nothing_there(connection, base_url)
    running, started = ensure(connection.home, connection.port, env, say)
    if running.place.port != connection.port:
        raise _nothing_there(connection, base_url)
    return _control(connection, running), started


def _nothing_there(connection: Connection, base_url: str) -> SpendGuardError:
    running = find(connection.home)
    elsewhere = f": the sidecar of {connection.home.root} is on port {running.place.port}" if running else ""
    return SpendGuardError(
        Code.NO_DAEMON,
        f"Nothing answers at {base_url}{elsewhere}",
        remedy=f"correct {connection.base_url_from}, or leave it out to use the sidecar of this home",
    )


def _control(connection: Connection, running: Running) -> Control:
    return _trusted(connection, running.place, running.token)


def _trusted(connection: Connection, place: Place, token: str) -> Control:
    """Return a client of a proven sidecar of this machine; a key that the operator named goes first."""
    named = connection.api_key is not None
    key = connection.api_key or token
    return Control(place.base_url, key, local=True, named=named, socket=place.socket)


def _may_start(connection: Connection) -> None:
    if connection.stay is not None:
        where = connection.base_url or f"the home {connection.home.root}"
        raise SpendGuardError(
            Code.NO_DAEMON,
            f"No sidecar is running at {where}, and none is started because {connection.stay}",
            remedy="spendguard up",
        )


def _tokens(connection: Connection) -> list[str]:
    """Return what the sidecar may prove itself by: the home's token, and the key the operator named."""
    try:
        tokens = [runtime.read_admin_token(connection.home)]
    except SpendGuardError as error:
        if error.code is not Code.NO_DAEMON:
            raise
        tokens = []
    return tokens + ([connection.api_key] if connection.api_key else [])


def _not_ours(found: Found, base_url: str) -> SpendGuardError:
    if found is Found.SILENT:
        return SpendGuardError(
            Code.NO_DAEMON,
            f"What listens at {base_url} does not answer",
            remedy="spendguard restart, or stop the program on that port",
        )
    return SpendGuardError(
        Code.UNPROVEN_DAEMON,
        f"What answers at {base_url} could not prove that it is your sidecar, so no token was sent to it",
        remedy="spendguard up --port <another>, or stop that program; a key of another sidecar goes into "
        "CAP_API_KEY",
    )
