"""Every key of `watch`, in one table: bindings, the help screen, the foot line and the tests come from it."""

from dataclasses import dataclass
from typing import Literal, get_args

Where = Literal["everywhere", "lists", "agents", "agent", "panes", "acts", "past"]
Side = Literal["agents", "agent", "locks", "failures", "prices", "unconfirmed"]
"""What is in sight: one of the views, or one agent."""

SIDES: tuple[Side, ...] = get_args(Side)
HARMLESS = ("act('copy')", "act('explain')")
"""What changes nothing, and so works in the past and where one only looks."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key: what it is called on the help screen, and the action of the app or screen that it runs.

    `where` it works: everywhere, in every list, in one view, as an action upon what the cursor stands on
    (never in the past), or in the past alone. `short` stands for it in the head, or in the foot of those
    `sides` on which it matters; elsewhere it may work all the same.
    """

    key: str
    action: str
    says: str
    where: Where
    short: str = ""
    sides: tuple[Side, ...] = ()


_WITH_AGENTS: tuple[Side, ...] = ("agents", "locks", "failures", "unconfirmed")
"""Where a line is about an agent, which can be opened."""

_WITH_CALLS: tuple[Side, ...] = ("agent", "failures", "unconfirmed")
"""Where a line may be a call that has begun."""

KEYS: tuple[Key, ...] = (
    Key("1", "view('agents')", "all agents", "everywhere", "agents"),
    Key("2", "view('locks')", "locks, and calls that wait", "everywhere", "locks"),
    Key("3", "view('failures')", "refusals and failures by code", "everywhere", "failures"),
    Key("4", "view('prices')", "the price document, its signer and its age", "everywhere", "prices"),
    Key("5", "view('unconfirmed')", "money charged at a bound, to be confirmed", "everywhere", "unconfirmed"),
    Key("question_mark", "help", "this help", "everywhere", "help"),
    Key("ctrl+p", "command_palette", "find any command by its name", "everywhere"),
    Key("d", "theme", "light or dark", "everywhere"),
    Key("escape", "back", "back", "everywhere"),
    Key("q", "quit", "quit", "everywhere", "quit", SIDES),
    Key("ctrl+c", "quit", "quit, wherever one is", "everywhere"),
    Key("enter", "choose", "open what the cursor stands on", "lists", "open", _WITH_AGENTS),
    Key("slash", "filter", "show only what holds a text", "agents", "filter", ("agents", "prices")),
    Key("s", "sort", "sort by the next column", "agents", "sort", ("agents",)),
    Key("r", "reverse", "turn the order round", "agents"),
    Key("tab", "section(1)", "the next section", "agent", "section", ("agent",)),
    Key("shift+tab", "section(-1)", "the section before", "agent"),
    Key("right", "section(1)", "the next section", "agent"),
    Key("left", "section(-1)", "the section before", "agent"),
    Key("shift+down", "pane(1)", "scroll what is told of the line", "panes", "scroll", ("failures",)),
    Key("shift+up", "pane(-1)", "scroll it back", "panes"),
    Key("t", "act('topup')", "top up the agent", "acts", "top up", ("agents", "agent", "locks", "failures")),
    Key("l", "act('limit')", "set the agent's hard limit", "acts", "limit", ("agent",)),
    Key("f", "act('freeze')", "freeze the agent", "acts", "freeze", ("agents", "agent")),
    Key("u", "act('unfreeze')", "unfreeze the agent", "acts"),
    Key(
        "x", "act('abort')", "cut the call; at most its hold is charged", "acts", "abort", ("agent", "locks")
    ),
    Key("w", "act('let')", "let the waiting call through", "acts", "let through", ("locks",)),
    Key(
        "c",
        "act('confirm')",
        "confirm what an unconfirmed call was charged",
        "acts",
        "confirm",
        ("unconfirmed",),
    ),
    Key("y", "act('copy')", "copy the id", "acts", "copy id", ("unconfirmed",)),
    Key("e", "act('explain')", "explain the call, sum by sum", "acts", "explain", _WITH_CALLS),
    Key("space", "pause", "pause, and go on", "past", "pause", SIDES),
    Key("right_square_bracket", "step(1)", "one event on", "past", "step", SIDES),
    Key("left_square_bracket", "step(-1)", "one event back", "past"),
    Key("plus", "speed(2)", "twice as fast", "past", "faster", SIDES),
    Key("minus", "speed(0.5)", "half as fast", "past", "slower", SIDES),
)


def of(*wheres: Where) -> tuple[Key, ...]:
    """Return the keys that work there, in their order."""
    return tuple(key for key in KEYS if key.where in wheres)


def foot(side: Side, *, acts: bool, past: bool) -> tuple[Key, ...]:
    """Return the keys that matter on a side, those of the past first, what works everywhere last.

    Without `acts` none that changes something.
    """

    def works(key: Key) -> bool:
        match key.where:
            case "past":
                return past
            case "acts":
                return acts or key.action in HARMLESS
            case _:
                return True

    found = [key for key in KEYS if side in key.sides and works(key)]
    return tuple(sorted(found, key=lambda key: {"past": 0, "everywhere": 2}.get(key.where, 1)))
