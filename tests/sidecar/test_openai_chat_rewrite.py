"""What goes out: only what bounds cost differs, by splicing, and it is read back as what was held."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_requests import bodies
from json_values import relaxed
from spendguard_daemon.providers import Asked
from spendguard_daemon.providers.openai_chat import FORMAT
from spendguard_daemon.usage import Limits

LIMITS = Limits(
    input_tokens_max=128_000,
    context_tokens=128_000,
    output_tokens_max=16_384,
    image_tokens_max=9,
    audio_bytes_per_token=1,
)

M = '"model":"m","messages":[{"role":"user"}]'
TIER = '"service_tier":"default"'
CAP = '"max_tokens":7'
USAGE = '"stream_options":{"include_usage":true}'


def body(*members: str) -> str:
    """Return an object of these members, with the model and a message in front."""
    return "{" + ",".join((M, *members)) + "}"


REWRITES: list[tuple[str, str, int, list[str]]] = [
    (body(TIER, '"max_tokens" : 9'), body(TIER, '"max_tokens" : 5'), 5, ["max_tokens: 9 -> 5"]),
    (
        body('"max_completion_tokens":9', TIER),
        body('"max_completion_tokens":5', TIER),
        5,
        ["max_completion_tokens: 9 -> 5"],
    ),
    (
        "{ " + M + " }",
        "{ " + M + ',"max_completion_tokens":7,' + TIER + " }",
        7,
        ["max_completion_tokens: none -> 7", "service_tier: none -> default"],
    ),
    (
        body('"max_tokens": null', TIER),
        body('"max_completion_tokens":7', TIER),
        7,
        ["max_completion_tokens: none -> 7"],
    ),
    (
        body('"max_tokens":null', '"max_completion_tokens": null', TIER),
        body('"max_tokens":null', '"max_completion_tokens": 7', TIER),
        7,
        ["max_completion_tokens: none -> 7"],
    ),
    (body(CAP, '"service_tier":"auto"'), body(CAP, TIER), 7, ["service_tier: auto -> default"]),
    (body('"service_tier":null', CAP), body(TIER, CAP), 7, ["service_tier: none -> default"]),
    (
        body(TIER, CAP, '"stream":true'),
        body(TIER, CAP, '"stream":true', USAGE),
        7,
        ["stream_options.include_usage: none -> true"],
    ),
    (
        body(TIER, CAP, '"stream_options":null', '"stream":true'),
        body(TIER, CAP, USAGE, '"stream":true'),
        7,
        ["stream_options.include_usage: none -> true"],
    ),
    (
        body(TIER, CAP, '"stream":true', '"stream_options":{ "include_obfuscation" : 0 }'),
        body(
            TIER,
            CAP,
            '"stream":true',
            '"stream_options":{ "include_obfuscation" : 0,"include_usage":true }',
        ),
        7,
        ["stream_options.include_usage: none -> true"],
    ),
    (
        body(TIER, CAP, '"stream":true', '"stream_options":{"include_usage":false,"x":[1 ]}'),
        body(TIER, CAP, '"stream":true', '"stream_options":{"include_usage":true,"x":[1 ]}'),
        7,
        ["stream_options.include_usage: false -> true"],
    ),
]


@pytest.mark.parametrize(("before", "after", "cap", "changed"), REWRITES)
def test_only_what_bounds_cost_is_spliced(before: str, after: str, cap: int, changed: list[str]) -> None:
    outgoing = FORMAT.rewrite(FORMAT.read(Asked(before.encode())), output_tokens=cap)
    assert outgoing.body.decode() == after
    assert list(outgoing.changed) == changed


@pytest.mark.parametrize(
    "unchanged",
    [
        body(TIER, CAP),
        " " + body(TIER, CAP, '"user":"\\u00e9é\\/"') + "\n",
        body(TIER, CAP, '"stream":null', '"stream_options":{"include_usage":false}'),
        body(TIER, CAP, '"stream":false'),
        body(TIER, CAP, '"stream":true', USAGE),
    ],
)
def test_a_request_that_needs_no_change_leaves_byte_for_byte(unchanged: str) -> None:
    outgoing = FORMAT.rewrite(FORMAT.read(Asked(unchanged.encode())), output_tokens=7)
    assert (outgoing.body.decode(), outgoing.changed, outgoing.hides_usage) == (unchanged, (), False)


@pytest.mark.parametrize("cap", [0, -1, 10])
def test_no_rewrite_raises_the_clients_own_cap(cap: int) -> None:
    with pytest.raises(ValueError, match="cap"):
        FORMAT.rewrite(FORMAT.read(Asked(body('"max_tokens":9').encode())), output_tokens=cap)


@relaxed
@given(bodies(), st.data())
def test_what_goes_out_is_read_back_as_what_was_held(
    drawn: tuple[dict[str, Any], bytes], data: st.DataObject
) -> None:
    """The cap is the one held, input bound and choices are the same, and nothing else changed."""
    sent, raw = drawn
    request = FORMAT.read(Asked(raw))
    cap = data.draw(st.integers(1, request.asked_output_tokens or 20_000))
    outgoing = FORMAT.rewrite(request, output_tokens=cap)
    again = FORMAT.read(Asked(outgoing.body))
    assert again.asked_output_tokens == cap
    assert again.input_bytes == request.input_bytes
    assert FORMAT.bounds(again, LIMITS) == FORMAT.bounds(request, LIMITS)
    assert (again.choices, again.reach, again.stream) == (request.choices, request.reach, request.stream)
    assert outgoing.hides_usage == (request.stream and not request.wants_usage)
    assert again.wants_usage or not again.stream
    # Read back, the outgoing request needs no change.
    assert FORMAT.rewrite(again, output_tokens=cap).body == outgoing.body
    assert FORMAT.rewrite(again, output_tokens=cap).changed == ()
    received = json.loads(outgoing.body)
    ours = {"max_tokens", "max_completion_tokens", "service_tier", "stream_options", "web_search_options"}
    assert {k: v for k, v in received.items() if k not in ours} == {
        k: v for k, v in sent.items() if k not in ours
    }
    caps = [received.get(name) for name in ("max_tokens", "max_completion_tokens")]
    assert [value for value in caps if value is not None] == [cap]
    tier = sent.get("service_tier")
    assert received["service_tier"] == (tier if tier in ("flex", "fast", "priority") else "default")
    assert received.get("web_search_options") is None
    assert (again.media, again.foreign_state) == (request.media, request.foreign_state)
    assert (again.service_tier, again.stripped) == (request.service_tier, ())
    kept = {k: v for k, v in (sent.get("stream_options") or {}).items() if k != "include_usage"}
    assert {k: v for k, v in (received.get("stream_options") or {}).items() if k != "include_usage"} == kept
    assert (outgoing.body == raw) == (outgoing.changed == ())
