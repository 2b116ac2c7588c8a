"""What passes in a session is measured, whatever it is."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.realtime import Passing, code_of, counts, error_event, event_of, total
from gateway.domain import Usage
from gateway.errors import BUDGET_EXHAUSTED, INVALID_REQUEST, Fault, invalid
from gateway.sdk import realtime


def hear(passing: Passing, *events: dict[str, Any]) -> Passing:
    """The client is sent these."""
    for event in events:
        message = json.dumps(event).encode()
        passing.to_client(event_of(message), message)
    return passing


def sound_of(milliseconds: int) -> str:
    """So much silence."""
    return base64.b64encode(bytes(48 * milliseconds)).decode()


def delta(size: int, kind: str = "response.output_audio.delta") -> dict[str, Any]:
    """So many bytes of sound."""
    return {"type": kind, "delta": base64.b64encode(bytes(size)).decode()}


@pytest.mark.parametrize("kind", ["response.output_audio.delta", "response.audio.delta"])
def test_sound_is_counted_by_its_bytes(kind: str) -> None:
    """Sixteen bits, 24,000 times a second."""
    passing = hear(Passing(), delta(48_000, kind))
    assert passing.usage == Usage(output=20, audio_output=20, audio_output_ms=1_000)


FORMATS = {
    "pcm": ({"audio": {"output": {"format": {"type": "audio/pcm", "rate": 24000}}}}, 1_000),
    "telephone": ({"audio": {"output": {"format": {"type": "audio/pcma"}}}}, 6_000),
    "the older name": ({"output_audio_format": "g711_ulaw"}, 6_000),
    "unknown": ({"audio": {"output": {"format": {"type": "audio/opus"}}}}, 1_000),
    "nonsense": ({"audio": {"output": {"format": 7}}}, 1_000),
    "nothing": ({}, 1_000),
}


@pytest.mark.parametrize("case", FORMATS)
def test_the_format_is_the_sessions(case: str) -> None:
    """As it was told last."""
    session, milliseconds = FORMATS[case]
    passing = hear(Passing(), {"type": "session.updated", "session": session}, delta(48_000))
    assert passing.milliseconds == (0, milliseconds)


def test_what_was_counted_is_forgotten_at_the_end_of_its_answer() -> None:
    """Whether the count comes before the end, with it, or after it."""
    began, ended = {"type": "response.created"}, {"type": "response.done"}
    before = hear(Passing(), began, delta(4_800))
    before.told()
    assert before.usage is not None
    assert hear(before, ended).usage is None
    after = hear(Passing(), began, delta(4_800), ended)
    assert after.usage is not None
    after.told()
    assert after.usage is None


def test_what_nobody_counts_stays() -> None:
    """Over many answers."""
    passing = Passing()
    for _ in range(2):
        hear(passing, {"type": "response.created"}, delta(48_000), {"type": "response.done"})
    assert passing.milliseconds == (0, 2_000)


def test_what_was_heard_alone_is_no_answer() -> None:
    """Nobody pays for speech that nobody answers."""
    passing = Passing()
    event = {"type": "input_audio_buffer.append", "audio": base64.b64encode(bytes(4_800)).decode()}
    message = json.dumps(event).encode()
    passing.from_client(event_of(message), message)
    assert passing.usage is None
    assert passing.milliseconds == (100, 0)


def say(passing: Passing, *events: dict[str, Any]) -> Passing:
    """The client has sent these."""
    for event in events:
        message = json.dumps(event).encode()
        passing.from_client(event_of(message), message)
    return passing


def words(count: int, response: str = "r") -> dict[str, Any]:
    """So many tokens of an answer, at four bytes each."""
    return {"type": "response.output_text.delta", "response_id": response, "delta": "x" * 4 * count}


def asked(*content: dict[str, Any]) -> dict[str, Any]:
    """An item of the client's."""
    item = {"type": "message", "role": "user", "content": list(content)}
    return {"type": "conversation.item.create", "item": item}


ASKED: dict[str, tuple[dict[str, Any], int]] = {
    "text": (asked({"type": "input_text", "text": "x" * 4_000}), 1_000),
    "escaped": (asked({"type": "input_text", "text": "\u00e9" * 2_000}), 1_000),
    "an image": (asked({"type": "input_image", "image_url": "data:" + "x" * 9_999}), 1_000),
    "sound": (asked({"type": "input_audio", "audio": sound_of(1_000)}), 10),
    "instructions": ({"type": "session.update", "session": {"instructions": "x" * 400}}, 100),
    "an answer's own": ({"type": "response.create", "response": {"instructions": "x" * 400}}, 100),
    "nonsense": ({"type": "conversation.item.create", "item": 7}, 0),
}


@pytest.mark.parametrize("case", ASKED)
def test_an_answer_hears_what_was_asked(case: str) -> None:
    """Whoever leaves before its count pays for the question as well, however it was put."""
    event, tokens = ASKED[case]
    passing = hear(say(Passing(), event), words(3))
    assert passing.usage is not None
    assert (passing.usage.input, passing.usage.output) == (tokens, 3)


def test_instructions_are_replaced() -> None:
    """Those of before are not heard."""
    wish = {"type": "session.update", "session": {"instructions": "x" * 400}}
    passing = hear(say(Passing(), wish, wish), words(1))
    assert passing.usage is not None
    assert passing.usage.input == 100


def test_an_answer_hears_what_was_said_before() -> None:
    """As much as was counted last, which its provider has heard already."""
    passing = hear(say(Passing(), asked({"text": "x" * 400})), words(3), {"type": "response.done"})
    passing.told(500)
    assert passing.usage is None
    hear(say(passing, asked({"text": "x" * 40})), words(2))
    assert passing.usage == Usage(input=510, cached=500, output=2)


def test_answers_side_by_side() -> None:
    """The end and the count of one are not those of another."""
    passing = hear(Passing(), words(100, "big"), words(1, "small"))
    hear(passing, {"type": "response.done", "response": {"id": "small"}})
    passing.told(7)
    assert passing.answering
    assert passing.usage is not None
    assert passing.usage.output == 100
    hear(passing, {"type": "response.done", "response": {"id": "big"}})
    passing.told(7)
    assert (passing.usage, passing.answering) == (None, False)


def test_transcripts_are_measured_until_they_are_counted() -> None:
    """And their count is no answer's."""
    kind = "conversation.item.input_audio_transcription."
    heard = {"type": f"{kind}delta", "item_id": "i", "delta": "x" * 40}
    passing = hear(Passing(), heard)
    assert passing.usage is not None
    assert passing.usage.output == 10
    hear(passing, words(5), {"type": f"{kind}completed", "item_id": "i"})
    passing.told(12)
    assert passing.answering
    assert passing.usage is not None
    assert passing.usage.output == 5


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=10) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
KINDS = st.sampled_from(
    ["response.created", "response.done", "session.updated", "input_audio_buffer.append",
     "response.output_audio.delta", "response.output_text.delta", "error", "x",
     "conversation.item.create", "session.update",
     "conversation.item.input_audio_transcription.delta",
     "conversation.item.input_audio_transcription.completed"]
)  # fmt: skip
EVENTS = st.fixed_dictionaries(
    {"type": KINDS},
    optional=dict.fromkeys(
        ("delta", "audio", "session", "response", "item", "item_id", "response_id"), JSON
    ),
).map(lambda event: json.dumps(event).encode())


@given(st.lists(EVENTS | st.binary(max_size=40) | JSON.map(lambda x: json.dumps(x).encode())))
def test_nonsense_is_borne(messages: list[bytes]) -> None:
    """And what is measured only grows until it is counted."""
    passing, before = Passing(), (0, 0)
    for message in messages:
        event = event_of(message)
        passing.from_client(event, message)
        passing.to_client(event, message)
        if event.type != "session.updated":
            assert passing.milliseconds >= before
        before = passing.milliseconds


USAGES = st.builds(
    Usage, **{name: st.integers(0, 1 << 40) for name in ("input", "output", "audio_input_ms")}
)


@given(st.lists(USAGES, min_size=1))
def test_counts_add_up(usages: list[Usage]) -> None:
    """In any order."""
    found = None
    for usage in usages:
        found = total(found, usage)
    assert found is not None
    for name in ("input", "output", "audio_input_ms"):
        assert getattr(found, name) == sum(getattr(one, name) for one in usages)
    assert counts(found) is any(counts(one) for one in usages)


def test_errors_in_openais_words() -> None:
    """With the gateway's own beside them, where they differ."""
    money = json.loads(error_event(Fault(BUDGET_EXHAUSTED, "It is used up."), "x"))
    assert money == {
        "type": "error",
        "event_id": "event_x",
        "error": {
            "type": "billing_error",
            "code": "insufficient_quota",
            "message": "It is used up.",
            "param": None,
            "event_id": None,
            "gateway_code": "budget_exhausted",
        },
    }
    assert "gateway_code" not in json.loads(error_event(invalid("No.", "a"), "x"))["error"]
    assert code_of(Fault(INVALID_REQUEST, "", cause="session_expired")) == "session_expired"


RAW = {
    "total_tokens": 30, "input_tokens": 20, "output_tokens": 10,
    "input_token_details": {"text_tokens": 5, "audio_tokens": 12, "image_tokens": 3,
        "cached_tokens": 6, "cached_tokens_details": {"text_tokens": 2, "audio_tokens": 4}},
    "output_token_details": {"text_tokens": 4, "audio_tokens": 6},
}  # fmt: skip


def test_an_answers_usage() -> None:
    """A token is 100 ms of what was said to the model, and 50 ms of what it said."""
    raw = json.dumps(RAW).encode()
    assert realtime.response_usage(raw) == Usage(
        input=20, output=10, cached=6, audio_input=12, audio_output=6, cached_audio=4,
        image_input=3, audio_input_ms=800, audio_output_ms=300, raw=raw,
    )  # fmt: skip


@pytest.mark.parametrize("value", [-1, 1.5, "7", True, 1 << 60, [], {"a": 1}])
@pytest.mark.parametrize("name", ["input_tokens", "output_token_details", "input_token_details"])
def test_usage_that_cannot_be(name: str, value: object) -> None:
    """Is named, and never billed from; or read as what it says."""
    raw = json.dumps({**RAW, name: value}).encode()
    usage = realtime.response_usage(raw)
    assert usage.problem or isinstance(value, dict)
    assert usage.raw == raw


@pytest.mark.parametrize(
    ("raw", "tokens"),
    [
        (b'{"type":"tokens","input_tokens":7,"output_tokens":3,"total_tokens":10}', (7, 3)),
        (b'{"type":"duration","seconds":2.54}', (25, 0)),
        (b'{"type":"duration","seconds":-1}', (0, 0)),
        (b'{"type":"duration","seconds":1e300}', (10_000_000_000, 0)),
        (b"{}", (0, 0)),
    ],
)
def test_a_transcripts_usage(raw: bytes, tokens: tuple[int, int]) -> None:
    """Its tokens, or its length as tokens."""
    usage = realtime.transcription_usage(raw)
    assert (usage.input, usage.output) == tokens
