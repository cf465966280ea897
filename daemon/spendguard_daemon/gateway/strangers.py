"""Who was refused lately before it was known for whom it called: programs that are not set up right.

Such a request belongs to no agent, so no list of calls has it. Kept in memory alone, bounded, and without a
word of a request but the name of its program and the kind of its path: a key that stands where none belongs
is never kept.
"""

import re
from dataclasses import dataclass, replace

from spendguard_daemon import wire
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.gateway.routes import Route, asker, control_patterns
from spendguard_daemon.ports import Clock
from spendguard_daemon.text import safe, without_keys
from spendguard_daemon.wire import iso

KEPT_MAX = 50
SHOWN_MAX = 20
PROGRAM_LENGTH_MAX = 60
DETAIL_LENGTH_MAX = 300
WORDS_MAX = 4

NAMED_NOBODY = (Code.MISSING_AGENT, Code.AGENT_NOT_FOUND, Code.KEY_UNKNOWN, Code.KEY_REQUIRED)
"""Refusals that are over once the same program says who it is."""

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

OTHER = "other"
"""The kind of a path of which nothing is known."""

_KNOWN = {
    *(
        "v1",
        "v1beta",
        "openai",
        "anthropic",
        "gemini",
        "grok",
        "mock",
        "beta",
        "chat",
        "completions",
        "complete",
    ),
    *(
        "responses",
        "input_tokens",
        "conversations",
        "embeddings",
        "messages",
        "count_tokens",
        "models",
        "batches",
    ),
    *(
        "images",
        "generations",
        "edits",
        "variations",
        "videos",
        "audio",
        "speech",
        "transcriptions",
        "translations",
    ),
    *("realtime", "sessions", "files", "uploads", "parts", "assistants", "threads", "runs", "moderations"),
    *(
        "fine_tuning",
        "jobs",
        "vector_stores",
        "containers",
        "evals",
        "organizations",
        "cachedContents",
        "corpora",
    ),
}
"""Segments of providers' paths; those of our own are in the table of routes."""

_WORDS = frozenset(_KNOWN) | {
    part for pattern in control_patterns() for part in pattern.split(" ")[1].split("/")
}


@dataclass(frozen=True, slots=True)
class _Seen:
    detail: str
    provider: str
    first_ns: int
    last_ns: int
    count: int
    agent_id: str = ""


class Strangers:
    """Refusals of requests that named nobody, by code, program and endpoint, the latest last."""

    def __init__(self, clock: Clock):
        self._clock = clock
        self._seen: dict[tuple[Code, str, str], _Seen] = {}

    def note(self, error: SpendGuardError, user_agent: str, route: Route, target: str) -> None:
        """Count a refused request; `target` is what it asked for, of which only the kind is kept."""
        key = (error.code, program(user_agent), route.endpoint or kind(target))
        now_ns = self._clock.wall_ns()
        provider = route.speaker if route.endpoint else asker(target)[0]
        detail = safe(without_keys(error.detail), DETAIL_LENGTH_MAX)
        seen = self._seen.pop(key, None) or _Seen(detail, provider, now_ns, now_ns, 0)
        self._seen[key] = replace(
            seen,
            detail=detail,
            provider=provider,
            last_ns=now_ns,
            count=seen.count + 1,
            agent_id=_named(error),
        )
        if len(self._seen) > KEPT_MAX:
            del self._seen[next(iter(self._seen))]

    def __bool__(self) -> bool:
        """Tell whether there is anybody to forget."""
        return bool(self._seen)

    def forget(self, user_agent: str, endpoint: str) -> None:
        """Forget that a program named nobody, or not rightly, at an endpoint: now it does."""
        for code in NAMED_NOBODY:
            self._seen.pop((code, program(user_agent), endpoint), None)

    def shown(self) -> list[wire.Stranger]:
        """Show the latest, the last one first."""
        latest = list(self._seen.items())[: -SHOWN_MAX - 1 : -1]
        return [
            wire.Stranger(
                code=code.value,
                detail=seen.detail,
                program=name,
                provider=seen.provider,
                endpoint=endpoint,
                count=seen.count,
                first_at=iso(seen.first_ns),
                last_at=iso(seen.last_ns),
                agent_id=seen.agent_id,
            )
            for (code, name, endpoint), seen in latest
        ]


def _named(error: SpendGuardError) -> str:
    """Return the agent that was named without its key: an id, and nothing else that may stand there."""
    named = str(error.facts.get("agent_id", "")) if error.code is Code.KEY_REQUIRED else ""
    return named if _ID.fullmatch(named) else ""


def program(user_agent: str) -> str:
    """Return the first word of a User-Agent, safe to show, and no key; empty where there is none."""
    first, *_ = without_keys(user_agent).split(None, 1) or [""]
    return safe(first, PROGRAM_LENGTH_MAX)


def kind(target: str) -> str:
    """Return the words of a path that are known ones, such as images/generations, else OTHER."""
    parts = [part for part in target.partition("?")[0].split("/") if part]
    known = [part for part in parts if part in _WORDS]
    return "/".join(known[-WORDS_MAX:]) or OTHER
