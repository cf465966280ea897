"""`pricing keygen|sign|verify|diff|trust`: an authority of one's own, by the real command line."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from shell import Quick, Ran
from signed_prices import card
from spendguard_daemon.pricing import trust
from spendguard_daemon.pricing.trust import PinnedKey
from spendguard_daemon.system import SystemClock

CONTENT = {"providers": {"openai": {"models": {"small": card(), "large": card(aliases=["large-1"])}}}}
RATES = {
    "rates": {
        "openai": {"gpt-4o-mini": {"input_cents_per_1m": 15, "output_cents_per_1m": 60.5}},
    }
}


@pytest.fixture
def quick(tmp_path: Path) -> Quick:
    """A shell of an operator who has no sidecar, and wants none."""
    return Quick(tmp_path / "home", SPENDGUARD_EXEC="0")


@pytest.fixture
def key(quick: Quick, tmp_path: Path) -> Ran:
    """A key in `team.key`."""
    return quick.ok("pricing", "keygen", str(tmp_path / "team.key"))


def put(path: Path, value: object) -> str:
    """Write a content file in the layout that a person would use."""
    path.write_text(json.dumps(value, indent=4))
    return str(path)


def sign(quick: Quick, tmp_path: Path, *arguments: str, content: Any = CONTENT) -> Ran:
    """Sign a content with `team.key`."""
    path = put(tmp_path / "content.json", content)
    return quick.run("pricing", "sign", path, "--key", str(tmp_path / "team.key"), *arguments)


def pin(quick: Quick, made: Ran, *arguments: str) -> Ran:
    """Type the line that keygen printed."""
    _, *words = made.keys["trust_command"].split()
    return quick.run(*words, *arguments)


def test_a_key_is_for_its_owner_alone_and_never_shown(quick: Quick, tmp_path: Path, key: Ran) -> None:
    path = tmp_path / "team.key"
    assert path.stat().st_mode & 0o777 == 0o600
    seed = path.read_text().strip()
    again = quick.run("pricing", "keygen", str(path))
    assert again.code == 2
    assert "never overwritten" in again.err
    assert path.read_text().strip() == seed
    signed = sign(quick, tmp_path)
    for ran in (key, again, signed, pin(quick, key)):
        assert seed not in ran.out + ran.err


def test_what_is_signed_verifies_once_its_key_is_trusted(quick: Quick, tmp_path: Path, key: Ran) -> None:
    path = str(tmp_path / "prices.json")
    told = sign(quick, tmp_path, "--output", path, "--lifetime", "12h").keys
    assert (told["schema"], told["sequence"], told["signed_by"]) == ("2", "1", key.keys["key_id"])
    refused = quick.run("pricing", "verify", path)
    assert refused.code == 8
    assert "is not pinned" in refused.err
    assert pin(quick, key).code == 0
    found = quick.ok("pricing", "verify", path, "--json")
    assert found.json["models"] == ["openai:large", "openai:small"]
    assert found.json["document_sha256"] == told["document_sha256"]
    assert list(found.json) == sorted(found.json)


def test_without_an_output_the_document_itself_is_printed(quick: Quick, tmp_path: Path, key: Ran) -> None:
    raw = sign(quick, tmp_path).out.encode()
    public_key = trust.decode_base64(key.keys["public_key"], 32)
    assert public_key is not None
    pinned = [PinnedKey(key.keys["key_id"], public_key)]
    now_ns = SystemClock().wall_ns()
    assert trust.verify(raw, pinned=pinned, now_ns=now_ns, high_water=None).sequence == 1


def test_the_sequence_goes_on_from_the_document_before(quick: Quick, tmp_path: Path, key: Ran) -> None:
    path = str(tmp_path / "prices.json")
    assert key.code == 0
    assert sign(quick, tmp_path, "--output", path, "--sequence", "41").code == 0
    assert sign(quick, tmp_path, "--output", path, "--previous", path).keys["sequence"] == "42"
    assert sign(quick, tmp_path, "--previous", path, "--sequence", "50").code == 2
    content = put(tmp_path / "none.json", {"a": 1})
    assert "no sequence number" in sign(quick, tmp_path, "--previous", content).err


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"limits": {"context": 1000}}, "document.providers.openai.models.small.limits.max_input"),
        ({"endpoints": []}, "document.providers.openai.models.small.endpoints"),
        ({"fees": {"web_search": 1.5}}, "$.providers.openai.models.small.fees.web_search"),
    ],
)
def test_a_bad_row_is_not_signed_and_named(
    quick: Quick, tmp_path: Path, key: Ran, change: dict[str, Any], path: str
) -> None:
    content = copy.deepcopy(CONTENT)
    content["providers"]["openai"]["models"]["small"] |= change
    output = tmp_path / "prices.json"
    ran = sign(quick, tmp_path, "--output", str(output), content=content)
    assert (key.code, ran.code) == (0, 8)
    assert path in ran.err
    assert not output.exists()


@pytest.mark.parametrize("text", ["8d", "0s", "59s", "1w", "-1d", "7", "1.5h", "999999999d"])
def test_a_lifetime_is_a_minute_to_seven_days(quick: Quick, tmp_path: Path, key: Ran, text: str) -> None:
    ran = sign(quick, tmp_path, f"--lifetime={text}")
    assert (key.code, ran.code) == (0, 2)
    assert "--lifetime" in ran.err


def test_a_key_that_others_can_read_signs_nothing(quick: Quick, tmp_path: Path, key: Ran) -> None:
    path = tmp_path / "team.key"
    path.chmod(0o640)
    ran = sign(quick, tmp_path)
    assert (key.code, ran.code, ran.out) == (0, 8, "")
    assert f"chmod 600 {path}" in ran.err
    path.chmod(0o600)
    path.write_text("not a key\n")
    assert sign(quick, tmp_path).code == 8
    path.unlink()
    assert "pricing keygen" in sign(quick, tmp_path).err


def test_the_bundle_is_signed_with_the_overrides_of_the_home(quick: Quick, tmp_path: Path, key: Ran) -> None:
    quick.home.mkdir(mode=0o700)
    lines = ['endpoints = ["chat/completions"]', "limits = {context = 9, max_input = 9, max_output = 9}"]
    rates = 'periods = [{from = "1970-01-01T00:00:00Z", rates = {default = {input = 1, output = 2}}}]'
    text = "\n".join(['[prices.overrides.openai."house-model"]', *lines, rates])
    (quick.home / "config.toml").write_text(text)
    (quick.home / "config.toml").chmod(0o600)
    output = str(tmp_path / "prices.json")
    key_path = str(tmp_path / "team.key")
    told = quick.ok("pricing", "sign", "--catalogue", "--key", key_path, "-o", output, "--json").json
    assert key.code == 0
    assert {"openai:house-model", "openai:gpt-4o-mini"} <= set(told["models"])


def test_several_keys_sign_and_a_threshold_counts_them(quick: Quick, tmp_path: Path, key: Ran) -> None:
    other = quick.ok("pricing", "keygen", str(tmp_path / "other.key"))
    alone, both = str(tmp_path / "alone.json"), str(tmp_path / "both.json")
    sign(quick, tmp_path, "--output", alone)
    told = sign(quick, tmp_path, "--output", both, "--key", str(tmp_path / "other.key"))
    assert told.keys["signed_by"] == f"{key.keys['key_id']},{other.keys['key_id']}"
    assert sign(quick, tmp_path, "--key", str(tmp_path / "team.key")).code == 2
    assert pin(quick, key).code == 0
    assert pin(quick, other, "--threshold", "3").code == 2
    assert pin(quick, other, "--threshold", "2").code == 0
    assert quick.run("pricing", "verify", alone).code == 8
    found = quick.ok("pricing", "verify", both)
    assert found.keys["signed_by"] == told.keys["signed_by"]


def test_one_key_may_be_named_in_place_of_trust_toml(quick: Quick, tmp_path: Path, key: Ran) -> None:
    path = str(tmp_path / "prices.json")
    sign(quick, tmp_path, "--output", path)
    assert quick.run("pricing", "verify", path, "--key", key.keys["public_key"]).code == 0
    other = quick.ok("pricing", "keygen", str(tmp_path / "other.key")).keys["public_key"]
    assert quick.run("pricing", "verify", path, "--key", other).code == 8
    assert quick.run("pricing", "verify", path, "--key", "short").code == 8


def test_a_byte_changed_anywhere_is_found(quick: Quick, tmp_path: Path, key: Ran) -> None:
    path = tmp_path / "prices.json"
    sign(quick, tmp_path, "--output", str(path))
    pin(quick, key)
    raw = path.read_bytes()
    for at in range(0, len(raw), 40):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        ran = quick.run("pricing", "verify", str(path))
        assert (ran.code, ran.out) == (8, ""), at


def test_schema_1_is_signed_and_verified_too(quick: Quick, tmp_path: Path, key: Ran) -> None:
    path = tmp_path / "schema1.json"
    made = sign(quick, tmp_path, "--schema", "1", "--output", str(path), content=RATES)
    assert made.keys["schema"] == "1", made
    document = json.loads(path.read_bytes())
    assert (document["schema_version"], document["rates"]) == ("1", RATES["rates"])
    pin(quick, key)
    assert quick.ok("pricing", "verify", str(path)).keys["signed_by"] == key.keys["key_id"]
    document["rates"]["openai"]["gpt-4o-mini"]["input_cents_per_1m"] = 1
    assert quick.run("pricing", "verify", put(path, document)).code == 8


def test_what_cannot_be_signed_is_said(quick: Quick, tmp_path: Path, key: Ran) -> None:
    key_path = str(tmp_path / "team.key")
    empty = put(tmp_path / "empty.json", {"a": 1})
    (tmp_path / "twice.json").write_text('{"providers": {}, "providers": {}}')
    for line in (
        [],
        ["--key", key_path],
        ["--catalogue"],
        [empty, "--catalogue", "--key", key_path],
        [empty, "--key", key_path],
        [str(tmp_path / "nothing"), "--key", key_path],
        [str(tmp_path / "twice.json"), "--key", key_path],
        ["--catalogue", "--schema", "1", "--key", key_path],
    ):
        ran = quick.run("pricing", "sign", *line)
        assert (ran.code, ran.out) == (2, ""), line
        assert "try: " in ran.err
    assert key.code == 0


# -- trust ---------------------------------------------------------------------------------------------------


def test_keys_are_pinned_revoked_and_stay_listed(quick: Quick, tmp_path: Path, key: Ran) -> None:
    path = str(tmp_path / "prices.json")
    sign(quick, tmp_path, "--output", path)
    assert pin(quick, key).code == 0
    assert (quick.home / "trust.toml").stat().st_mode & 0o777 == 0o600
    revoked = quick.ok("pricing", "trust", "revoke", key.keys["key_id"], "--json").json
    assert [row["state"] for row in revoked["keys"]] == ["revoked"]
    ran = quick.run("pricing", "verify", path)
    assert ran.code == 8
    assert "is revoked" in ran.err
    again = pin(quick, key)
    assert again.code == 2
    assert "was revoked" in again.err
    assert quick.ok("pricing", "trust", "list", "--json").json == revoked


def test_a_key_may_have_an_end(quick: Quick, tmp_path: Path, key: Ran) -> None:
    path = str(tmp_path / "prices.json")
    sign(quick, tmp_path, "--output", path)
    told = pin(quick, key, "--not-after", "2001-01-01").out
    assert "state=over" in told
    assert "not_after=2001-01-02T00:00:00Z" in told
    assert quick.run("pricing", "verify", path).code == 8
    assert "state=good" in pin(quick, key, "--not-after", "2999-01-01T00:00:00Z").out
    assert quick.run("pricing", "verify", path).code == 0


def test_no_key_is_pinned_twice_and_nothing_but_a_key(quick: Quick, tmp_path: Path, key: Ran) -> None:
    other = quick.ok("pricing", "keygen", str(tmp_path / "other.key")).keys
    pin(quick, key)
    before = (quick.home / "trust.toml").read_bytes()
    public_key, key_id = key.keys["public_key"], key.keys["key_id"]
    for line in (
        ["add", "another-name", public_key],
        ["add", key_id, other["public_key"]],
        ["add", "no id", other["public_key"]],
        ["add", "fine", "c2hvcnQ="],
        ["add", "fine", other["public_key"][:-2] + "t="],  # stray bits in the last letter
        ["add", "fine", other["public_key"], "--threshold", "0"],
        ["add", "fine", other["public_key"], "--not-after", "soon"],
        ["revoke", "nobody"],
    ):
        assert quick.run("pricing", "trust", *line).code == 2, line
    assert (quick.home / "trust.toml").read_bytes() == before


def test_an_agent_trusts_nobody(quick: Quick, key: Ran) -> None:
    _, *words = key.keys["trust_command"].split()
    assert quick.run(*words, SPENDGUARD_EXEC="1").code == 5
    assert not (quick.home / "trust.toml").exists()


def test_a_damaged_trust_file_trusts_nobody(quick: Quick, tmp_path: Path, key: Ran) -> None:
    pin(quick, key)
    (quick.home / "trust.toml").write_text("[[key]]\nid = 5\n")
    for line in (["trust", "list"], ["trust", "revoke", "x"], ["verify", str(tmp_path / "team.key")]):
        ran = quick.run("pricing", *line)
        assert ran.code == 8
        assert "trust.toml" in ran.err


# -- diff ----------------------------------------------------------------------------------------------------


def test_a_diff_names_each_number_and_flags_what_needs_a_look(quick: Quick, tmp_path: Path) -> None:
    new = copy.deepcopy(CONTENT)
    models = new["providers"]["openai"]["models"]
    models["new"] = models.pop("large")
    rates = models["small"]["periods"][0]["rates"]["default"]
    rates |= {"input": rates["input"] - 1, "output": rates["output"] * 10, "cache_read": 5}
    models["small"]["limits"]["max_output"] = 99
    old_path, new_path = put(tmp_path / "old.json", CONTENT), put(tmp_path / "new.json", new)
    ran = quick.run("pricing", "diff", old_path, new_path, "--json")
    assert (ran.code, ran.json["flagged"]) == (1, 2)
    assert (ran.json["added"], ran.json["removed"]) == (["openai:new"], ["openai:large"])
    told = {change["what"]: change for change in ran.json["changes"]}
    first = "1970-01-01T00:00:00Z default"
    assert [(told[f"{first} {name}"]["ratio"], told[f"{first} {name}"]["flag"]) for name in rates] == [
        ("0.999", "decrease"),
        ("10.000", "ten-fold"),
        (None, ""),
    ]
    assert (told["output_tokens_max"]["old"], told["output_tokens_max"]["new"]) == (100, 99)
    assert len(told) == 4


def test_a_rise_and_the_same_are_no_alarm(quick: Quick, tmp_path: Path, key: Ran) -> None:
    """Also across signatures: what is compared are prices."""
    path = tmp_path / "prices.json"
    sign(quick, tmp_path, "--output", str(path))
    same = quick.ok("pricing", "diff", str(tmp_path / "content.json"), str(path)).keys
    assert (key.code, same["flagged"], same["changes"]) == (0, "0", "")
    dearer = copy.deepcopy(CONTENT)
    rates = dearer["providers"]["openai"]["models"]["small"]["periods"][0]["rates"]["default"]
    rates["output"] = rates["output"] * 10 - 1
    ran = quick.ok("pricing", "diff", str(path), put(tmp_path / "dearer.json", dearer), "--json")
    assert [change["ratio"] for change in ran.json["changes"]] == ["9.999"]


def test_only_this_machine_is_asked_over_plain_http(quick: Quick) -> None:
    for url in (
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "http://u:p@localhost/",
        "ftp://x",
        "http://[",
    ):
        ran = quick.run("pricing", "verify", url)
        assert ran.code == 2, url
        assert "over https only" in ran.err
