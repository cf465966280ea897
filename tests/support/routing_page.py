"""`references/routing-patterns.md` as tests read it: the blocks that users copy, and its two tables.

The page is the source of all; nothing here knows a client. A block is named by the comment before it,
`<!-- run: NAME -->`, or `<!-- file: NAME -->` where it is a file that the blocks of its section need; what
needs Node is named by `node` and `node file`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "references" / "routing-patterns.md"
BASE, AGENT = "http://127.0.0.1:8787", "<agent id>"

STATUSES = (402, 409, 503)

_BLOCK = re.compile(r"<!-- (run|file|node|node file): ([^>\n]+) -->\n```(\w+)\n(.*?)```\n", re.DOTALL)
_ROW = re.compile(
    r"\| (?P<name>[^|]+) "
    + "".join(rf"\| (?P<a{n}>\d+) \([\d.]+ s\) " for n in STATUSES)
    + r"\| (?P<seen>.+) \|"
)
_ADDRESS = re.compile(rf"\| (?P<provider>[^|]+) \| `(?P<base>{BASE}[^`]*)` \| `(?P<with_agent>[^`]+)` \|")


@dataclass(frozen=True, slots=True)
class Block:
    """What a user copies from the page: a program, commands, or a file."""

    kind: str
    name: str
    language: str
    text: str

    def at(self, base: str, agent_id: str) -> str:
        """Return it for another address and a real agent, as its user would edit it."""
        return self.text.replace(BASE, base).replace(AGENT, agent_id)


@dataclass(frozen=True, slots=True)
class Refusals:
    """A row of the table: how often a client sends a call that is refused, and how what is seen begins."""

    attempts: Mapping[int, int]
    seen: tuple[str, ...]


def blocks(kind: str) -> dict[str, Block]:
    """Return the page's blocks of a kind, by their names."""
    found = [Block(*match) for match in _BLOCK.findall(PAGE.read_text(encoding="utf-8"))]
    return {block.name: block for block in found if block.kind == kind}


def addresses() -> dict[str, tuple[str, str]]:
    """Return the base URLs by provider: for a client that sends the header, and with the agent in it."""
    rows = _ADDRESS.finditer(PAGE.read_text(encoding="utf-8"))
    return {row["provider"]: (row["base"], row["with_agent"]) for row in rows}


def refusals(kind: str = "run") -> dict[str, Refusals]:
    """Return the table's rows that tell of the blocks of a kind, by their names."""
    rows = _ROW.finditer(PAGE.read_text(encoding="utf-8"))
    named = {row["name"].strip("`"): row for row in rows}
    return {
        name: Refusals(
            {status: int(row[f"a{status}"]) for status in STATUSES},
            tuple(re.findall("`([^`]+)`", row["seen"])),
        )
        for name, row in named.items()
        if name in blocks(kind)
    }
