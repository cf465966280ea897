"""Who pays the call of `doctor --probe`: an agent made for a mock one, and a key; both end with it.

A signal that ends the program ends them too. What a program left that was killed outright, the next probe
clears away.
"""

import contextlib
import re
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NoReturn

from spendguard_cli.doctor.lately import age_seconds
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.money import cents_ceil

if TYPE_CHECKING:
    from spendguard_cli.client import Control
    from spendguard_daemon import wire

BUDGET_CENTS = 100
KEY_SECONDS = 600
LEFT_SECONDS = 600
"""Past this age (seconds) no probe goes on: whoever made the agent is gone."""

ENDING = (signal.SIGTERM, signal.SIGHUP)
_NAME = re.compile(r"doctor-probe-[0-9a-f]{8}")


@contextlib.contextmanager
def paid(
    control: "Control", agent_id: str | None, worst_nusd: int | None, warn: Callable[[str], None]
) -> "Iterator[tuple[str, wire.KeyMade]]":
    """Make the key, limited to `worst_nusd`, and without `agent_id` the agent; end both at the end."""
    made, key = None, None
    with _ended_by_signals():
        try:
            if agent_id is None:
                _sweep(control)
                name = f"doctor-probe-{secrets.token_hex(4)}"
                agent_id = made = control.create_agent({"name": name, "mock": True}).agent_id
                control.grant(made, BUDGET_CENTS, None)
            limit = {} if worst_nusd is None else {"limit_cents": cents_ceil(worst_nusd)}
            run_id = f"doctor-{secrets.token_hex(4)}"
            wanted = {"kind": "exec", "label": "doctor --probe", "expires_in_seconds": KEY_SECONDS}
            key = control.create_key(agent_id, wanted | {"run_id": run_id} | limit)
            yield agent_id, key
        finally:
            try:
                if key is not None and agent_id is not None:
                    control.revoke_key(agent_id, key.key_id)
                if made is not None:
                    control.delete_agent(made)
            except SpendGuardError as error:
                warn(f"the probe's agent or key could not be ended: {error.detail}")


def _sweep(control: "Control") -> None:
    """Delete the agents of probes that were killed before they could do so."""
    for agent in control.agents():
        if (
            agent.mock
            and _NAME.fullmatch(agent.name)
            and age_seconds(time.time_ns(), agent.created_at) > LEFT_SECONDS
        ):
            control.delete_agent(agent.agent_id)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let a signal that ends the program unwind it, so that what was made is ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [(one, signal.signal(one, _unwind)) for one in ENDING]
    try:
        yield
    finally:
        for one, handler in before:
            signal.signal(one, handler)


def _unwind(number: int, _: object) -> NoReturn:
    for one in ENDING:
        signal.signal(one, signal.SIG_IGN)  # a second one must not tear the way out
    raise SystemExit(128 + number)
