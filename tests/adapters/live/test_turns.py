"""Whose turn it is: what makes the Live API answer, and what it must not be told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.sdk import Dialogue
from tests.adapters.live.scripts import dialogue_of, events

APPEND = {"type": "input_audio_buffer.append", "audio": "AAAA" * 16}
COMMIT = {"type": "input_audio_buffer.commit"}
CREATE = {"type": "response.create"}
CANCEL = {"type": "response.cancel"}
SPEECH = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "AAAA" * 16}}
SPOKEN = {"serverContent": {"modelTurn": {"parts": [SPEECH]}}}
COMPLETE = {"serverContent": {"turnComplete": True}}
INTERRUPTED = {"serverContent": {"interrupted": True}}
CALL = {"toolCall": {"functionCalls": [{"id": "f-1", "name": "look", "args": {}}]}}
MANUAL = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}


def text(words: str = "Hi") -> dict[str, Any]:
    content = [{"type": "input_text", "text": words}]
    item = {"type": "message", "role": "user", "content": content}
    return {"type": "conversation.item.create", "item": item}


def output(call_id: str = "f-1") -> dict[str, Any]:
    item = {"type": "function_call_output", "call_id": call_id, "output": "{}"}
    return {"type": "conversation.item.create", "item": item}


def ready(session: Any = None) -> Dialogue:
    """A session that the provider has confirmed."""
    dialogue = dialogue_of("google", session)
    dialogue.from_client(json.dumps(text("first")).encode())
    asks(dialogue, CREATE)
    hears(dialogue, {"setupComplete": {}})
    hears(dialogue, SPOKEN)
    hears(dialogue, COMPLETE)
    return dialogue


def asks(dialogue: Dialogue, *said: dict[str, Any]) -> list[Any]:
    """What goes to the provider for what the client says."""
    return [
        event
        for one in said
        for event in events(dialogue.from_client(json.dumps(one).encode()).to_provider)
    ]


def errors(dialogue: Dialogue, said: dict[str, Any]) -> list[str]:
    """The codes of what the client did wrong."""
    told = events(dialogue.from_client(json.dumps(said).encode()).to_client)
    return [event["error"]["code"] for event in told if event["type"] == "error"]


def hears(dialogue: Dialogue, *said: dict[str, Any]) -> list[Any]:
    """What the client is told of what the provider says."""
    return [
        event
        for one in said
        for event in events(dialogue.from_provider(json.dumps(one).encode()).to_client)
    ]


def kinds(told: list[Any]) -> list[str]:
    return [event["type"] for event in told]


def content(*words: str, complete: bool) -> dict[str, Any]:
    turns = [{"role": "user", "parts": [{"text": one}]} for one in words]
    return {"clientContent": {**({"turns": turns} if turns else {}), "turnComplete": complete}}


def test_an_item_asks_for_nothing() -> None:
    """It waits for the response that is asked for, together with others."""
    live = ready()
    assert asks(live, text("a"), text("b")) == []
    assert asks(live, CREATE) == [content("a", "b", complete=True)]
    hears(live, SPOKEN, COMPLETE)
    assert asks(live, CREATE) == [content(complete=True)]


def test_items_go_before_sound() -> None:
    """But while the model answers they would interrupt it, so they wait."""
    live = ready()
    sound = {"realtimeInput": {"audio": {"mimeType": "audio/pcm;rate=24000", "data": "AAAA" * 16}}}
    assert asks(live, text("a"), APPEND) == [content("a", complete=False), sound]
    hears(live, SPOKEN)
    assert asks(live, text("b"), APPEND) == [sound]
    hears(live, COMPLETE)
    assert asks(live, APPEND) == [content("b", complete=False), sound]


def test_a_commit_where_the_provider_detects() -> None:
    """It flushes what the provider has heard; the answer comes by itself."""
    live = ready()
    asks(live, APPEND)
    assert asks(live, COMMIT, CREATE) == [{"realtimeInput": {"audioStreamEnd": True}}]
    assert errors(live, COMMIT) == ["input_audio_buffer_commit_empty"]
    told = hears(live, SPOKEN)
    assert kinds(told)[:1] == ["response.created"]
    hears(live, COMPLETE)
    assert asks(live, CREATE) == [content(complete=True)]


def test_a_turn_that_the_client_ends() -> None:
    """The activity ends with the response that is asked for, not with the commit."""
    live = ready(MANUAL)
    sent = asks(live, APPEND, APPEND, COMMIT)
    assert [list(one["realtimeInput"]) for one in sent] == [["activityStart"], ["audio"], ["audio"]]
    assert asks(live, text("a"), CREATE) == [
        content("a", complete=False),
        {"realtimeInput": {"activityEnd": {}}},
    ]
    assert "input_audio_buffer.committed" not in kinds(hears(live, SPOKEN, COMPLETE))
    assert asks(live, APPEND)[0] == {"realtimeInput": {"activityStart": {}}}


def test_barging_in_by_hand() -> None:
    """An activity interrupts; it was the client's doing, and it knows when it speaks."""
    live = ready(MANUAL)
    asks(live, APPEND, COMMIT, CREATE)
    hears(live, SPOKEN)
    asks(live, APPEND)
    told = hears(live, INTERRUPTED, COMPLETE)
    assert "input_audio_buffer.speech_started" not in kinds(told)
    assert told[-1]["response"]["status_details"]["reason"] == "client_cancelled"


def test_answers_of_functions() -> None:
    """They make the model go on, so the response.create that follows is already granted."""
    live = ready()
    hears(live, CALL)
    (sent,) = asks(live, output())
    assert list(sent) == ["toolResponse"]
    told = hears(live, SPOKEN)
    assert kinds(told)[0] == "response.created"
    assert asks(live, CREATE) == []
    assert errors(live, CREATE) == ["conversation_already_has_active_response"]
    assert errors(live, output()) == ["invalid_request"]
    hears(live, COMPLETE)
    assert asks(live, CREATE) == [content(complete=True)]  # what was granted is used up


def test_some_answers_now() -> None:
    """Who asks for a response without all answers gets one."""
    live = ready()
    calls = [{"id": name, "name": "look", "args": {}} for name in ("f-1", "f-2")]
    hears(live, {"toolCall": {"functionCalls": calls}})
    assert asks(live, output("f-2")) == []
    (sent,) = asks(live, CREATE)
    assert [one["id"] for one in sent["toolResponse"]["functionResponses"]] == ["f-2"]


def test_the_rest_of_a_cancelled_answer() -> None:
    """It is neither heard nor takes the place of the next one; a call in it is not told."""
    live = ready()
    hears(live, SPOKEN)
    asks(live, CANCEL)
    told = hears(live, SPOKEN, CALL, SPOKEN)  # what follows the call is a new answer
    assert kinds(told)[0] == "response.created"
    assert "function_call" not in json.dumps(told)
    live = ready()
    hears(live, SPOKEN)
    asks(live, CANCEL)
    assert hears(live, SPOKEN, INTERRUPTED, COMPLETE) == []
    assert kinds(hears(live, SPOKEN))[0] == "response.created"
    assert errors(ready(), CANCEL) == ["response_cancel_not_active"]


def test_an_asked_answer_that_is_nothing() -> None:
    """It ends all the same; a turn's end that nobody waits for is no response."""
    live = ready()
    assert hears(live, COMPLETE) == []
    asks(live, CREATE)
    told = hears(live, COMPLETE)
    assert kinds(told) == ["response.created", "response.done"]
    assert told[-1]["response"]["status"] == "completed"


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("MALFORMED_FUNCTION_CALL", "failed"),
        ("RESPONSE_REJECTED", "incomplete"),
        ("NEED_MORE_INPUT", "completed"),
        (7, "completed"),
    ],
)
def test_why_a_turn_ends(reason: Any, status: str) -> None:
    """The provider's reasons in OpenAI's words."""
    end = {"serverContent": {"turnComplete": True, "turnCompleteReason": reason}}
    (*_, done) = hears(ready(), SPOKEN, end)
    assert done["response"]["status"] == status


def test_counts_of_one_turn() -> None:
    """They may come in several messages, and before the end or after it."""
    live = ready()
    count = {"promptTokenCount": 10, "responseTokenCount": 2, "totalTokenCount": 12}
    hears(live, SPOKEN, {"usageMetadata": count})
    (*_, done) = hears(live, COMPLETE | {"usageMetadata": count})
    assert done["response"]["usage"]["total_tokens"] == 24
    assert [one.input for one in live.take_usage()] == [10, 10]
    hears(live, {"usageMetadata": count})
    (late,) = live.take_usage()
    assert (late.input, late.audio_output_ms) == (10, 0)
    assert live.take_usage() == ()
    wrong = {"promptTokenCount": 10, "responseTokenCount": 2, "totalTokenCount": 99}
    hears(live, {"usageMetadata": wrong})
    assert live.take_usage()[0].problem
    hears(live, {"usageMetadata": {"trafficType": "ON_DEMAND"}})
    assert live.take_usage() == ()


def test_sound_in_items() -> None:
    """It is heard as well, and counted; pictures go as they come."""
    live = ready()
    part = {"type": "input_audio", "audio": "AAAA" * 32}
    item = {"type": "message", "role": "user", "content": [part]}
    asks(live, {"type": "conversation.item.create", "item": item}, CREATE)
    count = {"promptTokenCount": 10, "responseTokenCount": 2, "totalTokenCount": 12}
    hears(live, SPOKEN, COMPLETE | {"usageMetadata": count})
    assert live.take_usage()[0].audio_input_ms == 2
    frame = {"type": "input_audio_buffer.append_video_frame", "video_frame": "AAAA"}
    assert asks(live, frame) == [
        {"realtimeInput": {"video": {"mimeType": "image/jpeg", "data": "AAAA"}}}
    ]
    assert errors(live, {**frame, "video_frame": 7}) == ["invalid_request"]


def test_words_that_come_by_themselves() -> None:
    """An answer that nobody asked for and no sound came before is no turn of the user's."""
    told = kinds(hears(ready(), {"serverContent": {"outputTranscription": {"text": "Hello?"}}}))
    assert told[0] == "response.created"
    assert told[-1] == "response.output_audio_transcript.delta"


def test_the_end_is_announced() -> None:
    """With the time that is left, where it is told; the session goes on until then."""
    for left, said in (({"timeLeft": "12s"}, "in 12s"), ({}, "soon"), ({"timeLeft": "x"}, "soon")):
        live = ready()
        (event,) = hears(live, {"goAway": left})
        assert event["error"]["code"] == "session_ending"
        assert f"ends this session {said}." in event["error"]["message"]
        assert live.fault is None
