"""What a person sees of agents and their money. Pure: wire values in, Rich renderables out."""

from collections import Counter
from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.text import Text

from spendguard_cli import shapes
from spendguard_cli.render import count
from spendguard_cli.views import ink
from spendguard_cli.views.ink import BAD, CARE, GOOD, QUIET
from spendguard_daemon import wire
from spendguard_daemon.errors import Code


def agent_created(value: wire.AgentCreated) -> RenderableType:
    """A new agent and its id."""
    head = Text("created ")
    head.append_text(ink.foreign(value.name, "bold"))
    return Group(head, ink.indent(ink.facts([("agent id", ink.foreign(value.agent_id, "bold"))])))


def agent_deleted(value: wire.AgentDeleted) -> RenderableType:
    """An agent that is gone."""
    return ink.foreign(f"deleted {value.agent_id}; its history stays")


def agents(values: list[wire.Agent]) -> RenderableType:
    """All agents: what remains to each, and what it is doing."""
    made = ink.table(
        "AGENT", "ID", "REMAINS", "LIMIT", "STATE",
        right=("REMAINS", "LIMIT"), fixed=("ID",), prose=("STATE",), less=("LIMIT",), above=("AGENT", "ID"),
    )  # fmt: skip
    for value in values:
        limit = (
            Text("-", style=QUIET) if value.hard_limit_cents is None else ink.cents(value.hard_limit_cents)
        )
        made.add_row(
            ink.foreign(value.name, "bold"),
            ink.foreign(value.agent_id, QUIET),
            ink.usd(value.remaining_usd),
            limit,
            state_of(value, reason=False),
        )
    return made


def state_of(value: wire.Agent, *, reason: bool) -> Text:
    """Say in a few words what an agent is doing or suffering, with the reason where there is room."""
    if value.restored:
        return ink.foreign("frozen: came back with a backup" if reason else "frozen: restored", BAD)
    if value.frozen:
        return ink.foreign(
            f"frozen: {value.frozen_reason}" if reason and value.frozen_reason else "frozen", BAD
        )
    if value.hard_limit_cents is None:
        return Text("no budget", style=CARE)
    if value.locked_run_id:
        return ink.foreign(f"run {value.locked_run_id} in flight", "cyan")
    if value.calls_in_flight:
        return Text(f"{count(value.calls_in_flight, 'call')} in flight", style="cyan")
    if value.waiting:
        return Text(f"{count(len(value.waiting), 'call')} waiting", style=CARE)
    return Text("ready", style=GOOD)


def agent(value: wire.Agent, now_ns: int | None = None) -> RenderableType:
    """One agent, whole; `now_ns` is the wall clock, for how long its calls have waited."""
    rows: list[tuple[str, RenderableType]] = [
        ("agent id", ink.foreign(value.agent_id, "bold")),
        ("state", state_of(value, reason=True)),
        ("remains", ink.usd(value.remaining_usd, "bold")),
    ]
    if value.hard_limit_cents is not None:
        rows += [
            ("limit", ink.cents(value.hard_limit_cents)),
            ("held", ink.usd(value.held_usd)),
            ("settled", ink.usd(value.settled_usd)),
        ]
    rows += [
        ("concurrency", ink.foreign(value.concurrency)),
        ("overflow", ink.foreign(value.overflow)),
        ("provider", Text("mock only" if value.mock else "real")),
        ("keys", Text(str(value.keys) if value.keys else "none")),
        ("needs key", Text("yes, its id alone is refused" if value.needs_key else "no")),
        ("created", ink.when(value.created_at)),
    ]
    rows += [(name.replace("_", " "), ink.foreign(text)) for name, text in own_policy(value.policy)]
    names = {value.agent_id: value.name}
    shown: list[RenderableType] = []
    if value.waiting:
        shown = [Text(), ink.indent(waiting(value.waiting, names, now_ns))]
    return Group(ink.foreign(value.name, "bold"), ink.indent(ink.facts(rows)), *shown)


def waiting(
    values: list[wire.Waiting], names: Mapping[str, str], now_ns: int | None = None
) -> RenderableType:
    """Calls that wait: for what, how much, how long. `names` are those of the agents, by id."""
    made = ink.table(
        "WAITING", "CALL", "RUN", "FOR", "NEEDS", "TIME",
        right=("NEEDS",), whole=("CALL", "FOR", "TIME"), less=("RUN", "CALL"),
    )  # fmt: skip
    for value in values:
        made.add_row(
            ink.foreign(names.get(value.agent_id, value.agent_id), "bold"),
            ink.foreign(value.call_id[:SHORT_ID], QUIET),
            ink.foreign(value.run_id),
            ink.foreign(_WAITS_FOR.get(value.code, value.code), CARE),
            ink.usd(value.worst_case_usd),
            ink.spans(value.since, value.until, now_ns),
        )
    return made


SHORT_ID = 8
"""Of the id of a call that ends its wait soon: enough to tell it from the others; --json has all of it."""

_WAITS_FOR: Mapping[str, str] = {
    Code.INSUFFICIENT_BUDGET: "a top-up",
    Code.BUDGET_NOT_SET: "a budget",
    Code.DAEMON_CAP: "the cap of all",
    Code.BUDGET_HELD: "held money",
    Code.BUDGET_LOCKED: "the lock",
}


def own_policy(value: wire.AgentPolicy) -> list[tuple[str, str]]:
    """What an agent has of its own in place of [policy], as names and texts."""
    own = [(name, getattr(value, name)) for name in value.__struct_fields__]
    return [
        (name, ", ".join(text) if isinstance(text, list) else str(text))
        for name, text in own
        if text is not None
    ]


def agent_detail(value: shapes.AgentDetail) -> RenderableType:
    """One agent with its latest calls."""
    latest = calls(value.calls) if value.calls else Text("no calls yet", style=QUIET)
    held = [call for call in value.calls if call.state == "held"]
    running: list[RenderableType] = [ink.indent(in_flight(held, value.now_ns)), Text()] if held else []
    head = agent(value.agent, value.now_ns)
    return Group(head, Text(), *running, ink.indent(latest), *refusals(value.calls))


def refusals(values: list[wire.Call]) -> list[RenderableType]:
    """Which codes the refused ones of these calls had, how often, and when last; nothing without any."""
    newest: dict[str, wire.Call] = {}
    times: Counter[str] = Counter()
    for value in values:
        if value.state == "refused" and value.code is not None:
            newest.setdefault(value.code, value)
            times[value.code] += value.count
    made = ink.table(
        "REFUSED WITH", "STATUS", "TIMES", "LAST", "WHY",
        right=("STATUS", "TIMES"), whole=("REFUSED WITH", "LAST"), prose=("WHY",), less=("WHY", "LAST"),
    )  # fmt: skip
    for code, value in newest.items():
        made.add_row(
            ink.foreign(code, BAD),
            ink.foreign(value.http_status or "-"),
            Text(str(times[code])),
            ink.when(value.created_at),
            ink.prose(value.reason or "-", QUIET),
        )
    return [Text(), ink.indent(made)] if newest else []


def in_flight(values: list[wire.Call], now_ns: int) -> RenderableType:
    """Calls that have not ended: for how long, and whether their client and their provider still speak."""
    made = ink.table(
        "IN FLIGHT", "RUN", "AGE", "NOTE",
        right=("AGE",), fixed=("IN FLIGHT",), whole=("AGE",), prose=("NOTE",), above=("IN FLIGHT",),
    )  # fmt: skip
    for value in values:
        made.add_row(
            ink.foreign(value.call_id, QUIET),
            ink.foreign(value.run_id),
            ink.age(value.created_at, now_ns),
            Text(", ".join(_silence(value)), style=CARE),
        )
    return made


def _silence(value: wire.Call) -> list[str]:
    left = ["its client has left"] if value.attached is False else []
    return left + ([f"no byte for {value.idle_seconds} s"] if value.idle_seconds else [])


def calls(values: list[wire.Call]) -> RenderableType:
    """Calls: what was held, what it cost in the end."""
    made = ink.table(
        "CALL", "MODEL", "STATE", "HELD", "COST", "TIME",
        right=("STATE", "HELD", "COST"), fixed=("CALL",), whole=("TIME",),
        less=("TIME", "HELD", "MODEL", "STATE"), above=("CALL",),
    )  # fmt: skip
    for value in values:
        made.add_row(
            ink.foreign(value.call_id, QUIET),
            ink.foreign(value.model),
            ink.foreign(value.state, ink.STATE_STYLES.get(value.state, "")),
            ink.usd(value.hold_usd),
            ink.usd(value.cost_usd),
            ink.when(value.created_at),
        )
    return made


def call(value: wire.Call) -> RenderableType:
    """One call and what it cost."""
    rows: list[tuple[str, RenderableType]] = [
        ("state", ink.foreign(value.state, ink.STATE_STYLES.get(value.state, ""))),
        ("model", ink.foreign(value.model)),
        ("held", ink.usd(value.hold_usd)),
        ("cost", ink.usd(value.cost_usd, "bold")),
        ("reason", ink.foreign(value.reason or "-")),
    ]
    return Group(ink.foreign(value.call_id, "bold"), ink.indent(ink.facts(rows)))


def budget_detail(value: shapes.BudgetDetail) -> RenderableType:
    """An agent's money, under its name."""
    return Group(ink.foreign(value.name, "bold"), budget(value.budget))


def budget(value: wire.Budget) -> RenderableType:
    """An agent's money."""
    free, held = ink.nusd(value.available_usd), ink.nusd(value.held_usd)
    head = ink.usd(value.remaining_usd, "bold")
    head.append(" remains of ", style="not bold").append_text(ink.usd(value.hard_limit_usd))
    rows: list[tuple[str, RenderableType]] = [
        ("free", ink.usd(value.available_usd)),
        ("held", ink.usd(value.held_usd)),
        ("settled", ink.usd(value.settled_usd)),
        ("granted", ink.usd(value.funded_usd)),
    ]
    if value.topup_applied_usd is not None:
        rows.append(("added now", ink.usd(value.topup_applied_usd)))
    if value.topup_ignored_usd and ink.nusd(value.topup_ignored_usd):
        left = ink.usd(value.topup_ignored_usd).append(" did not fit under the limit and was not added")
        left.stylize(CARE)
        rows.append(("not added", left))
    if value.locked_run_id:
        rows.append(("in flight", ink.foreign(f"run {value.locked_run_id}, until {value.locked_expires_at}")))
    whole = ink.nusd(value.hard_limit_usd)
    body = Group(head, ink.bar(free, held, whole), ink.facts(rows))
    return Group(ink.foreign(value.agent_id, QUIET), ink.indent(body))


def daemon_budget(value: wire.DaemonBudget) -> RenderableType:
    """The cap above all agents."""
    rows: list[tuple[str, RenderableType]] = [
        ("held", ink.usd(value.held_usd)),
        ("settled, ever", ink.usd(value.settled_usd)),
    ]
    return Group(daemon_budget_line(value), ink.indent(ink.facts(rows)))


def daemon_budget_line(value: wire.DaemonBudget) -> Text:
    """The cap above all agents, in a few words."""
    if value.hard_limit_cents is None:
        return Text("off: no cap above the agents' own budgets")
    line = ink.usd(value.remaining_usd, "bold").append(" remains of ", style="not bold")
    return line.append_text(ink.cents(value.hard_limit_cents)).append(" for all agents together")


def runs(values: list[wire.Run]) -> RenderableType:
    """An agent's runs."""
    made = ink.table(
        "RUN",
        "CALLS",
        "COST",
        "LAST SEEN",
        right=("CALLS", "COST"),
        fixed=("RUN",),
        less=("LAST SEEN",),
        above=("RUN",),
    )
    for value in values:
        made.add_row(
            ink.foreign(value.run_id, "bold"),
            Text(str(value.calls)),
            ink.usd(value.cost_usd),
            ink.when(value.last_seen_at),
        )
    return made


def run(value: wire.Run) -> RenderableType:
    """One run: its id is what a client sends."""
    return ink.facts([("run id", ink.foreign(value.run_id, "bold"))])
