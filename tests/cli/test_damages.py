"""Homes damaged at random: every command says what is wrong in a sentence, with what to type next.

The seed is printed, and SPENDGUARD_TEST_SEED fixes it; `python -m tests.campaign --only damages` runs more. A
damage that was found once has a test of its own below.
"""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

import damages
from damages import Template, complaints, end_sidecars_of
from shell import Quick, finish

SEED = int(os.environ.get("SPENDGUARD_TEST_SEED", random.SystemRandom().randrange(10**9)))
HOMES_A_PART = 12


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return Template.make(tmp_path_factory.mktemp("template"))


@pytest.mark.parametrize("part", range(4))
def test_a_home_damaged_at_random_is_told_of_in_sentences(
    part: int, template: Template, tmp_path: Path
) -> None:
    """No traceback, no fault of our own, nothing that hangs, and a doctor who knows why nothing starts."""
    print(f"SPENDGUARD_TEST_SEED={SEED}")
    first = SEED + part * HOMES_A_PART
    done = damages.run(template, tmp_path, range(first, first + HOMES_A_PART))
    assert done["damages"] == HOMES_A_PART


@pytest.fixture
def broken(template: Template, tmp_path: Path) -> Iterator[Quick]:
    """A whole copy of the home, for damages that were found."""
    home = tmp_path / "home"
    template.copy(home)
    yield Quick(home)
    end_sidecars_of(home)


PLAIN_FILES = (
    "config.toml",
    "secrets.toml",
    "trust.toml",
    "admin.token",
    "ledger/head",
    "ledger/seg-000000000001.jsonl",
    "ledger/lock",
    "pricing/authority.key",
    "run/daemon.json",
    "run/daemon.log",
    "run/agents.port",
)


@pytest.mark.parametrize("name", PLAIN_FILES)
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(
    name: str, broken: Quick, template: Template
) -> None:
    (broken.home / name).unlink()
    os.mkfifo(broken.home / name, 0o600)
    for words in template.commands():
        assert not complaints(damages.in_time(broken, words), words), words


@pytest.mark.parametrize(
    "name", ["ledger/seg-000000000001.jsonl", "ledger/head", "ledger/lock", "run/daemon.log"]
)
def test_what_cannot_be_read_of_the_home_is_named_with_a_way_on(name: str, broken: Quick) -> None:
    """A folder or a link in the place of a file is no OSError without a word."""
    path = broken.home / name
    path.unlink()
    path.symlink_to(path)
    for line in ("ledger verify", "ledger export", "status", "logs"):
        ran = broken.run(*line.split())
        assert not complaints(ran, line.split()), ran


@pytest.mark.parametrize("name", ["run/daemon.json", "ledger/lock", "run/backups.json", "run/daemon.log"])
@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"pid":' * 50_000], ids=["lists", "objects"])
def test_what_is_nested_without_end_is_no_end_of_ours(name: str, content: bytes, broken: Quick) -> None:
    (broken.home / name).write_bytes(content)
    for line in ("status", "doctor --json", "logs", "down"):
        ran = broken.run(*line.split())
        assert not complaints(ran, line.split()), ran


@pytest.mark.parametrize("leads_nowhere", [False, True])
@pytest.mark.parametrize("name", ["run", "ledger", "pricing"])
def test_a_folder_of_the_home_that_is_none_is_named_by_the_doctor(
    name: str, leads_nowhere: bool, broken: Quick
) -> None:
    """What was there is kept: only a person knows whether it matters. Nor is a link to nowhere a folder."""
    path = broken.home / name
    path.rename(broken.home / "before")
    if leads_nowhere:
        path.symlink_to(broken.home / "nothing" / "here")
    else:
        path.touch(mode=0o600)
    first = broken.run("doctor", "--json").json["findings"][0]
    assert (first["level"], first["check"]) == ("red", "home.there")
    assert first["finding"].endswith(f"{path} is no folder")
    assert first["deed"].startswith("Move it away, with mv to a place outside of the home")


@pytest.mark.parametrize("name", ["ledger/ballast", "ledger/lock", "run/daemon.log", "run/start.lock"])
def test_a_file_that_a_start_cannot_make_anew_is_named_by_the_doctor(name: str, broken: Quick) -> None:
    path = broken.home / name
    path.unlink()
    path.symlink_to(path)
    assert finish(broken.start("up")).code != 0
    first = broken.run("doctor", "--json").json["findings"][0]
    assert (first["check"], first["finding"]) == (
        "home.there",
        f"The home is not whole: {path} is no plain file",
    )


def test_a_home_that_leads_to_itself_is_told_of(broken: Quick, tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    output = str(tmp_path / "sheet")
    for words in (
        ["ledger", "export", "--output", output],
        ["ledger", "backup", output],
        ["doctor"],
        ["status"],
    ):
        ran = broken.run(*words, "--home", str(loop), "--no-spawn")
        assert not complaints(ran, words), ran
