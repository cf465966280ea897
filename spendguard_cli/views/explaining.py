"""The life of one call for a person: a step a paragraph, each sum written out with its columns aligned."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from spendguard_cli.explain.story import Step, Story
from spendguard_cli.explain.sums import DIFFERENT, Sum
from spendguard_cli.views import ink


def story(value: Story) -> RenderableType:
    """Tell a call from its first step to its last."""
    head = ink.foreign(value.call_id, "bold")
    head.append_text(ink.foreign(f"  {value.state}", ink.STATE_STYLES.get(value.state, "")))
    if value.code:
        head.append_text(ink.foreign(f"  {value.code}", ink.QUIET))
    parts: list[RenderableType] = [head]
    parts += [ink.prose(f"! {said}", ink.CARE) for said in value.notes]
    parts += [ink.prose(f"! {said}", ink.BAD) for said in value.damage]
    if value.damage:
        parts.append(ink.command("spendguard ledger verify"))
    before = ""
    for step in value.steps:
        parts += _step(step) if step.step == before else [Text(), _named(step), *_step(step)]
        before = step.step
    return Group(*parts)


def _named(step: Step) -> Text:
    line = ink.prose(step.step.replace("_", " "), ink.BAD if step.wrong else "bold")
    if step.at:
        line.append("  ").append_text(ink.when(step.at))
    return line


def _step(step: Step) -> list[RenderableType]:
    told: list[RenderableType] = [ink.Wording(step.said)]
    if step.sum is not None:
        told.append(ink.indent(_sum(step.sum)))
    more_style = ink.BAD if step.wrong else ink.QUIET
    told += [ink.Wording(said, more_style) for said in step.more]
    told += [ink.command(one) for one in step.commands]
    return told


def _sum(value: Sum) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(overflow="fold")
    for _ in range(2):
        grid.add_column(justify="right", overflow="fold")
    for term in value.terms:
        per = "1,000" if term.unit == "event" else "1M"
        rate = f"x ${term.rate} / {per}" if term.rate else ""
        grid.add_row(
            ink.foreign(term.name),
            ink.foreign(f"{term.quantity} {rate}".strip()),
            ink.foreign(f"${term.usd}"),
        )
    for factor in value.factors:
        grid.add_row(ink.foreign("tokens"), ink.foreign(factor), Text(""))
    bad = value.result == DIFFERENT
    if value.exact_usd != value.usd:
        grid.add_row(Text("together"), Text(""), ink.foreign(f"${value.exact_usd}"))
    note = "the ledger has" if bad else "rounded up once" if value.exact_usd != value.usd else "the sum"
    shown = value.ledger_usd if bad else value.usd
    style = ink.BAD if bad else "bold"
    grid.add_row(Text(note), Text("="), ink.foreign(f"${shown}", style))
    return grid
