"""How a screen looks, as text that a person can read and `git diff` can compare: its cells, then its styles.

`look` gives the lines of the screen, and below each line that has any style of its own the same line with one
letter for each cell, `.` for the screen's usual style; the letters are told at the end. So a colour that
changes is a change of one letter's line, and a text that changes one of the screen.
"""

from pathlib import Path
from string import ascii_letters

import pytest
from rich.cells import cell_len
from rich.style import Style
from textual.app import App
from textual.pilot import Pilot

SIZES = [(60, 20), (80, 24), (160, 50)]
THEMES = ["light", "dark"]
FOLDER = Path(__file__).parents[1] / "watch" / "looks"


def look(app: App[object]) -> str:
    """Return what is on the screen of a running app."""
    strips = app.screen._compositor.render_strips()
    cells = [[(seg.text, seg.style or Style()) for seg in strip if not seg.control] for strip in strips]
    counts: dict[str, int] = {}
    for line in cells:
        for text, style in line:
            counts[str(style)] = counts.get(str(style), 0) + cell_len(text)
    usual = max(counts, key=lambda name: counts[name], default="")
    letters = {name: ascii_letters[i] for i, name in enumerate(n for n in counts if n != usual)}
    letters[usual] = "."
    shown: list[str] = []
    for line in cells:
        shown.append("|" + "".join(text for text, _ in line).rstrip())
        marks = "".join(letters[str(style)] * cell_len(text) for text, style in line).rstrip(".")
        if marks:
            shown.append(":" + marks)
    told = [f"{letter} {name}" for name, letter in letters.items()]
    return "\n".join([*shown, "", *told]) + "\n"


async def check_looks(
    app: App[object], pilot: Pilot[object], name: str, request: pytest.FixtureRequest
) -> None:
    """Compare a screen at each size and in both colours with how it looked: one program, resized.

    `name` has holes for width, height and theme. Begin at the smallest size, whose scrolling is then its own.
    """
    for width, height in SIZES:
        await pilot.resize_terminal(width, height)
        for theme in THEMES:
            app.theme = f"spendguard-{theme}"
            await pilot.pause()
            app._drawn = -1  # type: ignore[attr-defined]
            app.redraw()  # type: ignore[attr-defined]
            await pilot.pause()
            check_look(app, name.format(width, height, theme), request)


def check_look(app: App[object], name: str, request: pytest.FixtureRequest) -> None:
    """Compare a screen with how it looked: tests/watch/looks/<name>.txt; --new-looks writes it anew."""
    path, seen = FOLDER / f"{name}.txt", look(app)
    if request.config.getoption("--new-looks"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(seen)
    assert path.exists(), f"no look {name}: run with --new-looks, and look at it"
    assert seen == path.read_text()
