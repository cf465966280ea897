"""A ledger in small segments, most of them archived, in which calls end in every way."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compacting import SEGMENT_BYTES, compact
from ledger_files import put_down
from ledger_kit import grant, hold_call, new_agent, offer, open_ledger
from sim import SimClock, SimDisk
from spendguard_daemon.errors import Code, Fact
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.events import CostLine
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.ledger.refusals import Refusal

AGENT_ID = "0a0a0a0a-0000-4000-8000-000000000001"
HOSTILE = "evil\x1b]0;owned\x07\u202e[red]name"
"""Nobody can give an agent such a name by the API, but a file may say so."""

HOLD_NUSD = 100 * 150 + 10 * 600
FACTS: dict[str, Fact] = {
    "budget": "agent",
    "worst_case_usd": "0.000021",
    "input_usd": "0.000015",
    "output_usd": "0.000006",
    "fees_usd": "0.00",
    "remaining_usd": "0.00002",
    "available_usd": "0.00001",
    "held_usd": "0.00001",
    "limit_usd": "5.00",
    "input_tokens_bound": 100,
    "rung": "bytes",
    "output_tokens": 10,
    "choices": 1,
    "rates": ["input 0.15 USD per 1M tokens"],
    "held_by": ["run nightly: 3 calls, $0.31"],
    "affordable_max_tokens": 4,
    "cheaper_model": "gpt-4.1-nano",
    "cheaper_model_usd": "0.00001",
}
REFUSALS: dict[Code, dict[str, Fact]] = {
    Code.INSUFFICIENT_BUDGET: FACTS,
    Code.BUDGET_HELD: FACTS,
    Code.BUDGET_LOCKED: {"locked_run_id": "nightly", "locked_age_seconds": 12},
    Code.AGENT_FROZEN: {"reason": "looked at"},
    Code.BUDGET_NOT_SET: {},
    Code.MALFORMED_REQUEST: {"path": "messages[0]", "expected": "an object"},
    Code.UNBOUNDED_FEATURE: {"feature": "background"},
}


def call_id(number: int) -> str:
    """Return the id of the call with this number; the first eight characters tell it."""
    return f"{number:08x}-0000-4000-8000-000000000000"


def line(name: str, quantity: int, rate: int) -> CostLine:
    """Return one line of a bill as the ledger has it."""
    nano, pico = divmod(quantity * rate, 1000)
    exact = f"{nano}.{pico:03d}".rstrip("0").rstrip(".")
    return {"name": name, "quantity": quantity, "unit": "token", "rate": rate, "cost_nusd": exact}


@dataclass(frozen=True)
class Told:
    """The home, and the id of each call by what became of it."""

    home: Path
    ids: dict[str, str]


def told_ledger(home: Path) -> Told:
    """Write the ledger into a home; the calls that ended come first, and lie in the archive."""
    disk, clock = SimDisk(), SimClock()
    ledger = open_ledger(disk, clock, segment_bytes=SEGMENT_BYTES)
    ledger.post(new_agent(AGENT_ID, name=HOSTILE, concurrency="shared"))
    ledger.post(grant(5_000_000_000, agent_id=AGENT_ID))
    ledger.post(cmd.AcceptPrices(7, "d" * 64, "key-1", "local"))
    ends = {
        "settled": [cmd.SettleCall("", 3_000, {"input_tokens": 12, "output_tokens": 2}, [], 200, "usage")],
        "settled_worst": [cmd.SettleAtWorst("", "timeout \x1b[31m", 504)],
        "voided": [cmd.VoidCall("", "provider refused with 429", 429)],
        "overrun": [cmd.SettleCall("", 60_000, {"output_tokens": 100}, [], 200, "usage")],
        "adjusted": [
            cmd.SettleAtWorst("", "torn", 200),
            cmd.AdjustCall("", 500, "the bill of May", "anna"),
        ],
        "wrong": [cmd.SettleCall("", 999, {"output_tokens": 4}, [], 200, "usage")],
    }
    bills = {
        "settled": [line("input", 12, 150_000), line("output", 2, 600_000)],
        "overrun": [line("output", 100, 600_000)],
        "wrong": [line("output", 4, 600_000)],
    }
    ids: dict[str, str] = {}
    for number, (name, commands) in enumerate(ends.items(), start=0xAB0000):
        ids[name] = call_id(number)
        clock.advance(1)
        _hold(ledger, ids[name])
        ledger.post(cmd.MarkSent(ids[name], ["max_tokens: none -> 10", "tools[0]: taken out"]))
        for one in commands:
            given = {"call_id": ids[name]} | ({"lines": bills[name]} if name in bills else {})
            ledger.post(_with(one, given))
        if name == "overrun":
            ledger.post(cmd.Unfreeze(AGENT_ID, "anna"))
    for number, (code, facts) in enumerate(REFUSALS.items(), start=0xCD0000):
        ids[code.value] = call_id(number)
        clock.advance(2)
        for each in (ids[code.value], call_id(number + 0x1000)):
            refusal = Refusal(each, AGENT_ID, "run-1", "openai", "chat/completions", "gpt-4o-mini", code,
                              f"{code.value}: no", facts)  # fmt: skip
            ledger.refuse(refusal)
        clock.advance(2)
        _hold(ledger, call_id(number + 0x2000))  # lets the refusals that are due be written
        ledger.post(cmd.VoidCall(call_id(number + 0x2000), "aborted", None))
    ledger._desk.close()
    compact(ledger, disk)
    ids["held"] = call_id(0xEF0000)
    _hold(ledger, ids["held"])
    put_down(disk, home / "ledger")
    return Told(home, ids)


def damaged(told: Told, home: Path, name: str) -> Path:
    """Copy the ledger with one byte of a segment changed, in a line that is not of this call; say which."""
    for path in (told.home / "ledger").rglob("*"):
        if path.is_file():
            copy = home / path.relative_to(told.home)
            copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            copy.write_bytes(path.read_bytes())
    for path in sorted((home / "ledger").rglob("seg-*")):
        lines = path.read_bytes().splitlines(keepends=True)
        mine = [told.ids[name].encode() in one for one in lines]
        if any(mine) and not all(mine):
            index = mine.index(False)
            lines[index] = lines[index].replace(b'"org":"local"', b'"org":"lokal"')
            path.write_bytes(b"".join(lines))
            return path
    raise AssertionError(json.dumps(told.ids))


def _hold(ledger: Ledger, call: str) -> None:
    ledger.post(
        hold_call(
            call,
            agent_id=AGENT_ID,
            offers=(offer(100 * 150, 600),),
            output_tokens=10,
            asked_output_tokens=None,
        )
    )


def _with(command: Any, given: dict[str, object]) -> cmd.Command:
    made: cmd.Command = replace(command, **given)
    return made
