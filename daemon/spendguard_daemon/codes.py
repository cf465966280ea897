"""The one table of refusals and failures: status, exit code, fixed text, cause, and what to do next.

HTTP answers, CLI messages, `doctor` and the error playbook read it; nothing else maps a code to anything.
Agents read the bodies of refusals, so `agent_remedy` never names a command that raises money; those stand in
`operator_remedy`, which only operator surfaces show. Source of the statuses and headers: design 6.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum

from spendguard_daemon.errors import Code


class Exit(IntEnum):
    """The exit codes of the command line and the daemon (design 9)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NO_DAEMON = 3
    NOT_FOUND = 4
    NOT_ALLOWED = 5
    BUDGET = 6
    LOCKED = 7
    PRICING = 8
    DISK = 74
    LEDGER = 78
    EXEC = 125
    INTERRUPTED = 130


class Money(Enum):
    """What a refusal or failure did to the agent's money."""

    NOTHING = "nothing was charged"
    HOLD = "the call was charged at its hold, until an operator corrects it"
    FIRST = "this request was charged nothing; what the first one cost is in the body"
    SAID = "the body says it, as charged_usd"
    RECORD = "the record of the call says it: spendguard explain <call>"


@dataclass(frozen=True, slots=True)
class Entry:
    """One code. `retry` becomes `x-should-retry`; None leaves it to what `respond` knows.

    `money` is what it did to the agent's money.
    """

    status: int
    exit: Exit
    title: str
    cause: str
    agent_remedy: str
    operator_remedy: str
    retry: bool | None = False
    money: Money = Money.NOTHING


_ASK = "Ask your operator, naming the call id."

NOTHING_FITS = "Send a shorter prompt, as no max_tokens fits. " + _ASK
"""The remedy of INSUFFICIENT_BUDGET for an agent whose budget pays for no output at all."""

TABLE: dict[Code, Entry] = {
    Code.INSUFFICIENT_BUDGET: Entry(
        402,
        Exit.BUDGET,
        "Insufficient budget",
        "The most this call can cost does not fit what remains of the agent's budget.",
        "Send a smaller max_tokens (the body names the largest that fits), a shorter prompt, or the model "
        f"that the body names as cheaper_model. {_ASK}",
        "spendguard budget topup --agent <agent> --amount <cents>",
    ),
    Code.BUDGET_NOT_SET: Entry(
        402,
        Exit.BUDGET,
        "No budget is set for this agent",
        "The agent exists, but no money was ever granted to it.",
        _ASK,
        "spendguard budget set --agent <agent> --limit <cents>",
    ),
    Code.AGENT_FROZEN: Entry(
        402,
        Exit.BUDGET,
        "Agent is frozen",
        "An operator, or an overrun, stopped this agent.",
        "Stop calling. " + _ASK,
        "spendguard agent unfreeze <agent>",
    ),
    Code.DAEMON_CAP: Entry(
        402,
        Exit.BUDGET,
        "The daemon-wide budget is used up",
        "The cap above all agents leaves less than this call can cost.",
        _ASK,
        "spendguard budget daemon topup --amount <cents>",
    ),
    Code.KEY_LIMIT: Entry(
        402,
        Exit.BUDGET,
        "The key's limit is reached",
        "The most this call can cost fits the agent's budget, but not what is left of the key it came with.",
        "Send a smaller max_tokens, a shorter prompt, or the model that the body names as cheaper_model, "
        f"or use a key with more left. {_ASK}",
        "a key's limit cannot be changed, make another one: spendguard agent key <agent> --limit <cents>",
    ),
    Code.BUDGET_HELD: Entry(
        402,
        Exit.BUDGET,
        "Budget is held by calls in flight",
        "The call fits what remains, but not what is free while other calls are running.",
        "Wait for your other calls to end, then send it again.",
        "wait, as calls in flight give back what they did not use: spendguard status; or add the "
        "money: spendguard budget topup --agent <agent> --amount <cents>",
        retry=None,
    ),
    Code.BUDGET_LOCKED: Entry(
        409,
        Exit.LOCKED,
        "Agent budget is locked by an in-flight run",
        "Another run of the same agent has calls in flight, and the agent's concurrency is exclusive.",
        "Wait and send it again, or use the same x-cynsta-run-id as the holder.",
        "let runs of the agent overlap: spendguard agent set <agent> --concurrency shared; or give "
        "both programs one run: spendguard exec --agent <agent> --run-id <run> -- <command>; or wait "
        "for the holder: spendguard agent get <agent>",
        retry=None,
    ),
    Code.POLICY_CHANGED: Entry(
        409,
        Exit.LOCKED,
        "The agent's settings changed while the call waited",
        "The call was read by settings that an operator has changed since; nothing of it was sent.",
        "Send it again.",
        "nothing to do, the settings in force are shown by: spendguard agent get <agent>",
        retry=True,
    ),
    Code.IDEMPOTENCY_IN_FLIGHT: Entry(
        409,
        Exit.LOCKED,
        "A request with this Idempotency-Key is in flight",
        "The first request with this key has not ended yet; a second one would be paid twice.",
        "Wait for the first request; if its answer is lost, send it again with a new key.",
        "wait for the call that the body names as first_call_id: spendguard explain <call>",
        retry=True,
        money=Money.FIRST,
    ),
    Code.IDEMPOTENCY_DONE: Entry(
        409,
        Exit.FAILED,
        "The request with this Idempotency-Key was done",
        "The call was forwarded and charged; its answer is not kept, so it cannot be given again.",
        "Use a new key if you want to pay for another answer.",
        "use a new key; the body names the first call, and what it cost: spendguard explain <call>",
        money=Money.FIRST,
    ),
    Code.IDEMPOTENCY_MISMATCH: Entry(
        409,
        Exit.USAGE,
        "This Idempotency-Key was used for another request",
        "A key stands for one request; this body is not the one that was sent with it first.",
        "Use a new key for a new request.",
        "use a new key for a new request",
        money=Money.FIRST,
    ),
    Code.MISSING_AGENT: Entry(
        400,
        Exit.USAGE,
        "Missing x-cynsta-agent-id header",
        "The call names no agent, so there is no budget to hold.",
        "Send your agent key where the SDK puts its key, or x-cynsta-agent-id, or use the base URL "
        "/v1/agents/<agent_id>/runs/<run_id>/<provider>.",
        "make a key: spendguard agent key <agent>; see the ids: spendguard agent list",
    ),
    Code.MALFORMED_REQUEST: Entry(
        400,
        Exit.USAGE,
        "Malformed request",
        "The request is not of the form that the provider documents, or that this API has.",
        "Correct the field named in the body.",
        "correct the field named in the message",
    ),
    Code.UNKNOWN_MODEL: Entry(
        400,
        Exit.USAGE,
        "Unknown model for pricing",
        "The price document has no card for this model, so its cost cannot be bounded.",
        "Use a model that has a price: the body names those of a similar name as near_models, and "
        "GET /v1/models lists all.",
        "see the priced models: spendguard pricing show; add one under [prices.overrides] in "
        "config.toml, then: spendguard restart",
    ),
    Code.UNPRICED_DIMENSION: Entry(
        400,
        Exit.USAGE,
        "Unpriced dimension",
        "The request can be billed at a rate that the model's card lacks.",
        "Leave out the feature that the body names.",
        "use a model whose card has the rate, the cards are shown by: spendguard pricing show",
    ),
    Code.UNBOUNDED_FEATURE: Entry(
        400,
        Exit.USAGE,
        "Unbounded feature",
        "The request uses a feature whose cost has no upper bound that can be computed before the call.",
        "Leave out the feature that the body names.",
        "leave the feature out, or set what the body names as `setting`: spendguard config set "
        "<setting> <value>; for a feature of a list: spendguard config allow <feature>; then: spendguard "
        "restart; or for one agent, at once: spendguard agent set <agent> --allow <feature>",
    ),
    Code.FOREIGN_STATE: Entry(
        400,
        Exit.USAGE,
        "Foreign state",
        "The request goes on from an answer that no call of this agent got, as far as is kept at hand.",
        "Send the history in the request itself, or go on from an answer that you got here lately.",
        "send the history in the request itself; answers of other agents are never gone on from",
    ),
    Code.SUBSCRIPTION_TOKEN: Entry(
        400,
        Exit.USAGE,
        "Subscription tokens cannot be used",
        "The program is logged in with a plan (Claude or ChatGPT), which is not billed by the token.",
        "Log out of the plan and use an agent key, or any value, where the API key goes. " + _ASK,
        "take the plan's token out of the way: spendguard exec --agent <agent> -- <command>",
    ),
    Code.UNAUTHORIZED: Entry(
        401,
        Exit.NOT_ALLOWED,
        "Unauthorized",
        "The route needs the admin token, and it was missing or wrong.",
        "This route is for operators.",
        "send the token of $SPENDGUARD_HOME/admin.token as Authorization: Bearer, or set CAP_API_KEY",
    ),
    Code.KEY_UNKNOWN: Entry(
        401,
        Exit.NOT_ALLOWED,
        "Unauthorized: this agent key is not known",
        "The agent key was never made here, was rotated or revoked, or is not the whole key.",
        "Use the key that you were given, whole. " + _ASK,
        "see its keys: spendguard agent key <agent> --list; make a new one: spendguard agent key <agent>",
    ),
    Code.KEY_EXPIRED: Entry(
        401,
        Exit.NOT_ALLOWED,
        "Unauthorized: this agent key has expired",
        "The key, or one that it was made from, was good until a time that is over.",
        _ASK,
        "make a new one, for as long as you say: spendguard agent key <agent> --expires 7d",
    ),
    Code.KEY_REQUIRED: Entry(
        401,
        Exit.NOT_ALLOWED,
        "Unauthorized: this agent needs its key",
        "The agent has, or had, keys of its own, or the address takes keys only: its id alone is not enough.",
        "Send the agent key where the API key goes.",
        "make a key: spendguard agent key <agent>; or let its id alone in again: spendguard agent "
        "set <agent> --no-needs-key",
    ),
    Code.KEY_SCOPE: Entry(
        403,
        Exit.NOT_ALLOWED,
        "The key does not allow this",
        "The key is narrower than its agent: it names the models that it may call.",
        "Use a model that the body names. " + _ASK,
        "make a key for other models: spendguard agent key <agent> --model <pattern>",
    ),
    Code.KEYS_TOO_MANY: Entry(
        403,
        Exit.NOT_ALLOWED,
        "Too many keys",
        "An agent has only so many keys at a time, those that its keys made for others included.",
        "Go on with a key that was used before, or wait until some expire. " + _ASK,
        "see them: spendguard agent key <agent> --list; end one: spendguard agent key <agent> --revoke <key>",
    ),
    Code.KEY_NOT_FOUND: Entry(
        404,
        Exit.NOT_FOUND,
        "Key not found",
        "The agent has no key of this id, or it was never used yet.",
        _ASK,
        "spendguard agent key <agent> --list",
    ),
    Code.IDENTITY_CONFLICT: Entry(
        403,
        Exit.NOT_ALLOWED,
        "Conflicting identities",
        "Path, header or key name different agents or runs.",
        "Name one agent and one run only.",
        "make path, header and key name the same agent",
    ),
    Code.FORBIDDEN_ORIGIN: Entry(
        403,
        Exit.NOT_ALLOWED,
        "Requests from web pages are refused",
        "The request carries an Origin or a Sec-Fetch-Site of a browser.",
        "Call from a program, not from a page.",
        "call from a program, or let the page in with a key: spendguard config set access.origins "
        "<origin>; then: spendguard restart",
    ),
    Code.MOCK_ONLY: Entry(
        403,
        Exit.NOT_ALLOWED,
        "Mock models are for agents created with --mock, and those for mock models only",
        "Mock calls cost nothing real, so only agents made for them may use them, and nothing else.",
        "Use mock-small or mock-large with a mock agent, a real model with any other.",
        "spendguard agent create --name <name>, or with --mock for mock models",
    ),
    Code.AGENT_NOT_FOUND: Entry(
        404,
        Exit.NOT_FOUND,
        "Agent not found",
        "No agent has this id, or it was deleted.",
        "Check the agent id: it is a UUID; an agent's name is not accepted here.",
        "spendguard agent list",
    ),
    Code.BUDGET_NOT_FOUND: Entry(
        404,
        Exit.NOT_FOUND,
        "Budget not found",
        "The agent has no budget yet.",
        _ASK,
        "spendguard budget set --agent <agent> --limit <cents>",
    ),
    Code.CALL_NOT_FOUND: Entry(
        404,
        Exit.NOT_FOUND,
        "Call not found",
        "No call has this id, or it ended too long ago to be kept at hand.",
        "Check the call id.",
        "see the recent calls: spendguard agent get <agent>",
    ),
    Code.CALL_NOT_OPEN: Entry(
        409,
        Exit.FAILED,
        "Call has ended",
        "A call ends once; this one already has its final record.",
        "Nothing to do.",
        "correct what it was charged: spendguard budget adjust --call <call> --to <usd>",
    ),
    Code.ROUTE_NOT_FOUND: Entry(
        404,
        Exit.NOT_FOUND,
        "Route not found",
        "Only routes whose cost can be bounded are served; nothing was forwarded.",
        "Use /v1/chat/completions, /v1/responses, /v1/embeddings, /v1/messages or /v1beta/models/...",
        "the README lists the routes that are served, and so does /openapi.json",
    ),
    Code.METHOD_NOT_ALLOWED: Entry(
        405,
        Exit.USAGE,
        "Method not allowed",
        "The route exists, with another method.",
        "Use the method that the Allow header names.",
        "use the method that the Allow header names",
    ),
    Code.BODY_TOO_LARGE: Entry(
        413,
        Exit.USAGE,
        "Body too large",
        "The request body is above the size limit.",
        "Send less.",
        "send less, or raise the limit: spendguard config set limits.body_bytes_max <bytes>; then: "
        "spendguard restart",
    ),
    Code.UNSUPPORTED_MEDIA: Entry(
        415,
        Exit.USAGE,
        "Unsupported content type or encoding",
        "The body must be application/json, not compressed.",
        "Send content-type: application/json and no content-encoding.",
        "send content-type: application/json and no content-encoding",
    ),
    Code.MISDIRECTED_HOST: Entry(
        421,
        Exit.NOT_ALLOWED,
        "Host not served here",
        "The Host header is not one of this sidecar's own names, or the request line holds a whole URL.",
        "Call one of the names that the message lists, with the sidecar's port.",
        "call one of the names in the message, or add another: spendguard config set access.hosts <name>; "
        "then: spendguard restart",
    ),
    Code.RATE_LIMITED: Entry(
        429,
        Exit.FAILED,
        "Too many requests",
        "One agent gets only so many answers a second, so many calls at a time and so much memory; fewer "
        "where an answer costs nothing: free routes, and calls that the provider keeps refusing.",
        "Wait for the time that retry-after-ms names, then send it again; mend calls that are refused.",
        "wait a moment; [limits] agent_calls_max, agent_requests_per_second and agent_bytes_max set the pace",
        retry=True,
    ),
    Code.UPSTREAM_FAILED: Entry(
        502,
        Exit.FAILED,
        "The provider's answer was lost",
        "The connection broke, or the answer made no sense; what the provider billed is not known.",
        "The call was charged at its hold. Send it again only if the budget allows.",
        "spendguard budget adjust --call <call> --to <usd>, once the provider's bill is known",
        retry=None,
        money=Money.HOLD,
    ),
    Code.UPSTREAM_TIMEOUT: Entry(
        504,
        Exit.FAILED,
        "The provider did not answer in time",
        "No byte came within the deadline; what the provider billed is not known.",
        "The call was charged at its hold. Send it again only if the budget allows.",
        "spendguard budget adjust --call <call> --to <usd>, once the provider's bill is known",
        retry=None,
        money=Money.HOLD,
    ),
    Code.UPSTREAM_UNREACHABLE: Entry(
        502,
        Exit.FAILED,
        "The provider could not be reached",
        "No connection could be made; no byte was sent and nothing was charged.",
        "Send it again later.",
        "spendguard provider test <provider>",
        retry=True,
    ),
    Code.PRICING_UNAVAILABLE: Entry(
        503,
        Exit.PRICING,
        "No valid price document",
        "Without a verified, unexpired price document no call can be bounded.",
        _ASK,
        "spendguard doctor signature; ask for the prices again: spendguard pricing refresh",
    ),
    Code.PRICING_SIGNATURE: Entry(
        503,
        Exit.PRICING,
        "Remote pricing signature verification failed",
        "The price document is not signed by a pinned key, or was changed after signing.",
        _ASK,
        "spendguard doctor signature; see the pinned keys: spendguard pricing trust list",
    ),
    Code.PRICING_INVALID: Entry(
        503,
        Exit.PRICING,
        "Price document is not valid",
        "The document does not follow its schema.",
        _ASK,
        "ask the authority that signed it, or remove your [prices.overrides], then: spendguard restart",
    ),
    Code.PRICING_EXPIRED: Entry(
        503,
        Exit.PRICING,
        "Remote pricing payload has expired",
        "The price document's time is over, or has not begun.",
        _ASK,
        "set this machine's clock right, then: spendguard pricing refresh",
    ),
    Code.PRICING_ROLLBACK: Entry(
        503,
        Exit.PRICING,
        "Price document is older than one already accepted",
        "Its sequence number is below, or equal with other content than, the highest one accepted.",
        _ASK,
        "ask the authority for its current document, then: spendguard pricing refresh",
    ),
    Code.PROVIDER_KEY_MISSING: Entry(
        503,
        Exit.FAILED,
        "No key for this provider",
        "The sidecar has no API key for the provider of this model.",
        _ASK,
        "spendguard provider set-key <provider>",
    ),
    Code.PROVIDER_KEY_REJECTED: Entry(
        503,
        Exit.FAILED,
        "The provider rejected the sidecar's key",
        "The provider answered that the operator's key is none, or may not be used; nothing was charged.",
        _ASK,
        "spendguard provider set-key <provider>; then: spendguard provider test <provider>",
        money=Money.SAID,
    ),
    Code.SHUTTING_DOWN: Entry(
        503,
        Exit.FAILED,
        "The sidecar is shutting down",
        "No new call is taken while calls in flight are brought to their end.",
        "Send it again in a moment.",
        "spendguard up",
        retry=True,
    ),
    Code.CONNECTIONS_FULL: Entry(
        503,
        Exit.FAILED,
        "Too many connections",
        "All connections that the sidecar takes at a time have a request under way, or it has no file "
        "descriptors left for more.",
        "Wait for the time that retry-after-ms names, then send it again.",
        "wait a moment; [limits] connections_max sets how many, ulimit -n how many files",
        retry=True,
    ),
    Code.INTERNAL: Entry(
        500,
        Exit.FAILED,
        "Internal error",
        "A fault of SpendGuard's own; nothing was forwarded unless the body says so.",
        _ASK,
        "see what went wrong: spendguard logs; what the call cost: spendguard explain <call>",
        money=Money.RECORD,
    ),
    Code.LEDGER_DAMAGED: Entry(
        503,
        Exit.LEDGER,
        "The ledger is damaged",
        "A record that was durable once is missing or changed.",
        _ASK,
        "see all of it: spendguard ledger verify; put a backup there: spendguard ledger restore <backup>",
    ),
    Code.LEDGER_LOCKED: Entry(
        503,
        Exit.LEDGER,
        "Another daemon has this ledger open",
        "One home has one daemon; the lock is held by a live process.",
        _ASK,
        "see who has it: spendguard status; stop it: spendguard down",
    ),
    Code.LEDGER_NEWER: Entry(
        503,
        Exit.LEDGER,
        "The ledger was written by a newer version",
        "It holds records that this version must not ignore.",
        _ASK,
        "upgrade SpendGuard",
    ),
    Code.LEDGER_FULL: Entry(
        507,
        Exit.DISK,
        "The ledger's disk is full",
        "There is too little free space to promise that a call's end can be recorded, so none is begun.",
        _ASK,
        "free space on the disk of the home folder; calls pass again by themselves",
    ),
    Code.RESTORE_UNCONFIRMED: Entry(
        409,
        Exit.NOT_ALLOWED,
        "The agent waits for what it spent since the backup",
        "The ledger was restored from a backup, so what this agent spent after it is not in its account.",
        _ASK,
        "spendguard agent unfreeze <agent> --spent <cents>, what it spent since the backup; 0 "
        "accepts the loss",
    ),
    Code.LEDGER_REFUSED: Entry(
        500,
        Exit.FAILED,
        "The ledger refused the command",
        "The command does not fit the state of the ledger; nothing was changed.",
        _ASK,
        "spendguard logs",
    ),
    Code.DISK_FAILED: Entry(
        503,
        Exit.DISK,
        "The disk failed",
        "A write or sync did not succeed, so nothing more may be forwarded.",
        _ASK,
        "mend the disk, then: spendguard up",
        money=Money.RECORD,
    ),
    Code.HOME_UNSAFE: Entry(
        500,
        Exit.LEDGER,
        "The home folder is not safe",
        "Another user could read or write the ledger or the keys.",
        _ASK,
        "chmod 700 the folder and 600 the files named in the message",
    ),
    Code.PORT_TAKEN: Entry(
        500,
        Exit.FAILED,
        "The port is taken",
        "Another program listens on the sidecar's port.",
        _ASK,
        "spendguard up --port <port>, or stop the program on that port",
    ),
    Code.USAGE: Entry(
        400,
        Exit.USAGE,
        "Usage",
        "The command line is not of the form that the command takes.",
        "Correct the command.",
        "add --help to the command to see how it is written",
    ),
    Code.NO_DAEMON: Entry(
        503,
        Exit.NO_DAEMON,
        "No sidecar is running",
        "Nothing answers at the sidecar's address.",
        _ASK,
        "spendguard up",
    ),
    Code.UNPROVEN_DAEMON: Entry(
        503,
        Exit.NO_DAEMON,
        "Something else answers on the sidecar's port",
        "It could not prove that it knows the admin token, so the token was not sent to it.",
        _ASK,
        "spendguard up --port <port>, or stop the program on that port",
    ),
    Code.AMBIGUOUS_NAME: Entry(
        400,
        Exit.USAGE,
        "Several agents have this name",
        "Names need not be unique; ids are.",
        "Use the id.",
        "use one of the ids listed",
    ),
    Code.NOT_ALLOWED: Entry(
        403,
        Exit.NOT_ALLOWED,
        "Not allowed here",
        "The verb is not available in this place.",
        _ASK,
        "type it in an operator's own shell",
    ),
    Code.EXEC_FAILED: Entry(
        500,
        Exit.EXEC,
        "exec failed",
        "The program was not started: something that `exec` does before it went wrong.",
        _ASK,
        "spendguard exec --help",
    ),
}
