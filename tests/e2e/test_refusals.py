"""Why an agent was refused, told by the API and, after the fact, by the journal alone."""

import json
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recorded import RecordedUpstream
from sidecar import Sidecar
from till import nusd

SECRET = "my secret plan"
BODY = {"model": "gpt-4o-mini", "max_tokens": 4_000, "messages": [{"role": "user", "content": SECRET}]}


def test_the_journal_tells_why_an_agent_was_refused(tmp_path: Path) -> None:
    """With `grep` for the agent and `less`: when, why, how often, and the whole sum of the first."""
    with RecordedUpstream() as upstream, Sidecar(tmp_path / "home", upstream.base_url) as sidecar:
        agent_id = sidecar.agent(cents=0, name="poor")
        before = datetime.now(UTC)
        answers = [sidecar.chat(agent_id, BODY) for _ in range(5)]
        assert {answer.status_code for answer in answers} == {402}
        assert sidecar.chat(agent_id, BODY | {SECRET: 1}).status_code == 400
        shown = sidecar.calls(agent_id)
        assert [call["state"] for call in shown] == ["refused"] * 6
        assert upstream.arrived == 0
        sidecar.stop()

        lines = (sidecar.home.ledger / "seg-000000000001.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in lines if agent_id in line and '"t":"refused"' in line]
        money = [record for record in records if record["code"] == "insufficient_budget"]
        (malformed,) = [record for record in records if record["code"] == "malformed_request"]
        assert sum(record["count"] for record in money) == 5
        first, told = money[0], answers[0].json()["spendguard"]
        assert first["call_id"] == told["call_id"]
        assert datetime.fromisoformat(first["at"]) >= before.replace(microsecond=0)
        assert first["at"] <= first["until"]
        assert (first["model"], first["http_status"]) == ("gpt-4o-mini", 402)
        for name in ("worst_case_usd", "limit_usd", "remaining_usd", "available_usd", "held_usd"):
            assert first["facts"][name] == told[name]
        assert first["detail"] == answers[0].json()["detail"]
        assert malformed["detail"] == "Malformed request"
        assert SECRET not in "".join(lines)

        sidecar.start()
        again = sidecar.calls(agent_id)
        assert again[-1]["facts"] == shown[-1]["facts"] == first["facts"]
        assert {name: told[name] for name in first["facts"]} == first["facts"]
        assert {"input_usd", "rates", "needed_usd", "short_usd"} <= set(first["facts"])
        assert {call["state"] for call in again} == {"refused"}
        assert sum(call["count"] for call in again if call["code"] == "insufficient_budget") == 5
        assert again[-1]["call_id"] == told["call_id"]
        assert again[-1]["reason"] == first["detail"]
        assert again[-1]["created_at"][:23] == first["at"][:23]
        assert sidecar.call_of(answers[0])["state"] == "refused"


def test_a_loop_of_refusals_fills_a_record_a_second_and_delays_nobody(tmp_path: Path) -> None:
    """A locked agent says who holds it; hundreds of refusals are a few records."""
    with RecordedUpstream() as upstream, Sidecar(tmp_path / "home", upstream.base_url) as sidecar:
        agent_id = sidecar.agent(cents=0)
        for _ in range(300):
            assert sidecar.chat(agent_id, BODY).status_code == 402
        sidecar.stop()
        records = [record for record in sidecar.journal() if record["t"] == "refused"]
        assert sum(record["count"] for record in records) == 300
        assert len(records) < 100


REFERENCE = Path(__file__).parents[2] / "references" / "ledger-format.md"


def grep(pattern: str, folder: Path) -> list[dict[str, Any]]:
    """Return the records whose line has `pattern`, as grep finds them in the folder's segments."""
    files = sorted(str(path) for path in folder.glob("seg-*"))
    found = subprocess.run(["grep", "-h", "--", pattern, *files], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in found.stdout.splitlines()]


def test_why_an_agent_was_refused_at_a_time_is_found_with_grep_and_the_reference(tmp_path: Path) -> None:
    """Name, id, the refusals of that minute, the whole sum; and it is that of the agent's money before it."""
    with RecordedUpstream() as upstream, Sidecar(tmp_path / "home", upstream.base_url) as sidecar:
        agent_id, other = sidecar.agent(cents=1, name="agent A"), sidecar.agent(cents=0, name="agent B")
        assert sidecar.chat(agent_id, BODY).status_code == 200
        assert sidecar.chat(agent_id, BODY | {"n": 20}).status_code == 402
        assert sidecar.chat(other, BODY).status_code == 402
        sidecar.stop()
        folder = sidecar.home.ledger

        (made,) = [record for record in grep('"t":"agent_new"', folder) if record["name"] == "agent A"]
        refusals = grep(f'"t":"refused","agent_id":"{made["agent_id"]}"', folder)
        minute = refusals[0]["at"][:16]
        (refused,) = [record for record in refusals if record["at"].startswith(minute)]
        facts = refused["facts"]
        assert (refused["code"], refused["count"], facts["budget"]) == ("insufficient_budget", 1, "agent")
        money = [record for record in grep(made["agent_id"], folder) if "funded_nusd" in record]
        before = [record for record in money if record["seq"] < refused["seq"]][-1]
        remains = before["funded_nusd"] - before["settled_nusd"]
        assert nusd(facts["remaining_usd"]) == remains
        assert nusd(facts["available_usd"]) == remains - before["held_nusd"]
        assert nusd(facts["limit_usd"]) == 10_000_000
        (hold,) = [record for record in money if record["t"] == "hold"]
        tokens = 20 * facts["asked_output_tokens"]
        worst = -(
            -(facts["input_tokens_bound"] * hold["rates"]["input"] + tokens * hold["rates"]["output"]) // 1000
        )
        assert nusd(facts["worst_case_usd"]) == worst > remains
        assert facts["affordable_max_tokens"] < facts["floor_output_tokens"] <= facts["asked_output_tokens"]

        explained = set(re.findall(r"`([a-z_]+)`", REFERENCE.read_text()))
        assert {*facts, *refused} - {"v", "org"} <= explained
