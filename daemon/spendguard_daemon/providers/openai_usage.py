"""Numbers out of OpenAI's usage objects, each checked to be one. Knows no endpoint."""

from spendguard_daemon.providers.json_text import Json, kind_of
from spendguard_daemon.usage import absurd


def part(report: dict[str, Json], name: str) -> dict[str, Json]:
    """Return an inner object, empty where it is absent or null; raises UPSTREAM_FAILED for anything else."""
    inner = report.get(name)
    if inner is None:
        return {}
    if not isinstance(inner, dict):
        raise absurd(f"{name} is a {kind_of(inner)}")
    return inner


def count(holder: dict[str, Json], name: str, otherwise: int | None = None) -> int:
    """Return a count as it stands; `Usage` checks its range. None counts as absent.

    Raises UPSTREAM_FAILED for what is no integer, or is missing where there is no `otherwise`.
    """
    value = holder.get(name)
    if value is None and otherwise is not None:
        return otherwise
    if not isinstance(value, int) or isinstance(value, bool):
        raise absurd(f"{name} is a {kind_of(value)}")
    return value
