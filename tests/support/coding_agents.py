"""The coding agents that people run: what of each is its own, and a task that the provider plays with it.

An agent runs the block of `references/routing-patterns.md` that has its name. Its task takes three turns: the
provider calls the agent's own tool to read a file, which names another; has that read too; and says what
stands in there. So the answer comes out only if both files were really read.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node_programs import DeadEnd, Ended, Place
from published import bill, nusd
from recorded import Act, Received, Recording
from routing_page import blocks
from scripted import ScriptedProvider, Turn

FIRST, SECOND, WORD = "notes.txt", "more.txt", "quince"
ANSWER = f"The word is {WORD}."

Call = tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class CodingAgent:
    """One agent. `reads` is how its tool is called to read a file, `route` what it asks a provider for.

    `files` are those of the page that it needs; `before` is put before them, and `variables` into its
    environment, so that it talks to nobody but its provider; `beyond` begins what it asks for all the same.
    """

    reads: Callable[[Path], Call]
    provider: str
    route: str
    variables: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    before: str = ""
    beyond: tuple[str, ...] = ()


AGENTS: dict[str, CodingAgent] = {
    "Claude Code": CodingAgent(
        lambda path: ("Read", {"file_path": str(path)}),
        "anthropic",
        "POST /v1/messages?beta=true",
        {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"},
    ),
    "Codex": CodingAgent(
        lambda path: ("exec_command", {"cmd": f"cat {path}"}),
        "openai",
        "POST /v1/responses?",
        files=(".codex/config.toml",),
        before='sandbox_mode = "danger-full-access"\nanalytics.enabled = false\n'
        "features.plugins = false\nfeatures.apps = false\n",
    ),
    "Gemini CLI": CodingAgent(
        lambda path: ("read_file", {"file_path": str(path)}),
        "gemini",
        "POST /v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        files=(".gemini/settings.json",),
    ),
    "opencode": CodingAgent(
        lambda path: ("read", {"filePath": str(path)}),
        "openai",
        "POST /v1/chat/completions?",
        {"OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_AUTOUPDATE": "1"},
        files=(".config/opencode/opencode.json",),
        beyond=("CONNECT registry.",),  # npm's, for the types of plugins; it goes on without
    ),
}


class Task(ScriptedProvider):
    """The provider's side of a task, and its till. `routes` are what it was asked for."""

    def __init__(self, agent: CodingAgent, work: Path) -> None:
        super().__init__(self._turn)
        self.billed_nusd = 0
        self.routes: set[str] = set()
        self._agent = agent
        self._work = work

    def __call__(self, received: Received) -> Act:
        """Answer a request, and bill the answer."""
        self.routes.add(f"{received.method} {received.path}?{received.query}")
        act = super().__call__(received)
        if act.reply is not None:
            body = json.loads(received.body)
            told = Recording("", self._agent.provider, received.path, received.body, act.reply, body)
            self.billed_nusd += nusd(bill(told))
        return act

    def _turn(self, _path: str, body: dict[str, Any]) -> Turn:
        if not body.get("tools"):
            return Turn("A title")  # a small call beside the task
        said = json.dumps(body)
        if word := re.search(r"the word is (\w+)", said):
            return Turn(f"The word is {word[1]}.")
        if f"it stands in {SECOND}" in said:
            return Turn("It is elsewhere.", calls=(self._agent.reads(self._work / SECOND),))
        return Turn("I will look.", calls=(self._agent.reads(self._work / FIRST),))


def placed(agent: CodingAgent, home: Path, dead_end: DeadEnd) -> Place:
    """Return a home with the files of the task."""
    place = Place(home, dead_end, agent.variables)
    place.put(f"work/{FIRST}", f"it stands in {SECOND}\n")
    place.put(f"work/{SECOND}", f"the word is {WORD}\n")
    return place


def run(name: str, place: Place, base: str, agent_id: str) -> Ended:
    """Run an agent's block of the page in its home, against this address, for this budgeted agent."""
    agent = AGENTS[name]
    for file in agent.files:
        place.put(file, agent.before + blocks("node file")[file].at(base, agent_id))
    return place.run(blocks("node")[name], base, agent_id)
