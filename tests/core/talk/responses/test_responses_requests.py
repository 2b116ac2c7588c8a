"""Requests of the Responses dialect: read, refused, and written for its wire."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.core.talk.model import (
    Foreign,
    Format,
    Losses,
    Media,
    Message,
    Talk,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from gateway.core.talk.responses import write_request
from gateway.domain import Credential
from gateway.errors import Fault
from gateway.sdk import Call
from gateway.sdk.responding import RESPONSES, RESPONSES_WIRE
from gateway.sdk.spoken import translated
from providers_plugins.openai import ADAPTER as OPENAI
from tests.core.talk.responses.speaking import asked, body, sent


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


def test_an_answer_that_comes_later_is_asked_for_now() -> None:
    """A background answer could neither be counted nor fetched; the client learns of it."""
    call = Call("responses", "up", "https://h.example/v1", body(background=True))
    request = OPENAI.operations["responses"].build(call, Credential("c"))
    assert "background" not in json.loads(request.body)
    assert request.adapted == ("background",)
