"""What the pricing commands show: values only, whose field names are the keys that scripts read."""

import msgspec


class KeyMade(msgspec.Struct, frozen=True, kw_only=True):
    """A new key pair, by its public half; `trust_command` is what each client types to pin it."""

    key_id: str
    public_key: str
    key_file: str
    trust_command: str


class TrustedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A pinned key; `state` is good, revoked or over (its `not_after` lies behind us)."""

    key_id: str
    public_key: str
    not_after: str | None
    state: str


class Trusted(msgspec.Struct, frozen=True, kw_only=True):
    """trust.toml: the keys, and how many of them must have signed a document."""

    path: str
    threshold: int
    keys: list[TrustedKey]


class SignedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A document that was signed, or verified: where it is, who signed it, its time, and what it prices."""

    source: str
    schema: int
    document_sha256: str
    sequence: int
    signed_by: list[str]
    issued_at: str
    expires_at: str
    models: list[str]
    warnings: list[str]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One number of a card that differs; null where one side has none. `flag` says why it needs a look.

    `ratio` is new by old as a decimal, cut after three digits, null where there is none.
    """

    model: str
    what: str
    old: int | str | None
    new: int | str | None
    ratio: str | None
    flag: str


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """What changed from one document to another; `flagged` counts the changes with a flag."""

    old: str
    new: str
    added: list[str]
    removed: list[str]
    changed_models: int
    flagged: int
    changes: list[Change]


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """One price of a card: exact, in USD per million tokens, or for an event per 1,000."""

    valid_from: str
    service_tier: str
    input_tokens_ge: int
    name: str
    usd: str
    per: str


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """One model's card, and the document it is of."""

    model: str
    provider: str
    aliases: list[str]
    endpoints: list[str]
    context_tokens: int
    input_tokens_max: int
    output_tokens_max: int
    reasoning: bool
    free: bool
    document_sha256: str
    signed_by: str
    age_seconds: int
    expires_at: str
    modifiers_bp: dict[str, int]
    rates: list[Rate]


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """A price server that has begun to answer."""

    url: str
    document_sha256: str
    signed_by: list[str]
    expires_at: str


class CallChecked(msgspec.Struct, frozen=True, kw_only=True):
    """One ended call computed again. `result` is equal, different, or cannot, with the reason in `why`.

    `booked_nusd` is what was charged when it ended, before any correction by an operator.
    """

    call_id: str
    agent_id: str
    model: str
    state: str
    result: str
    booked_nusd: int
    computed_nusd: int | None
    booked_usd: str
    computed_usd: str | None
    document_sha256: str
    why: str


class Recomputed(msgspec.Struct, frozen=True, kw_only=True):
    """Every call that was asked for: how many of each result, and the sums in nano-USD.

    `booked_nusd` and `computed_nusd` are over the calls that could be computed; `cannot_nusd` is what those
    that could not were charged.
    """

    ok: bool
    calls: int
    equal: int
    different: int
    cannot: int
    booked_nusd: int
    computed_nusd: int
    cannot_nusd: int
    rows: list[CallChecked]
