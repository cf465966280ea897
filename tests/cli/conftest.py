"""Shells on homes of their own; whatever a test does, no sidecar outlives it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shell import Quick, Shell, finish


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell whose home does not exist yet."""
    made = Shell(tmp_path / "home")
    yield made
    made.end()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quick]:
    """A quick shell with a running sidecar, shared by a module: give your agents names of your own."""
    made = Quick(tmp_path_factory.mktemp("served") / "home")
    assert finish(made.start("up")).code == 0
    yield made
    made.end()


@pytest.fixture
def bare(tmp_path: Path) -> Quick:
    """A quick shell without home and sidecar, inside `exec`, so that none is ever started."""
    return Quick(tmp_path / "home", SPENDGUARD_EXEC="1")
