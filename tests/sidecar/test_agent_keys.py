"""Agent keys: any chain that was minted verifies, nothing else does, and limits only narrow."""

import json
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import independent_agent_keys as other
from spendguard_daemon import agent_keys
from spendguard_daemon.agent_keys import Caveats, allows, mint, new_key, parse, verify
from spendguard_daemon.errors import Code, MalformedError, SpendGuardError

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "agent_keys.json").read_text())
NS = 1_000_000_000

seeds = st.binary(min_size=32, max_size=32)
key_ids = st.text("0123456789abcdef", min_size=16, max_size=16)
letters = st.sampled_from("abcXYZ019._:@+-")
patterns = st.builds(
    "".join, st.tuples(st.text(letters, min_size=1, max_size=12), st.sampled_from(["", "*", "/*", "/m"]))
)
caveats = st.builds(
    Caveats,
    st.none() | st.integers(0, 2**53 - 1),
    st.integers(1, agent_keys.EXPIRES_SECONDS_MAX).map(lambda seconds: seconds * NS),
    st.none() | st.lists(patterns, min_size=1, max_size=3, unique=True).map(tuple),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
)
chains = st.lists(st.tuples(caveats, seeds), max_size=4)


def grown(key_id: str, seed: bytes, chain: list[tuple[Caveats, bytes]]) -> tuple[str, bytes]:
    """Return the last key of a chain, and the public half of its root."""
    token, public = new_key(key_id, seed)
    for narrower, child in chain:
        token = mint(token, narrower, child)
    return token, public


def is_good(token: str, public: bytes) -> bool:
    """Tell whether a token verifies; anything but KEY_UNKNOWN is a fault."""
    try:
        verify(parse(token), public)
    except SpendGuardError as error:
        assert error.code is Code.KEY_UNKNOWN
        assert token[25:] == "" or token[25:] not in error.detail
        return False
    return True


@settings(deadline=None)
@given(key_ids, seeds, chains)
def test_what_was_minted_verifies(key_id: str, seed: bytes, chain: list[tuple[Caveats, bytes]]) -> None:
    """Every generation, with the caveats it was given; and an independent verifier reads the same."""
    token, public = grown(key_id, seed, chain)
    presented = parse(token)
    verify(presented, public)
    assert presented.root_id == key_id
    assert [link.caveats for link in presented.links] == [narrower for narrower, _ in chain]
    assert [link.key_id for link in presented.links] == [
        agent_keys.child_id(other.public_of(child)) for _, child in chain
    ]
    read = other.lineage(token, public)
    assert read is not None
    assert [link.get("limit_nusd") for link in read] == [narrower.limit_nusd for narrower, _ in chain]


@settings(max_examples=300, deadline=None)
@given(key_ids, seeds, chains, st.data())
def test_no_character_can_be_changed(
    key_id: str, seed: bytes, chain: list[tuple[Caveats, bytes]], data: st.DataObject
) -> None:
    """One bit, one character, one cut: it is no key any more. The root's id only says whose."""
    token, public = grown(key_id, seed, chain)
    at = data.draw(st.integers(len(agent_keys.PREFIX) + (0 if chain else 17), len(token) - 1))
    flipped = chr(ord(token[at]) ^ (1 << data.draw(st.integers(0, 6))))
    assert not is_good(token[:at] + flipped + token[at + 1 :], public)
    assert not is_good(token[:at], public)
    assert not is_good(token[:at] + token[at + 1 :], public)
    assert not is_good(token[:at] + data.draw(st.sampled_from(". =A\0é\n")) + token[at:], public)


@settings(deadline=None)
@given(key_ids, seeds, st.lists(st.tuples(caveats, seeds), min_size=2, max_size=4), st.data())
def test_chains_cannot_be_cut_mixed_or_moved(
    key_id: str, seed: bytes, chain: list[tuple[Caveats, bytes]], data: st.DataObject
) -> None:
    """Without a block, with two exchanged, with one of another key, under another root: nothing verifies."""
    assume(len({child for _, child in chain} | {seed}) == len(chain) + 1)
    token, public = grown(key_id, seed, chain)
    head, *blocks, secret = token.split(".")
    one = data.draw(st.integers(0, len(blocks) - 1))
    cut = [*blocks[:one], *blocks[one + 1 :]]
    assert not is_good(".".join([head, *cut, secret]), public)
    turned = blocks[::-1]
    assert turned == blocks or not is_good(".".join([head, *turned, secret]), public)
    assert not is_good(f"{head}.{secret}", public), "a child's secret is no root's"
    stranger, strange_public = grown(data.draw(key_ids), data.draw(seeds), chain)
    assume(strange_public != public)
    spliced = [*blocks[:one], stranger.split(".")[1 + one], *blocks[one + 1 :]]
    if one == 0:
        assert not is_good(".".join([head, *spliced, secret]), public)
    assert not is_good(token, strange_public)
    assert not is_good(stranger, public)


@settings(deadline=None)
@given(key_ids, seeds, st.lists(st.tuples(caveats, seeds), min_size=1, max_size=3), caveats)
def test_a_holder_cannot_rewrite_what_narrows_it(
    key_id: str, seed: bytes, chain: list[tuple[Caveats, bytes]], wider: Caveats
) -> None:
    """With all its own secrets at hand, and those of no one above, the last caveats stay what they are."""
    assume(len({child for _, child in chain} | {seed}) == len(chain) + 1 and wider != chain[-1][0])
    token, public = grown(key_id, seed, chain)
    head, *blocks, secret = token.split(".")
    own = other.unb64(secret)
    forged = other.mint(other.root(key_id, own), {"expires": 1}, own).split(".")[1]
    assert not is_good(".".join([head, *blocks[:-1], forged, secret]), public)
    rewritten = other.unb64(blocks[-1])[:96] + json.dumps({"expires": 2}).encode()
    assert not is_good(".".join([head, *blocks[:-1], other.b64(rewritten), secret]), public)
    further = mint(token, wider, other.unb64(secret)[::-1])
    assert [link.caveats for link in parse(further).links][:-1] == [narrower for narrower, _ in chain]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{len(vector['links'])} generations")
def test_known_answers(vector: dict) -> None:
    """Made by another implementation, to the byte."""
    token, public = new_key(vector["root_id"], bytes.fromhex(vector["seed"]))
    assert public.hex() == vector["public"]
    for link in vector["links"]:
        said = link["caveats"]
        models = said.get("models")
        narrower = Caveats(
            said.get("limit_nusd"),
            said["expires"] * NS,
            None if models is None else tuple(models),
            said.get("label", ""),
        )
        token = mint(token, narrower, bytes.fromhex(link["seed"]))
    assert token == vector["token"]
    presented = parse(token)
    verify(presented, public)
    assert [link.key_id for link in presented.links] == [link["key_id"] for link in vector["links"]]


ROOT, PUBLIC = new_key("0123456789abcdef", b"\1" * 32)
SOON = 1_800_000_000


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"{}",
        b"[]",
        b"[" * 2000,
        b'{"expires": 1800000000}',
        b'{"expires":1800000000.0}',
        b'{"expires":"1800000000"}',
        b'{"expires":true}',
        b'{"expires":0}',
        b'{"expires":253402300800}',
        b'{"expires":' + b"9" * 1000 + b"}",
        b'{"expires":1800000000,"expires":1800000000}',
        b'{"expires":1800000000,"label":""}',
        b'{"expires":1800000000,"label":"\\u0061"}',
        b'{"expires":1800000000,"label":"\\u00e9"}',
        '{"expires":1800000000,"label":"é"}'.encode(),
        b'{"expires":1800000000,"label":"' + b"x" * 101 + b'"}',
        b'{"expires":1800000000,"label":1}',
        b'{"expires":1800000000,"limit_nusd":-1}',
        b'{"expires":1800000000,"limit_nusd":9007199254740992}',
        b'{"expires":1800000000,"limit_nusd":null}',
        b'{"expires":1800000000,"limit_nusd":false}',
        b'{"expires":1800000000,"limit_nusd":1e3}',
        b'{"expires":1800000000,"models":[]}',
        b'{"expires":1800000000,"models":"a"}',
        b'{"expires":1800000000,"models":[1]}',
        b'{"expires":1800000000,"models":["a","a"]}',
        b'{"expires":1800000000,"models":["a*b"]}',
        b'{"expires":1800000000,"models":[""]}',
        b'{"expires":1800000000,"models":["a b"]}',
        b'{"expires":1800000000,"models":["' + b"a" * 101 + b'"]}',
        b'{"expires":1800000000,"other":1}',
        b'{"limit_nusd":1,"expires":1800000000}',
        b'{"expires":1800000000}\n',
        b'\xef\xbb\xbf{"expires":1800000000}',
        '{"expires":1800000000}'.encode("utf-16"),
    ],
)
def test_caveats_are_read_strictly(written: bytes) -> None:
    """However well signed: what is not written as it must be is no key."""
    seed = b"\2" * 32
    said = b"spendguard-agent-key-1\0" + b"0123456789abcdef" + PUBLIC + other.public_of(seed) + written
    signature = other.Ed25519PrivateKey.from_private_bytes(b"\1" * 32).sign(said)
    block = other.b64(signature + other.public_of(seed) + written)
    with pytest.raises(SpendGuardError) as refused:
        parse(f"sg_agent_0123456789abcdef.{block}.{other.b64(seed)}")
    assert refused.value.code is Code.KEY_UNKNOWN


@pytest.mark.parametrize(
    "token",
    [
        "",
        "sg_agent_",
        "sg_agent_.",
        "sg_agent_0123456789abcdef",
        "sg_agent_0123456789abcdef.",
        ROOT + ".",
        ROOT + " ",
        ROOT + "=",
        ROOT.upper(),
        ROOT.replace("abcdef", "ABCDEF"),
        ROOT + "é",
        "sg_agent_0123456789abcdef." + "A" * 42 + "B",
        "sg_agent_0123456789abcdef." + "." * 4000,
        "sg_agent_0123456789abcdef." + "A" * 5000,
        "sk-ant-api03-x",
    ],
)
def test_no_keys(token: str) -> None:
    """What is no key at all; a whole one is."""
    assert is_good(ROOT, PUBLIC)
    assert not is_good(token, PUBLIC)


def test_eight_generations_and_not_nine() -> None:
    """A chain has an end."""
    token = ROOT
    for generation in range(8):
        token = mint(token, Caveats(expires_ns=SOON * NS), bytes([generation]) * 32)
    assert is_good(token, PUBLIC)
    with pytest.raises(MalformedError, match="generations"):
        mint(token, Caveats(expires_ns=SOON * NS), b"\x09" * 32)
    ninth = other.mint(token, {"expires": SOON}, b"\x09" * 32)
    assert not is_good(ninth, PUBLIC)


@pytest.mark.parametrize(
    ("narrower", "field"),
    [
        (Caveats(), "expires"),
        (Caveats(expires_ns=SOON * NS + 1), "expires"),
        (Caveats(expires_ns=-NS), "expires"),
        (Caveats(-1, SOON * NS), "limit"),
        (Caveats(2**53, SOON * NS), "limit"),
        (Caveats(None, SOON * NS, ()), "models"),
        (Caveats(None, SOON * NS, ("a", "a")), "models"),
        (Caveats(None, SOON * NS, ("a*b",)), "models"),
        (Caveats(None, SOON * NS, tuple(f"m{number}" for number in range(33))), "models"),
        (Caveats(None, SOON * NS, None, "x" * 101), "label"),
        (Caveats(None, SOON * NS, None, "é"), "label"),
        (Caveats(None, SOON * NS, None, "a\n"), "label"),
    ],
)
def test_nothing_is_minted_that_would_not_be_read(narrower: Caveats, field: str) -> None:
    """Said where it is made, naming the field."""
    with pytest.raises(MalformedError) as refused:
        mint(ROOT, narrower, b"\3" * 32)
    assert refused.value.facts["path"] == field


def test_a_key_stays_within_what_is_read() -> None:
    """Long lists in every generation do not fit at last; that is said when it is made."""
    models = tuple("x" * 97 + str(number) for number in range(25))
    token = mint(ROOT, Caveats(None, SOON * NS, models), b"\4" * 32)
    assert is_good(token, PUBLIC)
    with pytest.raises(MalformedError, match="4096"):
        mint(token, Caveats(None, SOON * NS, models), b"\5" * 32)
    assert not is_good(other.mint(token, {"expires": SOON, "models": list(models)}, b"\5" * 32), PUBLIC)


def test_models_by_pattern() -> None:
    """A slash names the provider too; a star ends a beginning."""
    assert allows(None, "openai", "gpt-4o-mini")
    assert allows(["*"], "openai", "gpt-4o-mini")
    assert allows(["gpt-4o-mini"], "openai", "gpt-4o-mini")
    assert allows(["openai/gpt-4o-mini"], "openai", "gpt-4o-mini")
    assert allows(["openai/*"], "openai", "gpt-4o-mini")
    assert allows(["x", "gpt-4o*"], "openai", "gpt-4o-mini")
    assert not allows([], "openai", "gpt-4o-mini")
    assert not allows(["gpt-4o"], "openai", "gpt-4o-mini")
    assert not allows(["openai"], "openai", "gpt-4o-mini")
    assert not allows(["open*"], "openai", "gpt-4o-mini")
    assert not allows(["grok/*"], "openai", "gpt-4o-mini")
    assert not allows(["openai/*"], "gemini", "openai/gpt-4o-mini")
    assert not allows(["gpt-4o-mini*x"], "openai", "gpt-4o-mini")


def test_what_the_page_mints_is_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The block of references/agent-keys.md, as it stands."""
    page = (Path(__file__).parents[2] / "references" / "agent-keys.md").read_text()
    block = page.partition("```python\n")[2].partition("```")[0]
    assert len(block.splitlines()) <= 30
    monkeypatch.setenv("SPENDGUARD_AGENT_KEY", ROOT)
    made: dict[str, str] = {}
    exec(block, made)
    presented = parse(made["child"])
    verify(presented, PUBLIC)
    assert presented.links[0].caveats.limit_nusd == 500_000_000
    monkeypatch.setenv("SPENDGUARD_AGENT_KEY", made["child"])
    exec(block, made)
    assert is_good(made["child"], PUBLIC)
    assert len(parse(made["child"]).links) == 2
