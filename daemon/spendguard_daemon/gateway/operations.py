"""What each route takes, answers and refuses: the one table behind `/openapi.json`. Pure, no behaviour.

A new control route gets its row in `CONTROL`, under the name that it has in the table of `routes`; a test
fails until it is there. What all routes of a kind refuse is added by kind (`refusals`), so that a row names
only what is its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from spendguard_daemon import wire
from spendguard_daemon.errors import Code
from spendguard_daemon.gateway.daemon_control import GrantDaemonBudget
from spendguard_daemon.gateway.routes import OPEN, OWN_READS, control_patterns

Shape = type[msgspec.Struct]

ANYWHERE = frozenset(
    {
        Code.MALFORMED_REQUEST,
        Code.MISDIRECTED_HOST,
        Code.FORBIDDEN_ORIGIN,
        Code.CONNECTIONS_FULL,
        Code.INTERNAL,
    }
)
"""Of every route: what is no HTTP, has a query that it does not take, comes from elsewhere, finds no room, or
fails here."""

BODY = frozenset({Code.BODY_TOO_LARGE, Code.UNSUPPORTED_MEDIA})
WRITE = frozenset({Code.DISK_FAILED, Code.LEDGER_FULL, Code.SHUTTING_DOWN})
REPEAT = frozenset({Code.IDEMPOTENCY_MISMATCH})
AGENT = frozenset({Code.AGENT_NOT_FOUND})
BUDGET = AGENT | {Code.BUDGET_NOT_FOUND}
CALL = frozenset({Code.CALL_NOT_FOUND})
KEY = AGENT | {Code.KEY_NOT_FOUND}
PRICES = frozenset({Code.PRICING_UNAVAILABLE, Code.PRICING_EXPIRED})
"""Of whatever needs a price document in force."""

DOCUMENT = frozenset({Code.PRICING_INVALID, Code.PRICING_SIGNATURE, Code.PRICING_ROLLBACK})
"""Why a document that was found is not taken."""

IDENTITY = frozenset(
    {
        Code.UNAUTHORIZED,
        Code.KEY_UNKNOWN,
        Code.KEY_EXPIRED,
        Code.KEY_REQUIRED,
        Code.KEYS_TOO_MANY,
        Code.IDENTITY_CONFLICT,
        Code.SUBSCRIPTION_TOKEN,
        Code.AGENT_NOT_FOUND,
        Code.RATE_LIMITED,
    }
)
"""Of whatever an agent asks for: who it is, and its share."""

READER = frozenset(
    {Code.KEY_UNKNOWN, Code.KEY_EXPIRED, Code.KEY_REQUIRED, Code.IDENTITY_CONFLICT, Code.RATE_LIMITED}
)
"""Of what an agent may read of itself, by its key."""

PROVIDER = frozenset(
    {Code.UPSTREAM_UNREACHABLE, Code.PROVIDER_KEY_MISSING, Code.PROVIDER_KEY_REJECTED, Code.RATE_LIMITED}
)
CONTENT = frozenset({Code.UNPRICED_DIMENSION, Code.UNBOUNDED_FEATURE, Code.FOREIGN_STATE, Code.MOCK_ONLY})
MONEY = frozenset(
    {
        Code.AGENT_FROZEN,
        Code.BUDGET_NOT_SET,
        Code.INSUFFICIENT_BUDGET,
        Code.DAEMON_CAP,
        Code.KEY_LIMIT,
        Code.BUDGET_HELD,
        Code.BUDGET_LOCKED,
        Code.POLICY_CHANGED,
    }
)
"""Why a call gets no hold, or lost it after it waited."""

REPEATED = REPEAT | {Code.IDEMPOTENCY_IN_FLIGHT, Code.IDEMPOTENCY_DONE}
CALLED = frozenset(
    {
        Code.MISSING_AGENT,
        Code.KEY_SCOPE,
        Code.UNKNOWN_MODEL,
        Code.UPSTREAM_FAILED,
        Code.UPSTREAM_TIMEOUT,
    }
)
"""What else may become of a call."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One route. `answer` None: what the provider answers, or plain text; `refuses` is its own only.

    `asks` is the shape of its body. `repeats`: an Idempotency-Key makes it happen once. `also` are answers
    with another status that are no refusals. `relays`: the provider's own errors are passed on.
    """

    summary: str
    answer: Shape | None = None
    refuses: frozenset[Code] = frozenset()
    asks: Shape | None = None
    repeats: bool = False
    also: Mapping[int, Shape] = field(default_factory=dict)
    relays: bool = False


CONTROL: Mapping[str, Operation] = {
    "health": Operation("Whether the sidecar runs; proves which one it is to who sends a nonce", wire.Health),
    "ready": Operation("Whether calls would be taken now", wire.Ready, also={503: wire.Ready}),
    "openapi": Operation("This document", wire.OpenApi),
    "metrics": Operation("Money, calls and refusals in the text format of Prometheus, 0.0.4"),
    "status": Operation("The daemon at a glance", wire.Status),
    "events": Operation("What happens, as it happens: a snapshot, then every change (server-sent events)"),
    "list_agents": Operation("All agents", wire.Agents),
    "create_agent": Operation(
        "Make an agent", wire.AgentCreated, WRITE | REPEAT, asks=wire.NewAgent, repeats=True
    ),
    "get_agent": Operation("One agent with its money", wire.Agent, AGENT),
    "change_agent": Operation(
        "Change, freeze or unfreeze an agent",
        wire.Agent,
        AGENT | WRITE | {Code.RESTORE_UNCONFIRMED},
        asks=wire.ChangeAgent,
    ),
    "delete_agent": Operation("Delete an agent; its history stays", wire.AgentDeleted, AGENT | WRITE),
    "confirm_agent": Operation(
        "Say what an agent spent between a backup and its restore",
        wire.Agent,
        AGENT | WRITE,
        asks=wire.ConfirmRestored,
    ),
    "get_budget": Operation("An agent's money now", wire.Budget, BUDGET),
    "grant_budget": Operation(
        "Set an agent's limit, with or without a top-up",
        wire.Budget,
        AGENT | WRITE | REPEAT,
        asks=wire.GrantBudget,
        repeats=True,
    ),
    "top_up": Operation(
        "Add money up to the limit", wire.Budget, BUDGET | WRITE | REPEAT, asks=wire.TopUp, repeats=True
    ),
    "list_deeds": Operation("What was done to an agent's budget lately, newest first", wire.Deeds, AGENT),
    "list_runs": Operation("The runs of an agent that are at hand", wire.Runs, AGENT),
    "create_run": Operation("Name a run", wire.Run, AGENT, asks=wire.NewRun, repeats=True),
    "list_calls": Operation("A page of an agent's calls, newest first", wire.Calls, AGENT),
    "get_call": Operation("One call and what it cost", wire.Call, CALL),
    "abort_call": Operation(
        "Cut a call in flight; it is charged at its hold", wire.Call, CALL | WRITE | {Code.CALL_NOT_OPEN}
    ),
    "adjust_call": Operation(
        "Correct what an ended call was charged",
        wire.Call,
        CALL | WRITE | REPEAT | {Code.CALL_NOT_OPEN},
        asks=wire.Adjust,
        repeats=True,
    ),
    "list_keys": Operation("The keys of an agent, without their secrets", wire.AgentKeys, AGENT),
    "create_key": Operation(
        "Make a key of an agent; the answer alone has the secret",
        wire.KeyMade,
        AGENT | WRITE | REPEAT | {Code.IDEMPOTENCY_DONE, Code.KEYS_TOO_MANY, Code.KEY_EXPIRED},
        asks=wire.NewKey,
        repeats=True,
    ),
    "get_key": Operation("One key and what was spent with it", wire.AgentKey, KEY),
    "revoke_key": Operation("End a key, and those that were made from it", wire.AgentKey, KEY | WRITE),
    "rotate_key": Operation(
        "Give a key a new secret; those made from the old one end", wire.KeyMade, KEY | WRITE
    ),
    "get_pricing": Operation("The price document in force", wire.Pricing, PRICES),
    "refresh_pricing": Operation("Look for newer prices now", wire.Pricing, PRICES | DOCUMENT | WRITE),
    "get_daemon_budget": Operation("The cap above all agents", wire.DaemonBudget),
    "grant_daemon_budget": Operation(
        "Set or lift the cap above all agents",
        wire.DaemonBudget,
        WRITE | REPEAT,
        asks=GrantDaemonBudget,
        repeats=True,
    ),
    "top_up_daemon": Operation(
        "Add money to the cap above all agents",
        wire.DaemonBudget,
        WRITE | REPEAT | {Code.BUDGET_NOT_FOUND},
        asks=wire.TopUp,
        repeats=True,
    ),
    "shutdown": Operation("Stop the daemon", wire.Stopping, asks=wire.Shutdown),
    "list_providers": Operation("The providers, and whether there is a key for each", wire.Providers),
    "reload_providers": Operation("Read the provider keys anew", wire.Providers),
    "test_provider": Operation(
        "Ask a provider for its models with the operator's key",
        wire.ProviderTest,
        frozenset({Code.PROVIDER_KEY_MISSING}),
    ),
}
"""The routes of operators, by their names in `routes`."""

MODEL: Mapping[str, Operation] = {
    "root": Operation("A line of text, for who looks whether somebody is there"),
    "call": Operation(
        "A model call within the agent's budget, in the provider's own format",
        refuses=IDENTITY | BODY | WRITE | PRICES | PROVIDER | CONTENT | MONEY | REPEATED | CALLED,
        repeats=True,
        relays=True,
    ),
    "count": Operation(
        "How many tokens a request has; free, as the provider counts",
        refuses=IDENTITY | BODY | PROVIDER | CONTENT | {Code.MISSING_AGENT},
        relays=True,
    ),
    "models": Operation(
        "The models that can be called here, in the asker's format", refuses=IDENTITY | PRICES
    ),
    "model": Operation(
        "One model, in the asker's format",
        refuses=IDENTITY | PRICES | {Code.ROUTE_NOT_FOUND, Code.METHOD_NOT_ALLOWED},
    ),
}
"""The routes of agents, by kind. A model may be named so that its path is another route: hence the 405."""


_WITH_BODY = {name for pattern, name in control_patterns().items() if pattern.startswith(("POST ", "PATCH "))}
"""Whose bodies are read, and may be wrong, also where nothing is asked for."""


def refusals(name: str, *, has_parameters: bool) -> frozenset[Code]:
    """Return every code that a route may give. An id that is none, in a path, makes it another's."""
    codes = ANYWHERE | ({Code.ROUTE_NOT_FOUND} if has_parameters else frozenset())
    if name in MODEL:
        return codes | MODEL[name].refuses
    row = CONTROL[name]
    codes |= row.refuses | (BODY if name in _WITH_BODY else frozenset())
    codes |= READER if name in OWN_READS else frozenset()
    return codes if name in OPEN else codes | {Code.UNAUTHORIZED}
