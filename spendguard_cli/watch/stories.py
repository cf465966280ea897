"""The life of one call, told of what the sidecar or the board knows of it, as `explain` tells it. Pure."""

from dataclasses import replace

from spendguard_cli.explain import refusing, telling
from spendguard_cli.explain.life import of_call
from spendguard_cli.explain.story import Story
from spendguard_cli.watch.board import Board
from spendguard_cli.watch.explained import ways
from spendguard_daemon import wire


def story_of(board: Board, call: wire.Call, agent_name: str, note: str = "") -> Story:
    """Tell a call from its first step to its last; `note` says what could not be asked.

    The ways out are by the agent's money now; in the past there are none.
    """
    life = replace(of_call(call), agent_name=agent_name)
    is_past = board.link == "past"
    if life.turned is None:
        steps = list(telling.steps(life, operator=not is_past, up=board.link == "live"))
    else:
        steps = list(refusing.steps(life, life.turned, [] if is_past else ways(board, call)))
    sources = ["journal"] if is_past else ["sidecar"]
    return Story.of(life, steps, sources=sources, damage=[], notes=[note] if note else [])
