"""What is asked of each host for the same words of a client's: golden pairs, and what is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import Fault
from gateway.sdk import Credential
from tests.adapters.speech import hosts
from tests.adapters.speech.hosts import ALL, BASE, built, call, sent
from tests.recorded import cases, needs_corpus, parameters

SSE = {"stream_format": "sse"}
SAID = {"instructions": "Speak slowly.", "speed": 1.25, "response_format": "pcm"}
MINIMAX = {
    "model": "speech-2.6-hd",
    "text": "Hello there.",
    "stream": True,
    "stream_options": {"exclude_aggregated_audio": True},
    "output_format": "hex",
    "voice_setting": {"voice_id": "male-qn-qingse", "speed": 1.25},
    "audio_setting": {"sample_rate": 24_000, "format": "pcm", "channel": 1},
}
GEMINI = {
    "contents": [{"role": "user", "parts": [{"text": "Speak slowly: Hello there."}]}],
    "generationConfig": {
        "responseModalities": ["AUDIO"],
        "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
    },
}
# vendor, upstream, URL below the base, body, what is lost
GOLDEN: dict[str, tuple[str, str, dict[str, Any], tuple[str, ...]]] = {
    "openai": (
        "gpt-4o-mini-tts",
        "/audio/speech",
        {"model": "gpt-4o-mini-tts", "input": "Hello there.", "voice": "alloy", **SAID},
        (),
    ),
    "xai": (
        "grok-tts",
        "/tts",
        {
            "text": "Hello there.",
            "voice_id": "ara",
            "language": "auto",
            "output_format": {"codec": "pcm", "sample_rate": 24_000},
            "speed": 1.25,
        },
        ("instructions", "voice"),
    ),
    "google": (
        "gemini-2.5-flash-preview-tts",
        "/models/gemini-2.5-flash-preview-tts:streamGenerateContent?alt=sse",
        GEMINI,
        ("speed", "voice"),
    ),
    "vertex": (
        "gemini-2.5-flash-tts",
        "/publishers/google/models/gemini-2.5-flash-tts:streamGenerateContent?alt=sse",
        GEMINI,
        ("speed", "voice"),
    ),
    "minimax": ("speech-2.6-hd", "/t2a_v2", MINIMAX, ("instructions", "voice")),
    "zhipu": (
        "glm-tts",
        "/audio/speech",
        {
            "model": "glm-tts",
            "input": "Hello there.",
            "voice": "tongtong",
            "response_format": "pcm",
            "speed": 1.25,
            "stream": True,
            "encode_format": "base64",
        },
        ("instructions", "voice"),
    ),
    "alibaba": (
        "qwen3-tts-flash",
        "/services/aigc/multimodal-generation/generation",
        {
            "model": "qwen3-tts-flash",
            "input": {"text": "Hello there.", "voice": "Cherry", "language_type": "Auto"},
        },
        ("instructions", "speed", "voice"),
    ),
}


@pytest.mark.parametrize("vendor", GOLDEN)
@pytest.mark.parametrize("members", [SAID, SAID | SSE], ids=["bytes", "events"])
def test_golden(vendor: str, members: dict[str, Any]) -> None:
    """Whether bytes or events are wanted makes a difference to nobody but OpenAI."""
    upstream, path, body, lost = GOLDEN[vendor]
    request = built(ALL[vendor], call(upstream, **members))
    assert (request.method, request.url) == ("POST", BASE + path)
    assert json.loads(request.body) == body | (SSE if vendor == "openai" and "stream_format"
                                               in members else {})  # fmt: skip
    assert tuple(sorted(request.adapted)) == lost
    headers = dict(request.headers)
    assert headers["Content-Type"] == "application/json"
    key = "x-goog-api-key" if vendor in ("google", "vertex") else "Authorization"
    assert "sk-secret" in headers[key]
    assert headers.get("X-DashScope-SSE") == ("enable" if vendor == "alibaba" else None)


def test_openai_gets_the_clients_bytes() -> None:
    raw = call("gpt-4o-mini-tts", **SAID).body.raw
    assert built(ALL["openai"], call("gpt-4o-mini-tts", **SAID)).body == raw.replace(
        b'"client/model"', b'"gpt-4o-mini-tts"'
    )


def test_older_models_have_neither_instructions_nor_events() -> None:
    for upstream in ("tts-1", "tts-1-hd"):
        request = built(ALL["openai"], call(upstream, **SSE, **SAID))
        assert json.loads(request.body).keys() == {
            "model", "input", "voice", "speed", "response_format"}  # fmt: skip
        assert request.adapted == ("instructions",)


def test_chirp() -> None:
    asked = call("chirp3-hd", response_format="opus", speed=3, instructions="x",
                 options={"default_voice": "de-DE-Chirp3-HD-Aoede"})  # fmt: skip
    request = built(ALL["vertex"], asked)
    assert request.url == "https://texttospeech.googleapis.com/v1/text:synthesize"
    assert json.loads(request.body) == {
        "input": {"text": "Hello there."},
        "voice": {"languageCode": "de-DE", "name": "de-DE-Chirp3-HD-Kore"},
        "audioConfig": {"audioEncoding": "OGG_OPUS", "speakingRate": 2.0},
    }
    assert sorted(request.adapted) == ["instructions", "speed", "voice"]
    elsewhere = call("chirp3-hd", options={"speech_url": "https://eu.example/v1"})
    assert built(ALL["vertex"], elsewhere).url == "https://eu.example/v1/text:synthesize"


@pytest.mark.parametrize(
    ("voice", "language", "due"),
    [
        (None, None, "en-US-Chirp3-HD-Kore"),
        ("Puck", None, "en-US-Chirp3-HD-Puck"),
        ("Puck", "fr-FR", "fr-FR-Chirp3-HD-Puck"),
        (None, "fr-FR", "fr-FR-Chirp3-HD-Kore"),
        ("ja-JP-Chirp3-HD-Leda", None, "ja-JP-Chirp3-HD-Leda"),
        ("echo", None, "en-US-Chirp3-HD-Puck"),
    ],
)
def test_chirps_voices(voice: str | None, language: str | None, due: str) -> None:
    asked = call("chirp3-hd", voice=voice, language_code=language)
    assert sent(ALL["vertex"], asked)["voice"] == {
        "name": due,
        "languageCode": "-".join(due.split("-")[:2]),
    }


def voice_in(vendor: str, body: dict[str, Any]) -> str:
    return {
        "openai": lambda: body["voice"],
        "xai": lambda: body["voice_id"],
        "google": lambda: body["generationConfig"]["speechConfig"]["voiceConfig"][
            "prebuiltVoiceConfig"]["voiceName"],
        "minimax": lambda: body["voice_setting"]["voice_id"],
        "zhipu": lambda: body["voice"],
        "alibaba": lambda: body["input"]["voice"],
    }[vendor]()  # fmt: skip


@pytest.mark.parametrize("vendor", ["xai", "google", "minimax", "zhipu", "alibaba"])
def test_voices(vendor: str) -> None:
    """One of OpenAI's becomes one of the host's, by name; all others are the host's own."""
    adapter = ALL[vendor]
    own = call(voice="my-own-clone")
    assert voice_in(vendor, sent(adapter, own)) == "my-own-clone"
    assert "voice" not in built(adapter, own).adapted
    assert voice_in(vendor, sent(adapter, call(voice={"id": "v_1"}))) == "v_1"
    for name in ("alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage",
                 "shimmer", "verse", "marin", "cedar"):  # fmt: skip
        assert voice_in(vendor, sent(adapter, call(voice=name))) not in ("", name)
        assert "voice" in built(adapter, call(voice=name)).adapted
    unsaid = call(voice=None, options={"default_voice": "house"})
    assert voice_in(vendor, sent(adapter, unsaid)) == "house"
    assert "voice" not in built(adapter, unsaid).adapted


def test_openais_own_voices_stay() -> None:
    assert sent(ALL["openai"], call(voice={"id": "v_1"}))["voice"] == {"id": "v_1"}


MAKES = {
    "google": ("wav", "pcm"),
    "minimax": ("mp3", "flac", "wav", "pcm"),
    "zhipu": ("wav", "pcm"),
    "alibaba": ("wav", "pcm"),
    "xai": ("mp3", "wav", "pcm"),
    "mistral": ("mp3", "wav", "flac", "opus"),
}


@pytest.mark.parametrize("vendor", MAKES)
@pytest.mark.parametrize("asked", ["mp3", "opus", "aac", "flac", "wav", "pcm"])
def test_what_cannot_be_made_is_refused(vendor: str, asked: str) -> None:
    makes = MAKES[vendor]
    if asked in makes:
        assert "response_format" not in built(ALL[vendor], call(response_format=asked)).adapted
        return
    with pytest.raises(Fault) as refused:
        built(ALL[vendor], call(response_format=asked))
    assert refused.value.param == "response_format"
    assert ", ".join(makes) in refused.value.message


@pytest.mark.parametrize("vendor", MAKES)
def test_who_names_no_format_gets_one_that_can_be_made(vendor: str) -> None:
    """MP3 is what OpenAI would send; anything else is named."""
    request = built(ALL[vendor], call())
    named = "response_format" in request.adapted
    assert named == ("mp3" not in MAKES[vendor])
    operation = ALL[vendor].operations["speech"]
    if operation.media is not None:
        kind = {"content-type": "audio/mpeg" if vendor == "xai" else "text/event-stream"}
        due = "audio/mpeg" if "mp3" in MAKES[vendor] else "audio/wav"
        assert operation.media(call(), kind) == due
        assert operation.media(call(stream_format="sse"), kind) == "text/event-stream"
        assert operation.media(call(), {"content-type": "application/json; charset=utf-8"}) is None


def test_openais_content_type_stays() -> None:
    media = ALL["openai"].operations["speech"].media
    assert media is not None
    assert media(call(response_format="opus"), {"content-type": "audio/opus"}) == "audio/opus"
    assert media(call(response_format="flac"), {}) == "audio/flac"
    assert media(call(**SSE), {"content-type": "text/event-stream"}) == "text/event-stream"
    assert media(call(), {"content-type": "application/json"}) is None


@pytest.mark.parametrize("vendor", ["google", "xai", "minimax", "alibaba", "vertex"])
def test_what_nobody_has_a_word_for_is_named(vendor: str) -> None:
    request = built(ALL[vendor], call(response_format="wav", voice="x", wobble=3, blank=None))
    assert request.adapted == ("wobble",)


def test_words_of_a_hosts_own_arrive() -> None:
    asked = call("m", voice="x", language_boost="German", emotion="happy", vol=2)
    body = sent(ALL["minimax"], asked)
    assert body["language_boost"] == "German"
    assert body["voice_setting"] == {"voice_id": "x", "speed": 1.0, "emotion": "happy", "vol": 2}
    assert body["audio_setting"] == {"sample_rate": 32_000, "format": "mp3", "channel": 1,
                                     "bitrate": 128_000}  # fmt: skip
    assert built(ALL["minimax"], asked).adapted == ()
    asked = call("qwen3-tts-instruct-flash", voice="x", instructions="Gently.",
                 optimize_instructions=True, language_type="German",
                 response_format="wav")  # fmt: skip
    body = sent(ALL["alibaba"], asked)["input"]
    assert (body["instructions"], body["optimize_instructions"]) == ("Gently.", True)
    assert body["language_type"] == "German"
    assert built(ALL["alibaba"], asked).adapted == ()
    body = sent(ALL["zhipu"], call(voice="x", volume=2, watermark_enabled=False))
    assert (body["volume"], body["watermark_enabled"]) == (2, False)


@pytest.mark.parametrize(
    ("vendor", "speed", "due"),
    [(vendor, *pair) for vendor in ("minimax", "zhipu")
     for pair in ((0.25, 0.5), (0.5, 0.5), (2, 2.0), (4, 2.0))]
    + [("xai", 0.25, 0.7), ("xai", 1.5, 1.5), ("xai", 4, 1.5)],
)  # fmt: skip
def test_a_speed_out_of_range_is_named(vendor: str, speed: float, due: float) -> None:
    asked = call(voice="x", speed=speed, response_format="wav")
    body = sent(ALL[vendor], asked)
    assert (body.get("voice_setting") or body)["speed"] == due
    assert built(ALL[vendor], asked).adapted == (() if speed == due else ("speed",))


def test_dashscopes_own_api_stands_beside_the_compatible_one() -> None:
    path = "/services/aigc/multimodal-generation/generation"
    base = "https://dashscope-intl.aliyuncs.com"
    asked = call(base=f"{base}/compatible-mode/v1")
    assert built(ALL["alibaba"], asked).url == f"{base}/api/v1{path}"
    asked = call(options={"native_url": "https://other.example/api/v1"})
    assert built(ALL["alibaba"], asked).url == f"https://other.example/api/v1{path}"


def test_gemini_can_be_asked_for_all_at_once() -> None:
    request = built(ALL["google"], call("g-tts", options={"whole": "true"}))
    assert request.url == f"{BASE}/models/g-tts:generateContent"


def test_mistral() -> None:
    asked = call("voxtral", voice={"id": "v"}, speed=2, instructions="x", ref_audio="b64", **SSE)
    request = built(ALL["mistral"], asked)
    assert json.loads(request.body) == {
        "model": "voxtral", "input": "Hello there.", "voice": "v", "ref_audio": "b64"}  # fmt: skip
    assert sorted(request.adapted) == ["instructions", "speed"]


@pytest.mark.parametrize("vendor", ALL)
def test_what_is_expected(vendor: str) -> None:
    """Characters exactly; time with some to spare."""
    expects = ALL[vendor].operations["speech"].expects
    assert expects is not None
    assert expects(call(input="Grüße an alle")).characters == 13
    recorded = call(input="Ruby is a programming language designed for developer happiness.")
    assert 4400 < expects(recorded).milliseconds < 10_000
    chinese = expects(call(input="你好" * 50)).milliseconds
    assert 25_000 < chinese < 40_000
    fast = expects(call(input="x" * 100, speed=4)).milliseconds
    assert fast < expects(call(input="x" * 100)).milliseconds / 2


def test_a_host_without_a_key_is_sent_none() -> None:
    for vendor in ("openai", "xai", "minimax", "zhipu", "alibaba"):
        request = ALL[vendor].operations["speech"].build(call(), Credential("none"))
        assert "Authorization" not in dict(request.headers)


# --- recorded traffic ---


@needs_corpus
@parameters(cases("openai", "speech") + cases("xai", "speech") + cases("gemini", "speech"))
def test_corpus_requests_are_what_is_recorded(case: Any) -> None:
    """What another client sent is what this gateway sends for the same words."""
    recorded = json.loads((case / "request.json").read_bytes())
    vendor = case.parts[-3].replace("gemini", "google")
    upstream = recorded.get("model", "grok-tts")
    if vendor == "openai":
        assert sent(ALL[vendor], call(upstream, **recorded)) == recorded
    elif vendor == "xai":
        body = sent(ALL[vendor], call(upstream, input=recorded["text"]))
        assert {name: body[name] for name in recorded} == recorded
    else:
        text = recorded["contents"][0]["parts"][0]["text"]
        body = sent(ALL[vendor], call(upstream, input=text, voice="Kore"))
        assert body == {name: recorded[name] for name in body}


@needs_corpus
@parameters(cases("gemini", "speech") + cases("mistral", "speech"))
def test_corpus_answers_in_json(case: Any) -> None:
    """Sound and usage are found; long strings are cut in the recording."""
    vendor = case.parts[-3].replace("gemini", "google")
    body = (case / "response.json").read_bytes()
    parse = ALL[vendor].operations["speech"].parse
    assert callable(parse)
    fmt = "pcm" if vendor == "google" else "mp3"
    reply = parse(call(response_format=fmt), 200, {"content-type": "application/json"}, body)
    assert len(reply.body) >= 3000  # type: ignore[union-attr]
    if vendor == "google":
        usage = reply.usage  # type: ignore[union-attr]
        assert usage is not None
        assert (usage.input, usage.output, usage.audio_output) == (11, 111, 111)
        streamed = hosts.translator(ALL[vendor], call(response_format="pcm"))
        event = b"data: " + json.dumps(json.loads(body)).encode() + b"\r\n\r\n"
        assert streamed.feed(event) + streamed.finish() == reply.body  # type: ignore[union-attr]
        assert streamed.complete
    else:
        assert reply.body.startswith(b"ID3")  # type: ignore[union-attr]


@needs_corpus
@parameters(cases("openai", "speech") + cases("xai", "speech") + cases("openrouter", "speech")
            + cases("venice", "speech"))  # fmt: skip
def test_corpus_bytes_pass(case: Any) -> None:
    sound = (case / "response.bin").read_bytes()
    one = hosts.translator(ALL["openai"], call())
    pieces = [one.feed(sound[n : n + 1000]) for n in range(0, len(sound), 1000)]
    assert b"".join(pieces) + one.finish() == sound
