"""What a check says: values, and in which order they are told. Pure; no terminal, no network."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from spendguard_cli.doctor.world import World


class Level(StrEnum):
    """How bad it is: RED stops calls or risks money, WARNING may soon, NOTE is worth knowing, OK is well."""

    RED = "red"
    WARNING = "warning"
    NOTE = "note"
    OK = "ok"


RANK = {level: rank for rank, level in enumerate(Level)}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one check found. `finding` is one sentence that names the cause; `evidence` what shows it.

    `remedy` are commands, each on a line that is typed as it stands, in this order; `deed` says in words
    what no command of ours can do (free the disk, set the clock). `code` is the refusal that the cause leads
    to. `symptom`: a consequence, which is told after causes of the same level. `check` and `group` are set by
    the one who runs the check. `safe`: `--fix` may mend it, without touching money.
    """

    level: Level
    finding: str
    evidence: list[str] = []
    remedy: list[str] = []
    deed: str = ""
    code: str | None = None
    symptom: bool = False
    safe: bool = False
    check: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One named look at the world, `about` what; yields findings, at least one (OK where all is well).

    `name` is `group.what`, as typed after `--check`. `mend` does what is safe for its findings, and returns
    what it did, one sentence each.
    """

    name: str
    about: str
    run: "Callable[[World], Iterable[Finding]]"
    mend: "Callable[[World], Iterable[str]] | None" = None

    @property
    def group(self) -> str:
        """The part of its name before the dot."""
        return self.name.partition(".")[0]


def ok(finding: str, *evidence: str) -> Finding:
    """Say that all is well."""
    return Finding(level=Level.OK, finding=finding, evidence=list(evidence))


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Put the cause to mend first before all else: the worst first, causes before symptoms, else as found."""
    return sorted(findings, key=lambda one: (RANK[one.level], one.symptom))


def worst(findings: Sequence[Finding]) -> Level:
    """Return the worst level among these."""
    return min((one.level for one in findings), key=RANK.__getitem__, default=Level.OK)
