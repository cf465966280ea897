"""The refusals that readers of requests share: no bound, no rate, not on a list. Words only.

Each names the feature, and the setting by which an operator lets it through, where there is one.
"""

from spendguard_daemon.errors import Code, Fact, MalformedError, SpendGuardError

HOSTED_TOOLS_ALLOW = '[policy] hosted_tools = "allow"'
HOSTED_TOOLS_STRIP = '[policy] hosted_tools = "strip"'
SERVER_STATE_WINDOW = '[policy] server_state = "window"'


def allow(feature: str) -> str:
    """Return the setting that widens an allow-list by one feature."""
    return f"[policy] allow: {feature}"


def unbounded(path: str, feature: str, setting: str = "") -> SpendGuardError:
    """Return the refusal of a feature whose cost has no bound before the call; names where it stands."""
    return SpendGuardError(
        Code.UNBOUNDED_FEATURE,
        f"Unbounded feature: {path}: the cost of {feature} has no upper bound before the call",
        remedy=_remedy(path, setting),
        facts=_facts(path, setting, feature=feature),
    )


def unpriced(path: str, dimension: str) -> SpendGuardError:
    """Return the refusal of something that is billed at a rate no card has; names where it stands."""
    return SpendGuardError(
        Code.UNPRICED_DIMENSION,
        f"Unpriced dimension: {path}: {dimension}",
        remedy=_remedy(path, ""),
        facts=_facts(path, "", dimension=dimension),
    )


def unlisted(path: str, expected: str, feature: str) -> MalformedError:
    """Return the refusal of what no allow-list of ours names: it may be new, it may be dear."""
    refusal = MalformedError(path, expected, remedy=_remedy(path, allow(feature)))
    refusal.facts |= {"feature": feature, "setting": allow(feature)}
    return refusal


def _facts(path: str, setting: str, **named: Fact) -> dict[str, Fact]:
    return {"path": path, **named} | ({"setting": setting} if setting else {})


def _remedy(path: str, setting: str) -> str:
    return f"leave {path} out" + (f", or have your operator set {setting}" if setting else "")
