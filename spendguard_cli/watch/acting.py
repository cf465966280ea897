"""Deeds at the sidecar: each is sent once, from a thread of its own, and its answer is told in a toast.

Nothing is sent again behind the operator's back: where the answer is lost it says that nobody knows. Every
record of the journal that comes of it names the actor `watch`, and money verbs carry one Idempotency-Key for
each question that was asked, so that what was confirmed once is booked once.
"""

import asyncio
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from spendguard_cli.amounts import usd_of
from spendguard_cli.client import Control
from spendguard_cli.connect import peek
from spendguard_cli.context import Connection
from spendguard_cli.explain.story import Story
from spendguard_cli.watch.actions import asked
from spendguard_cli.watch.board import Board
from spendguard_cli.watch.errands import (
    NAMES,
    Abort,
    Confirm,
    Errand,
    Freeze,
    Impossible,
    Name,
    SetDaemonLimit,
    SetLimit,
    TopUp,
    TopUpDaemon,
    Unfreeze,
)
from spendguard_cli.watch.letting import called
from spendguard_cli.watch.running import aside
from spendguard_cli.watch.stories import Teller, Then, past_story, story_of
from spendguard_cli.watch.subject import Subject
from spendguard_cli.watch.telling import usd
from spendguard_daemon import wire
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.text import safe

if TYPE_CHECKING:
    from spendguard_cli.watch.app import WatchApp

ACTOR = "watch"
AWAY = "The sidecar is away: nothing was done"
TOAST_SECONDS = 8.0
REFUSED_SECONDS = 15.0

OfMoney = TopUp | SetLimit
"""Of these is told what the answer says, which does not name the agent."""


class Desk:
    """Does errands at the sidecar. `open_control` finds and proves it anew each time; raises NO_DAEMON."""

    def __init__(self, open_control: Callable[[], Control]) -> None:
        self._open = open_control

    def control(self) -> Control:
        """Return a new connection to the sidecar, whose records name `watch`; raises NO_DAEMON."""
        return self._open().acting_as(ACTOR)

    def do(self, errand: Errand, key: str) -> str:
        """Do an errand, and say in words what came of it, by the answer's own numbers.

        `key` is the Idempotency-Key of the question. Raises the sidecar's refusal, or NO_DAEMON.
        """
        with self.control() as control:
            return _done(control.once(key), errand)


def desk_at(connection: Connection) -> Desk:
    """Return the desk of the sidecar that a connection names; it is never started for a deed."""

    def found() -> Control:
        control = peek(connection)
        if control is None:
            raise SpendGuardError(Code.NO_DAEMON, AWAY, remedy="spendguard up")
        return control

    return Desk(found)


def _done(control: Control, errand: Errand) -> str:
    match errand:
        case TopUp(agent_id, cents):
            return f"topped up {_granted(control.top_up(agent_id, cents))}"
        case SetLimit(agent_id, cents, topup_cents):
            answer = control.grant(agent_id, cents, topup_cents)
            return f"the hard limit is {usd(answer.hard_limit_usd)}, {_with_topup(answer)}"
        case TopUpDaemon(cents):
            return f"the cap above all agents topped up {_granted(control.top_up_daemon(cents))}"
        case SetDaemonLimit(cents, topup_cents):
            cap = control.set_daemon_budget(cents, topup_cents)
            limit = usd_of(cap.hard_limit_cents or 0)
            return f"the cap above all agents is {limit}, {_with_topup(cap)}"
        case Freeze(agent_id, reason):
            body: dict[str, object] = {"frozen": True} | ({"reason": reason} if reason else {})
            agent = control.change_agent(agent_id, body)
            return f"{_name(agent)} is frozen: {safe(agent.frozen_reason or '')}"
        case Unfreeze(agent_id):
            agent = control.change_agent(agent_id, {"frozen": False})
            return f"{_name(agent)} is frozen no more, {usd(agent.remaining_usd)} left"
        case Abort(call_id):
            return _ended(control.abort(call_id))
        case Confirm(call_id, cost_usd):
            call = control.adjust(call_id, cost_usd, "confirmed in watch")
            return f"confirmed: the call was charged {usd(call.cost_usd)}"


def _with_topup(answer: wire.Budget | wire.DaemonBudget) -> str:
    """Say what came with a limit, if anything did, and what is left."""
    if not answer.topup_applied_cents and not answer.topup_ignored_cents:
        return f"{usd(answer.remaining_usd)} left"
    return f"topped up {_granted(answer)}"


def _granted(answer: wire.Budget | wire.DaemonBudget) -> str:
    ignored = answer.topup_ignored_usd
    more = f", {usd(ignored)} ignored: it did not fit below the limit" if answer.topup_ignored_cents else ""
    return f"by {usd(answer.topup_applied_usd or '0')}, {usd(answer.remaining_usd)} left{more}"


def _ended(call: wire.Call) -> str:
    if call.state == "settled_worst":
        return f"cut: charged at its hold, {usd(call.cost_usd)}, until that is confirmed (key c)"
    return f"cut: the call is {safe(call.state)}, charged {usd(call.cost_usd or '0')}"


def _name(agent: wire.Agent) -> str:
    return safe(agent.name).strip() or safe(agent.agent_id)


def begin(app: "WatchApp", name: str, subject: Subject) -> None:
    """Ask about what the cursor stands on, or say why it cannot be; copying and explaining ask nothing."""
    if name == "copy":
        _copy(app, subject)
    elif name == "explain":
        _explain(app, subject)
    elif name in NAMES:
        _ask(app, name, subject)


def _ask(app: "WatchApp", name: Name, subject: Subject) -> None:
    from spendguard_cli.watch.modals import Ask

    board = app.board
    if board.link in ("past", "away", "connecting") or not app.may_act:
        why = "This is the past: nothing can be done here" if board.link == "past" else ""
        away = safe(board.why) or "it has not been heard yet"
        tell(app, why or f"The sidecar is away: nothing was done ({away})", "warning")
        return
    question = asked(name, board, subject)
    if isinstance(question, Impossible):
        tell(app, question.why, "warning")
        return
    if subject.call_id is None and name in ("abort", "let"):
        subject = _pinned(app, name, subject)
    desk = cast("Desk", app.desk)

    def do(errand: Errand | None) -> None:
        if errand is not None:
            _work(app, desk, errand, question.title)

    app.push_screen(Ask(lambda typed: asked(name, app.board, subject, typed), question), do)


def _pinned(app: "WatchApp", name: Name, subject: Subject) -> Subject:
    """Return a subject that names its call, so that the question stays about that one."""
    agent_id = subject.agent_id or ""
    if name == "let":
        waits = app.board.rows[agent_id].waiting
        return Subject(agent_id, waits[0].call_id, waiting=True)
    flying = (key for key, one in app.board.flights.items() if one.call.agent_id == agent_id)
    return Subject(agent_id, next(flying))


def _work(app: "WatchApp", desk: Desk, errand: Errand, title: str) -> None:
    key = f"watch-{uuid.uuid4()}"

    async def run() -> None:
        try:
            done = await aside(lambda: desk.do(errand, key))
            whose = _called(app.board, errand.agent_id) if isinstance(errand, OfMoney) else ""
            tell(app, f"{whose}: {done}" if whose else done)
        except SpendGuardError as error:
            tell(app, refused(error), "error", REFUSED_SECONDS)
        except asyncio.CancelledError:  # one left the program
            app.unanswered.append(title)
            raise

    app.run_worker(run(), group="acting")


def refused(error: SpendGuardError) -> str:
    """Say why something was not done, and what to type; where the answer was lost, that nobody knows."""
    said = safe(error.detail, 400)
    if error.code in (Code.NO_DAEMON, Code.INTERNAL) and error.detail != AWAY:
        said += "; whether it was done is not known: look before you do it again"
    return f"{said}\n{safe(error.remedy, 400)}" if error.remedy else said


def _copy(app: "WatchApp", subject: Subject) -> None:
    found = subject.call_id or subject.agent_id
    if found is None:
        tell(app, "The cursor stands on nothing that has an id", "warning")
        return
    app.copy_to_clipboard(found)
    tell(app, f"copied: {safe(found)}")


def _explain(app: "WatchApp", subject: Subject) -> None:
    from spendguard_cli.watch.modals import Explained

    call_id = subject.call_id
    if call_id is None:
        tell(app, "The cursor stands on no call: open the agent, and choose one of its calls", "warning")
        return
    if subject.waiting:
        tell(app, "This call waits, and has no life to tell of yet", "warning")
        return
    board = app.board
    flight = board.flights.get(call_id)
    known = flight.call if flight else board.ended.get(call_id)
    teller, screen = app.teller, app.screen

    async def run() -> None:
        telling = _told_then(app, teller, call_id, known) if teller else _told_now(app, call_id, known)
        story, why = await telling
        if app.screen is not screen:  # one has turned to something else meanwhile: not over a question
            return
        if story is None:
            tell(app, why or "This call is not known any more", "warning")
        else:
            app.push_screen(Explained(story))

    app.run_worker(run(), group="asking", exclusive=True)


async def _told_now(app: "WatchApp", call_id: str, known: wire.Call | None) -> tuple[Story | None, str]:
    """Tell a call by the sidecar, or by the board where that cannot be asked; else say why not."""
    board, desk = app.board, cast("Desk | None", app.desk)
    call, why = known, ""

    def found(desk: Desk) -> wire.Call:
        with desk.control() as control:
            return control.call(call_id)

    if desk is not None:
        try:
            call = await aside(lambda: found(desk))
        except SpendGuardError as error:
            why = f"the sidecar could not be asked: {safe(error.detail, 400)}"
    return (None if call is None else story_of(board, call, _called(board, call.agent_id), why)), why


async def _told_then(
    app: "WatchApp", teller: Teller, call_id: str, known: wire.Call | None
) -> tuple[Story | None, str]:
    """Tell a call by the journal, as far as it had come at the moment that is shown; else say why not."""
    board = app.board
    then = Then.of(board, app.now_seconds())
    agent_name = _called(board, known.agent_id) if known is not None else ""
    try:
        told, damage = await aside(lambda: teller.life(call_id, then.seq))
    except OSError as error:
        return None, f"the journal cannot be read: {safe(str(error), 400)}"
    story = past_story(then, told, known, agent_name, damage)
    return story, safe(damage[0], 400) if damage else ""


def _called(board: Board, agent_id: str) -> str:
    row = board.rows.get(agent_id)
    return called(row) if row else ""


def tell(app: "WatchApp", said: str, kind: str = "information", seconds: float = TOAST_SECONDS) -> None:
    """Show a toast; `said` is fit for a terminal."""
    app.notify(said, severity=kind, timeout=seconds, markup=False)  # type: ignore[arg-type]
