"""The text format of Prometheus, 0.0.4, by another hand: read strictly, nothing of SpendGuard.

What a scraper would take in good part is an error here: a family in two places, a sample without its type, a
counter of another name than `*_total`, the same series twice, a value with an exponent.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

_NAME = "[a-z][a-z0-9_]*"
_HELP = re.compile(rf"# HELP ({_NAME}) (\S[^\\]*\S)")
_TYPE = re.compile(rf"# TYPE ({_NAME}) (gauge|counter)")
_SAMPLE = re.compile(rf"({_NAME})(?:\{{(.+)\}})? (-?[0-9]+(?:\.[0-9]+)?)")
_LABEL = re.compile(rf'({_NAME})="((?:[^"\\]|\\["\\n])*)"')
_ESCAPE = re.compile(r'\\(["\\n])')

Labels = frozenset[tuple[str, str]]


@dataclass
class Family:
    """One metric: its type, its help, and its values by labels."""

    kind: str
    about: str
    values: dict[Labels, Decimal] = field(default_factory=dict)

    def value(self, **labels: str) -> Decimal:
        """Return the value of exactly these labels."""
        return self.values[frozenset(labels.items())]


def read(text: str) -> Mapping[str, Family]:
    """Read an answer; raise AssertionError at the first line that is not as it should be."""
    assert text.endswith("\n")
    families: dict[str, Family] = {}
    helped = name = ""
    for line in text.removesuffix("\n").split("\n"):
        if match := _HELP.fullmatch(line):
            helped = match[1]
            assert helped not in families, f"twice: {line}"
            about = match[2]
        elif match := _TYPE.fullmatch(line):
            name = match[1]
            assert name == helped, f"no help before: {line}"
            assert (match[2] == "counter") == name.endswith("_total"), line
            families[name] = Family(match[2], about)
        else:
            match = _SAMPLE.fullmatch(line)
            assert match, f"no sample: {line}"
            assert match[1] == name, f"not of the family before it: {line}"
            labels = _labels(match[2] or "")
            values = families[name].values
            assert labels not in values, f"twice: {line}"
            values[labels] = Decimal(match[3])
    assert all(family.values for family in families.values())
    return families


def _labels(written: str) -> Labels:
    pairs, at = list[tuple[str, str]](), 0
    while at < len(written):
        match = _LABEL.match(written, at)
        assert match, f"no label: {written[at:]}"
        pairs.append((match[1], _ESCAPE.sub(lambda one: "\n" if one[1] == "n" else one[1], match[2])))
        at = match.end()
        assert at == len(written) or written[at] == ",", written
        at += 1
    assert not written.endswith(",")
    assert len(dict(pairs)) == len(pairs)
    return frozenset(pairs)
