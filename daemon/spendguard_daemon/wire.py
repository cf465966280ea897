"""The shapes of the control API (design 6), shared with the CLI: what goes over the wire, no behaviour.

Amounts: `*_cents` are whole cents (remaining rounds down, locked up), `*_usd` exact decimal strings. Times
are ISO 8601 with zone. Unknown fields are ignored on reading, so older and newer sides can talk.
"""

from datetime import UTC, datetime

import msgspec

from spendguard_daemon.errors import Fact

CONTROL_JSON_BYTES_MAX = 64 * 1024


class Health(msgspec.Struct, frozen=True):
    """`GET /health`: the daemon runs."""

    status: str = "ok"


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /ready`: whether calls would be taken, and why not; `warnings` of dangers, where there are any."""

    status: str
    reasons: list[str]
    warnings: list[str] | msgspec.UnsetType = msgspec.UNSET


class OpenApi(msgspec.Struct, frozen=True):
    """`GET /openapi.json`: the members that every such document has (OpenAPI 3.1)."""

    openapi: str
    info: dict[str, object]
    paths: dict[str, object]
    components: dict[str, object]


class AgentPolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an agent has of its own in place of `[policy]`; `allow` adds to the list there."""

    hosted_tools: str | None = None
    hosted_tool_uses: int | None = None
    server_state: str | None = None
    exact_count: str | None = None
    allow: list[str] | None = None
    on_insufficient: str | None = None
    wait_seconds: int | None = None


class ChangePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A change of an agent's policy: only what is given changes, null gives back what `[policy]` says."""

    hosted_tools: str | msgspec.UnsetType | None = msgspec.UNSET
    hosted_tool_uses: int | msgspec.UnsetType | None = msgspec.UNSET
    server_state: str | msgspec.UnsetType | None = msgspec.UNSET
    exact_count: str | msgspec.UnsetType | None = msgspec.UNSET
    allow: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    on_insufficient: str | msgspec.UnsetType | None = msgspec.UNSET
    wait_seconds: int | msgspec.UnsetType | None = msgspec.UNSET


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A call that waits for money or a lock, with no hold yet.

    `code` is what it would be refused with now, `worst_case_usd` the most that it may cost. `lacking_cents`
    is what the budget in its way (the agent's, or for daemon_cap the daemon's) lacks for that, rounded up;
    null where no top-up would help.
    """

    call_id: str
    agent_id: str
    run_id: str
    model: str
    code: str
    worst_case_usd: str
    lacking_cents: int | None = None
    since: str
    until: str


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """A budgeted identity. Money fields are absent until a budget is set.

    `restored`: it came back with a backup, and waits for `POST .../confirm`, which says what it spent since.
    `keys` counts its live keys, without those that their holders minted. `needs_key`: its id alone is not
    enough, also when no key is left.
    """

    agent_id: str
    name: str
    created_at: str
    concurrency: str
    overflow: str
    mock: bool
    frozen: bool
    frozen_reason: str | None = None
    hard_limit_cents: int | None = None
    remaining_cents: int | None = None
    remaining_usd: str | None = None
    held_usd: str | None = None
    settled_usd: str | None = None
    calls_in_flight: int = 0
    locked_run_id: str | None = None
    policy: AgentPolicy = AgentPolicy()
    restored: bool = False
    keys: int = 0
    needs_key: bool = False
    waiting: list[Waiting] = []


class Agents(msgspec.Struct, frozen=True):
    """All agents that were not deleted, oldest first."""

    agents: list[Agent]


class NewAgent(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/agents`. All is optional; `agent_id` is the answer's, never the caller's."""

    name: str | None = None
    concurrency: str | None = None
    overflow: str | None = None
    mock: bool = False
    policy: ChangePolicy | None = None


class AgentCreated(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a creation."""

    agent_id: str
    name: str
    created_at: str


class AgentDeleted(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a deletion: hidden, refusing new calls; history stays."""

    agent_id: str
    deleted: bool = True


class ChangeAgent(msgspec.Struct, frozen=True, kw_only=True):
    """`PATCH /v1/agents/{id}`: only what is given changes.

    `needs_key`: whether its id alone is refused, as it is from the first key on that an operator made for it.
    """

    name: str | None = None
    concurrency: str | None = None
    overflow: str | None = None
    frozen: bool | None = None
    reason: str | None = None
    policy: ChangePolicy | None = None
    needs_key: bool | None = None


class ConfirmRestored(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/agents/{id}/confirm`: what the agent spent between the backup and its restore; 0: nothing.

    It is charged, and the agent goes on, unless it was frozen for another reason too.
    """

    spent_usd: str
    reason: str = ""


class GrantBudget(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/agents/{id}/budget` and `POST /v1/daemon/budget`."""

    hard_limit_cents: int
    topup_cents: int | None = None


class TopUp(msgspec.Struct, frozen=True, kw_only=True):
    """`POST .../budget/topup`: adds atomically, up to the hard limit."""

    topup_cents: int


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's money now. `available_usd` is what a new call may still hold."""

    agent_id: str
    hard_limit_cents: int
    remaining_cents: int
    locked_cents: int
    locked_run_id: str | None
    locked_expires_at: str | None
    hard_limit_usd: str
    remaining_usd: str
    available_usd: str
    held_usd: str
    settled_usd: str
    funded_usd: str
    topup_applied_cents: int | None = None
    topup_ignored_cents: int | None = None
    topup_applied_usd: str | None = None
    topup_ignored_usd: str | None = None


class DaemonBudget(msgspec.Struct, frozen=True, kw_only=True):
    """The cap above all agents; all null while it is off."""

    hard_limit_cents: int | None
    remaining_cents: int | None
    remaining_usd: str | None
    held_usd: str
    settled_usd: str
    topup_applied_cents: int | None = None
    topup_ignored_cents: int | None = None
    topup_applied_usd: str | None = None
    topup_ignored_usd: str | None = None


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/agents/{id}/keys`: an agent key, as narrow as it says; all is optional.

    `limit_cents` is the most it may ever spend; `models` are patterns like `openai/*` or `claude-sonnet-*`;
    `kind` is agent, or exec for one that lives as long as a program; `run_id` the run of its calls.
    """

    label: str | None = None
    limit_cents: int | None = None
    expires_in_seconds: int | None = None
    models: list[str] | None = None
    kind: str | None = None
    run_id: str | None = None


class AgentKey(msgspec.Struct, frozen=True, kw_only=True):
    """An agent key, never its secret. `kind` is agent, exec, or child: minted by the holder of `parent_id`.

    What a child spends counts on every key above it too. Null in `limit_usd`, `expires_at` or `models` means
    that it does not narrow the key.
    """

    key_id: str
    agent_id: str
    parent_id: str | None
    kind: str
    label: str
    limit_usd: str | None
    remaining_usd: str | None
    settled_usd: str
    held_usd: str
    expires_at: str | None
    models: list[str] | None
    run_id: str | None
    created_at: str
    revoked: bool
    expired: bool


class KeyMade(AgentKey, frozen=True, kw_only=True):
    """A key with its secret, `key`, which is shown this once."""

    key: str


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to an agent's budget, or its leave to spend, when and by whom.

    `kind`: made, budget, frozen, unfrozen, settings, restored (from a backup), confirmed (what it spent since
    that backup: `spent_usd`). Of a budget: the limit since then, what was granted, what of the grant did not
    fit below the limit, what a lower limit took away.
    """

    at: str
    kind: str
    actor: str
    hard_limit_usd: str | None = None
    granted_usd: str | None = None
    ignored_usd: str | None = None
    taken_usd: str | None = None
    spent_usd: str | None = None
    reason: str | None = None


class Deeds(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /v1/agents/{id}/budget/history`, newest first.

    `whole` tells whether it goes back to the agent's making; else older deeds are in the journal alone.
    """

    deeds: list[Deed]
    whole: bool


class AgentKeys(msgspec.Struct, frozen=True):
    """The keys of an agent, oldest first."""

    keys: list[AgentKey]


class NewRun(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/agents/{id}/runs`; without `run_id` a fresh one is made."""

    run_id: str | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A group of calls of one agent."""

    run_id: str
    calls: int
    cost_usd: str
    created_at: str
    last_seen_at: str


class Runs(msgspec.Struct, frozen=True):
    """The runs at hand, newest first."""

    runs: list[Run]


CostLine = dict[str, int | str]
"""One line of a call's cost: name, quantity, unit (token | event), rate, cost_nusd.

`rate` is micro-USD per 1M tokens or per 1,000 events; `cost_nusd` is an exact decimal string of nano-USD:
lines are not rounded, their sum is, once.
"""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request to a provider and what became of it.

    `count` is above 1 where a refused call stands for others like it that are only counted. `keys` is the
    lineage of the key that it came with, the first key first; empty where it came with none. `facts` are the
    numbers of a refusal, as its body had them. Of a call in flight: `attached` tells whether its client is
    still there, `idle_seconds` how long the provider has been silent, `expires_at` when it is cut at the
    latest, however much comes until then.
    """

    call_id: str
    agent_id: str
    run_id: str
    provider: str
    endpoint: str
    model: str
    state: str
    hold_usd: str
    cost_usd: str | None
    usage: dict[str, int] | None
    lines: list[CostLine]
    changed: list[str]
    document_sha256: str | None
    http_status: int | None
    code: str | None
    reason: str | None
    created_at: str
    ended_at: str | None
    rung: str | None = None
    input_tokens_bound: int | None = None
    asked_output_tokens: int | None = None
    output_tokens_held: int | None = None
    choices: int | None = None
    count: int = 1
    keys: list[str] = []
    facts: dict[str, Fact] = {}
    attached: bool | None = None
    idle_seconds: int | None = None
    expires_at: str | None = None


class Calls(msgspec.Struct, frozen=True, kw_only=True):
    """A page of calls, newest first; `next_before` continues it."""

    calls: list[Call]
    next_before: str | None = None


class Adjust(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/calls/{id}/adjust`: set what an ended call was charged."""

    cost_usd: str
    reason: str = ""


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """A provider as configured; never its key. `key` is absent, a variable's name, or secrets.toml."""

    name: str
    base_url: str
    key: str


class Providers(msgspec.Struct, frozen=True):
    """All providers the sidecar knows."""

    providers: list[Provider]


class ProviderTest(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a free request (its model list) with the operator's key."""

    name: str
    ok: bool
    http_status: int | None
    detail: str
    remedy: str = ""


class PricingError(msgspec.Struct, frozen=True, kw_only=True):
    """Why the last look for a price document brought none."""

    code: str
    detail: str
    at: str


class Pricing(msgspec.Struct, frozen=True, kw_only=True):
    """The price document in force, and how it is kept.

    `source` is local or remote, `url` the address asked, without its query; `key_id` whose signature it
    bears, `key_ids` whose it may; `verified` is false only where nobody looks at signatures. Rates of local
    documents, and limits of all, come from the catalogue that was checked on `catalogue_checked`. `ten_fold`
    names the prices that are ten times what the document before this one said, or a tenth.
    """

    document_sha256: str
    schema: int = 2
    sequence: int
    key_id: str
    self_signed: bool
    verified: bool = True
    issued_at: str
    expires_at: str
    age_seconds: int = 0
    source: str = "local"
    url: str | None = None
    key_ids: list[str] = []
    last_error: PricingError | None = None
    next_refresh_at: str | None = None
    catalogue_checked: str = ""
    catalogue_is_old: bool = False
    warnings: list[str] = []
    ten_fold: list[str] = []
    models: list[str]


class Unconfirmed(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was charged at a bound, or above it, until a person adjusts it."""

    call_id: str
    agent_id: str
    agent_name: str
    model: str
    cost_usd: str
    reason: str
    ended_at: str
    provider: str
    state: str


class UnconfirmedAgent(msgspec.Struct, frozen=True, kw_only=True):
    """How many unconfirmed calls an agent has, and what they were charged together."""

    agent_id: str
    agent_name: str
    calls: int
    charged_usd: str


class Stranger(msgspec.Struct, frozen=True, kw_only=True):
    """Requests that were refused before an agent was known, of one program and one code, lately.

    `program` is the first word of their User-Agent, safe to show; `endpoint` what they asked for last;
    `agent_id` the agent that they named last without its key, empty for none.
    """

    code: str
    detail: str
    program: str
    provider: str
    endpoint: str
    count: int
    first_at: str
    last_at: str
    agent_id: str = ""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /v1/status`: the daemon at a glance. `warnings` are sentences for the operator.

    `state` is up, or draining: it stops, and takes no new calls. `unconfirmed_*` count all unconfirmed calls;
    `unconfirmed` shows the newest of them, `unconfirmed_agents` whose they are, the dearest first.
    `addresses` are those on loopback. At `agents_url` agent keys alone count, as at each of `listening`, the
    addresses of [access] listen; `socket` is the path of the operator's Unix socket. `keys_required`: an
    agent's id alone is enough nowhere.
    `calls_waiting` counts the calls that wait, which are not in flight; `waiting` shows the longest waiting.
    `strangers` are refused requests that named no agent, the latest first, kept in memory alone.
    `clock_skew_seconds`: how far this clock is ahead of the last server that said its time, null if none did.
    """

    state: str = "up"
    version: str
    pid: int
    started_at: str
    home: str
    addresses: list[str]
    agents_url: str | None = None
    socket: str | None = None
    listening: list[str] = []
    keys_required: bool = False
    pricing: Pricing | None
    providers: list[Provider]
    daemon_budget: DaemonBudget
    agents: int
    calls_in_flight: int
    unconfirmed_usd: str
    unconfirmed_calls: int
    settled_at_worst_at_start: int
    warnings: list[str]
    unconfirmed: list[Unconfirmed] = []
    unconfirmed_agents: list[UnconfirmedAgent] = []
    calls_waiting: int = 0
    waiting: list[Waiting] = []
    strangers: list[Stranger] = []
    clock_skew_seconds: int | None = None


class Shutdown(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/daemon/shutdown`: `now` aborts calls in flight, which settles them at worst."""

    now: bool = False


class Stopping(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a shutdown; the connection may close right after it.

    Calls in flight may go on for `grace_seconds`; those that have not ended then are charged at their hold.
    """

    status: str = "stopping"
    calls_in_flight: int = 0
    grace_seconds: int = 0


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """What every error body of ours holds beside the provider's own error shape."""

    detail: str
    spendguard: dict[str, object]


def iso(wall_ns: int) -> str:
    """Write nanoseconds since the epoch as ISO 8601 in UTC, to the microsecond."""
    seconds, rest_ns = divmod(wall_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ns // 1000:06d}Z"
