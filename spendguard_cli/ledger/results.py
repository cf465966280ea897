"""What the ledger commands show: values only, whose field names are the keys that scripts read."""

import msgspec


class Flaw(msgspec.Struct, frozen=True, kw_only=True):
    """Something in a ledger that is not as it must be: the file, the line, the byte where that begins."""

    path: str
    line: int
    byte: int
    what: str


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What reading a whole ledger found. `flaws` begins with the first bad byte.

    `unfinished_bytes`: a write under way at the end, or one that was cut off; nobody was told it was done.
    """

    ok: bool
    path: str
    backup: bool
    first_seq: int
    last_seq: int
    generation: int
    segments: int
    bytes: int
    unfinished_bytes: int
    snapshots: int
    agents: int
    calls: int
    calls_open: int
    settled_usd: str
    held_usd: str
    unconfirmed_calls: int
    unconfirmed_usd: str
    warnings: list[str]
    flaws: list[Flaw]


class BackedUp(msgspec.Struct, frozen=True, kw_only=True):
    """A backup that was made, and verified."""

    path: str
    created: str
    last_seq: int
    generation: int
    files: int
    bytes: int
    sha256: str
    agents: int
    settled_usd: str


class Frozen(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that waits after a restore.

    `settled_usd` is what it has spent by the backup; `spent_since_usd` what it spent after that, by the
    ledger that was replaced, null where that does not tell. `next` lets it go on.
    """

    agent_id: str
    name: str
    settled_usd: str
    spent_since_usd: str | None
    next: str


class PutBack(msgspec.Struct, frozen=True, kw_only=True):
    """A backup that is the ledger now, a generation later; `moved_to` has the one it replaced."""

    path: str
    backup: str
    created: str
    last_seq: int
    generation: int
    moved_to: str | None
    agents: list[Frozen]


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """An export that was written to a file; the sum is over all its rows."""

    path: str
    format: str
    by: str
    rows: int
    cost_usd: str
    cost_nusd: int
