"""Twenty turns of a coding agent, as Claude Code and Codex send them: no 400, no 409, and one readable 402.

The requests have the shape, the headers and the size that the clients were seen to send; the provider plays a
script with the usage of such a session, most of it read from the cache. The client is a raw one, so nothing
repairs what we might break. Each session is played twice: with money enough, and with fifty cents.
"""

import asyncio
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from audit import audit
from proxied import members
from published import events
from raw_http import Answer, Leave, request, send
from recorded import Act, Received, RecordedUpstream
from scripted import ScriptedProvider, Turn, input_tokens
from sidecar import Sidecar
from till import nusd
from until import until

TURNS = 20
INTERRUPTED = 7
"""In this turn the person stops the agent in the middle of an answer."""

Body = dict[str, Any]
WORDS = (
    "the",
    "file",
    "reads",
    "a",
    "test",
    "value",
    "of",
    "its",
    "module",
    "and",
    "returns",
    "when",
    "none",
)


def prose(size: int, seed: object) -> str:
    """Return so many bytes of something like text."""
    dice = random.Random(str(seed))
    return " ".join(dice.choice(WORDS) for _ in range(size // 4))[:size]


def code(size: int, seed: object) -> str:
    """Return so many bytes of something like a program, as a tool prints it."""
    dice = random.Random(str(seed))
    lines = [f"{n:>5}\u2192    if {dice.choice(WORDS)}({n}) != '\u00e9':\n" for n in range(size // 20)]
    return "".join(lines)[:size]


def schema(names: int, seed: object) -> Body:
    """Return the parameters of a tool."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            f"parameter_{n}": {"type": "string", "description": prose(180, (seed, n))} for n in range(names)
        },
        "required": ["parameter_0"],
        "additionalProperties": False,
    }


# -- the provider -------------------------------------------------------------------------------------------


@dataclass
class Cache:
    """What the provider has of each session's prompt: all that was sent before is read, the rest written."""

    seen: dict[str, int] = field(default_factory=dict)

    def turn(self, path: str, body: Body) -> Turn:
        """Answer a turn of a session: think, say something, and call a tool or two."""
        total = input_tokens(body)
        if "tools" not in body:  # a small call beside the session: a title, a summary
            return Turn("A title", fresh=total, output=12)
        session = str((body.get("metadata") or {}).get("user_id") or body.get("prompt_cache_key"))
        read = min(self.seen.get(session, 0), total - 5)
        self.seen[session] = total - 5
        number = len(body["messages"] if path == "/v1/messages" else body["input"])
        calls = tuple(
            (name, {"parameter_0": f"/src/{number}/{name}"}) for name in ("Read", "Grep")[: 1 + number % 2]
        )
        said = Turn(prose(400, number), thinking=prose(300, number), calls=calls, output=450)
        if path == "/v1/messages":
            return Turn(
                said.text, said.thinking, said.calls, fresh=5, read=read, written=total - 5 - read, output=450
            )
        return Turn(said.text, said.thinking, said.calls, fresh=total - read, read=read, output=450)


class Desk:
    """The provider's side: plays the script, and stops in the middle of an answer where told."""

    def __init__(self) -> None:
        self.provider = ScriptedProvider(Cache().turn)
        self.headers: list[dict[str, str]] = []
        self.stop_in_the_middle = False

    def __call__(self, received: Received) -> Act:
        """Answer one request."""
        self.headers.append({name.lower(): value for name, value in received.headers.items()})
        act = self.provider(received)
        if self.stop_in_the_middle and act.reply is not None and len(act.reply.body) > 3_000:
            self.stop_in_the_middle = False
            return Act(reply=act.reply, pause_after=1_500)
        return act


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    """The server that it plays on."""
    with RecordedUpstream(pieces=(4_096,)) as server:
        yield server


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """One daemon with default settings; no agent of it may have gone past its money."""
    with Sidecar(tmp_path_factory.mktemp("coding") / "home", upstream.base_url) as running:
        yield running
        running.stop()
        assert audit(running.home.ledger).open_calls == set()


@pytest.fixture
def desk(upstream: RecordedUpstream) -> Iterator[Desk]:
    """A provider without a past; in the end it has refused nothing."""
    made = Desk()
    upstream.director = made
    yield made
    assert made.provider.refused == []


# -- Claude Code --------------------------------------------------------------------------------------------

CLAUDE_BETAS = (
    "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,"
    "prompt-caching-scope-2026-01-05,effort-2025-11-24,advanced-tool-use-2025-11-20,"
    "not-known-to-anyone-2026-11-01,another-novelty-2026-11-20"
)
EPHEMERAL = {"cache_control": {"type": "ephemeral"}}


class ClaudeCode:
    """What Claude Code 2.1 sends: 24 tools, a large system prompt, everything streamed, caches marked."""

    path = "/v1/messages?beta=true"
    session = "1f6f6f9e-1f4c-4a57-9c39-6a1df2f0a9b1"

    def __init__(self, agent: str) -> None:
        self.headers = {
            "user-agent": "claude-cli/2.1.197 (external, cli)",
            "x-cynsta-agent-id": agent,
            "x-claude-code-session-id": self.session,
            "authorization": "Bearer sk-ant-of-the-person",
            "anthropic-version": "2023-06-01",
            "anthropic-beta": CLAUDE_BETAS,
            "anthropic-dangerous-direct-browser-access": "true",
            "x-app": "cli",
            "x-stainless-lang": "js",
            "x-stainless-retry-count": "0",
            "x-stainless-timeout": "600",
            "accept": "application/json",
            "accept-encoding": "br, gzip, deflate, zstd",
            "accept-language": "*",
            "sec-fetch-mode": "cors",
        }
        self.tools = [self._tool(name, n) for n, name in enumerate(("Read", "Grep", *map(str, range(22))))]
        self.system: list[Body] = [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197; cc_entrypoint=cli;"},
            {
                "type": "text",
                "text": "You are Claude Code, Anthropic's official CLI for Claude.",
                **EPHEMERAL,
            },
            {"type": "text", "text": prose(16_000, "system"), **EPHEMERAL},
        ]
        reminder = f"<system-reminder>\n{prose(30_000, 'reminder')}\n</system-reminder>"
        first = [
            {"type": "text", "text": reminder},
            {"type": "text", "text": "Fix the failing test, please."},
        ]
        self.messages: list[Body] = [{"role": "user", "content": first}]

    @staticmethod
    def _tool(name: str, seed: int) -> Body:
        return {
            "name": name if name.isalpha() else f"mcp__server__tool_{name}",
            "description": prose(1_600, seed),
            "input_schema": schema(5, seed),
        }

    def body(self) -> Body:
        """Return the next request: the last message is marked for the cache."""
        *before, last = self.messages
        content = [*last["content"][:-1], {**last["content"][-1], **EPHEMERAL}]
        return {
            "model": "claude-sonnet-5",
            "messages": [*before, {**last, "content": content}],
            "system": self.system,
            "tools": self.tools,
            "metadata": {"user_id": f"user_0123_account__session_{self.session}"},
            "max_tokens": 32_000,
            "thinking": {"type": "adaptive"},
            "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            "output_config": {"effort": "medium"},
            "stream": True,
        }

    def aside(self, number: int) -> Body:
        """Return a small call of the same session: a title, with a small model."""
        text = {"type": "text", "text": f"Title for step {number}: {prose(300, number)}"}
        return {
            "model": "claude-haiku-4-5-20251001",
            "messages": [{"role": "user", "content": [text]}],
            "system": [{"type": "text", "text": "Write a short title."}],
            "max_tokens": 32_000,
            "temperature": 1,
            "stream": True,
        }

    def take(self, answer: Answer) -> None:
        """Add the answer to the conversation, and the results of the tools that it calls."""
        blocks: list[Body] = []
        for event in events(answer.body):
            if event["type"] == "content_block_start":
                blocks.append({**event["content_block"], "partial": ""})
            elif event["type"] == "content_block_delta":
                delta = event["delta"]
                name = {"thinking_delta": "thinking", "text_delta": "text", "signature_delta": "signature"}
                key = name.get(delta["type"], "partial")
                blocks[-1][key] += delta.get(key, delta.get("partial_json"))
        for block in blocks:
            partial = block.pop("partial")
            if block["type"] == "tool_use":
                block["input"] = json.loads(partial)
        self.messages.append({"role": "assistant", "content": blocks})
        results = [
            {"type": "tool_result", "tool_use_id": block["id"], "content": code(4_000, block["id"])}
            for block in blocks
            if block["type"] == "tool_use"
        ]
        self.messages.append({"role": "user", "content": results})

    def interrupted(self) -> None:
        """Say that the person has stopped the answer, and what to do instead."""
        note = {"type": "text", "text": "[Request interrupted by user]"}
        self.messages[-1]["content"] += [note, {"type": "text", "text": "Try another way."}]


# -- Codex --------------------------------------------------------------------------------------------------


class Codex:
    """What Codex sends: nothing stored, reasoning sealed and sent back, no output limit, parallel tools."""

    path = "/v1/responses"
    session = "019aa1f2-3c4d-7e5f-8a9b-0c1d2e3f4a5b"

    def __init__(self, agent: str) -> None:
        self.headers = {
            "user-agent": "codex_exec/0.169.0 (Ubuntu 24.4.0; x86_64) xterm-256color",
            "x-cynsta-agent-id": agent,
            "authorization": "Bearer sk-of-the-person",
            "originator": "codex_exec",
            "session_id": self.session,
            "conversation_id": self.session,
            "x-codex-window-id": f"{self.session}:0",
            "version": "0.169.0",
            "openai-beta": "responses=experimental",
            "accept": "text/event-stream",
        }
        grammar = {"type": "grammar", "syntax": "lark", "definition": "start: begin hunk+ end\n" * 20}
        self.tools: list[Body] = [
            {
                "type": "function",
                "name": name,
                "description": prose(400, name),
                "strict": False,
                "parameters": schema(2, name),
            }
            for name in ("Read", "Grep", *(f"tool_{n}" for n in range(20)))
        ]
        self.tools += [
            {"type": "custom", "name": "apply_patch", "description": prose(300, "patch"), "format": grammar},
            {"type": "web_search", "external_web_access": True},
        ]
        context = f"<environment_context>{prose(2_000, 'environment')}</environment_context>"
        self.input: list[Body] = [
            self._message("developer", prose(4_000, "developer")),
            self._message("user", context),
            self._message("user", "Fix the failing test, please."),
        ]

    @staticmethod
    def _message(role: str, text: str) -> Body:
        return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}

    def body(self) -> Body:
        """Return the next request."""
        return {
            "model": "gpt-5.3-codex",
            "instructions": prose(12_000, "instructions"),
            "input": self.input,
            "tools": self.tools,
            "tool_choice": "auto",
            "parallel_tool_calls": True,
            "reasoning": {"effort": "medium", "summary": "auto"},
            "store": False,
            "stream": True,
            "include": ["reasoning.encrypted_content"],
            "prompt_cache_key": self.session,
            "text": {"verbosity": "low"},
            "client_metadata": {"x-codex-installation-id": "5d0c1f9e-2f6b-4f6c-9a65-0d8b7c6a5e4f"},
        }

    def aside(self, number: int) -> Body:
        """Return a small call of the same session: a summary."""
        body = self.body() | {"input": [self._message("user", f"Summarise: {prose(500, number)}")]}
        del body["tools"]
        return body

    def take(self, answer: Answer) -> None:
        """Add the items of the answer, as they came, and the outputs of the functions that it calls."""
        items = [
            event["item"] for event in events(answer.body) if event["type"] == "response.output_item.done"
        ]
        self.input = [*self.input, *items]
        for item in items:
            if item["type"] == "function_call":
                output = code(3_000, item["call_id"])
                told = {"type": "function_call_output", "call_id": item["call_id"], "output": output}
                self.input = [*self.input, told]

    def interrupted(self) -> None:
        """Say what to do instead."""
        self.input = [*self.input, self._message("user", "<turn_aborted/> Try another way.")]


Client = ClaudeCode | Codex


# -- the session --------------------------------------------------------------------------------------------


async def play(
    sidecar: Sidecar, upstream: RecordedUpstream, desk: Desk, client: Client, *, beside: bool = True
) -> list[Answer]:
    """Play the session until it ends or is refused for the first time; return all answers.

    `beside`: some turns have small calls of the same session beside them, all at once.
    """
    answers: list[Answer] = []
    for turn in range(TURNS):
        if turn == INTERRUPTED:
            await stop_in_the_middle(sidecar, upstream, desk, client)
            client.interrupted()
        bodies = [client.body()]
        if beside and turn % 4 == 1:
            bodies += [client.aside(turn), client.aside(-turn)]
        got = await asyncio.gather(*(ask(sidecar, client, body) for body in bodies))
        answers += got
        if any(answer.status != 200 for answer in got):
            return answers
        client.take(got[0])
    return answers


async def ask(sidecar: Sidecar, client: Client, body: Body) -> Answer:
    """Send one request of the session; its answer is whole."""
    raw = request(sidecar.port, client.path, client.headers, json.dumps(body).encode())
    answer = await send(sidecar.port, raw)
    assert answer is not None
    assert answer.whole
    return answer


async def stop_in_the_middle(
    sidecar: Sidecar, upstream: RecordedUpstream, desk: Desk, client: Client
) -> None:
    """Leave while the answer streams; the next request follows at once, and is no other run's."""
    desk.stop_in_the_middle = True
    raw = request(sidecar.port, client.path, client.headers, json.dumps(client.body()).encode())
    gone = await send(sidecar.port, raw, Leave(after_body=1_500))
    assert gone is None
    upstream.resume()


@pytest.mark.parametrize("kind", [ClaudeCode, Codex])
async def test_a_session_of_twenty_turns_meets_no_refusal(
    sidecar: Sidecar, upstream: RecordedUpstream, desk: Desk, kind: type[Client]
) -> None:
    """With money enough: every answer is the provider's, every call settles at its usage."""
    agent = sidecar.agent(cents=10_000)
    client = kind(agent)
    size = len(json.dumps(client.body()).encode())
    assert size > (115_000 if kind is ClaudeCode else 40_000)
    assert len(client.tools) == 24
    answers = await play(sidecar, upstream, desk, client)
    assert [answer.status for answer in answers] == [200] * (TURNS + 2 * len(range(1, TURNS, 4)))
    calls = all_ended(sidecar, agent, len(answers) + 1)
    assert {call["state"] for call in calls} == {"settled"}
    assert len({call["run_id"] for call in calls}) == 1
    charged = sum(nusd(call["cost_usd"]) for call in calls)
    assert nusd(sidecar.budget(agent)["settled_usd"]) == charged
    assert_only_bounded(desk, client)


@pytest.mark.parametrize("kind", [ClaudeCode, Codex])
async def test_fifty_cents_end_with_one_readable_refusal(
    sidecar: Sidecar, upstream: RecordedUpstream, desk: Desk, kind: type[Client]
) -> None:
    """The same session goes on for as long as its money can last, and ends with a 402 that says why."""
    agent = sidecar.agent(cents=50)
    client = kind(agent)
    answers: list[Answer] = []
    while not answers or answers[-1].status == 200:
        answers += await play(sidecar, upstream, desk, client, beside=False)
    statuses = [answer.status for answer in answers]
    assert statuses.count(402) == 1
    assert set(statuses) == {200, 402}
    assert statuses.count(200) >= 5, answers[-1].json()
    (refused,) = [answer for answer in answers if answer.status == 402]
    assert_readable(refused, claude=kind is ClaudeCode)
    all_ended(sidecar, agent, len(answers) + (1 if len(answers) > INTERRUPTED else 0), at_least=True)
    budget = sidecar.budget(agent)
    assert 0 <= nusd(budget["remaining_usd"]) < 500_000_000
    assert budget["held_usd"] == "0.00"


def all_ended(sidecar: Sidecar, agent: str, count: int, *, at_least: bool = False) -> list[dict[str, Any]]:
    """Return an agent's calls once all of them, so many, have ended."""

    def look() -> list[dict[str, Any]]:
        calls = sidecar.calls(agent)
        enough = len(calls) >= count if at_least else len(calls) == count
        return calls if enough and all(call["ended_at"] for call in calls) else []

    return until(look)


def assert_readable(refused: Answer, *, claude: bool) -> None:
    """It has the provider's error shape, names the budget and the sums, and is not to be tried again."""
    told = refused.json()
    assert refused.headers["x-should-retry"] == "false"
    facts = told["spendguard"]
    assert facts["code"] == "insufficient_budget"
    assert facts["budget"] == "agent"
    assert facts["limit_usd"] == "0.50"
    assert nusd(facts["worst_case_usd"]) > nusd(facts["remaining_usd"])
    message = told["error"]["message"]
    assert message.startswith("Insufficient budget: this call can cost up to $")
    assert f"${facts['remaining_usd']} remains" in message
    assert "max_tokens" in message
    if claude:
        assert (told["type"], told["error"]["type"]) == ("error", "billing_error")
    else:
        assert told["error"]["type"] == "insufficient_quota"


def assert_only_bounded(desk: Desk, client: Client) -> None:
    """What left us is what the client sent, but for the cap, the tier, the place, and what is hosted."""
    claude = isinstance(client, ClaudeCode)
    changed = (
        {"max_tokens", "service_tier", "inference_geo"} if claude else {"max_output_tokens", "service_tier"}
    )
    sent = [body for body in desk.provider.received if "tools" in body]
    last = sent[-1]
    for name in members(json.dumps(last)):
        if name in changed or name in ("messages", "input", "tools"):
            continue
        assert last[name] == client.body()[name], name
    kept = client.tools if claude else client.tools[:-1]
    assert all(body["tools"] == kept for body in sent)
    for headers in desk.headers:
        assert "of-the-person" not in repr(headers)
        assert client.session not in repr(headers)
        assert headers["user-agent"] == client.headers["user-agent"]
    if claude:
        betas = desk.headers[0]["anthropic-beta"].split(",")
        assert "claude-code-20250219" in betas
        assert "not-known-to-anyone-2026-11-01" not in betas


def test_claude_code_looks_first_whether_anyone_is_there(sidecar: Sidecar) -> None:
    """`HEAD /`, without agent or key: 200, so that it starts at all."""
    for path in ("/", ""):
        assert sidecar.http.head(path).status_code == 200


async def test_what_was_left_out_is_said(sidecar: Sidecar, desk: Desk) -> None:
    """Unknown betas, and the hosted search that Codex offers, are named in a header of the answer."""
    claude, codex = ClaudeCode(sidecar.agent(cents=10_000)), Codex(sidecar.agent(cents=10_000))
    answer = await ask(sidecar, claude, claude.body())
    assert answer.headers["x-spendguard-stripped"] == (
        "anthropic.beta:not-known-to-anyone-2026-11-01, anthropic.beta:another-novelty-2026-11-20"
    )
    answer = await ask(sidecar, codex, codex.body())
    assert "web_search" in answer.headers["x-spendguard-stripped"]
