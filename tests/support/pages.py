"""The pages that people and coding agents follow, as tests read them: commands, blocks, mentions, links.

Knows Markdown as far as our pages use it. Nothing here knows what a command does.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "SKILL.md",
    *(f"references/{page.name}" for page in sorted((ROOT / "references").glob("*.md"))),
)

SHELL = ("sh", "bash", "console")
"""Languages of blocks that are commands without a `$` before each."""

_FENCE = re.compile(
    r"(?:<!-- (?P<mark>[^>\n]+) -->\n)?```(?P<language>[a-z]*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
_INDENTED = re.compile(r"(?:^ {4}\S.*\n)+", re.MULTILINE)
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between two fences: its language, and the comment above it, each "" where there is none."""

    mark: str
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """What is typed, in order; the first line of the page that holds no `$` is an answer."""
        if "\n$ " in f"\n{self.text}":
            return [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]
        if self.language in SHELL or (
            not self.language and self.text.startswith(("python3 ", "spendguard "))
        ):
            joined = self.text.replace("\\\n", " ")
            return [line for line in joined.splitlines() if line.strip()]
        return []

    def answer(self, command: str) -> str | None:
        """Return what the page shows below a command, None where it shows nothing."""
        _, found, below = self.text.partition(f"$ {command}\n")
        lines = below.split("\n$ ")[0] if not below.startswith("$ ") else ""
        return lines if found and lines else None


@dataclass(frozen=True, slots=True)
class Page:
    """One page; `name` is its path in the repository."""

    name: str

    @property
    def text(self) -> str:
        """All of it."""
        return (ROOT / self.name).read_text(encoding="utf-8")

    @property
    def blocks(self) -> list[Block]:
        """What stands between fences, and what is indented as code, in the order of the page."""
        text = self.text
        found = [
            (match.start(), Block(match["mark"] or "", match["language"], match["text"]))
            for match in _FENCE.finditer(text)
        ]
        prose = _FENCE.sub(lambda match: re.sub(r"\S", " ", match[0]), text)
        for match in _INDENTED.finditer(prose):
            lines = "".join(line[4:] for line in match[0].splitlines(keepends=True))
            found.append((match.start(), Block("", "", lines)))
        return [block for _, block in sorted(found, key=lambda pair: pair[0])]

    @property
    def prose(self) -> str:
        """The page without what stands between fences."""
        return _FENCE.sub("", self.text)

    @property
    def spans(self) -> list[str]:
        """Inline code; in a table a `|` in it is written with a backslash."""
        return [span.replace("\\|", "|") for span in _SPAN.findall(self.prose)]

    @property
    def links(self) -> list[str]:
        """Where its links lead, but for those that leave the repository."""
        return [link for link in _LINK.findall(self.prose) if not re.match("[a-z]+:", link)]

    @property
    def anchors(self) -> set[str]:
        """The names by which its headings can be linked to."""
        headings = _HEADING.findall(self.prose)
        return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
