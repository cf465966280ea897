"""Two calm themes, one dark and one light, and what the plain colours look like in them."""

from rich.terminal_theme import TerminalTheme
from textual.theme import Theme

DARK = Theme(
    name="spendguard-dark",
    primary="#7aa2c8",
    secondary="#5f7f9f",
    accent="#5b8dbe",
    warning="#d9b25f",
    error="#e0736f",
    success="#83b78d",
    foreground="#d5d8dc",
    background="#14171b",
    surface="#14171b",
    panel="#20252b",
    boost="#2a3038",
    dark=True,
)
LIGHT = Theme(
    name="spendguard-light",
    primary="#2b5f8f",
    secondary="#46698a",
    accent="#2f6fae",
    warning="#7d5800",
    error="#a8201f",
    success="#1f6a36",
    foreground="#1f2328",
    background="#fbfbf9",
    surface="#fbfbf9",
    panel="#e8e8e3",
    boost="#dcdcd6",
    dark=False,
)

ANSI_DARK = TerminalTheme(
    (20, 23, 27),
    (213, 216, 220),
    [
        (20, 23, 27),
        (224, 115, 111),
        (131, 183, 141),
        (217, 178, 95),
        (122, 162, 200),
        (197, 140, 200),
        (104, 186, 190),
        (213, 216, 220),
    ],
)
ANSI_LIGHT = TerminalTheme(
    (251, 251, 249),
    (31, 35, 40),
    [
        (31, 35, 40),
        (168, 32, 31),
        (31, 106, 54),
        (125, 88, 0),
        (43, 95, 143),
        (126, 46, 132),
        (12, 101, 107),
        (251, 251, 249),
    ],
)
"""Black, red, green, yellow, blue, magenta, cyan, white: each to be read on the background of its theme."""
