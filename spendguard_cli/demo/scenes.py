"""What the demo shows, as values: scenes with rows and checks, the closing table, the verdict."""

import msgspec


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One call: what was tried, and the figures that tell what came of it."""

    call: str
    figures: dict[str, str]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One claim, and whether what was seen bears it out."""

    claim: str
    ok: bool


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """One act. `quote` is what the sidecar itself said."""

    name: str
    title: str
    story: str
    rows: list[Row]
    checks: list[Check]
    quote: str = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One call of the closing table. A refused call holds and costs nothing."""

    agent: str
    call: str
    state: str
    hold_usd: str
    cost_usd: str


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the closing sums: funded = settled + remaining."""

    agent: str
    funded_usd: str
    settled_usd: str
    remaining_usd: str
    held_usd: str


class Reckoning(msgspec.Struct, frozen=True, kw_only=True):
    """The closing table; the last account is the total."""

    entries: list[Entry]
    accounts: list[Account]
    checks: list[Check]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The whole demo, for a machine."""

    ok: bool
    scenes: list[Scene]
    reckoning: Reckoning
