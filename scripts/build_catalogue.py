"""Build the bundled price catalogue from genai-prices and LiteLLM, and show what changes.

Owns the order of the work and the files. Must not know how a source, a row or a change is read. Invariant:
the catalogue is written only when each model of the sources was reviewed and each fall or leap of a rate,
limit or fee was acknowledged; otherwise nothing on disk has moved, and the exit code is 1.

    pip install --upgrade genai-prices litellm      # both MIT; needed here alone, never by spendguard itself
    python scripts/build_catalogue.py               # build, print the changes, write
    python scripts/build_catalogue.py --check       # compare with what is there; write nothing
    python scripts/build_catalogue.py --report      # what is left out, and where the sources differ

Run it where spendguard is installed: each row is read as the daemon will. Facts that no source has stand in
`catalogue/facts/*.toml`, by model, with the day of their review; what a person has looked at in
`catalogue/acknowledged.toml`. `--genai` and `--litellm` take frozen data.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from catalogue import changes, facts, genai_source, litellm_source
from catalogue.facts import Absent, Facts, Sources
from catalogue.rows import build_row
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.pricing.cards import read_card
from spendguard_daemon.pricing.catalogue import parse
from spendguard_daemon.pricing.wire_json import Row

HERE = Path(__file__).parent
CATALOGUE = HERE.parent / "daemon" / "spendguard_daemon" / "pricing" / "data" / "catalogue.json"

NAMES_MAX, SMALL_MAX = 250, 30
"""A longer list of names stands in lines, as the rules do; a smaller object of one member stands in one."""


@dataclass(frozen=True, slots=True)
class Result:
    """A whole catalogue, and what a reviewer should know of it."""

    root: dict[str, Any]
    absent: tuple[Absent, ...]
    remarks: Mapping[str, tuple[str, ...]]


def build(known: Facts, sources: Sources, today: str) -> Result:
    """Return the catalogue of a day. Raises ValueError naming the model that cannot be built."""
    models: dict[str, dict[str, Any]] = {}
    remarks: dict[str, tuple[str, ...]] = {}
    missing: list[Absent] = []
    for provider in facts.PROVIDERS:
        rows = models[provider] = {}
        for name, model in known.models(provider).items():
            offers = sources.offers(provider, name, model)
            day = facts.ended(offers, name, today)
            if day is not None and "kept" not in model:
                remarks[f"{provider}:{name}"] = (
                    f"left out: ended on {day}, and no fact says why to keep it",
                )
                continue
            try:
                built = build_row(model, offers, known.providers[provider].get("ways", {}), today)
            except ValueError as error:
                raise ValueError(f"{provider}:{name}: {error}") from error
            rows[name] = built.row
            remarks[f"{provider}:{name}"] = built.remarks
        missing += facts.absent(known, sources, provider, rows, today)
    versions = {
        genai_source.SOURCE: sources.genai["version"],
        litellm_source.SOURCE: sources.litellm["version"],
    }
    root = {
        "checked": today,
        "versions": versions,
        "sources": known.catalogue["sources"],
        "rules": known.catalogue["rules"],
        "left_out": {provider: known.providers[provider]["left_out"] for provider in facts.PROVIDERS},
        "models": models,
    }
    check_cards(root)
    return Result(root, tuple(missing), remarks)


def check_cards(root: Mapping[str, Any]) -> None:
    """Read each row as the daemon will. Raises SpendGuardError naming the path of what is no card."""
    for provider, rows in parse(written(root)).models.items():
        for model, card in rows.items():
            read_card(provider, model, Row(dict(card), f"{provider}.{model}"))


def written(root: Mapping[str, Any]) -> bytes:
    """Return the bytes of the file."""
    return (_laid_out(root, 0) + "\n").encode()


def _laid_out(value: Any, depth: int) -> str:
    """Return JSON with each set of numbers and each list of names on one line, so that a diff reads well."""
    items = (
        list(value.items() if isinstance(value, dict) else value) if isinstance(value, dict | list) else []
    )
    line = json.dumps(value, ensure_ascii=False)
    numbers = isinstance(value, dict) and all(isinstance(one, int) for one in value.values())
    numbers = numbers or (isinstance(value, dict) and len(line) < SMALL_MAX and len(items) == 1)
    names = isinstance(value, list) and all(isinstance(one, str) for one in value) and len(line) < NAMES_MAX
    if not items or numbers or names:
        return line
    margin, inner = " " * depth, " " * (depth + 1)
    if isinstance(value, dict):
        rows = [f"{inner}{json.dumps(key)}: {_laid_out(one, depth + 1)}" for key, one in items]
        return "{\n" + ",\n".join(rows) + f"\n{margin}}}"
    return "[\n" + ",\n".join(inner + _laid_out(one, depth + 1) for one in items) + f"\n{margin}]"


def report(result: Result) -> list[str]:
    """Return what is left out and why, and what each row's sources do not agree on."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for one in result.absent:
        reasons.setdefault((one.provider, one.why or "NOT REVIEWED"), []).append(one.name)
    lines = [f"# Left out, {result.root['checked']}"]
    lines += [f"{provider}  {why}: {', '.join(names)}" for (provider, why), names in reasons.items()]
    lines += ["", "# Decided by rule"]
    lines += [f"{model}  {remark}" for model, remarks in sorted(result.remarks.items()) for remark in remarks]
    return lines


def verdict(result: Result, alarming: Sequence[changes.Change]) -> list[str]:
    """Return what has to be settled by a person before this catalogue may be written."""
    lines = [f"not acknowledged: {change}" for change in alarming]
    for one in result.absent:
        if one.why is None:
            where = f"{one.provider}:{one.name} ({', '.join(one.sources)})"
            lines.append(f"not reviewed: {where}: give its facts, or a reason in left_out")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a program; return its exit code."""
    asked = _parser().parse_args(arguments)
    try:
        return _run(asked)
    except (ValueError, SpendGuardError) as error:
        print(f"cannot be built: {error}", file=sys.stderr)
        return 1


def _run(asked: argparse.Namespace) -> int:
    sources = Sources(_data(asked.genai, genai_source), _data(asked.litellm, litellm_source))
    present = json.loads(asked.catalogue.read_bytes())
    today = asked.today or (present["checked"] if asked.check else datetime.now(UTC).date().isoformat())
    result = build(facts.read(asked.facts), sources, today)
    if asked.report:
        print(*report(result), sep="\n")
        return 0
    found = changes.compare(present["models"], result.root["models"], today)
    print(*([str(change) for change in found] or ["no change of a model"]), sep="\n")
    problems = verdict(result, changes.unacknowledged(found, changes.acknowledged(asked.acknowledged)))
    if asked.check and written(result.root) != asked.catalogue.read_bytes():
        problems.append(f"{asked.catalogue.name} is not what the sources and the facts make")
    if problems:
        print(*problems, sep="\n", file=sys.stderr)
        return 1
    if not asked.check:
        asked.catalogue.write_bytes(written(result.root))
    return 0


def _data(path: Path | None, source: Any) -> dict[str, Any]:
    data: dict[str, Any] = source.installed() if path is None else litellm_source.parse(path.read_text())
    return data


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Build the bundled price catalogue.")
    parser.add_argument("--check", action="store_true", help="compare with what is there, write nothing")
    parser.add_argument("--report", action="store_true", help="print what is left out and what was decided")
    parser.add_argument("--today", metavar="YYYY-MM-DD", help="the day of the comparison")
    parser.add_argument("--genai", type=Path, help="frozen data of genai-prices instead of the package's")
    parser.add_argument("--litellm", type=Path, help="frozen data of LiteLLM instead of the package's")
    parser.add_argument("--facts", type=Path, default=HERE / "catalogue" / "facts")
    parser.add_argument("--acknowledged", type=Path, default=HERE / "catalogue" / "acknowledged.toml")
    parser.add_argument("--catalogue", type=Path, default=CATALOGUE)
    return parser


if __name__ == "__main__":
    sys.exit(main())
