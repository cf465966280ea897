"""`ledger export`: all that was ever spent, out of archive and live segments, in sums that are right."""

import csv
import io
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from ledger_files import archived_history, costs, put_down, records
from shell import Quick
from spendguard_cli.ledger.exporting import moment
from spendguard_cli.ledger.sheet import csv_lines
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger.state import State
from spendguard_daemon.money import format_usd

KEYS = {
    "agent": ("agent_id",),
    "run": ("agent_id", "run_id"),
    "model": ("provider", "model"),
    "day": ("day",),
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, State]:
    """A home whose ledger has archived segments, and the state of the ledger that wrote them."""
    disk, ledger = archived_history()
    home = tmp_path_factory.mktemp("kept") / "home"
    put_down(disk, home / "ledger")
    assert len(list((home / "ledger" / "archive").iterdir())) > 5
    return home, ledger.state


@pytest.fixture
def quick(kept: tuple[Path, State]) -> Quick:
    return Quick(kept[0], SPENDGUARD_EXEC="1")


def rows(quick: Quick, *arguments: str) -> list[dict[str, Any]]:
    """Return the rows of an export in JSON Lines."""
    said = quick.ok("ledger", "export", "--format", "jsonl", *arguments).out
    return [json.loads(line) for line in said.splitlines()]


def test_the_rows_of_an_agent_add_up_to_what_it_has_settled(quick: Quick, kept: tuple[Path, State]) -> None:
    """By call, and by agent; what is open is told with what it holds."""
    accounts = kept[1].accounts
    by_call, by_agent = rows(quick), {row["agent_id"]: row for row in rows(quick, "--by", "agent")}
    assert {row["state"] for row in by_call} >= {"settled", "settled_worst", "voided", "overrun", "held"}
    assert any(row["charged_nusd"] is not None for row in by_call)
    known = kept[1].ended | kept[1].unconfirmed
    told = {row["call_id"]: row["keys"] for row in by_call if row["call_id"] in known}
    assert told == {call_id: " ".join(call.keys) for call_id, call in known.items()}
    assert any(told.values())
    assert any(row["keys"] for row in by_call if row["state"] == "held")
    for agent_id, account in accounts.items():
        mine = [row for row in by_call if row["agent_id"] == agent_id]
        assert sum(row["cost_nusd"] for row in mine) == account.settled_nusd
        assert sum(row["hold_nusd"] for row in mine if row["state"] == "held") == account.held_nusd
        whole = by_agent[agent_id]
        assert (whole["cost_nusd"], whole["cost_usd"]) == (
            account.settled_nusd,
            format_usd(account.settled_nusd),
        )
        assert (whole["calls"], whole["held"]) == (len(mine), account.calls_open)
        assert whole["agent_name"] == account.name
    assert len({row["call_id"] for row in by_call}) == len(by_call)


@pytest.mark.parametrize("by", list(KEYS))
def test_each_grouping_says_what_a_plain_reader_of_the_json_adds_up(
    quick: Quick, kept: tuple[Path, State], by: str
) -> None:
    told = {tuple(row[name] for name in KEYS[by]): row for row in rows(quick, "--by", by)}
    wanted = costs(records(kept[0] / "ledger"))[by]
    assert {key: row["cost_nusd"] for key, row in told.items() if row["cost_nusd"]} == {
        key: nusd for key, nusd in wanted.items() if nusd
    }
    assert sum(row["cost_nusd"] for row in told.values()) == kept[1].daemon.settled_nusd
    assert by != "day" or (len(told) > 1 and list(told) == sorted(told))


def test_unconfirmed_money_is_all_of_it(quick: Quick, kept: tuple[Path, State]) -> None:
    """What `status` counts, call for call; and grouped."""
    state = kept[1]
    told = rows(quick, "--unconfirmed")
    assert {row["call_id"] for row in told} == set(state.unconfirmed)
    assert sum(row["cost_nusd"] for row in told) == state.unconfirmed_nusd
    assert {row["state"] for row in told} == {"settled_worst", "overrun"}
    grouped = rows(quick, "--unconfirmed", "--by", "agent")
    assert sum(row["unconfirmed_nusd"] for row in grouped) == state.unconfirmed_nusd
    assert sum(row["calls"] for row in grouped) == state.unconfirmed_calls


def test_csv_reads_back_as_the_same_rows(quick: Quick, tmp_path: Path) -> None:
    """On stdout and in a file, which only its owner may read."""
    plain = rows(quick)
    back = list(csv.DictReader(io.StringIO(quick.ok("ledger", "export").out)))
    assert [(row["call_id"], row["cost_nusd"], row["cost_usd"], row["agent_name"]) for row in back] == [
        (row["call_id"], str(row["cost_nusd"]), row["cost_usd"], row["agent_name"]) for row in plain
    ]
    assert {row["unconfirmed"] for row in back} == {"true", "false"}
    file = tmp_path / "out.csv"
    said = quick.ok("ledger", "export", "--output", str(file)).keys
    assert list(csv.DictReader(io.StringIO(file.read_text()))) == back
    assert (said["rows"], said["cost_nusd"]) == (str(len(back)), str(sum(r["cost_nusd"] for r in plain)))
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_link_and_a_pipe_are_written_to_and_stay_what_they_are(quick: Quick, tmp_path: Path) -> None:
    """As `--output /dev/stdout`, which must not become a file."""
    wanted = quick.ok("ledger", "export", "--by", "agent").out
    file, link, pipe = tmp_path / "file", tmp_path / "link", tmp_path / "pipe"
    file.touch()
    link.symlink_to(file)
    quick.ok("ledger", "export", "--by", "agent", "-o", str(link))
    assert (link.is_symlink(), file.read_text()) == (True, wanted)
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: file.write_text(pipe.read_text()))
    file.write_text("")
    reader.start()
    quick.ok("ledger", "export", "--by", "agent", "-o", str(pipe))
    reader.join()
    assert (pipe.is_fifo(), file.read_text()) == (True, wanted)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-run", "'-run"),
        ("@SUM(A1)", "'@SUM(A1)"),
        (" =1", "' =1"),
        ("\uff1d1", "'\uff1d1"),
        ('say "no", twice', 'say "no", twice'),
        ("two\nlines", "two lines"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_no_text_is_a_formula(text: str, cell: str) -> None:
    lines = csv_lines(("name", "cost_usd"), [{"name": text, "cost_usd": "-0.50"}])
    assert list(csv.reader(io.StringIO("".join(lines))))[1] == [cell, "-0.50"]


def test_times_part_the_calls(quick: Quick) -> None:
    """`--from` is in, `--to` is not, but a day named there is; together they are all."""
    days = [row["day"] for row in rows(quick, "--by", "day")]
    first, last = days[0], days[-1]
    whole = rows(quick)
    assert rows(quick, "--from", first, "--to", last) == whole
    cut = sorted(row["ended_at"] for row in whole if row["ended_at"])[len(whole) // 3]
    before, after = rows(quick, "--to", cut), rows(quick, "--from", cut)
    assert len(before) + len(after) == len(whole)
    assert {row["call_id"] for row in before} | {row["call_id"] for row in after} == {
        row["call_id"] for row in whole
    }
    assert rows(quick, "--to", first, "--by", "day")[-1]["day"] == first
    assert rows(quick, "--from", "2999-01-01") == []
    head = quick.ok("ledger", "export", "--from", "2999-01-01").out
    assert head.startswith("call_id,agent_id,") and head.count("\n") == 1


def test_an_hour_of_another_zone_is_the_same_hour() -> None:
    assert moment("--from", "2026-11-23T04:12:00+01:00", ends=False) == moment(
        "--to", "2026-11-23T03:12:00Z", ends=True
    )
    assert moment("--to", "2026-11-23", ends=True) == moment("--from", "2026-11-24", ends=False)
    assert moment("--from", "1970-01-01T00:00:01.000001", ends=False) == 1_000_001_000


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "9999-12-31", "0001-01-01T00:00+23:00"])
def test_what_is_no_time_is_a_usage_error_naming_the_option(text: str) -> None:
    with pytest.raises(SpendGuardError) as caught:
        moment("--to", text, ends=True)
    assert caught.value.code is Code.USAGE
    assert caught.value.detail.startswith("--to: ")


def test_one_agent_by_id_or_by_name(quick: Quick, kept: tuple[Path, State]) -> None:
    agent_id, account = next(iter(kept[1].accounts.items()))
    by_id = rows(quick, "--agent", agent_id)
    assert {row["agent_id"] for row in by_id} == {agent_id}
    assert by_id == rows(quick, "--agent", account.name or "")
    missing = quick.run("ledger", "export", "--agent", "nobody")
    assert (missing.code, missing.out) == (4, "")


def test_without_its_archive_an_export_says_what_is_missing(kept: tuple[Path, State], tmp_path: Path) -> None:
    """Unconfirmed calls are all there still, and so are corrections of calls that are not."""
    disk, ledger = archived_history()
    put_down(disk, tmp_path / "home" / "ledger")
    for segment in (tmp_path / "home" / "ledger" / "archive").iterdir():
        segment.unlink()
    quick = Quick(tmp_path / "home", SPENDGUARD_EXEC="1")
    told = quick.ok("ledger", "export", "--unconfirmed", "--json")
    assert told.err.startswith("warning: records 1 to ")
    found = [json.loads(line) for line in told.out.splitlines()]
    assert {row["call_id"] for row in found} == set(ledger.state.unconfirmed)
    whole = rows(quick)
    assert {row["call_id"] for row in whole if row["state"] == "held"} == set(ledger.state.open_calls)
    corrected = [row for row in whole if row["state"] == "adjusted"]
    assert corrected
    assert {(row["reason"], row["hold_nusd"]) for row in corrected} == {("the bill", 0)}


def test_what_is_just_being_written_is_left_out(kept: tuple[Path, State], tmp_path: Path) -> None:
    disk, _ = archived_history()
    put_down(disk, tmp_path / "home" / "ledger")
    quick = Quick(tmp_path / "home", SPENDGUARD_EXEC="1")
    before = rows(quick)
    with max((tmp_path / "home" / "ledger").glob("seg-*")).open("ab") as file:
        file.write(b'{"v":1,"seq":99999,"ack"')
    assert rows(quick) == before


def test_nothing_is_told_of_a_damaged_ledger(kept: tuple[Path, State], tmp_path: Path) -> None:
    disk, _ = archived_history()
    put_down(disk, tmp_path / "home" / "ledger")
    segment = sorted((tmp_path / "home" / "ledger" / "archive").iterdir())[2]
    raw = bytearray(segment.read_bytes())
    raw[100] ^= 1
    segment.write_bytes(raw)
    quick = Quick(tmp_path / "home", SPENDGUARD_EXEC="1")
    refused = quick.run("ledger", "export", "--output", str(tmp_path / "out.csv"))
    assert (refused.code, refused.out) == (78, "")
    assert f"{segment.name}, line 1, byte 0" in refused.err
    assert "spendguard ledger verify" in refused.err
    assert not (tmp_path / "out.csv").exists()
