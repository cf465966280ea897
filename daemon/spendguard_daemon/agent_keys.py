"""Agent keys: what a program sends in place of a provider's key, and how it makes narrower ones. Pure.

`sg_agent_<root id>.<secret>` is a key that an operator made, `sg_agent_<root id>.<block>....<secret>` one
that its holder minted from it, offline, with one block for each generation. Secrets are Ed25519 seeds. A
block is the signature of the parent's key over the child's public key and its caveats; so a chain can be
checked with the root's public key alone, which is all that is kept of it. Owns the format
(references/agent-keys.md), and knows nothing of agents, money or time. Invariant: what `parse` takes, there
is exactly one way to write.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from nacl.exceptions import CryptoError
from nacl.signing import SigningKey, VerifyKey

from spendguard_daemon.errors import Code, MalformedError, SpendGuardError

PREFIX = "sg_agent_"
TOKEN_LENGTH_MAX = 4096
GENERATIONS_MAX = 8
LABEL_LENGTH_MAX = 100
MODELS_MAX = 32
MODEL_LENGTH_MAX = 100
LIMIT_NUSD_MAX = 2**53 - 1
EXPIRES_SECONDS_MAX = 253_402_300_799
"""The last second of the year 9999: later times have no ISO 8601 form."""

SEED_BYTES = 32
CHILD_DAYS_MAX = 30
"""How far away the end of a minted key may lie when it is first used."""

_SIGNATURE_BYTES, _PUBLIC_BYTES = 64, 32
_DOMAIN = b"spendguard-agent-key-1\0"
"""Begins what is signed, so that no signature of a key ever means something else."""

_NS_PER_SECOND = 1_000_000_000
_KEY_ID = re.compile(r"[0-9a-f]{16}")
LABEL = re.compile(r"[ -~]{0,100}")
MODEL = re.compile(r"([A-Za-z0-9._:@+/-]+\*?|\*)")


@dataclass(frozen=True, slots=True)
class Caveats:
    """How a key is narrower than its parent: nano-USD, wall ns (whole seconds), model patterns; None is not.

    `label` says whose it is, for people.
    """

    limit_nusd: int | None = None
    expires_ns: int | None = None
    models: tuple[str, ...] | None = None
    label: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """One minted key of a chain, and its parent's signature."""

    key_id: str
    public: bytes
    caveats: Caveats
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Presented:
    """A token that was read: its chain, the root's first child first, and the public half of its secret.

    Nothing is proven of it before `verify`.
    """

    root_id: str
    links: tuple[Link, ...]
    public: bytes


def new_key(key_id: str, seed: bytes) -> tuple[str, bytes]:
    """Return the token and the public half of a root key; `seed` is 32 random bytes, `key_id` 16 hex."""
    return f"{PREFIX}{key_id}.{_encode(seed)}", _public(seed)


def parse(token: str) -> Presented:
    """Read a token, strictly. Raises KEY_UNKNOWN, which never repeats any of it."""
    if not token.startswith(PREFIX) or len(token) > TOKEN_LENGTH_MAX or not token.isascii():
        _unknown()
    root_id, *rest = token.removeprefix(PREFIX).split(".")
    if not _KEY_ID.fullmatch(root_id) or not 1 <= len(rest) <= GENERATIONS_MAX + 1:
        _unknown()
    *blocks, secret = rest
    seed = _decode(secret)
    if len(seed) != SEED_BYTES:
        _unknown()
    links = tuple(map(_link, blocks))
    public = _public(seed)
    if links and not hmac.compare_digest(links[-1].public, public):
        _unknown()
    return Presented(root_id, links, public)


def verify(presented: Presented, root_public: bytes) -> None:
    """Check that a chain begins at the root key of this public half; raise KEY_UNKNOWN."""
    if not presented.links:
        if not hmac.compare_digest(presented.public, root_public):
            _unknown()
        return
    parent = root_public
    for link in presented.links:
        try:
            VerifyKey(parent).verify(_signed(presented.root_id, parent, link), link.signature)
        except (CryptoError, ValueError):
            _unknown()
        parent = link.public


def mint(parent_token: str, caveats: Caveats, seed: bytes) -> str:
    """Return a key below `parent_token`, with its secret from `seed`, 32 random bytes.

    Raises KEY_UNKNOWN where the parent is no key, MALFORMED_REQUEST for caveats that no key may have, without
    an end, or for one generation too many.
    """
    parent = parse(parent_token)
    check(caveats)
    if caveats.expires_ns is None:
        raise MalformedError("expires", "a time: what is minted has an end")
    if len(parent.links) == GENERATIONS_MAX:
        raise MalformedError("key", f"one with less than {GENERATIONS_MAX} generations above it")
    head, _, secret = parent_token.rpartition(".")
    signer = SigningKey(_decode(secret))
    unsigned = Link("", _public(seed), caveats, b"")
    signature = signer.sign(_signed(parent.root_id, parent.public, unsigned)).signature
    block = _encode(signature + unsigned.public + _written(caveats))
    token = f"{head}.{block}.{_encode(seed)}"
    if len(token) > TOKEN_LENGTH_MAX:
        raise MalformedError("key", f"at most {TOKEN_LENGTH_MAX} characters: shorten labels or model lists")
    return token


def child_id(public: bytes) -> str:
    """Return the id of a minted key."""
    return hashlib.sha256(public).hexdigest()[:16]


def check(caveats: Caveats) -> None:
    """Raise MALFORMED_REQUEST, naming the field, for caveats that no key may have."""
    limit, expires, models = caveats.limit_nusd, caveats.expires_ns, caveats.models
    if limit is not None and not 0 <= limit <= LIMIT_NUSD_MAX:
        raise MalformedError("limit", "an amount of money")
    if expires is not None and not 0 < expires <= EXPIRES_SECONDS_MAX * _NS_PER_SECOND:
        raise MalformedError("expires", "a time before the year 10000")
    if expires is not None and expires % _NS_PER_SECOND:
        raise MalformedError("expires", "a time in whole seconds")
    if not LABEL.fullmatch(caveats.label):
        raise MalformedError("label", f"at most {LABEL_LENGTH_MAX} printable ASCII characters")
    if models is not None and not (0 < len(models) <= MODELS_MAX and len(set(models)) == len(models)):
        raise MalformedError("models", f"1 to {MODELS_MAX} different patterns")
    if any(len(model) > MODEL_LENGTH_MAX or not MODEL.fullmatch(model) for model in models or ()):
        raise MalformedError(
            "models",
            f"patterns like openai/gpt-4o-mini or openai/*, of at most {MODEL_LENGTH_MAX} characters",
        )


def allows(models: Sequence[str] | None, provider: str, model: str) -> bool:
    """Tell whether a list of patterns lets a model pass; None lets every one.

    A pattern with a slash is compared with `provider/model`, one without with the model's name alone.
    """
    return models is None or any(_fits(pattern, provider, model) for pattern in models)


def _fits(pattern: str, provider: str, model: str) -> bool:
    name = f"{provider}/{model}" if "/" in pattern else model
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _link(block: str) -> Link:
    raw = _decode(block)
    signature, rest = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
    public, written = rest[:_PUBLIC_BYTES], rest[_PUBLIC_BYTES:]
    caveats = _read(written)
    return Link(child_id(public), public, caveats, signature)


def _signed(root_id: str, parent: bytes, link: Link) -> bytes:
    return _DOMAIN + root_id.encode() + parent + link.public + _written(link.caveats)


def _written(caveats: Caveats) -> bytes:
    """Return caveats as canonical JSON: sorted keys, no space, ASCII, and nothing of what is absent."""
    said: dict[str, object] = {}
    if caveats.expires_ns is not None:
        said["expires"] = caveats.expires_ns // _NS_PER_SECOND
    if caveats.label:
        said["label"] = caveats.label
    if caveats.limit_nusd is not None:
        said["limit_nusd"] = caveats.limit_nusd
    if caveats.models is not None:
        said["models"] = list(caveats.models)
    return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()


def _read(raw: bytes) -> Caveats:
    """Read the caveats of a block, which must be written exactly as `_written` does it."""
    try:
        said = json.loads(raw)
    except (ValueError, RecursionError):
        _unknown()
    if not isinstance(said, dict) or type(said.get("expires")) is not int:
        _unknown()
    limit, label, models = said.get("limit_nusd"), said.get("label", ""), said.get("models")
    if limit is not None and type(limit) is not int:
        _unknown()
    if not isinstance(label, str) or not (models is None or isinstance(models, list)):
        _unknown()
    if models is not None and not all(isinstance(model, str) for model in models):
        _unknown()
    expires_ns = said["expires"] * _NS_PER_SECOND
    caveats = Caveats(limit, expires_ns, None if models is None else tuple(models), label)
    try:
        check(caveats)
    except MalformedError:
        _unknown()
    if _written(caveats) != raw:
        _unknown()
    return caveats


def _public(seed: bytes) -> bytes:
    return bytes(SigningKey(seed).verify_key)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    """Read base64url without padding; another way to write the same bytes is refused."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        _unknown()
    if _encode(raw) != text:
        _unknown()
    return raw


def _unknown() -> NoReturn:
    raise SpendGuardError(Code.KEY_UNKNOWN, "Unauthorized: this agent key is not known")
