"""The command line's own results, beside those of `wire`: what a command can say without the sidecar.

Values only; `render` and `views` make text of them. Field names are the keys that scripts read.
"""

import msgspec

from spendguard_cli.doctor.findings import Finding
from spendguard_daemon import wire


class Sidecar(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The sidecar of a home: is it up, and where. `changed` tells whether this command made it so.

    `state` is up, draining, down, or unresponsive: a process has the ledger open and cannot be asked. Agent
    keys alone count at `agents_url` and at each of `listening`, the addresses beside loopback.
    """

    state: str
    home: str
    changed: bool | None = None
    base_url: str | None = None
    agents_url: str | None = None
    socket: str | None = None
    listening: list[str] = []
    pid: int | None = None
    version: str | None = None
    self_signed: bool | None = None
    verified: bool | None = None


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
    """A provider key was stored: where the key in use comes from, in which file this one lies.

    `sidecar` tells whether one is running, which then has read it.
    """

    name: str
    key: str
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


class CompletionsInstalled(msgspec.Struct, frozen=True, kw_only=True):
    """Where a shell's completions are; `next` are the lines to type for them to be there."""

    shell: str
    path: str
    changed: bool
    next: list[str]


class AgentDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One agent with its latest calls, for a person; `now_ns` is when (wall clock)."""

    agent: wire.Agent
    calls: list[wire.Call]
    now_ns: int


class CallLine(msgspec.Struct, frozen=True, kw_only=True):
    """One call on one line of a pipe: what a script asks for first. `--json` has the rest.

    `count` is above 1 where a refused call, whose `code` is given, stands for others like it.
    """

    call_id: str
    run_id: str
    model: str
    state: str
    hold_usd: str
    cost_usd: str | None
    input_tokens: int | None
    output_tokens: int | None
    http_status: int | None
    created_at: str
    reason: str | None
    code: str | None
    count: int
    attached: bool | None
    idle_seconds: int | None


def call_line(call: wire.Call) -> CallLine:
    """Return what of a call fits on a line."""
    usage = call.usage or {}
    return CallLine(
        call_id=call.call_id,
        run_id=call.run_id,
        model=call.model,
        state=call.state,
        hold_usd=call.hold_usd,
        cost_usd=call.cost_usd,
        input_tokens=usage.get("input_tokens"),
        output_tokens=usage.get("output_tokens"),
        http_status=call.http_status,
        created_at=call.created_at,
        reason=call.reason,
        code=call.code,
        count=call.count,
        attached=call.attached,
        idle_seconds=call.idle_seconds,
    )


class KeyShown(msgspec.Struct, frozen=True, kw_only=True):
    """A new agent key, for a person, and where it is good; `for_agents`: that address is for keys alone."""

    made: wire.KeyMade
    base_url: str
    for_agents: bool


class KeyMinted(msgspec.Struct, frozen=True, kw_only=True):
    """A narrower agent key, made without the sidecar: `key` is shown here, and kept nowhere."""

    key_id: str
    root_id: str
    generation: int
    label: str
    limit_usd: str | None
    expires_at: str
    models: list[str] | None
    key: str


class BudgetDetail(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's money under its name, for a person."""

    name: str
    budget: wire.Budget


class StatusDetail(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon at a glance with its agents, for a person; `now_ns` is when (wall clock)."""

    base_url: str
    status: wire.Status
    agents: list[wire.Agent]
    now_ns: int


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What a program under `exec` has cost; `remaining_usd` is None where its agent has no budget.

    `refused` counts what the sidecar shows of late; beyond 200 refusals the oldest are forgotten. The
    refusal's code and reason are those of the last one, None where there was none.
    """

    agent_id: str
    agent_name: str
    run_id: str
    key_id: str
    spent_usd: str
    calls: int
    refused: int
    refusal_code: str | None
    refusal_reason: str | None
    held_usd: str
    remaining_usd: str | None


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """What `doctor` found, what to mend first first; `worst` is the worst level among the findings.

    `done` is what --fix did before that, a sentence each.
    """

    findings: list[Finding]
    worst: str
    done: list[str] = []


class CheckName(msgspec.Struct, frozen=True, kw_only=True):
    """A check of `doctor`: what is typed after --check, and what it looks at. `mends`: --fix knows it."""

    name: str
    about: str
    mends: bool


class DiagnosisDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A diagnosis for a person; `verbose`: all of it is shown, and what is well too, a line each.

    `whole` are the groups all of whose checks were run; None where that is not said.
    """

    diagnosis: Diagnosis
    verbose: bool = False
    whole: list[str] | None = None


class Probed(msgspec.Struct, frozen=True, kw_only=True):
    """What `doctor --probe` showed: a finding for each leg, and the money before, held, and after.

    `call_id` is empty where no answer came. `next` tells more of the call.
    """

    provider: str
    model: str
    agent_id: str
    call_id: str
    before_usd: str
    held_usd: str | None
    cost_usd: str | None
    after_usd: str
    lines: list[wire.CostLine]
    findings: list[Finding]
    next: str
