"""Agent keys by another hand: only references/agent-keys.md and `cryptography`, nothing of SpendGuard.

python tests/support/independent_agent_keys.py > tests/vectors/agent_keys.json   writes the known answers
"""

import base64
import hashlib
import json
import sys
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

CHAINS: list[list[dict[str, Any]]] = [
    [],
    [{"expires": 1_800_000_000}],
    [{"expires": 1_800_000_000, "limit_nusd": 10_000_000, "label": "tests of the docs, #1"}],
    [
        {"expires": 1_800_000_000, "limit_nusd": 2**53 - 1, "models": ["openai/*", "claude-sonnet-*"]},
        {"expires": 1_700_000_000, "limit_nusd": 0, "models": ["openai/gpt-4o-mini"], "label": "two"},
    ],
    [{"expires": 1_800_000_000 - generation} for generation in range(8)],
]


def b64(raw: bytes) -> str:
    """Write base64url without padding."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def unb64(text: str) -> bytes:
    """Read it."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def root(key_id: str, seed: bytes) -> str:
    """Return a root key."""
    return f"sg_agent_{key_id}.{b64(seed)}"


def public_of(seed: bytes) -> bytes:
    """Return the public half."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def mint(token: str, caveats: dict[str, Any], seed: bytes) -> str:
    """Return a child of a key."""
    head, secret = token.rsplit(".", 1)
    parent = Ed25519PrivateKey.from_private_bytes(unb64(secret))
    written = json.dumps(caveats, sort_keys=True, separators=(",", ":")).encode()
    said = b"spendguard-agent-key-1\0" + head[9:25].encode() + parent.public_key().public_bytes_raw()
    said += public_of(seed) + written
    return f"{head}.{b64(parent.sign(said) + public_of(seed) + written)}.{b64(seed)}"


def lineage(token: str, root_public: bytes) -> list[dict[str, Any]] | None:
    """Return the caveats of every generation of a chain, None where it is none."""
    root_id, *blocks, secret = token.removeprefix("sg_agent_").split(".")
    parent, found = root_public, []
    for block in blocks:
        raw = unb64(block)
        said = b"spendguard-agent-key-1\0" + root_id.encode() + parent + raw[64:]
        try:
            Ed25519PublicKey.from_public_bytes(parent).verify(raw[:64], said)
        except InvalidSignature:
            return None
        parent = raw[64:96]
        found.append(json.loads(raw[96:]))
    return found if public_of(unb64(secret)) == parent else None


def vectors() -> list[dict[str, Any]]:
    """Return the known answers: seeds that anyone can make again, tokens, ids and caveats."""
    made = []
    for number, chain in enumerate(CHAINS):
        seeds = [hashlib.sha256(f"{number}/{generation}".encode()).digest() for generation in range(9)]
        root_id = hashlib.sha256(f"root {number}".encode()).hexdigest()[:16]
        token = root(root_id, seeds[0])
        links = []
        for caveats, seed in zip(chain, seeds[1:], strict=False):
            token = mint(token, caveats, seed)
            key_id = hashlib.sha256(public_of(seed)).hexdigest()[:16]
            links.append({"key_id": key_id, "seed": seed.hex(), "caveats": caveats})
        made.append(
            {
                "root_id": root_id,
                "seed": seeds[0].hex(),
                "public": public_of(seeds[0]).hex(),
                "links": links,
                "token": token,
            }
        )
    return made


if __name__ == "__main__":
    json.dump(vectors(), sys.stdout, indent=1, sort_keys=True)
    print()
