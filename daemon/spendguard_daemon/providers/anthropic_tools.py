"""The tools of a `messages` request: which may stay, how often those that run at the provider may be used.

Owns the plan and the text edits that carry it out; what is left of the request is then read as if the client
had sent it so. Sources: `anthropic_fields.TOOLS`; costs.md B3. Invariant: a request whose plan was carried
out needs no further edit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from spendguard_daemon.errors import MalformedError, SpendGuardError
from spendguard_daemon.providers import splice
from spendguard_daemon.providers.anthropic_fields import INJECTED_TOKENS, TOOLS, Runs, Tool
from spendguard_daemon.providers.json_text import Document, Json, object_at
from spendguard_daemon.providers.policy import Policy
from spendguard_daemon.providers.refusals import (
    HOSTED_TOOLS_ALLOW,
    HOSTED_TOOLS_STRIP,
    allow,
    unbounded,
    unlisted,
)

LOOP_PASSES = 11
"""How often the provider's own loop reads the context at most, however few uses it may make: attempts beyond
`max_uses` are answered with an error, and go on. [docs] stop reasons, `pause_turn`: "The default limit is 10
iterations per request"; 11 were seen (a field report of August 2026)."""

_HOSTED_FIELDS = ("mcp_servers", "container")
_ABSENT: tuple[Json, ...] = (None, [], {})


@dataclass(frozen=True, slots=True)
class ToolPlan:
    """What happens to the tools. `edits` take out what `stripped` names, and write in the limits of uses.

    `injected_tokens` is what the provider adds for definitions of its own; `events` the most of each fee,
    `passes` how often the context may be read, and the cap be written: it holds for each pass by itself, as
    answers above it have shown. `changed` says the same for a person.
    """

    edits: tuple[splice.Edit, ...] = ()
    stripped: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    injected_tokens: int = 0
    passes: int = 1
    events: Mapping[str, int] = field(default_factory=dict)


def plan_tools(document: Document, policy: Policy) -> ToolPlan:
    """Decide on each tool, and on what else runs at the provider; raise what does not pass, with its path."""
    tools = document.value("tools") or []
    kinds = [_kind(tool, f"tools[{index}]", policy) for index, tool in enumerate(tools)]
    out = {index for index, kind in enumerate(kinds) if _goes(tools[index], kind, f"tools[{index}]", policy)}
    dropped = [name for name in _HOSTED_FIELDS if document.value(name) not in _ABSENT]
    for name in dropped:
        _refuse_unless_stripped(name, f"anthropic.messages.field:{name}", policy)
    if tools and len(out) == len(tools):
        dropped.append("tools")
    dropped += _choice_to_drop(document.value("tool_choice"), tools, out)
    stripped = [f"anthropic.tool:{tools[index]['type']}" for index in sorted(out)]
    stripped += [f"anthropic.messages.field:{name}" for name in dropped if name in _HOSTED_FIELDS]
    kept = {index: kind for index, kind in enumerate(kinds) if index not in out}
    limits = (
        _limits(document, kept, policy) if any(k.runs is Runs.HOSTED for k in kept.values()) else _Limits()
    )
    return ToolPlan(
        edits=(*_cuts(document, out, dropped), *limits.edits),
        stripped=tuple(stripped),
        changed=(*(f"{name}: taken out" for name in stripped), *limits.changed),
        injected_tokens=INJECTED_TOKENS * sum(kind.runs is Runs.INJECTED for kind in kept.values()),
        passes=max(LOOP_PASSES, 1 + sum(limits.uses.values())) if limits.uses else 1,
        events=limits.events(kept),
    )


def check_inline(definition: Json, path: str, policy: Policy) -> int:
    """Check a tool that is defined amid the messages; return the tokens its definition may add.

    One that runs at the provider cannot be taken out of there, so it is refused.
    """
    kind = _kind(definition, path, policy)
    if kind.runs is Runs.HOSTED:
        raise unbounded(path, f"anthropic.tool:{definition['type']}")
    return INJECTED_TOKENS if kind.runs is Runs.INJECTED else 0


def _kind(tool: Json, path: str, policy: Policy) -> Tool:
    if not isinstance(tool, dict):
        raise MalformedError(path, "object")
    name = tool.get("type")
    if name is None:
        return TOOLS["custom"]
    if not isinstance(name, str):
        raise MalformedError(f"{path}.type", "string")
    feature = f"anthropic.tool:{name}"
    kind = TOOLS.get(name)
    if kind is None and feature not in policy.allow:
        raise unlisted(f"{path}.type", "a tool type whose cost is known", feature)
    if kind is not None and kind.runs is Runs.INJECTED and feature not in policy.allow:
        raise unbounded(path, feature, allow(feature))
    return kind or Tool(Runs.INJECTED)


def _goes(tool: Json, kind: Tool, path: str, policy: Policy) -> bool:
    """Tell whether a tool is to be taken out; raise where it may neither stay nor go."""
    if kind.runs is not Runs.HOSTED:
        return False
    if policy.hosted_tools == "strip":
        return True
    limited = kind.limited and (not kind.direct or tool.get("allowed_callers") == ["direct"])
    if policy.hosted_tools == "allow" and limited:
        return False
    raise _hosted(path, f"anthropic.tool:{tool['type']}", limited=limited)


def _refuse_unless_stripped(path: str, feature: str, policy: Policy) -> None:
    if policy.hosted_tools != "strip":
        raise _hosted(path, feature, limited=False)


def _hosted(path: str, feature: str, *, limited: bool) -> SpendGuardError:
    """Return the refusal of what runs at the provider: where its uses have a limit, it can be allowed."""
    return unbounded(path, feature, HOSTED_TOOLS_ALLOW if limited else HOSTED_TOOLS_STRIP)


def _choice_to_drop(choice: Json, tools: Sequence[Json], out: set[int]) -> list[str]:
    """Return `tool_choice` where no tool is left to choose; raise where the model must use one taken out."""
    if not out or not isinstance(choice, dict):
        return []
    none_left = len(out) == len(tools)
    names = {tools[index].get("name") for index in out}
    must = choice.get("type") == "tool" and choice.get("name") in names
    if must or (none_left and choice.get("type") not in ("auto", "none")):
        first = tools[min(out)]["type"]
        raise unbounded("tool_choice", f"anthropic.tool:{first}", HOSTED_TOOLS_ALLOW)
    return ["tool_choice"] if none_left else []


def _cuts(document: Document, out: set[int], dropped: Sequence[str]) -> list[splice.Edit]:
    edits = splice.remove_members(document, dropped)
    if out and "tools" not in dropped:
        places = document.elements("tools")
        edits += splice.remove(places, [index in out for index in range(len(places))])
    return edits


@dataclass(frozen=True, slots=True)
class _Limits:
    """How often each hosted tool that stays may be used, by its index."""

    uses: Mapping[int, int] = field(default_factory=dict)
    edits: tuple[splice.Edit, ...] = ()
    changed: tuple[str, ...] = ()

    def events(self, kept: Mapping[int, Tool]) -> dict[str, int]:
        """Return the most of each fee."""
        most: dict[str, int] = {}
        for index, uses in self.uses.items():
            event = kept[index].event
            if event is not None:
                most[event] = most.get(event, 0) + uses
        return most


def _limits(document: Document, kept: Mapping[int, Tool], policy: Policy) -> _Limits:
    places = document.elements("tools")
    uses: dict[int, int] = {}
    edits: list[splice.Edit] = []
    changed: list[str] = []
    for index, kind in kept.items():
        if kind.runs is not Runs.HOSTED:
            continue
        tool = object_at(document.text, places[index][0])
        asked, path = tool.value("max_uses"), f"tools[{index}].max_uses"
        if asked is not None and (not isinstance(asked, int) or isinstance(asked, bool) or asked < 1):
            raise MalformedError(path, "an integer of at least 1")
        uses[index] = min(policy.hosted_tool_uses, asked or policy.hosted_tool_uses)
        if asked != uses[index]:
            edits.append(splice.set_member(tool, "max_uses", str(uses[index])))
            changed.append(f"{path}: {asked or 'none'} -> {uses[index]}")
    return _Limits(uses, tuple(edits), tuple(changed))
