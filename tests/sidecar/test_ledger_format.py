"""`references/ledger-format.md` says what the code does: every record and field, and its example to the byte.

The reader here knows nothing of the code: it is written from the document's words alone, and must follow any
journal that the code writes.
"""

import dataclasses
import hashlib
import json
import re
import types
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from compacting import AGENTS, SEGMENT_BYTES, busy, compact, first_steps
from ledger_kit import BARE, FOLDER, HEAD, SEGMENT, hold_call, open_ledger
from sim import SimClock, SimDisk, SimRng
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger import (
    agent_keys,
    compaction,
    history,
    key_ring,
    keys,
    lines,
    outcomes,
    refusals,
    rolling,
    state,
)
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger import events as ev
from spendguard_daemon.ledger.backup import back_up
from spendguard_daemon.ledger.deeds import Deed
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.ledger.lines import READER, VERSION
from spendguard_daemon.ledger.manifest import FileEntry, Manifest
from spendguard_daemon.ledger.refusals import FACTS, PLAIN_FACTS, SETTING, Refusal
from spendguard_daemon.ledger.restore import restore
from spendguard_daemon.ledger.room import LIMITS
from spendguard_daemon.ledger.snapshot import KeyBound, Snapshot
from spendguard_daemon.ledger.state import Account, AgentKey, Bound, DaemonAccount, EndedCall, OpenCall
from spendguard_daemon.ledger.views import AgentRun, CallView, RunView
from spendguard_daemon.money import LinearCost
from spendguard_daemon.usage import _COUNTS

DOCUMENT = (Path(__file__).parents[2] / "references" / "ledger-format.md").read_text(encoding="utf-8")
TARGET = Path("/backups/monday")
INPUT_PUSD, OUTPUT_PUSD = 2_500_000, 10_000_000


# -- a reader from the document's words --------------------------------------------------------------------


class DamageError(Exception):
    """The journal is not whole."""


def read_lines(segments: list[bytes]) -> list[dict[str, Any]]:
    """Follow the chain ("Lines")."""
    *lines, rest = b"".join(segments).split(b"\n")
    seq, prev, records = 0, "0" * 32, []
    for line in lines:
        body, mark, end = line.rpartition(b',"h":"')
        h = hashlib.sha256(body).hexdigest()[:32]
        if len(line) >= 16_384 or not line.isascii() or mark + end != f',"h":"{h}"}}'.encode():
            raise DamageError(f"after {seq}: not a whole line")
        record = json.loads(line)
        if (record["seq"], record["prev"]) != (seq + 1, prev) or not 0 <= record["ack"] <= seq:
            raise DamageError(f"after {seq}: not the next record")
        if record["v"] > 1 or record.get("min_reader", 0) > 2:
            raise DamageError(f"record {seq + 1} is for a newer reader")
        seq, prev = seq + 1, h
        records.append(record)
    if rest:
        raise DamageError(f"after {seq}: a line without an end")
    return records


def read_head(raw: bytes) -> tuple[int, str, int]:
    """Return the newest slot of the head file ("Head")."""
    found = []
    for slot in (raw[:128], raw[128:256]):
        text, _, digest = slot.rstrip(b" \n").rpartition(b",")
        if hashlib.sha256(text + b",").hexdigest().encode() == digest:
            seq, h, generation = text.split(b",")
            found.append((int(seq), h.decode(), int(generation)))
    return max(found)


def read_balances(records: list[dict[str, Any]]) -> dict[str, list[int]]:
    """Add up each agent's [F, S, H] ("Records") and hold it against what each line says."""
    agents: dict[str, list[int]] = {}
    for r in records:
        moved = {
            "budget_set": lambda r: (r["applied_nusd"] - r["cut_nusd"], 0, 0),
            "hold": lambda r: (0, 0, r["amount_nusd"]),
            "settle": lambda r: (0, r["cost_nusd"], -r["hold_nusd"]),
            "settle_worst": lambda r: (0, r["cost_nusd"], -r["hold_nusd"]),
            "overrun": lambda r: (0, r["cost_nusd"], -r["hold_nusd"]),
            "void": lambda r: (0, 0, -r["hold_nusd"]),
            "adjust": lambda r: (0, r["to_nusd"] - r["from_nusd"], 0),
            "restore_confirmed": lambda r: (0, r["spent_nusd"], 0),
        }.get(r["t"])
        if r["t"] == "agent_new":
            agents[r["agent_id"]] = [0, 0, 0]
        elif moved is not None:
            now = [a + b for a, b in zip(agents[r["agent_id"]], moved(r), strict=True)]
            if now != [r["funded_nusd"], r["settled_nusd"], r["held_nusd"]]:
                raise DamageError(f"record {r['seq']}: its balances do not add up")
            agents[r["agent_id"]] = now
        elif r["t"] in ("checkpoint", "daemon_limit_set"):
            sums = [sum(account[i] for account in agents.values()) for i in (1, 2)]
            if sums != [r["settled_nusd"], r["held_nusd"]]:
                raise DamageError(f"record {r['seq']}: the sums of all agents do not add up")
    return agents


def read_keys(records: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Add up each key's [S, H, whether a record has ended it] ("Agents' keys")."""
    keys: dict[str, list[Any]] = {}
    made: dict[str, dict[str, Any]] = {}
    holds: dict[str, dict[str, Any]] = {}
    for r in records:
        if r["t"] == "key_add":
            keys[r["key_id"]], made[r["key_id"]] = [0, 0, False], r
        elif r["t"] in ("key_rotate", "key_revoke"):
            ended = {r["key_id"]}
            for key_id, record in made.items():
                ended |= {key_id} if record["parent_id"] in ended else set()
            for key_id in ended - ({r["key_id"]} if r["t"] == "key_rotate" else set()):
                keys[key_id][2] = True
        elif r["t"] == "restored":
            for key in keys.values():
                key[2] = True
        elif r["t"] in ("hold", "settle", "settle_worst", "overrun", "void", "adjust"):
            holds.setdefault(r["call_id"], r)
            settled = r.get("cost_nusd", 0) if r["t"] != "adjust" else r["to_nusd"] - r["from_nusd"]
            for key_id in holds[r["call_id"]].get("keys", []):
                keys[key_id][0] += settled
                keys[key_id][1] += r.get("amount_nusd", 0) - r.get("hold_nusd", 0)
                _check_key(r, made[key_id], keys[key_id])
    return keys


def _check_key(record: dict[str, Any], made: dict[str, Any], key: list[Any]) -> None:
    """A `hold` is written only where each of its keys has not ended, and has room for it."""
    if record["t"] == "hold":
        settled, held, ended = key
        late = made["expires_at"] is not None and record["ts"] >= made["expires_at"].replace("Z", "000000Z")
        if ended or late or (made["limit_nusd"] is not None and settled + held > made["limit_nusd"]):
            raise DamageError(f"record {record['seq']} goes past key {made['key_id']}")


def read_sealed(raw: bytes) -> dict[str, Any]:
    """Check a snapshot or a manifest by its last line ("Snapshots")."""
    body, _, end = raw.rpartition(b',\n"sha256":"')
    if end != f'{hashlib.sha256(body).hexdigest()}"}}\n'.encode():
        raise DamageError("the file's hash is not that of its bytes")
    value: dict[str, Any] = json.loads(raw)
    return value


# -- the example -------------------------------------------------------------------------------------------


def call(call_id: str, input_tokens: int, asked_output_tokens: int, clock: SimClock) -> cmd.HoldCall:
    """Return a call of gpt-4o at $2.50 and $10 per million tokens."""
    cost = LinearCost(input_tokens * INPUT_PUSD, OUTPUT_PUSD, 1_000)
    return hold_call(
        call_id,
        agent_id="agent-a",
        run_id="run-7",
        model="gpt-4o",
        offers=(cmd.Offer("bytes", input_tokens, cost),),
        asked_output_tokens=asked_output_tokens,
        output_tokens=asked_output_tokens,
        floor_output_tokens=min(asked_output_tokens, 1_024),
        document_sha256=hashlib.sha256(b"prices").hexdigest(),
        rates={"input": INPUT_PUSD, "output": OUTPUT_PUSD},
        deadline_ns=clock.wall_ns() + 1_800 * 10**9,
    )


def bill(name: str, tokens: int, rate: int) -> ev.CostLine:
    """Return one line of a bill."""
    return {
        "name": name,
        "quantity": tokens,
        "unit": "token",
        "rate": rate,
        "cost_nusd": str(tokens * rate // 1_000),
    }


def refuse(ledger: Ledger, command: cmd.HoldCall) -> None:
    """Have a call refused, and note it as the guard does."""
    with pytest.raises(SpendGuardError) as caught:
        ledger.post(command)
    error = caught.value
    ledger.refuse(
        Refusal(
            call_id=command.call_id,
            agent_id=command.agent_id,
            run_id=command.run_id,
            provider=command.provider,
            endpoint=command.endpoint,
            model=command.model,
            code=error.code,
            detail=error.detail,
            facts=error.facts,
        )
    )


def opened(disk: SimDisk, clock: SimClock, rng: SimRng) -> Ledger:
    """Start a daemon's ledger."""
    return Ledger.open(
        FOLDER, disk=disk, clock=clock, rng=rng, fatal=pytest.fail, version="0.3.0", limits=BARE
    )


async def example() -> SimDisk:
    """Live the example's life, and return the disk that it leaves."""
    # 2026-11-23T03:10:00Z
    disk, clock, rng = SimDisk(), SimClock(wall=1_795_403_400 * 10**9), SimRng(7)
    ledger = opened(disk, clock, rng)
    ledger.post(cmd.AcceptPrices(12, hashlib.sha256(b"prices").hexdigest(), "local-1", "local"))
    clock.advance(5.25)
    key = ev.Idempotency("create-a", "create_agent", hashlib.sha256(b"{}").hexdigest()[:32])
    ledger.post(cmd.NewAgent("agent-a", "A", "exclusive", "clamp", False, "cli", key))
    clock.advance(2.5)
    ledger.post(cmd.GrantBudget("agent-a", 50_000_000, None, "cli"))
    clock.advance(60)
    ledger.post(call("call-1", 1_180, 1_500, clock))
    ledger.post(cmd.MarkSent("call-1", ("service_tier: none -> default",)))
    clock.advance(9.125)
    usage = {"input_tokens": 1_042, "output_tokens": 913}
    lines = [bill("input", 1_042, INPUT_PUSD), bill("output", 913, OUTPUT_PUSD)]
    ledger.post(cmd.SettleCall("call-1", 11_735_000, usage, lines, 200, "reported usage"))
    clock.advance(41)
    ledger.post(call("call-2", 2_310, 2_000, clock))
    ledger.post(cmd.MarkSent("call-2", ("service_tier: none -> default",)))
    clock.advance(9)
    for call_id in ("call-3", "call-4", "call-5"):
        refuse(ledger, call(call_id, 12_400, 2_000, clock))
        clock.advance(0.4)
    ledger._desk.write_due()  # what the daemon's timer does
    # The machine loses its power while call-2 is under way.
    disk = disk.crash()
    clock.advance(110)
    ledger = opened(disk, clock, rng)
    clock.advance(3_600)
    ledger.post(cmd.AdjustCall("call-2", 14_230_000, "the provider's bill", "cli"))
    clock.advance(30)
    await ledger.close("shutdown")
    return disk


def blocks(language: str) -> list[str]:
    """Return the code blocks of a language in the document."""
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)


async def test_the_example_is_what_the_code_writes() -> None:
    """Byte for byte, its head file too."""
    disk = await example()
    (journal,) = blocks("jsonl")
    assert journal.encode() == disk.read(SEGMENT)
    (head,) = blocks("head")
    assert b"".join(f"{slot:127}\n".encode() for slot in head.splitlines()) == disk.read(HEAD)


def test_the_example_verifies_by_the_documents_words() -> None:
    """Chain, head and balances; and no byte of it can change."""
    raw = blocks("jsonl")[0].encode()
    records = read_lines([raw])
    slots = b"".join(f"{slot:127}\n".encode() for slot in blocks("head")[0].splitlines())
    assert read_head(slots) == (len(records), records[-1]["h"], 1)
    assert read_balances(records) == {"agent-a": [50_000_000, 25_965_000, 0]}
    for index in range(0, len(raw), 7):
        changed = raw[:index] + bytes([raw[index] ^ 1]) + raw[index + 1 :]
        with pytest.raises(DamageError):
            read_lines([changed])


def test_the_question_is_answered_by_numbers_that_stand_in_the_lines() -> None:
    """Each number of the answer, and each line it names, is as it says."""
    records = read_lines([blocks("jsonl")[0].encode()])
    by_seq = {record["seq"]: record for record in records}
    section = " ".join(DOCUMENT.split("## Why was agent A refused at 03:12?")[1].split())
    claims = re.findall(r"`(\w+)` = `([^`]*)` \(line (\d+)\)", section)
    assert len(claims) == section.count("` = `") > 10
    for name, value, seq in claims:
        record = by_seq[int(seq)]
        assert str((record | record.get("facts", {}))[name]) == value, (seq, name)
    (refused,) = [record for record in records if record["t"] == "refused"]
    assert refused["at"].startswith("2026-11-23T03:12:")
    fact = refused["facts"]
    before = next(record for record in reversed(records[: refused["seq"] - 1]) if "funded_nusd" in record)
    remaining_nusd = before["funded_nusd"] - before["settled_nusd"]
    input_nusd = fact["input_tokens_bound"] * before["rates"]["input"] // 1_000
    token_nusd = before["rates"]["output"] // 1_000
    assert fact["affordable_max_tokens"] == (remaining_nusd - input_nusd) // token_nusd
    assert input_nusd + fact["floor_output_tokens"] * token_nusd == 41_240_000 > remaining_nusd == 38_265_000


# -- any journal of the code -------------------------------------------------------------------------------


def test_a_long_life_reads_by_the_documents_words() -> None:
    """Small segments, compaction, archive, a backup and its restore: the reader follows, and agrees."""
    disk, clock = SimDisk(), SimClock()
    ledger = open_ledger(disk, clock, segment_bytes=SEGMENT_BYTES)
    first_steps(ledger)
    for seed in range(4):
        busy(ledger, clock, 60, seed)
        compact(ledger, disk)
    back_up(FOLDER, TARGET, disk=disk, clock=clock, version="0.3.0")
    restore(TARGET, FOLDER, disk=(disk := disk.killed()), clock=clock, actor="cli")
    ledger = open_ledger(disk, clock)
    ledger.post(cmd.ConfirmRestored(AGENTS[0], 5, "the bill", "cli"))

    archived = {path.name for path in disk.files if path.parent == FOLDER / "archive"}
    live = {path.name for path in disk.files if path.parent == FOLDER and path.name.startswith("seg-")}
    assert archived and live and not archived & live
    folders = dict.fromkeys(archived, FOLDER / "archive") | dict.fromkeys(live, FOLDER)
    records = read_lines([disk.read(folders[name] / name) for name in sorted(folders)])
    seen = {record["t"] for record in records}
    assert seen >= {
        "checkpoint",
        "restored",
        "restore_confirmed",
        "overrun",
        "void",
        "adjust",
        "settle_worst",
        "key_add",
        "key_rotate",
        "key_revoke",
    }
    accounts = ledger.state.accounts.values()
    assert read_balances(records) == {
        a.agent_id: [a.funded_nusd, a.settled_nusd, a.held_nusd] for a in accounts
    }
    assert read_head(disk.read(HEAD)) == (records[-1]["seq"], records[-1]["h"], 2)
    read, known = read_keys(records), ledger.state.agent_keys
    assert any("keys" in record for record in records)
    assert {key.key_id: [key.settled_nusd, key.held_nusd, key.revoked] for key in known.values()} == {
        key_id: read[key_id] for key_id in known
    }

    checkpoint = next(record for record in reversed(records) if record["t"] == "checkpoint")
    raw = disk.read(FOLDER / checkpoint["snapshot"])
    snapshot = read_sealed(raw)
    named = (checkpoint["through_seq"], checkpoint["through_h"], checkpoint["sha256"], checkpoint["bytes"])
    assert named == (snapshot["seq"], snapshot["h"], snapshot["sha256"], len(raw))
    through = read_balances(records[: snapshot["seq"]])
    for account in snapshot["accounts"]:
        balances = [account["funded_nusd"], account["settled_nusd"], account["held_nusd"]]
        assert through[account["agent_id"]] == balances
    manifest = read_sealed(disk.read(TARGET / "manifest.json"))
    for entry in manifest["files"]:
        raw = disk.read(TARGET / entry["path"])
        assert (len(raw), hashlib.sha256(raw).hexdigest()) == (entry["bytes"], entry["sha256"])
    restored = next(record for record in records if record["t"] == "restored")
    assert restored["manifest_sha256"] == manifest["sha256"]


# -- every record, field and member ------------------------------------------------------------------------

JSON_KINDS: dict[Any, str] = {int: "integer", str: "string", bool: "boolean", list: "array", dict: "object"}
SHAPES = {
    "snapshot": Snapshot,
    "daemon account": DaemonAccount,
    "account": Account,
    "open call": OpenCall,
    "ended call": EndedCall,
    "key": KeyBound,
    "bound": Bound,
    "agent's run": AgentRun,
    "run": RunView,
    "call view": CallView,
    "deed": Deed,
    "agent's key": AgentKey,
    "manifest": Manifest,
    "file": FileEntry,
    "idempotency": ev.Idempotency,
    "policy": ev.AgentPolicy,
}


def kind_of(hint: Any) -> str:
    """Return how the document names a type: a JSON kind, and whether it may be null."""
    is_union = typing.get_origin(hint) in (types.UnionType, typing.Union)
    options = typing.get_args(hint) if is_union else (hint,)
    kinds = {_kind(option) for option in options if option is not types.NoneType}
    (kind,) = kinds
    return f"{kind} or null" if types.NoneType in options else kind


def _kind(hint: Any) -> str:
    origin = typing.get_origin(hint) or hint
    if origin is typing.Literal:
        return "string"
    if origin in (list, tuple):
        return "array"
    is_object = dataclasses.is_dataclass(origin) or issubclass(origin, msgspec.Struct)
    return "object" if is_object else JSON_KINDS[origin]


def members_of(shape: Any) -> list[tuple[str, str]]:
    """Return the members of a shape of the code, in order, with their types."""
    return [(name, kind_of(hint)) for name, hint in typing.get_type_hints(shape).items() if name[0] != "_"]


def documented_members(text: str) -> list[tuple[str, str]]:
    """Return the members that a cell or table names, in order, with their types."""
    kinds = "string|integer|boolean|array|object"
    return [tuple(found) for found in re.findall(rf"`(\w+)` ((?:{kinds})(?: or null)?)\b", text)]


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table rows between a heading and the next, without the table's own head."""
    (section,) = re.findall(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return [cells for cells in lines if cells[0].startswith("`")]


def test_every_record_is_documented_with_its_fields_in_order() -> None:
    """And what may be null or absent; and no record or field that the code does not write."""
    said = {}
    for heading in ("The daemon's records", "An agent's records", "A call's records"):
        for cells in rows(heading):
            fields = re.findall(r"`(\w+)`( or null| or absent)?", cells[1])
            said[cells[0].strip("`")] = [name + mark for name, mark in fields]
    assert said == {kind.__struct_config__.tag: _marked(kind) for kind in ev.Event.__args__}


def _marked(kind: type[msgspec.Struct]) -> list[str]:
    marked = []
    for field in msgspec.structs.fields(kind):
        absent = not field.required and kind.__struct_config__.omit_defaults
        null = kind_of(typing.get_type_hints(kind)[field.name]).endswith("or null")
        marked.append(field.name + (" or absent" if absent else " or null" if null else ""))
    return marked


def test_every_field_has_its_type_and_meaning() -> None:
    """One row for each name; a name has one type, wherever it stands."""
    kinds = {
        (name, kind.removesuffix(" or null"))
        for record in ev.Event.__args__
        for name, kind in members_of(record)
    }
    table = rows("Fields")
    assert sorted(pair for cells in table for pair in documented_members(cells[0])) == sorted(kinds)
    assert all(len(cells) == 2 and len(cells[1]) > 10 for cells in table)


@pytest.mark.parametrize("name", SHAPES)
def test_every_member_of_the_other_files_is_documented(name: str) -> None:
    """Snapshots, manifests and what is nested in them, each member with its type, in order."""
    if name == "snapshot":
        text = " ".join(cells[0] for cells in rows("Snapshots"))
    else:
        (text,) = re.findall(rf"^- {name}: (.*)$", DOCUMENT, re.MULTILINE)
    ends = [("sha256", "string")] if name in ("snapshot", "manifest") else []
    assert documented_members(text) == members_of(SHAPES[name]) + ends


def test_the_envelope_the_facts_and_the_counts_are_documented() -> None:
    """What every line has around its record; what a refusal may tell; what a usage may count."""
    line = json.loads(blocks("jsonl")[0].splitlines()[0])
    assert [cells[0].strip("`") for cells in rows("Lines")] == [*list(line)[:7], "h"]
    said = [name for cells in rows("Refused calls") for name in re.findall(r"`(\w+)`", cells[0])]
    assert sorted(said) == sorted([*FACTS, *PLAIN_FACTS, SETTING])
    codes = re.search(r"^Most common `code`: (.*?)\. ", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert codes is not None
    assert set(re.findall(r"`(\w+)`", codes[1])) <= {code.value for code in Code}
    (usage,) = [cells[1] for cells in rows("Fields") if cells[0] == "`usage` object"]
    assert set(re.findall(r"`(\w+_tokens)`", usage)) == set(_COUNTS)
    (lines,) = [cells[1] for cells in rows("Fields") if cells[0] == "`lines` array"]
    assert re.findall(r"`(\w+)`", lines) == ["name", "quantity", "unit", "rate", "cost_nusd"]
    assert (VERSION, READER) == (1, 2)


def test_the_bounds_are_those_of_the_code() -> None:
    """Every number that the document gives for a bound; a bound that changes must change here."""
    text = " ".join(DOCUMENT.split())
    for phrase, bound in (
        ("16,384 bytes", lines.LINE_BYTES_MAX),
        ("of its own) 15,872", lines.BODY_BYTES_MAX),
        ("slots of 128 bytes", lines.SLOT_BYTES),
        ("open segment has 8 MiB", rolling.SEGMENT_BYTES / 2**20),
        ("16 MiB of chance", LIMITS.ballast_bytes / 2**20),
        ("(`ledger_full`) | 64 MiB", LIMITS.free_bytes_min / 2**20),
        ("64 KiB of such lines an hour", refusals.AGENT_HOUR_BYTES / 2**10),
        ("together 4 MiB a day", refusals.DAY_BYTES / 2**20),
        ("10,000 pairs of agent and code", refusals.WAITING_MAX),
        ("at most 300 characters", refusals.DETAIL_CHARS_MAX),
        ("cut at 200 characters", refusals.FACT_CHARS_MAX),
        ("within 1 second", refusals.TOGETHER_NS / 10**9),
        ("beyond 50,000", keys.KEYS_MAX),
        ("beyond 2,000", keys.ANSWERS_MAX),
        ("forgotten 24 hours", keys.KEY_TTL_NS / (3_600 * 10**9)),
        ("the last 10,000 ended ones", state.ENDED_MAX),
        ("the last 100,000 unconfirmed calls", state.UNCONFIRMED_MAX),
        ("at most 500 characters", outcomes.REASON_CHARS_MAX),
        ("more than 1 % above its hold", outcomes.OVERRUN_FREEZE_PERCENT),
        ("at most 5,000 agents' runs", history.KEPT_RUNS),
        ("the last 5,000 calls", history.KEPT_CALLS),
        ("the last 500 refused calls", history.KEPT_REFUSALS),
        ("the latest 2 are kept", compaction.SNAPSHOTS_KEPT),
        ("has at most 1,000 keys", agent_keys.KEYS_MAX),
        ("all but the last 100 in the order", key_ring.DEAD_KEPT),
        ("for people, at most 100 characters", agent_keys.LABEL_CHARS_MAX),
        ("at most 32 of", agent_keys.MODELS_MAX),
    ):
        assert phrase in text, phrase
        (number,) = re.findall(r"[0-9][0-9,]*", phrase)
        assert int(number.replace(",", "")) == bound, phrase
