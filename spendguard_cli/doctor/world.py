"""What a doctor can look at: the one door of all checks to the sidecar, the home and the shell.

Everything is looked at once, when first asked for, so that checks agree with each other, and so that one
check alone is quick. Nothing here judges. No property raises because something is broken: what could not be
had is None or empty, and its error is kept beside it (`status_error`).
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from spendguard_cli import supervisor
from spendguard_cli.client import Control
from spendguard_cli.context import AGENT_ID, Connection
from spendguard_cli.doctor.lately import Refused, refused
from spendguard_cli.doctor.world_prices import PricesWorld
from spendguard_cli.holder import Holder, holder, is_held
from spendguard_cli.ledger.left_open import Open, left_open
from spendguard_cli.prove import Found, Place, knock
from spendguard_cli.session import Session
from spendguard_cli.ways_on import refs
from spendguard_daemon import runtime, wire
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.runtime import DaemonInfo, Home

SHORT_KNOCK_SECONDS = 1.0
"""For a second knock: the first one, which may wait for five, found nobody."""

CALLS_LOOKED_AT = 200
"""How many of an agent's latest calls a check sees."""


@dataclass(frozen=True, slots=True)
class Port:
    """Who answers at the port where the sidecar is expected."""

    number: int
    found: Found


class World(PricesWorld):
    """One look at one machine. `agent_ref`: only this agent is of interest (`--agent`), by id or name."""

    def __init__(self, session: Session, agent_ref: str | None = None):
        self.session = session
        self.agent_ref = agent_ref
        self.now_ns = time.time_ns()
        self.status_error: SpendGuardError | None = None

    @cached_property
    def connection(self) -> Connection:
        """Whom the command line would talk to; where that makes no sense (`connection_error`), the home's."""
        try:
            return self.session.connection
        except SpendGuardError:
            return self.session.at_home

    @cached_property
    def connection_error(self) -> SpendGuardError | None:
        """What is wrong with the flags and variables that say whom to talk to."""
        try:
            self.session.connection  # noqa: B018 - it raises what is asked for
        except SpendGuardError as error:
            return error
        return None

    @property
    def env(self) -> Mapping[str, str]:
        """The shell's environment."""
        return self.session.env

    @property
    def home(self) -> Home:
        """The home, which need not exist."""
        return self.connection.home

    @cached_property
    def control(self) -> Control | None:
        """The sidecar if it is up and proven; never started. Its failure is kept as `status_error`."""
        try:
            return self.session.peek()
        except SpendGuardError as error:
            self.status_error = error
        except OSError as error:
            said = f"The home folder {self.home.root} cannot be used: {error.strerror}"
            self.status_error = SpendGuardError(Code.HOME_UNSAFE, said)
        return None

    @cached_property
    def status(self) -> wire.Status | None:
        """The daemon at a glance, None where it is down, hung, or answers in words of another version."""
        try:
            return self.control.status() if self.control else None
        except SpendGuardError as error:
            self.status_error = error
            return None

    @cached_property
    def agents(self) -> list[wire.Agent]:
        """All agents, or the one of `--agent`; none where the sidecar is down."""
        wanted = self.agent_ref
        return [one for one in self.everyone if wanted is None or wanted in (one.agent_id, one.name)]

    @cached_property
    def everyone(self) -> list[wire.Agent]:
        """All agents, also where only one is of interest; inside `exec` its own; none where nobody tells."""
        try:
            if self.connection.in_exec:
                own = self.env.get(AGENT_ID, "")
                return [self.control.agent(own)] if self.control and own else []
            return self.control.agents() if self.control and self.status else []
        except SpendGuardError as error:
            self.status_error = error
            return []

    @property
    def answers(self) -> bool:
        """Whether a sidecar tells of agents; inside `exec` it tells a program of its own alone."""
        return self.status is not None or (self.connection.in_exec and bool(self.everyone))

    @cached_property
    def not_looked_at(self) -> set[str]:
        """The groups of checks that have said already that nobody could be asked."""
        return set()

    @cached_property
    def left_open(self) -> Open | None:
        """The calls that a sidecar left in flight, by its ledger; None where that is not known."""
        if not self.is_own or self.ledger_is_held:
            return None
        try:
            return left_open(self.home.ledger)
        except (SpendGuardError, OSError):
            return None

    def budget(self, agent_id: str) -> wire.Budget | None:
        """Return an agent's money and lock, None where there is none, or nobody to ask."""
        try:
            return self.control.budget(agent_id) if self.control else None
        except SpendGuardError:
            return None

    @cached_property
    def named(self) -> dict[str, str]:
        """How a command names each agent, by id: its name where that is unique and can be typed."""
        return refs(self.everyone)

    def calls(self, agent_id: str) -> list[wire.Call]:
        """Return an agent's latest calls, refused ones too, newest first; none where the sidecar is down."""
        if agent_id not in self._calls:
            try:
                found = self.control.calls(agent_id, CALLS_LOOKED_AT) if self.control else []
            except SpendGuardError as error:
                self.status_error, found = error, []
            self._calls[agent_id] = found
        return self._calls[agent_id]

    @cached_property
    def _calls(self) -> dict[str, list[wire.Call]]:
        return {}

    def in_flight(self, agent_id: str) -> list[wire.Call]:
        """Return an agent's calls that have a hold and no end, the oldest first."""
        return [call for call in reversed(self.calls(agent_id)) if call.state == "held"]

    def call(self, call_id: str) -> wire.Call | None:
        """Return one call, None where there is none, or nobody to ask."""
        try:
            return self.control.call(call_id) if self.control and call_id else None
        except SpendGuardError:
            return None

    @cached_property
    def refused(self) -> list[Refused]:
        """The refusals of the last hour of the agents of interest, told together by agent and code."""
        return refused(self)

    def keys(self, agent_id: str) -> list[wire.AgentKey]:
        """Return an agent's keys, oldest first; none where the sidecar is down."""
        if agent_id not in self._keys:
            try:
                self._keys[agent_id] = self.control.keys(agent_id) if self.control else []
            except SpendGuardError as error:
                self.status_error, self._keys[agent_id] = error, []
        return self._keys[agent_id]

    @cached_property
    def _keys(self) -> dict[str, list[wire.AgentKey]]:
        return {}

    @cached_property
    def info(self) -> DaemonInfo | None:
        """What the last daemon of this home wrote of itself (`run/daemon.json`), None where there is none."""
        try:
            return runtime.read_daemon_info(self.home)
        except (SpendGuardError, OSError):
            return None

    @cached_property
    def ledger_is_held(self) -> bool:
        """Whether a live process has the ledger open."""
        try:
            return is_held(self.home)
        except (SpendGuardError, OSError):
            return False

    @cached_property
    def holder(self) -> Holder | None:
        """Who has the ledger open, None where nobody has, or nobody can tell who."""
        try:
            return holder(self.home)
        except (SpendGuardError, OSError):
            return None

    @cached_property
    def behind_the_lock(self) -> Found:
        """Who answers where the one who has the ledger open says that it listens: a short knock."""
        try:
            info, tokens = runtime.read_lock_info(self.home), [runtime.read_admin_token(self.home)]
        except (SpendGuardError, OSError):
            info, tokens = runtime.read_lock_info(self.home), []
        if not (self.ledger_is_held and info and info.port):
            return Found.NOTHING
        return knock(Place.at(info.port), tokens, SHORT_KNOCK_SECONDS)

    @cached_property
    def is_own(self) -> bool:
        """Whether the sidecar meant is one of this machine, and this shell an operator's."""
        found = self.connection
        return self.connection_error is None and found.local and not found.in_exec

    @cached_property
    def port(self) -> Port:
        """Who answers at the port of the last daemon, or else the one that is set (0: none is known)."""
        number = (self.info.port if self.info else 0) or self.set_port or 0
        if self.control is not None and self.control.base_url == Place.at(number).base_url:
            return Port(number, Found.PROVEN)  # it was knocked at, before it was spoken to
        try:
            tokens = [runtime.read_admin_token(self.home)]
        except (SpendGuardError, OSError):
            tokens = []
        return Port(number, knock(Place.at(number), tokens) if number else Found.NOTHING)

    @cached_property
    def set_port(self) -> int | None:
        """The port that the next sidecar of this home would take; None: any free one, or not known."""
        from spendguard_cli import tomlfiles

        try:
            return tomlfiles.default_port(self.home, self.env)
        except SpendGuardError:
            return None

    @cached_property
    def running(self) -> "supervisor.Running | None":
        """The proven sidecar of this home."""
        if self.connection.base_url is None and self.control is None:
            return None  # it was looked for, and one that hangs is not waited for twice
        return supervisor.find_quietly(self.home)
