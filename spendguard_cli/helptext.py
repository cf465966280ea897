"""How `--help` looks: plain paragraphs and two columns, at any width, nothing cut.

An option's name and its value stand whole on a line; where they are long, their text begins on the next one.
Examples stay commands that can be copied: a long one goes on behind a backslash.
"""

import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

from spendguard_cli.colours import is_coloured
from spendguard_cli.suggest import unknown_command

WIDTH_MIN, WIDTH_MAX = 40, 100
TERM_CELLS_MAX = 28
"""How wide the left column may grow."""

MARGIN = 2
PANELS = {
    "Start here": ("demo", "up", "exec"),
    "Budgets and agents": ("agent", "budget", "run"),
    "Look": ("status", "watch", "logs", "explain"),
    "Mend": ("doctor",),
    "Prices and the ledger": ("pricing", "ledger"),
    "The sidecar and its settings": ("down", "restart", "provider", "config", "completions"),
}
"""Under which heading the first help lists each command."""

EXAMPLE = "  $ "
CODES = "Exit codes: "
_WORDS = re.compile(r"(?:'[^']*'|\"[^\"]*\"|\S)+")


class Verb(TyperCommand):
    """A command with help of our own look."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - as the library calls it
        """Print the help; the formatter's own columns are not used."""
        _print(_page(self, ctx))


class Group(TyperGroup):
    """A group of commands: help of our own look, and the nearest command for a typo."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - as the library calls it
        """Print the help; the formatter's own columns are not used."""
        _print(_page(self, ctx))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command that was named; raises USAGE with the one that was most likely meant."""
        if not ctx.resilient_parsing and not args[0].startswith("-") and args[0] not in self.commands:
            raise unknown_command(ctx.find_root().command, ctx.command_path, self, args[0])
        return super().resolve_command(ctx, args)


def width() -> int:
    """Return how wide help is: as the terminal, but never so wide that lines are hard to follow."""
    return max(WIDTH_MIN, min(WIDTH_MAX, shutil.get_terminal_size().columns))


def _print(lines: Iterable[str]) -> None:
    coloured = is_coloured(sys.stdout)
    said = "\n".join(_painted(line) if coloured else line for line in lines)
    sys.stdout.write(f"{said}\n")


def _painted(line: str) -> str:
    """Return a line with its heading or its term in colour: those begin where lines begin."""
    if line.endswith(":") and not line.startswith(" "):
        return typer.style(line, bold=True)
    term = re.match(rf" {{{MARGIN}}}(?:\$ .*|-\S+(?: \S+)*)", line)
    if term is None:
        return line
    return typer.style(term[0], fg="cyan") + line[term.end() :]


def _page(command: Any, ctx: Any) -> Iterator[str]:
    """Yield the lines that commands and groups have alike: usage, purpose, parameters."""
    usage = " ".join([f"Usage: {ctx.command_path}", *command.collect_usage_pieces(ctx)])
    yield from _wrapped(usage.replace("[[", "[").replace("]]", "]"), hanging=7)
    for block in (command.help or "").replace("\\[", "[").split("\n\n"):
        yield ""
        yield from _paragraph(block)
    if isinstance(command, Group):
        yield from _commands(command, ctx)
    panels: dict[str, list[Any]] = {"Arguments": [], "Options": []}
    for param in command.get_params(ctx):
        if not getattr(param, "hidden", False):
            panels.setdefault(_panel(param), []).append(param)
    for title, same in panels.items():
        if same:
            yield from ("", f"{title}:")
            yield from _columns([(_term(param, ctx), _text(param)) for param in same])
    if command.epilog:
        yield from ("", *_wrapped(command.epilog))


def _commands(group: TyperGroup, ctx: Any) -> Iterator[str]:
    shown = {name: _first(child.help or "") for name, child in group.commands.items() if not child.hidden}
    cells = max(map(len, shown)) + 2 * MARGIN
    panels = dict(PANELS if ctx.parent is None else {})
    panels["Commands"] = tuple(name for name in shown if not any(name in panel for panel in panels.values()))
    for title, names in panels.items():
        rows = [(name, shown[name]) for name in names if name in shown]
        if rows:
            yield from ("", f"{title}:")
            yield from _columns(rows, cells)


def _first(text: str) -> str:
    return " ".join(text.replace("\\[", "[").partition("\n\n")[0].split())


def _paragraph(block: str) -> Iterator[str]:
    """Yield a paragraph, wrapped; examples and exit codes by rules of their own."""
    if block.startswith(CODES):
        glued = block.removeprefix(CODES).replace(" ", "\0").replace("\0·\0", " · ")
        yield from (line.replace("\0", " ") for line in _wrapped(CODES + glued, hanging=len(CODES)))
        return
    for line in block.split("\n") if EXAMPLE in block else [" ".join(block.split())]:
        yield from _example(line) if line.startswith(EXAMPLE) else _wrapped(line)


def _example(line: str) -> Iterator[str]:
    """Yield a command; where it is too long, lines that a shell reads as one."""
    words = _WORDS.findall(line.removeprefix(EXAMPLE))
    shown = EXAMPLE + words[0]
    for word in words[1:]:
        if len(shown) + 1 + len(word) + 2 > width() and len(f"{line}") > width():
            yield f"{shown} \\"
            shown = " " * (len(EXAMPLE) + 2) + word
        else:
            shown += f" {word}"
    yield shown


def _panel(param: Any) -> str:
    return getattr(param, "rich_help_panel", None) or (
        "Arguments" if isinstance(param, TyperArgument) else "Options"
    )


def _term(param: Any, ctx: Any) -> str:
    """Return what is typed: the names, the short one first, and what they take."""
    if isinstance(param, TyperArgument):
        return str(param.metavar or param.name.upper())
    names = ", ".join(sorted(param.opts, key=len))
    if param.secondary_opts:
        return f"{names}, {', '.join(param.secondary_opts)}"
    if param.is_flag or param.metavar == "":
        return names
    kind = param.metavar or param.display_type(ctx)
    return f"{names} {'N' if kind.startswith('<int') else kind}"


def _text(param: Any) -> str:
    text = (param.help or "").replace("\\[", "[")
    default = param.show_default if isinstance(param.show_default, str) else ""
    shown = default or (str(param.default) if param.show_default and _says(param.default) else "")
    return f"{text} [default: {shown}]" if shown else text


def _says(default: object) -> bool:
    """Tell whether a default is one worth telling."""
    return isinstance(default, str | int) and not isinstance(default, bool) and default != ""


def _columns(rows: list[tuple[str, str]], cells: int | None = None) -> Iterator[str]:
    """Yield terms to the left and their texts to the right, each on the next line where a term is long."""
    widest = max(len(term) for term, _ in rows) + 2 * MARGIN
    left = cells or min(widest, TERM_CELLS_MAX, width() // 3)
    for term, text in rows:
        lines = textwrap.wrap(text, width() - left, break_long_words=True, break_on_hyphens=False) or [""]
        head = " " * MARGIN + term
        if len(head) + MARGIN > left:
            yield from (
                textwrap.wrap(
                    head, width(), initial_indent="", subsequent_indent=" " * left, drop_whitespace=False
                )
                if len(head) > width()
                else [head]
            )
        else:
            lines[0] = f"{head.ljust(left)}{lines[0]}"
            yield lines.pop(0).rstrip()
        yield from ((" " * left + line).rstrip() for line in lines if line)


def _wrapped(text: str, hanging: int = 0) -> list[str]:
    return textwrap.wrap(
        text, width(), subsequent_indent=" " * hanging, break_long_words=False, break_on_hyphens=False
    )
