"""What `explain` shows: values only, whose field names are the keys that scripts read."""

import msgspec

from spendguard_cli.explain.sums import Sum


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
