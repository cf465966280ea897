"""The tools of a Gemini request: which may stay, and what those that run at Google may cost.

Owns the plan and the text edits that carry it out; what is left of the request is then read as if the client
had sent it so. One object of `tools` may hold several kinds. Sources: `gemini_fields.TOOLS`; costs.md B4.
Invariant: a request whose plan was carried out needs no further edit.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from spendguard_daemon.errors import MalformedError, SpendGuardError
from spendguard_daemon.providers import splice
from spendguard_daemon.providers.gemini_fields import TOOL_NAMES, TOOLS, Tool
from spendguard_daemon.providers.gemini_names import camels, canonical, listed, member
from spendguard_daemon.providers.json_text import Document, Json, join_path, object_at
from spendguard_daemon.providers.policy import Policy
from spendguard_daemon.providers.refusals import (
    HOSTED_TOOLS_ALLOW,
    HOSTED_TOOLS_STRIP,
    unbounded,
    unlisted,
)

GROUNDED_PASSES = 2
"""How often a grounded prompt may read the window, and write its cap: once to ask, once to answer. The usage
of grounded answers has the prompt once, and beside it what was found (recording 33)."""

_PER_PROMPT = re.compile(r"gemini-[12]\.")
"""The models whose searches are billed once per grounded prompt; any other name may bill each query."""


@dataclass(frozen=True, slots=True)
class ToolPlan:
    """What happens to the tools. `edits` take out what `stripped` names.

    `declarations` is the number of functions, `events` the most of each fee, `passes` how often the context
    may be read and the cap be written.
    """

    edits: tuple[splice.Edit, ...] = ()
    stripped: tuple[str, ...] = ()
    declarations: int = 0
    passes: int = 1
    events: Mapping[str, int] = field(default_factory=dict)


def bills_per_prompt(model: str) -> bool:
    """Tell whether a model's searches are billed once per grounded prompt ([costs B4])."""
    return _PER_PROMPT.match(model) is not None


def plan_tools(document: Document, model: str, policy: Policy) -> ToolPlan:
    """Decide on each kind of each tool; raise what does not pass, with its path."""
    gone: dict[int, list[str]] = {}
    stripped: list[str] = []
    events: dict[str, int] = {}
    declarations, hosted = 0, False
    tools = listed(document.value("tools"), "tools")
    for index, tool in enumerate(tools):
        path = f"tools[{index}]"
        for name, value in _kinds(tool, path, policy).items():
            kind = TOOLS.get(name)
            if name == "functionDeclarations":
                declarations += len(listed(value, f"{path}.{name}"))
            if kind is None or not kind.hosted or value is None:
                continue
            if policy.hosted_tools == "strip":
                gone.setdefault(index, []).append(name)
                stripped.append(f"gemini.tool:{name}")
                continue
            hosted = True
            events[_allowed(name, kind, model, path, policy)] = 1
    return ToolPlan(
        edits=tuple(_cuts(document, gone)) if gone else (),
        stripped=tuple(dict.fromkeys(stripped)),
        declarations=declarations,
        passes=GROUNDED_PASSES if hosted else 1,
        events=events,
    )


def _kinds(tool: Json, path: str, policy: Policy) -> dict[str, Json]:
    if not isinstance(tool, dict):
        raise MalformedError(path, "object")
    named = camels(tool, TOOL_NAMES, path)
    for name in named:
        feature = f"gemini.tool:{name[:100]}"
        if name not in TOOL_NAMES and feature not in policy.allow:
            raise unlisted(join_path(path, name), "a kind of tool whose cost is known", feature)
    return named


def _allowed(name: str, kind: Tool, model: str, path: str, policy: Policy) -> str:
    """Return the fee of a tool at Google that may stay; raise for one that may not."""
    bounded = kind.event is not None and bills_per_prompt(model)
    if policy.hosted_tools == "allow" and bounded and kind.event is not None:
        return kind.event
    raise _hosted(f"{path}.{name}", name, bounded=bounded)


def _hosted(path: str, name: str, *, bounded: bool) -> SpendGuardError:
    return unbounded(path, f"gemini.tool:{name}", HOSTED_TOOLS_ALLOW if bounded else HOSTED_TOOLS_STRIP)


def _cuts(document: Document, gone: Mapping[int, list[str]]) -> list[splice.Edit]:
    """Return the edits that leave out these kinds, the objects that held nothing else, an empty list."""
    text, tools = document.text, document.members["tools"]
    alone = text.startswith("{", tools.value_start)
    places = [(tools.value_start, tools.value_end)] if alone else document.elements("tools")
    objects = [canonical(object_at(text, start), TOOL_NAMES) for start, _ in places]
    drops = [index in gone and gone[index] == _filled(one) for index, one in enumerate(objects)]
    if all(drop or not one.members for drop, one in zip(drops, objects, strict=True)):
        # Google refuses a choice among functions where there is no function.
        _check_choice(document, gone)
        return splice.remove_members(document, ("tools", "toolConfig"))
    edits = splice.remove(places, drops)
    for index, names in gone.items():
        if not drops[index]:
            edits += splice.remove_members(objects[index], names)
    return edits


def _filled(tool: Document) -> list[str]:
    return [name for name, one in tool.members.items() if one.value is not None]


def _check_choice(document: Document, gone: Mapping[int, list[str]]) -> None:
    """Refuse where the model must call something, and all that it could call is left out."""
    config = document.value("toolConfig") or {}
    choice = member(config, "functionCallingConfig", "toolConfig") or {}
    if isinstance(choice, dict) and str(choice.get("mode")).upper() == "ANY":
        index, names = next(iter(gone.items()))
        raise _hosted(f"tools[{index}].{names[0]}", names[0], bounded=False)
