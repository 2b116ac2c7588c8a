"""Transcriptions on OpenAI's wire, and by hosts that are near it: forms, answers, streams."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.domain import Usage
from gateway.errors import UPSTREAM_ERROR, Fault
from gateway.sdk import Adapter, Reply
from providers_plugins import azure, compatible, groq, mistral, openrouter, zhipu
from providers_plugins.cohere import ADAPTER as COHERE
from providers_plugins.openai import ADAPTER as OPENAI
from tests.adapters.hearing_calls import (
    KEY,
    SOUND,
    answered,
    at_every_byte,
    body_of,
    events_of,
    file,
    form_of,
    heard,
    played,
    sent,
)

TOKENS = {
    "type": "tokens", "input_tokens": 14, "output_tokens": 45, "total_tokens": 59,
    "input_token_details": {"text_tokens": 4, "audio_tokens": 10},
}  # fmt: skip
SECONDS = {"type": "duration", "seconds": 37}


def event(**told: Any) -> bytes:
    return b"data: %s\n\n" % json.dumps(told).encode()


def test_the_form_to_the_byte() -> None:
    """Every field in its order, lists with their brackets, then the file under its own name."""
    call = heard(
        language="de", response_format="verbose_json", temperature=0.5, odd=False,
        timestamp_granularities=["word", "segment"], chunking_strategy="auto",
    )  # fmt: skip
    request = sent(OPENAI, call)
    assert request.url == "https://h.example/v1/audio/transcriptions"
    assert request.headers == (
        ("Content-Type", "multipart/form-data; boundary=b0undary"),
        ("Authorization", "Bearer sk-secret"),
    )
    fields = [
        ("model", "up/stream"), ("language", "de"), ("response_format", "verbose_json"),
        ("temperature", "0.5"), ("odd", "false"), ("timestamp_granularities[]", "word"),
        ("timestamp_granularities[]", "segment"), ("chunking_strategy", "auto"),
    ]  # fmt: skip
    expected = b"".join(
        f'--b0undary\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields
    )
    expected += (
        b'--b0undary\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n'
        b"Content-Type: audio/mpeg\r\n\r\n" + SOUND + b"\r\n--b0undary--\r\n"
    )
    assert body_of(request) == expected
    assert (request.adapted, request.translated) == ((), False)


@pytest.mark.parametrize(
    "adapter", [OPENAI, compatible.GENERIC, compatible.VLLM, groq.ADAPTER], ids=lambda it: it.name
)
def test_translations_have_a_path_of_their_own(adapter: Adapter) -> None:
    """And are a form like the other."""
    request = sent(adapter, heard("translations", prompt="Straße"))
    assert request.url == "https://h.example/v1/audio/translations"
    assert form_of(request)[1:] == [
        ("prompt", None, "Straße".encode()),
        ("file", "a.mp3", SOUND),
    ]


@pytest.mark.parametrize(
    "adapter",
    [OPENAI, groq.ADAPTER, mistral.ADAPTER, zhipu.ADAPTER, COHERE],
    ids=lambda it: it.name,
)
def test_without_a_file_there_is_nothing_to_hear(adapter: Adapter) -> None:
    """The refusal names the field."""
    with pytest.raises(Fault) as caught:
        sent(adapter, heard(files=()))
    assert (caught.value.kind.status, caught.value.param) == (400, "file")


@pytest.mark.parametrize(
    ("adapter", "kept", "lost"),
    [
        (groq.ADAPTER, {"language", "prompt", "temperature"}, {"include", "chunking_strategy"}),
        (COHERE, {"language", "temperature"}, {"include", "chunking_strategy", "prompt"}),
        (mistral.ADAPTER, {"language", "temperature"}, {"include", "chunking_strategy", "prompt"}),
        (zhipu.ADAPTER, {"prompt"}, {"include", "chunking_strategy", "language", "temperature"}),
        (OPENAI, {"language", "prompt", "temperature", "include[]", "chunking_strategy"}, set()),
    ],
    ids=lambda it: getattr(it, "name", ""),
)
def test_what_a_host_does_not_know_is_named(
    adapter: Adapter, kept: set[str], lost: set[str]
) -> None:
    """It is not sent, and its name is told."""
    call = heard(
        language="de", prompt="p", temperature=0, include=["logprobs"], chunking_strategy="auto"
    )
    request = sent(adapter, call)
    assert {name for name, _, _ in form_of(request)} == {"model", "file"} | kept
    assert set(request.adapted) == lost


def test_azure_has_its_own_address_and_key() -> None:
    """By deployment for a dated version; the key in its own header."""
    request = sent(azure.ADAPTER, heard(upstream="ears", base_url="https://r.openai.azure.com"))
    assert request.url == "https://r.openai.azure.com/openai/v1/audio/transcriptions"
    assert dict(request.headers)["api-key"] == "sk-secret"
    assert "Authorization" not in dict(request.headers)


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        ({"text": "x", "usage": TOKENS}, Usage(input=14, output=45, audio_input=10)),
        ({"text": "x", "usage": SECONDS}, Usage(milliseconds=37_000)),
        ({"text": "x", "duration": 36.71, "usage": SECONDS}, Usage(milliseconds=37_000)),
        ({"text": "x", "duration": 5.495999813}, Usage(milliseconds=5_496)),
        (
            {"text": "x", "duration": 3.7, "usage": TOKENS},
            Usage(input=14, output=45, audio_input=10, milliseconds=3_700),
        ),
        (
            {"text": "x", "usage": {"total_tokens": 49, "input_tokens": 37, "output_tokens": 12,
                                    "seconds": 4.5}},
            Usage(input=37, output=12, milliseconds=4_500),
        ),
        ({"text": "x"}, None),
        ({"text": "x", "usage": None, "duration": None}, None),
    ],
)  # fmt: skip
def test_what_was_taken(body: dict[str, Any], usage: Usage | None) -> None:
    """Tokens, seconds or both, wherever they are told; the answer's bytes stay as they are."""
    raw = json.dumps(body).encode()
    told, found = answered(OPENAI, heard(), raw)
    assert told == body
    if usage is None:
        assert found is None
        return
    assert found is not None
    assert found.problem == ""
    for name in ("input", "output", "audio_input", "milliseconds"):
        assert getattr(found, name) == getattr(usage, name)


@pytest.mark.parametrize("seconds", ["37", -1, True, 1e300, [], {}])
def test_impossible_lengths_are_a_problem(seconds: Any) -> None:
    """They are not charged by."""
    for body in ({"usage": {"type": "duration", "seconds": seconds}}, {"duration": seconds}):
        _, usage = answered(OPENAI, heard(), {"text": "x", **body})
        assert usage is not None
        assert usage.problem


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"\xff", b'{"usage":'])
def test_what_is_no_answer_is_the_providers_failure(body: bytes) -> None:
    """With the formats that are JSON."""
    with pytest.raises(Fault) as caught:
        answered(OPENAI, heard(), body)
    assert caught.value.kind is UPSTREAM_ERROR


@pytest.mark.parametrize(
    ("asked", "kind", "told"),
    [
        ("text", "text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        ("vtt", "text/vtt", "text/vtt"),
        ("srt", "", "text/plain; charset=utf-8"),
        ("srt", "text/html", "text/plain; charset=utf-8"),
        ("vtt", 'text/vtt; name="\xe9"', "text/plain; charset=utf-8"),
        ("text", "application/json", None),
        ("text", "text/event-stream", None),
        ("json", "text/plain", None),
        (None, "application/json", None),
        ("verbose_json", "application/json; charset=utf-8", None),
    ],
)
def test_formats_that_are_text_pass_as_they_are(asked: str, kind: str, told: str | None) -> None:
    """Subtitles and plain text are no JSON, and never a page that a browser would run."""
    parse = OPENAI.operations["transcriptions"].parse
    assert callable(parse)
    call, headers = heard(response_format=asked), {"content-type": kind}
    if told is None:
        with pytest.raises(Fault):
            parse(call, 200, headers, b"WEBVTT\n")
    else:
        assert parse(call, 200, headers, b"WEBVTT\n") == Reply(b"WEBVTT\n", content_type=told)


STREAM = (
    event(type="transcript.text.delta", delta="I ", logprobs=[])
    + b": comment\r\n\r\n"
    + event(type="transcript.text.delta", delta="see 😀")
    + event(type="transcript.text.done", text="I see 😀", usage=TOKENS)
)


def test_a_stream_passes_as_it_came() -> None:
    """Byte for byte, however it is split; its last event tells what it took."""
    out, usage, complete, fault = at_every_byte(OPENAI, heard(stream=True), STREAM)
    assert out == STREAM
    assert (usage.input, usage.output, usage.audio_input) == (14, 45, 10)
    assert (complete, fault) == (True, None)
    done = at_every_byte(OPENAI, heard(stream=True), STREAM + b"data: [DONE]\n\n")
    assert done[0] == STREAM + b"data: [DONE]\n\n"


def test_a_stream_that_breaks_off_is_not_whole() -> None:
    """Nor one that tells of an error, which is not passed on."""
    cut = STREAM[: STREAM.rindex(b"data: ")]
    assert played(OPENAI, heard(stream=True), [cut])[1:] == (None, False, None)
    broken = cut + event(type="error", error={"message": "boom", "code": "server_error"})
    out, usage, complete, fault = at_every_byte(OPENAI, heard(stream=True), broken + STREAM)
    assert out == cut
    assert (usage, complete, fault) == (None, False, "error_in_answer")


GLM = (
    event(id="t", type="transcript.text.delta", delta="I ")
    + event(id="t", type="transcript.text.delta", delta="see 😀")
    + event(id="t", type="transcript.text.done")
    + b"data: [DONE]\n\n"
)
VOXTRAL = (
    b"event: transcription.language\n" + event(type="transcription.language", audio_language="en")
    + b"event: transcription.text.delta\n" + event(type="transcription.text.delta", text="I ")
    + event(type="transcription.segment", text="I see", start=0.0, end=1.0)
    + event(type="transcription.text.delta", text="see 😀")
    + event(type="transcription.done", model="v", text="I see 😀", language="en", segments=[],
            usage={"prompt_audio_seconds": 3, "prompt_tokens": 3, "total_tokens": 389,
                   "completion_tokens": 11, "prompt_tokens_details": {"audio_tokens": 375}})
)  # fmt: skip


@pytest.mark.parametrize(
    ("adapter", "stream", "usage"),
    [(zhipu.ADAPTER, GLM, None), (mistral.ADAPTER, VOXTRAL, 3_000)],
    ids=["zhipu", "mistral"],
)
def test_other_streams_become_openais(adapter: Adapter, stream: bytes, usage: int | None) -> None:
    """Deltas, and the whole text at the end."""
    out, used, complete, fault = at_every_byte(adapter, heard(stream=True), stream)
    *deltas, done = events_of(out)
    assert [(one["type"], one["delta"]) for one in deltas] == [
        ("transcript.text.delta", "I "),
        ("transcript.text.delta", "see 😀"),
    ]
    assert (done["type"], done["text"]) == ("transcript.text.done", "I see 😀")
    assert (complete, fault) == (True, None)
    assert (used.milliseconds if used else None) == usage
    cut = played(adapter, heard(stream=True), [stream[: stream.index(b"done") - 30]])
    assert cut[2:] == (False, None)
    error = event(error={"message": "m", "code": "1234"})
    assert played(adapter, heard(stream=True), [error + stream])[3] is not None


@pytest.mark.parametrize("adapter", [zhipu.ADAPTER, mistral.ADAPTER], ids=["zhipu", "mistral"])
def test_text_alone(adapter: Adapter) -> None:
    """Where the host answers JSON alone, text is taken out of it."""
    said = {"text": "Hello.", "model": "v", "language": None}
    assert answered(adapter, heard(response_format="text"), said)[0] == "Hello.\n"
    assert answered(adapter, heard(), said)[0] == {"text": "Hello."}
    request = sent(adapter, heard(response_format="text"))
    assert [name for name, _, _ in form_of(request)] == ["model", "file"]
    assert request.adapted == ()


@pytest.mark.parametrize(
    ("adapter", "fields", "param"),
    [
        (zhipu.ADAPTER, {"response_format": "srt"}, "response_format"),
        (zhipu.ADAPTER, {"response_format": "verbose_json"}, "response_format"),
        (zhipu.ADAPTER, {"timestamp_granularities": ["word"]}, "timestamp_granularities"),
        (mistral.ADAPTER, {"response_format": "vtt"}, "response_format"),
    ],
)
def test_formats_that_a_host_lacks_are_refused(
    adapter: Adapter, fields: dict[str, Any], param: str
) -> None:
    """The answer would be something else than what was asked for."""
    with pytest.raises(Fault) as caught:
        sent(adapter, heard(**fields))
    assert (caught.value.kind.status, caught.value.param) == (400, param)


def test_times_and_speakers_of_voxtral() -> None:
    """Asked for in its words, told in OpenAI's."""
    timed = form_of(sent(mistral.ADAPTER, heard(response_format="verbose_json")))
    assert ("timestamp_granularities", None, b"segment") in timed
    words = heard(response_format="verbose_json", timestamp_granularities=["word"])
    named = [part for part in form_of(sent(mistral.ADAPTER, words)) if part[2] == b"word"]
    assert named == [("timestamp_granularities", None, b"word")]
    spoken = heard(response_format="diarized_json")
    assert ("diarize", None, b"true") in form_of(sent(mistral.ADAPTER, spoken))
    said = {
        "text": "Hi.", "language": "en", "usage": {"prompt_audio_seconds": 3, "prompt_tokens": 3,
                                                   "completion_tokens": 2, "total_tokens": 380},
        "segments": [{"text": "Hi.", "start": 0.1, "end": 3.6, "speaker_id": "speaker_1"}],
    }  # fmt: skip
    told, usage = answered(mistral.ADAPTER, heard(response_format="verbose_json"), said)
    assert told["segments"] == [{"id": 0, "start": 0.1, "end": 3.6, "text": "Hi."}]
    assert (told["task"], told["language"], told["duration"]) == ("transcribe", "en", 3.0)
    assert usage is not None
    assert usage.problem == ""
    told, _ = answered(mistral.ADAPTER, spoken, said)
    assert told["segments"][0]["speaker"] == "speaker_1"
    assert told["segments"][0]["type"] == "transcript.text.segment"


def test_a_transcript_without_an_end_is_bounded() -> None:
    """Its last event leaves out a text that is longer than an event may be."""
    line = event(type="transcript.text.delta", delta="x" * 60_000)
    out, _, complete, _ = played(zhipu.ADAPTER, heard(stream=True), [line] * 20 + [GLM])
    assert complete
    assert events_of(out)[-1]["text"] == ""


def test_openrouter_and_cohere_take_the_form_too() -> None:
    """At their own paths."""
    assert sent(openrouter.ADAPTER, heard()).url.endswith("/v1/audio/transcriptions")
    request = sent(COHERE, heard(base_url="https://api.cohere.com"), KEY)
    assert request.url == "https://api.cohere.com/v2/audio/transcriptions"


def test_a_file_without_a_kind_is_told_by_its_name() -> None:
    """For hosts that must be told."""
    from gateway.sdk.hearing import kind_of

    assert kind_of(file("a.ogg", "application/octet-stream")) == "audio/ogg"
    assert kind_of(file("a.WAV", "")) == "audio/wav"
    assert kind_of(file("a", "audio/x-wav; rate=1")) == "audio/wav"
    assert kind_of(file("a", "")) == "audio/mpeg"
