"""The hostile program on a disk that it can fill: the home's own, small enough, mounted for this alone.

unshare -rm sh -c "mount -t tmpfs -o size=112m none DIR; exec python hostile_disk.py DIR ELSEWHERE"
"""

import sys
from pathlib import Path

from hostile_stage import CHAT, play, stage
from spendguard_daemon.ledger.room import LOOK_NS
from until import until

CALLS = 20


def main(small: Path, elsewhere: Path) -> None:
    """Fill the disk from inside `exec`: others are refused while it is full, and nothing is lost."""
    with stage(small, elsewhere) as on:
        sidecar, answers = on.sidecar, list[int]()
        before = on.records_of(on.keyless, on.keyed)

        def meanwhile() -> None:
            until(lambda: sidecar.chat(on.busy, CHAT).status_code == 507, 10 * LOOK_NS / 1e9 + 20)
            answers.extend(sidecar.chat(on.busy, CHAT).status_code for _ in range(CALLS))

        code = play(on, ["--isolate"], ["disk"], meanwhile=meanwhile)
        assert code == 0, on.talk[-3000:]
        assert [told.result for told in on.told.values()] == ["refused"], on.told
        assert answers == [507] * CALLS
        until(lambda: sidecar.chat(on.busy, CHAT).status_code == 200, 10 * LOOK_NS / 1e9 + 20)
        assert on.records_of(on.keyless, on.keyed) == before
        assert all(call["state"] in ("settled", "refused") for call in sidecar.calls(on.busy))
        on.shell.ok("ledger", "verify")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
    print("the disk was full")
