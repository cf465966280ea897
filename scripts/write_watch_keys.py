"""Write the table of keys of references/watch.md from the one that the program has.

python scripts/write_watch_keys.py
"""

from pathlib import Path

from spendguard_cli.watch.frame import named
from spendguard_cli.watch.keys import KEYS, Where

PAGE = Path(__file__).parents[1] / "references" / "watch.md"
BEGIN, END = "<!-- keys -->\n", "<!-- end of keys -->\n"
PLACES: dict[Where, str] = {
    "everywhere": "everywhere",
    "lists": "in every list",
    "agents": "among all agents",
    "agent": "on one agent",
    "panes": "where a line is told in full",
    "acts": "on an agent or a call",
    "past": "in the past",
}


def table() -> str:
    """Return the table in Markdown: where, key, what it does."""
    lines = ["| where | key | what it does |", "| --- | --- | --- |"]
    lines += [f"| {PLACES[key.where]} | `{named(key.key)}` | {key.says} |" for key in KEYS]
    return "\n".join(lines) + "\n"


def written(page: str) -> str:
    """Return a page with this table in its place."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
