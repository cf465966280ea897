"""The two refusals that readers of requests share: no bound, and no rate. Words only."""

from spendguard_daemon.errors import Code, SpendGuardError


def unbounded(path: str, feature: str) -> SpendGuardError:
    """Return the refusal of a feature whose cost has no bound before the call; names where it stands."""
    return SpendGuardError(
        Code.UNBOUNDED_FEATURE,
        f"Unbounded feature: {path}: the cost of {feature} has no upper bound before the call",
        remedy=f"leave {path} out",
        facts={"path": path, "feature": feature},
    )


def unpriced(path: str, dimension: str) -> SpendGuardError:
    """Return the refusal of something that is billed at a rate no card has; names where it stands."""
    return SpendGuardError(
        Code.UNPRICED_DIMENSION,
        f"Unpriced dimension: {path}: {dimension}",
        remedy=f"leave {path} out",
        facts={"path": path, "dimension": dimension},
    )
