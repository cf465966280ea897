"""The recorded upstream, by plain sockets: what other tests rely on it for."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from recorded import Act, RecordedUpstream, Reply, load
from spendguard_daemon.providers import Asked, format_for

USER = {"role": "user", "content": "something nobody recorded"}


def post(upstream: RecordedUpstream, body: bytes, path: str = "/chat/completions") -> httpx.Response:
    """Send a body; the answer is kept as it came over the wire."""
    with (
        httpx.Client(timeout=30) as client,
        client.stream("POST", upstream.base_url + path, content=body) as told,
    ):
        told.extensions["wire"] = b"".join(told.iter_raw())
        return told


def wire(response: httpx.Response) -> bytes:
    """Return the body as it came, not decoded."""
    raw: bytes = response.extensions["wire"]
    return raw


def chat(**fields: Any) -> bytes:
    """Return a request that no recording has."""
    return json.dumps({"model": "gpt-4o-mini", "messages": [USER], **fields}).encode()


@pytest.mark.parametrize(
    "name",
    [
        "01-openai-chat-plain",
        "02-openai-chat-gzip",
        "09-openai-chat-stream-tools-usage",
        "11-openai-chat-401",
    ],
)
def test_a_recording_is_found_behind_our_own_changes_and_served_to_the_byte(name: str) -> None:
    recording = load(name)
    form = format_for("openai", "chat/completions")
    outgoing = form.rewrite(form.read(Asked(recording.request_body)), output_tokens=99)
    assert outgoing.body != recording.request_body
    with RecordedUpstream() as upstream:
        response = post(upstream, outgoing.body)
        assert (response.status_code, wire(response)) == (recording.reply.status, recording.reply.body)
        assert response.headers["content-type"] == recording.reply.headers["content-type"]
        assert response.headers.get("content-encoding") == recording.reply.headers.get("content-encoding")
        [received] = upstream.received
        assert (received.method, received.path, received.body) == (
            "POST",
            "/v1/chat/completions",
            outgoing.body,
        )


def test_other_requests_get_an_invented_answer_that_is_billed() -> None:
    with RecordedUpstream(usage=lambda body: (30, 4), bill=lambda model, i, o: i * 100 + o) as upstream:
        plain = json.loads(wire(post(upstream, chat())))
        assert plain["usage"] == {"prompt_tokens": 30, "completion_tokens": 4, "total_tokens": 34}
        assert upstream.billed_nusd == 3_004
        silent = wire(post(upstream, chat(stream=True)))
        assert b"usage" not in silent
        asked = wire(post(upstream, chat(stream=True, stream_options={"include_usage": True})))
        assert b'"choices": [], "usage": {"prompt_tokens": 30' in asked
        assert asked.endswith(b"data: [DONE]\n\n")
        assert upstream.billed_nusd == 3 * 3_004
        assert post(upstream, b"nonsense").status_code == 400
        assert post(upstream, b"{}", "/images").status_code == 404


def test_requests_wait_while_it_holds_them_open() -> None:
    with RecordedUpstream() as upstream, ThreadPoolExecutor(4) as pool:
        upstream.hold_open()
        answers = [pool.submit(post, upstream, chat()) for _ in range(3)]
        upstream.wait_arrived(3)
        assert not any(answer.done() for answer in answers)
        upstream.release()
        assert [answer.result(20).status_code for answer in answers] == [200] * 3
        with pytest.raises(TimeoutError):
            upstream.wait_arrived(4, seconds=0.01)


def test_it_misbehaves_as_scripted_and_in_that_order() -> None:
    refusal = Reply(503, {"content-type": "application/json"}, b'{"error":{"message":"busy"}}')
    with RecordedUpstream() as upstream:
        upstream.script(
            Act(reset=True), Act(reply=refusal), Act(cut_after=5), Act(cut_after=0), Act(chunk_bytes=1)
        )
        with pytest.raises(httpx.ReadError):
            post(upstream, chat())
        assert post(upstream, chat()).status_code == 503
        for expected in (5, 0):
            got = b""
            with httpx.Client() as client, pytest.raises(httpx.RemoteProtocolError):
                url = upstream.base_url + "/chat/completions"
                with client.stream("POST", url, content=chat(stream=True)) as told:
                    for piece in told.iter_raw():
                        got += piece
            assert len(got) == expected
        assert json.loads(wire(post(upstream, chat())))["object"] == "chat.completion"


@pytest.mark.parametrize("act", [Act(hang=True), Act(hang_after=5)])
def test_it_hangs_until_it_is_closed(act: Act) -> None:
    with RecordedUpstream() as upstream:
        upstream.director = lambda received: act
        with httpx.Client(timeout=0.2) as client, pytest.raises(httpx.ReadTimeout):
            client.post(upstream.base_url + "/chat/completions", content=chat())
        assert upstream.arrived == 1
