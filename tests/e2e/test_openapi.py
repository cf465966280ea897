"""The running sidecar against its own document, by schemathesis: see `tests/support/surface.py`.

A few examples of each operation, drawn anew each time; the campaign's part `surface` draws 500. The seed is
printed, and SPENDGUARD_TEST_SEED fixes it; SPENDGUARD_TEST_EXAMPLES asks for more.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar import Sidecar

SEED = int(os.environ.get("SPENDGUARD_TEST_SEED", random.SystemRandom().randrange(2**31)))
EXAMPLES = int(os.environ.get("SPENDGUARD_TEST_EXAMPLES", "3"))
SHARES = 2
"""Parts that two workers do side by side."""

SURFACE = Path(__file__).parents[1] / "support" / "surface.py"


@pytest.mark.parametrize("share", range(SHARES))
def test_every_answer_is_documented(share: int) -> None:
    """No 5xx, no status, type, header, shape or code that the document does not have."""
    print(f"SPENDGUARD_TEST_SEED={SEED} SPENDGUARD_TEST_EXAMPLES={EXAMPLES}")
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, str(SURFACE), str(SEED), str(EXAMPLES), str(share), str(SHARES)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-8_000:]
    asked = dict(json.loads(line) for line in done.stdout.splitlines())
    assert len(asked) > 100
    assert all(sum(answers.values()) >= 1 for answers in asked.values())
    assert any("200" in answers for name, answers in asked.items() if name.startswith("post_"))


def test_the_document_is_for_operators(tmp_path: Path) -> None:
    """It needs the token, as other control routes do, and is the same each time."""
    with Sidecar(tmp_path / "home") as sidecar:
        assert sidecar.http.get("/openapi.json").status_code == 401
        first = sidecar.http.get("/openapi.json", headers=sidecar.admin)
        assert first.headers["content-type"] == "application/json"
        assert first.json()["openapi"].startswith("3.1")
        assert sidecar.http.get("/openapi.json", headers=sidecar.admin).content == first.content
