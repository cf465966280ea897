"""What can go wrong, as values: a code, a sentence, a remedy, and the numbers behind them.

Knows no HTTP, no exit codes, no terminal: `codes.py` holds that table, `gateway.respond` and the CLI apply
it, each in one place.
"""

from collections.abc import Mapping
from enum import StrEnum

Fact = str | int | bool | None | list[str]
"""What a refusal may carry as evidence: plain JSON scalars, never a float."""


class Code(StrEnum):
    """Every refusal and failure that SpendGuard itself utters. `codes.TABLE` has one row for each."""

    # 402: the money does not fit
    INSUFFICIENT_BUDGET = "insufficient_budget"
    BUDGET_NOT_SET = "budget_not_set"
    AGENT_FROZEN = "agent_frozen"
    DAEMON_CAP = "daemon_cap"
    KEY_LIMIT = "key_limit"
    BUDGET_HELD = "budget_held"
    # 409: another run, or the same request, is under way
    BUDGET_LOCKED = "budget_locked"
    POLICY_CHANGED = "policy_changed"
    IDEMPOTENCY_IN_FLIGHT = "idempotency_in_flight"
    IDEMPOTENCY_DONE = "idempotency_done"
    IDEMPOTENCY_MISMATCH = "idempotency_mismatch"
    # 400: we cannot read it, price it or bound it
    MISSING_AGENT = "missing_agent"
    MALFORMED_REQUEST = "malformed_request"
    UNKNOWN_MODEL = "unknown_model"
    UNPRICED_DIMENSION = "unpriced_dimension"
    UNBOUNDED_FEATURE = "unbounded_feature"
    FOREIGN_STATE = "foreign_state"
    SUBSCRIPTION_TOKEN = "subscription_token"  # noqa: S105 (a name)
    # 401, 403, 404, 413, 415, 421, 429: who, from where, what, how large
    UNAUTHORIZED = "unauthorized"
    KEY_UNKNOWN = "key_unknown"
    KEY_EXPIRED = "key_expired"
    KEY_REQUIRED = "key_required"
    KEY_SCOPE = "key_scope"
    KEYS_TOO_MANY = "keys_too_many"
    KEY_NOT_FOUND = "key_not_found"
    IDENTITY_CONFLICT = "identity_conflict"
    FORBIDDEN_ORIGIN = "forbidden_origin"
    MOCK_ONLY = "mock_only"
    AGENT_NOT_FOUND = "agent_not_found"
    BUDGET_NOT_FOUND = "budget_not_found"
    CALL_NOT_FOUND = "call_not_found"
    CALL_NOT_OPEN = "call_not_open"
    ROUTE_NOT_FOUND = "route_not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    BODY_TOO_LARGE = "body_too_large"
    UNSUPPORTED_MEDIA = "unsupported_media"
    MISDIRECTED_HOST = "misdirected_host"
    RATE_LIMITED = "rate_limited"
    # 5xx: upstream, prices, keys, disk, ourselves
    UPSTREAM_FAILED = "upstream_failed"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    PRICING_UNAVAILABLE = "pricing_unavailable"
    PRICING_SIGNATURE = "pricing_signature"
    PRICING_INVALID = "pricing_invalid"
    PRICING_EXPIRED = "pricing_expired"
    PRICING_ROLLBACK = "pricing_rollback"
    PROVIDER_KEY_MISSING = "provider_key_missing"
    PROVIDER_KEY_REJECTED = "provider_key_rejected"
    SHUTTING_DOWN = "shutting_down"
    CONNECTIONS_FULL = "connections_full"
    INTERNAL = "internal"
    # the ledger and the home
    LEDGER_DAMAGED = "ledger_damaged"
    LEDGER_LOCKED = "ledger_locked"
    LEDGER_NEWER = "ledger_newer"
    LEDGER_FULL = "ledger_full"
    RESTORE_UNCONFIRMED = "restore_unconfirmed"
    LEDGER_REFUSED = "ledger_refused"
    DISK_FAILED = "disk_failed"
    HOME_UNSAFE = "home_unsafe"
    PORT_TAKEN = "port_taken"
    # the command line's own
    USAGE = "usage"
    NO_DAEMON = "no_daemon"
    UNPROVEN_DAEMON = "unproven_daemon"
    AMBIGUOUS_NAME = "ambiguous_name"
    NOT_ALLOWED = "not_allowed"
    EXEC_FAILED = "exec_failed"


class SpendGuardError(Exception):
    """A refusal or failure with its code, one sentence of cause, and what to do next.

    `detail` begins with the fixed text of the code (`codes.TABLE[code].title`) where a client may match on
    it. `facts` are numbers and names for machines; money in them is named `*_nusd` or `*_usd`.
    """

    def __init__(self, code: Code, detail: str, *, remedy: str = "", facts: Mapping[str, Fact] | None = None):
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.remedy = remedy
        self.facts: dict[str, Fact] = dict(facts or {})

    def __repr__(self) -> str:
        return f"SpendGuardError({self.code.value}: {self.detail})"


class MalformedError(SpendGuardError):
    """Something does not have the form it must have; says where (`path`) and what was expected."""

    def __init__(self, path: str, expected: str, *, code: Code = Code.MALFORMED_REQUEST, remedy: str = ""):
        super().__init__(
            code,
            f"Malformed request: {path}: expected {expected}",
            remedy=remedy,
            facts={"path": path, "expected": expected},
        )
