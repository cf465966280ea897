"""Every recorded call of every provider through a real daemon, by a raw client: bytes and money.

The folder is walked: a file dropped into `tests/recordings` is put through like the others. What a call costs
is worked out by `published`, from prices and usage as the providers document them, bucket by bucket; the sums
of the files that are there now stand here, worked out by hand. What is refused names feature and setting,
and with that setting goes through.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest

from operator_prices import buckets_of, is_known, priced_home
from proxied import call, changes, record_of, records_of
from published import EVENTS, bill, nusd, own_bill_nusd, plain_body
from raw_http import Answer
from recorded import Act, Received, RecordedUpstream, Recording, Reply, load_all
from shell import Quick
from sidecar import ANTHROPIC_KEY, GEMINI_KEY, GROK_KEY, PROVIDER_KEY, Sidecar
from till import nusd as nusd_of

FUNDED_CENTS = 100_000
FUNDED_NUSD = 10**12

RECORDINGS = load_all()
COUNTS = ("/v1/messages/count_tokens", "/v1/responses/input_tokens")
SERVED = ("/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/messages")
GOOGLES = re.compile(r"/v1beta/models/[^/]+:(generateContent|streamGenerateContent)")
CALLS = [one for one in RECORDINGS if one.path in SERVED or GOOGLES.fullmatch(one.path)]
UNSERVED = [one for one in RECORDINGS if one not in CALLS and one.path not in COUNTS]
KEYS = (401, 403)
"""Statuses about the operator's key, whose answers are never relayed."""

VOID = {429, 503, 529}
"""Statuses by which a provider says that it did nothing, beside those below 500 but for 408 and 499."""

COSTS_NUSD = {
    # nUSD per token are USD per million, times 1,000.
    "01-openai-chat-plain": 10 * 150 + 12 * 600,
    "02-openai-chat-gzip": 19 * 500 + 1 * 1_500,
    "03-openai-chat-tools": 85 * 500 + 38 * 1_500,  # two choices: their input is billed once
    "04-openai-chat-cached-reasoning": (1_144 - 1_024) * 2_000 + 1_024 * 500 + 2 * 8_000,
    "05-openai-chat-reasoning": 147 * 250 + 85 * 2_000,  # the 64 of reasoning are among the 85
    "06-openai-chat-audio": 16 * 600 + 43 * 10_000 + 123 * 2_400,  # heard 43 of 59, answered in text
    "09-openai-chat-stream-tools-usage": 53 * 150 + 15 * 600,
    "12-openai-responses-plain": 27 * 150 + 11 * 600,
    "13-openai-responses-web-search": 330 * 2_500 + 446 * 10_000 + 25_000_000,  # one search at $25 per 1,000
    "14-openai-responses-reasoning-cached": (1_586 - 1_536) * 50 + 1_536 * 5 + 393 * 400,
    "15-openai-responses-stream": 11 * 5_000 + 5 * 30_000,
    "16-openai-responses-stream-tool": 255 * 2_500 + 16 * 10_000,
    "17-openai-responses-cache-write": (1_220 - 1_217) * 4_000 + 1_217 * 5_000 + 100 * 20_000,
    "19-openai-embeddings": 9 * 20,
    "20-anthropic-plain": 19 * 8_000 + 22 * 24_000,
    "21-anthropic-tools": 571 * 1_000 + 41 * 5_000,
    "22-anthropic-stream": 543 * 1_000 + 40 * 5_000,
    "23-anthropic-stream-thinking": 46 * 1_000 + 133 * 5_000,
    "24-anthropic-cache-write": 100 * 800 + 5 * 1_000 + 2 * 80 + 21 * 4_000,
    "25-anthropic-cache-write-1h": 17 * 3_000 + 2_056 * 6_000 + 100 * 15_000,
    "26-anthropic-cache-read": 3 * 800 + 73_839 * 80 + 141 * 4_000,
    "27-anthropic-web-search": 11_665 * 3_000 + 186 * 15_000 + 10_000_000,  # one search at $10 per 1,000
    "30-gemini-plain": 2 * 300 + (13 + 58) * 2_500,  # thoughts are beside the answer
    "31-gemini-thoughts-tools": 109 * 100 + (29 + 89) * 400,
    "32-gemini-cached": (557 - 330) * 300 + 330 * 30 + (73 + 70) * 2_500,
    "33-gemini-grounding": (10 + 73) * 300 + (30 + 109) * 2_500 + 35_000_000,  # one prompt at $35 per 1,000
    "34-gemini-stream-sse": 6 * 300 + (1 + 35) * 2_500,
    "35-gemini-stream-array": 60 * 500 + (16 + 32) * 3_000,
    "38-grok-chat": (137 - 128) * 1_250 + 128 * 200 + (2 + 112) * 2_500,  # reasoning is beside the 2
    "39-grok-chat-stream": (242 - 128) * 1_250 + 128 * 200 + (8 + 152) * 2_500,
    "40-grok-responses-stream": (289 - 128) * 1_250 + 128 * 200 + 171 * 2_500,  # and here inside the 171
    "41-grok-responses-web-search": (5_913 - 2_048) * 1_250 + 2_048 * 200 + 364 * 2_500 + 2 * 5_000_000,
}
NO_USAGE = {
    "07-openai-chat-stream-no-usage",
    "18-openai-responses-incomplete",
    "36-gemini-stream-crlf",  # its report leaves the prompt out
}
REFUSED = {"10-openai-chat-400", "11-openai-chat-401", "28-anthropic-400", "37-gemini-429"}
NEEDS = {
    # What the default policy does not let through, and the settings that do.
    "08-openai-chat-stream-usage": ["[prices.overrides]"],
    "13-openai-responses-web-search": ['[policy] hosted_tools = "allow"'],
    "27-anthropic-web-search": ['[policy] hosted_tools = "allow"'],
    "33-gemini-grounding": ['[policy] hosted_tools = "allow"'],
    "41-grok-responses-web-search": ['[policy] hosted_tools = "allow"'],
}


def named(recordings: list[Recording]) -> dict[str, Any]:
    """Return the recordings as parameters."""
    return {"argvalues": recordings, "ids": [one.name for one in recordings]}


@pytest.fixture(scope="module")
def upstream() -> Iterator[RecordedUpstream]:
    """The recorded provider."""
    with RecordedUpstream() as server:
        yield server


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """One daemon for all calls of this file."""
    with Sidecar(tmp_path_factory.mktemp("recordings") / "home", upstream.base_url) as running:
        yield running


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory, upstream: RecordedUpstream) -> Iterator[Sidecar]:
    """A daemon whose operator has given prices to what had none."""
    home = priced_home(tmp_path_factory.mktemp("priced") / "home")
    with Sidecar(home, upstream.base_url) as running:
        yield running


CLIENT_KEYS = {
    "authorization": "Bearer sk-key-of-the-client",
    "x-api-key": "sk-second-key-of-the-client",
    "x-goog-api-key": "AIza-third-key-of-the-client",
    "x-http-method-override": "DELETE-of-the-client",
    "x-goog-user-project": "project-of-the-client",
    "cookie": "session=of-the-client",
    "openai-organization": "org-of-the-client",
    "x-forwarded-for": "203.0.113.9",
    "accept-encoding": "gzip, deflate, br, zstd",
    "accept": "*/*",
    "te": "trailers",
}


async def put_through(
    sidecar: Sidecar,
    upstream: RecordedUpstream,
    recording: Recording,
    policy: dict[str, Any],
    *,
    own_answer: str = "",
) -> tuple[str, Answer]:
    """Send a recorded request, as its client did, for a fresh agent; the provider answers as recorded.

    `own_answer`: before it, the agent gets an answer with this id, from which the recorded request goes on.
    """
    upstream.received.clear()
    agent = sidecar.agent(cents=FUNDED_CENTS, policy=policy)
    if own_answer:
        upstream.director = lambda _: Act(reply=free_answer(own_answer, recording.request["model"]))
        first = {"model": recording.request["model"], "input": "hi", "max_output_tokens": 16}
        assert sidecar.send("/v1/responses", agent, first).status_code == 200
    upstream.director = lambda _: Act(reply=recording.reply)
    headers = {**recording.headers, **CLIENT_KEYS}
    headers.pop("content-type", None)
    path = recording.path + (f"?{recording.query}" if recording.query else "")
    return agent, await call(sidecar, agent, recording.request_body, path=path, headers=headers)


def free_answer(answer_id: str, model: str) -> Reply:
    """Return an answer with this id, of one token each way."""
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    told = {"id": answer_id, "object": "response", "status": "completed", "model": model, "output": []}
    return Reply(200, {"content-type": "application/json"}, json.dumps({**told, "usage": usage}).encode())


@dataclass
class Way:
    """How a recording gets through: which daemon, the agent's policy, the settings that refusals named."""

    sidecar: Sidecar
    priced: Sidecar
    upstream: RecordedUpstream
    recording: Recording
    policy: dict[str, Any] = field(default_factory=dict)
    settings: list[str] = field(default_factory=list)
    own_answer: str = ""

    async def go(self) -> tuple[str, Answer]:
        """Send it until it goes through, each time with the setting that the last refusal named."""
        agent, answer = await self._once()
        while (
            answer.headers["x-spendguard-source"] == "spendguard" and self.recording.reply.status not in KEYS
        ):
            self._widen(assert_refused_unforwarded(self.sidecar, self.upstream, agent, answer))
            agent, answer = await self._once()
        return agent, answer

    async def go_whole(self) -> tuple[str, Answer]:
        """The same; where something is taken out by default, with it, if there is a setting for that."""
        agent, answer = await self.go()
        if "x-spendguard-stripped" in answer.headers:
            assert_stripped(self.upstream, self.recording)
            self.policy["hosted_tools"] = "refuse"
            agent, answer = await self.go()
        return agent, answer

    async def _once(self) -> tuple[str, Answer]:
        return await put_through(
            self.sidecar, self.upstream, self.recording, self.policy, own_answer=self.own_answer
        )

    def _widen(self, facts: dict[str, Any]) -> None:
        setting: str = facts["setting"]
        if facts["code"] == "foreign_state":
            assert not self.own_answer
            self.own_answer = facts["id"]
            return
        assert setting not in self.settings, "the setting that was named did not help"
        self.settings.append(setting)
        if setting == "[prices.overrides]":
            self.sidecar = self.priced
        else:
            self.policy = widened(self.policy, setting)


@pytest.mark.parametrize("recording", **named(CALLS))
async def test_goes_through_byte_for_byte_and_settles_at_its_price(
    sidecar: Sidecar, priced: Sidecar, upstream: RecordedUpstream, recording: Recording
) -> None:
    """As it is, or refused with feature and setting, and then with that setting."""
    way = Way(sidecar, priced, upstream, recording)
    agent, answer = await way.go_whole()
    if recording.name in COSTS_NUSD or recording.name in NEEDS:
        assert way.settings == NEEDS.get(recording.name, [])
    assert_relayed(recording, answer)
    assert_settled(way.sidecar, agent, recording, answer)
    assert_computed_again(way.sidecar, answer)
    stripped = "x-spendguard-stripped" in answer.headers
    assert_sent(recording, upstream.received[-1], way.sidecar.port, stripped=stripped)
    assert len(upstream.received) == (2 if way.own_answer else 1)


async def test_what_is_not_served_is_not_forwarded(sidecar: Sidecar, upstream: RecordedUpstream) -> None:
    """Recordings of endpoints beside those of this version: 404."""
    odd = replace(CALLS[0], path="/v1/completions")
    for recording in (odd, *UNSERVED):
        _, answer = await put_through(sidecar, upstream, recording, {})
        assert (answer.status, upstream.received) == (404, [])


@pytest.mark.parametrize("recording", **named([one for one in RECORDINGS if one.path in COUNTS]))
async def test_a_count_goes_through_free(
    sidecar: Sidecar, upstream: RecordedUpstream, recording: Recording
) -> None:
    """Byte for byte both ways; nothing is held, nothing recorded."""
    agent, answer = await put_through(sidecar, upstream, recording, {})
    assert (answer.status, answer.body) == (recording.reply.status, recording.reply.body)
    (received,) = upstream.received
    assert received.body == recording.request_body
    assert nusd_of(sidecar.budget(agent)["remaining_usd"]) == FUNDED_NUSD
    assert not [
        record for record in sidecar.journal() if record["t"] == "hold" and record["agent_id"] == agent
    ]


def test_the_sums_by_hand_are_those_by_the_documentation() -> None:
    """The two computations of this test agree, so that neither is wrong alone; no file is left out."""
    by_name = {one.name: nusd(bill(one)) for one in CALLS if is_known(one)}
    assert {name: by_name.get(name) for name in COSTS_NUSD} == COSTS_NUSD
    assert {name: by_name[name] for name in NO_USAGE | REFUSED} == dict.fromkeys(NO_USAGE | REFUSED, 0)
    assert len(COSTS_NUSD | NEEDS) + len(NO_USAGE | REFUSED) <= len(CALLS)


def test_xais_own_bill_is_equalled_to_the_tick() -> None:
    """Each of its recordings gives one; it is the sum by the documentation, without any rounding."""
    own = {one.name: own_bill_nusd(one) for one in CALLS if one.provider == "grok"}
    assert own == {name: COSTS_NUSD[name] for name in own}
    assert len(own) >= 4


# -- refused, and the way through ---------------------------------------------------------------------------


def assert_refused_unforwarded(
    sidecar: Sidecar, upstream: RecordedUpstream, agent: str, answer: Answer
) -> dict[str, Any]:
    """The refusal names what it is about and the setting; nothing was sent, no money moved."""
    told = answer.json()
    facts: dict[str, Any] = told["spendguard"]
    assert answer.status == 400, told
    assert facts["code"] in REFUSALS
    assert answer.headers["x-should-retry"] == "false"
    about = facts.get("feature") or facts.get("dimension") or facts.get("model") or facts["id"]
    assert about in told["detail"] or facts["path"] in told["detail"]
    assert facts["setting"]
    assert upstream.received == []
    assert nusd_of(sidecar.budget(agent)["remaining_usd"]) == FUNDED_NUSD
    assert [shown["state"] for shown in sidecar.calls(agent)] == ["refused"]
    return facts


REFUSALS = ("unbounded_feature", "malformed_request", "unpriced_dimension", "unknown_model", "foreign_state")


def assert_computed_again(sidecar: Sidecar, answer: Answer) -> None:
    """From the ledger's files and the archived document the same sum comes out, to the nano-dollar."""
    call_id = answer.headers["x-spendguard-call-id"]
    ends = [record for record in records_of(sidecar, call_id) if record["t"] in ("settle", "settle_worst")]
    for end in ends:
        (told,) = Quick(sidecar.home.root).ok("pricing", "recompute", call_id, "--json").json["rows"]
        if end["t"] == "settle":
            assert (told["result"], told["computed_nusd"]) == ("equal", end["cost_nusd"]), told
        assert told["result"] != "different", told


def assert_stripped(upstream: RecordedUpstream, recording: Recording) -> None:
    """By default a hosted tool does not leave this machine."""
    (received,) = upstream.received
    left = json.loads(received.body)
    gone = [name for name in recording.request if name not in left]
    assert gone or len(left["tools"]) < len(recording.request["tools"])


def widened(policy: dict[str, Any], setting: str) -> dict[str, Any]:
    """Return an agent's policy with a setting as a refusal names it."""
    listed = re.fullmatch(r"\[policy\] allow: (\S+)", setting)
    if listed:
        return {**policy, "allow": [*policy.get("allow", []), listed[1]]}
    one = re.fullmatch(r'\[policy\] (\w+) = "(\w+)"', setting)
    assert one, f"no setting that an operator could make: {setting!r}"
    return {**policy, one[1]: one[2]}


# -- the client's side --------------------------------------------------------------------------------------


def assert_relayed(recording: Recording, answer: Answer) -> None:
    """The client got the provider's status, headers and bytes; but for what a rejected key may repeat."""
    if recording.reply.status in (401, 403):
        assert (answer.status, answer.json()["spendguard"]["code"]) == (503, "provider_key_rejected")
        return
    assert (answer.status, answer.body) == (recording.reply.status, recording.reply.body)
    for header, value in recording.reply.headers.items():
        assert answer.headers[header] == value
    assert answer.headers["x-spendguard-source"] == "provider"


# -- the money ----------------------------------------------------------------------------------------------


def assert_settled(sidecar: Sidecar, agent: str, recording: Recording, answer: Answer) -> None:
    """One final record, at the documented sum, bucket by bucket; the budget says the same."""
    buckets, status = buckets_of(recording), recording.reply.status
    shown = record_of(sidecar, answer)
    records = records_of(sidecar, shown["call_id"])
    hold_nusd = nusd_of(shown["hold_usd"])
    if buckets:
        state, end, cost_nusd = "settled", "settle", nusd(buckets)
        by_name = {line["name"].removeprefix("fee:"): line for line in shown["lines"]}
        assert {name: line["quantity"] for name, line in by_name.items()} == {
            bucket.name: bucket.quantity for bucket in buckets
        }
        for bucket in buckets:
            plain = bucket.quantity * bucket.price / (1_000 if bucket.name in EVENTS else 10**6)
            assert Decimal(by_name[bucket.name]["cost_nusd"]) == plain * 10**9
    elif status == 200 or status in (408, 499) or (status >= 500 and status not in VOID):
        state, end, cost_nusd = "settled_worst", "settle_worst", hold_nusd
    else:
        state, end, cost_nusd = "voided", "void", 0
    assert [record["t"] for record in records] == ["hold", "sent", end]
    assert records[2].get("cost_nusd", 0) == cost_nusd <= hold_nusd
    assert (shown["state"], nusd_of(shown["cost_usd"])) == (state, cost_nusd)
    budget = sidecar.budget(agent)
    before = sum(nusd_of(earlier["cost_usd"]) for earlier in sidecar.calls(agent)[1:])
    assert nusd_of(budget["remaining_usd"]) == FUNDED_NUSD - before - cost_nusd
    assert (budget["held_usd"], budget["locked_run_id"]) == ("0.00", None)
    if status in (401, 403):
        return
    assert nusd_of(answer.headers["x-spendguard-held-usd"]) == hold_nusd
    if not recording.streams or status != 200:  # a stream's head leaves before
        assert nusd_of(answer.headers["x-spendguard-cost-usd"]) == cost_nusd


# -- the provider's side ------------------------------------------------------------------------------------

CAPS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
PINNED = {
    "service_tier": ("default", "standard_only"),
    "serviceTier": ("standard",),
    "inference_geo": ("global",),
    "stream_options": ({"include_usage": True},),
    "max_tool_calls": (5,),
    "max_turns": (5,),
    "parallel_tool_calls": (False,),
}
"""What design 5.6 lets the sidecar set beside the cap, and to which values."""


HOSTED = ("tools", "toolConfig", "tool_choice", "include", "web_search_options", "mcp_servers", "container")
"""Where hosted tools stand, which is what may be taken out."""


def assert_sent(recording: Recording, received: Received, port: int, *, stripped: bool) -> None:
    """The provider got the client's bytes, but for what bounds the cost; and nothing of the client's own."""
    for name, (before, after) in changes(recording.request_body, received.body).items():
        if stripped and name in HOSTED:
            assert after is None or all(one in before for one in after)
        elif name == "generationConfig":
            assert 0 < after["maxOutputTokens"] < (before or {}).get("maxOutputTokens", 10**9)
            assert {**after, "maxOutputTokens": 0} == {**(before or {}), "maxOutputTokens": 0}
        elif name in CAPS:
            assert type(after) is int and 0 < after < (before or 10**9)
        elif name == "tools":
            assert without(after, "max_uses") == without(before, "max_uses")
            assert all(tool["max_uses"] == 5 for tool in after if "max_uses" in tool)
        else:
            assert after in PINNED[name]
    if recording.path == "/v1/embeddings":
        assert received.body == recording.request_body
    assert (received.method, received.path) == ("POST", recording.path)
    lower = {name.lower(): value for name, value in received.headers.items()}
    assert "of-the-client" not in repr(lower)
    assert not [name for name in lower if name.startswith(("x-cynsta", "x-spendguard", "x-forwarded"))]
    assert (lower["accept-encoding"], lower["content-type"]) == ("identity", "application/json")
    assert lower.get("user-agent") == recording.headers.get("user-agent")
    assert str(port) not in lower["host"]
    assert len({"authorization", "x-api-key", "x-goog-api-key"} & lower.keys()) == 1
    if recording.provider == "gemini":
        assert lower["x-goog-api-key"] == GEMINI_KEY
        assert received.query == recording.query
    elif recording.provider == "anthropic":
        assert lower["x-api-key"] == ANTHROPIC_KEY
        assert lower["anthropic-version"] == "2023-06-01"
    else:
        key = GROK_KEY if recording.provider == "grok" else PROVIDER_KEY
        assert lower["authorization"] == f"Bearer {key}"


def without(tools: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Return tools without one of their fields."""
    return [{key: value for key, value in tool.items() if key != name} for tool in tools]


def test_the_folder_holds_what_it_did() -> None:
    """The recordings of all providers: at least those this file was written with."""
    assert len(RECORDINGS) >= 41
    assert sum(plain_body(one).startswith((b"data:", b"event:")) for one in RECORDINGS) >= 9
