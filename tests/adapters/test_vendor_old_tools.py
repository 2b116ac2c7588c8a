"""Functions, the old form of tools: sent to each vendor as tools, answered as they were asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.sdk import Call, JsonBody
from providers_plugins import alibaba, deepseek, minimax, moonshot, zhipu
from tests.adapters.vendors import KEY, NORMALISED, OLD_CALL, USER, event, wrote

OLD: dict[str, Any] = {
    "functions": [{"name": "f", "parameters": {"type": "object"}}],
    "function_call": {"name": "f"},
    "messages": [
        USER,
        {"role": "assistant", "content": None, "function_call": OLD_CALL},
        {"role": "function", "name": "f", "content": "42"},
    ],
}


@pytest.mark.parametrize("module", NORMALISED)
def test_the_old_form_of_tools(module: Any) -> None:
    """Functions become tools, calls get ids that their results share; schemas keep their bytes."""
    sent, lost = wrote(module.ADAPTER, **OLD)
    assert sent["tools"] == [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    ]
    assert "functions" not in sent
    assert "function_call" not in sent
    said = ("functions",) if module in (alibaba, moonshot) else ()
    if module is minimax:
        assert lost == ("tool_choice",)
    else:
        assert lost == said
        assert sent["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    called, told = sent["messages"][1:]
    (call,) = called["tool_calls"]
    assert call == {
        "id": call["id"],
        "type": "function",
        "function": OLD["messages"][1]["function_call"],
    }  # type: ignore[index]
    assert told == {"role": "tool", "tool_call_id": call["id"], "content": "42"}
    assert "function_call" not in called
    assert len(call["id"]) == 9


def test_old_calls_keep_their_bytes() -> None:
    """Neither a schema nor arguments are written anew."""
    raw = b'{"model":"m","functions":[{ "name":"f","parameters":{"b":1.0,"a":2e1} }],"messages":[]}'
    call = Call("chat", "up", "https://h", JsonBody.parse(raw))
    sent = zhipu.ADAPTER.operations["chat"].build(call, KEY).body
    assert b'"function":{ "name":"f","parameters":{"b":1.0,"a":2e1} }}]' in sent


def test_old_clients_are_answered_in_the_old_form() -> None:
    """The first call as a function call, whole and streamed; other calls stay beside it."""
    call = Call("chat", "up", "https://h", JsonBody.parse(b'{"functions":[]}'), stream=True)
    operation = zhipu.ADAPTER.operations["chat"]
    called = [{"index": at, "id": f"c{at}", "function": OLD_CALL} for at in range(2)]
    message = {"role": "assistant", "tool_calls": called}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    raw = json.dumps({"choices": [choice]}).encode()
    told = json.loads(operation.parse(call, 200, {}, raw).body)["choices"][0]  # type: ignore[operator]
    assert told["message"] == {**message, "function_call": OLD_CALL}
    assert told["finish_reason"] == "function_call"
    stream = operation.stream(call)  # type: ignore[operator]
    grown = {"tool_calls": [{"index": 0, "function": {"arguments": "x"}}]}
    second = {"tool_calls": [{"index": 1, "function": {"arguments": "y"}}]}
    out = stream.feed(event(grown) + event(second) + event({}, "tool_calls"))
    chunks = [json.loads(line[6:])["choices"][0] for line in out.decode().splitlines() if line]
    assert chunks[0]["delta"] == {**grown, "function_call": {"arguments": "x"}}
    assert chunks[1]["delta"] == second
    assert chunks[2]["finish_reason"] == "function_call"
    new = Call("chat", "up", "https://h", JsonBody.parse(b'{"tools":[]}'), stream=True)
    assert operation.stream(new).feed(event(grown)) == event(grown)  # type: ignore[operator]


def test_old_tools_that_say_nothing() -> None:
    """A choice among no functions is left out, and named where it demanded one."""
    assert wrote(zhipu.ADAPTER, function_call="auto") == ({}, ())
    assert wrote(zhipu.ADAPTER, function_call={"name": "f"}) == ({}, ("function_call",))
    assert wrote(zhipu.ADAPTER, functions="odd") == ({}, ("functions",))
    both = {"functions": [{"name": "f"}], "tools": [{"type": "function"}]}
    assert wrote(deepseek.ADAPTER, **both) == ({"tools": [{"type": "function"}]}, ("functions",))
