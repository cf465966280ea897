"""How tight the bounds of the input are: `python bench/bounds.py [--json]`.

For every recorded request that shows its whole prompt, each rung's bound over the input tokens that the
provider reported: 1.00 is exact, below it would be a hold too small (a test says that there is none). The
least, the median and the largest, by provider and rung; and the median of long requests alone, for the
allowance for framing outweighs a short prompt.
"""

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
for place in ("daemon", "tests/support"):
    sys.path.insert(0, str(ROOT / place))

from recorded_bounds import bounded_recordings  # noqa: E402 (found by the lines above)

RUNGS = ("bytes", "local", "window")
LONG_TOKENS = 1_000


def ratios(least_tokens: int) -> dict[tuple[str, str], list[float]]:
    """Return the bounds over what was reported, by provider and rung, of requests of that size and above."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for recorded in bounded_recordings():
        if recorded.carries_prompt and recorded.reported >= least_tokens:
            for bound in recorded.bounds:
                found[recorded.provider, bound.rung].append(bound.tokens / recorded.reported)
    return found


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    found, long = ratios(0), ratios(LONG_TOKENS)
    rows = [
        {
            "provider": provider,
            "rung": rung,
            "requests": len(values),
            "least": round(min(values), 2),
            "median": round(median(values), 2),
            "most": round(max(values), 2),
            "long_requests": len(long[provider, rung]),
            "long_median": round(median(long[provider, rung] or [0]), 2),
        }
        for provider, rung in sorted(found, key=lambda key: (key[0], RUNGS.index(key[1])))
        for values in [found[provider, rung]]
    ]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    columns = (
        ("requests", 8),
        ("least", 9),
        ("median", 9),
        ("most", 11),
        ("long_requests", 13),
        ("long_median", 11),
    )
    print(f"{'provider':10} {'rung':7}", *(f"{name:>{width}}" for name, width in columns))
    for row in rows:
        print(f"{row['provider']:10} {row['rung']:7}", *(f"{row[name]:>{width},}" for name, width in columns))


if __name__ == "__main__":
    main()
