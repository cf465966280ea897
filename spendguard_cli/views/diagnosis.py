"""What the doctor found, for a person: the cause first, what shows it, and the lines to type."""

from rich.console import Group, RenderableType
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
_COUNTED = {Level.RED: "red finding", Level.WARNING: "warning", Level.NOTE: "note"}


def diagnosis(value: Diagnosis) -> RenderableType:
    """Findings in the order in which they are to be mended; what is well comes last, in one line."""
    return detail(DiagnosisDetail(diagnosis=value))


def detail(value: DiagnosisDetail) -> RenderableType:
    """The same, with each check that is well on a line of its own where that is asked for."""
    findings = value.diagnosis.findings
    said: list[RenderableType] = [ink.prose(f"done: {one}", ink.GOOD) for one in value.diagnosis.done]
    said += [_finding(one) for one in findings if one.level is not Level.OK]
    well = [one for one in findings if one.level is Level.OK]
    if value.verbose:
        said += [_finding(one) for one in well]
    elif well:
        said.append(_well(findings))
    return Group(*said, _summary(findings))


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
    return Group(*told, *([ink.command(value.next)] if value.next else []))


def _finding(one: Finding) -> RenderableType:
    mark, style = MARKS[one.level]
    head = Text(f"{mark} ", style=style)
    head.append_text(ink.prose(one.finding, "bold" if one.level is Level.RED else ""))
    head.append_text(ink.foreign(f"  {one.check}", ink.QUIET))
    lines: list[RenderableType] = [head]
    lines += [ink.indent(ink.prose(said, ink.QUIET)) for said in one.evidence]
    if one.deed:
        lines.append(ink.indent(ink.prose(one.deed)))
    return Group(*lines, *(ink.command(command) for command in one.remedy))


def _well(findings: list[Finding]) -> Text:
    """Name the groups in which all is well, and of the others the checks of which all is."""
    ill = {one.group for one in findings if one.level is not Level.OK}
    sick = {one.check for one in findings if one.level is not Level.OK}
    names = [one.check if one.group in ill else one.group for one in findings if one.check not in sick]
    line = Text("✓ ", style=ink.GOOD)
    return line.append_text(ink.prose(f"ok: {', '.join(dict.fromkeys(names))}", ink.QUIET))


def _summary(findings: list[Finding]) -> Text:
    counts = [(sum(one.level is level for one in findings), noun) for level, noun in _COUNTED.items()]
    said = [count(number, noun) for number, noun in counts if number]
    return Text(", ".join(said) if said else "all is well", style=ink.QUIET)
