"""What a session in OpenAI's words is to the Live API and to GLM, and what of it is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.domain import Credential
from gateway.errors import Fault
from tests.adapters.live.scripts import ADAPTERS, KEY, LOGIN, call_of, dialogue_of, events

APPEND = b'{"type":"input_audio_buffer.append","audio":"AAAA"}'
SCHEMA = '{"type":"object","required":["z"],"properties":{"z":{"type": "string"}}}'


def setup(session: Any, name: str = "google", **more: Any) -> dict[str, Any]:
    """The provider's first message."""
    frames = dialogue_of(name, session, **more).from_client(APPEND)
    found: dict[str, Any] = json.loads(frames.to_provider[0])["setup"]
    return found


def glm(session: Any) -> dict[str, Any]:
    """GLM's session."""
    (update,) = events(dialogue_of("zhipu", session).opening().to_provider)
    found: dict[str, Any] = update["session"]
    return found


def lost(name: str, session: Any, **more: Any) -> tuple[str, ...]:
    """What `build` says does not arrive as it was meant."""
    operation = ADAPTERS[name][0].operations["realtime"]
    credential = LOGIN if name == "vertex" else KEY
    return operation.build(call_of(name, session, **more), credential).adapted


def of_input(**parts: Any) -> dict[str, Any]:
    return {"type": "realtime", "audio": {"input": parts}}


def test_plainest() -> None:
    """What OpenAI's sessions do by themselves is asked for, and nothing else."""
    assert setup(None) == {
        "model": "models/gemini-3.1-flash-live-preview",
        "generationConfig": {"responseModalities": ["AUDIO"]},
        "outputAudioTranscription": {},
        "contextWindowCompression": {"slidingWindow": {}},
    }
    assert lost("google", None) == lost("google", {"type": "realtime"}) == ()


@pytest.mark.parametrize(
    ("session", "where", "written"),
    [
        ({"instructions": "Hi."}, "systemInstruction", {"parts": [{"text": "Hi."}]}),
        ({"instructions": None}, "systemInstruction", None),
        ({"truncation": "disabled"}, "contextWindowCompression", None),
        ({"output_modalities": ["text"]}, "outputAudioTranscription", None),
        ({"tools": None}, "tools", None),
        (of_input(transcription={}), "inputAudioTranscription", {}),
        (
            of_input(turn_detection=None),
            "realtimeInputConfig",
            {"automaticActivityDetection": {"disabled": True}},
        ),
        (
            of_input(turn_detection={"type": "server_vad", "silence_duration_ms": 200}),
            "realtimeInputConfig",
            {"automaticActivityDetection": {"silenceDurationMs": 200}},
        ),
        (
            of_input(turn_detection={"type": "server_vad", "interrupt_response": False}),
            "realtimeInputConfig",
            {"activityHandling": "NO_INTERRUPTION"},
        ),
        (
            of_input(turn_detection={"type": "semantic_vad", "eagerness": "low"}),
            "realtimeInputConfig",
            {"automaticActivityDetection": {"endOfSpeechSensitivity": "END_SENSITIVITY_LOW"}},
        ),
        (of_input(turn_detection={"type": "server_vad"}), "realtimeInputConfig", None),
    ],
)
def test_members(session: dict[str, Any], where: str, written: Any) -> None:
    """Each in the provider's words."""
    assert setup(session).get(where) == written
    assert lost("google", session) in ((), ("session.audio.input.turn_detection.type",))


@pytest.mark.parametrize(
    ("session", "written"),
    [
        ({"max_output_tokens": 9}, {"maxOutputTokens": 9}),
        ({"max_output_tokens": "inf"}, {}),
        ({"temperature": 0.5}, {"temperature": 0.5}),
        ({"reasoning": {"effort": "xhigh"}}, {"thinkingConfig": {"thinkingLevel": "HIGH"}}),
        (
            {"audio": {"output": {"voice": "Puck"}}},
            {"speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Puck"}}}},
        ),
    ],
)
def test_generation(session: dict[str, Any], written: dict[str, Any]) -> None:
    """How answers are made."""
    assert setup(session)["generationConfig"] == {"responseModalities": ["AUDIO"], **written}
    assert lost("google", session) == ()


def test_schemas_stay_bytes() -> None:
    """A tool's schema arrives as it came, at either host."""
    tool = '{"type":"function","name":"look","description":null,"parameters":' + SCHEMA + "}"
    session = '{"type":"realtime","tools":[' + tool + "]}"
    update = b'{"type":"session.update","session":' + session.encode() + b"}"
    live = dialogue_of("google")
    assert live.from_client(update).to_provider == ()
    (first,) = live.from_client(APPEND).to_provider
    assert SCHEMA.encode() in first
    assert b'"functionDeclarations":[{"name":"look","parametersJsonSchema":' in first
    assert SCHEMA.encode() in dialogue_of("zhipu").from_client(update).to_provider[0]
    none = {"tools": [{"type": "function", "name": "look"}], "tool_choice": "none"}
    assert "tools" not in setup(none)
    assert glm(none)["tools"] == []


@pytest.mark.parametrize(
    ("session", "names"),
    [
        (of_input(transcription={"model": "m"}), ["audio.input.transcription.model"]),
        (
            of_input(turn_detection={"type": "server_vad", "idle_timeout_ms": 5000}),
            ["audio.input.turn_detection.idle_timeout_ms"],
        ),
        (
            of_input(turn_detection={"type": "semantic_vad"}),
            ["audio.input.turn_detection.type"],
        ),
        ({"audio": {"output": {"voice": "marin", "speed": 1.5}}},
         ["audio.output.speed", "audio.output.voice"]),
        ({"include": ["x"], "tracing": "auto"}, ["include", "tracing"]),
        ({"truncation": {"type": "retention_ratio"}}, ["truncation"]),
        ({"model": "another"}, ["model"]),
        ({"model": "client-model"}, []),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["google", "zhipu"])
def test_losses(name: str, session: dict[str, Any], names: list[str]) -> None:
    """What has no word there is named, for the strict and in the header; also in the events."""
    wanted = tuple(f"session.{one}" for one in names)
    assert lost(name, session) == wanted
    dialogue = dialogue_of(name)
    update = json.dumps({"type": "session.update", "session": session}).encode()
    told = dialogue.from_client(update)
    if name == "zhipu":
        told = dialogue.from_provider(b'{"type":"session.updated","session":{}}')
    (event,) = events(told.to_client)
    assert event["type"] == "session.updated"
    assert tuple(event.get("adapted", ())) == wanted


def test_noise() -> None:
    """One host reduces it, the other has no word for it."""
    session = of_input(noise_reduction={"type": "near_field"})
    assert lost("google", session) == ("session.audio.input.noise_reduction",)
    assert lost("zhipu", session) == ()
    assert glm(session)["input_audio_noise_reduction"] == {"type": "near_field"}
    assert "input_audio_noise_reduction" not in glm(None)


def test_thinking_of_older_models() -> None:
    """They take a budget and no level."""
    session = {"reasoning": {"effort": "low"}}
    older = {"upstream": "gemini-2.5-flash-native-audio"}
    assert lost("google", session, **older) == ("session.reasoning",)
    assert "thinkingConfig" not in setup(session, **older)["generationConfig"]
    silent = {"reasoning": {"effort": "none"}}
    assert lost("google", silent) == ("session.reasoning",)
    assert setup(silent)["generationConfig"]["thinkingConfig"] == {"thinkingLevel": "MINIMAL"}


BAD: list[tuple[Any, str]] = [
    (7, "session"),
    ({"type": "transcription"}, "session.type"),
    ({"output_modalities": ["video"]}, "session.output_modalities"),
    ({"tool_choice": "required"}, "session.tool_choice"),
    ({"prompt": {"id": "p"}}, "session.prompt"),
    ({"audio": []}, "session.audio"),
    ({"audio": {"input": 7}}, "session.audio.input"),
    (of_input(format={"type": "audio/pcmu"}), "session.audio.input.format"),
    (of_input(format={"type": "audio/pcm", "rate": 8000}), "session.audio.input.format"),
    ({"audio": {"output": {"format": {"type": "audio/pcma"}}}}, "session.audio.output.format"),
    (of_input(turn_detection={"type": "x"}), "session.audio.input.turn_detection.type"),
]


@pytest.mark.parametrize(("session", "param"), BAD)
@pytest.mark.parametrize("name", ["google", "zhipu"])
def test_refused(name: str, session: Any, param: str) -> None:
    """A 400 that names the field; in a session, an error event that does, and nothing changes."""
    operation = ADAPTERS[name][0].operations["realtime"]
    assert operation.session is not None
    for work in (operation.build, operation.session):
        with pytest.raises(Fault) as refused:
            work(call_of(name, session), KEY)
        assert (refused.value.kind.status, refused.value.param) == (400, param)
    update = {"type": "session.update", "event_id": "e1", "session": session}
    frames = dialogue_of(name).from_client(json.dumps(update).encode())
    (error,) = events(frames.to_client)
    assert frames.to_provider == ()
    assert (error["error"]["param"], error["error"]["event_id"]) == (param, "e1")


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"instructions": 7}, "session.instructions"),
        ({"max_output_tokens": 0}, "session.max_output_tokens"),
        ({"temperature": True}, "session.temperature"),
        ({"tools": [{"type": "mcp"}]}, "session.tools"),
        ({"tools": [{"type": "function"}]}, "session.tools"),
        ({"tools": 7}, "session.tools"),
        ({"audio": {"output": {"voice": {"id": "v"}}}}, "session.audio.output.voice"),
        (
            of_input(turn_detection={"type": "server_vad", "create_response": False}),
            "session.audio.input.turn_detection.create_response",
        ),
        (
            of_input(turn_detection={"type": "server_vad", "prefix_padding_ms": "x"}),
            "session.audio.input.turn_detection.prefix_padding_ms",
        ),
    ],
)
def test_refused_by_live(session: Any, param: str) -> None:
    """What the Live API's setup could not be written from, or would be another session."""
    with pytest.raises(Fault) as refused:
        dialogue_of("google", session)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("name", "more", "url"),
    [
        (
            "google",
            {},
            "wss://generativelanguage.googleapis.com/ws/google.ai.generativelanguage.v1beta."
            "GenerativeService.BidiGenerateContent",
        ),
        (
            "google",
            {"base_url": "http://127.0.0.1:9/x/v1alpha"},
            "ws://127.0.0.1:9/x/ws/google.ai.generativelanguage.v1alpha."
            "GenerativeService.BidiGenerateContent",
        ),
        (
            "vertex",
            {"region": "europe-west4"},
            "wss://europe-west4-aiplatform.googleapis.com/ws/google.cloud.aiplatform.v1."
            "LlmBidiService/BidiGenerateContent",
        ),
        (
            "vertex",
            {"base_url": "http://127.0.0.1:9/v1beta1"},
            "ws://127.0.0.1:9/ws/google.cloud.aiplatform.v1beta1."
            "LlmBidiService/BidiGenerateContent",
        ),
        ("zhipu", {}, "wss://open.bigmodel.cn/api/paas/v4/realtime"),
    ],
)
def test_addresses(name: str, more: dict[str, Any], url: str) -> None:
    """Where sessions are opened, with the secret in a header."""
    credential = LOGIN if name == "vertex" else KEY
    made = ADAPTERS[name][0].operations["realtime"].build(call_of(name, **more), credential)
    assert (made.method, made.url, made.body) == ("GET", url, b"")
    login = {
        "google": ("x-goog-api-key", "AIzaCanary"),
        "vertex": ("Authorization", "Bearer ya29.canary"),
        "zhipu": ("Authorization", "Bearer AIzaCanary"),
    }
    assert made.headers == (login[name],)


def test_models_at_a_location() -> None:
    """There the model's whole name is asked for; without a project there is none."""
    named = setup(None, "vertex", region="europe-west4")["model"]
    assert named == (
        "projects/p-1/locations/europe-west4/publishers/google/models/gemini-live-2.5-flash"
    )
    vertex = ADAPTERS["vertex"][0].operations["realtime"]
    with pytest.raises(Fault) as refused:
        vertex.build(call_of("vertex"), Credential("c", {"access_token": "t"}))
    assert refused.value.cause == "no_credential"


def test_glm_session() -> None:
    """All of it each time; the search that the host would do by itself is not wished for."""
    session = {
        "type": "realtime",
        "instructions": "Hi.",
        "output_modalities": ["text"],
        "max_output_tokens": 20,
        "audio": {
            "input": {"turn_detection": {"type": "semantic_vad", "eagerness": "low"}},
            "output": {"voice": "tongtong"},
        },
        "beta_fields": {"chat_mode": "video_passive"},
        "greeting_config": {"enable": True},
    }
    assert glm(session) == {
        "model": "glm-realtime",
        "modalities": ["text"],
        "instructions": "Hi.",
        "input_audio_format": "wav24",
        "output_audio_format": "pcm",
        "turn_detection": {"type": "server_vad"},
        "tools": [],
        "beta_fields": {"chat_mode": "video_passive", "tts_source": "e2e", "auto_search": False},
        "voice": "tongtong",
        "max_response_output_tokens": 20,
        "greeting_config": {"enable": True},
    }
    assert glm(of_input(turn_detection=None))["turn_detection"] == {"type": "client_vad"}
