"""The five acts: each makes real calls against the stage and says what was seen, figure by figure.

An act claims nothing that it did not measure: every claim is a `Check` computed from what the sidecar told.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from spendguard_cli.demo.calls import Answer, Hanging, ask, ended
from spendguard_cli.demo.scenes import Check, Entry, Row, Scene
from spendguard_cli.demo.stage import Stage
from spendguard_daemon import wire
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code
from spendguard_daemon.money import parse_usd

WRITER_CENTS = 25
THRIFTY_CENTS = 1
DEPLOYER_CENTS = 10


@dataclass(slots=True)
class Cast:
    """Who is on stage, and the refused calls, which no ledger keeps across a crash."""

    stage: Stage
    agents: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    refused: list[Entry] = field(default_factory=list)

    def enter(self, name: str, limit_cents: int) -> str:
        """Create a mock agent with a budget; return its id."""
        agent_id = self.stage.control.create_agent({"name": name, "mock": True}).agent_id
        self.stage.control.grant(agent_id, limit_cents, None)
        self.agents[name] = agent_id
        return agent_id

    def refuse(self, agent: str, call: str) -> None:
        """Remember a refusal for the closing table."""
        self.refused.append(Entry(agent=agent, call=call, state="refused", hold_usd="0.00", cost_usd="0.00"))


def acts(cast: Cast) -> Iterator[Scene]:
    """Play the acts one after the other."""
    yield _spend(cast)
    yield _clamp(cast)
    yield _refuse(cast)
    yield from _lock_and_crash(cast)


def _spend(cast: Cast) -> Scene:
    agent_id = cast.enter("writer", WRITER_CENTS)
    rows, exact = [], True
    before = cast.stage.control.budget(agent_id)
    for label, says, stream in (("plain", 180, False), ("plain", 240, False), ("streamed", 310, True)):
        answer = ask(cast.stage, agent_id, "draft", cap=500, says=says, stream=stream)
        call = ended(cast.stage, answer.call_id)
        cast.names[call.call_id] = f"{label}, {says} tokens"
        after = cast.stage.control.budget(agent_id)
        exact = exact and answer.status == 200 and _fell_by_cost(before, call, after)
        rows.append(_row(f"{label}, {says} tokens", call, after))
        before = after
    return Scene(
        name="spend",
        title="Calls succeed, and the budget falls",
        story=f"The agent writer has ${before.hard_limit_usd}. Each call holds the most it can cost before "
        "its first byte leaves, and settles at what it really cost.",
        rows=rows,
        checks=[Check(claim="each call lowered the budget by exactly its cost, within its hold", ok=exact)],
    )


def _clamp(cast: Cast) -> Scene:
    agent_id = cast.enter("thrifty", THRIFTY_CENTS)
    before = cast.stage.control.budget(agent_id)
    answer = ask(cast.stage, agent_id, "essay", cap=8000, says=1900)
    call = ended(cast.stage, answer.call_id)
    cast.names[call.call_id] = "max_tokens clamped"
    after = cast.stage.control.budget(agent_id)
    caps = dict(part.split("=", 1) for part in answer.told.get("max-tokens", "").split("; ") if "=" in part)
    asked, sent = int(caps.get("asked", "0")), int(caps.get("sent", "0"))
    fits = answer.status == 200 and parse_usd(call.hold_usd) <= parse_usd(before.available_usd)
    return Scene(
        name="clamp",
        title="A max_tokens that does not fit is made smaller",
        story=f"Agent thrifty has ${before.remaining_usd} and asks for {asked} tokens, more than it buys.",
        rows=[Row(call=f"asked {asked}, sent {sent}", figures=_figures(call, after))],
        checks=[
            Check(claim="the cap was lowered, and the caller told", ok=0 < sent < asked == 8000),
            Check(claim="the worst case of the call fits what was there", ok=fits and _within(call)),
        ],
    )


def _refuse(cast: Cast) -> Scene:
    agent_id = cast.agents["thrifty"]
    refusal = ask(cast.stage, agent_id, "essay", cap=1000, says=1000)
    cast.refuse("thrifty", "max_tokens 1000")
    before = cast.stage.control.budget(agent_id)
    affordable = refusal.facts.get("affordable_max_tokens")
    fitting = affordable if isinstance(affordable, int) else 0
    retry = ask(cast.stage, agent_id, "essay", cap=max(fitting, 1), says=fitting)
    call = ended(cast.stage, retry.call_id)
    cast.names[call.call_id] = f"max_tokens {fitting}"
    after = cast.stage.control.budget(agent_id)
    worst = str(refusal.facts.get("worst_case_usd", "0"))
    right = _is(refusal, Code.INSUFFICIENT_BUDGET) and parse_usd(worst) > parse_usd(before.remaining_usd)
    return Scene(
        name="refuse",
        title="What cannot be paid is refused, with the whole sum",
        story=f"Now ${before.remaining_usd} is left. The next call could cost ${worst}, so nothing is sent.",
        quote=refusal.detail,
        rows=[
            Row(call="max_tokens 1000", figures={"answer": str(refusal.status)}),
            Row(
                call=f"max_tokens {fitting}",
                figures={
                    "answer": str(retry.status),
                    "cost": f"${call.cost_usd}",
                    "remains": f"${after.remaining_usd}",
                },
            ),
        ],
        checks=[
            Check(claim="402, and the worst case named is above what remains", ok=right),
            Check(
                claim="the max_tokens that it names does fit", ok=0 < fitting < 1000 and retry.status == 200
            ),
        ],
    )


def _lock_and_crash(cast: Cast) -> Iterator[Scene]:
    agent_id = cast.enter("deployer", DEPLOYER_CENTS)
    hanging = Hanging(cast.stage, agent_id, "release-1", cap=1500)
    held = hanging.in_flight()
    cast.names[held.call_id] = "in mid-call at kill -9"
    yield _lock(cast, agent_id, held)
    yield _crash(cast, agent_id, held, hanging)


def _lock(cast: Cast, agent_id: str, held: wire.Call) -> Scene:
    refusal = ask(cast.stage, agent_id, "release-2", cap=100, says=50)
    cast.refuse("deployer", "run release-2")
    holder = str(refusal.facts.get("locked_run_id", ""))
    return Scene(
        name="lock",
        title="One run of an agent at a time",
        story=f"deployer's run release-1 is in mid-call and holds ${held.hold_usd}. Its run release-2 tries.",
        quote=refusal.detail,
        rows=[Row(call="run release-2", figures={"answer": str(refusal.status), "holder": holder})],
        checks=[
            Check(
                claim="409, naming the run that holds the lock",
                ok=_is(refusal, Code.BUDGET_LOCKED) and holder == "release-1",
            )
        ],
    )


def _crash(cast: Cast, agent_id: str, held: wire.Call, hanging: Hanging) -> Scene:
    killed = cast.stage.pid
    cast.stage.kill()
    hanging.wait()
    cast.stage.start()
    call, after = cast.stage.control.call(held.call_id), cast.stage.control.budget(agent_id)
    settled_at_start = cast.stage.control.status().settled_at_worst_at_start
    charged = call.state == "settled_worst" and call.cost_usd == held.hold_usd
    return Scene(
        name="crash",
        title="kill -9 in mid-call",
        story=f"Process {killed} was killed while release-1 waited for its provider; process "
        f"{cast.stage.pid} opened the ledger again. What the provider will bill is not known, so the call "
        "is charged at its worst case, until an operator corrects it.",
        rows=[_row("run release-1", call, after)],
        checks=[
            Check(claim="the call is charged at exactly its hold", ok=charged),
            Check(claim="no other call was touched, no money lost", ok=settled_at_start == 1),
        ],
    )


def _row(label: str, call: wire.Call, after: wire.Budget) -> Row:
    return Row(call=label, figures=_figures(call, after))


def _figures(call: wire.Call, after: wire.Budget) -> dict[str, str]:
    return {"held": f"${call.hold_usd}", "cost": f"${call.cost_usd}", "remains": f"${after.remaining_usd}"}


def _fell_by_cost(before: wire.Budget, call: wire.Call, after: wire.Budget) -> bool:
    fell = parse_usd(before.remaining_usd) - parse_usd(after.remaining_usd)
    return call.state == "settled" and _within(call) and fell == parse_usd(call.cost_usd or "0")


def _within(call: wire.Call) -> bool:
    return call.cost_usd is not None and 0 < parse_usd(call.cost_usd) <= parse_usd(call.hold_usd)


def _is(answer: Answer, code: Code) -> bool:
    entry = TABLE[code]
    right = answer.status == entry.status and answer.code == code.value
    return right and answer.detail.startswith(entry.title)
