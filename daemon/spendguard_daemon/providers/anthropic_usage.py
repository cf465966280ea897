"""What Anthropic's usage numbers mean: buckets that add up, running totals, passes beside the total.

Owns the arithmetic, not the answers that the numbers come in (`anthropic_answers`). Sources: the anthropic
SDK 2.12.0, `types/beta/beta_usage.py`, `beta_message_delta_usage.py`, `beta_iterations_usage.py` and their
parts; [docs] streaming, prompt caching, compaction. Invariant: what cannot be true raises, and is not
repaired.
"""

from collections.abc import Callable
from dataclasses import dataclass

from spendguard_daemon.providers.json_text import Json, kind_of
from spendguard_daemon.usage import Usage, absurd

_COUNTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
_LIFETIMES = frozenset({"ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"})
_TIERS = {"standard": "default"}
_MODIFIERS = {"inference_geo": "geo", "speed": "speed"}
_FREE_USES = frozenset({"web_fetch", "tool_search"})
"""Server tools without a fee: only their tokens are billed. [docs] web fetch tool, tool search tool."""

_ITERATIONS_MAX = 10_000


def merged(report: dict[str, Json], later: Json) -> dict[str, Json]:
    """Return a report with a later one's members in place of its own; null and absent keep what was said.

    Totals run, so the later replaces the earlier, and may not fall: raises UPSTREAM_FAILED where it does.
    """
    if not isinstance(later, dict):
        raise absurd(f"usage is a {kind_of(later)}")
    for name in _COUNTS:
        _check_rise(report, later, name)
    before, after = _part(report, "server_tool_use"), _part(later, "server_tool_use")
    for name in after:
        _check_rise(before, after, name)
    return report | {name: value for name, value in later.items() if value is not None}


def read_usage(report: dict[str, Json], *, model: str | None, unsplit_1h: bool, refused: bool) -> Usage:
    """Read a whole report; raises UPSTREAM_FAILED where it cannot be true.

    `unsplit_1h`: cache writes whose lifetime is not told count as the dear ones. `refused`: the answer is a
    refusal, which alone may come without any input billed.
    """
    top = _buckets(report, unsplit_1h=unsplit_1h)
    within, beside = _passes(report.get("iterations"), model, unsplit_1h=unsplit_1h)
    # Compaction stands beside the totals, all other passes are in them; if they disagree, the larger counts.
    billed = top.joined(within, max).joined(beside, int.__add__)
    if billed.input_tokens < 1 and not refused:
        raise absurd("there is no input: no prompt is empty")
    return Usage(
        input_tokens=billed.input_tokens,
        cached_input_tokens=billed.read,
        cache_write_input_tokens=billed.written,
        cache_write_1h_input_tokens=billed.written_1h,
        output_tokens=billed.output,
        reasoning_output_tokens=_count(_part(report, "output_tokens_details"), "thinking_tokens"),
        events=_events(_part(report, "server_tool_use")),
        service_tier=_TIERS.get(tier := _name(report, "service_tier") or "standard", tier),
        modifiers=tuple(
            f"{kind}:{said}" for name, kind in _MODIFIERS.items() if (said := _name(report, name)) is not None
        ),
    )


@dataclass(frozen=True, slots=True)
class _Buckets:
    """Disjoint counts, each billed at its own rate; `plain` input has nothing to do with a cache."""

    plain: int = 0
    read: int = 0
    written: int = 0
    written_1h: int = 0
    output: int = 0

    @property
    def input_tokens(self) -> int:
        return self.plain + self.read + self.written + self.written_1h

    def joined(self, other: "_Buckets", both: Callable[[int, int], int]) -> "_Buckets":
        """Return the buckets with `both` applied to each pair."""
        return _Buckets(
            both(self.plain, other.plain),
            both(self.read, other.read),
            both(self.written, other.written),
            both(self.written_1h, other.written_1h),
            both(self.output, other.output),
        )


def _buckets(report: dict[str, Json], *, unsplit_1h: bool) -> _Buckets:
    for name in ("input_tokens", "output_tokens"):
        if report.get(name) is None:
            raise absurd(f"{name} is missing")
    split = _part(report, "cache_creation")
    if any(split[name] for name in split.keys() - _LIFETIMES):
        raise absurd("a cache lifetime that has no known rate was billed")
    written, written_1h = (_count(split, f"ephemeral_{ttl}_input_tokens") for ttl in ("5m", "1h"))
    unsplit = 0
    if report.get("cache_creation_input_tokens") is not None:
        unsplit = _count(report, "cache_creation_input_tokens") - written - written_1h
    if unsplit < 0:
        raise absurd("cache writes by lifetime are more than all cache writes")
    return _Buckets(
        plain=_count(report, "input_tokens"),
        read=_count(report, "cache_read_input_tokens"),
        written=written + (0 if unsplit_1h else unsplit),
        written_1h=written_1h + (unsplit if unsplit_1h else 0),
        output=_count(report, "output_tokens"),
    )


def _passes(iterations: Json, model: str | None, *, unsplit_1h: bool) -> tuple[_Buckets, _Buckets]:
    """Return the sums of the passes that the totals include, and of those beside them."""
    within, beside = _Buckets(), _Buckets()
    if iterations is None:
        return within, beside
    if not isinstance(iterations, list) or len(iterations) > _ITERATIONS_MAX:
        raise absurd("iterations are no list of passes")
    for entry in iterations:
        kind = entry.get("type") if isinstance(entry, dict) else None
        if kind not in ("message", "compaction") or not _is_same(entry.get("model"), model):
            raise absurd("a pass of another model, or of an unknown kind, was billed")
        buckets = _buckets(entry, unsplit_1h=unsplit_1h)
        if kind == "message":
            within = within.joined(buckets, int.__add__)
        else:
            beside = beside.joined(buckets, int.__add__)
    return within, beside


def _is_same(named: Json, model: str | None) -> bool:
    """Tell whether a pass names the answer's model, be it by an alias; none is as good as the same."""
    if named is None or model is None:
        return True
    return isinstance(named, str) and (named.startswith(model) or model.startswith(named))


def _events(uses: dict[str, Json]) -> dict[str, int]:
    counts = {name.removesuffix("_requests"): _count(uses, name) for name in uses}
    return {name: count for name, count in counts.items() if count and name not in _FREE_USES}


def _check_rise(report: dict[str, Json], later: dict[str, Json], name: str) -> None:
    if report.get(name) is None or later.get(name) is None:
        return
    before, after = _count(report, name), _count(later, name)
    if after < before:
        raise absurd(f"{name} fell from {before} to {after}")


def _part(report: dict[str, Json], name: str) -> dict[str, Json]:
    part = report.get(name)
    if part is None:
        return {}
    if not isinstance(part, dict):
        raise absurd(f"{name} is a {kind_of(part)}")
    return part


def _count(holder: dict[str, Json], name: str) -> int:
    """Return a count, 0 where it is absent or null; `Usage` checks the range of the sums."""
    value = holder.get(name)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise absurd(f"{name} is no count")
    return value


def _name(report: dict[str, Json], name: str) -> str | None:
    value = report.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise absurd(f"{name} is no name")
    return value
