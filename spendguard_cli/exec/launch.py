"""One program from its key to its cost: account, surroundings, process, and the line at the end.

Invariant: from the first key to the last line no signal ends this process, so that what is made is unmade.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from spendguard_cli.exec import account, child, surroundings
from spendguard_cli.exec.account import Account, Wanted
from spendguard_cli.exec.child import Child, NotStartedError
from spendguard_cli.exec.environment import Identity
from spendguard_cli.exec.surroundings import Isolating
from spendguard_cli.output import Form, Output
from spendguard_cli.render import count, merged, to_json_line
from spendguard_cli.shapes import Spent
from spendguard_daemon.codes import Exit
from spendguard_daemon.errors import SpendGuardError

if TYPE_CHECKING:
    from spendguard_cli.client import Control


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What is to be run, by whom it is paid, and how it is kept apart. `known_keys` are provider keys."""

    words: Sequence[str]
    env: Mapping[str, str]
    known_keys: frozenset[str]
    base_url: str
    wanted: Wanted
    isolating: Isolating
    kill_on_402: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """How the sidecar is found: if it is up, and started where it has ended meanwhile."""

    alive: "Callable[[], Control | None]"
    started: "Callable[[], Control]"


def run(launch: Launch, finding: Finding, out: Output) -> int:
    """Run a program and return the exit code of `exec`.

    Raises SpendGuardError and OSError for what went wrong before the program was started.
    """
    with child.signals_held_back() as mask:

        def connect() -> "Control":
            control = finding.alive()
            if control is not None:
                return control
            with child.let_through(mask):  # what is started must not have them blocked
                return finding.started()

        early = child.ending_signal()
        if early is not None:
            return child.SIGNALLED + early
        with account.opened(connect, launch.wanted, partial(_say, out)) as opened:
            code = _run(launch, opened, Child(mask, apart=launch.kill_on_402), finding, out)
            _tell_cost(connect, opened, code, out)
            return code


def _run(launch: Launch, opened: Account, program: Child, finding: Finding, out: Output) -> int:
    identity = Identity(
        base_url=launch.base_url, agent_id=opened.agent_id, run_id=opened.run_id, key=opened.key
    )
    with surroundings.made(
        launch.words, launch.env, launch.known_keys, identity, launch.isolating
    ) as surrounding:
        for note in surrounding.notes:
            _say(out, note)
        early = child.ending_signal()
        if early is not None:
            return child.SIGNALLED + early
        try:
            program.start(surrounding.words, surrounding.env, surrounding.restrict)
        except NotStartedError as error:
            _say(out, f"{launch.words[0]}: {error}")
            return error.code
        ended = program.wait(_watch(finding, opened) if launch.kill_on_402 else None)
        if ended.stopped:
            _say(out, "ended, as a call was refused for money")
        return Exit.BUDGET if ended.stopped else ended.code


def _watch(finding: Finding, opened: Account) -> Callable[[], bool]:
    def refused() -> bool:
        try:
            control = finding.alive()
            return control is not None and account.is_refused_for_money(control, opened)
        except SpendGuardError:  # a sidecar that is away refuses nothing; it is asked again
            return False

    return refused


def _tell_cost(connect: "Callable[[], Control]", opened: Account, code: int, out: Output) -> None:
    """Print what it has cost; where the sidecar cannot say, the program's exit code stands all the same."""
    try:
        cost = account.spent(connect(), opened)
    except SpendGuardError as error:
        _say(out, f"what it has cost is not known: {error.detail}")
        return
    if out.form is Form.JSON:
        _said(out.tell, to_json_line(merged({"exit_code": code}, cost)))
    else:
        _say(out, _sentence(cost))


def _say(out: Output, sentence: str) -> None:
    _said(out.say, f"spendguard: {sentence}")


def _said(say: Callable[[str], None], text: str) -> None:
    """Write to stderr, whose reader may have left; that is no reason to lose the program's exit code."""
    try:
        say(text)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _sentence(cost: Spent) -> str:
    parts = [f"spent ${cost.spent_usd} in {count(cost.calls, 'call')}, {cost.refused} refused"]
    parts.append(f"still held ${cost.held_usd}")
    if cost.remaining_usd is not None:
        parts.append(f"${cost.remaining_usd} remains")
    return f"{'; '.join(parts)} (agent {cost.agent_id}, run {cost.run_id})"
