"""The input of a responses request: text, or items, each read for what it can bill.

Owns the item types. What an earlier answer held can always be sent back; what the provider puts in by itself
for an id is input that nobody here can size. Unknown keys pass and count as bytes.
"""

from collections.abc import Callable, Mapping

from spendguard_daemon.errors import MalformedError
from spendguard_daemon.providers import openai_tools
from spendguard_daemon.providers.json_text import Json
from spendguard_daemon.providers.openai_parts import Found, one_of
from spendguard_daemon.providers.openai_responses_fields import (
    ITEM_BRINGS,
    MESSAGE_ROLES,
    RESPONSES_ITEMS,
    Item,
)
from spendguard_daemon.providers.refusals import allow, unbounded, unlisted


def read_input(value: Json, found: Found, items: Mapping[str, Item] = RESPONSES_ITEMS) -> None:
    """Read the input; raise MALFORMED_REQUEST, UNBOUNDED_FEATURE or UNPRICED_DIMENSION with the path."""
    if isinstance(value, str):
        found.texts.append(value)
        found.messages += 1
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _read_item(item, f"input[{index}]", found, items)
        found.messages += len(value)


def read_prompt(prompt: Json, found: Found) -> None:
    """Read the reference to a template kept by the provider, with the parts that go into it.

    It may bring tools that run at the provider, without a limit that we set; so an operator who knows its
    templates must let them through by name.
    """
    if prompt is None:
        return
    if not found.allows("field", "prompt"):
        name = found.feature("field", "prompt")
        raise unbounded("prompt", name, allow(name))
    found.keep("prompt", "a prompt kept by the provider")
    found.messages += 1
    variables = prompt.get("variables")
    if variables is not None and not isinstance(variables, dict):
        raise MalformedError("prompt.variables", "object")
    for value in (variables or {}).values():
        if isinstance(value, dict):
            found.part(value, "prompt.variables.<key>")


def _read_item(item: Json, path: str, found: Found, items: Mapping[str, Item]) -> None:
    if not isinstance(item, dict):
        raise MalformedError(path, "object")
    kind = item.get("type")
    if kind is None:
        kind = "message" if "role" in item else "item_reference"
    known = items.get(kind) if isinstance(kind, str) else None
    if known is None and not found.allows("item", kind):
        raise unlisted(f"{path}.type", "a type of input item", found.feature("item", kind))
    if known is not None:
        _READERS[known](item, path, found)
    found.cache_mark(item, path)


def _read_message(item: dict[str, Json], path: str, found: Found) -> None:
    if not one_of(item.get("role"), MESSAGE_ROLES):
        raise MalformedError(f"{path}.role", "one of " + ", ".join(sorted(MESSAGE_ROLES)))
    found.content(item.get("content"), f"{path}.content")


def _read_output(item: dict[str, Json], path: str, found: Found) -> None:
    """Read what a tool returned: text, parts, or one part (a screenshot)."""
    output, path = item.get("output"), f"{path}.output"
    if isinstance(output, dict):
        found.part(output, path)
    else:
        found.content(output, path)


def _read_plain(_item: dict[str, Json], _path: str, _found: Found) -> None:
    """Read an item of which all is billed by its bytes."""


def _read_kept(item: dict[str, Json], path: str, found: Found) -> None:
    kind = item["type"]
    brought = item.get(ITEM_BRINGS[kind])  # nothing in it is as good as nothing
    if isinstance(item.get("id"), str) and not brought:
        found.keep(path, f"what the provider kept of a {kind} item")


def _read_reference(item: dict[str, Json], path: str, found: Found) -> None:
    if not isinstance(item.get("id"), str):
        raise MalformedError(f"{path}.id", "string")
    found.keep(path, "an item kept by the provider")


def _read_image(item: dict[str, Json], path: str, found: Found) -> None:
    found.image(item, "result", path)


def _read_tools(item: dict[str, Json], path: str, found: Found) -> None:
    openai_tools.read_tools(item.get("tools"), f"{path}.tools", found)


def _refuse(item: dict[str, Json], path: str, found: Found) -> None:
    raise unbounded(path, found.feature("item", item["type"]))


_READERS: dict[Item, Callable[[dict[str, Json], str, Found], None]] = {
    Item.MESSAGE: _read_message,
    Item.OUTPUT: _read_output,
    Item.PLAIN: _read_plain,
    Item.KEPT: _read_kept,
    Item.REFERENCE: _read_reference,
    Item.IMAGE: _read_image,
    Item.TOOLS: _read_tools,
    Item.REFUSED: _refuse,
}
