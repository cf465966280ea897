"""The sidecar as a command line inside `exec` has it: by the program's own key, to read of its agent."""

import os
from typing import TypeVar

from spendguard_cli.client import Body, Control
from spendguard_cli.context import AGENT_ID
from spendguard_cli.line import ANSWER_SECONDS
from spendguard_daemon.errors import Code, SpendGuardError

T = TypeVar("T")


class ControlInside(Control):
    """What is not served to the key is said so: it is there, but for operators."""

    def _send(
        self, method: str, path: str, body: Body | None, shape: type[T], seconds: float = ANSWER_SECONDS
    ) -> T:
        try:
            return super()._send(method, path, body, shape, seconds)
        except SpendGuardError as error:
            if error.code not in (Code.ROUTE_NOT_FOUND, Code.UNAUTHORIZED):
                raise
            raise SpendGuardError(
                Code.NOT_ALLOWED,
                "Not allowed here: inside spendguard exec only your own agent can be read, by its id",
                remedy=_own(),
            ) from error


def _own() -> str:
    """Return the command that reads the program's own agent."""
    agent_id = os.environ.get(AGENT_ID, "")
    return f"spendguard agent get {agent_id}" if agent_id else "run it from an operator's shell"
