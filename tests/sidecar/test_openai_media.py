"""Images, audio, files and earlier audio in chat requests: counted apart from text, each by its own cap."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.providers import Asked, Policy, Request
from spendguard_daemon.providers.contract import Media
from spendguard_daemon.providers.openai_chat import FORMAT
from spendguard_daemon.providers.policy import CAREFUL
from spendguard_daemon.usage import InputBound, Limits

LIMITS = Limits(128_000, 128_000, 16_384, image_tokens_max=1_000, audio_bytes_per_token=10)
DATA = "data:image/png;base64," + "A" * 50_000
REFUSING = Policy(server_state="refuse")


def body(*parts: Any, **fields: Any) -> bytes:
    """Return a request of one user message with these parts."""
    messages = [{"role": "user", "content": list(parts)}]
    return json.dumps({"model": "gpt-4o", "messages": messages, **fields}).encode()


def read(*parts: Any, policy: Policy = CAREFUL, **fields: Any) -> Request:
    """Read a request of one user message with these parts."""
    return FORMAT.read(Asked(body(*parts, **fields), policy=policy))


def image(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def audio(size: int) -> dict[str, Any]:
    return sound(MPEG + bytes(size - len(MPEG)))


def sound(raw: bytes) -> dict[str, Any]:
    data = base64.b64encode(raw).decode()
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


def wav(samples_per_second: int, *, codec: int = 1, bits: int = 16, extended: int = 0) -> bytes:
    shape = codec.to_bytes(2, "little") + b"\1\0" + samples_per_second.to_bytes(4, "little") + bytes(6)
    shape += bits.to_bytes(2, "little") + bytes(8) + extended.to_bytes(2, "little")
    return b"RIFF\0\0\0\0WAVEfmt " + bytes(4) + shape + bytes(99)


MPEG = b"\xff\xf3\x18"
"""The head of layer III at its lowest bit rate."""

ADTS = b"\xff\xf1\x6c"
"""AAC: the same sync word, another layer."""


def tagged(raw: bytes, *, size: int = 200) -> bytes:
    """Put an ID3 tag of such a size before a stream."""
    return b"ID3\4\0\0\0\0" + bytes([size >> 7, size & 0x7F]) + MPEG * 60 + bytes(size - 180) + raw


@pytest.mark.parametrize("url", [DATA, "https://x.example/a.png", "http://x.example/" + "p" * 9_000])
def test_an_image_counts_as_one_and_not_by_its_bytes(url: str) -> None:
    request = read({"type": "text", "text": "what?"}, image(url, detail="high"))
    empty = read({"type": "text", "text": "what?"}, image("", detail="high"))
    assert request.media == Media(images=1)
    assert request.input_bytes == empty.input_bytes < 200
    assert FORMAT.bounds(request, LIMITS)[0].tokens == request.input_bytes + 64 + 16 + 1_000


def test_a_card_without_a_cap_for_images_refuses_them() -> None:
    for limits, part in (
        (replace(LIMITS, image_tokens_max=None), image(DATA)),
        (replace(LIMITS, audio_bytes_per_token=None), audio(9)),
    ):
        with pytest.raises(SpendGuardError) as refused:
            FORMAT.bounds(read(part), limits)
        assert refused.value.code is Code.UNBOUNDED_FEATURE
        assert "gpt-4o" in str(refused.value.facts["feature"])


STEADY = [
    wav(4_000),
    wav(44_100),
    wav(8_000, codec=7, bits=8),
    wav(44_100, codec=0xFFFE, extended=3),
    MPEG + bytes(99),
    *(tagged(MPEG + bytes(99), size=size) for size in (200, 201, 202)),
]


@pytest.mark.parametrize("raw", STEADY)
def test_audio_of_a_usual_pace_is_bounded_by_its_size(raw: bytes) -> None:
    assert not read(sound(raw)).media.documents


PACELESS = [
    b"",
    b"\xff",
    wav(0),
    wav(3_999),
    wav(44_100)[:25],
    wav(44_100, bits=1),
    wav(44_100, codec=0xFF),
    wav(44_100, codec=0xFFFE, extended=0xFF),
    b"OggS" + bytes(99),
    ADTS + bytes(99),
    b"\xff\xf3\x08" + bytes(99),
    b"\xff\xf3\xf8" + bytes(99),
    tagged(ADTS + bytes(99)),
    tagged(b"fLaC" + bytes(99)),
    tagged(MPEG, size=200)[:100],
    b"ID3" + bytes(99),
]


@pytest.mark.parametrize("raw", PACELESS)
def test_audio_that_may_last_for_hours_is_held_at_the_window(raw: bytes) -> None:
    """A WAV file says itself how fast it is played: at one sample a second 10 kB are hours, and billed so.

    AAC of silence takes 70 bytes a second; it begins as MPEG does, or with a tag, but in another layer.
    """
    request = read(sound(raw))
    assert request.media.documents
    assert [bound.rung for bound in FORMAT.bounds(request, LIMITS)] == ["window"]


def test_audio_that_is_no_base64_is_held_at_the_window() -> None:
    part = {"type": "input_audio", "input_audio": {"data": "SUQz-_no", "format": "mp3"}}
    assert read(part).media.documents


def test_white_space_cannot_move_what_stands_behind_a_tag() -> None:
    """A reader that skips it would find another frame than one that counts it."""
    data = base64.b64encode(tagged(MPEG + bytes(99))).decode()
    part = {"type": "input_audio", "input_audio": {"data": data[:64] + "\n" * 4 + data[64:], "format": "mp3"}}
    assert read(part).media.documents


@pytest.mark.parametrize("size", [3, 10, 11, 99_999])
def test_audio_counts_by_its_decoded_size(size: int) -> None:
    request = read(audio(size))
    assert size <= request.media.audio_bytes <= size + 3
    assert request.reach == {"input_audio"}
    tokens = FORMAT.bounds(request, LIMITS)[0].tokens - request.input_bytes - 64 - 16
    assert size / 10 <= tokens <= size / 10 + 2


@pytest.mark.parametrize(
    "file",
    [{"file_id": "file-1"}, {"file_data": "data:application/pdf;base64," + "A" * 9_000, "filename": "a"}],
)
def test_a_file_is_held_at_the_window_or_refused(file: dict[str, Any]) -> None:
    part = {"type": "file", "file": file}
    request = read(part)
    assert request.media == Media(documents=True)
    assert request.input_bytes < 200
    assert FORMAT.bounds(request, LIMITS) == (InputBound("window", 128_000),)
    with pytest.raises(SpendGuardError) as refused:
        read(part, policy=REFUSING)
    assert refused.value.facts == {
        "path": "messages[0].content[0]",
        "feature": "file",
        "setting": '[policy] server_state = "window"',
    }


def test_an_earlier_audio_answer_can_be_sent_back_whole() -> None:
    answered = {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "annotations": [],
        "audio": {"id": "audio_1", "data": "A" * 90_000, "expires_at": 1_787_150_216, "transcript": "hello"},
    }
    raw = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}, answered]}).encode()
    request = FORMAT.read(Asked(raw))
    assert (request.foreign_state, request.reach, request.messages) == (True, {"input_audio"}, 2)
    assert request.input_bytes < 400
    assert FORMAT.bounds(request, LIMITS) == (InputBound("window", 128_000),)
    with pytest.raises(SpendGuardError) as refused:
        FORMAT.read(Asked(raw, policy=REFUSING))
    assert refused.value.facts["path"] == "messages[1].audio"


@pytest.mark.parametrize(
    "fields", [{"modalities": ["text", "audio"]}, {"audio": {"voice": "alloy", "format": "mp3"}}]
)
def test_audio_output_is_reached_where_it_is_asked_for(fields: dict[str, Any]) -> None:
    assert read(**fields).reach == {"output_audio"}
    assert read(modalities=["text"]).reach == frozenset()


@pytest.mark.parametrize(
    ("asked", "priced", "sent"),
    [
        (None, "default", "default"),
        ("auto", "default", "default"),
        ("default", "default", "default"),
        ("standard", "default", "default"),
        ("scale", "default", "default"),
        ("flex", "flex", "flex"),
        ("priority", "priority", "priority"),
        ("fast", "priority", "fast"),
        ("ultrafast", "ultrafast", "ultrafast"),
    ],
)
def test_a_tier_is_priced_as_asked_or_pinned(asked: str | None, priced: str, sent: str) -> None:
    request = read(service_tier=asked)
    assert request.service_tier == priced
    outgoing = json.loads(FORMAT.rewrite(request, output_tokens=5).body)
    assert outgoing["service_tier"] == sent


def test_the_chat_web_search_is_left_out_or_refused() -> None:
    raw = body({"type": "text", "text": "x"}, web_search_options={"search_context_size": "low"}, n=1)
    request = FORMAT.read(Asked(raw))
    assert request.stripped == ("openai.chat.field:web_search_options",)
    outgoing = FORMAT.rewrite(request, output_tokens=5)
    assert "web_search_options" not in json.loads(outgoing.body)
    assert outgoing.changed[0] == "openai.chat.field:web_search_options: taken out"
    again = FORMAT.read(Asked(outgoing.body))
    assert (again.input_bytes, again.stripped) == (request.input_bytes, ())
    for policy in (Policy(hosted_tools="refuse"), Policy(hosted_tools="allow")):
        with pytest.raises(SpendGuardError) as refused:
            FORMAT.read(Asked(raw, policy=policy))
        assert refused.value.code is Code.UNBOUNDED_FEATURE
        assert refused.value.facts["setting"] == '[policy] hosted_tools = "strip"'
