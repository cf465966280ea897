"""Real clients on their way through a real sidecar: which there are, who answers, and what refuses them.

`Routed` is one upstream with two sidecars, of which one has no provider keys. Each of its clients runs the
block of `references/routing-patterns.md` that has its name.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import httpx

from clients.process import ClientProcess, Told
from published import prices_of
from recorded import Act, Received, RecordedUpstream
from routing_page import Block, blocks
from scripted import ScriptedProvider, Turn
from sidecar import DAEMON, Sidecar
from until import until

INPUT_TOKENS, OUTPUT_TOKENS = 10, 20
"""What each answer of the provider reports."""

TICKS = 625_430
"""What xAI says that each costs, in 10^10 to the dollar; it is a little more than the card has it."""

HELLO, WEATHER = "Hello from the provider.", "It is warm in Ur."
CALLS = {402: "insufficient_budget", 409: "budget_locked", 503: "provider_key_missing"}
"""Which refusal of ours stands for each status."""

TEXTS = {
    402: "Insufficient budget: this call can cost up to $",
    409: "Agent budget is locked by an in-flight run: run holder has it",
    503: "No key for this provider",
}
"""What of our text reaches the user, whatever the client makes of an error."""

_HOLDER = b"this call holds the lock"
_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "XAI_API_KEY")


@dataclass(frozen=True, slots=True)
class Client:
    """A client of the page. `asks` is how its adapter names the model, `model` how its provider does."""

    adapter: str
    provider: str
    model: str
    asks: str = ""
    tools: bool = True
    stream: bool = True

    @property
    def nusd(self) -> int:
        """What each of its calls costs: by the published prices, or as xAI says itself."""
        if self.provider == "grok":
            return TICKS // 10
        prices = prices_of(self.provider, self.model)
        usd = INPUT_TOKENS * Decimal(prices["input"]) + OUTPUT_TOKENS * Decimal(prices["output"])
        return int(usd * 1000)


GPT, CLAUDE = ("openai", "gpt-4o-mini"), ("anthropic", "claude-haiku-4-5")
GEMINI, GROK = ("gemini", "gemini-2.5-flash"), ("grok", "grok-4.3")

CLIENTS: dict[str, Client] = {
    "openai": Client("openai_sdk", *GPT),
    "openai, async": Client("openai_sdk", *GPT, tools=False, stream=False),
    "openai, for Grok": Client("openai_sdk", *GROK),
    "openai, for Gemini": Client("openai_sdk", *GEMINI),
    "anthropic": Client("anthropic_sdk", *CLAUDE),
    "anthropic, async": Client("anthropic_sdk", *CLAUDE, tools=False, stream=False),
    "google-genai": Client("google_sdk", *GEMINI),
    "google-genai, async": Client("google_sdk", *GEMINI, tools=False, stream=False),
    "langchain-openai": Client("langchain_models", *GPT),
    "langchain-anthropic": Client("langchain_models", *CLAUDE),
    "langchain-google-genai": Client("langchain_models", *GEMINI),
    "pydantic-ai, openai": Client("pydantic_agents", *GPT),
    "pydantic-ai, anthropic": Client("pydantic_agents", *CLAUDE),
    "pydantic-ai, google": Client("pydantic_agents", *GEMINI),
    "openai-agents": Client("openai_agents", *GPT),
    "litellm, openai": Client("litellm_client", *GPT, asks="openai/gpt-4o-mini"),
    "litellm, anthropic": Client("litellm_client", *CLAUDE, asks="anthropic/claude-haiku-4-5"),
    "litellm, gemini": Client("litellm_client", *GEMINI, asks="gemini/gemini-2.5-flash"),
    "litellm, xai": Client("litellm_client", *GROK, asks="xai/grok-4.3"),
    "llm": Client("commands", *GPT, asks="llm"),
    "curl": Client("commands", *GPT, asks="curl", tools=False),
}
"""By the names of their blocks. The asynchronous blocks are streams themselves."""


@dataclass(frozen=True)
class Running:
    """A client in its process, and the block of the page that it runs."""

    name: str
    process: ClientProcess

    @property
    def client(self) -> Client:
        """Which client it is."""
        return CLIENTS[self.name]

    def block(self, base: str, agent_id: str, edit: Callable[[Block], Block] = lambda block: block) -> Told:
        """Run the client's block of the page, edited or not, against this address, for this agent."""
        for name, file in blocks("file").items():
            (self.process.home / name).write_text(file.at(base, agent_id), encoding="utf-8")
        block = edit(blocks("run")[self.name])
        what = "sh" if block.language == "sh" else "block"
        return self.process.do(what, text=block.at(base, agent_id))

    def adapter(self, what: str) -> Told:
        """Do `stream` or `tools` with what the block has made."""
        return self.process.do(what, adapter=self.client.adapter, model=self.client.asks or self.client.model)


class Routed:
    """The provider's side and the sidecars. `provider.refused` is what a real one would have refused."""

    def __init__(self, folder: Path, *, command: Sequence[str] = DAEMON) -> None:
        self.provider = ScriptedProvider(_turn)
        self._upstream = RecordedUpstream()
        self._folder = folder
        self._command = command

    def __enter__(self) -> Self:
        self._ends = contextlib.ExitStack()
        upstream = self._ends.enter_context(self._upstream)
        upstream.director = self._answer
        keyless = dict.fromkeys(_KEYS, "")
        self.sidecar = self._ends.enter_context(
            Sidecar(self._folder / "home", upstream.base_url, command=self._command)
        )
        self.keyless = self._ends.enter_context(
            Sidecar(self._folder / "keyless", upstream.base_url, env=keyless)
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def _answer(self, received: Received) -> Act | None:
        return Act(hang=True) if _HOLDER in received.body else self.provider(received)

    @contextlib.contextmanager
    def refusing(self, status: int) -> Iterator[tuple[Sidecar, str]]:
        """Yield a sidecar and an agent whose calls it refuses in this way, until the block ends."""
        if status == 402:
            agent_id = self.sidecar.agent(cents=0)
            like_a_status = {"hard_limit_cents": 42_900, "topup_cents": 0}  # opencode looks for such digits
            self.sidecar.control("POST", f"/v1/agents/{agent_id}/budget", like_a_status)
            yield self.sidecar, agent_id
        elif status == 503:
            yield self.keyless, self.keyless.agent()
        else:
            with self._locked() as agent_id:
                yield self.sidecar, agent_id

    @contextlib.contextmanager
    def _locked(self) -> Iterator[str]:
        """Yield an agent of which another run has a call in flight."""
        agent_id = self.sidecar.agent()
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": _HOLDER.decode()}]}
        headers = {"x-cynsta-agent-id": agent_id, "x-cynsta-run-id": "holder"}
        url = f"{self.sidecar.base}/v1/chat/completions"

        def hold() -> None:
            httpx.post(url, json=body, headers=headers, timeout=None, trust_env=False, verify=False)

        holder = threading.Thread(target=hold)
        holder.start()
        until(lambda: self.sidecar.budget(agent_id)["locked_run_id"] == "holder")
        try:
            yield agent_id
        finally:
            held = next(call for call in self.sidecar.calls(agent_id) if call["state"] == "held")
            self.sidecar.control("POST", f"/v1/calls/{held['call_id']}/abort")
            holder.join()


def attempts(sidecar: Sidecar, agent_id: str, status: int) -> int:
    """Return how often an agent was refused in this way, as the sidecar counted it."""
    refused = [call for call in sidecar.calls(agent_id) if call["state"] == "refused"]
    assert {call["code"] for call in refused} == {CALLS[status]}
    return sum(call["count"] for call in refused)


def _turn(_path: str, body: dict[str, Any]) -> Turn:
    """Ask for the weather once where there is a tool for it, then say how it is; else say hello."""
    ticks = TICKS if str(body.get("model")).startswith("grok") else None
    used = {"fresh": INPUT_TOKENS, "output": OUTPUT_TOKENS, "ticks": ticks}
    if not body.get("tools"):
        return Turn(HELLO, **used)
    if _has_result(body):
        return Turn(WEATHER, **used)
    return Turn(calls=(("weather", {"place": "Ur"}),), **used)


def _has_result(body: dict[str, Any]) -> bool:
    """Tell whether the last thing said is what a tool found, in any of the formats."""
    last = (body.get("messages") or body.get("input") or body["contents"])[-1]
    results = {"functionResponse", "function_response"}  # Google takes both ways to write a name
    if any(results & part.keys() for part in last.get("parts", ())):
        return True
    if last.get("role") == "tool" or last.get("type") == "function_call_output":
        return True
    content = last.get("content")
    return isinstance(content, list) and any(part.get("type") == "tool_result" for part in content)
