"""What the doctor found, for a person: the cause first, what shows it, and the lines to type."""

from rich.console import Group, RenderableType
from rich.text import Text

from spendguard_cli.doctor.findings import Finding, Level
from spendguard_cli.shapes import Diagnosis
from spendguard_cli.views import ink

MARKS = {
    Level.RED: ("✗", ink.BAD),
    Level.WARNING: ("!", ink.CARE),
    Level.NOTE: ("·", "cyan"),
    Level.OK: ("✓", ink.GOOD),
}


def diagnosis(value: Diagnosis) -> RenderableType:
    """Findings in the order in which they are to be mended; what is well comes last, a line each."""
    return Group(*(_finding(one) for one in value.findings))


def _finding(one: Finding) -> RenderableType:
    mark, style = MARKS[one.level]
    head = Text(f"{mark} ", style=style)
    head.append_text(ink.prose(one.finding, "bold" if one.level is Level.RED else ""))
    head.append_text(ink.foreign(f"  {one.check}", ink.QUIET))
    lines: list[RenderableType] = [head]
    lines += [ink.indent(ink.prose(said, ink.QUIET)) for said in one.evidence]
    if one.deed:
        lines.append(ink.indent(ink.prose(one.deed)))
    lines += [ink.indent(ink.prose(f"$ {command}", "cyan")) for command in one.remedy]
    return Group(*lines)
