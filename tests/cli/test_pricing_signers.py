"""Two programs that share no line sign for each other: `spendguard pricing`, and the independent signer."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hostile_prices import HostilePrices, body
from independent_signer import Pin, RefusedError, public_of, sign, verify
from price_vector import OTHER_SEED, SEED, text_of
from schema1_vectors import CONTENT_1
from schema2_vectors import CONTENT_2
from shell import Quick
from strict import priced_1, priced_2

TEXT_SEED = text_of(SEED) + "\n"


@pytest.fixture
def quick(tmp_path: Path) -> Quick:
    """A shell of an operator who has no sidecar, and wants none."""
    return Quick(tmp_path / "home", SPENDGUARD_EXEC="0")


def keygen(quick: Quick, path: Path) -> Pin:
    """Make a key with our command; return its public half as the independent program pins it."""
    made = quick.ok("pricing", "keygen", str(path)).keys
    return Pin(made["key_id"], base64.b64decode(made["public_key"]))


def put(path: Path, value: Any) -> str:
    """Write a content file."""
    path.write_text(json.dumps(value))
    return str(path)


@pytest.mark.parametrize("cents", [15, 60.5, 0.1, 1e-7, 123456.789, 1e5, 2.0])
def test_it_accepts_what_we_sign_of_schema_1(quick: Quick, tmp_path: Path, cents: float) -> None:
    """Whatever a price looks like as a float: both write it the same way."""
    pin = keygen(quick, tmp_path / "team.key")
    rates = {"openai": {"gpt-4o-mini": {"input_cents_per_1m": cents, "output_cents_per_1m": 60}}}
    content = put(tmp_path / "rates.json", {"rates": rates})
    out = tmp_path / "signed.json"
    key = str(tmp_path / "team.key")
    quick.ok("pricing", "sign", content, "--schema", "1", "--key", key, "--output", str(out))
    assert verify(out.read_bytes(), [pin], datetime.now(UTC))["schema_version"] == "1"


def test_it_accepts_our_whole_catalogue_from_two_signers(quick: Quick, tmp_path: Path) -> None:
    """Two of two, and not one of them twice."""
    pins = [keygen(quick, tmp_path / name) for name in ("a.key", "b.key")]
    keys = [word for name in ("a.key", "b.key") for word in ("--key", str(tmp_path / name))]
    out = tmp_path / "signed.json"
    quick.ok("pricing", "sign", "--catalogue", *keys, "--output", str(out))
    now = datetime.now(UTC)
    assert verify(out.read_bytes(), pins, now, threshold=2)["schema"] == 2
    alone = tmp_path / "alone.json"
    quick.ok("pricing", "sign", "--catalogue", *keys[:2], "--output", str(alone))
    verify(alone.read_bytes(), pins, now)
    with pytest.raises(RefusedError, match="pricing_signature"):
        verify(alone.read_bytes(), pins, now, threshold=2)


@pytest.mark.parametrize("schema", [1, 2])
def test_our_command_accepts_what_it_signs_from_a_file_and_an_address(
    quick: Quick, tmp_path: Path, schema: int
) -> None:
    """And says of what another key signed that it is not signed."""
    public = text_of(public_of(SEED))
    good = priced_1() if schema == 1 else priced_2(1)
    bad = priced_1(seed=OTHER_SEED) if schema == 1 else priced_2(1, seed=OTHER_SEED)
    for raw, code in ((good, 0), (bad, 8)):
        (tmp_path / "signed.json").write_bytes(raw)
        assert quick.run("pricing", "verify", str(tmp_path / "signed.json"), "--key", public).code == code
        with HostilePrices(body(raw)) as server:
            assert quick.run("pricing", "verify", server.url, "--key", public).code == code


@pytest.mark.parametrize("content", [CONTENT_1, CONTENT_2], ids=["schema 1", "schema 2"])
def test_both_make_the_same_bytes_with_the_same_key(quick: Quick, tmp_path: Path, content: Any) -> None:
    """Ed25519 has no chance in it: a document of ours, signed again by the other, is the same document."""
    key = tmp_path / "team.key"
    key.write_text(TEXT_SEED)
    key.chmod(0o600)
    path, out = put(tmp_path / "content.json", content), tmp_path / "signed.json"
    schema = "1" if "rates" in content else "2"
    quick.ok("pricing", "sign", path, "--schema", schema, "--key", str(key), "--output", str(out))
    assert sign(json.loads(out.read_bytes()), SEED) == out.read_bytes()
