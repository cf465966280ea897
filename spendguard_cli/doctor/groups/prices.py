"""Is there a valid, signed, unexpired price document, can it be renewed, and is the clock right for it."""

from collections.abc import Iterator
from datetime import datetime

import msgspec

from spendguard_cli.doctor.findings import Check, Finding, Level, ok
from spendguard_cli.doctor.world import World
from spendguard_daemon import wire
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.setting_values import UNVERIFIED_PRICES

SKEW_SECONDS_MAX = 300
LIFE_PARTS = 10
"""With less than a tenth of its life left a document should have been replaced twice over."""

VERIFY_NAMES = "CAP_PRICING_VERIFY_SIGNATURE SPENDGUARD_PRICES_VERIFY_SIGNATURE"


def clock(world: World) -> Iterator[Finding]:
    """Compare the clock with the last server that said its time."""
    skew = world.status.clock_skew_seconds if world.status else None
    if skew is None:
        yield ok("no server has said its time yet")
    elif abs(skew) <= SKEW_SECONDS_MAX:
        yield ok("the clock is right, as far as the servers that answered can tell")
    else:
        yield Finding(
            level=Level.RED,
            finding=f"The clock of this machine is {_span(abs(skew))} {'ahead' if skew > 0 else 'behind'}",
            evidence=["compared with the Date of the last answer of a price server or a provider"],
            deed="Set the clock (timedatectl set-ntp true, or date), then:",
            remedy=["spendguard pricing refresh"],
            code=Code.PRICING_EXPIRED.value,
        )


def document(world: World) -> Iterator[Finding]:
    """Say why there are no prices: in a sidecar that runs, or for one that would be started now."""
    if world.status is not None:
        if world.status.pricing is not None:
            yield ok("there is a valid price document")
        elif world.price_error is not None:
            yield _refused(world, world.price_error, up=True)
        return
    if world.settings is None or not world.connection.local or world.ledger_is_held:
        yield ok("no sidecar answers, and its prices were not looked at")
        return
    error = _before_a_start(world)
    if error is None:
        yield ok("a sidecar that is started now would find its prices")
    else:
        yield _refused(world, error, up=False)


def _refused(world: World, error: SpendGuardError, *, up: bool) -> Finding:
    from spendguard_cli.doctor.groups.price_refusals import cause, diagnosis

    found = diagnosis(error, world.outlook, world.now_ns, up=up)
    skew = world.status.clock_skew_seconds if world.status else None
    late = cause(error)[0].code is Code.PRICING_EXPIRED
    off = skew is not None and abs(skew) > SKEW_SECONDS_MAX
    return msgspec.structs.replace(found, symptom=late and off)


def _before_a_start(world: World) -> SpendGuardError | None:
    """Return what a sidecar would die of for its prices, as far as it can be told without one."""
    outlook = world.outlook
    if outlook is None or outlook.error is not None:
        return None if outlook is None else outlook.error
    if not outlook.remote:
        return _of_overrides(world)
    return _by_the_ledger(world)


def _by_the_ledger(world: World) -> SpendGuardError | None:
    """Return what a good document is refused for that the ledger alone knows: a number, a time."""
    from spendguard_cli.doctor.groups.price_refusals import cause, is_ahead

    last = None if world.last_words is None else cause(world.last_words)[0]
    if last is not None and (last.code is Code.PRICING_ROLLBACK or is_ahead(last, world.now_ns)):
        return last
    return None


def _of_overrides(world: World) -> SpendGuardError | None:
    """Let a daemon try to sign prices of the operator's own, where there are any."""
    from spendguard_cli import supervisor

    if world.settings is None or not world.settings.price_overrides:
        return None
    try:
        supervisor.rehearse(world.home, world.env)
    except SpendGuardError as error:
        return error if error.code.value.startswith("pricing_") else None
    return None


def verification(world: World) -> Iterator[Finding]:
    """Say whether anybody's document would count, and whether prices are only this machine's own word."""
    status, verifies = world.status, world.settings is None or world.settings.price_verify_signature
    pricing = status.pricing if status else None
    insecure = status is not None and (
        UNVERIFIED_PRICES in status.warnings or (pricing is not None and not pricing.verified)
    )
    if insecure:
        yield Finding(
            level=Level.RED,
            finding="Signatures of prices are not checked: whoever answers for the price server sets them",
            evidence=[
                "the sidecar was started with --insecure-pricing and CAP_PRICING_VERIFY_SIGNATURE=false"
            ],
            remedy=[*_verify_again(world), "spendguard restart"],
        )
    elif not verifies:
        up = status is not None
        yield Finding(
            level=Level.WARNING if up else Level.RED,
            finding="Signature checks are switched off for the next start, and that alone starts no sidecar",
            evidence=["CAP_PRICING_VERIFY_SIGNATURE=false needs spendguard up --insecure-pricing as well"],
            remedy=[*_verify_again(world), "spendguard restart" if up else "spendguard up"],
            code=Code.PRICING_SIGNATURE.value,
        )
    elif pricing is not None and pricing.self_signed:
        yield Finding(
            level=Level.NOTE,
            finding="Prices are self-signed: they come from the catalogue of this installation",
            evidence=["that is the usual case on a machine without a price server; pricing show lists them"],
        )
    else:
        yield ok("signatures of prices are checked")


def _verify_again(world: World) -> list[str]:
    """Return what takes back the wish for no signatures, wherever it stands."""
    from spendguard_cli import tomlfiles

    remedy = [f"unset {VERIFY_NAMES}"] if any(name in world.env for name in VERIFY_NAMES.split()) else []
    without = {name: value for name, value in world.env.items() if name not in VERIFY_NAMES.split()}
    rows = tomlfiles.show(world.home, without).settings if world.connection.local else []
    if any(row.name == "prices.verify_signature" and row.value == "false" for row in rows):
        remedy.append("spendguard config set prices.verify_signature true")
    return remedy


def renewal(world: World) -> Iterator[Finding]:
    """Say whether the document in force is being renewed, and how long it lasts if not."""
    pricing = world.status.pricing if world.status else None
    if pricing is None:
        return
    ends = datetime.fromisoformat(pricing.expires_at)
    left = int(ends.timestamp() - world.now_ns / 1e9)
    if pricing.last_error is not None and world.price_error is not None:
        from spendguard_cli.doctor.groups.price_refusals import diagnosis

        found = diagnosis(world.price_error, world.outlook, world.now_ns, up=True)
        yield msgspec.structs.replace(
            found,
            level=Level.WARNING,
            evidence=[*found.evidence, f"the prices in force end in {_span(left)}; then no call passes"],
        )
    elif _is_late(pricing, left):
        yield Finding(
            level=Level.WARNING,
            finding=f"The price document ends in {_span(left)}, and was not renewed",
            remedy=["spendguard pricing refresh"],
        )
    else:
        yield ok("prices are renewed in time")


def _is_late(pricing: wire.Pricing, left_seconds: int) -> bool:
    life = datetime.fromisoformat(pricing.expires_at) - datetime.fromisoformat(pricing.issued_at)
    return left_seconds * LIFE_PARTS < life.total_seconds()


def catalogue(world: World) -> Iterator[Finding]:
    """Say whether rates may be out of date, or a slip."""
    pricing = world.status.pricing if world.status else None
    if pricing is None:
        return
    if pricing.catalogue_is_old:
        yield Finding(
            level=Level.WARNING,
            finding="The price catalogue is old: calls may hold too little where a provider raised a price",
            evidence=[f"it was compared with the providers' pages on {pricing.catalogue_checked}"],
            deed="Update SpendGuard, or set prices of your own ([prices.overrides] in config.toml).",
        )
    if pricing.ten_fold:
        yield Finding(
            level=Level.WARNING,
            finding="A price changed ten-fold with the last document, which may be a slip",
            evidence=pricing.ten_fold[:5],
            deed="Compare it with the provider's page; if it is wrong, ask who signs the prices.",
        )
    if not pricing.catalogue_is_old and not pricing.ten_fold:
        yield ok("prices are of late, and none changed ten-fold")


def _span(seconds: int) -> str:
    """Return a time as people say it."""
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds * 100 >= size * 99:
            number = round(seconds / size)
            return f"{number} {unit}{'' if number == 1 else 's'}"
    return f"{max(0, seconds)} s"


CHECKS: tuple[Check, ...] = (
    Check("prices.clock", "the clock that prices live by", clock),
    Check("prices.document", "the price document", document),
    Check("prices.verification", "who may set prices", verification),
    Check("prices.renewal", "the renewal of prices", renewal),
    Check("prices.catalogue", "the age of the rates", catalogue),
)
