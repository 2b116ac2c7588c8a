"""Streams of the Messages wire: odd ones, broken ones, and those written from other wires."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import sse
from gateway.core.body import JsonBody
from gateway.core.talk.events import (
    Began,
    Broke,
    Cited,
    Closed,
    Ended,
    Event,
    Grew,
    Opened,
    Signed,
    Stopped,
    Used,
)
from gateway.core.talk.interpret import Interpreter
from gateway.core.talk.messages import MessagesMeter, Reader, Writer, read_answer, write_answer
from gateway.core.talk.model import (
    Answer,
    Citation,
    Foreign,
    Refusal,
    Text,
    Thinking,
    ToolUse,
)
from gateway.domain import Usage
from gateway.errors import Fault

BODY = JsonBody(b"{}")


def told(*events: dict[str, Any]) -> bytes:
    return b"".join(sse.event(msgspec.json.encode(e), e["type"]) for e in events)


def start(**usage: int) -> dict[str, Any]:
    return {"type": "message_start", "message": {"id": "i", "model": "m", "usage": usage}}


def block(index: int, **said: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": said}


def delta(index: int, **said: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": said}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def end(reason: str = "end_turn", **usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


END = {"type": "message_stop"}


def read(data: bytes) -> list[Event]:
    reader = Reader()
    return [*reader.feed(data), *reader.finish()]


def written(*events: Event) -> list[dict[str, Any]]:
    writer = Writer(BODY)
    data = b"".join(map(writer.write, events))
    found = []
    for said in data.decode().split("\n\n")[:-1]:
        name, line = said.split("\n")
        event = json.loads(line.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    return found


def test_a_call_without_arguments_has_empty_ones() -> None:
    events = read(
        told(
            start(input_tokens=1),
            block(0, type="tool_use", id="a", name="f", input={}),
            delta(0, type="input_json_delta", partial_json=""),
            stop(0),
            end("tool_use", output_tokens=2),
            END,
        )
    )
    assert events[1:4] == [Opened(0, ToolUse("a", "f")), Grew(0, "{}"), Closed(0)]
    assert events[4] == Stopped("tool")
    assert isinstance(events[6], Ended)


@pytest.mark.parametrize("grown", [[], ['{"b"', ":2}"]])
def test_arguments_at_the_start_hold_if_no_others_come(grown: list[str]) -> None:
    events = read(
        told(
            start(),
            block(0, type="tool_use", id="a", name="f", input={"a": 1}),
            *(delta(0, type="input_json_delta", partial_json=text) for text in grown),
            stop(0),
        )
    )
    arguments = "".join(event.text for event in events if isinstance(event, Grew))
    assert json.loads(arguments) == ({"b": 2} if grown else {"a": 1})


def test_open_blocks_are_closed_before_the_stop() -> None:
    events = read(
        told(start(), block(0, type="text", text="a"), block(1, type="text", text=""), end(), END)
    )
    assert events[1:5] == [Opened(0, Text("a")), Opened(1, Text()), Closed(0), Closed(1)]
    assert isinstance(events[5], Stopped)


def test_the_end_has_the_figures_of_both_ends() -> None:
    split = {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20}
    first = {"input_tokens": 5, "cache_creation_input_tokens": 30, "cache_creation": split}
    data = told(
        {"type": "message_start", "message": {"usage": first}},
        end(output_tokens=9, cache_read_input_tokens=7, input_tokens=None),
        END,
    )
    (used,) = [event.usage for event in read(data) if isinstance(event, Used)]
    meter = MessagesMeter()
    meter.feed(data)
    assert meter.usage == used
    assert (used.input, used.output, used.cached) == (42, 9, 7)
    assert (used.cache_write, used.cache_write_1h) == (10, 20)


@pytest.mark.parametrize(
    ("kind", "code", "cause"),
    [
        ("overloaded_error", "upstream_error", "provider_overloaded"),
        ("rate_limit_error", "rate_limit_exceeded", "provider_rate_limit"),
        ("api_error", "upstream_error", "error_in_answer"),
        ("authentication_error", "upstream_error", "credential_refused"),
        ("billing_error", "upstream_error", "credential_exhausted"),
        ("no_such_error", "upstream_error", "error_in_answer"),
    ],
)
def test_an_error_in_the_stream(kind: str, code: str, cause: str) -> None:
    data = told(start(), {"type": "error", "error": {"type": kind, "message": "why"}}, END)
    broke = read(data)[-1]
    assert isinstance(broke, Broke)
    meter = MessagesMeter()
    assert meter.feed(data) == data
    for fault in (broke.fault, meter.fault):
        assert isinstance(fault, Fault)
        assert (fault.kind.code, fault.cause) == (code, cause)
        assert fault.provider is not None
        assert (fault.provider.status, fault.provider.type) == (200, kind)


def test_an_event_without_json_breaks_and_one_with_odd_members_is_passed_over() -> None:
    assert isinstance(read(b'data: {"type":"content_block_delta","ind\n\n')[-1], Broke)
    odd = told(delta(0, type=[1]), {"type": "content_block_stop", "index": "0"}, {"type": 5} | {})
    assert read(told(start()) + odd.replace(b"event: 5\n", b"")) == read(told(start()))


def test_too_much_breaks() -> None:
    huge = b"data: " + b"x" * (sse.MAX_EVENT + 10) + b"\n\n"
    assert [type(event) for event in read(huge)] == [Broke]
    many = told(*(block(index, type="text", text="") for index in range(1_001)))
    assert isinstance(read(many)[-1], Broke)
    piece = delta(0, type="input_json_delta", partial_json="x" * 500_000)
    held = block(0, type="server_tool_use", id="a", name="f", input={})
    assert isinstance(read(told(held, *[piece] * 20))[-1], Broke)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["type", "index", "delta", "content_block", "message", "usage", "text", "input",
             "partial_json", "citation", "citations", "stop_reason", "source", "content", "error",
             "input_tokens", "output_tokens", "cache_creation", "iterations", "signature"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip
KINDS = ["message_start", "content_block_start", "content_block_delta", "content_block_stop",
         "message_delta", "message_stop", "error", "ping"]  # fmt: skip
EVENTS = st.builds(
    lambda kind, said: {"index": 0, **said, "type": kind},
    st.sampled_from(KINDS),
    st.dictionaries(
        st.sampled_from(["index", "delta", "content_block", "message", "usage", "error"]), JSON
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(EVENTS | JSON, max_size=8), st.data())
def test_nothing_that_comes_makes_the_readers_raise(said: list[Any], data: Any) -> None:
    raw = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in said)
    whole = read(raw)
    cut = data.draw(st.integers(0, len(raw)))
    reader, meter = Reader(), MessagesMeter()
    events = [*reader.feed(raw[:cut]), *reader.feed(raw[cut:]), *reader.finish()]
    assert [type(event) for event in events] == [type(event) for event in whole]
    assert [e for e in events if not isinstance(e, Broke)] == [
        e for e in whole if not isinstance(e, Broke)
    ]
    assert meter.feed(raw[:cut]) + meter.feed(raw[cut:]) + meter.finish() == raw
    assert meter.usage is None or meter.usage.input >= 0
    translator = Interpreter(Reader(), Writer(BODY))
    translator.feed(raw)
    translator.cut()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_bytes_of_any_kind_make_no_reader_raise(raw: bytes) -> None:
    read(raw)
    meter = MessagesMeter()
    assert raw.startswith(meter.feed(raw) + meter.finish())
    with suppress(Fault):
        read_answer(raw)


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_an_answer_of_any_shape_is_read_or_refused(content: Any) -> None:
    raw = json.dumps({"content": content, "usage": content}).encode()
    with suppress(Fault):
        write_answer(BODY, read_answer(raw))


def test_interleaved_parts_become_one_block_after_the_other() -> None:
    events = written(
        Began("i", "m", usage=Usage(input=10, cached=4)),
        Opened(0, ToolUse("a", "f")),
        Opened(1, ToolUse("b", "g")),
        Grew(1, '{"y"'),
        Grew(0, '{"x":1}'),
        Closed(0),
        Grew(1, ":2}"),
        Closed(1),
        Stopped("tool"),
        Used(Usage(input=10, output=6, cached=4, cache_write=1, cache_write_1h=2, reasoning=3)),
        Ended(),
    )
    assert [(e["type"], e.get("index")) for e in events] == [
        ("message_start", None),
        ("content_block_start", 0),
        ("content_block_delta", 0),
        ("content_block_stop", 0),
        ("content_block_start", 1),
        ("content_block_delta", 1),
        ("content_block_delta", 1),
        ("content_block_stop", 1),
        ("message_delta", None),
        ("message_stop", None),
    ]
    assert events[0]["message"]["usage"]["input_tokens"] == 6
    assert events[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert events[-2]["usage"] == {
        "input_tokens": 3,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 4,
        "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2},
        "output_tokens": 6,
        "output_tokens_details": {"thinking_tokens": 3},
    }


def test_free_text_for_a_tool_is_an_object_at_the_client() -> None:
    events = written(
        Opened(0, ToolUse("a", "f", 'say "', custom=True)), Grew(0, 'hi"\n'), Closed(0)
    )
    text = "".join(e["delta"]["partial_json"] for e in events if "delta" in e)
    assert json.loads(text) == {"input": 'say "hi"\n'}


def test_what_others_think_is_signed_with_their_name() -> None:
    events = written(
        Opened(0, Thinking()),
        Grew(0, "hm"),
        Signed(0, "sig", "generate"),
        Closed(0),
        Opened(1, Thinking(data="sealed", family="responses")),
        Closed(1),
    )
    assert events[1]["content_block"] == {"type": "thinking", "thinking": "", "signature": ""}
    assert events[3]["delta"] == {"type": "signature_delta", "signature": "generate:sig"}
    assert events[5]["content_block"] == {"type": "redacted_thinking", "data": "responses:sealed"}
    again = read_answer(
        json.dumps(
            {
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "generate:sig"},
                    {"type": "redacted_thinking", "data": "responses:sealed"},
                ]
            }
        ).encode()
    )
    assert again.parts == [
        Thinking("hm", "sig", family="generate"),
        Thinking(data="sealed", family="responses"),
    ]


def test_refusals_sources_and_things_of_other_dialects() -> None:
    events = written(
        Opened(0, Foreign("responses", "x", b"{}")),
        Closed(0),
        Opened(1, Refusal()),
        Grew(1, "no"),
        Cited(1, Citation(url="https://a.example", title="A")),
        Closed(1),
        Stopped("stop"),
        Ended(),
    )
    assert [e["type"] for e in events[1:]] == [
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[1]["index"] == 0
    assert events[3]["delta"]["citation"]["url"] == "https://a.example"
    assert events[-2]["delta"]["stop_reason"] == "refusal"


def test_an_answer_stopped_by_the_gateway_is_closed() -> None:
    translator = Interpreter(Reader(), Writer(BODY))
    out = translator.feed(
        told(start(input_tokens=3), block(0, type="text", text=""), delta(0, text="ab"))
    )
    events = read(out + translator.cut())
    assert [type(e) for e in events[-4:]] == [Closed, Stopped, Used, Ended]
    assert events[-3] == Stopped("length")


def test_a_whole_answer_keeps_the_bytes_of_arguments() -> None:
    answer = Answer("i", "m", [ToolUse("a", "f", '{"b":1.0,  "a":2}'), ToolUse("b", "g", "[1]")])
    raw = write_answer(BODY, answer)
    assert b'"input":{"b":1.0,  "a":2}' in raw
    assert msgspec.json.decode(raw)["content"][1]["input"] == {"arguments": "[1]"}
    assert msgspec.json.decode(raw)["usage"]["input_tokens"] == 0


def test_an_error_without_a_type_breaks_as_well() -> None:
    data = b'data: {"error":{"message":"why","code":500}}\n\n'
    assert isinstance(read(data)[-1], Broke)
    meter = MessagesMeter()
    meter.feed(data)
    assert meter.fault is not None


def test_a_second_beginning_changes_nothing() -> None:
    data = told(start(input_tokens=9), end(output_tokens=5), start(input_tokens=1), END)
    meter = MessagesMeter()
    meter.feed(data)
    assert meter.usage is not None
    assert (meter.usage.input, meter.usage.output) == (9, 5)
    assert sum(isinstance(event, Began) for event in read(data)) == 1


def test_usage_that_goes_down_is_a_problem() -> None:
    meter = MessagesMeter()
    meter.feed(told(start(input_tokens=9), end(output_tokens=5), end(output_tokens=4), END))
    assert meter.usage is not None
    assert meter.usage.problem == "usage went down within the stream"


def test_a_meter_counts_what_it_saw_until_the_figures_come() -> None:
    meter = MessagesMeter()
    meter.feed(told(start(input_tokens=9, output_tokens=1), block(0, type="text", text="")))
    for _ in range(7):
        meter.feed(told(delta(0, type="text_delta", text="abc")))
    assert meter.usage is not None
    assert (meter.usage.input, meter.usage.output) == (9, 7)
    ended = meter.cut()
    assert b'"stop_reason":"max_tokens"' in ended
    assert b'"output_tokens":7' in ended
