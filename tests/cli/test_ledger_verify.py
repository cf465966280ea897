"""`ledger verify`: a whole ledger passes, also while it is written; a changed one is named to the byte."""

import json
import os
import threading
from pathlib import Path

import httpx
import pytest

from ledger_files import archived_history, put_down
from shell import Quick, Shell, Terminal
from spendguard_daemon.ledger.lines import open_line, seal
from spendguard_daemon.money import format_usd
from until import until


@pytest.fixture
def whole(tmp_path: Path) -> Quick:
    """A shell on a home whose ledger has a long history; its sidecar is down."""
    disk, _ = archived_history()
    put_down(disk, tmp_path / "home" / "ledger")
    return Quick(tmp_path / "home", SPENDGUARD_EXEC="1")


def test_a_whole_ledger_passes_and_is_counted(tmp_path: Path) -> None:
    disk, ledger = archived_history()
    put_down(disk, tmp_path / "home" / "ledger")
    quick = Quick(tmp_path / "home", SPENDGUARD_EXEC="1")
    found = quick.ok("ledger", "verify", "--json").json
    state = ledger.state
    assert (found["ok"], found["flaws"], found["warnings"]) == (True, [], [])
    assert (found["first_seq"], found["last_seq"]) == (1, ledger._book.seq)
    assert (found["settled_usd"], found["held_usd"]) == (
        format_usd(state.daemon.settled_nusd),
        format_usd(state.daemon.held_nusd),
    )
    assert (found["agents"], found["calls_open"]) == (len(state.accounts), len(state.open_calls))
    assert (found["snapshots"], found["backup"]) == (2, False)
    assert quick.ok("ledger", "verify").keys["ok"] == "true"


@pytest.mark.parametrize("where", ["archived", "closed", "last"])
def test_the_first_bad_byte_is_named(whole: Quick, where: str) -> None:
    """A bit that flipped anywhere in a line: the file, the line, and the byte where it begins. Exit 1."""
    folder = whole.home / "ledger"
    archived, live = sorted((folder / "archive").iterdir()), sorted(folder.glob("seg-*"))
    path = {"archived": archived[1], "closed": live[0], "last": live[-1]}[where]
    raw = bytearray(path.read_bytes())
    lines = raw.splitlines(keepends=True)
    before = len(lines) // 2
    begin = sum(map(len, lines[:before]))
    raw[begin + 60] ^= 0b100
    path.write_bytes(raw)
    found = whole.run("ledger", "verify", "--json")
    assert found.code == 1
    first = found.json["flaws"][0]
    assert (first["path"], first["line"], first["byte"]) == (str(path), before + 1, begin)
    error = json.loads(found.err)["error"]
    said, remedy = error["detail"], error["remedy"]
    place = f"{path}, line {before + 1}, byte {begin}"
    assert said == f"The ledger is damaged: {place}: the line's hash does not match its bytes"
    assert remedy.startswith(f"less +{before + 1} {path} ")
    assert "spendguard ledger restore <backup>" in remedy


def test_a_line_taken_from_the_end_is_missed(whole: Quick) -> None:
    """The chain cannot show that; the head can."""
    path = max((whole.home / "ledger").glob("seg-*"))
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    found = whole.run("ledger", "verify")
    assert found.code == 1
    assert "was durable" in found.err


def test_sums_are_checked_where_every_hash_is_right(whole: Quick) -> None:
    """Someone who can reckon hashes, and writes the chain anew, cannot make balances fit by that."""
    path = max((whole.home / "ledger").glob("seg-*"))
    lines = path.read_bytes().splitlines()
    changed, prev = [], ""
    for line in lines:
        envelope = open_line(line)
        if b'"settled_nusd":' in line and not prev:
            line = line.replace(b'"settled_nusd":', b'"settled_nusd":1')
            prev = envelope.prev
        if prev:
            body = b"{" + line[line.index(b'"t":') : line.rindex(b',"h":')] + b"}"
            line, prev = seal(envelope.seq, envelope.ack, prev, 1_800_300_000 * 10**9, body)
            line = line[:-1]
        changed.append(line)
    assert prev
    path.write_bytes(b"\n".join(changed) + b"\n")
    (whole.home / "ledger" / "head").unlink()
    found = whole.run("ledger", "verify", "--json")
    assert found.code == 1
    assert found.json["flaws"][0]["path"] == str(path)


def test_a_live_ledger_is_never_taken_for_a_damaged_one(shell: Shell) -> None:
    """Again and again under load, from several clients at once; and a copy that is made meanwhile."""
    agents = [shell.agent(f"busy-{number}", cents=10_000) for number in range(3)]
    quick, stop = shell.quick, threading.Event()
    url = f"http://127.0.0.1:{shell.daemon()['port']}/v1/chat/completions"
    body = {"model": "mock-small", "max_tokens": 20, "messages": [{"role": "user", "content": "hello"}]}
    answered: list[int] = []

    def load(agent_id: str) -> None:
        with httpx.Client(trust_env=False, headers={"x-cynsta-agent-id": agent_id}) as client:
            while not stop.is_set():
                answered.append(client.post(url, json=body).status_code)

    threads = [threading.Thread(target=load, args=(agent_id,)) for agent_id in agents]
    for thread in threads:
        thread.start()
    try:
        until(lambda: answered)
        found = [quick.ok("ledger", "verify", "--json").json for _ in range(8)]
        before = len(answered)
        until(lambda: len(answered) > before)
        found.append(quick.ok("ledger", "verify", "--json").json)
        copy = quick.ok("ledger", "backup", str(shell.home.parent / "copy")).keys
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(answered) == {200}
    assert all(one["ok"] and not one["warnings"] for one in found if not one["unfinished_bytes"])
    seqs = [one["last_seq"] for one in found]
    assert seqs == sorted(seqs)
    assert seqs[0] < seqs[-1] <= int(copy["last_seq"])
    checked = quick.ok("ledger", "verify", copy["path"], "--json").json
    assert (checked["ok"], checked["backup"], checked["last_seq"]) == (True, True, int(copy["last_seq"]))


def test_a_backup_is_checked_against_its_manifest(whole: Quick, tmp_path: Path) -> None:
    """Also what no chain of hashes can show: a file that is missing or another's, a manifest that is none."""
    copy = tmp_path / "copy"
    whole.ok("ledger", "backup", str(copy))
    assert whole.ok("ledger", "verify", str(copy / "manifest.json")).keys["backup"] == "true"
    head = (copy / "head").read_bytes()
    (copy / "head").write_bytes(head.replace(b"0", b"1", 1))
    found = whole.run("ledger", "verify", str(copy), "--json")
    assert (found.code, found.json["flaws"][0]["path"]) == (1, str(copy / "head"))
    assert "another backup" in found.err
    (copy / "head").unlink()
    assert "it is missing" in whole.run("ledger", "verify", str(copy)).err
    (copy / "head").write_bytes(head)
    (copy / "manifest.json").write_bytes(b"\xff{")
    assert "manifest.json, line 1, byte 0: its hash" in whole.run("ledger", "verify", str(copy)).err


def test_a_terminal_sees_a_bar_and_then_the_result(whole: Quick) -> None:
    terminal = Terminal(whole, "ledger", "verify")
    assert terminal.end() == 0
    assert b"verifying" in terminal.said
    assert "✓ ".encode() in terminal.said
    assert b"ledger is whole" in terminal.said
    path = min((whole.home / "ledger").glob("seg-*"))
    path.write_bytes(b"x" + path.read_bytes()[1:])
    damaged = Terminal(whole, "ledger", "verify")
    assert damaged.end() == 1
    assert b"ledger is damaged" in damaged.said
    assert path.name.encode() in damaged.said


@pytest.mark.parametrize("verb", ["verify", "export", "backup"])
def test_a_home_without_a_ledger_has_none(bare: Quick, verb: str) -> None:
    target = [str(bare.home.parent / "new")] if verb == "backup" else []
    refused = bare.run("ledger", verb, *target)
    assert (refused.code, refused.out) == (3, "")
    assert refused.err.splitlines() == [
        f"error: There is no ledger in {bare.home}: no sidecar was ever started there",
        "try: spendguard up",
    ]
    assert list(bare.home.parent.iterdir()) == []


def test_what_is_no_ledger_is_refused_in_a_sentence(whole: Quick, tmp_path: Path) -> None:
    """A path that is not there, a folder and a file that are none, for all that take a path."""
    garbage, folder = tmp_path / "garbage", tmp_path / "folder"
    garbage.write_bytes(os.urandom(5_000))
    folder.mkdir()
    (folder / "seg-x.jsonl").write_bytes(b"{}")
    for path in (tmp_path / "nowhere", folder, garbage):
        refused = whole.run("ledger", "verify", str(path))
        assert (refused.code, refused.out) == (2, "")
        assert refused.err.startswith(f"error: {path} ")
    made = folder / "made"
    made.mkdir()
    (made / "seg-000000000001.jsonl").write_bytes(os.urandom(5_000) + b"\n")
    (made / "head").write_bytes(os.urandom(300))
    (made / "manifest.json").write_bytes(b"[]")
    assert whole.run("ledger", "verify", str(made)).code == 1
    (made / "seg-000000000002.jsonl").mkdir()
    unreadable = whole.run("ledger", "verify", str(made))
    assert (unreadable.code, unreadable.out) == (1, "")
    assert unreadable.err.startswith("error: ")


@pytest.mark.parametrize("file", ["nowhere/out.csv", "home/ledger/head", "."])
def test_an_export_goes_only_where_it_may(whole: Quick, tmp_path: Path, file: str) -> None:
    head = (whole.home / "ledger" / "head").read_bytes()
    refused = whole.run("ledger", "export", "--output", str(tmp_path / file))
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("error: --output: ")
    assert (whole.home / "ledger" / "head").read_bytes() == head


def test_a_backup_goes_only_where_nothing_is(whole: Quick, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path, tmp_path / "file", whole.home / "ledger" / "copy"):
        refused = whole.run("ledger", "backup", str(path))
        assert (refused.code, refused.out) == (2, ""), path
    assert (tmp_path / "file").read_text() == "mine"
    assert not (whole.home / "ledger" / "copy").exists()
