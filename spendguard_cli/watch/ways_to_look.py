"""Which of the ways to look was asked for, and what each of them needs: the edge of `watch`.

Loads textual where its screens are drawn, and nowhere else.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from spendguard_cli.output import Form
from spendguard_cli.session import Session
from spendguard_cli.watch.asked import Asked
from spendguard_daemon.errors import Code, SpendGuardError

if TYPE_CHECKING:
    from spendguard_cli.ledger.past import Past
    from spendguard_cli.watch.board import Board

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COMPACT_SECONDS = 0.6
"""A status bar is drawn every few seconds, and waits for nobody."""


def choose(session: Session, asked: Asked) -> None:
    """Look as it was asked for; return when it is over."""
    if asked.at is not None or asked.replay:
        session.local_only("the past")
    if asked.compact:
        _compact(session, asked)
    elif asked.serve:
        _serve(session, asked)
    elif asked.once:
        _once(session, asked)
    elif asked.at is not None or asked.replay:
        _past(session, asked)
    else:
        _live(session, asked)


def _once(session: Session, asked: Asked) -> None:
    from spendguard_cli.watch.board import Board
    from spendguard_cli.watch.looking import look
    from spendguard_cli.watch.messages import Snapped
    from spendguard_cli.watch.once import Wanted, glance, without_steps

    if asked.at is None:
        session.control.not_ready()  # starts a sidecar where none is
        board = look(session.connection)
    else:
        past, at_ns = _read_past(session, asked.at, "spendguard watch --once")
        board = Board(link="past")
        board.hear(Snapped(past.snapshot(at_ns)), 0.0)
    wanted = Wanted(
        agent_id=_agent_of(board, asked.agent), text=asked.text or "", order=asked.sort or "danger"
    )
    shown = glance(board, board.at_seconds, wanted)
    session.out.show(shown if session.out.form is not Form.LINES else without_steps(shown))


def _compact(session: Session, asked: Asked) -> None:
    from spendguard_cli.watch.compact import AWAY, line
    from spendguard_cli.watch.looking import look
    from spendguard_cli.watch.once import Wanted, glance

    _ = session.connection  # what makes no sense is said, not taken for a sidecar that is away
    try:
        board = look(session.connection, COMPACT_SECONDS)
    except SpendGuardError:
        session.out.pour([f"{AWAY}\n"])
        return
    wanted = Wanted(agent_id=_agent_of(board, asked.agent), text=asked.text or "")
    session.out.pour([line(glance(board, board.at_seconds, wanted)) + "\n"])


def _live(session: Session, asked: Asked) -> None:
    session.control.not_ready()  # starts a sidecar where none is
    if asked.agent is not None:
        asked = replace(asked, agent=session.agent_id(asked.agent))
    from spendguard_cli.watch.acting import desk_at
    from spendguard_cli.watch.app import WatchApp
    from spendguard_cli.watch.feed import FeedReader
    from spendguard_cli.watch.running import run

    desk = desk_at(session.connection)  # who only looks asks it all the same: for runs, keys and history
    source, only_looks = FeedReader(session.connection), asked.read_only
    _ended(run(WatchApp(source, desk=desk, begin=asked.begin, read_only=only_looks), session.out.warn))


def _ended(code: int) -> None:
    """End the command with a code other than 0."""
    if code:
        raise typer.Exit(code)


def _past(session: Session, asked: Asked) -> None:
    past, at_ns = _read_past(session, asked.at)
    from spendguard_cli.watch.past_app import PastApp
    from spendguard_cli.watch.replay import Player, Replay
    from spendguard_cli.watch.running import run

    player = Player(past, at_ns, playing=asked.replay)
    if asked.speed is not None:
        player.speed = asked.speed
    _ended(run(PastApp(Replay(player), begin=asked.begin), session.out.warn))


def _serve(session: Session, asked: Asked) -> None:
    from spendguard_cli.watch import serving

    session.local_only("watch --serve")
    key, port = serving.new_key(), asked.serve_port or serving.free_port()

    def tell() -> None:
        session.out.pour([serving.address(port, key) + "\n"])
        session.out.flush()
        session.out.warn(serving.WARNING)
        session.out.hint("Ctrl-C ends it")

    if asked.at is None and not asked.replay:
        session.control.not_ready()  # starts a sidecar where none is
    serving.serve(_words(session, asked), port, key, tell)


def _words(session: Session, asked: Asked) -> list[str]:
    """Return the command whose screen each browser gets."""
    words = ["watch", "--read-only", "--no-spawn", "--home", str(session.connection.home.root)]
    given = {"--agent": asked.agent, "--sort": asked.sort, "--filter": asked.text, "--at": asked.at}
    given["--speed"] = None if asked.speed is None else f"{asked.speed:g}"
    words += [f"{option}={value}" for option, value in given.items() if value is not None]
    return words + (["--replay"] if asked.replay else [])


def _read_past(session: Session, at: str | None, command: str = "spendguard watch") -> tuple["Past", int]:
    """Return the past of this home's ledger and the moment that is meant: the first one where none is named.

    Raises USAGE for a moment that it cannot tell of, NO_DAEMON without a ledger, LEDGER_DAMAGED.
    """
    from spendguard_cli.ledger.past import Past
    from spendguard_cli.progress import progress
    from spendguard_cli.watch.when import moment_ns, within
    from spendguard_daemon.system import SystemClock, SystemDisk

    now_ns = SystemClock().wall_ns()
    at_ns = None if at is None else moment_ns(at, EPOCH + timedelta(microseconds=now_ns // 1000))
    with progress("reading the ledger") as advance:
        past = Past.read(Path(session.connection.home.ledger), SystemDisk(), advance)
    if at_ns is None:
        return past, past.first_ns or now_ns
    return past, within(at_ns, past.first_ns, now_ns, command)


def _agent_of(board: "Board", ref: str | None) -> str | None:
    """Return the id of the agent named by id or unique name, None for none; raise AGENT_NOT_FOUND."""
    if ref is None:
        return None
    found = [agent_id for agent_id, row in board.rows.items() if ref in (agent_id, row.agent.name)]
    if len(found) == 1:
        return found[0]
    from spendguard_daemon.text import safe

    if found:
        raise SpendGuardError(
            Code.AMBIGUOUS_NAME,
            f"Several agents have this name: {safe(ref)!r} is {', '.join(found)}",
            remedy="use one of these ids",
        )
    raise SpendGuardError(
        Code.AGENT_NOT_FOUND, f"Agent not found: {safe(ref)!r}", remedy="spendguard agent list"
    )
