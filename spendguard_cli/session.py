"""What a command is given: the flags resolved, the two streams, and the sidecar when it asks for it.

Imports nothing heavy at the top: a command that needs no sidecar never loads httpx.
"""

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spendguard_cli.context import AGENT_KEY, Connection, Flags, resolve
from spendguard_cli.output import Output
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.text import safe

if TYPE_CHECKING:
    from spendguard_cli.client import Control
    from spendguard_daemon import wire

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Session:
    """One invocation of one command."""

    def __init__(self, flags: Flags, env: Mapping[str, str] | None = None):
        self.env = os.environ if env is None else env
        self.out = Output.choose(json=flags.json)
        self._flags = flags
        self._connection: Connection | None = None
        self._control: Control | None = None

    @property
    def connection(self) -> Connection:
        """Whom to talk to; raises USAGE where flags or environment make no sense."""
        if self._connection is None:
            self._connection = resolve(self._flags, self.env)
        return self._connection

    @property
    def at_home(self) -> Connection:
        """The sidecar of the home alone, for when the rest of the environment makes no sense."""
        flags = Flags(home=self._flags.home, no_spawn=True)
        env = {name: value for name, value in self.env.items() if not name.startswith("CAP_")}
        try:
            return resolve(flags, env)
        except SpendGuardError:
            named = self._flags.home or env.get("SPENDGUARD_HOME", "")
            return resolve(Flags(home=str(Path.cwd() / named), no_spawn=True), env | {AGENT_KEY: ""})

    @property
    def control(self) -> "Control":
        """The sidecar, proven, started on demand."""
        if self._control is None:
            from spendguard_cli.connect import connect

            self._control, started = connect(self.connection, self.env, self.out.say)
            if started:
                self.out.hint(f"started the sidecar at {self._control.base_url}")
        return self._control

    def alive(self) -> "Control | None":
        """Return the sidecar if it is up now, also where it was started anew meanwhile; never start it."""
        if self._control is not None:
            try:
                self._control.not_ready()
            except SpendGuardError:
                self._control.close()
                self._control = None
        return self.peek()

    def peek(self) -> "Control | None":
        """Return the sidecar if it is up; never start it."""
        from spendguard_cli.connect import peek

        if self._control is None:
            self._control = peek(self.connection)
        return self._control

    def close(self) -> None:
        """Drop the connection to the sidecar."""
        if self._control is not None:
            self._control.close()

    def is_of_home(self, path: object) -> bool:
        """Tell whether a path, as an OSError names it, lies in the home of this invocation."""
        home = self._connection.home.root if self._connection else None
        return home is not None and isinstance(path, str | Path) and Path(path).is_relative_to(home)

    def operator_only(self, verb: str) -> None:
        """Raise NOT_ALLOWED inside `exec`: an agent must not raise its own cap (design 9)."""
        if self.connection.in_exec:
            raise SpendGuardError(
                Code.NOT_ALLOWED,
                f"Not allowed here: {verb} is for operators, and this shell runs inside spendguard exec",
                remedy="run it from an operator's shell",
            )

    def tell_ways_on(self, agents: "Sequence[wire.Agent]", daemon: "wire.DaemonBudget | None" = None) -> None:
        """Tell an operator what lets waiting calls go on; an agent inside `exec` is not told.

        With the cap of all these are all agents, and those with a name of their own are named by it.
        """
        from spendguard_cli.ways_on import refs, ways_on

        if not self.connection.in_exec:
            for command in ways_on(agents, daemon, None if daemon is None else refs(agents)):
                self.out.advise(command)

    def local_only(self, verb: str) -> None:
        """Raise USAGE where the sidecar meant is not one of this machine."""
        if not self.connection.local:
            raise SpendGuardError(
                Code.USAGE,
                f"{verb} is about the sidecar of this machine, but {self.connection.stay}",
                remedy="unset CAP_MODE and CAP_BASE_URL, or run it on that machine",
            )

    def agent_id(self, ref: str) -> str:
        """Return the id of the agent named by id or unique name.

        Raises AGENT_NOT_FOUND with the nearest name, AMBIGUOUS_NAME with the ids.
        """
        if UUID.fullmatch(ref):
            return ref
        agents = self.control.agents()
        same = [agent for agent in agents if agent.name == ref]
        ids = [agent.agent_id for agent in same]
        if len(ids) == 1:
            return ids[0]
        if ids:
            listed = ", ".join(f"{agent.agent_id} (created {agent.created_at})" for agent in same)
            raise SpendGuardError(
                Code.AMBIGUOUS_NAME,
                f"Several agents have this name: {safe(ref)!r} is {listed}",
                remedy="use one of these ids",
                facts={"agent_ids": ids},
            )
        near = difflib.get_close_matches(ref, [agent.name for agent in agents], n=1)
        raise SpendGuardError(
            Code.AGENT_NOT_FOUND,
            f"Agent not found: {safe(ref)!r}" + (f"; did you mean {safe(near[0])!r}?" if near else ""),
            remedy="spendguard agent list",
        )
