"""The ways out where the sidecar, its home, its prices or the command line is at fault. Pure."""

from collections.abc import Mapping

from spendguard_cli.ways.case import Way
from spendguard_daemon.errors import Code

_LIST_AGENTS = Way("see which agents there are", ("spendguard agent list",))
_REFRESH = Way("make the sidecar look for its prices again", ("spendguard pricing refresh",))
_LOGS = Way("see what the sidecar wrote of it", ("spendguard logs",))
_VERIFY = Way("see all that is wrong with the ledger", ("spendguard ledger verify",))
_UP = Way("start the sidecar", ("spendguard up",))

SIDECAR: Mapping[Code, tuple[Way, ...]] = {
    Code.POLICY_CHANGED: (Way("send it again: an operator changed the settings while the call waited"),),
    Code.FOREIGN_STATE: (
        Way(
            "send the history in the request itself, or go on from an answer that this agent got here lately"
        ),
    ),
    Code.UNAUTHORIZED: (
        Way("send the token of admin.token in the home as Authorization: Bearer, or set CAP_API_KEY to it"),
    ),
    Code.IDENTITY_CONFLICT: (Way("make path, header and key of the request name the same agent and run"),),
    Code.FORBIDDEN_ORIGIN: (
        Way("call from a program; spendguard config set access.origins <origin> lets a page in with a key"),
    ),
    Code.AGENT_NOT_FOUND: (_LIST_AGENTS,),
    Code.CALL_NOT_FOUND: (_LIST_AGENTS, Way("older calls are in: spendguard ledger export")),
    Code.CALL_NOT_OPEN: (Way("nothing is to be done: the call has ended"),),
    Code.ROUTE_NOT_FOUND: (Way("use a route that is served; the README lists them"),),
    Code.METHOD_NOT_ALLOWED: (Way("use the method that the Allow header names"),),
    Code.UNSUPPORTED_MEDIA: (Way("send content-type: application/json and no content-encoding"),),
    Code.MISDIRECTED_HOST: (
        Way(
            "call one of the names in the message, or add the name: spendguard config set access.hosts <name>"
        ),
    ),
    Code.PRICING_UNAVAILABLE: (_REFRESH, _LOGS),
    Code.PRICING_SIGNATURE: (
        Way("see document, signer and pinned keys beside each other", ("spendguard doctor signature",)),
        _REFRESH,
    ),
    Code.PRICING_INVALID: (Way("correct [prices.overrides] in config.toml, or ask the authority"), _REFRESH),
    Code.PRICING_EXPIRED: (_REFRESH, Way("check the clock of this machine")),
    Code.PRICING_ROLLBACK: (Way("ask the authority for its current document"), _REFRESH),
    Code.SHUTTING_DOWN: (_UP,),
    Code.CONNECTIONS_FULL: (
        Way("wait a moment; [limits] connections_max sets how many at a time, ulimit -n how many files"),
    ),
    Code.INTERNAL: (_LOGS,),
    Code.LEDGER_DAMAGED: (_VERIFY, Way("put a backup there: spendguard ledger restore <backup>")),
    Code.LEDGER_LOCKED: (Way("end the sidecar that has the ledger open", ("spendguard down",)),),
    Code.LEDGER_NEWER: (Way("install the version of SpendGuard that wrote this ledger, or a newer one"),),
    Code.LEDGER_FULL: (Way("free space on the disk of the home folder; calls pass again by themselves"),),
    Code.LEDGER_REFUSED: (_LOGS,),
    Code.DISK_FAILED: (Way("mend the disk"), _UP),
    Code.HOME_UNSAFE: (Way("close the home to other users", ("spendguard doctor --fix",)),),
    Code.PORT_TAKEN: (Way("start the sidecar on a port that is free", ("spendguard up --port 0",)),),
    Code.USAGE: (Way("correct the command", ("spendguard --help",)),),
    Code.NO_DAEMON: (_UP,),
    Code.UNPROVEN_DAEMON: (
        Way("start the sidecar on another port, or end the program there", ("spendguard up --port 0",)),
    ),
    Code.AMBIGUOUS_NAME: (Way("use an agent's id instead of its name", ("spendguard agent list",)),),
    Code.NOT_ALLOWED: (Way("run it from an operator's shell, outside of spendguard exec"),),
    Code.EXEC_FAILED: (Way("see what exec needs", ("spendguard exec --help",)),),
}
"""How each of these codes is got out of, whatever its numbers."""
