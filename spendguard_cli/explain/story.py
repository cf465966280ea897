"""What `explain` shows: values only, whose field names are the keys that scripts read."""

import msgspec

from spendguard_cli.explain.life import Life
from spendguard_cli.explain.sums import Sum
from spendguard_daemon.money import format_usd


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a call's life: `said` in a sentence, `more` with its numbers, a sentence each.

    `step` is asked, bound, price, held, changed, sent, answered, settled, voided, settled_worst, overrun,
    adjusted, in_flight; of a refused call asked, worst_case, refused, fits, charged, ways_out. `commands` are
    typed as they stand, by an operator.
    `wrong`: what was computed again is not what the ledger has.
    """

    step: str
    at: str | None = None
    said: str
    more: list[str] = []
    sum: Sum | None = None
    commands: list[str] = []
    wrong: bool = False


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """The life of one call. `sources` are sidecar, journal; `damage` says what of the ledger is not whole.

    `notes` say what could not be asked, and so is missing here.
    """

    call_id: str
    agent_id: str
    agent_name: str
    run_id: str
    provider: str
    endpoint: str
    model: str
    state: str
    code: str | None
    hold_usd: str
    cost_usd: str | None
    sources: list[str]
    damage: list[str]
    notes: list[str]
    wrong: bool
    steps: list[Step]

    @classmethod
    def of(
        cls, life: Life, steps: list[Step], *, sources: list[str], damage: list[str], notes: list[str]
    ) -> "Story":
        """Put together what is known of a call and how it is told."""
        cost_nusd = life.cost_nusd
        return cls(
            call_id=life.call_id,
            agent_id=life.agent_id,
            agent_name=life.agent_name,
            run_id=life.run_id,
            provider=life.provider,
            endpoint=life.endpoint,
            model=life.model,
            state=life.state,
            code=life.turned.code if life.turned else None,
            hold_usd=format_usd(life.held.amount_nusd if life.held else 0),
            cost_usd=None if cost_nusd is None else format_usd(cost_nusd),
            sources=sources,
            damage=damage,
            notes=notes,
            wrong=any(step.wrong for step in steps),
            steps=steps,
        )
