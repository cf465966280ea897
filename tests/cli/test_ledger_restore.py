"""From a backup of a running ledger to agents that call again: each step as the one before says it."""

import csv
import io
import json
import shlex
from pathlib import Path

import httpx
import pytest

from ledger_files import records
from shell import Ran, Shell, Terminal
from spendguard_daemon.money import format_usd, parse_usd
from until import until


def typed(shell: Shell, order: str) -> Ran:
    """Type a command as it was shown."""
    program, *words = shlex.split(order)
    assert program == "spendguard"
    return shell.run(*words)


def by_key(shell: Shell, key: str) -> httpx.Response:
    """Call with an agent key alone."""
    url = f"http://127.0.0.1:{shell.daemon()['port']}/v1/chat/completions"
    body = {"model": "mock-small", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
    return httpx.post(url, json=body, headers={"authorization": f"Bearer {key}"}, trust_env=False)


def settled_nusd(shell: Shell, agent_id: str) -> int:
    return parse_usd(shell.ok("agent", "get", agent_id, "--json").json["settled_usd"])


def test_a_backup_is_put_back_and_its_agents_go_on(shell: Shell, tmp_path: Path) -> None:
    """The daemon must be down; each agent is frozen until it is said what it spent since; nothing is lost."""
    one, other = shell.agent("one", cents=500), shell.agent("other", cents=500)
    quick, copy = shell.quick, tmp_path / "a copy"
    shell.call(one, max_tokens=50)
    before = settled_nusd(quick, one)
    until(lambda: records(shell.home / "ledger")[-1]["t"] == "settle")  # its end is on disk a moment later
    made = quick.ok("ledger", "backup", str(copy), "--json").json
    assert (made["generation"], made["agents"], made["path"]) == (1, 2, str(copy))
    shell.call(one, metadata={"mock": "lie:missing"})
    after = settled_nusd(quick, one)
    assert after > before

    refused = quick.run("ledger", "restore", str(copy), "--yes")
    assert (refused.code, refused.out) == (78, "")
    assert refused.err.splitlines()[1] == f"try: spendguard down, then spendguard ledger restore '{copy}'"
    quick.ok("down")
    asked = quick.run("ledger", "restore", str(copy))
    assert (asked.code, asked.err.splitlines()[1]) == (2, "try: add --yes")
    done = quick.ok("ledger", "restore", str(copy), "--yes", "--json").json
    assert (done["generation"], done["created"]) == (2, made["created"])
    assert Path(done["moved_to"]).name.startswith("ledger.before-")
    assert records(Path(done["moved_to"]))[-1]["t"] == "close"
    waits = {row["name"]: row for row in done["agents"]}
    assert [row["agent_id"] for row in done["agents"]] == [one, other]
    assert parse_usd(waits["one"]["spent_since_usd"]) == after - before
    assert waits["other"]["spent_since_usd"] == "0.00"

    assert quick.ok("ledger", "verify").keys["generation"] == "2"
    shell.ok("up")
    assert shell.call(one).json()["spendguard"]["code"] == "agent_frozen"
    assert "agent unfreeze one --spent" in quick.ok().keys["next"]
    explained = quick.run("agent", "unfreeze", "one")
    assert explained.code == 5
    assert f"try: spendguard agent unfreeze {one} --spent <amount>" in explained.err

    freed = typed(quick, waits["one"]["next"])
    assert (freed.code, freed.keys["frozen"], freed.keys["restored"]) == (0, "false", "false")
    assert settled_nusd(quick, one) == after
    again = typed(quick, waits["one"]["next"])
    assert again.code == 2
    assert settled_nusd(quick, one) == after
    assert shell.call(one, max_tokens=50).status_code == 200
    assert shell.call(other).status_code == 402
    freed = quick.ok("agent", "unfreeze", "other", "--spent", "1.25usd", "--reason", "the bill of May")
    assert freed.keys["remaining_cents"] == "375"

    told = [json.loads(line) for line in quick.ok("ledger", "export", "--json").out.splitlines()]
    entered = {row["agent_id"]: row for row in told if row["state"] == "entered"}
    assert (entered[other]["cost_usd"], entered[other]["reason"]) == ("1.25", "the bill of May")
    for agent_id in (one, other):
        mine = [row["cost_nusd"] for row in told if row["agent_id"] == agent_id]
        assert sum(mine) == settled_nusd(quick, agent_id)


def test_a_loss_may_be_accepted_and_another_freeze_ends_with_it(shell: Shell, tmp_path: Path) -> None:
    """`--spent 0`; whoever was frozen before the backup calls again as well, for that is what was typed."""
    agent_id = shell.agent("one", cents=500)
    quick = shell.quick
    quick.ok("agent", "freeze", agent_id, "--reason", "it loops")
    quick.ok("ledger", "backup", str(tmp_path / "copy"))
    quick.ok("down")
    shown = quick.ok("ledger", "restore", str(tmp_path / "copy"), "-y")
    assert f'next="spendguard agent unfreeze {agent_id} --spent 0.00usd"' in shown.out
    assert shell.ok("agent", "get", agent_id).keys["frozen_reason"] == "it loops"
    freed = quick.ok("agent", "unfreeze", agent_id, "--spent", "0").keys
    assert (freed["frozen"], freed["settled_usd"]) == ("false", "0.00")
    assert shell.call(agent_id).status_code == 200


def test_no_key_comes_back_with_a_backup(shell: Shell, tmp_path: Path) -> None:
    """One that was revoked since, one that was not: each is unknown, and no bare id gets in."""
    agent_id, other = shell.agent("one", cents=500), shell.agent("other", cents=500)
    quick, copy = shell.quick, str(tmp_path / "copy")
    kept, leaked = (quick.ok("agent", "key", "one", "--label", label).keys for label in ("kept", "leaked"))
    quick.ok("ledger", "backup", copy)
    assert by_key(shell, kept["key"]).status_code == by_key(shell, leaked["key"]).status_code == 200
    quick.ok("agent", "key", "one", "--revoke", leaked["key_id"])
    quick.ok("down")
    done = quick.ok("ledger", "restore", copy, "--yes")
    assert "all agent keys have ended with this; spendguard agent key <agent> makes new ones" in done.err
    assert quick.ok("ledger", "verify").keys["ok"] == "true"
    shell.ok("up")
    for _ in range(2):
        for key in (kept, leaked):
            refused = by_key(shell, key["key"])
            assert (refused.status_code, refused.json()["spendguard"]["code"]) == (401, "key_unknown")
        refused = shell.call(agent_id)
        assert (refused.status_code, refused.json()["spendguard"]["code"]) == (401, "key_required")
        freed = quick.ok("agent", "unfreeze", "one", *(() if _ else ("--spent", "0.01usd")))
    assert freed.err == "", "said once, where it was entered"
    freed = quick.ok("agent", "unfreeze", "other", "--spent", "0")
    assert f"keys from before the restore have ended; spendguard agent key {other} makes" in freed.err
    assert shell.call(other).status_code == 200, "who never had a key needs none"
    new = quick.ok("agent", "key", "one")
    assert "only its id" not in new.err, "that was so before"
    assert by_key(shell, new.keys["key"]).status_code == 200


def test_what_cannot_be_spent_is_not_entered(shell: Shell) -> None:
    agent_id = shell.agent("one", cents=500)
    quick = shell.quick
    for words in (
        ["--spent", "1.5"],
        ["--spent", "much"],
        ["--spent=-1"],
        ["--spent", "5"],
        ["--reason", "alone"],
    ):
        refused = quick.run("agent", "unfreeze", agent_id, *words)
        assert (refused.code, refused.out) == (2, ""), words
    refused = quick.run("agent", "unfreeze", agent_id, "--spent", "5", SPENDGUARD_EXEC="1")
    assert refused.code == 5


def test_the_route_takes_an_exact_amount_once(shell: Shell, tmp_path: Path) -> None:
    """`POST /v1/agents/{id}/confirm`, and the PATCH that is refused before it."""
    agent_id = shell.agent("one", cents=500)
    shell.quick.ok("ledger", "backup", str(tmp_path / "copy"))
    shell.quick.ok("down")
    shell.quick.ok("ledger", "restore", str(tmp_path / "copy"), "--yes")
    shell.ok("up")
    token = (shell.home / "admin.token").read_text().strip()
    base = f"http://127.0.0.1:{shell.daemon()['port']}/v1/agents/"
    with httpx.Client(base_url=base, headers={"authorization": f"Bearer {token}"}, trust_env=False) as http:
        early = http.patch(agent_id, json={"frozen": False})
        assert (early.status_code, early.json()["spendguard"]["code"]) == (409, "restore_unconfirmed")
        for body in ({}, {"spent_usd": 1}, {"spent_usd": "-1"}, {"spent_usd": "1e3"}, {"spent_usd": ""}):
            refused = http.post(f"{agent_id}/confirm", json=body)
            assert (refused.status_code, refused.json()["spendguard"]["path"]) == (400, "spent_usd"), body
        assert http.post("none/confirm", json={"spent_usd": "1"}).status_code == 404
        done = http.post(f"{agent_id}/confirm", json={"spent_usd": "0.000000001"}).json()
        assert (done["settled_usd"], done["frozen"], done["restored"]) == ("0.000000001", False, False)
        again = http.post(f"{agent_id}/confirm", json={"spent_usd": "0.000000001"})
        assert again.status_code == 400
        assert http.get(agent_id).json()["settled_usd"] == "0.000000001"
    written = [record for record in records(shell.home / "ledger") if record["t"] == "restore_confirmed"]
    assert [(r["spent_nusd"], r["reason"], r["actor"]) for r in written] == [
        (1, "entered by operator", "api")
    ]


def test_a_person_is_asked_before_a_restore(shell: Shell, tmp_path: Path) -> None:
    """No is no; after yes the commands to type are shown, each on a line of its own."""
    agent_id = shell.agent("one", cents=500)
    quick = shell.quick
    copy = str(tmp_path / "copy")
    quick.ok("ledger", "backup", copy)
    before = settled_nusd(quick, agent_id)
    shell.call(agent_id, max_tokens=50)
    since_usd = format_usd(settled_nusd(quick, agent_id) - before)
    quick.ok("down")
    for answer, code in (("n\n", 1), ("y\n", 0)):
        terminal = Terminal(shell, "ledger", "restore", copy)
        terminal.until(b"[y/N]")
        terminal.type(answer)
        assert terminal.end() == code
    # Longer than the terminal is wide, and whole all the same.
    assert f"  spendguard agent unfreeze {agent_id} --spent {since_usd}usd\r\n".encode() in terminal.said
    assert len(f"  spendguard agent unfreeze {agent_id} --spent {since_usd}usd") > 80
    assert len(list(shell.home.glob("ledger.before-*"))) == 1


def test_only_a_backup_is_put_back(shell: Shell, tmp_path: Path) -> None:
    """Not a folder without a manifest, not a changed one; the ledger stays as it is."""
    shell.agent("one", cents=500)
    quick, copy = shell.quick, tmp_path / "copy"
    quick.ok("ledger", "backup", str(copy))
    quick.ok("down")
    before = quick.ok("ledger", "verify").keys
    refused = quick.run("ledger", "restore", str(shell.home), "--yes")
    assert (refused.code, refused.err.splitlines()[1]) == (
        1,
        "try: name a folder that spendguard ledger backup made",
    )
    segment = min(copy.glob("seg-*"))
    segment.write_bytes(segment.read_bytes().replace(b"5000000000", b"5000000001", 1))
    refused = quick.run("ledger", "restore", str(copy), "--yes")
    assert (refused.code, refused.out) == (78, "")
    assert segment.name in refused.err
    assert refused.err.startswith("error: The backup is damaged: ")
    assert refused.err.splitlines()[1].startswith(f"try: spendguard ledger verify {copy}")
    (copy / "manifest.json").write_text("{}")
    assert quick.run("ledger", "restore", str(copy), "--yes").code == 78
    assert quick.run("ledger", "restore", str(tmp_path / "none"), "--yes").code == 2
    assert quick.run("ledger", "restore", str(copy), "--yes", SPENDGUARD_EXEC="1").code == 5
    assert quick.ok("ledger", "verify").keys == before
    assert list(shell.home.glob("ledger.*")) == []


def test_a_fresh_machine_takes_a_backup(shell: Shell, tmp_path: Path) -> None:
    """With no ledger to compare, nobody knows what was spent since: it is asked for in words."""
    agent_id = shell.agent("one", cents=500)
    shell.call(agent_id, max_tokens=50)
    shell.quick.ok("ledger", "backup", str(tmp_path / "copy"))
    new = Shell(tmp_path / "elsewhere" / "home")
    try:
        done = new.quick.ok("ledger", "restore", str(tmp_path / "copy"), "--yes", "--json").json
        (frozen,) = done["agents"]
        assert (frozen["spent_since_usd"], done["moved_to"]) == (None, None)
        assert frozen["next"].endswith("--spent <amount since the backup>")
        assert (new.home.stat().st_mode & 0o777, new.home.parent.exists()) == (0o700, True)
        assert new.ok("agent", "unfreeze", "one", "--spent", "$0.50").keys["remaining_cents"] == "449"
    finally:
        new.end()


@pytest.mark.parametrize("by", ["call", "agent", "run", "model", "day"])
def test_an_export_and_status_say_the_same(served: Shell, by: str) -> None:
    """Settled, at worst, voided and refused calls of a real sidecar, in every grouping."""
    agent_id = served.agent(f"=cmd|' /C calc'!A{by}", cents=50)
    for mock in ("tokens:20", "lie:missing", "fail:429", "fail:500", "tokens:30"):
        served.call(agent_id, max_tokens=100, metadata={"mock": mock})
    assert served.call(agent_id, model="nonsense").status_code == 400
    shown = served.ok("agent", "get", agent_id, "--json").json
    out = served.ok("ledger", "export", "--by", by, "--agent", agent_id).out
    rows = list(csv.DictReader(io.StringIO(out)))
    assert sum(int(row["cost_nusd"]) for row in rows) == parse_usd(shown["settled_usd"])
    if by == "call":
        states = [row["state"] for row in rows if row["state"] != "refused"]
        assert states == ["settled", "settled_worst", "voided", "settled_worst", "settled"]
        assert {row["agent_name"] for row in rows} == {f"'=cmd|' /C calc'!A{by}"}
    elif by != "model":
        (row,) = rows
        counts = [row[name] for name in ("calls", "settled", "settled_worst", "voided", "held")]
        assert counts == ["5", "2", "2", "1", "0"]


def test_unconfirmed_money_is_shown_by_agent_and_adjusted_once(served: Shell) -> None:
    """`status` says whose and how much; `budget adjust` sets it, and twice the same is once."""
    agent_id = served.agent("unsure", cents=100)
    ids = [
        served.call(agent_id, metadata={"mock": "lie:missing"}).headers["x-spendguard-call-id"]
        for _ in range(2)
    ]
    told = served.ok("status", "--json").json
    (mine,) = [row for row in told["unconfirmed_agents"] if row["agent_id"] == agent_id]
    costs = [parse_usd(row["cost_usd"]) for row in told["unconfirmed"] if row["agent_id"] == agent_id]
    assert (mine["agent_name"], mine["calls"], parse_usd(mine["charged_usd"])) == ("unsure", 2, sum(costs))
    said = served.ok("status")
    assert f"agent_id={agent_id} agent_name=unsure calls=2 charged_usd={mine['charged_usd']}" in said.out
    assert "try: spendguard ledger export --unconfirmed" in said.err

    for _ in range(2):
        adjusted = served.ok("budget", "adjust", "--call", ids[0], "--to", "0.0001", "--reason", "the bill")
        assert adjusted.keys["cost_usd"] == "0.0001"
        assert adjusted.err == ""
    assert settled_nusd(served, agent_id) == 100_000 + costs[0]
    written = [
        record
        for record in records(served.home / "ledger")
        if record["t"] == "adjust" and record["agent_id"] == agent_id
    ]
    assert [(record["to_nusd"], record["reason"], record["actor"]) for record in written] == [
        (100_000, "the bill", "cli")
    ]
    listed = served.ok("ledger", "export", "--unconfirmed", "--agent", "unsure", "--json").out.splitlines()
    assert [json.loads(line)["call_id"] for line in listed] == [ids[1]]
    assert served.run("budget", "adjust", "--call", "fd315823", "--to", "0").code == 4
    dear = served.ok("budget", "adjust", "--call", ids[0], "--to", "0.5")
    assert dear.err.startswith("warning: $0.50 is more than the $")
    served.ok("budget", "adjust", "--call", ids[0], "--to", "0.0001", "--reason", "the bill")
    (row,) = [
        json.loads(line)
        for line in served.ok("ledger", "export", "--agent", "unsure", "--json").out.splitlines()
        if ids[0] in line
    ]
    assert (row["cost_nusd"], row["charged_nusd"], row["unconfirmed"]) == (100_000, costs[1], False)


def test_a_home_on_a_network_needs_a_flag_and_the_refusal_says_which(shell: Shell, tmp_path: Path) -> None:
    """There is no NFS here, so its number is put where the kernel's answer is."""
    (tmp_path / "sitecustomize.py").write_text(
        "from spendguard_daemon import system\nsystem._file_system_type = lambda _: 0x6969\n"
    )
    nfs = {"PYTHONPATH": str(tmp_path)}
    refused = shell.run("up", **nfs)
    assert (refused.code, refused.out) == (78, "")
    assert "is on NFS" in refused.err
    assert refused.err.splitlines()[1].endswith("spendguard up --unsafe-fs")
    assert shell.ok("up", "--unsafe-fs", **nfs).keys["state"] == "up"
    assert shell.ok("restart", "--unsafe-fs", **nfs).keys["state"] == "up"
    shell.ok("down")
    shell.ok("config", "set", "daemon.unsafe_fs", "allow")
    assert shell.ok("up", **nfs).keys["state"] == "up"
