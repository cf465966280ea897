"""What was done to an agent's budget, asked of a real sidecar, before and after its restart."""

from pathlib import Path

from sidecar import Sidecar


def test_what_was_done_and_by_whom(tmp_path: Path) -> None:
    """Each grant, limit and freeze, newest first, back to the making; the same after a kill and a restart."""
    with Sidecar(tmp_path / "home") as sidecar:
        agent = sidecar.agent(cents=None, name="told")
        path = f"/v1/agents/{agent}"
        budget = f"{path}/budget"
        sidecar.control("POST", budget, {"hard_limit_cents": 1000, "topup_cents": 600})
        sidecar.control("POST", f"{budget}/topup", {"topup_cents": 500})
        sidecar.control("POST", budget, {"hard_limit_cents": 200})
        sidecar.control("PATCH", path, {"frozen": True, "reason": "loops"})
        sidecar.control("PATCH", path, {"frozen": False})
        told = sidecar.control("GET", f"{budget}/history")
        assert told["whole"] is True
        assert [
            (one["kind"], one["hard_limit_usd"], one["granted_usd"], one["ignored_usd"], one["taken_usd"])
            for one in told["deeds"]
        ] == [
            ("unfrozen", None, None, None, None),
            ("frozen", None, None, None, None),
            ("budget", "2.00", "0.00", "0.00", "8.00"),
            ("budget", "10.00", "4.00", "1.00", "0.00"),
            ("budget", "10.00", "6.00", "0.00", "0.00"),
            ("made", None, None, None, None),
        ]
        assert told["deeds"][1]["reason"] == "loops"
        journal = {one["ts"][:26]: one for one in sidecar.journal() if one.get("agent_id") == agent}
        for one in told["deeds"]:
            assert journal[one["at"][:26]]["actor"] == one["actor"]
        sidecar.kill()
        sidecar.start()
        assert sidecar.control("GET", f"{budget}/history") == told
        sidecar.control("DELETE", path)
        gone = sidecar.http.get(f"{budget}/history", headers=sidecar.admin)
        assert (gone.status_code, gone.json()["spendguard"]["code"]) == (404, "agent_not_found")
