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
from spendguard_cli.exec.child import Child, Ended, NotStartedError
from spendguard_cli.exec.environment import Identity
from spendguard_cli.exec.surroundings import Isolating
from spendguard_cli.output import Form, Output
from spendguard_cli.render import Plain, count, merged, to_json_line
from spendguard_cli.shapes import Spent
from spendguard_daemon.codes import Exit
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.text import safe

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


def run(launch: Launch, finding: Finding, out: Output) -> Ended:
    """Run a program and return how it, and with it `exec`, has ended.

    Raises SpendGuardError and OSError for what went wrong before the program was started.
    """
    with child.signals_held_back() as mask:

        def connect() -> "Control":
            control = finding.alive()
            if control is not None:
                return control
            with child.let_through(mask):  # what is started must not have them blocked
                return finding.started()

        early = child.ended_early()
        if early is not None:
            return early
        farewell = Farewell(out)
        try:
            with account.opened(connect, launch.wanted, farewell.add) as opened:
                program = Child(mask, apart=launch.kill_on_402)
                ended = _run(launch, opened, program, finding, Talk(partial(_say, out), farewell.add))
                cost = _cost(connect, opened, farewell)
        except (SpendGuardError, OSError):
            farewell.tell_kept()  # there will be no line that has it
            raise
        if cost is not None and cost.refusal_code == Code.BUDGET_LOCKED and not opened.made_agent:
            farewell.add(_way_together(opened))
        farewell.tell(ended.code, cost)
        return ended


@dataclass(frozen=True, slots=True)
class Talk:
    """Where sentences go: before the program, and after it."""

    before: Callable[[str], None]
    after: Callable[[str], None]


def _run(launch: Launch, opened: Account, program: Child, finding: Finding, talk: Talk) -> Ended:
    identity = Identity(
        base_url=launch.base_url, agent_id=opened.agent_id, run_id=opened.run_id, key=opened.key
    )
    with surroundings.made(
        launch.words, launch.env, launch.known_keys, identity, launch.isolating
    ) as surrounding:
        for note in surrounding.notes:
            talk.before(note)
        if opened.warning is not None:
            talk.before(f"warning: {opened.warning}")
        early = child.ended_early()
        if early is not None:
            return early
        try:
            program.start(surrounding.words, surrounding.env, surrounding.restrict)
        except NotStartedError as error:
            talk.after(f"{launch.words[0]}: {error}")
            return Ended(error.code)
        if not launch.kill_on_402:
            return program.wait(None)
        is_refused = _watch(finding, opened)
        ended = program.wait(is_refused)
        if ended.stopped:
            talk.after("ended, as a call was refused for money")
        elif not ended.interrupted and is_refused():  # it was done before we have looked
            talk.after(f"it ended by itself, with {ended.code}, but a call was refused for money")
        else:
            return ended
        return Ended(Exit.BUDGET)


def _watch(finding: Finding, opened: Account) -> Callable[[], bool]:
    def refused() -> bool:
        try:
            control = finding.alive()
            return control is not None and account.is_refused_for_money(control, opened)
        except SpendGuardError:  # a sidecar that is away refuses nothing; it is asked again
            return False

    return refused


def _cost(connect: "Callable[[], Control]", opened: Account, farewell: "Farewell") -> Spent | None:
    """Return what it has cost; where the sidecar cannot say, the program's exit code stands all the same."""
    try:
        return account.spent(connect(), opened)
    except SpendGuardError as error:
        farewell.add(f"what it has cost is not known: {error.detail}")
        return None


def _way_together(opened: Account) -> str:
    """Say how programs of one agent run at the same time: each has a run of its own unless it is named."""
    return (
        "another run had the agent's lock; programs that are to run at the same time share one run, with "
        f"--run-id {opened.run_id} for each, or: spendguard agent set {opened.agent_id} --concurrency shared"
    )


class Farewell:
    """What is said once the program has ended: sentences as they come, or all in one last line of JSON."""

    def __init__(self, out: Output):
        self._out = out
        self._sentences: list[str] = []

    def add(self, sentence: str) -> None:
        """Say a sentence, or keep it for the line."""
        if self._out.form is Form.JSON:
            self._sentences.append(sentence)
        else:
            _say(self._out, sentence)

    def tell_kept(self) -> None:
        """Say what was kept for the line."""
        for sentence in self._sentences:
            _say(self._out, sentence)

    def tell(self, code: int, cost: Spent | None) -> None:
        """Say what it has cost, as the last thing."""
        if self._out.form is Form.JSON:
            own: dict[str, Plain] = {"exit_code": code, "notes": list(self._sentences)}
            _said(self._out.tell, to_json_line(own if cost is None else merged(own, cost)))
        elif cost is not None:
            _say(self._out, _sentence(cost))


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
    if cost.refusal_code is not None:
        reason = f": {cost.refusal_reason}" if cost.refusal_reason else ""
        parts.append(f"the last refusal was {cost.refusal_code}{reason}")
    parts.append(f"still held ${cost.held_usd}")
    if cost.remaining_usd is not None:
        parts.append(f"${cost.remaining_usd} remains")
    return f"{'; '.join(parts)} (agent {safe(cost.agent_name)}, run {cost.run_id})"
