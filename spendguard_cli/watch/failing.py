"""Refusals and failed calls, put together by code and agent: how many, and the latest. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from spendguard_cli.doctor.groups.failures import cut_by
from spendguard_cli.watch.board import Board
from spendguard_daemon import wire
from spendguard_daemon.errors import Code


@dataclass(frozen=True, slots=True)
class Failed:
    """Calls that failed alike: `code` is ours, or a word for what the provider did.

    `agents` are whose they are, each with how many; `newest` is the latest of them.
    """

    code: str
    newest: wire.Call
    count: int
    agents: dict[str, int]

    @property
    def key(self) -> str:
        """Return what tells this group from all others."""
        return f"{self.code}/{next(iter(self.agents))}" if len(self.agents) == 1 else self.code


def kind(call: wire.Call) -> str | None:
    """Return as what a call counts among failures; None for one that went well, or is in flight."""
    match call.state:
        case "refused":
            return call.code or "refused"
        case "overrun":
            return "overrun"
        case "settled_worst":
            return cut_by(call) or _lost(call)
        case "voided":
            return None if cut_by(call) else _unbilled(call)
    return None


def _lost(call: wire.Call) -> str:
    if call.http_status is not None and call.http_status >= 400:
        return f"answered {call.http_status}"
    reason = call.reason or ""
    late = "no byte" in reason or "deadline" in reason
    return Code.UPSTREAM_TIMEOUT.value if late else Code.UPSTREAM_FAILED.value


def _unbilled(call: wire.Call) -> str:
    if call.http_status in (401, 403):
        return Code.PROVIDER_KEY_REJECTED.value
    if call.http_status is None or call.http_status < 400:
        return Code.UPSTREAM_UNREACHABLE.value
    return f"answered {call.http_status}"


def failures(calls: Iterable[wire.Call]) -> list[wire.Call]:
    """Return those of some calls that failed, in their order."""
    return [call for call in calls if kind(call) is not None]


def by_code(board: Board) -> list[list[Failed]]:
    """Return of each code the group of all its calls, and where they are of several agents, one for each.

    The code that was met last comes first; so do the agents within.
    """
    found: dict[str, dict[str, list[wire.Call]]] = {}
    for call in failures(reversed(board.ended.values())):
        found.setdefault(kind(call) or "", {}).setdefault(call.agent_id, []).append(call)
    groups = [_groups(code, agents) for code, agents in found.items()]
    return sorted(groups, key=lambda group: _when(group[0].newest), reverse=True)


def is_confirmed(board: Board, call: wire.Call) -> bool:
    """Tell whether a person has entered since what a call cost that had been charged at a bound."""
    totals = board.totals
    if call.state not in ("settled_worst", "overrun") or totals is None:
        return False
    shown = totals.unconfirmed
    if call.call_id in {one.call_id for one in shown}:
        return False
    oldest = min((one.ended_at for one in shown), default="")
    return totals.unconfirmed_calls <= len(shown) or (call.ended_at or "") > oldest


def _groups(code: str, agents: dict[str, list[wire.Call]]) -> list[Failed]:
    each = [
        Failed(
            code,
            max(calls, key=_when),
            sum(one.count for one in calls),
            {agent_id: sum(one.count for one in calls)},
        )
        for agent_id, calls in agents.items()
    ]
    each.sort(key=lambda one: _when(one.newest), reverse=True)
    if len(each) == 1:
        return each
    counts = {next(iter(one.agents)): one.count for one in each}
    return [Failed(code, each[0].newest, sum(counts.values()), counts), *each]


def _when(call: wire.Call) -> str:
    return call.ended_at or call.created_at
