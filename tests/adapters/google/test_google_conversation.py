"""What a conversation becomes on this wire: turns, calls, results, signatures."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.sdk.talk import (
    Foreign,
    Format,
    Media,
    Message,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
)
from providers_plugins.google import GOOGLE, VERTEX
from tests.adapters.google.asking import BASE, KEY, UNSIGNED, sent, talk, written


def test_the_plainest_call() -> None:
    """Nothing is said that the client did not say; the key is a header and never in the URL."""
    request, lost = sent(talk())
    assert request.url == f"{BASE}/models/gemini-2.5-flash:generateContent"
    assert dict(request.headers) == {
        "Content-Type": "application/json",
        "x-goog-api-key": "AIzaCanary",
    }
    assert request.body == b'{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}'
    assert (request.method, lost) == ("POST", ())


def test_a_stream_is_asked_for_as_events() -> None:
    """Without `alt=sse` the provider answers with one long array."""
    request, _ = sent(talk(stream=True))
    assert request.url == f"{BASE}/models/gemini-2.5-flash:streamGenerateContent?alt=sse"


def test_a_whole_conversation() -> None:
    """Roles, order, calls, results, signatures and files, each in its place."""
    body, lost = written(
        talk(
            Message("system", [Text("Be brief.")]),
            Message("user", [Text("Look"), Media("image", mime="image/png", data="aWNv")]),
            Message(
                "assistant",
                [
                    Thinking("hm", signature="s1", family="generate"),
                    Text("I look."),
                    Thinking(signature="s2", family="generate"),
                    ToolUse("c1", "look", '{"b": 1,"a":2.50}', signature="s3", family="generate"),
                    ToolUse("c2", "wait", ""),
                ],
            ),
            Message(
                "user",
                [
                    ToolResult("c1", [Text('{"found": 1e2}')]),
                    ToolResult("c2", [Text("done")], error=True),
                    Text("And?"),
                ],
            ),
            Message("assistant", [Refusal("No.")]),
        )
    )
    assert body["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert body["contents"] == [
        {
            "role": "user",
            "parts": [
                {"text": "Look"},
                {"inlineData": {"mimeType": "image/png", "data": "aWNv"}},
            ],
        },
        {
            "role": "model",
            "parts": [
                {"text": "hm", "thought": True, "thoughtSignature": "s1"},
                {"text": "I look.", "thoughtSignature": "s2"},
                {
                    "functionCall": {"name": "look", "args": {"b": 1, "a": 2.5}, "id": "c1"},
                    "thoughtSignature": "s3",
                },
                {"functionCall": {"name": "wait", "args": {}, "id": "c2"}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "look", "id": "c1", "response": {"found": 100.0}}},
                {"functionResponse": {"name": "wait", "id": "c2", "response": {"error": "done"}}},
            ],
        },
        {"role": "user", "parts": [{"text": "And?"}]},
        {"role": "model", "parts": [{"text": "No."}]},
    ]
    assert lost == ()


def test_json_that_travels_stays_the_bytes_it_came_as() -> None:
    """Schemas, arguments and results keep their order, their spaces and their numbers."""
    schema = b'{"type": "object",\n "properties":{"z":{"type":"number"},"a":{}}, "$defs":{}}'
    arguments = '{"z": 1.500e0, "a":"\\u00e9"}'
    request, _ = sent(
        talk(
            Message("assistant", [ToolUse("c", "f", arguments)]),
            Message("user", [ToolResult("c", [Text(' {"y": 1.0} ')])]),
            tools=[Tool("f", schema=schema)],
            format=Format("schema", "out", schema=schema),
            extra={"unknownMember": b'{"k" : 1.0}'},
        )
    )
    assert request.body.count(schema) == 2
    assert b'"parametersJsonSchema":' + schema in request.body
    assert b'"responseJsonSchema":' + schema in request.body
    assert arguments.encode() in request.body
    assert b'"response":{"y": 1.0}' in request.body
    assert b'"unknownMember":{"k" : 1.0}' in request.body


@pytest.mark.parametrize(
    ("arguments", "args"),
    [
        ("", {}),
        ("  ", {}),
        ("[1]", {"arguments": "[1]"}),
        ("{broken", {"arguments": "{broken"}),
        ("null", {"arguments": "null"}),
        ("[" * 5000, {"arguments": "[" * 5000}),
        ('{"a":' * 5000, {"arguments": '{"a":' * 5000}),
    ],
)
def test_arguments_that_are_no_object(arguments: str, args: dict[str, Any]) -> None:
    """The provider takes objects alone, and a history is not refused for its arguments."""
    body, _ = written(talk(Message("assistant", [ToolUse("c", "f", arguments)])))
    assert body["contents"][0]["parts"][0]["functionCall"]["args"] == args


def test_results_find_the_name_of_their_tool() -> None:
    """By their own, by the call's, or at worst the id."""
    body, _ = written(
        talk(
            Message("assistant", [ToolUse("c1", "f"), ToolUse("c2", "g")]),
            Message(
                "user",
                [ToolResult("c2"), ToolResult("c1", name="other"), ToolResult("unheard")],
            ),
        )
    )
    answers = [it["functionResponse"] for it in body["contents"][1]["parts"]]
    assert [it["name"] for it in answers] == ["g", "other", "unheard"]
    assert answers[0]["response"] == {"result": ""}


def test_results_stand_together() -> None:
    """The provider wants as many in the turn as there were calls."""
    body, _ = written(
        talk(
            Message("assistant", [ToolUse("c1", "f"), ToolUse("c2", "g")]),
            Message("user", [ToolResult("c1")]),
            Message("user", [ToolResult("c2"), Text("so?")]),
            Message("user", [ToolResult("c3")]),
        )
    )
    assert [len(turn["parts"]) for turn in body["contents"]] == [2, 2, 1, 1]


def test_the_cloud_knows_no_ids_of_calls() -> None:
    """They are left out there, on both sides."""
    said = talk(
        Message("assistant", [ToolUse("c1", "f")]), Message("user", [ToolResult("c1", [Text("x")])])
    )
    for adapter, ids in ((GOOGLE, 2), (VERTEX, 0)):
        request, _ = sent(said, adapter, KEY)
        assert request.body.count(b'"id":"c1"') == ids


@pytest.mark.parametrize(
    ("model", "marked"),
    [
        ("gemini-3-pro-preview", True),
        ("gemini-3.1-flash-lite", True),
        ("gemini-flash-latest", True),
        ("gemini-2.5-pro", False),
        ("gemini-2.0-flash", False),
    ],
)
def test_a_lost_signature(model: str, marked: bool) -> None:
    """Later models refuse an unsigned call: its place is taken by the documented value, once."""
    calls = [ToolUse("a", "f"), ToolUse("b", "g")]
    body, lost = written(talk(Message("assistant", calls), model=model))
    first, second = body["contents"][0]["parts"]
    assert first.get("thoughtSignature") == (UNSIGNED if marked else None)
    assert "thoughtSignature" not in second
    assert lost == ()
    signed = [ToolUse("a", "f"), ToolUse("b", "g", signature="s", family="generate")]
    body, _ = written(talk(Message("assistant", signed), model=model))
    assert [p.get("thoughtSignature") for p in body["contents"][0]["parts"]] == [None, "s"]


def test_signatures_of_others_do_not_come_here() -> None:
    """Nor do their thoughts; both are named."""
    body, lost = written(
        talk(
            Message(
                "assistant",
                [
                    Thinking("secret", signature="x", family="messages"),
                    Text("said"),
                    ToolUse("c", "f", signature="y", family="responses"),
                ],
            ),
            model="gemini-3-flash",
        )
    )
    parts = body["contents"][0]["parts"]
    assert [list(part) for part in parts] == [["text"], ["functionCall", "thoughtSignature"]]
    assert parts[1]["thoughtSignature"] == UNSIGNED
    assert lost == ("thinking", "signature")


def test_instructions_in_odd_places() -> None:
    """Later ones are turns; alone they are a turn; models that know none get them first."""
    body, _ = written(
        talk(
            Message("system", [Text("a")]),
            Message("user", [Text("b")]),
            Message("system", [Text("c")]),
        )
    )
    assert body["systemInstruction"] == {"parts": [{"text": "a"}]}
    assert [it["parts"][0]["text"] for it in body["contents"]] == ["b", "c"]
    alone, _ = written(talk(Message("system", [Text("a")])))
    assert alone == {"contents": [{"role": "user", "parts": [{"text": "a"}]}]}
    open_model, _ = written(
        talk(Message("system", [Text("a")]), Message("user", [Text("b")]), model="gemma-3-27b-it")
    )
    assert "systemInstruction" not in open_model
    assert [it["parts"][0]["text"] for it in open_model["contents"]] == ["a", "b"]


def test_parts_of_this_wire_go_back_as_they_came() -> None:
    """Code that ran, and the signature beside it."""
    raw = b'{"executableCode":{"code":"1 + 1","language":"PYTHON"},"thoughtSignature":"s"}'
    request, lost = sent(talk(Message("assistant", [Foreign("generate", "executableCode", raw)])))
    assert raw in request.body
    assert lost == ()
