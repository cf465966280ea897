"""The names of features: whatever a refusal can name is known, a slip is not, and the nearest is found."""

import re
from pathlib import Path

import pytest

import spendguard_daemon.providers as providers
from spendguard_daemon.features import KINDS, is_feature, known, nearest

SOURCES = [path.read_text(encoding="utf-8") for path in Path(providers.__file__).parent.glob("*.py")]
WRITTEN = {
    kind
    for text in SOURCES
    for kind in re.findall(r'"((?:anthropic|gemini|grok|openai)(?:\.[a-z_]+)+):', text)
}
"""The kinds of features that the providers' modules spell out."""


@pytest.mark.parametrize("kind", sorted(WRITTEN))
def test_what_a_provider_names_is_known(kind: str) -> None:
    assert kind in KINDS


def test_there_is_something_to_know() -> None:
    assert {"anthropic.tool", "gemini.part", "grok.chat.cap"} <= WRITTEN


@pytest.mark.parametrize(
    ("feature", "near"),
    [
        ("grok.chat.cap:reasonin", "grok.chat.cap:reasoning"),
        ("grok.fees:violation", "grok.fee:violation"),
        ("anthropic.betas:some-feature-2026-01-01", "anthropic.beta:some-feature-2026-01-01"),
        ("nobody.knows:this", ""),
    ],
)
def test_a_slip_is_not_known_and_the_nearest_is(feature: str, near: str) -> None:
    assert is_feature(feature)
    assert not known(feature)
    assert nearest(feature) == near
    assert not near or known(near)
