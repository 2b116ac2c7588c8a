"""Streams of Converse: parts without a start, the provider's own tools, failures, hostility."""

from __future__ import annotations

import json
import random
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.talk.interpret import Interpreter
from gateway.sdk.talk import Broke, Ended, Event, Foreign, Media, Stopped, Text, ToolUse, Used
from providers_plugins.bedrock import WIRE
from providers_plugins.bedrock.stream import MAX_OPEN
from tests.adapters.bedrock import frames
from tests.adapters.bedrock.calls import Silent, call, told

USAGE = {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}


def stream(*events: tuple[str, Any]) -> bytes:
    return b"".join(frames.event(name, said) for name, said in events)


def delta(index: Any, **said: Any) -> tuple[str, Any]:
    return "contentBlockDelta", {"contentBlockIndex": index, "delta": said}


def start(index: Any, **said: Any) -> tuple[str, Any]:
    return "contentBlockStart", {"contentBlockIndex": index, "start": said}


def stop(index: Any) -> tuple[str, Any]:
    return "contentBlockStop", {"contentBlockIndex": index}


BEGIN = ("messageStart", {"role": "assistant"})
END = (("messageStop", {"stopReason": "end_turn"}), ("metadata", {"usage": USAGE}))


def events(raw: bytes) -> list[Event]:
    reader = WIRE.reader(call(stream=True))
    return [*reader.feed(raw), *reader.finish()]


def test_parts_left_open_are_closed_before_the_end() -> None:
    raw = stream(BEGIN, delta(0, text="a"), start(1, toolUse={"toolUseId": "i", "name": "f"}), *END)
    found = told(events(raw))
    assert [type(part["part"]) for part in found["parts"]] == [Text, ToolUse]
    assert found["ended"]


def test_a_call_without_arguments_has_an_empty_object() -> None:
    tool = start(0, toolUse={"toolUseId": "i", "name": "f"})
    for between in ((), (delta(0, toolUse={"input": ""}),)):
        (part,) = told(events(stream(BEGIN, tool, *between, stop(0), *END)))["parts"]
        assert part["text"] == "{}"


def test_every_piece_of_a_call_arrives() -> None:
    pieces = ['{"a', '": "é', '\\n"', " ", "}"]
    tool = start(0, toolUse={"toolUseId": "i", "name": "f"})
    raw = stream(BEGIN, tool, *(delta(0, toolUse={"input": p}) for p in pieces), stop(0), *END)
    (part,) = told(events(raw))["parts"]
    assert part["text"] == "".join(pieces)


def test_blocks_may_interleave() -> None:
    raw = stream(
        BEGIN,
        start(0, toolUse={"toolUseId": "i", "name": "f"}),
        start(1, toolUse={"toolUseId": "j", "name": "g"}),
        delta(0, toolUse={"input": "{"}),
        delta(1, toolUse={"input": "[1]"}),
        delta(0, toolUse={"input": "}"}),
        stop(1),
        stop(0),
        *END,
    )
    assert [part["text"] for part in told(events(raw))["parts"]] == ["{}", "[1]"]


def test_a_block_that_changes_its_kind_is_two_parts() -> None:
    raw = stream(BEGIN, delta(0, reasoningContent={"text": "t"}), delta(0, text="a"), *END)
    assert [part["text"] for part in told(events(raw))["parts"]] == ["t", "a"]


def test_the_providers_own_tools_are_not_the_clients() -> None:
    raw = stream(
        BEGIN,
        start(0, toolUse={"toolUseId": "i", "name": "web", "type": "server_tool_use"}),
        delta(0, toolUse={"input": '{"q":'}),
        delta(0, toolUse={"input": '"x"}'}),
        stop(0),
        start(1, toolResult={"toolUseId": "i", "type": "web_result"}),
        delta(1, toolResult=[{"text": "r"}]),
        stop(1),
        *END,
    )
    one, two = (part["part"] for part in told(events(raw))["parts"])
    assert isinstance(one, Foreign)
    assert one.kind == "server_tool_use"
    assert json.loads(one.raw)["toolUse"]["input"] == {"q": "x"}
    assert json.loads(two.raw)["toolResult"]["content"] == [{"text": "r"}]


def test_pictures() -> None:
    raw = stream(
        BEGIN,
        start(0, image={"format": "webp"}),
        delta(0, image={"source": {"bytes": "AA=="}}),
        *END,
    )
    (part,) = told(events(raw))["parts"]
    assert part["part"] == Media("image", "image/webp", "AA==")


def test_why_it_stopped() -> None:
    fields = {
        "stopReason": "stop_sequence",
        "additionalModelResponseFields": {"stop_sequence": "X"},
    }
    found = told(events(stream(BEGIN, ("messageStop", fields), END[1])))
    assert (found["reason"], found["sequence"]) == ("sequence", "X")
    for reason, expected in [
        ("content_filtered", "filter"), ("model_context_window_exceeded", "context"),
        ("malformed_tool_use", "error"), ("brand_new", "stop"), (7, "stop"),
    ]:  # fmt: skip
        said = stream(BEGIN, ("messageStop", {"stopReason": reason}), END[1])
        assert told(events(said))["reason"] == expected


@pytest.mark.parametrize("usage", [None, "absent"])
def test_an_end_without_usage_is_an_end(usage: Any) -> None:
    said = {} if usage == "absent" else {"usage": usage}
    found = told(events(stream(BEGIN, END[0], ("metadata", said))))
    assert found["ended"]
    assert found["usage"] is None


def test_without_its_end_mark_it_has_not_ended() -> None:
    found = told(events(stream(BEGIN, delta(0, text="a"), END[0])))
    assert found["reason"] == "stop"
    assert not found["ended"]


@pytest.mark.parametrize(
    ("name", "kind", "cause", "status"),
    [
        ("throttlingException", "rate_limit_exceeded", "provider_rate_limit", 429),
        ("internalServerException", "upstream_error", "status_500", 500),
        ("modelStreamErrorException", "upstream_error", "model_error", 424),
        ("serviceUnavailableException", "upstream_error", "status_503", 503),
        ("modelTimeoutException", "upstream_timeout", "provider_timeout", 408),
        ("validationException", "invalid_request", "refused_by_provider", 400),
        ("somethingNewException", "upstream_error", "status_500", 500),
        ("", "upstream_error", "status_500", 500),
    ],
)
def test_exceptions_end_the_stream(name: str, kind: str, cause: str, status: int) -> None:
    raw = stream(BEGIN, delta(0, text="a")) + frames.exception(name, {"message": "why"})
    found = told(events(raw + stream(*END)))
    assert (found["fault"].kind.code, found["fault"].cause) == (kind, cause)
    assert found["fault"].provider.status == status
    assert not found["ended"]
    assert found["reason"] is None


def test_an_error_message_is_a_failure_too() -> None:
    named = stream(BEGIN, ("throttlingException", {"message": "m"}))
    assert told(events(named))["fault"].kind.code == "rate_limit_exceeded"
    headers = {":message-type": "error", ":error-code": "InternalError", ":error-message": "m"}
    assert isinstance(events(frames.message(headers, b""))[-1], Broke)


def test_damage_is_a_fault_and_the_end() -> None:
    bad = bytearray(stream(delta(0, text="b")))
    bad[-1] ^= 1
    found = told(events(stream(BEGIN, delta(0, text="a")) + bytes(bad) + stream(*END)))
    assert found["fault"].cause == "broken_stream"
    assert found["parts"][0]["text"] == "a"
    assert not found["ended"]


@pytest.mark.parametrize(
    "usage",
    [
        {"inputTokens": -1, "outputTokens": 1},
        {"inputTokens": 1.5, "outputTokens": 1},
        {"inputTokens": "1", "outputTokens": 1},
        {"inputTokens": True, "outputTokens": 1},
        {"inputTokens": 2**70, "outputTokens": 1},
        {"outputTokens": 1},
        {"inputTokens": 1, "outputTokens": 1, "totalTokens": 5},
        {"inputTokens": 1, "outputTokens": 1, "cacheDetails": [{"ttl": "1h", "inputTokens": 3}]},
        {},
        [],
        "much",
    ],
)
def test_usage_that_cannot_be_is_a_problem(usage: Any) -> None:
    found = told(events(stream(BEGIN, END[0], ("metadata", {"usage": usage}))))
    assert found["usage"].problem


def test_usage_is_whole() -> None:
    said = {
        "inputTokens": 3, "outputTokens": 5, "totalTokens": 108, "cacheReadInputTokens": 40,
        "cacheWriteInputTokens": 60,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 20}, {"ttl": "5m", "inputTokens": 40}],
    }  # fmt: skip
    usage = told(events(stream(BEGIN, END[0], ("metadata", {"usage": said}))))["usage"]
    assert (usage.input, usage.output, usage.cached) == (103, 5, 40)
    assert (usage.cache_write, usage.cache_write_1h, usage.problem) == (40, 20, "")


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from([
                "contentBlockIndex", "delta", "start", "text", "toolUse", "input", "usage",
                "reasoningContent", "signature", "redactedContent", "citation", "location",
                "toolResult", "image", "source", "bytes", "inputTokens", "stopReason", "type",
                "additionalModelResponseFields", "cacheDetails", "web", "toolUseId", "name",
            ]),
            inner, max_size=4,
        ),
    ),
    max_leaves=12,
)  # fmt: skip
NAMES = st.sampled_from([
    "messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop",
    "metadata", "unheard",
])  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(NAMES, JSON), max_size=8))
def test_no_json_raises_or_breaks_the_order(said: list[tuple[str, Any]]) -> None:
    raw = stream(*said)
    told(events(raw))
    interpreter = Interpreter(WIRE.reader(call()), Silent())
    interpreter.feed(raw)
    interpreter.finish()


@given(st.binary(max_size=200))
def test_no_payload_raises(payload: bytes) -> None:
    headers = {":message-type": "event", ":event-type": "contentBlockDelta"}
    told(events(frames.message(headers, payload)))


def test_half_a_character_in_an_escape_is_no_trap() -> None:
    payload = b'{"contentBlockIndex":0,"delta":{"text":"a\\ud800"}}'
    headers = {":message-type": "event", ":event-type": "contentBlockDelta"}
    raw = stream(BEGIN) + frames.message(headers, payload) + stream(*END)
    interpreter = Interpreter(WIRE.reader(call()), Silent())
    interpreter.feed(raw)
    assert interpreter.complete


def test_too_many_open_parts_are_a_fault() -> None:
    raw = stream(BEGIN, *(delta(index, text="x") for index in range(MAX_OPEN + 1)))
    assert told(events(raw))["fault"].cause == "broken_stream"


def test_what_its_own_tools_say_is_bounded() -> None:
    tool = start(0, toolUse={"toolUseId": "i", "name": "w", "type": "server_tool_use"})
    piece = stream(delta(0, toolUse={"input": "x" * 100_000}))
    reader = WIRE.reader(call(stream=True))
    list(reader.feed(stream(BEGIN, tool)))
    tracemalloc.start()
    found = [event for _ in range(200) for event in reader.feed(piece)]
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(found[-1], Broke)
    assert held < 1 << 20


def test_events_after_the_end_are_nothing() -> None:
    raw = stream(BEGIN, delta(0, text="a"), *END)
    after = stream(delta(1, text="b"), *END)
    assert events(raw + after) == events(raw)
    assert isinstance(events(raw)[-1], Ended)
    order = [type(event) for event in events(raw)]
    assert order.index(Stopped) < order.index(Used) < order.index(Ended)


def test_random_splits_are_no_different() -> None:
    raw = stream(BEGIN, delta(0, text="añ"), stop(0), *END)
    chance = random.Random(3)
    for _ in range(30):
        reader = WIRE.reader(call())
        cuts = sorted(chance.randrange(len(raw)) for _ in range(9))
        pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
        assert [e for piece in pieces for e in reader.feed(piece)] == events(raw)


def test_an_arn_does_not_tell_of_the_operator() -> None:
    arn = "arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.anthropic.claude-x"
    began = next(iter(WIRE.reader(call(arn)).feed(stream(BEGIN))))
    assert began.model == "us.anthropic.claude-x"
