"""Recorded requests with a tag that bills nothing and reaches the provider: what tells calls apart there."""

import json
from typing import Any

from replies import Received, Recording


def tagged(recording: Recording, tag: str) -> dict[str, Any]:
    """Return a recorded request with this tag."""
    body = recording.request
    match recording.provider:
        case "anthropic":
            return body | {"metadata": {"user_id": tag}}
        case "gemini":
            return body | {"generationConfig": {**body.get("generationConfig", {}), "stopSequences": [tag]}}
    return body | {"user": tag}


def tag_of(received: Received) -> str:
    """Return the tag of a request that came; empty where it has none."""
    body = json.loads(received.body)
    stops = (body.get("generationConfig") or {}).get("stopSequences") or [""]
    return str(body.get("user") or (body.get("metadata") or {}).get("user_id") or stops[0])
