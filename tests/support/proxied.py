"""One call through a real daemon, seen from three sides: the client's wire, the provider's, the journal.

`call` speaks HTTP by hand, so that the answer's bytes are those of the wire. `changes` compares the two
requests member by member, by their raw text: what was added, what was changed, what is as it was.
"""

import json
from collections.abc import Mapping
from typing import Any

from raw_http import Answer, request, send
from sidecar import Sidecar
from until import until

ENDS = {"settle", "settle_worst", "void", "overrun"}


async def call(
    sidecar: Sidecar, agent: str, body: bytes, *, path: str, headers: Mapping[str, str] | None = None
) -> Answer:
    """Send a body as it is; return the answer as it came, not decoded."""
    sent = {"x-cynsta-agent-id": agent, **(headers or {})}
    answer = await send(sidecar.port, request(sidecar.port, path, sent, body))
    assert answer is not None
    assert answer.whole
    return answer


def record_of(sidecar: Sidecar, answer: Answer) -> dict[str, Any]:
    """Return the call that an answer names, as the API shows it."""
    shown: dict[str, Any] = sidecar.control("GET", f"/v1/calls/{answer.headers['x-spendguard-call-id']}")
    return shown


def records_of(sidecar: Sidecar, call_id: str) -> list[dict[str, Any]]:
    """Return a call's records once it has ended: the last one is written after the answer has left."""

    def ended() -> list[dict[str, Any]]:
        records = [record for record in sidecar.journal() if record.get("call_id") == call_id]
        return records if ENDS & {record["t"] for record in records} else []

    return until(ended)


def members(text: str) -> dict[str, str]:
    """Return the raw text of each member of a top-level object, in its order, from key to value's end."""
    decoder, at = json.JSONDecoder(), text.index("{") + 1
    found: dict[str, str] = {}
    while True:
        start = at + len(text[at:]) - len(text[at:].lstrip(" \t\r\n,"))
        if text[start] == "}":
            return found
        key, end = decoder.raw_decode(text, start)
        colon = text.index(":", end) + 1
        value_at = colon + len(text[colon:]) - len(text[colon:].lstrip())
        _, at = decoder.raw_decode(text, value_at)
        found[key] = text[start:at]


def changes(sent: bytes, received: bytes) -> dict[str, tuple[Any, Any]]:
    """Return {member: (as the client sent it, as the provider got it)}, None where it is not there.

    Raises AssertionError where a member that stayed has lost a byte or its place.
    """
    before, after = members(sent.decode()), members(received.decode())
    was, became = json.loads(sent), json.loads(received)
    kept = [name for name in before if name in after]
    assert [name for name in after if name in before] == kept, "members changed places"
    differing = {name for name in (*before, *after) if before.get(name) != after.get(name)}
    assert all(was.get(name) != became.get(name) for name in differing), "a value was written in another way"
    return {name: (was.get(name), became.get(name)) for name in sorted(differing)}
