"""Whatever comes in whatever order: nothing is raised, and responses keep their form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.sdk import Dialogue, Frames
from tests.adapters.live.scripts import dialogue_of, events

SOUND = "AAAA" * 16  # one millisecond
WEATHER = {"type": "function", "name": "weather"}
SESSIONS = (
    {"type": "realtime", "instructions": "Hi.", "tools": [WEATHER]},
    {"type": "realtime", "audio": {"input": {"turn_detection": None}}},
    {"type": "realtime", "output_modalities": ["text"], "max_output_tokens": 5},
    {"type": "realtime", "audio": {"output": {"voice": {"id": "v"}}}},
    {"type": "realtime", "audio": 7, "tools": [7]},
    {"type": "realtime", "id": 7, "object": [], "model": {}, "expires_at": "x", "audio": None},
)
APPEND = {"type": "input_audio_buffer.append", "audio": SOUND}
CLIENT: tuple[Any, ...] = (
    *({"type": "session.update", "session": session} for session in SESSIONS),
    {"type": "session.update"},
    APPEND,
    {"type": "input_audio_buffer.append", "audio": "?"},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
    {"type": "conversation.item.create", "item": {
        "type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}},
    {"type": "conversation.item.create", "item": {
        "type": "function_call_output", "call_id": "f-1", "output": "{}"}},
    {"type": "conversation.item.create", "item": {"type": "message", "role": [], "content": {}}},
    {"type": "conversation.item.truncate", "item_id": "i", "content_index": [], "audio_end_ms": 1},
    {"type": "response.create"},
    {"type": "response.create", "response": {"instructions": "Sing.", "metadata": {"a": "b"}}},
    {"type": "response.create", "response": {"input": [{}], "tools": []}},
    {"type": "response.cancel"},
    {"type": ["x"], "event_id": {}},
    [],
    7,
)  # fmt: skip
SPEECH = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": SOUND}}
LIVE: tuple[Any, ...] = (
    {"setupComplete": {}},
    {"serverContent": {"inputTranscription": {"text": "Hello"}}},
    {"serverContent": {"modelTurn": {"parts": [SPEECH]}, "outputTranscription": {"text": "Hi"}}},
    {"serverContent": {"modelTurn": {"parts": [{"text": "Hi"}]}}},
    {"serverContent": {"interrupted": True}},
    {"serverContent": {"generationComplete": True}},
    {"serverContent": {"turnComplete": True}},
    {"serverContent": {"modelTurn": {"parts": [SPEECH]}, "turnComplete": True}},
    {"toolCall": {"functionCalls": [{"id": "f-1", "name": "weather"}, {"name": "weather"}]}},
    {"toolCall": {"functionCalls": []}},
    {"toolCallCancellation": {"ids": ["f-1"]}},
    {"usageMetadata": {"promptTokenCount": 2, "responseTokenCount": 1, "totalTokenCount": 3}},
    {"usageMetadata": {"promptTokenCount": "x"}},
    {"goAway": {"timeLeft": "5s"}},
    {"sessionResumptionUpdate": {}, "error": None, "setupComplete": None},
)
GLM: tuple[Any, ...] = (
    {"type": "session.created", "session": {"id": "s"}},
    {"type": "session.updated", "session": []},
    {"type": "heartbeat"},
    {"type": "response.created", "response": {"id": "r", "status": "in_progress"}},
    {"type": "response.audio.delta", "delta": SOUND},
    {"type": "response.audio_transcript.delta", "delta": "Hi"},
    {"type": "response.text.delta", "delta": 7},
    {"type": "response.function_call_arguments.done", "name": "weather", "arguments": {}},
    {"type": "response.output_item.added", "item": None},
    {"type": "conversation.item.created", "item": {"role": "assistant", "content": [7]}},
    {"type": "response.done", "response": {"usage": {"input_tokens": 2, "output_tokens": -1}}},
    {"type": "response.done", "response": 7, "usage": {"total_tokens": 0}},
    {"type": "response.done", "response": {"output": 7, "usage": 7, "id": 7}},
    {"type": "error", "error": None},
    {"type": 7},
    {},
)


def steps(provider: tuple[Any, ...]) -> st.SearchStrategy[list[tuple[str, Any]]]:
    said = st.one_of(
        st.tuples(st.just("client"), st.sampled_from(CLIENT)),
        st.tuples(st.just("provider"), st.sampled_from(provider)),
    )
    return st.lists(said, max_size=5) | st.lists(said, min_size=25, max_size=60)


def said(dialogue: Dialogue, side: str, message: Any) -> Frames:
    raw = json.dumps(message).encode()
    return dialogue.from_client(raw) if side == "client" else dialogue.from_provider(raw)


def told(name: str, script: list[tuple[str, Any]]) -> tuple[list[Any], list[Any], int]:
    """What both sides are sent in the end, and the sound that was counted."""
    dialogue = dialogue_of(name)
    frames = [dialogue.opening()]
    counted = 0
    for side, message in script:
        frames.append(said(dialogue, side, message))
        for usage in dialogue.take_usage():
            counted += usage.audio_input_ms
    up = [event for one in frames for event in events(one.to_provider)]
    down = [event for one in frames for event in events(one.to_client)]
    return up, down, counted


@settings(max_examples=150, deadline=None)
@given(script=steps(LIVE))
def test_live(script: list[tuple[str, Any]]) -> None:
    """The setup comes first and once; each response begins and ends, and holds its events."""
    up, down, counted = told("google", script)
    assert [list(message) for message in up[:1]] in ([], [["setup"]])
    assert sum("setup" in message for message in up) <= 1
    confirmed = ("provider", {"setupComplete": {}}) in script
    assert confirmed or len(up) <= 1
    assert len({event["event_id"] for event in down}) == len(down)
    opened = ""
    for event in down:
        if event["type"] == "response.created":
            assert not opened
            opened = event["response"]["id"]
        elif event["type"] == "response.done":
            assert event["response"]["id"] == opened
            opened = ""
        elif event["type"].startswith("response."):
            assert event["response_id"] == opened
    sound = sum(message == APPEND for _, message in script)
    assert 0 <= counted <= sound


@settings(max_examples=100, deadline=None)
@given(script=steps(GLM))
def test_glm(script: list[tuple[str, Any]]) -> None:
    """Each event has a name, and no old one is left."""
    up, down, counted = told("zhipu", script)
    assert up[0]["type"] == "session.update"
    assert all(message["session"]["model"] == "glm-realtime" for message in up
               if message["type"] == "session.update")  # fmt: skip
    for event in down:
        assert event["event_id"]
        assert not str(event["type"]).startswith(("response.audio", "response.text", "heartbeat"))
    assert counted <= sum(message == APPEND for _, message in script)


NONSENSE = st.binary(max_size=60) | st.text(max_size=40).map(str.encode)


@pytest.mark.parametrize("name", ["google", "zhipu"])
@given(raw=NONSENSE)
def test_nonsense(name: str, raw: bytes) -> None:
    """Bytes that are no event: the client is told, the provider's end the session."""
    dialogue = dialogue_of(name)
    assume(b'"type"' not in raw)
    frames = dialogue.from_client(raw)
    assert not frames.to_provider
    assert [event["type"] for event in events(frames.to_client)] == ["error"]
    assert dialogue.fault is None
    dialogue.from_provider(raw)
    assert dialogue.from_provider(b"[").to_client == ()
    assert dialogue.fault is not None


def test_what_waits_is_bounded() -> None:
    """A provider that never confirms: the session ends before it has kept too much."""
    dialogue = dialogue_of("google")
    sound = json.dumps({"type": "input_audio_buffer.append", "audio": "AAAA" * (1 << 18)}).encode()
    taken = 0
    while dialogue.fault is None and taken < 40:
        dialogue.from_client(sound)
        taken += 1
    assert 14 <= taken <= 17
    assert dialogue.fault is not None
    assert dialogue.fault.cause == "no_setup"
    assert dialogue.from_client(sound) == Frames()
    assert dialogue.from_provider(b"{}") == Frames()


def test_answers_without_an_end() -> None:
    """Words are kept for the end of an answer, but not without measure."""
    for word in ("outputTranscription", "inputTranscription"):
        dialogue = dialogue_of("google")
        said(dialogue, "client", APPEND)
        said(dialogue, "provider", {"setupComplete": {}})
        for _ in range(100):
            said(dialogue, "provider", {"serverContent": {word: {"text": "x" * 100_000}}})
        assert dialogue.fault is not None
        assert dialogue.fault.cause == "answer_too_long"


def test_calls_without_an_end() -> None:
    """Of calls that nobody answers, the oldest are forgotten, and their answers borne."""
    dialogue = dialogue_of("google")
    for number in range(300):
        call = {"id": f"f-{number}", "name": "weather"}
        said(dialogue, "provider", {"toolCall": {"functionCalls": [call]}})
    for name, known in (("f-0", True), ("f-299", True), ("f-300", False)):
        item = {"type": "function_call_output", "call_id": name, "output": "x"}
        frames = said(dialogue, "client", {"type": "conversation.item.create", "item": item})
        kinds = [event["type"] for event in events(frames.to_client)]
        assert ("error" not in kinds) == known
