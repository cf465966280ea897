"""Draw the pictures of references/watch.md: the running program, on a sidecar with mock agents that spend.

    python scripts/draw_watch.py

Starts a sidecar of its own in a temporary folder, lets agents call the built-in mock models until there is
something to see, and writes references/pictures/*.svg. The pictures name no host: the fonts that they would
load from one are left out, and a browser takes its own.
"""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx

from spendguard_cli.connect import connect
from spendguard_cli.context import Flags, resolve
from spendguard_cli.watch.acting import Desk, desk_at
from spendguard_cli.watch.app import WatchApp
from spendguard_cli.watch.feed import FeedReader

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "references" / "pictures"
AGENTS = {"researcher": 400, "nightly-tests": 60, "triage": 25, "docs-writer": 900, "migration": 3}
"""Names, with budgets in cents."""

SIZE = (120, 24)
SVG_BYTES_MAX = 150_000
FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
GENERATED = re.compile(r"<!-- Generated with Rich.*?-->\s*")
COMMAND = (sys.executable, "-m", "spendguard_cli")


def main() -> None:
    """Draw all pictures."""
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"SPENDGUARD_HOME": folder, "SPENDGUARD_DAEMON_PORT": "0"}
        connection = resolve(Flags(home=folder), env)
        control, _ = connect(connection, env, print)
        try:
            ids = {name: _agent(control, name, cents) for name, cents in AGENTS.items()}
            control.change_agent(ids["migration"], {"frozen": True, "reason": "it dropped a table"})
            _spend(control.base_url, ids)
            asyncio.run(_draw(FeedReader(connection), desk_at(connection), ids["triage"]))
        finally:
            control.close()
            subprocess.run([*COMMAND, "down", "--now", "--home", folder], check=True, capture_output=True)


def _agent(control: object, name: str, cents: int) -> str:
    made = control.create_agent({"name": name, "mock": True, "concurrency": "shared"})  # type: ignore[attr-defined]
    control.grant(made.agent_id, cents, cents)  # type: ignore[attr-defined]
    return str(made.agent_id)


def _spend(base_url: str, ids: dict[str, str]) -> None:
    """Let each agent make some calls, some of which are refused."""
    body = {"model": "mock-large", "messages": [{"role": "user", "content": "hello " * 400}]}
    with httpx.Client(base_url=base_url, trust_env=False, timeout=60) as http:
        for number in range(60):
            for name, agent_id in ids.items():
                if number % (1 + len(name) % 4) == 0:
                    headers = {"x-cynsta-agent-id": agent_id}
                    http.post("/v1/chat/completions", json=body, headers=headers)


async def _draw(source: FeedReader, desk: Desk, agent_id: str) -> None:
    app = WatchApp(source, desk=desk)
    async with app.run_test(size=SIZE) as pilot:
        while not app.board.epoch:
            await pilot.pause(0.1)
        app.redraw()
        await pilot.pause()
        _save(app, "agents")
        await pilot.press("3")
        await pilot.pause()
        app.redraw()
        await pilot.pause()
        _save(app, "failures")
        app.open_agent(agent_id)
        await pilot.pause(0.5)
        app.redraw()
        await pilot.pause()
        _save(app, "agent")


def _save(app: WatchApp, name: str) -> None:
    drawn = FONT_FACE.sub("", app.export_screenshot(title="spendguard watch", simplify=True))
    drawn = GENERATED.sub("", drawn)
    if "http" in drawn.replace("http://www.w3.org/2000/svg", "") or len(drawn) > SVG_BYTES_MAX:
        raise SystemExit(f"{name}: names a host, or has {len(drawn)} bytes")
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.svg").write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
