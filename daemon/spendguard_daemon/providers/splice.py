"""Change a JSON text in a few places and leave every other byte alone.

Owns the edits and nothing of what they mean. Invariant: the characters outside the edits come out in their
order, unchanged; without edits the text comes out byte for byte.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from spendguard_daemon.providers.json_text import Document


@dataclass(frozen=True, slots=True)
class Edit:
    """Put `literal` in place of the characters from `start` up to `end`."""

    start: int
    end: int
    literal: str


def set_member(document: Document, name: str, literal: str) -> Edit:
    """Return the edit that gives a member the JSON text `literal`, in its place or as the last one."""
    member = document.members.get(name)
    if member is not None:
        return Edit(member.value_start, member.value_end, literal)
    addition = f'"{name}":{literal}'
    if not document.members:
        return Edit(document.start + 1, document.start + 1, addition)
    end = max(member.value_end for member in document.members.values())
    return Edit(end, end, "," + addition)


def replace_member(document: Document, name: str, new_name: str, literal: str) -> Edit:
    """Return the edit that puts the member `new_name` in the place of `name`, which must be there."""
    member = document.members[name]
    return Edit(member.key_start, member.value_end, f'"{new_name}":{literal}')


def remove_members(document: Document, names: Collection[str]) -> list[Edit]:
    """Return the edits that leave these members out, each with its comma."""
    spans = [(member.key_start, member.value_end) for member in document.members.values()]
    return remove(spans, [name in names for name in document.members])


def remove(spans: Sequence[tuple[int, int]], drops: Sequence[bool]) -> list[Edit]:
    """Return the edits that leave out some of the things in a row, each with its comma.

    `spans` are their places in the order of the text, `drops` tells of each whether it goes.
    """
    edits: list[Edit] = []
    kept_end: int | None = None
    index = 0
    while index < len(spans):
        first = index
        while index < len(spans) and drops[index]:
            index += 1
        if index > first:
            if kept_end is not None:
                edits.append(Edit(kept_end, spans[index - 1][1], ""))
            else:
                end = spans[index][0] if index < len(spans) else spans[-1][1]
                edits.append(Edit(spans[first][0], end, ""))
        if index < len(spans):
            kept_end = spans[index][1]
            index += 1
    return edits


def apply(text: str, edits: Sequence[Edit]) -> bytes:
    """Return the edited text as UTF-8. Edits at one place keep their order; raises ValueError on overlap."""
    pieces: list[str] = []
    position = 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        if edit.start < position:
            raise ValueError(f"edits overlap at {edit.start}")
        pieces += (text[position : edit.start], edit.literal)
        position = edit.end
    pieces.append(text[position:])
    return "".join(pieces).encode()
