"""The life of one call as `explain` tells it, by what the sidecar or the board knows, or the journal knew."""

from dataclasses import dataclass, replace
from typing import Protocol

from spendguard_cli.explain import refusing, telling
from spendguard_cli.explain.life import Life, of_call
from spendguard_cli.explain.story import Story
from spendguard_cli.watch.board import Board, seconds
from spendguard_cli.watch.explained import ways
from spendguard_daemon import wire

CUT_OFF = "Its first records are not in the journal any more."


class Teller(Protocol):
    """Who has the journal of the past that is shown."""

    def life(self, call_id: str, seq: int) -> tuple[Life | None, list[str]]:
        """Return what was known of a call after event `seq`, and what of it is damaged; raise OSError."""


@dataclass(frozen=True, slots=True)
class Then:
    """The moment of the past that is shown: its last event, its time, and whether a sidecar was up."""

    seq: int
    at_seconds: float
    up: bool

    @classmethod
    def of(cls, board: Board, at_seconds: float) -> "Then":
        """Return the moment that a board shows."""
        return cls(board.seq, at_seconds, board.totals is not None and board.totals.state == "up")


def story_of(board: Board, call: wire.Call, agent_name: str, note: str = "") -> Story:
    """Tell a call from its first step to its last; `note` says what could not be asked.

    The ways out are by the agent's money now.
    """
    life = replace(of_call(call), agent_name=agent_name)
    if life.turned is None:
        steps = list(telling.steps(life, operator=True, up=board.link == "live"))
    else:
        steps = list(refusing.steps(life, life.turned, ways(board, call)))
    notes = [note] if note else []
    return Story.of(life, steps, sources=["sidecar"], damage=[], notes=notes)


def past_story(
    then: Then, told: Life | None, known: wire.Call | None, agent_name: str, damage: list[str]
) -> Story | None:
    """Tell a call as far as it had come then; None where nothing is known of it.

    `told` is what the journal had of it, `known` what the board shows. Nothing is said of what could be done.
    """
    life, notes = told, list[str]()
    if told is None or (told.held is None and told.turned is None):
        life, notes = of_call(known) if known is not None else told, [] if damage else [CUT_OFF]
    if life is None:
        return None
    life = replace(life, agent_name=agent_name or life.agent_name)
    if life.turned is not None:
        steps = list(refusing.steps(life, life.turned, []))
    else:
        if life.held is not None and life.ended is None:
            life = replace(life, age_seconds=max(0, int(then.at_seconds - seconds(life.held.at))))
        steps = list(telling.steps(life, operator=False, up=then.up))
    return Story.of(life, steps, sources=["journal"], damage=damage, notes=notes)
