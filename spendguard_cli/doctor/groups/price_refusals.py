"""Why a price document is refused, and what takes the cause away: one finding for each code. Pure.

Whoever signs the prices says what budgets are worth. So no command here trusts a key by itself, but for the
one that stands in the code; all else is for a person to find out by another way than the price server's.
"""

import re
import shlex
from datetime import datetime

import msgspec

from spendguard_cli.doctor.findings import Finding, Level
from spendguard_cli.pricing.outlook import Outlook
from spendguard_daemon.addresses import PUBLIC_PRICES_KEY
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.text import safe

REFRESH = "spendguard pricing refresh"
RESTART = "spendguard restart"
_LAST = re.compile(
    r"^(?P<first>.*?); the last attempt to get one: (?P<last>.*) \((?P<code>pricing_[a-z]+)\)$", re.DOTALL
)
_NOT_PINNED = re.compile(r"the key (?P<key>.+?) is not pinned")
_ENDED = re.compile(r"the key (?P<key>\S+) (is revoked|was good until)")
_UNTIL = re.compile(r": it was valid until (\S+)")
_TRUSTING = "To pin a key is to trust it: whoever holds it sets your prices."


def diagnosis(error: SpendGuardError, seen: Outlook | None, now_ns: int, *, up: bool) -> Finding:
    """Return what is behind a refusal of prices, in red. `up`: a sidecar runs, and has to be told."""
    error, before = cause(error)
    seen = seen or Outlook(remote=True, url="")
    mend = REFRESH if up else "spendguard up"
    found = _ledger_ahead(mend) if is_ahead(error, now_ns) else _found(error, seen, mend)
    evidence = [*before, error.detail, *_seen(seen), *found.evidence]
    return msgspec.structs.replace(found, code=error.code.value, evidence=list(dict.fromkeys(evidence)))


def cause(error: SpendGuardError) -> tuple[SpendGuardError, list[str]]:
    """Return what the last attempt to get prices ended in, and what was said before that."""
    named = _LAST.match(error.detail)
    if named is None or named["code"] not in set(Code):
        return error, []
    return SpendGuardError(Code(named["code"]), named["last"]), [named["first"]]


def is_ahead(error: SpendGuardError, now_ns: int) -> bool:
    """Tell whether prices that are good by this clock are refused: the ledger stands at a later time."""
    until = _UNTIL.search(error.detail)
    if error.code is not Code.PRICING_EXPIRED or until is None:
        return False
    try:
        return datetime.fromisoformat(until[1]).timestamp() > now_ns / 1e9
    except ValueError:
        return False


def _ledger_ahead(mend: str) -> Finding:
    return _red(
        "The ledger stands at a time to come, as the clock was ahead once, and prices count as expired by it",
        "Ask who signs the prices for a document that is valid beyond that time (7 days at most), or wait.",
        mend,
    )


def _found(error: SpendGuardError, seen: Outlook, mend: str) -> Finding:
    match error.code:
        case Code.PRICING_SIGNATURE:
            return _signature(error.detail, seen, mend)
        case Code.PRICING_EXPIRED:
            return _expired(error.detail, seen, mend)
        case Code.PRICING_ROLLBACK:
            return _red(
                "The price server gives an older document than one that was accepted before",
                "Ask who runs it for the current document: an old one may be a replay with old prices.",
                mend,
            )
        case Code.PRICING_INVALID:
            return _invalid(error, seen, mend)
        case _:
            return _unavailable(error, seen, mend)


def _signature(detail: str, seen: Outlook, mend: str) -> Finding:
    if detail.startswith("trust.toml cannot be used"):
        return _red(
            "trust.toml, which says whose prices count, cannot be used",
            "Correct trust.toml as the next line says; half of it is not taken.",
            "spendguard pricing trust list",
            mend,
        )
    if seen.key_from or detail.startswith("The public key of the price source cannot be used"):
        return _named_key(detail, seen)
    if seen.published_signed:
        return _red(
            "The published key that signs these prices is not pinned",
            f"{_TRUSTING} Compare it with the one that its authority publishes first.",
            f"spendguard pricing trust add published {PUBLIC_PRICES_KEY}",
            mend,
        )
    ended = _ENDED.search(detail)
    if ended:
        over = "revoked" if ended[2] == "is revoked" else "over: its time has ended"
        return _red(
            f"The price document is signed with the key {safe(ended['key'])}, which is {over}",
            "Ask who signs it to sign with a key that is pinned and good, or for the new key, by another way "
            f"than the price server; spendguard pricing trust add <key id> <public key> pins it. {_TRUSTING}",
            mend,
        )
    unknown = _NOT_PINNED.search(detail)
    if unknown or "no key is pinned" in detail:
        who = f"the key {safe(unknown['key'])}, which" if unknown else "a key that"
        return _red(
            f"The price document is signed with {who} is not pinned",
            "Ask who signs it for the public key, by another way than the price server, then type: "
            f"spendguard pricing trust add <key id> <public key>. {_TRUSTING}",
            mend,
        )
    if "pinned keys signed it" in detail:
        return _red(
            "Too few of the pinned keys have signed the price document",
            "Ask for a document that as many keys have signed as trust.toml asks for.",
            mend,
        )
    return _red(
        "The price document does not bear the signature of the pinned key: it was changed after signing, "
        "or signed with another key of that name",
        "Ask who runs the price server, by another way than that server; pin no other key before you know.",
        mend,
    )


def _named_key(detail: str, seen: Outlook) -> Finding:
    """A key of a setting counts in place of trust.toml, and it is none, or not that of the signer."""
    malformed = detail.startswith("The public key of the price source cannot be used")
    name = seen.key_from or "CAP_PRICING_SIGNING_PUBLIC_KEY"
    told = "is no public key" if malformed else "is not the key that the price document is signed with"
    if seen.better_without_key:
        keys = ("SPENDGUARD_PRICES_PUBLIC_KEY", "CAP_PRICING_SIGNING_PUBLIC_KEY")
        return _red(f"{name} {told}; the keys of trust.toml would do", "", f"unset {' '.join(keys)}", RESTART)
    if name == "config.toml":
        return _red(
            f"[prices] public_key of config.toml {told}",
            f"Without it trust.toml counts; its keys: spendguard pricing trust list. {_TRUSTING}",
            "spendguard config set prices.public_key ''",
            RESTART,
        )
    more = "" if malformed else ", or the document was changed after it was signed"
    return _red(
        f"{name} {told}{more}",
        f"Ask who signs it for the public key, by another way than the price server, and export it as {name}"
        f" (base64 of 32 bytes, 44 characters), then type: {RESTART}. {_TRUSTING}",
    )


def _expired(detail: str, seen: Outlook, mend: str) -> Finding:
    if not seen.remote:
        return _red("The prices that this machine signed for itself have expired", "", mend)
    if ": it is valid from " in detail:
        return _red(
            "The price document is valid only from a time that has not come",
            "Compare this machine's clock (date -u) with the right time; else ask who runs the price server.",
            mend,
        )
    return _red(
        "The price document has expired, and the price server gives no newer one",
        "Ask who runs it for a document of today; if the clock of this machine is off (date -u), set it.",
        mend,
    )


def _invalid(error: SpendGuardError, seen: Outlook, mend: str) -> Finding:
    if not seen.remote:
        return _red(
            "The prices of your own in config.toml cannot be signed",
            error.remedy or "Correct [prices.overrides] in config.toml.",
            RESTART,
        )
    if seen.schema != "any" and "expected schema" in error.detail:
        return _red(
            f"The price document is not of schema {seen.schema}, which is asked for",
            "CAP_PRICING_SCHEMA_VERSION ([prices] schema) says which one is taken; any takes both.",
            "unset CAP_PRICING_SCHEMA_VERSION SPENDGUARD_PRICES_SCHEMA",
            "spendguard config set prices.schema any",
            RESTART,
        )
    return _red(
        "The price server gives something that is no valid price document",
        "Ask who runs it, and check that CAP_PRICING_URL names the document itself.",
        mend,
    )


def _unavailable(error: SpendGuardError, seen: Outlook, mend: str) -> Finding:
    if "no address is set" in error.detail:
        return _red(
            "Prices are to come from a price server, and none is named",
            "Export CAP_PRICING_URL, or take the public document: spendguard restart --strict.",
            "spendguard restart --strict",
        )
    if not error.detail.startswith("Remote pricing request failed"):
        return _red("There is no price document that may be used", "", mend)
    where = f" at {seen.url}" if seen.url else ""
    return _red(
        f"The price server{where} gives no document",
        "Check CAP_PRICING_URL ([prices] url), the network, and the price server itself.",
        mend,
    )


def _red(finding: str, deed: str, *remedy: str) -> Finding:
    return Finding(level=Level.RED, finding=finding, deed=deed, remedy=list(remedy))


def _seen(seen: Outlook) -> list[str]:
    """Return what the document says of itself, beside what this home trusts."""
    told = []
    if seen.named:
        told.append(f"the document names {', '.join(map(shlex.quote, seen.named))}")
    if seen.named or seen.pinned:
        told.append(f"pinned here: {', '.join(seen.pinned) or 'no key'}")
    return told
