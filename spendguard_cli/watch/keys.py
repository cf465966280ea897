"""Every key of `watch`, in one table: bindings, the help screen, the foot line and the tests come from it."""

from dataclasses import dataclass
from typing import Literal

Where = Literal["everywhere", "lists", "agents", "agent", "panes", "acts", "past"]


@dataclass(frozen=True, slots=True)
class Key:
    """One key: what it is called on the help screen, and the action of the app or screen that it runs.

    `where` it works: everywhere, in every list, in one view, as an action upon what the cursor stands on
    (never in the past), or in the past alone. `short` stands in the foot line; empty for one that does not.
    """

    key: str
    action: str
    says: str
    where: Where
    short: str = ""


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
    Key("q", "quit", "quit", "everywhere", "quit"),
    Key("ctrl+c", "quit", "quit, wherever one is", "everywhere"),
    Key("enter", "choose", "open what the cursor stands on", "lists", "open"),
    Key("slash", "filter", "show only what holds a text", "agents", "filter"),
    Key("s", "sort", "sort by the next column", "agents", "sort"),
    Key("r", "reverse", "turn the order round", "agents"),
    Key("tab", "section(1)", "the next section", "agent", "section"),
    Key("shift+tab", "section(-1)", "the section before", "agent"),
    Key("right", "section(1)", "the next section", "agent"),
    Key("left", "section(-1)", "the section before", "agent"),
    Key("shift+down", "pane(1)", "scroll what is told of the line", "panes"),
    Key("shift+up", "pane(-1)", "scroll it back", "panes"),
    Key("t", "act('topup')", "top up the agent", "acts", "top up"),
    Key("l", "act('limit')", "set the agent's hard limit", "acts"),
    Key("f", "act('freeze')", "freeze the agent", "acts", "freeze"),
    Key("u", "act('unfreeze')", "unfreeze the agent", "acts"),
    Key("x", "act('abort')", "abort the call: it settles by its outcome", "acts", "abort"),
    Key("w", "act('let')", "let the waiting call through", "acts"),
    Key("c", "act('confirm')", "confirm what an unconfirmed call was charged", "acts"),
    Key("y", "act('copy')", "copy the id", "acts"),
    Key("e", "act('explain')", "explain the call, sum by sum", "acts", "explain"),
    Key("space", "pause", "pause, and go on", "past", "pause"),
    Key("right_square_bracket", "step(1)", "one event on", "past", "step"),
    Key("left_square_bracket", "step(-1)", "one event back", "past"),
    Key("plus", "speed(2)", "twice as fast", "past", "faster"),
    Key("minus", "speed(0.5)", "half as fast", "past"),
)


def of(*wheres: Where) -> tuple[Key, ...]:
    """Return the keys that work there, in their order."""
    return tuple(key for key in KEYS if key.where in wheres)
