"""Transcripts from models that talk: the sound goes in as base64, the answer is the text."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from gateway.domain import Credential
from gateway.errors import Fault
from gateway.sdk import Adapter, Encoded
from providers_plugins.alibaba import ADAPTER as ALIBABA
from providers_plugins.google import GOOGLE, VERTEX
from tests.adapters.hearing_calls import (
    KEY,
    SOUND,
    answered,
    at_every_byte,
    body_of,
    events_of,
    file,
    heard,
    played,
    sent,
)

LOGGED_IN = Credential("c", {"access_token": "t", "project": "p"})
STUDIO = "https://generativelanguage.googleapis.com/v1beta"
FLASH = "gemini-3-flash-preview"
IN_BASE64 = base64.b64encode(SOUND).decode()
HOSTS = {"google": GOOGLE, "vertex": VERTEX, "alibaba": ALIBABA}


def asked(adapter: Adapter, operation: str = "transcriptions", **fields: Any) -> Any:
    call = heard(operation, upstream=FLASH, base_url=STUDIO, **fields)
    request = sent(adapter, call, KEY if adapter is GOOGLE else LOGGED_IN)
    return json.loads(body_of(request)), request


def test_the_sound_is_never_held() -> None:
    """It stands between two halves of JSON, to be encoded as it is sent."""
    for adapter in HOSTS.values():
        before, sound, after = asked(adapter)[1].pieces
        assert isinstance(before, bytes)
        assert isinstance(sound, Encoded)
        assert isinstance(after, bytes)
        assert asked(adapter)[1].body == b""


def test_what_the_studio_is_asked() -> None:
    """An instruction, the sound, and little thinking."""
    body, request = asked(GOOGLE, language="de", prompt="Namen: Ö\x00", temperature=0.2)
    assert request.url == f"{STUDIO}/models/{FLASH}:generateContent"
    assert dict(request.headers)["x-goog-api-key"] == "sk-secret"
    told, sound = body["contents"][0]["parts"]
    assert sound == {"inlineData": {"mimeType": "audio/mpeg", "data": IN_BASE64}}
    assert "word for word" in told["text"]
    assert "'de'" in told["text"]
    assert told["text"].endswith("\nNamen: Ö")
    assert body["generationConfig"] == {
        "temperature": 0.2, "thinkingConfig": {"thinkingLevel": "MINIMAL"},
    }  # fmt: skip
    assert request.adapted == ()
    assert asked(GOOGLE, include=["logprobs"])[1].adapted == ("include",)


def test_a_translation_is_another_instruction() -> None:
    """Into English, as OpenAI's is."""
    body, request = asked(GOOGLE, "translations")
    assert "into English" in body["contents"][0]["parts"][0]["text"]
    assert request.url.endswith(":generateContent")


def test_a_stream_is_asked_of_another_method() -> None:
    """At the cloud by project and place."""
    _, request = asked(VERTEX, stream=True)
    assert request.url.endswith(f"/locations/global/publishers/google/models/{FLASH}"
                                ":streamGenerateContent?alt=sse")  # fmt: skip
    assert dict(request.headers)["Authorization"] == "Bearer t"


@pytest.mark.parametrize(
    ("model", "config"),
    [
        ("gemini-3.1-pro-preview", {"thinkingLevel": "LOW"}),
        ("gemini-2.5-flash", {"thinkingBudget": 0}),
        ("gemini-2.5-pro", {"thinkingBudget": 128}),
        ("gemini-2.0-flash", None),
    ],
)
def test_each_generation_is_told_not_to_think_much(model: str, config: Any) -> None:
    """There is nothing to think about."""
    body = json.loads(body_of(sent(GOOGLE, heard(upstream=model))))
    assert body.get("generationConfig", {}).get("thinkingConfig") == config


def test_what_qwen_is_asked() -> None:
    """A conversation whose one message is sound; the prompt is what may be heard in it."""
    call = heard(language="de", prompt="Namen", temperature=0.1, stream=True)
    request = sent(ALIBABA, call)
    assert request.url == "https://h.example/v1/chat/completions"
    assert json.loads(body_of(request)) == {
        "model": "up/stream",
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "Namen"}]},
            {"role": "user", "content": [
                {"type": "input_audio",
                 "input_audio": {"data": f"data:audio/mpeg;base64,{IN_BASE64}"}},
            ]},
        ],
        "asr_options": {"language": "de"},
        "stream": True,
        "stream_options": {"include_usage": True},
    }  # fmt: skip
    assert request.adapted == ("temperature",)
    assert "stream" not in json.loads(body_of(sent(ALIBABA, heard())))


@pytest.mark.parametrize("adapter", HOSTS.values(), ids=HOSTS)
@pytest.mark.parametrize("asked_for", ["srt", "vtt", "verbose_json", "diarized_json"])
def test_formats_with_times_are_refused(adapter: Adapter, asked_for: str) -> None:
    """A model that talks does not tell them; so say it before it costs."""
    with pytest.raises(Fault) as caught:
        asked(adapter, response_format=asked_for)
    assert (caught.value.kind.status, caught.value.param) == (400, "response_format")
    assert asked_for in caught.value.message


def generated(*texts: str, finish: str = "STOP", **more: Any) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"text": "hmm", "thought": True}]
    parts += [{"text": text} for text in texts]
    usage = {
        "promptTokenCount": 130, "candidatesTokenCount": 5, "totalTokenCount": 135,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 118},
                                {"modality": "TEXT", "tokenCount": 12}],
    }  # fmt: skip
    candidate = {"content": {"parts": parts}, "finishReason": finish}
    return {"candidates": [candidate], "usageMetadata": usage, **more}


CHAT = {
    "choices": [{"message": {"role": "assistant", "content": "I see.", "annotations": []}}],
    "usage": {"prompt_tokens": 42, "completion_tokens": 12, "total_tokens": 54, "seconds": 2},
}


@pytest.mark.parametrize("adapter", HOSTS.values(), ids=HOSTS)
def test_answers_become_transcripts(adapter: Adapter) -> None:
    """As JSON with its usage, or as text."""
    said = CHAT if adapter is ALIBABA else generated("I ", "see.\n")
    told, usage = answered(adapter, heard(), said)
    assert told["text"] == "I see."
    assert usage is not None
    assert usage.problem == ""
    given, made, audio, length = (42, 12, 0, 2_000) if adapter is ALIBABA else (130, 5, 118, 0)
    assert (usage.input, usage.output, usage.audio_input, usage.milliseconds) == (
        given, made, audio, length,
    )  # fmt: skip
    assert told["usage"] == {
        "type": "tokens", "input_tokens": given, "output_tokens": made,
        "total_tokens": given + made,
        "input_token_details": {"audio_tokens": audio, "text_tokens": given - audio},
    }  # fmt: skip
    assert answered(adapter, heard(response_format="text"), said)[0] == "I see.\n"


def test_silence_is_an_empty_transcript() -> None:
    """And no failure."""
    assert answered(GOOGLE, heard(), generated())[0]["text"] == ""


@pytest.mark.parametrize(
    ("finish", "cause"), [("MAX_TOKENS", "too_long"), ("SAFETY", "content_policy")]
)
def test_half_a_transcript_is_none(finish: str, cause: str) -> None:
    """Whole and streamed: what is missing from it would not show."""
    with pytest.raises(Fault) as caught:
        answered(GOOGLE, heard(), generated("I", finish=finish))
    assert (caught.value.cause, caught.value.param) == (cause, "file")
    stream = b"data: %s\n\n" % json.dumps(generated("I", finish=finish)).encode()
    assert played(GOOGLE, heard(stream=True), [stream])[2:] == (False, cause)


def streamed(adapter: Adapter) -> bytes:
    if adapter is ALIBABA:
        pieces: list[Any] = [
            {"choices": [{"delta": {"role": "assistant", "content": ""}}]},
            {"choices": [{"delta": {"content": "I "}}]},
            {"choices": [{"delta": {"content": "see 😀"}, "finish_reason": "stop"}]},
            {"choices": [], "usage": CHAT["usage"]},
        ]
        end = b"data: [DONE]\n\n"
    else:
        first = {"candidates": [{"content": {"parts": [{"text": "I "}]}}]}
        pieces, end = [first, generated("see 😀")], b""
    return b"".join(b"data: %s\r\n\r\n" % json.dumps(one).encode() for one in pieces) + end


@pytest.mark.parametrize("adapter", HOSTS.values(), ids=HOSTS)
def test_streams_become_openais(adapter: Adapter) -> None:
    """Deltas as they come, without thoughts; the whole text and the usage at the end."""
    out, usage, complete, fault = at_every_byte(adapter, heard(stream=True), streamed(adapter))
    *deltas, done = events_of(out)
    assert [one["delta"] for one in deltas] == ["I ", "see 😀"]
    assert {one["type"] for one in deltas} == {"transcript.text.delta"}
    assert (done["type"], done["text"]) == ("transcript.text.done", "I see 😀")
    assert done["usage"]["total_tokens"] == usage.input + usage.output
    assert (complete, fault) == (True, None)


@pytest.mark.parametrize("adapter", HOSTS.values(), ids=HOSTS)
def test_failures_inside_an_answer(adapter: Adapter) -> None:
    """Whole or streamed, they are failures."""
    error = {"error": {"code": 500, "message": "m", "status": "INTERNAL"}}
    with pytest.raises(Fault):
        answered(adapter, heard(), error)
    with pytest.raises(Fault):
        answered(adapter, heard(), b"{}")
    event = b"data: %s\n\n" % json.dumps(error).encode()
    out, _, complete, fault = played(adapter, heard(stream=True), [event + streamed(adapter)])
    assert (out, complete) == (b"", False)
    assert fault


def test_what_sound_takes_in_tokens_is_expected() -> None:
    """So that enough is set aside where they are charged for."""
    expects = GOOGLE.operations["transcriptions"].expects
    assert expects is not None
    usage = expects(heard(files=(file(milliseconds=60_000),)))
    assert (usage.milliseconds, usage.input, usage.audio_input) == (60_000, 1_920, 1_920)
