"""README.md, SKILL.md and references/ say what is so: each command is typed, each name and link exists.

Any page that is put into references/ is read by itself; a new command in it is typed, and fails where it is
false (`tests/support/follower.py` says what is filled in, and what is left to other tests).
"""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from follower import BEFORE, ELSEWHERE, LEFT, Follower, is_left, parse, providers
from pages import PAGES, ROOT, Block, Page
from recorded import RecordedUpstream
from routing_page import blocks as routed
from spendguard_cli.doctor.examine import chosen
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code
from spendguard_daemon.settings import load, rows

SOURCES = "\n".join(
    path.read_text(encoding="utf-8")
    for folder in ("daemon/spendguard_daemon", "spendguard_cli")
    for path in sorted((ROOT / folder).rglob("*.py"))
)
SECTIONS = {row.section for row in rows()} | {"providers"}


@pytest.fixture(params=PAGES)
def page(request: pytest.FixtureRequest) -> Page:
    """One page."""
    return Page(request.param)


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    """The providers that all readers have."""
    with providers() as running:
        yield running


def elsewhere(block: Block) -> bool:
    """Tell whether another test runs a block as it stands."""
    named = block.mark.startswith(tuple(ELSEWHERE))
    return named or block.text in {known.text for known in routed("run").values()}


def is_followed(block: Block) -> bool:
    """Tell whether a block is followed here."""
    typed = [command for command in block.commands if not is_left(command)]
    return not elsewhere(block) and bool(typed or block.language == "python")


FOLLOWED = [name for name in PAGES if any(map(is_followed, Page(name).blocks))]


@pytest.mark.parametrize("name", FOLLOWED)
def test_a_page_can_be_followed_word_by_word(name: str, tmp_path: Path, upstream: RecordedUpstream) -> None:
    """On an empty home, in one shell from its first line to its last."""
    with Follower(tmp_path, upstream, quickly=name != "README.md") as reader:
        for command in BEFORE.get(name, ()):
            reader.type(command)
        for block in filter(is_followed, Page(name).blocks):
            if block.language == "python":
                reader.run(block.text)
            else:
                reader.follow(block)
        assert name != "README.md" or reader.settled_usd() > 0


def test_the_pages_that_people_begin_with_are_among_them() -> None:
    """Else this file has stopped to look."""
    begun = {"README.md", "SKILL.md", "references/strict-budget-quickstart.md"}
    assert begun | {"references/from-cynsta-spendguard.md", "references/agent-keys.md"} <= set(FOLLOWED)


def test_the_skill_says_when_it_is_to_be_used() -> None:
    """In its front matter, within what coding agents read of it."""
    front = re.match(
        r"---\nname: ([a-z0-9-]{1,64})\ndescription: ([^\n]{1,1024})\n---\n", Page("SKILL.md").text
    )
    assert front
    assert "Use to" in front[2]


def test_what_is_not_typed_is_a_command_all_the_same(page: Page) -> None:
    """What is left to other tests, and what is named between words."""
    for block in page.blocks:
        for command in filter(is_left, block.commands):
            parse(command)
    for span in page.spans:
        if re.match(r"(\S+=\S+ )*spendguard( |$)", span):
            parse(span, whole=False)


def test_every_reason_to_leave_a_command_is_needed() -> None:
    """No command is left out that no page has."""
    typed = [command for name in PAGES for block in Page(name).blocks for command in block.commands]
    assert [begins for begins in LEFT if not any(command.startswith(begins) for command in typed)] == []


def test_links_lead_somewhere(page: Page) -> None:
    """To a file of the repository, and to a heading of it."""
    for link in page.links:
        path, _, anchor = link.partition("#")
        target = (ROOT / page.name).parent / path if path else ROOT / page.name
        assert target.resolve().is_relative_to(ROOT), link
        assert target.exists(), link
        assert not anchor or anchor in Page(str(target.resolve().relative_to(ROOT))).anchors, link


def test_blocks_of_data_can_be_read(page: Page) -> None:
    """And what is for our config.toml is what the settings take."""
    for block in page.blocks:
        if block.language == "json":
            json.loads(block.text)
        if block.language == "toml" and set(tomllib.loads(block.text)) <= SECTIONS:
            load(block.text, {})


def test_every_code_that_is_named_exists(page: Page) -> None:
    """With the status, or the exit code, that stands before or behind it."""
    for status, names in re.findall(r"\b([45]\d\d)`? ((?:`?[a-z]+_[a-z_]+`(?:, )?)+)", page.text):
        for name in re.findall(r"[a-z_]+", names):
            assert TABLE[Code(name)].status == int(status), name
    for name, exit_code in re.findall(r"^\| `([a-z]+_[a-z_]+)` \| (\d{1,3}) \|", page.text, re.MULTILINE):
        assert TABLE[Code(name)].exit == int(exit_code), name


def test_every_setting_that_is_named_exists(page: Page) -> None:
    """In its section; and each variable is one that the program reads."""
    known = {(row.section, row.name) for row in rows()}
    for section, name in re.findall(r"\[([a-z]+)\]\s([a-z_]+)\b", page.prose):
        assert (section, name) in known, (section, name)
    variables = {name for row in rows() for name in row.env}
    for name in re.findall(r"\b(?:SPENDGUARD|CAP)_[A-Z_]*[A-Z]\b", page.text):
        assert name in variables or name in SOURCES, name


def test_every_check_of_the_doctor_that_is_named_exists(page: Page) -> None:
    """`doctor --check NAME`, wherever it stands."""
    for name in re.findall(r"doctor --check ([a-z_-]+)", page.text):
        assert chosen([name]), name


def test_every_file_that_is_named_exists(page: Page) -> None:
    """Files of the repository, such as tests and scripts."""
    for path in re.findall(
        r"`((?:tests|scripts|daemon|references|spendguard_cli|bench)/[\w./-]+)`", page.prose
    ):
        assert (ROOT / path).exists(), path
