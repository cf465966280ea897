"""What the cursor stands on: whom an action is about."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Subject:
    """An agent, a call of it, or neither; `waiting` where the call has no hold yet and waits for one."""

    agent_id: str | None = None
    call_id: str | None = None
    waiting: bool = False
