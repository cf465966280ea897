"""The error playbook is the table of codes, and every command in it is one that can be typed."""

import re
import shlex
from typing import Any

import pytest
import typer

from build_playbook import COMMAND, FIELDS, HEADERS, OWN, PLAYBOOK, page
from spendguard_cli.app import app
from spendguard_daemon.codes import TABLE, Money
from spendguard_daemon.errors import Code
from spendguard_daemon.ledger.refusals import FACTS, PLAIN_FACTS, SETTING

TEXT = PLAYBOOK.read_text(encoding="utf-8")
ROOT = typer.main.get_command(app)
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
BLOCK_LINES = [
    shlex.join(shlex.split(line, comments=True)) for block in BLOCKS for line in block.splitlines()
]
COMMANDS = {*re.findall(r"`(spendguard [^`]+)`", TEXT), *BLOCK_LINES}
OF_TABLE = {
    found.rstrip(". ") for entry in TABLE.values() for found in COMMAND.findall(entry.operator_remedy)
}


def test_the_page_is_what_the_table_says() -> None:
    """Byte for byte; after a change: python scripts/build_playbook.py."""
    assert page() == TEXT


def test_every_code_and_every_recorded_fact_is_explained() -> None:
    assert {f"`{code.value}`" for code in Code} <= set(re.findall(r"^### (`\w+`)", TEXT, re.MULTILINE))
    assert {*FACTS, *PLAIN_FACTS, SETTING, "charged_usd"} <= {name for name, _ in FIELDS}
    assert len(dict(FIELDS)) == len(FIELDS)
    assert {"x-should-retry", "retry-after-ms"} <= {name for name, _ in HEADERS}


@pytest.mark.parametrize("command", sorted(COMMANDS | OF_TABLE))
def test_every_command_is_real(command: str) -> None:
    """As far as its program, its verbs, the options that it takes, and how many words it needs."""
    words = shlex.split(command.replace("<port>", "9000").removesuffix(" --help"))
    assert words.pop(0) == "spendguard"
    node: Any = ROOT
    while getattr(node, "commands", None):
        node = node.commands[words.pop(0)]
    if not command.endswith(" --help"):
        node.make_context(node.name, words)


def test_what_a_failure_did_to_the_money_is_said_of_each() -> None:
    """Only what was forwarded may have cost something, and a refused request is none of it."""
    dear = {code for code, entry in TABLE.items() if entry.money is not Money.NOTHING}
    assert dear == {
        Code.UPSTREAM_FAILED,
        Code.UPSTREAM_TIMEOUT,
        Code.PROVIDER_KEY_REJECTED,
        Code.INTERNAL,
        Code.DISK_FAILED,
        Code.IDEMPOTENCY_IN_FLIGHT,
        Code.IDEMPOTENCY_DONE,
        Code.IDEMPOTENCY_MISMATCH,
    }
    assert not dear & OWN
    assert all(entry.money is Money.NOTHING for entry in TABLE.values() if entry.status in (400, 402))
    assert TEXT.count("**Money.**") == len(TABLE)


def test_a_program_is_told_no_command() -> None:
    """Agents read their remedies; what an operator types stands beside them."""
    assert not [code for code, entry in TABLE.items() if "spendguard " in entry.agent_remedy]
