"""The command line's own results, beside those of `wire`: what a command can say without the sidecar.

Values only; `render` and `views` make text of them. Field names are the keys that scripts read.
"""

import msgspec

from spendguard_daemon import wire


class Sidecar(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The sidecar of a home: is it up, and where. `changed` tells whether this command made it so."""

    state: str
    home: str
    changed: bool
    base_url: str | None = None
    pid: int | None = None
    version: str | None = None
    self_signed: bool | None = None


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting: its value, where that comes from, and what it is for."""

    name: str
    value: str
    origin: str
    help: str


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All settings, and the file that may change them."""

    path: str
    settings: list[Setting]
    warnings: list[str]


class KeySet(msgspec.Struct, frozen=True, kw_only=True):
    """A provider key was stored: where, and from where the running sidecar now takes it."""

    name: str
    path: str
    sidecar: str


class Overview(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What bare `spendguard` shows: the state of things and the next step."""

    state: str
    home: str
    next: str
    why: str
    base_url: str | None = None
    agents: list[wire.Agent] = []
    warnings: list[str] = []


class AgentDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One agent with its latest calls, for a person."""

    agent: wire.Agent
    calls: list[wire.Call]


class StatusDetail(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon at a glance with its agents, for a person."""

    base_url: str
    status: wire.Status
    agents: list[wire.Agent]
