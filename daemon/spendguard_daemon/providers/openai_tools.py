"""The tools of a responses request: which run at the client, which at the provider, what becomes of these.

Owns the operator's choice about hosted tools (`Policy.hosted_tools`): they are left out of the text with all
that names them, refused, or kept with a limit of uses. Each round of a hosted tool makes the model read its
context again, and some have a fee beside.
"""

from collections.abc import Collection, Sequence

from spendguard_daemon.errors import MalformedError, SpendGuardError
from spendguard_daemon.providers import splice
from spendguard_daemon.providers.json_text import Document, Json
from spendguard_daemon.providers.openai_parts import Found, feature
from spendguard_daemon.providers.openai_responses_fields import (
    BUILT_IN_TOOL_BYTES,
    NAMESPACE,
    Hosted,
    ToolTable,
)
from spendguard_daemon.providers.policy import Policy
from spendguard_daemon.providers.refusals import (
    HOSTED_TOOLS_ALLOW,
    HOSTED_TOOLS_STRIP,
    allow,
    unbounded,
    unlisted,
)

_FORCES_ANY, _ALLOWED = "required", "allowed_tools"


def read_tools(tools: Json, path: str, found: Found) -> None:
    """Read a list of tools (or None); refuse hosted ones that the operator's policy does not let through."""
    if tools is not None and not isinstance(tools, list):
        raise MalformedError(path, "array")
    for index, tool in enumerate(tools or ()):
        _read_tool(tool, f"{path}[{index}]", found)


def strip(
    document: Document, policy: Policy, api: str, table: ToolTable
) -> tuple[list[splice.Edit], tuple[str, ...]]:
    """Return the edits that leave out hosted tools, and the names of these; none unless told to strip.

    Raises UNBOUNDED_FEATURE where the request forces one of them to be used.
    """
    tools = document.value("tools")
    if policy.hosted_tools != "strip" or not isinstance(tools, list):
        return [], ()
    drops = [_goes(tool, policy, api, table) for tool in tools]
    gone = tuple(sorted({tool["type"] for tool, drop in zip(tools, drops, strict=True) if drop}))
    if not gone:
        return [], ()
    names = tuple(feature(api, "tool", kind) for kind in gone)
    kept = {tool.get("type") for tool, drop in zip(tools, drops, strict=True) if not drop}
    shows = _without_shows(document, gone, table)
    _check_choice(document, gone, kept, api, table)
    if all(drops):
        return [*shows, *splice.remove_members(document, ("tools", "tool_choice"))], names
    choice = _without_choice(document, gone)
    return [*shows, *choice, *splice.remove(document.elements("tools"), drops)], names


def fees(types: Sequence[str], uses: int, table: ToolTable) -> dict[str, int]:
    """Return the most of each fee that so many uses of these hosted tools may cause; none without uses."""
    rows = (table.hosted[kind] for kind in types if kind in table.hosted)
    names = sorted({row.fee for row in rows if row.fee is not None})
    return {name: uses * table.fees_per_call.get(name, 1) for name in names} if uses else {}


def hosted(tool: Json, table: ToolTable) -> Hosted | None:
    """Return the row of a tool that runs at the provider, None for any other."""
    kind = tool.get("type") if isinstance(tool, dict) else None
    if not isinstance(kind, str) or kind not in table.hosted:
        return None
    if kind == "tool_search" and tool.get("execution") == "client":
        return None
    environment = tool.get("environment")
    if kind == "shell" and isinstance(environment, dict) and environment.get("type") == "local":
        return None
    return table.hosted[kind]


def _read_tool(tool: Json, path: str, found: Found) -> None:
    if not isinstance(tool, dict):
        raise MalformedError(path, "object")
    kind, row = tool.get("type"), hosted(tool, found.table)
    name = found.feature("tool", kind)
    if row is not None:
        if not _let_through(row, name, found.policy):
            raise unbounded(path, name, setting=_setting(row, name, found.policy))
        found.hosted.add(str(kind))
    elif kind == NAMESPACE:
        _read_namespace(tool, path, found)
    elif isinstance(kind, str) and kind in found.table.built_in:
        found.built_in_bytes += BUILT_IN_TOOL_BYTES
    elif not (isinstance(kind, str) and kind in found.table.client) and name not in found.policy.allow:
        raise unlisted(f"{path}.type", "a tool that can be priced", name)
    found.tools += 1
    found.cache_mark(tool, path)


def _read_namespace(tool: dict[str, Json], path: str, found: Found) -> None:
    inner = tool.get("tools")
    if not isinstance(inner, list):
        raise MalformedError(f"{path}.tools", "array")
    for index, one in enumerate(inner):
        kind = one.get("type") if isinstance(one, dict) else None
        if not isinstance(kind, str) or kind not in found.table.client:
            raise MalformedError(f"{path}.tools[{index}].type", " or ".join(sorted(found.table.client)))
    found.tools += len(inner)


def _let_through(row: Hosted, name: str, policy: Policy) -> bool:
    """Tell whether the operator lets a hosted tool through: all that have a fee, or this one by name."""
    by_name = name in policy.allow and (row.opens or row.fee is not None)
    return by_name or (policy.hosted_tools == "allow" and row.fee is not None)


def _setting(row: Hosted, name: str, policy: Policy) -> str:
    """Return the setting that would let a hosted tool through, or the request without it."""
    if row.fee is not None and policy.hosted_tools != "allow":
        return HOSTED_TOOLS_ALLOW
    return allow(name) if row.opens else HOSTED_TOOLS_STRIP


def _goes(tool: Json, policy: Policy, api: str, table: ToolTable) -> bool:
    row = hosted(tool, table)
    return row is not None and not _let_through(row, feature(api, "tool", tool["type"]), policy)


def _check_choice(
    document: Document, gone: Sequence[str], kept: Collection[Json], api: str, table: ToolTable
) -> None:
    """Refuse a `tool_choice` that needs a tool which is left out."""
    choice = document.value("tool_choice")
    if choice == _FORCES_ANY and not kept:
        raise _forced(gone[0], api)
    if not isinstance(choice, dict):
        return
    kind = choice.get("type")
    if kind == _ALLOWED:
        if choice.get("mode") == _FORCES_ANY and all(_listed_drops(choice, gone)):
            raise _forced(gone[0], api)
    elif isinstance(kind, str) and kind in table.hosted and kind not in kept:
        raise _forced(kind, api)


def _without_choice(document: Document, gone: Sequence[str]) -> list[splice.Edit]:
    """Return the edits that leave these tools out of `tool_choice`, where some of them is only allowed."""
    choice = document.value("tool_choice")
    if not isinstance(choice, dict) or choice.get("type") != _ALLOWED:
        return []
    drops = _listed_drops(choice, gone)
    if all(drops):
        return splice.remove_members(document, ("tool_choice",))
    return splice.remove(document.child("tool_choice").elements("tools"), drops)


def _listed_drops(choice: dict[str, Json], gone: Sequence[str]) -> list[bool]:
    listed = choice.get("tools")
    if not isinstance(listed, list):
        raise MalformedError("tool_choice.tools", "array")
    return [isinstance(one, dict) and one.get("type") in gone for one in listed]


def _without_shows(document: Document, gone: Sequence[str], table: ToolTable) -> list[splice.Edit]:
    """Return the edits that leave out of `include` what only these tools would show."""
    shown = document.value("include")
    prefixes = tuple(prefix for kind in gone for prefix in table.hosted[kind].shows)
    if not shown or not prefixes:
        return []
    drops = [isinstance(one, str) and one.startswith(prefixes) for one in shown]
    return splice.remove(document.elements("include"), drops)


def _forced(kind: str, api: str) -> SpendGuardError:
    return unbounded("tool_choice", feature(api, "tool", kind), setting=HOSTED_TOOLS_ALLOW)
