"""What someone wants of the ledger, as frozen values; `decide` answers with events, or refuses.

Money is integer nano-USD. `actor` says who asked, for the journal; `idempotency` which request it was, so
that the same one is not carried out twice. Knows nothing of state, disk or HTTP.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spendguard_daemon.ledger.events import AgentPolicy, Concurrency, CostLine, Idempotency, KeyKind, Overflow
from spendguard_daemon.money import LinearCost


@dataclass(frozen=True, slots=True)
class Now:
    """One reading of both clocks: wall time for records, monotonic time for durations."""

    wall_ns: int
    monotonic_ns: int


@dataclass(frozen=True, slots=True)
class NewAgent:
    """Make an agent without money; its id must never have been used."""

    agent_id: str
    name: str | None
    concurrency: Concurrency
    overflow: Overflow
    mock: bool
    actor: str
    idempotency: Idempotency | None = None
    policy: AgentPolicy | None = None


@dataclass(frozen=True, slots=True)
class ChangeAgent:
    """Change an agent's settings; None leaves one as it is."""

    agent_id: str
    name: str | None = None
    concurrency: Concurrency | None = None
    overflow: Overflow | None = None
    actor: str = "operator"
    policy: AgentPolicy | None = None
    needs_key: bool | None = None


@dataclass(frozen=True, slots=True)
class DeleteAgent:
    """Hide an agent and refuse it new calls; calls in flight still settle."""

    agent_id: str
    actor: str


@dataclass(frozen=True, slots=True)
class Freeze:
    """Refuse an agent new calls until it is unfrozen."""

    agent_id: str
    reason: str
    actor: str


@dataclass(frozen=True, slots=True)
class Unfreeze:
    """Let a frozen agent call again."""

    agent_id: str
    actor: str


@dataclass(frozen=True, slots=True)
class GrantBudget:
    """Set an agent's limit and add `topup_nusd` below it (design 4, Grant).

    The first grant gives min(limit, topup or limit); a later one min(limit, remaining + topup), so that a
    limit below what remains takes the rest away.
    """

    agent_id: str
    limit_nusd: int
    topup_nusd: int | None
    actor: str
    idempotency: Idempotency | None = None


@dataclass(frozen=True, slots=True)
class TopUp:
    """Add money to an agent's budget, up to its limit."""

    agent_id: str
    amount_nusd: int
    actor: str
    idempotency: Idempotency | None = None


@dataclass(frozen=True, slots=True)
class SetDaemonLimit:
    """Set the cap above all agents as `GrantBudget` does for one; a limit of None lifts it."""

    limit_nusd: int | None
    topup_nusd: int | None
    actor: str
    idempotency: Idempotency | None = None


@dataclass(frozen=True, slots=True)
class TopUpDaemon:
    """Add money to the daemon's budget, up to its limit."""

    amount_nusd: int
    actor: str
    idempotency: Idempotency | None = None


@dataclass(frozen=True, slots=True)
class AcceptPrices:
    """Note a verified price document before its first use."""

    sequence: int
    document_sha256: str
    key_id: str
    source: str


@dataclass(frozen=True, slots=True)
class Offer:
    """One rung of the input bound ladder: what the call can cost if its input has that many tokens."""

    rung: str
    input_tokens: int
    cost: LinearCost


@dataclass(frozen=True, slots=True)
class HoldCall:
    """Set money aside for one call, before its first byte leaves.

    `offers` are tried in the order given. `output_tokens` is the cap per choice that is wanted, as asked by
    the client or injected by us; it may be clamped down to `floor_output_tokens`. A cap below
    `least_output_tokens` the provider would refuse, so none is proposed. By `deadline_ns` (wall time) the
    call will have ended. `keys` is the lineage of its key, the first one first, empty where it came with
    none; `root_public` what the first one's secret was proven against. `wait_seconds` is how long it waits
    for money or a lock; None: as the ledger's caller says, and only for money that others hold.
    """

    call_id: str
    agent_id: str
    run_id: str
    provider: str
    endpoint: str
    model: str
    offers: tuple[Offer, ...]
    choices: int
    asked_output_tokens: int | None
    output_tokens: int
    floor_output_tokens: int
    injected: bool
    document_sha256: str
    rates: Mapping[str, int]
    deadline_ns: int
    idempotency: Idempotency | None = None
    least_output_tokens: int = 1
    keys: tuple[str, ...] = ()
    root_public: str = ""
    wait_seconds: int | None = None

    @property
    def worst_nusd(self) -> int:
        """The most that the call can cost with all the output that it wants, by its cheapest offer."""
        return min(offer.cost.at(self.output_tokens) for offer in self.offers)


@dataclass(frozen=True, slots=True)
class MarkSent:
    """Note that the call is about to leave, and what was changed in it."""

    call_id: str
    changed: Sequence[str]


@dataclass(frozen=True, slots=True)
class SettleCall:
    """Replace a hold by the real cost; above the hold it becomes an overrun.

    `answer_id` is the provider's name for the answer, where a later request may go on from it; `state_tokens`
    the most that it then adds to that request's input, None where that is not known.
    """

    call_id: str
    cost_nusd: int
    usage: Mapping[str, int]
    lines: Sequence[CostLine]
    http_status: int | None
    reason: str
    answer_id: str | None = None
    state_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class SettleAtWorst:
    """Charge the whole hold: what the provider billed is not known."""

    call_id: str
    reason: str
    http_status: int | None
    answer_id: str | None = None


@dataclass(frozen=True, slots=True)
class VoidCall:
    """Drop a hold whose call was provably not billed."""

    call_id: str
    reason: str
    http_status: int | None


@dataclass(frozen=True, slots=True)
class AdjustCall:
    """Correct what an ended call was charged: set it to `to_nusd`."""

    call_id: str
    to_nusd: int
    reason: str
    actor: str
    idempotency: Idempotency | None = None


@dataclass(frozen=True, slots=True)
class AddKey:
    """Give an agent one key more, or take up a child that is used for the first time.

    `public` is the public half of its secret, as hex. `limit_nusd` is the most that it may ever spend,
    `expires_ns` the wall time from which it is good for nothing, `models` the patterns of what it may call;
    None does not narrow it. A child needs `parent_id` and `expires_ns`.
    """

    agent_id: str
    key_id: str
    public: str
    kind: KeyKind
    actor: str
    parent_id: str | None = None
    limit_nusd: int | None = None
    expires_ns: int | None = None
    models: Sequence[str] | None = None
    label: str = ""
    run_id: str | None = None
    idempotency: Idempotency | None = None


@dataclass(frozen=True, slots=True)
class RotateKey:
    """Give a key another secret; its id, limit and spend stay, its children end with the old secret."""

    agent_id: str
    key_id: str
    public: str
    actor: str


@dataclass(frozen=True, slots=True)
class RevokeKey:
    """End a key, and all keys that were made from it; calls in flight still settle."""

    agent_id: str
    key_id: str
    actor: str


KeyedCommand = NewAgent | GrantBudget | TopUp | SetDaemonLimit | TopUpDaemon | AdjustCall | HoldCall | AddKey


@dataclass(frozen=True, slots=True)
class ConfirmRestored:
    """Charge what an agent spent between the backup and its restore, and let it call; 0 accepts the loss."""

    agent_id: str
    spent_nusd: int
    reason: str
    actor: str


EndCommand = SettleCall | SettleAtWorst | VoidCall
CallCommand = HoldCall | MarkSent | EndCommand | AdjustCall
AgentCommand = NewAgent | ChangeAgent | DeleteAgent | Freeze | Unfreeze
KeyCommand = AddKey | RotateKey | RevokeKey
MoneyCommand = GrantBudget | TopUp | SetDaemonLimit | TopUpDaemon
Command = CallCommand | AgentCommand | KeyCommand | MoneyCommand | AcceptPrices | ConfirmRestored
