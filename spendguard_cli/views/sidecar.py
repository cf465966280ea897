"""What a person sees of the sidecar itself: state, prices, providers, settings. Pure: values in, Rich out."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from rich.console import Group, RenderableType
from rich.text import Text

from spendguard_cli import render, shapes
from spendguard_cli.render import count
from spendguard_cli.views import accounts, ink
from spendguard_cli.views.ink import BAD, CARE, GOOD, QUIET
from spendguard_daemon import wire
from spendguard_daemon.setting_values import DANGER

Rows = list[tuple[str, RenderableType]]


def sidecar(value: shapes.Sidecar) -> RenderableType:
    """The sidecar: is it up, and where."""
    if value.state != "up":
        return Group(
            _head(value.state, _why(value)), ink.indent(ink.facts([("home", ink.foreign(value.home))]))
        )
    rows: Rows = [
        ("address", ink.foreign(value.base_url, "bold")),
        *_doors(value.agents_url, value.listening, value.socket),
        ("home", ink.foreign(value.home)),
        ("process", ink.foreign(f"pid {value.pid}, version {value.version}")),
        ("prices", _signed(self_signed=value.self_signed, verified=value.verified)),
    ]
    return Group(_head("up", "" if value.changed else "it was running already"), ink.indent(ink.facts(rows)))


def _why(value: shapes.Sidecar) -> str:
    if value.state == "unresponsive":
        return f"process {value.pid or '?'} has the ledger open, and cannot be asked"
    return "stopped" if value.changed else "no sidecar is running"


def status(value: shapes.StatusDetail) -> RenderableType:
    """The daemon at a glance, with its agents."""
    now = value.status
    rows: Rows = [
        ("address", ink.foreign(value.base_url, "bold")),
        *_doors(now.agents_url, now.listening, now.socket),
        ("home", ink.foreign(now.home)),
        ("process", ink.foreign(f"pid {now.pid}, version {now.version}")),
        ("started", ink.when(now.started_at)),
        ("prices", _prices(now.pricing)),
        ("provider keys", _keys(now.providers)),
        ("calls", _calls(now)),
    ]
    if now.daemon_budget.hard_limit_cents is not None:
        rows.append(("cap of all", accounts.daemon_budget_line(now.daemon_budget)))
    if now.unconfirmed_calls:
        risk = ink.usd(now.unconfirmed_usd, CARE)
        risk.append(f" charged at worst for {count(now.unconfirmed_calls, 'call')}, real cost not known")
        rows.append(("unconfirmed", risk))
    drains = f"stopping: {count(now.calls_in_flight, 'call')} in flight" if now.state == "draining" else ""
    return Group(
        _head(now.state, drains),
        ink.indent(ink.facts(rows)),
        *_warnings(now.warnings),
        Text(),
        _agents(value.agents),
        *_waiting(now, value.agents, value.now_ns),
        *_unconfirmed(now),
    )


def _doors(agents_url: str | None, listening: list[str], socket: str | None) -> Rows:
    """The ways in beside the address: for agents with a key, on other addresses, and for the operator."""
    rows: Rows = [("for agents", ink.foreign(f"{agents_url}  with an agent key"))] if agents_url else []
    for url in listening:
        near = _is_loopback(url)
        told = "with a key" if near else "with a key, reachable from elsewhere"
        rows.append(("listens at", ink.foreign(f"{url}  {told}", "" if near else BAD)))
    return rows + ([("socket", ink.foreign(socket))] if socket else [])


def _is_loopback(url: str) -> bool:
    try:
        return ip_address(urlsplit(url).hostname or "").is_loopback
    except ValueError:
        return False  # whatever it is, it is shown as what it may be at worst


def _calls(now: wire.Status) -> Text:
    line = Text(f"{count(now.calls_in_flight, 'call')} in flight")
    if now.calls_waiting:
        line.append(f", {now.calls_waiting} waiting", style=CARE)
    return line


def _waiting(now: wire.Status, agents: list[wire.Agent], now_ns: int) -> list[RenderableType]:
    """The calls that wait for an operator, or for other calls; the longest waiting first."""
    if not now.waiting:
        return []
    names = {agent.agent_id: agent.name for agent in agents}
    more = now.calls_waiting - len(now.waiting)
    rest = [Text(f"and {more} more", style=QUIET)] if more > 0 else []
    return [Text(), accounts.waiting(now.waiting, names, now_ns), *rest]


def _unconfirmed(now: wire.Status) -> list[RenderableType]:
    """The calls that `budget adjust` is for, the latest few of them."""
    if not now.unconfirmed:
        return []
    made = ink.table(
        "UNCONFIRMED CALL", "AGENT", "CHARGED", "WHY",
        right=("CHARGED",), fixed=("UNCONFIRMED CALL",), prose=("WHY",), less=("AGENT",),
        above=("UNCONFIRMED CALL",),
    )  # fmt: skip
    for row in now.unconfirmed:
        made.add_row(
            ink.foreign(row.call_id),
            ink.foreign(row.agent_name or row.agent_id),
            ink.usd(row.cost_usd),
            ink.foreign(row.reason, QUIET),
        )
    more = now.unconfirmed_calls - len(now.unconfirmed)
    rest = [Text(f"and {more} more", style=QUIET)] if more > 0 else []
    return [Text(), made, *rest, Text(), _unconfirmed_agents(now.unconfirmed_agents)]


def _unconfirmed_agents(values: list[wire.UnconfirmedAgent]) -> RenderableType:
    made = ink.table("UNCONFIRMED BY AGENT", "CALLS", "CHARGED", right=("CALLS", "CHARGED"))
    for value in values:
        made.add_row(
            ink.foreign(value.agent_name or value.agent_id, "bold"),
            Text(str(value.calls)),
            ink.usd(value.charged_usd),
        )
    return made


def overview(value: shapes.Overview) -> RenderableType:
    """The state of things, and the next step."""
    title = Text("SpendGuard", style="bold")
    title.append("  strict, hard budgets for the LLM spending of agents", style=f"not bold {QUIET}")
    state = _head(value.state, value.base_url or f"home {value.home}")
    step = Text("next  ", style=QUIET, no_wrap=True, overflow="ignore")
    step.append_text(ink.prose(value.next, "bold not dim cyan"))
    reason = ink.Wording(value.why, QUIET, indent_cells=6)
    rest = ink.Wording("spendguard --help lists every command", QUIET, indent_cells=6)
    shown = [Text(), _agents(value.agents)] if value.agents else []
    return Group(title, Text(), state, *_warnings(value.warnings), *shown, Text(), step, reason, rest)


def providers(values: list[wire.Provider]) -> RenderableType:
    """Where providers are reached, and where their keys come from; never a key."""
    made = ink.table("PROVIDER", "KEY", "ADDRESS", prose=("ADDRESS",))
    for value in values:
        made.add_row(ink.foreign(value.name, "bold"), _key(value.key), ink.foreign(value.base_url, QUIET))
    return made


def provider_test(value: wire.ProviderTest) -> RenderableType:
    """Whether the provider takes the key."""
    head = Text("✓ " if value.ok else "✗ ", style=GOOD if value.ok else BAD)
    head.append_text(ink.foreign(value.name, "bold")).append("  ", style="not bold")
    said = value.detail.removeprefix(f"{value.name}: ")
    head.append_text(ink.prose(said, "not bold default"))
    return head


def key_set(value: shapes.KeySet) -> RenderableType:
    """A stored key: where it lies, and what the sidecar uses now."""
    head = Text("stored the key of ").append_text(ink.foreign(value.name, "bold"))
    rows: Rows = [("file", ink.foreign(value.path))]
    if value.sidecar == "up":
        rows.append(("sidecar uses", ink.foreign(value.key)))
    return Group(head, ink.indent(ink.facts(rows)))


def config(value: shapes.Config) -> RenderableType:
    """Every setting: what it is now, what for, and who says so where that is not the default."""
    made = ink.table("SETTING", "VALUE", "WHAT FOR", fixed=("SETTING",), prose=("VALUE", "WHAT FOR"))
    urls = ink.table("ADDRESS", "VALUE", "", fixed=("ADDRESS",), prose=("VALUE",))
    for row in value.settings:
        changed = row.origin != "default"
        name, shown = ink.foreign(row.name), ink.foreign(row.value, "bold" if changed else "")
        origin = ink.foreign(f"from {row.origin}" if changed else "", "cyan")
        if row.name.startswith("providers."):
            urls.add_row(name, shown, origin)
        else:
            made.add_row(name, shown, Group(ink.foreign(row.help, QUIET), *([origin] if changed else [])))
    file = Text("file  ", style=QUIET).append_text(ink.foreign(value.path, "not dim"))
    return Group(made, Text(), urls, Text(), file, *_warnings(value.warnings))


def setting(value: shapes.Setting) -> RenderableType:
    """One setting as it is now."""
    line = ink.foreign(value.name, "bold").append(" = ", style="not bold")
    return line.append_text(ink.foreign(value.value)).append_text(
        ink.foreign(f"  ({value.origin})", f"not bold {QUIET}")
    )


def log_line(record: dict[str, object]) -> RenderableType:
    """One record of the log: time, level, message, then the facts beside it."""
    known = ("ts", "level", "logger", "message", "traceback")
    level = str(record.get("level", ""))
    line = Text(str(ink.when(str(record["ts"]))) + " " if "ts" in record else "", style=QUIET)
    line.append(ink.foreign(level).plain.ljust(8), style=_LEVELS.get(level, "not dim"))
    line.append_text(ink.prose(str(record.get("message", "")), "not dim default"))
    for name, item in record.items():
        if name not in known:
            line.append_text(ink.prose("  " + render.record({name: item}), QUIET))
    return line


_STATES = {"up": ("●", f"bold {GOOD}"), "down": ("○", QUIET), "draining": ("◐", f"bold {CARE}")}
_LEVELS = {"warning": f"not dim {CARE}", "error": f"not dim {BAD}", "critical": f"not dim bold {BAD}"}


def _head(state: str, rest: str) -> Text:
    mark, style = _STATES.get(state, ("◐", BAD))
    head = Text(f"{mark} ", style=style).append_text(ink.foreign(state))
    return head.append_text(ink.foreign(f"  {rest}" if rest else "", "not bold not dim default"))


def _agents(values: list[wire.Agent]) -> RenderableType:
    return accounts.agents(values) if values else Text("no agents yet", style=QUIET)


def _warnings(values: list[str]) -> list[Text]:
    return [_warning(value) for value in values]


def _warning(value: str) -> Text:
    danger = value.startswith(DANGER)
    return Text("! ", style=BAD if danger else CARE).append_text(
        ink.prose(value, BAD if danger else "default")
    )


def _signed(*, self_signed: bool | None, verified: bool | None) -> Text:
    if self_signed is None:
        return Text("no valid price document", style=BAD)
    if not verified:
        return Text("NOT VERIFIED: anyone may have set them", style=f"bold {BAD}")
    return Text("self-signed by this machine", style=CARE) if self_signed else Text("signed", style=GOOD)


def _prices(pricing: wire.Pricing | None) -> Text:
    if pricing is None:
        return _signed(self_signed=None, verified=None)
    line = _signed(self_signed=pricing.self_signed, verified=pricing.verified)
    if pricing.url:
        line.append(" from ", style="default").append_text(ink.foreign(pricing.url))
    line.append(f", {len(pricing.models)} models, valid to ", style="default")
    return line.append_text(ink.when(pricing.expires_at))


def _keys(values: list[wire.Provider]) -> Text:
    have = [value.name for value in values if value.key != "absent"]
    return ink.foreign(", ".join(have)) if have else Text("none: spendguard provider set-key", style=QUIET)


def _key(origin: str) -> Text:
    return Text("absent", style=QUIET) if origin == "absent" else ink.foreign(origin, GOOD)
