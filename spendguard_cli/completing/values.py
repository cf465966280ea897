"""Names that can be completed: from the sidecar where one is up, else from what is known without it.

Starts nothing, and waits for a second or two at most: whoever presses TAB is waiting. Loads httpx only where
a sidecar is asked. Invariant: nothing that could steer a terminal is among what is returned.
"""

import contextlib
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from spendguard_cli.completing.tree import Asked, Candidate, Kind
from spendguard_cli.context import Flags
from spendguard_cli.session import Session
from spendguard_daemon.text import safe

if TYPE_CHECKING:
    from spendguard_cli.client import Control

PATIENCE_SECONDS = 1.5
CALLS_OFFERED = 50


class LateError(BaseException):
    """The sidecar took too long; no ordinary handler on the way may take this for its own error."""


def values(asked: Asked, env: Mapping[str, str]) -> list[Candidate]:
    """Return what may stand there, each fit for a terminal."""
    found = asked.candidates
    if asked.kind in LIVE:
        found = _from_sidecar(asked, env)
    if not found and asked.kind in STATIC:
        found = STATIC[asked.kind]()
    return [(value, safe(text)) for value, text in found if value and safe(value) == value]


def _from_sidecar(asked: Asked, env: Mapping[str, str]) -> list[Candidate]:
    given = asked.given
    flags = Flags(
        home=given.get("home"), base_url=given.get("base_url"), api_key=given.get("api_key"), no_spawn=True
    )
    import spendguard_cli.connect  # noqa: F401 - what takes long to load is no fault of the sidecar's

    session = Session(flags, env)
    try:
        with contextlib.closing(session), _patience():
            control = session.peek()
            return [] if control is None else LIVE[asked.kind](session, control, given)
    except (LateError, Exception):  # noqa: BLE001 - a word that is not completed says nothing
        return []


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, _late)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _late(_number: int, _frame: FrameType | None) -> NoReturn:
    raise LateError


def _agents(_session: Session, control: "Control", _given: Mapping[str, str]) -> list[Candidate]:
    """Return names that can be typed for an agent, then all ids, each with its name."""
    agents = control.agents()
    names = Counter(agent.name for agent in agents)
    typed = [
        (agent.name, agent.agent_id)
        for agent in agents
        if names[agent.name] == 1 and not agent.name.startswith("-")
    ]
    return typed + [(agent.agent_id, agent.name) for agent in agents]


def _agent_id(session: Session, control: "Control", given: Mapping[str, str]) -> str:
    """Return the agent that was named before; else the only one there is."""
    ref = given.get("agent") or given.get("agent_option")
    if ref:
        return session.agent_id(ref)
    (only,) = control.agents()
    return only.agent_id


def _runs(session: Session, control: "Control", given: Mapping[str, str]) -> list[Candidate]:
    return [(run.run_id, "") for run in control.runs(_agent_id(session, control, given))]


def _keys(session: Session, control: "Control", given: Mapping[str, str]) -> list[Candidate]:
    return [(key.key_id, key.label or "") for key in control.keys(_agent_id(session, control, given))]


def _calls(session: Session, control: "Control", given: Mapping[str, str]) -> list[Candidate]:
    """Return the latest calls of the agent that was named, else of all."""
    ref = given.get("agent")
    ids = [session.agent_id(ref)] if ref else [agent.agent_id for agent in control.agents()]
    calls = [call for agent_id in ids for call in control.calls(agent_id, CALLS_OFFERED)]
    calls.sort(key=lambda call: call.created_at, reverse=True)
    return [(call.call_id, f"{call.state} {call.model} {call.created_at}") for call in calls[:CALLS_OFFERED]]


def _models(_session: Session, control: "Control", _given: Mapping[str, str]) -> list[Candidate]:
    return [(name, "") for name in control.pricing().models]


def _bundled_models() -> list[Candidate]:
    from spendguard_cli.pricing.names import bundled_models

    return [(name, "") for name in bundled_models()]


def _providers() -> list[Candidate]:
    from spendguard_daemon.settings import PROVIDERS

    return [(name, "") for name in PROVIDERS]


def _settings() -> list[Candidate]:
    from spendguard_daemon import settings

    rows = [(f"{row.section}.{row.name}", "") for row in settings.rows()]
    return rows + [(f"providers.{name}.base_url", "") for name in settings.PROVIDERS]


def _checks() -> list[Candidate]:
    from spendguard_cli.doctor.examine import CHECKS

    groups = dict.fromkeys(check.group for check in CHECKS)
    return [(group, "all of this group") for group in groups] + [(one.name, one.about) for one in CHECKS]


def _failures() -> list[Candidate]:
    from spendguard_daemon.codes import TABLE

    known = [("402", ""), ("409", ""), ("400", ""), ("signature", "")]
    return known + [(str(code), entry.title) for code, entry in TABLE.items()]


LIVE: dict[Kind, Callable[[Session, "Control", Mapping[str, str]], list[Candidate]]] = {
    Kind.AGENTS: _agents,
    Kind.RUNS: _runs,
    Kind.CALLS: _calls,
    Kind.KEYS: _keys,
    Kind.MODELS: _models,
}
STATIC: dict[Kind, Callable[[], list[Candidate]]] = {
    Kind.MODELS: _bundled_models,
    Kind.PROVIDERS: _providers,
    Kind.SETTINGS: _settings,
    Kind.CHECKS: _checks,
    Kind.FAILURES: _failures,
}
