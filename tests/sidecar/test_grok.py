"""xAI requests: what is refused, what is held beyond the cap, and how tools that run at xAI are held."""

import json
from typing import Any

import pytest

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.providers import Asked, Policy, Request, format_for
from spendguard_daemon.providers.grok_fields import TOOLS
from spendguard_daemon.usage import Limits

LIMITS = Limits(input_tokens_max=1_000, context_tokens=1_000, output_tokens_max=1_000, image_tokens_max=1_792)
CALC = {"type": "function", "name": "calc", "function": {"name": "calc"}}
CHAT, RESPONSES = format_for("grok", "chat/completions"), format_for("grok", "responses")
HELD: dict[str, dict[str, Any]] = {
    "chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "responses": {"input": "hi"},
}


def raw(endpoint: str, **fields: Any) -> bytes:
    """Return a body."""
    return json.dumps({"model": "grok-4.3", **HELD[endpoint], **fields}).encode()


def read(endpoint: str, policy: Policy | None = None, **fields: Any) -> Request:
    """Read a request to an endpoint."""
    return format_for("grok", endpoint).read(Asked(raw(endpoint, **fields), policy=policy or Policy()))


def sent(endpoint: str, policy: Policy | None = None, cap: int = 9, **fields: Any) -> dict[str, Any]:
    """Return what goes out, which read again is the same request."""
    request = read(endpoint, policy, **fields)
    form = format_for("grok", endpoint)
    outgoing = form.rewrite(request, output_tokens=cap)
    again = form.read(Asked(outgoing.body, policy=policy or Policy()))
    assert (again.asked_output_tokens, again.stripped) == (cap, ())
    assert (again.passes, again.events, again.uncapped) == (request.passes, request.events, request.uncapped)
    told: dict[str, Any] = json.loads(outgoing.body)
    return told


def refusal(endpoint: str, policy: Policy | None = None, **fields: Any) -> SpendGuardError:
    """Return the refusal of a request."""
    with pytest.raises(SpendGuardError) as refused:
        read(endpoint, policy, **fields)
    return refused.value


def test_a_cap_of_chat_is_not_trusted_with_reasoning_and_calls() -> None:
    """They are held beside it, all that the context holds: reasoning if the model thinks, calls if it may."""
    plain, tooled = read("chat/completions"), read("chat/completions", tools=[CALC])
    assert (plain.uncapped, tooled.uncapped) == ({"reasoning"}, {"reasoning", "calls"})
    assert plain.uncapped_tokens(LIMITS, reasoning=True) == 1_000
    assert plain.uncapped_tokens(LIMITS, reasoning=False) == 0
    assert tooled.uncapped_tokens(LIMITS, reasoning=False) == 1_000


def test_an_operator_may_trust_it() -> None:
    """Each by its name; what is left to trust is told for a refusal, as far as it changes the hold."""
    fees = {"violation": 1}
    tooled = read("chat/completions", tools=[CALC])
    assert tooled.trusting(fees, reasoning=True) == (
        "grok.chat.cap:reasoning",
        "grok.chat.cap:calls",
        "grok.fee:violation",
    )
    assert tooled.trusting({}, reasoning=False) == ("grok.chat.cap:calls",)
    allow = frozenset({"grok.chat.cap:reasoning", "grok.fee:violation"})
    some = read("chat/completions", Policy(allow=allow), tools=[CALC])
    assert (some.uncapped, some.penalties) == ({"calls"}, ())
    assert some.trusting(fees, reasoning=True) == ("grok.chat.cap:calls",)
    every = Policy(allow=allow | {"grok.chat.cap:calls"})
    assert read("chat/completions", every, tools=[CALC]).uncapped == frozenset()


def test_a_cap_of_responses_counts_all() -> None:
    request = read("responses", tools=[CALC], max_output_tokens=7)
    assert (request.uncapped, request.asked_output_tokens) == (frozenset(), 7)
    assert (request.penalties, request.least_output_tokens) == (("violation",), 1)


@pytest.mark.parametrize("endpoint", HELD)
def test_what_needs_no_change_leaves_as_it_came(endpoint: str) -> None:
    """But for the cap; no tier is put in where none was asked for."""
    cap = "max_completion_tokens" if endpoint != "responses" else "max_output_tokens"
    body = raw(endpoint, **{cap: 9})
    form = format_for("grok", endpoint)
    assert form.rewrite(form.read(Asked(body)), output_tokens=9).body == body
    assert sent(endpoint) == {"model": "grok-4.3", **HELD[endpoint], cap: 9}
    assert sent(endpoint, service_tier="auto")["service_tier"] == "default"
    assert read(endpoint, service_tier="priority").service_tier == "priority"


@pytest.mark.parametrize("endpoint", HELD)
@pytest.mark.parametrize("name", ["search_parameters", "web_search_options"])
def test_live_search_is_left_out_or_refused(endpoint: str, name: str) -> None:
    """No field limits it, so no setting lets it through."""
    if endpoint == "responses" and name == "web_search_options":
        assert refusal(endpoint, **{name: {}}).code is Code.MALFORMED_REQUEST
        return
    request = read(endpoint, **{name: {"mode": "on"}})
    kind = "chat" if endpoint != "responses" else "responses"
    assert request.stripped == (f"grok.{kind}.field:{name}",)
    assert name not in sent(endpoint, **{name: {"mode": "on"}})
    for policy in (Policy(hosted_tools="refuse"), Policy(hosted_tools="allow")):
        error = refusal(endpoint, policy, **{name: {"mode": "on"}})
        assert error.code is Code.UNBOUNDED_FEATURE
        assert error.facts["setting"] == '[policy] hosted_tools = "strip"'


def test_what_comes_later_and_what_multiplies_is_refused() -> None:
    assert refusal("chat/completions", deferred=True).code is Code.UNBOUNDED_FEATURE
    assert read("chat/completions", deferred=False).stripped == ()
    assert refusal("responses", background=True).code is Code.UNBOUNDED_FEATURE
    for endpoint in HELD:
        error = refusal(endpoint, model="grok-4.20-multi-agent-0309")
        assert (error.code, error.facts["path"]) == (Code.UNBOUNDED_FEATURE, "model")
    assert read("chat/completions", n=3).choices == 3


@pytest.mark.parametrize("endpoint", HELD)
@pytest.mark.parametrize("field", ["agent_count", "conversation", "prediction", "unheard_of"])
def test_fields_on_no_list_are_refused(endpoint: str, field: str) -> None:
    assert refusal(endpoint, **{field: 1}).code is Code.MALFORMED_REQUEST


@pytest.mark.parametrize("kind", sorted(TOOLS.hosted))
def test_tools_of_xai_are_refused_in_chat_whatever_is_set(kind: str) -> None:
    """Nothing there limits their rounds."""
    for allowed in ((), (f"grok.chat.tool:{kind}",)):
        policy = Policy(hosted_tools="allow", allow=frozenset(allowed))
        error = refusal("chat/completions", policy, tools=[CALC, {"type": kind}])
        assert (error.code, error.facts["path"]) == (Code.UNBOUNDED_FEATURE, "tools[1]")


@pytest.mark.parametrize("kind", sorted(TOOLS.hosted))
def test_tools_of_xai_are_left_out_of_responses(kind: str) -> None:
    tools = [{"type": kind}, CALC]
    request = read("responses", tools=tools)
    assert (request.stripped, request.passes) == ((f"grok.responses.tool:{kind}",), 1)
    assert sent("responses", tools=tools)["tools"] == [CALC]


def test_with_the_setting_they_are_held_to_rounds_of_one_call() -> None:
    """Three uses: a window and the cap for seven passes, three fees; a lower limit of the client counts."""
    policy = Policy(hosted_tools="allow", hosted_tool_uses=3)
    tools = [{"type": "web_search"}, {"type": "x_search"}, CALC]
    request = read("responses", policy, tools=tools)
    assert (request.passes, request.output_passes) == (7, 7)
    assert request.events == {"web_search": 3, "x_search": 3}
    assert RESPONSES.bounds(request, LIMITS)[0].tokens == 7_000
    told = sent("responses", policy, tools=tools)
    assert (told["max_turns"], told["parallel_tool_calls"]) == (3, False)
    less = sent("responses", policy, tools=tools, max_turns=2, parallel_tool_calls=False)
    assert (less["max_turns"], less["parallel_tool_calls"]) == (2, False)
    assert sent("responses", policy, tools=tools, max_turns=9)["max_turns"] == 3
    assert refusal("responses", policy, tools=tools, max_turns=0).facts["path"] == "max_turns"
    changed = RESPONSES.rewrite(request, output_tokens=5).changed
    assert changed[1:] == ("max_turns: none -> 3", "parallel_tool_calls: none -> false")


@pytest.mark.parametrize("kind", ["image_generation", "live_search"])
def test_tools_without_a_price_stay_refused(kind: str) -> None:
    error = refusal("responses", Policy(hosted_tools="refuse"), tools=[{"type": kind}])
    assert error.facts["setting"] == '[policy] hosted_tools = "strip"'
    allowed = Policy(hosted_tools="allow", allow=frozenset({f"grok.responses.tool:{kind}"}))
    assert kind in refusal("responses", allowed, tools=[{"type": kind}]).facts["feature"]


def test_files_are_refused_and_images_have_a_cap() -> None:
    part = {"type": "input_file", "file_id": "f"}
    error = refusal("responses", input=[{"role": "user", "content": [part]}])
    assert error.code is Code.UNBOUNDED_FEATURE
    file = [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]
    assert refusal("chat/completions", messages=file).code is Code.UNBOUNDED_FEATURE
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9_000}}
    request = read("chat/completions", messages=[{"role": "user", "content": [image]}])
    assert (request.media.images, request.input_bytes < 300) == (1, True)


def test_text_may_be_normalised_first() -> None:
    """One character of 4 bytes that NFC makes longer is bounded by what it becomes."""
    clef = "\U0001d160"
    longer = read("responses", input=clef).input_bytes - read("responses", input="").input_bytes
    assert longer > len(clef.encode())


def test_nobody_is_asked_to_count() -> None:
    for endpoint in HELD:
        asked = Asked(raw(endpoint))
        form = format_for("grok", endpoint)
        assert form.count_question(asked, form.read(asked)) is None


def test_earlier_answers_are_known_by_their_ids() -> None:
    request = read("responses", previous_response_id="resp_1")
    assert request.state_ids == ("resp_1",)
    refused = refusal("responses", Policy(server_state="refuse"), previous_response_id="resp_1")
    assert refused.facts["setting"] == '[policy] server_state = "window"'
