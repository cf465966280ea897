"""How a document is made of what an operator named: the bundle, a file of content, or a file signed before.

A recipe reads bytes and makes a document of them; whether to, and when, is for `sign` and for the server.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from spendguard_cli.pricing import contents, signing, sources
from spendguard_cli.pricing.signing import Signed
from spendguard_daemon import canonical
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.pricing import trust
from spendguard_daemon.pricing.authority import Authority
from spendguard_daemon.runtime import Home

BUNDLE = "the bundled catalogue"


@dataclass(frozen=True, slots=True)
class Recipe:
    """`make(content, sequence, now_ns, lifetime_seconds)` returns a document of what `read` returned."""

    read: Callable[[], bytes]
    make: Callable[[bytes, int, int, int], Signed]


def of_bundle(home: Home, env: Mapping[str, str], keys: Sequence[Authority]) -> Recipe:
    """Sign what this home's own authority would sign; a changed config.toml is changed content."""
    return Recipe(lambda: canonical.dumps(contents.bundled(home, env)), _signer(BUNDLE, keys))


def of_content(path: str, keys: Sequence[Authority], schema: int) -> Recipe:
    """Sign a file of content; raise USAGE where schema 1 has more than its one signature."""
    if schema == 1 and len(keys) > 1:
        raise SpendGuardError(
            Code.USAGE,
            "--key: a document of schema 1 has one signature",
            remedy="name one key, or sign schema 2",
        )
    make = _schema1_signer(path, keys[0]) if schema == 1 else _signer(path, keys)
    return Recipe(lambda: sources.read_file(path), make)


def of_signed(path: str) -> Recipe:
    """Take a signed file as it is: only its form and its times are checked, for whoever trusts its key."""

    def make(raw: bytes, _: int, now_ns: int, __: int) -> Signed:
        return Signed(raw, trust.read_unverified(raw, now_ns=now_ns, high_water=None))

    return Recipe(lambda: sources.read_file(path), make)


def _signer(where: str, keys: Sequence[Authority]) -> Callable[[bytes, int, int, int], Signed]:
    def make(content: bytes, sequence: int, now_ns: int, seconds: int) -> Signed:
        providers = (
            contents.load(content, where) if where == BUNDLE else contents.providers_of(content, where)
        )
        return signing.sign(providers, keys, sequence=sequence, now_ns=now_ns, seconds=seconds)

    return make


def _schema1_signer(where: str, key: Authority) -> Callable[[bytes, int, int, int], Signed]:
    def make(content: bytes, _: int, now_ns: int, seconds: int) -> Signed:
        return signing.sign_schema1(contents.load(content, where), key, now_ns=now_ns, seconds=seconds)

    return make
