"""The mock provider: deterministic, true to the request, and wrong exactly as it is told to be."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_requests import requests
from json_values import relaxed
from spendguard_daemon.gateway.mock_upstream import MockUpstream
from spendguard_daemon.ports import Upstream, UpstreamLostError, UpstreamRequest, UpstreamResponse
from spendguard_daemon.providers import Asked, openai_errors
from spendguard_daemon.providers.mock import CONTEXT_TOKENS, FORMAT, OUTPUT_TOKENS_MAX
from spendguard_daemon.usage import Limits

LIMITS = Limits(CONTEXT_TOKENS, CONTEXT_TOKENS, OUTPUT_TOKENS_MAX)
USER = {"role": "user", "content": "hello there"}


async def send(path: str = "/chat/completions", **fields: Any) -> UpstreamResponse:
    """Send a small request with these fields; `mock` becomes `metadata.mock`."""
    directive = fields.pop("mock", None)
    metadata = {} if directive is None else {"metadata": {"mock": directive}}
    body = json.dumps({"model": "mock-small", "messages": [USER], **metadata, **fields}).encode()
    upstream: Upstream = MockUpstream()
    return await upstream.send(UpstreamRequest("mock", "POST", path, (), body))


async def whole(response: UpstreamResponse) -> bytes:
    """Read an answer to its end."""
    return b"".join([chunk async for chunk in response.chunks()])


async def plain(**fields: Any) -> dict[str, Any]:
    """Return a plain answer."""
    answer: dict[str, Any] = json.loads(await whole(await send(**fields)))
    return answer


async def chunks(**fields: Any) -> list[dict[str, Any]]:
    """Return the chunks of a stream, which must end with its mark."""
    raw = await whole(await send(stream=True, **fields))
    *events, done, last = raw.split(b"\n\n")
    assert (done, last) == (b"data: [DONE]", b"")
    return [json.loads(event.removeprefix(b"data: ")) for event in events]


async def test_a_plain_answer_has_openais_shape() -> None:
    response = await send(max_tokens=5, mock="tokens:3")
    assert response.status == 200
    assert response.headers["Content-Type"] == response.headers.get("content-type") == "application/json"
    answer = json.loads(await whole(response))
    assert (answer["object"], answer["model"], answer["service_tier"]) == (
        "chat.completion",
        "mock-small",
        "default",
    )
    [choice] = answer["choices"]
    assert (choice["finish_reason"], len(choice["message"]["content"].split())) == ("stop", 3)
    assert answer["usage"]["completion_tokens"] == 3


async def test_the_same_request_gets_the_same_bytes_and_another_one_others() -> None:
    for stream in (False, True):
        one, same = [await whole(await send(stream=stream)) for _ in range(2)]
        assert one == same
        assert await whole(await send(stream=stream, user="somebody else")) != one


async def test_the_cap_is_per_choice_and_cuts() -> None:
    answer = await plain(max_completion_tokens=4, n=3, mock="tokens:50")
    assert [choice["finish_reason"] for choice in answer["choices"]] == ["length"] * 3
    assert [len(choice["message"]["content"].split()) for choice in answer["choices"]] == [4] * 3
    assert answer["usage"]["completion_tokens"] == 12


async def test_without_a_cap_the_models_own_holds() -> None:
    answer = await plain(mock="tokens:999999")
    assert answer["usage"]["completion_tokens"] == OUTPUT_TOKENS_MAX


async def test_a_stream_says_what_the_plain_answer_says() -> None:
    fields: dict[str, Any] = {"n": 2, "max_tokens": 5}
    said = ["", ""]
    for chunk in await chunks(**fields):
        assert "usage" not in chunk
        [choice] = chunk["choices"]
        said[choice["index"]] += choice["delta"].get("content", "")
    # The text depends on the request, so it is compared in shape.
    assert [len(text.split()) for text in said] == [
        len(choice["message"]["content"].split()) for choice in (await plain(**fields))["choices"]
    ]


async def test_usage_comes_in_a_stream_only_if_it_is_asked_for() -> None:
    *others, last = await chunks(stream_options={"include_usage": True}, mock="tokens:4")
    assert all(chunk["usage"] is None for chunk in others)
    assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 4)
    assert len(others) == 1 + 4 + 1


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503, 529])
async def test_it_fails_in_openais_shape(status: int) -> None:
    response = await send(mock=f"fail:{status}")
    assert response.status == status
    reader = openai_errors.reader("")
    reader.feed(await whole(response))
    reader.end()
    assert reader.documented_error


@pytest.mark.parametrize(
    "directive",
    [
        "",
        "x",
        "fail",
        "fail:",
        "fail:200",
        "fail:600",
        "cut:-1",
        "lie:little",
        "hang:1",
        "tokens:1e3",
        5,
        ["hang"],
    ],
)
async def test_an_unknown_directive_is_a_400(directive: Any) -> None:
    response = await send(mock=directive)
    error = json.loads(await whole(response))["error"]
    assert (response.status, error["param"]) == (400, "metadata.mock")


async def test_what_openai_would_not_take_is_refused() -> None:
    assert (await send(path="/embeddings")).status == 404
    assert (await send(model="gpt-4o")).status == 404
    assert (await send(messages=[])).status == 400
    assert (await send(messages=[{"role": "user", "content": "x" * 600_000}])).status == 400


@pytest.mark.parametrize(
    ("lie", "believed"),
    [("missing", False), ("negative", False), ("float", False), ("huge", False), ("over", True)],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_it_lies(lie: str, believed: bool, stream: bool) -> None:
    """All lies but `over` are seen through; `over` is beyond every hold."""
    fields: dict[str, Any] = {"max_tokens": 7, "n": 2, "stream": stream}
    response = await send(mock=f"lie:{lie}", stream_options={"include_usage": True}, **fields)
    body = json.dumps({"model": "mock-small", "messages": [USER], **fields}).encode()
    reader = FORMAT.reader(FORMAT.read(Asked(body)), hides_usage=False, status=200, encoding="")
    reader.feed(await whole(response))
    reader.end()
    assert reader.complete
    assert (reader.usage is not None) == (reader.problem is None) == believed
    if reader.usage is not None:
        assert reader.usage.input_tokens > CONTEXT_TOKENS
        assert reader.usage.output_tokens > 2 * 7


async def test_it_cuts_after_so_many_chunks() -> None:
    for stream in (False, True):
        response = await send(stream=stream, mock="cut:2,tokens:200")
        got: list[bytes] = []
        with pytest.raises(UpstreamLostError):
            async for chunk in response.chunks():
                got.append(chunk)
        assert len(got) == 2
    nothing = await send(mock="cut:0")
    with pytest.raises(UpstreamLostError):
        await whole(nothing)


@pytest.mark.parametrize("directive", ["hang", "slow:9999999"])
async def test_it_waits_until_it_is_closed_and_no_longer(directive: str) -> None:
    for stream in (False, True):
        response = await send(stream=stream, mock=directive)
        reading = asyncio.create_task(whole(response))
        done, _ = await asyncio.wait([reading], timeout=0.02)
        assert not done
        await response.close()
        await response.close()
        with pytest.raises(UpstreamLostError):
            async with asyncio.timeout(10):
                await reading


async def test_slow_answers_arrive_whole() -> None:
    assert await whole(await send(stream=True, mock="slow:1,tokens:3"))


@relaxed
@given(requests(), st.booleans())
def test_what_it_reports_never_exceeds_the_bound(request: dict[str, Any], stream: bool) -> None:
    """Any request the reader accepts is answered within its byte bound and its cap."""
    metadata = {**(request.get("metadata") or {}), "mock": "tokens:3"}
    sent = {**request, "model": "mock-large", "stream": stream, "metadata": metadata}
    sent["stream_options"] = {"include_usage": True}
    read = FORMAT.read(Asked(json.dumps(sent).encode()))

    async def answered() -> tuple[int, bytes]:
        request = UpstreamRequest("mock", "POST", "/chat/completions", (), json.dumps(sent).encode())
        response = await MockUpstream().send(request)
        return response.status, await whole(response)

    status, raw = asyncio.run(answered())
    reader = FORMAT.reader(read, hides_usage=False, status=status, encoding="")
    reader.feed(raw)
    reader.end()
    assert (status, reader.complete, reader.problem) == (200, True, None)
    assert reader.usage is not None
    assert reader.usage.input_tokens <= FORMAT.bounds(read, LIMITS)[0].tokens
    assert reader.usage.output_tokens <= (read.asked_output_tokens or OUTPUT_TOKENS_MAX) * read.choices
