"""Answers that need no turning: OpenAI's own wire, and sound that comes whole."""

from __future__ import annotations

import base64
import json

import pytest

from gateway.core.sound import riff
from gateway.errors import UPSTREAM_ERROR
from gateway.pipeline.mishaps import sound_type
from gateway.sdk import Adapter
from tests.adapters.speech import hosts
from tests.adapters.speech.hosts import ALL, SOUND, TIME, call, heard, run, translator

# --- OpenAI's own wire ---

OPENAI_LIKE = {"openai": ALL["openai"], "xai": ALL["xai"]}


@pytest.mark.parametrize("adapter", OPENAI_LIKE.values(), ids=OPENAI_LIKE)
def test_bytes_pass_untouched(adapter: Adapter) -> None:
    one = translator(adapter, call())
    assert [one.feed(piece) for piece in hosts.PIECES] == list(hosts.PIECES)
    assert one.finish() == b""
    assert one.complete
    assert one.usage is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("audio/pcm;rate=24000", "audio/pcm;rate=24000"),
        ('audio/mpeg; name="\xe9.mp3"', "audio/mpeg"),
        ("audio/mpeg;\tx=y", "audio/mpeg"),
        ("audio/\xe9", "audio/mpeg"),
    ],
)
@pytest.mark.parametrize("adapter", OPENAI_LIKE.values(), ids=OPENAI_LIKE)
def test_a_type_that_cannot_be_passed_on(adapter: Adapter, given: str, told: str) -> None:
    """Sound that has been made and paid for is not lost for what stands behind its type."""
    media = adapter.operations["speech"].media
    assert media is not None
    assert sound_type(media(call(), {"content-type": given})) == told


@pytest.mark.parametrize("size", [1, 3, 700, 1 << 20])
def test_events_pass_as_they_are(size: int) -> None:
    """Their usage is read, and their sound timed."""
    stream = b": hello\n\n" + hosts.openai().replace(b"data: ", b"event: x\r\ndata: ")
    one = translator(ALL["openai"], call(stream_format="sse", response_format="pcm"))
    made = run(one, *(stream[n : n + size] for n in range(0, len(stream), size)))
    assert made == stream
    assert one.complete
    assert one.usage is not None
    assert (one.usage.input, one.usage.output, one.usage.milliseconds) == (14, 101, TIME)


def test_events_without_their_end_are_not_complete() -> None:
    stream = hosts.openai()
    for at in (100, len(stream) - 150):
        one = translator(ALL["openai"], call(stream_format="sse"))
        run(one, stream[:at])
        assert not one.complete


@pytest.mark.parametrize("events", [None, "sse"])
def test_nothing_is_no_answer(events: str | None) -> None:
    one = translator(ALL["openai"], call(stream_format=events))
    assert one.finish() == b""
    assert one.fault is not None
    assert one.fault.cause == "empty_answer"


@pytest.mark.parametrize("size", [1, 5, 1000, 1 << 20])
def test_bytes_become_events_where_events_were_asked_for(size: int) -> None:
    one = translator(ALL["xai"], call(stream_format="sse", response_format="pcm"))
    made = run(one, *(SOUND[n : n + size] for n in range(0, len(SOUND), size)))
    sound, done = heard(made)
    assert (sound, done) == (SOUND, {"type": "speech.audio.done"})
    assert one.complete
    assert one.usage is not None
    assert one.usage.milliseconds == TIME


def test_a_few_bytes_become_events_as_well() -> None:
    one = translator(ALL["xai"], call(stream_format="sse"))
    assert heard(run(one, b"\xff\xfb"))[0] == b"\xff\xfb"


def test_an_error_event_is_a_fault() -> None:
    one = translator(ALL["openai"], call(stream_format="sse", response_format="pcm"))
    begun = hosts.openai()[:200] + b"\n\n"
    made = run(one, begun, b'data: {"error":{"message":"no","code":"c"}}\n\n', hosts.openai())
    assert made == begun
    assert one.fault is not None
    assert one.fault.kind is UPSTREAM_ERROR


# --- answers that come whole ---


def whole(vendor: str, body: object, upstream: str = "model-1", **members: object):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    parse = ALL[vendor].operations["speech"].parse
    asked = call(upstream, **members)
    return parse(asked, 200, {"content-type": "application/json"}, raw)  # type: ignore[operator]


def test_gemini_whole() -> None:
    piece = {"inlineData": {"mimeType": "audio/L16;rate=24000", "data": hosts.b64(SOUND)}}
    answer = {"candidates": [{"content": {"parts": [piece]}, "finishReason": "STOP"}],
              "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 9}}  # fmt: skip
    reply = whole("google", answer, response_format="wav")
    assert reply.body == riff.header(len(SOUND)) + SOUND
    assert reply.content_type == "audio/wav"
    assert (reply.usage.input, reply.usage.audio_output, reply.usage.milliseconds) == (4, 9, TIME)
    reply = whole("google", answer, stream_format="sse", response_format="pcm")
    assert reply.content_type == "text/event-stream"
    assert heard(reply.body)[0] == SOUND


def test_chirp_whole() -> None:
    """Files as they are; bare samples are what is in a WAV file."""
    made = riff.header(len(SOUND)) + SOUND
    for asked, due, kind in (
        ("wav", made, "audio/wav"),
        ("pcm", SOUND, "audio/pcm"),
        ("opus", made, "audio/ogg"),
    ):
        reply = whole("vertex", {"audioContent": hosts.b64(made)}, "chirp3-hd",
                      response_format=asked)  # fmt: skip
        assert (reply.body, reply.content_type) == (due, kind)
    with pytest.raises(Exception, match="cannot be read"):
        whole("vertex", b"{}", "chirp3-hd")
    with pytest.raises(Exception, match="no sound"):
        whole("vertex", {"audioContent": ""}, "chirp3-hd")


def test_minimax_whole() -> None:
    stream = hosts.minimax(only=True)
    reply = whole("minimax", stream[6:].strip(), response_format="wav")
    assert reply.body == riff.header(len(SOUND)) + SOUND
    assert reply.usage.characters == 26
    with pytest.raises(Exception, match="limiting the rate"):
        whole("minimax", {"base_resp": {"status_code": 1002, "status_msg": "x"}})


def test_mistral_whole() -> None:
    reply = whole("mistral", {"audio_data": base64.b64encode(b"ID3mp3").decode()})
    assert (reply.body, reply.content_type, reply.usage) == (b"ID3mp3", "audio/mpeg", None)
