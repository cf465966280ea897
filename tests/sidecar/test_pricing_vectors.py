"""The vectors for others: our verifier and an independent one say of each what it says of itself."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import independent_signer
import pricing_vectors
from independent_signer import RefusedError, written
from local_home import KEY, Home
from price_vector import AT, FOLDER, GOOD, PIN, SEED, Vector
from schema1_vectors import CONTENT_1, document_1, signed_text_1
from schema2_vectors import CONTENT_2, document_2, signed_text_2
from signed_prices import NOW_NS
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.pricing import trust, wire_json
from spendguard_daemon.pricing.authority import Authority
from spendguard_daemon.pricing.trust import HighWater, PinnedKey

SIGNER = Path(independent_signer.__file__)
BEYOND_THE_ENVELOPE = {"a member too many", "a member of schema 1 beside", "output for nothing"}
"""What only a reader of whole rate cards sees; the independent one knows of rows that prices are numbers."""

VECTORS = [(schema, one) for schema in (1, 2) for one in pricing_vectors.load(schema)]
each_vector = pytest.mark.parametrize(
    "vector", [one for _, one in VECTORS], ids=[f"schema {schema}: {one.name}" for schema, one in VECTORS]
)


def ours(vector: Vector) -> str:
    """Return our verdict: `accepted`, or the code, whose title the detail begins with."""
    keys = [
        PinnedKey(
            pin.key_id or "",
            pin.public_key,
            None if pin.not_after is None else wire_json.to_ns(pin.not_after),
            pin.revoked,
        )
        for pin in vector.pins
    ]
    mark = None if vector.accepted is None else HighWater(*vector.accepted)
    try:
        document = trust.verify(
            vector.raw,
            pinned=trust.Trust(tuple(keys), vector.threshold),
            now_ns=wire_json.to_ns(vector.at),
            high_water=mark,
            schemas=trust.BOTH_SCHEMAS,
        )
    except SpendGuardError as error:
        assert error.detail.startswith(TABLE[error.code].title)
        return error.code.value
    assert document.document_sha256 == hashlib.sha256(vector.raw).hexdigest()
    return GOOD


def theirs(vector: Vector) -> str:
    """Return the verdict of the independent program."""
    try:
        independent_signer.verify(
            vector.raw,
            vector.pins,
            vector.at,
            accepted=vector.accepted,
            sha256=hashlib.sha256(vector.raw).hexdigest(),
            threshold=vector.threshold,
        )
    except RefusedError as refused:
        return refused.code
    return GOOD


@each_vector
def test_we_say_of_each_vector_what_it_says(vector: Vector) -> None:
    """The exact code: another one would send people to the wrong place."""
    assert ours(vector) == vector.expect


@each_vector
def test_an_independent_verifier_says_the_same(vector: Vector) -> None:
    """Written from the contract, with another cryptographic library."""
    if vector.name in BEYOND_THE_ENVELOPE:
        assert theirs(vector) == GOOD, "the list of what it does not see is kept exact"
    else:
        assert theirs(vector) == vector.expect


def test_the_files_are_what_the_script_makes() -> None:
    """The same bytes each time, on every machine."""
    for name, data in pricing_vectors.files().items():
        assert (FOLDER / name).read_bytes() == data, "run python tests/support/pricing_vectors.py"


def test_names_are_unique_and_every_code_is_there() -> None:
    """A vector can be named in a report, and each way to refuse has some."""
    for schema in (1, 2):
        named = [one.name for known, one in VECTORS if known == schema]
        assert len(set(named)) == len(named)
        codes = {one.expect for known, one in VECTORS if known == schema} - {GOOD}
        assert codes == {"pricing_invalid", "pricing_signature", "pricing_expired", "pricing_rollback"}


@pytest.mark.parametrize("schema", [1, 2])
def test_one_flipped_bit_anywhere(schema: int) -> None:
    """In each byte of a good document, another bit each time: both refuse it as invalid or not signed."""
    good = document_1() if schema == 1 else document_2()
    assert ours(Vector("", good, GOOD)) == theirs(Vector("", good, GOOD)) == GOOD
    for index, byte in enumerate(good):
        flipped = good[:index] + bytes([byte ^ 1 << index % 8]) + good[index + 1 :]
        vector = Vector("", flipped, "")
        assert {ours(vector), theirs(vector)} <= {"pricing_invalid", "pricing_signature"}, flipped


TOKEN = re.compile(rb'"[^"]*"|-?[0-9][0-9.]*|[][{}:,]')
ODDITIES = [
    *(b"0", b"-0", b"-1", b"1.5", b"0.0", b"-0.0", b"1e2", b"1E+2", b"1e-400", b"1e309", b"01", b"1.", b".5"),
    *(b"9007199254740991", b"9007199254740992", b"NaN", b"true", b"null", b"[]", b"{}", b'{"a":1}', b" 1 "),
    *(
        b'""',
        b'"1"',
        b'"\\u00e9"',
        b'"\\ud83d\\ude00"',
        b'"\\ud83d"',
        b"\xc2\xb2",
        b"60.50000000000000001",
        b"",
    ),
]


@given(st.data())
def test_we_accept_nothing_that_an_independent_verifier_refuses(data: st.DataObject) -> None:
    """Pieces of good documents changed at random, and signed again by someone careless with the right key."""
    schema = data.draw(st.sampled_from([1, 2]))
    content = written(CONTENT_1 if schema == 1 else CONTENT_2)
    for _ in range(data.draw(st.integers(1, 3))):
        spans = [match.span() for match in TOKEN.finditer(content)] or [(0, 0)]
        start, end = data.draw(st.sampled_from(spans))
        content = content[:start] + data.draw(st.sampled_from(ODDITIES)) + content[end:]
    raw = signed_text_2(content) if schema == 2 else signed_text_1(content)
    if ours(Vector("", raw, "")) == GOOD:
        assert theirs(Vector("", raw, "")) == GOOD, raw


def test_the_example_as_it_came() -> None:
    """Each byte of the one document whose signer nobody here has seen; and within its times only."""
    example = (FOLDER / "schema1-example.json").read_bytes()
    pinned = (replace(PIN, public_key=base64.b64decode("A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=")),)
    assert ours(Vector("", example, GOOD, pinned)) == GOOD
    assert ours(Vector("", example, GOOD, pinned, AT.replace(minute=6))) == "pricing_expired"
    assert ours(Vector("", example, GOOD, pinned, AT.replace(hour=11))) == "pricing_expired"
    for index in range(len(example)):
        flipped = example[:index] + bytes([example[index] ^ 1]) + example[index + 1 :]
        assert ours(Vector("", flipped, "", pinned)) in ("pricing_invalid", "pricing_signature"), index


@pytest.mark.parametrize("schema", [1, 2])
def test_nothing_is_parsed_beyond_four_mebibytes(schema: int) -> None:
    """Spaces after a document of schema 1 would be no sin, were they fewer."""
    good = document_1() if schema == 1 else document_2()
    vector = Vector("", good + b" " * 4 * 2**20, "")
    assert ours(vector) == theirs(vector) == "pricing_invalid"


@pytest.mark.parametrize("schema", [1, 2])
def test_the_independent_program_signs_what_we_accept(schema: int, tmp_path: Path) -> None:
    """As a process of its own, which has never seen a module of ours."""
    content = CONTENT_1 if schema == 1 else CONTENT_2
    key = tmp_path / "key"
    public = base64.b64decode(run("keygen", str(key)))
    key_id = ["test-key"] if schema == 2 else []
    signed = run("sign", str(key), *key_id, given=json.dumps(content, indent=2).encode())
    assert ours(Vector("", signed, GOOD, (replace(PIN, public_key=public),))) == GOOD
    assert ours(Vector("", signed, GOOD)) == "pricing_signature", "the key that everybody knows did not"


def test_the_independent_program_accepts_what_the_local_authority_signs() -> None:
    """The whole bundled catalogue, as every fresh home signs it."""
    home = Home()
    home.start()
    (path,) = home.documents
    authority = Authority.from_key_file(home.disk.files[KEY])
    public = base64.b64encode(authority.public_key).decode()
    at = wire_json.format_time(NOW_NS)
    assert run("verify", public, authority.key_id, at, given=home.disk.files[path]) == b"accepted\n"


def test_the_independent_program_stands_alone() -> None:
    """It imports the standard library and `cryptography`, nothing of ours."""
    script = f"import sys, runpy; runpy.run_path({str(SIGNER)!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "cryptography" in loaded
    assert not loaded & {"spendguard_daemon", "spendguard_cli", "nacl", "aiohttp", "httpx"}
    assert SEED not in SIGNER.read_bytes()


def run(*arguments: str, given: bytes = b"") -> bytes:
    """Run the independent program; return what it says."""
    done = subprocess.run(
        [sys.executable, str(SIGNER), *arguments], input=given, capture_output=True, check=True
    )
    return done.stdout
