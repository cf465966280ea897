"""What the doctor found, for a person: the cause first, what shows it, and the lines to type."""

from msgspec.structs import replace
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from spendguard_cli.doctor.findings import Finding, Level
from spendguard_cli.render import count
from spendguard_cli.shapes import CheckName, Diagnosis, DiagnosisDetail, Probed
from spendguard_cli.views import ink

MARKS = {
    Level.RED: ("✗", ink.BAD),
    Level.WARNING: ("!", ink.CARE),
    Level.NOTE: ("·", "cyan"),
    Level.OK: ("✓", ink.GOOD),
}
EVIDENCE_SHOWN = 3
"""So many lines of what shows a finding are told, unless -v asks for all."""

WELL_SHOWN = 4
"""So many single checks in which all is well are named; of more than that, only their number is told."""

_NO_CHECKS = ("", "failure")
_OTHER_WAY = "or: "
_FIRST_WORDS = ("a", "agent", "all", "calls", "each", "every", "no", "nobody", "run", "the", "this", "what")
_COUNTED = {Level.RED: "red finding", Level.WARNING: "warning", Level.NOTE: "note"}


def diagnosis(value: Diagnosis) -> RenderableType:
    """Findings in the order in which they are to be mended; what is well comes last, in one line."""
    return detail(DiagnosisDetail(diagnosis=value))


def detail(value: DiagnosisDetail) -> RenderableType:
    """The same, with all that is known of each, and what is well line by line, where that is asked for."""
    findings = value.diagnosis.findings
    said: list[RenderableType] = [ink.prose(f"done: {one}", ink.GOOD) for one in value.diagnosis.done]
    ill = [one for one in findings if one.level is not Level.OK]
    well = [one for one in findings if one.level is Level.OK]
    if value.verbose:
        said += [_finding(one) for one in (*ill, *well)]
        return _Tall(said, ill[:1], _summary(findings))
    typed: set[str] = set()
    for index, one in enumerate(ill):
        is_same = bool(one.remedy) and typed.issuperset(one.remedy)
        said.append(
            _line(one) if one.level is Level.NOTE else _short(one, is_first=not index, is_same=is_same)
        )
        typed.update(one.remedy)
    if well:
        said.append(_well(findings, value.whole))
    return _Tall(said, ill[:1], _summary(findings, less=any(map(_is_more, ill))))


class _Tall:
    """A diagnosis; where it is longer than the terminal, its cause stands again below, in sight."""

    def __init__(self, said: list[RenderableType], cause: list[Finding], summary: Text):
        self.said, self.cause, self.summary = said, cause, summary

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self.said
        lines = console.render_lines(Group(*self.said, self.summary), options, pad=False)
        if len(lines) >= console.size.height:  # the last line is the prompt's
            for one in self.cause:
                if one.level is not Level.NOTE:
                    yield Text("mend this first:", style=ink.QUIET)
                    yield _finding(replace(one, evidence=[]))
        yield self.summary


def checks(values: list[CheckName]) -> RenderableType:
    """What can be looked at, by name."""
    made = ink.table("CHECK", "LOOKS AT", "--FIX", fixed=("CHECK",), prose=("LOOKS AT",), less=("--FIX",))
    for value in values:
        made.add_row(
            ink.foreign(value.name, "bold"), ink.foreign(value.about), Text("mends" if value.mends else "")
        )
    return made


def check(value: CheckName) -> RenderableType:
    """One check, by name."""
    return checks([value])


def probed(value: Probed) -> RenderableType:
    """Each leg of a call's way, and the budget as it fell."""
    rows: list[tuple[str, RenderableType]] = [("before", ink.usd(value.before_usd))]
    rows += [("held", ink.usd(value.held_usd)), ("cost", ink.usd(value.cost_usd, "bold"))]
    rows.append(("after", ink.usd(value.after_usd)))
    head = ink.foreign(f"{value.provider}:{value.model}", "bold")
    head.append_text(ink.foreign(f"  {value.call_id}", ink.QUIET))
    told: list[RenderableType] = [head, ink.indent(ink.facts(rows))]
    told += [_finding(one) for one in value.findings]
    told.append(_summary(value.findings))
    return Group(*told, *([ink.command(value.next)] if value.next else []))


def _finding(one: Finding, *, is_same: bool = False) -> RenderableType:
    lines: list[RenderableType] = [_head(one, is_same=is_same)]
    lines += [ink.Wording(said, ink.QUIET) for said in one.evidence]
    if one.deed:
        lines.append(ink.Wording(one.deed))
    return Group(*lines, *(ink.command(command) for command in one.remedy))


def _short(one: Finding, *, is_first: bool, is_same: bool) -> RenderableType:
    """A finding with the first of its evidence; of the cause, the other ways out too.

    `is_same`: what mends it stands above already.
    """
    if is_same:
        return _finding(replace(one, evidence=[], deed="", remedy=[]), is_same=True)
    ways = [said for said in one.evidence[EVIDENCE_SHOWN:] if is_first and said.startswith(_OTHER_WAY)]
    return _finding(replace(one, evidence=[*one.evidence[:EVIDENCE_SHOWN], *ways]))


def _line(one: Finding) -> RenderableType:
    """A note on one line, cut where the terminal ends; what may be typed is whole."""
    mark, style = MARKS[one.level]
    line = Text(f"{mark} ", style=style, no_wrap=True, overflow="ellipsis")
    line.append_text(ink.prose(_sentence(one.finding), "not bold default")).append_text(_named(one))
    return Group(_Cut(line), *(ink.command(command) for command in one.remedy))


class _Cut:
    """A line that ends with the terminal, also where nothing else is cropped."""

    def __init__(self, line: Text):
        self.line = line

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        line = self.line.copy()
        line.truncate(options.max_width, overflow="ellipsis")
        yield line


def _is_more(one: Finding) -> bool:
    """Tell whether -v shows more of a finding."""
    return len(one.evidence) > EVIDENCE_SHOWN or (one.level is Level.NOTE and bool(one.evidence or one.deed))


def _head(one: Finding, *, is_same: bool) -> RenderableType:
    mark, style = MARKS[one.level]
    said = ink.prose(_sentence(one.finding), "bold" if one.level is Level.RED else "")
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=1, no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(mark, style=style), Text().append_text(said).append_text(_named(one, is_same=is_same)))
    return grid


def _named(one: Finding, *, is_same: bool = False) -> Text:
    """The name of a check, as typed after --check; what explains one failure is no check."""
    told = [] if one.group in _NO_CHECKS else [one.check]
    told += ["mended by the same"] if is_same else []
    return ink.foreign(f"  ({', '.join(told)})" if told else "", f"not bold {ink.QUIET}")


def _sentence(text: str) -> str:
    """Begin with a capital, but leave names as they are written."""
    return text[:1].upper() + text[1:] if text.partition(" ")[0] in _FIRST_WORDS else text


def _well(findings: list[Finding], whole: list[str] | None) -> RenderableType:
    """Name groups in which all is well; of one that is ill, or was not looked at whole, the few checks."""
    ill = {one.group for one in findings if one.level is not Level.OK}
    sick = {one.check for one in findings if one.level is not Level.OK}
    apart = ill if whole is None else ill | {one.group for one in findings} - {*whole}
    well = [one for one in findings if one.check not in sick]
    few = dict.fromkeys(one.check for one in well if one.group in apart)
    names = [*dict.fromkeys(one.check if one.group in apart else one.group for one in well)]
    if len(few) > WELL_SHOWN and len(few) < len(names):
        names = [name for name in names if name not in few] + [f"and {len(few)} checks of other groups"]
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_row(Text("✓", style=ink.GOOD), ink.prose(f"ok: {', '.join(names)}", ink.QUIET))
    return grid


def _summary(findings: list[Finding], *, less: bool = False) -> Text:
    counts = [(sum(one.level is level for one in findings), noun) for level, noun in _COUNTED.items()]
    said = [count(number, noun) for number, noun in counts if number]
    more = "; -v shows all that is known" if less else ""
    return Text((", ".join(said) if said else "all is well") + more, style=ink.QUIET)
