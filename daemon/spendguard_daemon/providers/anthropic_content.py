"""The messages and the system prompt of a `messages` request: what of them bills, and by what.

Owns the walk over blocks. Nearly all is bounded by its bytes; what is not is counted here: images, files,
references that the provider replaces by more text, and the marks that it sets around blocks. Unknown keys
pass, and every block that a provider answered can be sent back (design 5.2). Knows no prices.
Sources: `anthropic_fields`; the anthropic SDK 2.12.0, `types/beta/`; costs.md B3 and C1.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from spendguard_daemon.errors import MalformedError
from spendguard_daemon.providers.anthropic_fields import BLOCKS, CACHE_TTLS, ROLES
from spendguard_daemon.providers.anthropic_tools import check_inline
from spendguard_daemon.providers.json_text import Json, join_path
from spendguard_daemon.providers.policy import Policy
from spendguard_daemon.providers.refusals import SERVER_STATE_WINDOW, unbounded, unlisted, unpriced

TEXT_TOKENS = 8
"""What one text block may take beyond its bytes (costs.md C1)."""

BLOCK_TOKENS = 64
"""What any other block may: names of tools, ids and results are set between marks of several tokens."""

ARGUMENT_TOKENS = 16
"""What one argument of a tool call may: the model reads each between an opening and a closing mark."""

_DATA = frozenset({"input", "input_schema", "input_examples", "schema", "cache_control", "citations"})
"""Members that hold a client's own data, or a model's: nothing in them is a block."""

_ELSEWHERE = frozenset({"image", "document", "container_upload", "tool_reference", "tool_addition"})
"""Block types that count also where they stand deeper than blocks are listed."""


@dataclass(slots=True)
class Content:
    """What a walk found. `uncounted_bytes` are of images and files, which bill by other measures.

    `tokens` is the allowance for marks, `references` how many tools are shown again by name, `remote` tells
    of sources that the count endpoint does not take.
    """

    messages: int = 0
    tokens: int = 0
    uncounted_bytes: int = 0
    images: int = 0
    references: int = 0
    documents: bool = False
    foreign: bool = False
    remote: bool = False
    reach: set[str] = field(default_factory=set)


def read_content(messages: Json, system: Json, policy: Policy) -> Content:
    """Walk all blocks; raise MALFORMED_REQUEST, UNBOUNDED_FEATURE or UNPRICED_DIMENSION with the path."""
    walk = _Walk(policy)
    if not isinstance(messages, list) or not messages:
        raise MalformedError("messages", "a list of at least one message")
    walk.found.messages = len(messages)
    for index, message in enumerate(messages):
        path = f"messages[{index}]"
        if not isinstance(message, dict):
            raise MalformedError(path, "object")
        role = message.get("role")
        if not isinstance(role, str) or role not in ROLES:
            raise MalformedError(f"{path}.role", "one of " + ", ".join(sorted(ROLES)))
        walk.blocks(message.get("content"), f"{path}.content")
    walk.blocks(system, "system")
    return walk.found


def cache_rate(holder: dict[str, Json], path: str) -> str | None:
    """Return the rate that a block's cache mark may bill at; refuse a lifetime that has none."""
    mark = holder.get("cache_control")
    if mark is None:
        return None
    path = join_path(path, "cache_control")
    if not isinstance(mark, dict):
        raise MalformedError(path, "object")
    ttl = mark.get("ttl")
    if ttl is None:
        return CACHE_TTLS["5m"]
    if not isinstance(ttl, str) or ttl not in CACHE_TTLS:
        raise unpriced(f"{path}.ttl", "a cache lifetime without a known rate")
    return CACHE_TTLS[ttl]


class _Walk:
    """One walk and what it found so far."""

    def __init__(self, policy: Policy) -> None:
        self.found = Content()
        self._policy = policy

    def blocks(self, content: Json, path: str) -> None:
        """Take a text or a list of blocks."""
        if isinstance(content, str):
            self.found.tokens += TEXT_TOKENS
        elif isinstance(content, list):
            for index, block in enumerate(content):
                self._block(block, f"{path}[{index}]")
        elif content is not None:
            raise MalformedError(path, "string or array")

    def _block(self, block: Json, path: str) -> None:
        if not isinstance(block, dict):
            raise MalformedError(path, "object")
        kind = block.get("type")
        if not isinstance(kind, str):
            raise MalformedError(f"{path}.type", "string")
        feature = f"anthropic.block:{kind}"
        if kind not in BLOCKS and feature not in self._policy.allow:
            raise unlisted(f"{path}.type", "a content block type whose cost is known", feature)
        self._measure(kind, block, path)
        nested = block.get("content")
        if kind in ("tool_result", "search_result") and isinstance(nested, list):
            self.blocks(nested, f"{path}.content")
            return
        for inner in _objects(block):
            self._inner(inner, path)

    def _inner(self, inner: dict[str, Json], path: str) -> None:
        """Take an object below a block: of most kinds the bytes say all."""
        kind = inner.get("type")
        if isinstance(kind, str) and kind in _ELSEWHERE:
            self._measure(kind, inner, path)
        else:
            self._mark(inner, path)

    def _measure(self, kind: str, block: dict[str, Json], path: str) -> None:
        found = self.found
        found.tokens += TEXT_TOKENS if kind == "text" else BLOCK_TOKENS
        self._mark(block, path)
        match kind:
            case "image":
                found.images += 1
                self._source(block.get("source"), f"{path}.source", is_image=True)
            case "document":
                self._source(block.get("source"), f"{path}.source", is_image=False)
                self._cited(block)
            case "container_upload":
                self._at_provider(f"{path}.file_id", "file")
            case "tool_use" | "server_tool_use" | "mcp_tool_use":
                arguments = block.get("input")
                found.tokens += ARGUMENT_TOKENS * (len(arguments) if isinstance(arguments, dict) else 0)
            case "tool_reference":
                found.references += 1
            case "tool_addition":
                self._tool(block.get("tool"), f"{path}.tool")

    def _source(self, source: Json, path: str, *, is_image: bool) -> None:
        """Take where an image or a document comes from: of an image the cap of the card bounds the tokens."""
        kind = source.get("type") if isinstance(source, dict) else None
        if not isinstance(kind, str):
            raise MalformedError(path, "an object with a type")
        match kind:
            case "base64":
                self.found.uncounted_bytes += _text_bytes(source.get("data"))
            case "url":
                self.found.remote = True
            case "file":
                self.found.remote = True
                self._at_provider(path, "file")
            case "text" | "content" if not is_image:
                return
            case _:
                feature = f"anthropic.source:{kind}"
                if feature not in self._policy.allow:
                    raise unlisted(f"{path}.type", "a source whose size is known", feature)
                self.found.documents = self.found.remote = True
        if not is_image:
            self._unsized(path, kind)

    def _unsized(self, path: str, kind: str) -> None:
        """Take a file whose text does not follow from its bytes: only the window bounds it."""
        if self._policy.server_state == "refuse":
            raise unbounded(path, f"anthropic.source:{kind}", SERVER_STATE_WINDOW)
        self.found.documents = True

    def _at_provider(self, path: str, kind: str) -> None:
        if self._policy.server_state == "refuse":
            raise unbounded(path, f"anthropic.source:{kind}", SERVER_STATE_WINDOW)
        self.found.foreign = True

    def _cited(self, document: dict[str, Json]) -> None:
        """Take a text with citations: the provider cuts it into sentences and sets marks around each."""
        citations = document.get("citations")
        if isinstance(citations, dict) and citations.get("enabled") not in (None, False):
            self.found.documents = True

    def _tool(self, tool: Json, path: str) -> None:
        """Take a tool that comes in amid the conversation: named, or defined there."""
        definition = tool.get("definition") if isinstance(tool, dict) else None
        if definition is None:
            self.found.references += 1
            return
        self.found.tokens += check_inline(definition, f"{path}.definition", self._policy)

    def _mark(self, holder: dict[str, Json], path: str) -> None:
        rate = cache_rate(holder, path)
        if rate is not None:
            self.found.reach.add(rate)


def _objects(block: dict[str, Json]) -> Iterator[dict[str, Json]]:
    """Yield the objects below a block, at any depth, but for those in somebody's data."""
    stack = [value for name, value in block.items() if name not in _DATA]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack += value
        elif isinstance(value, dict):
            yield value
            stack += (inner for name, inner in value.items() if name not in _DATA)


def _text_bytes(data: Json) -> int:
    """Return the bytes that a text takes as JSON, where all of it is ASCII; a source has no other."""
    return len(json.dumps(data)) - 2 if isinstance(data, str) and data.isascii() else 0
