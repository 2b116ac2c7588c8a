"""The Responses dialect without recordings: requests, streams, failures, and hostile bytes."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent

from gateway.core.body import JsonBody
from gateway.core.sse import MAX_EVENT
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
from gateway.core.talk.model import (
    Answer,
    Citation,
    Foreign,
    Format,
    Losses,
    Media,
    Message,
    Refusal,
    Talk,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from gateway.core.talk.responses import (
    Reader,
    ResponsesMeter,
    Writer,
    error_event,
    read_answer,
    read_request,
    write_answer,
    write_request,
)
from gateway.core.talk.responses.reader import MAX_PARTS
from gateway.domain import Credential, Usage
from gateway.errors import UPSTREAM_ERROR, Fault
from gateway.sdk import Call
from gateway.sdk.responding import RESPONSES, RESPONSES_WIRE
from gateway.sdk.spoken import translated
from providers_plugins.openai import ADAPTER as OPENAI

EVENTS = {
    get_args(shape.model_fields["type"].annotation)[0]: shape
    for shape in get_args(get_args(ResponseStreamEvent)[0])
}
USAGE = Usage(input=9, output=5, cached=4, cache_write=2, reasoning=1)
TELLING: list[Event] = [
    Began("gen-1", "model-x", 7),
    Opened(0, Thinking(id="rs_given")),
    Grew(0, "hmm"),
    Signed(0, "sealed", "responses"),
    Closed(0),
    Opened(1, Text()),
    Grew(1, "Hello\n"),
    Opened(2, ToolUse("call_1", "look")),
    Grew(2, '{"a":'),
    Grew(1, "there"),
    Cited(1, Citation(url="https://a.example", title="A")),
    Grew(2, "1}"),
    Closed(1),
    Closed(2),
    Opened(3, ToolUse("call_2", "run", custom=True)),
    Grew(3, "ls"),
    Closed(3),
    Opened(4, Refusal()),
    Grew(4, "no"),
    Closed(4),
    Stopped("tool"),
    Used(USAGE),
    Ended(),
]


def body(**members: Any) -> JsonBody:
    return JsonBody.parse(json.dumps({"model": "m", "input": "hi"} | members).encode())


def asked(**members: Any) -> tuple[Talk, tuple[str, ...]]:
    losses = Losses()
    return read_request(body(**members), losses), losses.names


def sent(talk: Talk) -> tuple[dict[str, Any], tuple[str, ...]]:
    losses = Losses()
    return json.loads(write_request(talk, losses)), losses.names


def stream(*events: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def heard(data: bytes) -> list[Event]:
    reader = Reader()
    return [*reader.feed(data), *reader.finish()]


def payloads(out: bytes) -> list[dict[str, Any]]:
    """Every event; its name is its type, and its data stands on one line."""
    found = []
    for event in out.decode().split("\n\n")[:-1]:
        name, data = event.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def test_written_events_are_those_of_the_official_client() -> None:
    """Each is of the type it says, they are numbered, and the last holds the whole answer."""
    writer = Writer(
        JsonBody(
            b'{"model":"m",\n "tools":[\n{"type":"function","name":"look",'
            b'"parameters":null,"strict":false}],"temperature":null}'
        )
    )
    told = payloads(b"".join(writer.write(event) for event in TELLING))
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    for event in told:
        EVENTS[event["type"]].model_validate(event)
    whole = Response.model_validate_json(writer.final)
    assert told[-1]["response"] == json.loads(writer.final)
    assert whole.id == "resp_gen-1"
    assert [item.type for item in whole.output] == [
        "reasoning",
        "message",
        "function_call",
        "custom_tool_call",
        "message",
    ]
    assert whole.usage is not None
    assert json.loads(writer.final)["usage"] == {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 14,
    }


def test_a_written_stream_is_read_as_the_same_answer() -> None:
    writer = Writer(body())
    out = b"".join(writer.write(event) for event in TELLING)
    again = [event for event in heard(out) if not isinstance(event, Closed | Opened | Grew)]
    assert [type(event) for event in again] == [Began, Signed, Cited, Stopped, Used, Ended]
    answer = read_answer(writer.final)
    assert [getattr(part, "text", None) for part in answer.parts] == [
        "hmm",
        "Hello\nthere",
        None,
        None,
        "no",
    ]
    assert isinstance(answer.parts[0], Thinking)
    assert (answer.parts[0].signature, answer.parts[0].id) == ("sealed", "rs_given")


def test_a_cut_answer_is_closed_and_incomplete() -> None:
    """The interpreter cuts with parts open: they are closed, and the response says why."""
    writer = Writer(body())
    out = b"".join(map(writer.write, [*TELLING[:7], Stopped("length"), Used(USAGE), Ended()]))
    told = payloads(out)
    assert told[-1]["type"] == "response.incomplete"
    assert told[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert told[-1]["response"]["output"][1]["status"] == "incomplete"
    kinds = [event["type"] for event in told]
    assert kinds.count("response.output_item.added") == kinds.count("response.output_item.done")


@pytest.mark.parametrize(
    "thought",
    [
        Thinking("t", signature="theirs", family="messages"),
        Thinking("", data="c2VhbGVk", family="messages"),
        Thinking("t", signature="theirs:too", family="generate"),
        Thinking("t", signature="ours", family="responses"),
        Thinking("t"),
    ],
)
def test_a_thought_goes_through_a_client_and_back(thought: Thinking) -> None:
    """What proves it, and to which family, survives; nobody else's proof passes for this wire's."""
    shown = json.loads(write_answer(body(), Answer("x", "m", [thought])))
    talk, _ = asked(input=shown["output"])
    (back,) = talk.messages[0].parts
    assert isinstance(back, Thinking)
    assert (back.text, back.signature, back.data, back.family) == (
        thought.text, thought.signature, thought.data, thought.family,
    )  # fmt: skip
    assert (thought.family == "responses") == (
        shown["output"][0].get("encrypted_content") == "ours"
    )


def test_a_signed_call_goes_through_a_client_and_back() -> None:
    """A call's proof stands beside it."""
    call = ToolUse("c", "f", "{}", signature="sig", family="generate")
    shown = json.loads(write_answer(body(), Answer("x", "m", [call])))
    talk, _ = asked(input=shown["output"])
    assert talk.messages[0].parts == [call]


def test_a_request_is_read_whole() -> None:
    """Every member that the form can hold is held; the rest is lost by name or goes through."""
    talk, lost = asked(
        instructions="Be brief.",
        input=[
            {"role": "developer", "content": "D"},
            {"role": "user", "content": [{"type": "input_text", "text": "U"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "E"},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"b":1, "a":2}'},
            {"type": "function_call_output", "call_id": "c", "output": "done"},
            {
                "role": "user",
                "content": [
                    {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
                    {"type": "input_file", "file_id": "file_1"},
                ],
            },
            {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        ],
        tools=[
            {"type": "function", "name": "f", "parameters": {"z": 1, "a": 2}, "strict": True},
            {"type": "web_search"},
        ],
        tool_choice={"type": "function", "name": "f"},
        reasoning={"effort": "low", "summary": "auto", "odd": 1},
        text={"format": {"type": "json_schema", "name": "n", "schema": {"b": 1, "a": 2}}},
        max_tool_calls=3,
        truncation="auto",
        background=True,
        include=["reasoning.encrypted_content", "message.output_text.logprobs"],
        frontier={"new": True},
    )
    assert [message.role for message in talk.messages] == [
        "system",
        "user",
        "assistant",
        "user",
        "assistant",
    ]
    assert talk.messages[0].parts == [Text("Be brief."), Text("D")]
    assert talk.messages[2].parts == [
        Thinking("", signature="E", family="responses", id="rs_1"),
        ToolUse("c", "f", '{"b":1, "a":2}'),
    ]
    assert talk.messages[3].parts == [
        ToolResult("c", [Text("done")]),
        Media("image", "image/png", "AA=="),
        Media("document", file_id="file_1"),
    ]
    assert isinstance(talk.tools[0], Tool)
    assert talk.tools[0].schema == b'{"z": 1, "a": 2}'
    assert isinstance(talk.tools[1], Foreign)
    assert talk.choice == ToolChoice("tool", "f")
    assert talk.format == Format("schema", "n", b'{"b": 1, "a": 2}')
    assert (talk.effort, talk.summary) == ("low", "auto")
    assert talk.extra == {"frontier": b'{"new": true}'}
    assert set(lost) == {
        "max_tool_calls",
        "truncation",
        "background",
        "include[1]",
        "reasoning.odd",
    }


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"previous_response_id": "resp_x"}, "previous_response_id"),
        ({"conversation": "conv_x"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"input": 5}, "input"),
        ({"input": [5]}, "input[0]"),
        ({"input": [{"role": "root", "content": "x"}]}, "input[0]"),
        ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
        ({"input": [{"type": "item_reference", "id": "rs"}]}, "input[0]"),
        ({"max_output_tokens": "many"}, "max_output_tokens"),
        ({"tools": [7]}, "tools[0]"),
        ({"tool_choice": "perhaps"}, "tool_choice"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(members: dict[str, Any], param: str) -> None:
    with pytest.raises(Fault) as refused:
        asked(**members)
    assert refused.value.kind.status == 400
    assert refused.value.param == param


def test_a_chat_is_asked_over_this_wire() -> None:
    """What the wire can't say is lost by the client's own name."""
    talk = Talk(
        "chat",
        "up",
        [
            Message("system", [Text("S")]),
            Message("user", [Text("U"), Media("image", url="https://i.example/a.png")]),
            Message("assistant", [Thinking("t", "sig", family="messages"), Text("A")]),
            Message("assistant", [ToolUse("c", "f", "")]),
            Message("user", [ToolResult("c", [Text("r")], error=True)]),
        ],
        tools=[Tool("f", schema=b'{"z":1,"a":2}')],
        choice=ToolChoice("any"),
        max_tokens=5,
        stop=["x"],
        n=2,
        seed=1,
        effort="max",
        stream=True,
        extra={"frontier": b"[1, 2]"},
    )
    said, lost = sent(talk)
    assert [item.get("role", item["type"]) for item in said["input"]] == [
        "system",
        "user",
        "assistant",
        "function_call",
        "function_call_output",
    ]
    assert said["input"][3]["arguments"] == "{}"
    assert said["tools"] == [
        {"type": "function", "name": "f", "parameters": {"z": 1, "a": 2}, "strict": False}
    ]
    assert said["tool_choice"] == "required"
    assert said["max_output_tokens"] == 16
    assert (said["store"], said["include"], said["stream"], said["frontier"]) == (
        False,
        ["reasoning.encrypted_content"],
        True,
        [1, 2],
    )
    assert set(lost) == {
        "messages.reasoning_content",
        "messages.content.is_error",
        "max_tokens",
        "reasoning_effort",
        "stop",
        "n",
        "seed",
    }
    assert b'{"z":1,"a":2}' in write_request(talk, Losses())


def test_sealed_thoughts_go_back_as_they_came() -> None:
    thought = Thinking("t", signature="SEAL", family="responses", id="rs_1")
    said, lost = sent(Talk("messages", "m", [Message("assistant", [thought])]))
    assert lost == ()
    assert said["input"] == [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "t"}],
            "encrypted_content": "SEAL",
        }
    ]


def test_models_of_this_api_alone_are_reached_from_other_dialects() -> None:
    """A route's option says so; the adapter's wire then serves it."""
    assert OPENAI.native is not None
    assert not OPENAI.native("chat", "m", {"api": "responses"})
    assert OPENAI.native("chat", "m", {})
    assert OPENAI.native("responses", "m", {"api": "responses"})
    operation = translated(RESPONSES, RESPONSES_WIRE)
    call = Call("responses", "up", "https://h.example/v1", body(max_tool_calls=1))
    request = operation.build(call, Credential("c", {"api_key": "k"}))
    assert request.url == "https://h.example/v1/responses"
    assert request.adapted == ("max_tool_calls",)
    assert json.loads(request.body)["model"] == "up"
    native = OPENAI.operations["responses"].build(call, Credential("c", {"api_key": "k"}))
    assert native.body == call.body.replace({"model": b'"up"'}).raw


CREATED = {"type": "response.created", "response": {"id": "resp_1", "model": "m", "created_at": 1}}
DELTA = {
    "type": "response.output_text.delta",
    "output_index": 0,
    "content_index": 0,
    "item_id": "msg_1",
    "delta": "hi",
}


def completed(**members: Any) -> dict[str, Any]:
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    response = {"id": "resp_1", "status": "completed", "output": [], "usage": usage} | members
    return {"type": "response.completed", "response": response}


def test_an_answer_without_a_single_delta_is_told() -> None:
    """Some hosts stream nothing but the end."""
    item = {"type": "message", "content": [{"type": "output_text", "text": "all"}]}
    events = heard(stream(CREATED, completed(output=[item])))
    assert [event.text for event in events if isinstance(event, Grew)] == ["all"]
    assert isinstance(events[-1], Ended)


def test_the_last_of_the_arguments_is_told_at_the_end() -> None:
    item = {"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": ""}
    delta = {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": '{"a"'}
    done = {
        "type": "response.output_item.done",
        "output_index": 0,
        "item": item | {"arguments": '{"a":1}'},
    }
    added = {"type": "response.output_item.added", "output_index": 0, "item": item}
    events = heard(stream(CREATED, added, delta, done, completed()))
    assert "".join(event.text for event in events if isinstance(event, Grew)) == '{"a":1}'
    assert Stopped("tool") in events


def test_a_host_that_gives_ids_alone_is_understood() -> None:
    delta = {"type": "response.output_text.delta", "item_id": "m1", "delta": "a"}
    other = {"type": "response.output_text.delta", "item_id": "m2", "delta": "b"}
    events = heard(stream(CREATED, delta, other, delta, completed()))
    assert [(e.index, e.text) for e in events if isinstance(e, Grew)] == [
        (0, "a"),
        (1, "b"),
        (0, "a"),
    ]


@pytest.mark.parametrize(
    "failure",
    [
        {"type": "response.failed", "response": {"error": {"code": "x", "message": "why"}}},
        {"type": "error", "code": "x", "message": "why"},
        {"type": "error", "error": {"code": "x", "message": "why"}},
        {"error": {"code": "x", "message": "why"}},
        {"type": "response.failed"},
        {"type": "response.completed", "response": 5},
    ],
)
def test_a_failure_inside_the_stream_breaks_it(failure: dict[str, Any]) -> None:
    data = stream(CREATED, DELTA, failure, DELTA, completed())
    events = heard(data)
    assert isinstance(events[-1], Broke)
    assert not any(isinstance(event, Stopped | Ended) for event in events)
    meter = ResponsesMeter()
    assert meter.feed(data) + meter.finish() == data
    if failure["type" if "type" in failure else "error"] != "response.completed":
        assert meter.fault is not None


def test_an_end_too_large_to_read_is_still_an_end() -> None:
    """Pictures make the last event larger than any that is read; its usage is still billed."""
    big = completed(output=[{"type": "image_generation_call", "result": "A" * (MAX_EVENT + 99)}])
    data = stream(CREATED, DELTA, big)
    for size in (len(data), 65_536):
        chunks = [data[at : at + size] for at in range(0, len(data), size)]
        reader, meter = Reader(), ResponsesMeter()
        events = [event for chunk in chunks for event in reader.feed(chunk)]
        assert events[-3] == Stopped("stop")
        assert isinstance(events[-2], Used)
        assert (events[-2].usage.input, events[-2].usage.output) == (3, 2)
        assert events[-1] == Ended()
        assert b"".join(map(meter.feed, chunks)) == data
        assert meter.complete
        assert meter.usage is not None
        assert meter.usage.output == 2


def test_a_stream_that_opens_no_end_of_parts_is_bounded() -> None:
    reader = Reader()
    for place in range(MAX_PARTS + 50):
        list(reader.feed(stream(DELTA | {"output_index": place})))
    assert len(reader._slots) == MAX_PARTS


def test_the_meter_cuts_with_a_proper_end() -> None:
    """What was said so far is in it, and the official client takes it."""
    meter = ResponsesMeter()
    response = json.loads(write_answer(body(), Answer("resp_1", "m"))) | {"status": "in_progress"}
    created = {"type": "response.created", "response": response, "sequence_number": 0}
    meter.feed(stream(created, DELTA | {"sequence_number": 4}))
    (end,) = payloads(meter.cut())
    EVENTS["response.incomplete"].model_validate(end)
    assert end["sequence_number"] == 5
    assert end["response"]["output"][0]["content"][0]["text"] == "hi"
    assert end["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert json.loads(meter.final) == end["response"]


def test_a_cut_survives_what_the_provider_said_twice() -> None:
    meter = ResponsesMeter()
    meter.feed(b'data: {"type":"response.created","response":{"id":"a","id":"b","status":1}}\n\n')
    (end,) = payloads(meter.cut())
    assert (end["response"]["id"], end["response"]["status"]) == ("b", "incomplete")


def test_an_answer_that_comes_later_is_asked_for_now() -> None:
    """A background answer could neither be counted nor fetched; the client learns of it."""
    call = Call("responses", "up", "https://h.example/v1", body(background=True))
    request = OPENAI.operations["responses"].build(call, Credential("c"))
    assert "background" not in json.loads(request.body)
    assert request.adapted == ("background",)


def test_an_error_event_is_that_of_the_official_client() -> None:
    (said,) = payloads(error_event(Fault(UPSTREAM_ERROR, "It broke."), 3))
    EVENTS["error"].model_validate(said)
    assert (said["message"], said["sequence_number"]) == ("It broke.", 3)


NAMES = st.sampled_from(
    [
        "response.created",
        "response.output_item.added",
        "response.output_item.done",
        "response.content_part.added",
        "response.content_part.done",
        "response.output_text.delta",
        "response.output_text.annotation.added",
        "response.reasoning_text.delta",
        "response.function_call_arguments.delta",
        "response.completed",
        "response.failed",
        "error",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "id",
                    "content",
                    "text",
                    "summary",
                    "arguments",
                    "output",
                    "usage",
                    "status",
                ]
            ),
            inner | st.sampled_from(["message", "reasoning", "function_call", "output_text"]),
            max_size=5,
        )
    ),
    max_leaves=12,
)
HOSTILE = st.lists(
    st.fixed_dictionaries(
        {"type": NAMES},
        optional={
            "output_index": st.integers(-1, 2) | JSON,
            "content_index": st.integers(-1, 2) | JSON,
            "item": JSON,
            "part": JSON,
            "delta": JSON,
            "response": JSON,
            "annotation": JSON,
        },
    ),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(HOSTILE, st.integers(1, 7))
def test_no_stream_is_hostile_enough(events: list[dict[str, Any]], step: int) -> None:
    """Nothing raises; the contract's order holds; what is written of it is well formed."""
    data = stream(*events)
    whole = heard(data)
    reader, meter, writer = Reader(), ResponsesMeter(), Writer(body())
    parts = [data[at : at + step] for at in range(0, len(data), step)]
    split = [event for part in parts for event in reader.feed(part)] + list(reader.finish())
    assert repr(split) == repr(whole)
    assert b"".join([*map(meter.feed, parts), meter.finish()]) == data
    payloads(b"".join(writer.write(event) for event in whole))
    payloads(meter.cut())
    opened: set[int] = set()
    for event in whole:
        if isinstance(event, Opened):
            opened.add(event.index)
        elif isinstance(event, Closed):
            opened.remove(event.index)
        elif isinstance(event, Grew | Signed | Cited):
            assert event.index in opened
        elif isinstance(event, Stopped):
            assert not opened


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_are_hostile_enough(data: bytes) -> None:
    heard(data)
    meter = ResponsesMeter()
    meter.feed(data)
    meter.finish()
    try:
        read_answer(data)
    except Fault:
        pass


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(["input", "tools", "text", "reasoning", "include"]), JSON))
def test_no_request_is_hostile_enough(members: dict[str, Any]) -> None:
    """A request is read and written, or refused as the client's mistake."""
    losses = Losses()
    try:
        talk = read_request(JsonBody.parse(json.dumps(members).encode()), losses)
    except Fault as fault:
        refused = fault
    else:
        json.loads(write_request(talk, losses))
        return
    assert refused.kind.status == 400
