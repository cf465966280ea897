"""references/watch.md says what is so: its keys, its pictures, its columns."""

from pathlib import Path

import pytest

from spendguard_cli.watch.screens.agent_columns import COLUMNS
from spendguard_daemon.feed_wire import Event
from write_watch_keys import PAGE, written

PICTURES = PAGE.parent / "pictures"


def test_its_keys_are_those_of_the_program() -> None:
    """scripts/write_watch_keys.py writes them."""
    page = PAGE.read_text(encoding="utf-8")
    assert page == written(page)


def test_each_column_is_told() -> None:
    """By the word that stands above it."""
    page = PAGE.read_text(encoding="utf-8")
    rows = "\n".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| "))
    assert [one.head for one in COLUMNS.values() if one.head not in rows] == []


def test_each_kind_of_event_is_told() -> None:
    """Programs of other people read them."""
    page = PAGE.read_text(encoding="utf-8")
    kinds = Event.__annotations__["kind"].__args__
    assert [kind for kind in kinds if f"`{kind}`" not in page] == []


@pytest.mark.parametrize("path", sorted(PICTURES.glob("*.svg")), ids=lambda path: path.name)
def test_pictures_are_small_and_load_nothing(path: Path) -> None:
    """scripts/draw_watch.py makes them; no font comes from another host."""
    drawn = path.read_text(encoding="utf-8")
    assert len(drawn) < 150_000
    assert "http" not in drawn.replace("http://www.w3.org/", "")
    assert "font-face" not in drawn


def test_there_are_pictures() -> None:
    """Those that the page shows."""
    assert {path.stem for path in PICTURES.glob("*.svg")} == {"agents", "agent", "failures"}
