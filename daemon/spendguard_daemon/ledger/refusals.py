"""Refused calls on their way to the journal: counted together, and so few bytes that a loop cannot fill it.

Refusals of one agent with one code within a second become one record. Where an agent has used its bytes of
the hour, or all agents together those of the day, the record is written only when that time is over, with the
count of all until then: nobody hides, and nobody fills the disk. The first record of an agent in an hour is
always written.
Pure: time is passed in, records are handed out. Of the words of a request nothing is kept.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, Fact
from spendguard_daemon.ledger.commands import Now
from spendguard_daemon.ledger.events import Refused
from spendguard_daemon.ledger.lines import encode_body
from spendguard_daemon.ledger.times import NS_PER_SECOND, format_time_ms
from spendguard_daemon.text import holds_key, without_keys

TOGETHER_NS = NS_PER_SECOND
HOUR_NS = 3600 * NS_PER_SECOND
DAY_NS = 24 * HOUR_NS

AGENT_HOUR_BYTES = 64 * 1024
DAY_BYTES = 4 * 1024 * 1024
WAITING_MAX = 10_000
"""Pairs of agent and code that are counted at one time; above it the one that waits longest is written."""

ENVELOPE_BYTES = 220
"""What a line has around its body, about."""

DETAIL_CHARS_MAX = 300
FACT_CHARS_MAX = 200
LISTED_MAX = 8

FACTS = (
    "budget",
    "key_id",
    "worst_case_usd",
    "limit_usd",
    "remaining_usd",
    "available_usd",
    "held_usd",
    "input_tokens_bound",
    "rung",
    "asked_output_tokens",
    "floor_output_tokens",
    "affordable_max_tokens",
    "locked_run_id",
    "locked_age_seconds",
    "next_run_id",
    "first_call_id",
    "cost_usd",
    "reason",
    "limit",
    "limit_value",
    "free_bytes",
    "needed_bytes",
    "expected",
    "needed_usd",
    "short_usd",
    "input_usd",
    "output_usd",
    "fees_usd",
    "tools_usd",
    "output_tokens",
    "choices",
    "rates",
    "held_by",
    "cheaper_model",
    "cheaper_model_usd",
    "near_models",
    "locked_calls",
    "locked_expires_at",
)
"""The facts of a refusal that are recorded: numbers, ids, names of prices, and words of our own."""

PLAIN_FACTS = ("path", "feature", "dimension")
"""Recorded where they are plain names; else they may be the client's words."""

SETTING = "setting"
"""Recorded where it is of the form that ours have: what is allowed by it may be a client's word."""

_SETTING = re.compile(
    r'\[[a-z.]{1,32}\](?: [a-z_]{1,32}(?: = "[a-z_]{1,32}"|: [\w.:/@-]{1,64}(?:, [\w.:/@-]{1,64}){0,3})?)?',
    re.ASCII,
)

QUOTING = frozenset(
    {
        Code.MALFORMED_REQUEST,
        Code.UNKNOWN_MODEL,
        Code.UNPRICED_DIMENSION,
        Code.UNBOUNDED_FEATURE,
        Code.FOREIGN_STATE,
    }
)
"""Refusals whose sentence may repeat a part of the request: only their title is recorded."""

_PLAIN = re.compile(r"[A-Za-z0-9_.:/@\[\]-]{1,128}")


@dataclass(frozen=True, slots=True)
class Refusal:
    """One call that got no hold: who, what for, and why with its numbers."""

    call_id: str
    agent_id: str
    run_id: str
    provider: str
    endpoint: str
    model: str
    code: Code
    detail: str
    facts: Mapping[str, Fact]


@dataclass(slots=True)
class _Waiting:
    """Refusals that are counted together: since when (monotonic ns), and when their record is due."""

    first: Refusal
    first_ns: int
    last_ns: int
    began_ns: int
    due_ns: int
    count: int = 1


@dataclass(slots=True)
class Refusals:
    """The refusals that are not recorded yet, and how many bytes this hour and this day have seen."""

    agent_hour_bytes: int = AGENT_HOUR_BYTES
    day_bytes: int = DAY_BYTES
    waiting_max: int = WAITING_MAX
    _waiting: dict[tuple[str, Code], _Waiting] = field(default_factory=dict)
    _hour: int = 0
    _day: int = 0
    _hour_bytes: dict[str, int] = field(default_factory=dict)
    _day_bytes: int = 0

    def note(self, refusal: Refusal, now: Now) -> None:
        """Count a refusal."""
        key = (refusal.agent_id, refusal.code)
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.count += 1
            waiting.last_ns = now.wall_ns
            return
        due_ns = self._due_ns(refusal.agent_id, now)
        self._waiting[key] = _Waiting(refusal, now.wall_ns, now.wall_ns, now.monotonic_ns, due_ns)

    def next_due_ns(self) -> int | None:
        """Return when the next record is due (monotonic ns), None where nothing waits."""
        return min((waiting.due_ns for waiting in self._waiting.values()), default=None)

    def due(self, now: Now) -> list[Refused]:
        """Hand out the records that are due."""
        due, later = list[tuple[str, Code]](), list[tuple[str, Code]]()
        for key, waiting in self._waiting.items():
            (due if waiting.due_ns <= now.monotonic_ns else later).append(key)
        keys = due + later[: max(0, len(later) - self.waiting_max)]
        return [self._record(key) for key in keys]

    def all(self) -> list[Refused]:
        """Hand out all there is: the daemon stops."""
        return [self._record(key) for key in list(self._waiting)]

    def _due_ns(self, agent_id: str, now: Now) -> int:
        self._turn_pages(now)
        soon_ns = now.monotonic_ns + TOGETHER_NS
        used_bytes = self._hour_bytes.get(agent_id)
        if used_bytes is None:
            # Counted as begun already now, or each code of the agent would be its first.
            self._hour_bytes[agent_id] = 0
            return soon_ns
        if used_bytes >= self.agent_hour_bytes:
            return max(soon_ns, (self._hour + 1) * HOUR_NS)
        if self._day_bytes >= self.day_bytes:
            return max(soon_ns, (self._day + 1) * DAY_NS)
        return soon_ns

    def _turn_pages(self, now: Now) -> None:
        # By the monotonic clock: a calendar that is set back must not stop the records.
        hour, day = now.monotonic_ns // HOUR_NS, now.monotonic_ns // DAY_NS
        if hour != self._hour:
            self._hour, self._hour_bytes = hour, {}
        if day != self._day:
            self._day, self._day_bytes = day, 0

    def _record(self, key: tuple[str, Code]) -> Refused:
        waiting = self._waiting.pop(key)
        record = _refused(waiting)
        size = len(encode_body(record)) + ENVELOPE_BYTES
        # A record that had to wait for its page's end is not charged to the next page: there is one at most
        # for each agent and code, and it must not keep the next refusals from being recorded.
        if waiting.due_ns <= waiting.began_ns + TOGETHER_NS:
            agent_id = key[0]
            self._hour_bytes[agent_id] = self._hour_bytes.get(agent_id, 0) + size
            self._day_bytes += size
        return record


def _refused(waiting: _Waiting) -> Refused:
    first = waiting.first
    detail = TABLE[first.code].title if first.code in QUOTING else first.detail
    return Refused(
        agent_id=first.agent_id,
        code=first.code.value,
        at=format_time_ms(waiting.first_ns),
        until=format_time_ms(waiting.last_ns),
        call_id=first.call_id,
        run_id=first.run_id,
        provider=first.provider,
        endpoint=first.endpoint,
        model=first.model if _is_plain(first.model) else "",
        http_status=TABLE[first.code].status,
        detail=without_keys(detail)[:DETAIL_CHARS_MAX],
        count=waiting.count,
        facts=recorded(first.facts),
    )


def recorded(facts: Mapping[str, Fact]) -> dict[str, Fact]:
    """Return what is kept of the facts of a refusal: nothing that a client wrote, and nothing long."""
    kept = {name: _short(facts[name]) for name in FACTS if name in facts}
    kept |= {name: facts[name] for name in PLAIN_FACTS if _is_plain(facts.get(name))}
    setting = facts.get(SETTING)
    if isinstance(setting, str) and _SETTING.fullmatch(setting) and not holds_key(setting):
        kept[SETTING] = _short(setting)
    return kept


def _short(fact: Fact) -> Fact:
    if isinstance(fact, list):
        return [without_keys(item)[:FACT_CHARS_MAX] for item in fact[:LISTED_MAX]]
    return without_keys(fact)[:FACT_CHARS_MAX] if isinstance(fact, str) else fact


def _is_plain(fact: Fact) -> bool:
    return isinstance(fact, str) and _PLAIN.fullmatch(fact) is not None and not holds_key(fact)
