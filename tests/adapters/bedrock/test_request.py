"""Conversations are said in Converse as the vendor's own description of it allows, and what can't
be said is named."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from gateway.errors import Fault
from gateway.sdk.talk import (
    Citation,
    Foreign,
    Format,
    Losses,
    Media,
    Refusal,
    Talk,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from providers_plugins.bedrock import WIRE
from tests.adapters.bedrock.asking import (
    HELLO,
    LLAMA,
    MISTRAL,
    NEWEST,
    NOVA,
    NOVA2,
    OLDER,
    TOOL,
    said,
    turn,
)
from tests.adapters.bedrock.calls import CLAUDE, KEY, call


def test_the_plainest_conversation() -> None:
    body, lost = said(Talk("chat", messages=HELLO))
    assert body == {"messages": [{"role": "user", "content": [{"text": "hello"}]}]}
    assert lost == ()


def test_where_it_goes() -> None:
    whole = WIRE.build(call("a.b:0"), KEY, Talk("chat", messages=HELLO), Losses())
    streamed = WIRE.build(
        call("a.b:0", stream=True), KEY, Talk("chat", messages=HELLO, stream=True), Losses()
    )
    base = "https://bedrock-runtime.us-east-1.amazonaws.com/model/a.b%3A0"
    assert whole.url == f"{base}/converse"
    assert streamed.url == f"{base}/converse-stream"
    assert dict(whole.headers)["Authorization"] == "Bearer bedrock-key"


def test_turns_of_one_role_are_one_and_instructions_stand_in_front() -> None:
    body, lost = said(
        Talk(
            "chat",
            messages=[
                turn(Text("be brief", cache="5m"), role="system"),
                turn(Text("a")),
                turn(Text("b"), Text("")),
                turn(role="assistant"),
                turn(Text("be kind"), role="system"),
                turn(Text("c")),
            ],
        )
    )
    assert body["system"] == [
        {"text": "be brief"},
        {"cachePoint": {"type": "default"}},
        {"text": "be kind"},
    ]
    assert body["messages"] == [
        {"role": "user", "content": [{"text": "a"}, {"text": "b"}, {"text": "c"}]}
    ]
    assert lost == ("messages[].role",)


def test_what_the_provider_would_refuse_is_mended_and_named() -> None:
    talk = Talk(
        "messages", stop=[" ", "x"], tools=[Tool("a", schema=b"{}"), Tool("b", schema=b"null")]
    )
    body, lost = said(talk)
    assert body["inferenceConfig"] == {"stopSequences": ["x"]}
    assert [t["toolSpec"]["inputSchema"]["json"]["type"] for t in body["toolConfig"]["tools"]] == [
        "object",
        "object",
    ]
    assert lost == ("stop_sequences",)
    assert said(Talk("chat", stop=["\n"]), NOVA)[1] == ()
    signed = turn(ToolUse("i", "f", "{}", signature="s", family="generate"), role="assistant")
    _, lost = said(Talk("chat", messages=[turn(Text("q")), signed], tools=[TOOL]))
    assert lost == ("messages[].content[].signature",)


def test_blank_words_are_left_out_and_named() -> None:
    blank = [turn(Text(" \n", cache="5m"), Text("", cache="5m"), Text("a"))]
    body, lost = said(Talk("messages", messages=blank))
    assert body["messages"][0]["content"] == [{"text": "a"}]
    assert lost == ("messages[].content[].text", "messages[].content[].cache_control")
    loop = [
        turn(Text("q")),
        turn(Text("\n\n"), ToolUse("i", "f", "{}"), role="assistant"),
        turn(ToolResult("i", [Text("")])),
    ]
    body, _ = said(Talk("chat", messages=loop, tools=[TOOL]))
    assert [next(iter(b)) for b in body["messages"][1]["content"]] == ["toolUse"]
    assert body["messages"][2]["content"][0]["toolResult"]["content"] == []


def test_sampling() -> None:
    talk = Talk("chat", max_tokens=9, temperature=0.5, stop=["x"], top_k=4, top_p=0.9)
    body, lost = said(talk, NOVA)
    assert body["inferenceConfig"] == {
        "maxTokens": 9,
        "temperature": 0.5,
        "topP": 0.9,
        "stopSequences": ["x"],
    }
    assert body["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 4}}
    assert lost == ()
    body, lost = said(talk, OLDER)
    assert body["inferenceConfig"] == {"maxTokens": 9, "temperature": 0.5, "stopSequences": ["x"]}
    assert body["additionalModelRequestFields"] == {"top_k": 4}
    assert lost == ("top_p",)
    body, lost = said(talk, NEWEST)
    assert body["inferenceConfig"] == {"maxTokens": 9, "stopSequences": ["x"]}
    assert "additionalModelRequestFields" not in body
    assert set(lost) == {"temperature", "top_p", "top_k"}
    body, lost = said(Talk("chat", temperature=1.7), NOVA)
    assert body["inferenceConfig"] == {"temperature": 1.0}
    assert lost == ("temperature",)


def test_what_has_no_words_is_named_as_the_client_names_it() -> None:
    talk = Talk(
        "chat", n=2, seed=1, presence_penalty=0.1, frequency_penalty=0.2, logit_bias=b'{"1":2}',
        logprobs=True, top_logprobs=3, user="u", verbosity="low", cache_key="k", parallel=False,
        tools=[TOOL], service_tier="scale", metadata=b'{"a":1}',
        extra={"store": b"true", "modalities": b"null", "new_thing": b'{"z": 1}'},
    )  # fmt: skip
    body, lost = said(talk)
    assert set(lost) == {
        "n", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs",
        "top_logprobs", "user", "verbosity", "prompt_cache_key", "parallel_tool_calls",
        "service_tier", "metadata", "store",
    }  # fmt: skip
    assert body["additionalModelRequestFields"] == {"new_thing": {"z": 1}}
    quiet = Talk("chat", n=1, presence_penalty=0.0, logprobs=False, logit_bias=b"{}", parallel=True)
    assert said(quiet)[1] == ()
    assert said(Talk("messages", user="u"))[1] == ("metadata.user_id",)


def test_the_wires_own_members_go_through() -> None:
    extra = {
        "guardrailConfig": b'{"guardrailIdentifier":"g","guardrailVersion":"1"}',
        "performanceConfig": b'{"latency":"optimized"}',
        "additionalModelRequestFields": b'{"top_k": 1, "mine": [1,  2]}',
        "requestMetadata": b"null",
    }
    body, lost = said(
        Talk("chat", extra=extra, top_k=7, service_tier="flex", metadata=b'{"a":"b"}')
    )
    assert body["guardrailConfig"] == {"guardrailIdentifier": "g", "guardrailVersion": "1"}
    assert body["performanceConfig"] == {"latency": "optimized"}
    assert body["additionalModelRequestFields"] == {"top_k": 7, "mine": [1, 2]}
    assert body["serviceTier"] == {"type": "flex"}
    assert body["requestMetadata"] == {"a": "b"}
    assert lost == ()
    with pytest.raises(Fault, match="must be an object"):
        said(Talk("chat", extra={"additionalModelRequestFields": b"[1]"}))


def test_tools_keep_their_order_and_their_bytes() -> None:
    schema = b'{ "type":"object", "properties":{"b":{},"a":{}} }'
    talk = Talk(
        "chat",
        messages=HELLO,
        tools=[Tool("z", "", schema, cache="1h"), Tool("a", None), Tool("c", custom=True)],
        choice=ToolChoice("tool", "a"),
    )
    losses = Losses()
    raw = WIRE.build(call(), KEY, talk, losses).body
    assert schema in raw
    body, lost = said(talk)
    names = [tool.get("toolSpec", {}).get("name") for tool in body["toolConfig"]["tools"]]
    assert names == ["z", None, "a", "c"]
    free_text = body["toolConfig"]["tools"][3]["toolSpec"]["inputSchema"]["json"]
    assert list(free_text["properties"]) == ["input"]
    assert body["toolConfig"]["tools"][1] == {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert body["toolConfig"]["toolChoice"] == {"tool": {"name": "a"}}
    assert lost == ()


@pytest.mark.parametrize(
    ("choice", "expected"),
    [(None, None), ("auto", None), ("any", {"any": {}}), ("none", "no tools")],
)
def test_the_choice_among_tools(choice: Any, expected: Any) -> None:
    talk = Talk("chat", tools=[TOOL], choice=ToolChoice(choice) if choice else None)
    body, lost = said(talk)
    if expected == "no tools":
        assert "toolConfig" not in body
    else:
        assert body["toolConfig"].get("toolChoice") == expected
    assert lost == ()


def test_a_conversation_that_has_called_tools_needs_some() -> None:
    history = [
        turn(Text("go")),
        turn(ToolUse("id1", "f", '{"x": 1.50}'), ToolUse("id2", "g", ""), role="assistant"),
        turn(ToolResult("id1", [Text("r")]), ToolResult("id2", [Text("e")], error=True)),
    ]
    body, lost = said(Talk("chat", messages=history))
    assert [t["toolSpec"]["name"] for t in body["toolConfig"]["tools"]] == ["f", "g"]
    assert body["messages"][1]["content"] == [
        {"toolUse": {"toolUseId": "id1", "name": "f", "input": {"x": 1.5}}},
        {"toolUse": {"toolUseId": "id2", "name": "g", "input": {}}},
    ]
    assert body["messages"][2]["content"] == [
        {"toolResult": {"toolUseId": "id1", "content": [{"text": "r"}]}},
        {"toolResult": {"toolUseId": "id2", "content": [{"text": "e"}], "status": "error"}},
    ]
    assert lost == ()
    _, lost = said(Talk("chat", messages=history, tools=[TOOL], choice=ToolChoice("none")))
    assert lost == ("tool_choice",)


def test_arguments_travel_as_they_were_written() -> None:
    talk = Talk(
        "chat",
        messages=[
            turn(Text("go")),
            turn(
                ToolUse("a", "f", '{"n": 1.50, "b" :"x"}'),
                ToolUse("b", "f", "[1]"),
                ToolUse("c", "f", '{"broken'),
                role="assistant",
            ),
        ],
        tools=[TOOL],
    )
    raw = WIRE.build(call(), KEY, talk, Losses()).body
    assert b'"input":{"n": 1.50, "b" :"x"}' in raw
    body, _ = said(talk)
    inputs = [block["toolUse"]["input"] for block in body["messages"][1]["content"]]
    assert inputs[1:] == [{"input": "[1]"}, {"input": '{"broken'}]


def test_ids_of_calls_fit_the_model_and_still_match() -> None:
    talk = Talk(
        "chat",
        messages=[
            turn(Text("go")),
            turn(ToolUse("call|é", "f", "{}"), role="assistant"),
            turn(ToolResult("call|é", [Text("r")])),
        ],
        tools=[TOOL],
    )
    for upstream, length in ((CLAUDE, 40), (MISTRAL, 9)):
        body, _ = said(talk, upstream)
        use = body["messages"][1]["content"][0]["toolUse"]["toolUseId"]
        assert body["messages"][2]["content"][0]["toolResult"]["toolUseId"] == use
        assert len(use) == length
        assert use.isascii()


def test_media() -> None:
    data = base64.b64encode(b"bytes").decode()
    body, lost = said(
        Talk(
            "chat",
            messages=[
                turn(
                    Text("look"),
                    Media("image", "image/png", data),
                    Media("image", "image/jpeg", url="s3://b/k.jpg"),
                    Media("document", "application/pdf", data, name="my report.pdf", cite=True),
                    Media("document", "text/plain", text="words", name="my report.txt"),
                    Media("document", name="a_b&c.csv", data=data, context="ctx"),
                    Media("video", "video/quicktime", data),
                    Media("audio", "audio/wav", data),
                )
            ],
        )
    )
    content = body["messages"][0]["content"][1:]
    assert content[0] == {"image": {"format": "png", "source": {"bytes": data}}}
    assert content[1] == {
        "image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://b/k.jpg"}}}
    }
    assert content[2] == {
        "document": {
            "format": "pdf",
            "name": "my report",
            "source": {"bytes": data},
            "citations": {"enabled": True},
        }
    }
    words = base64.b64encode(b"words").decode()
    assert content[3]["document"] == {
        "format": "txt", "name": "my report 2", "source": {"bytes": words}
    }  # fmt: skip
    assert content[4]["document"]["name"] == "a-b-c"
    assert content[4]["document"]["context"] == "ctx"
    assert content[5]["video"]["format"] == "mov"
    assert content[6]["audio"]["format"] == "wav"
    assert lost == ("messages[].content[].filename",)


def test_media_that_cannot_be_said_is_named() -> None:
    body, lost = said(
        Talk(
            "chat",
            messages=[
                turn(
                    Text("x", citations=[Citation("u")]),
                    Media("image", url="https://example.com/a.png"),
                    Media("document", file_id="file-1"),
                    Media("image", "image/tiff", "AA=="),
                    Media("image", "image/png", "AA==", detail="high"),
                    Foreign("responses", "web_search_call", b"{}"),
                    Refusal("no"),
                )
            ],
        )
    )
    assert [next(iter(block)) for block in body["messages"][0]["content"]] == [
        "text", "image", "text",
    ]  # fmt: skip
    assert lost == tuple(
        f"messages[].content[].{name}"
        for name in ("citations", "image_url", "file_id", "image", "detail", "web_search_call")
    )


def test_cache_marks_become_points_where_they_are_known() -> None:
    talk = Talk("messages", messages=[turn(Text("a", cache="1h"), Text("b", cache="5m"))])
    body, lost = said(talk)
    assert body["messages"][0]["content"] == [
        {"text": "a"},
        {"cachePoint": {"type": "default", "ttl": "1h"}},
        {"text": "b"},
        {"cachePoint": {"type": "default"}},
    ]
    assert lost == ()
    assert said(talk, NOVA)[1] == ("messages[].content[].cache_control.ttl",)
    body, lost = said(talk, LLAMA)
    assert body["messages"][0]["content"] == [{"text": "a"}, {"text": "b"}]
    assert lost == ("messages[].content[].cache_control",)


def test_thoughts_go_back_only_to_those_who_signed_them() -> None:
    talk = Talk(
        "messages",
        messages=[
            turn(Text("q")),
            turn(
                Thinking("hm", signature="c2ln", family="messages"),
                Thinking(data="c2VhbGVk", family="messages"),
                Thinking("alien", signature="x", family="generate"),
                Text("a"),
                role="assistant",
            ),
        ],
    )
    body, lost = said(talk)
    sealed = base64.b64encode(b"c2VhbGVk").decode()
    assert body["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": sealed}},
        {"text": "a"},
    ]
    assert lost == ("messages[].content[].thinking",)
    body, _ = said(talk, NOVA2)
    assert body["messages"][1]["content"] == [{"text": "a"}]


def test_structured_output() -> None:
    schema = b'{"type": "object",  "properties": {}}'
    wanted = Format("schema", "n", schema, description="d")
    body, lost = said(Talk("chat", format=wanted))
    assert body["outputConfig"]["textFormat"] == {
        "type": "json_schema",
        "structure": {"jsonSchema": {"schema": schema.decode(), "name": "n", "description": "d"}},
    }
    assert lost == ()
    for upstream in (NEWEST, NOVA, "anthropic.claude-3-haiku-20240307-v1:0"):
        body, lost = said(Talk("chat", format=wanted), upstream)
        assert "outputConfig" not in body
        assert lost == ("response_format",)
    assert said(Talk("chat", format=Format("json")))[1] == ("response_format",)
