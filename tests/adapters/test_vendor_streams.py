"""How each vendor is heard, whole and streamed, where no recording shows it.

MiniMax and Moonshot were never recorded: their bodies here are fakes written after the fact sheet.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.sdk import Call, JsonBody
from providers_plugins import groq, minimax, mistral, moonshot, openrouter, zhipu
from tests.adapters.vendors import event, message_of, played


@settings(max_examples=150, deadline=None)
@given(
    thought=st.text(alphabet="ab</think>\n ", max_size=30),
    text=st.text(alphabet="xy<think>/\n", max_size=30),
    cuts=st.lists(st.integers(0, 90), max_size=12),
)
def test_think_tags_split_anywhere(thought: str, text: str, cuts: list[int]) -> None:
    """Tags that span chunks are found; the words on both sides are whole."""
    thought = thought.replace("</think>", "").strip()
    told = f"<think>\n{thought}</think>\n\n{text}"
    at = sorted({min(cut, len(told)) for cut in cuts})
    parts = [told[a:b] for a, b in zip([0, *at], [*at, len(told)], strict=True)]
    raw = b"".join(event({"content": part}) for part in parts) + event({}, "stop")
    whole = played(minimax.ADAPTER, [raw + b"data: [DONE]\n\n"])
    assert message_of(whole[0]) == (text.lstrip("\n"), thought, ["stop"])
    assert whole[2] is True
    assert played(minimax.ADAPTER, [bytes([b]) for b in raw + b"data: [DONE]\n\n"]) == whole


def test_tags_inside_an_answer_are_words() -> None:
    """Only the beginning of an answer may be a thought."""
    raw = event({"content": "Use "}) + event({"content": "<think>x</think>"}, "stop")
    assert message_of(played(minimax.ADAPTER, [raw])[0]) == ("Use <think>x</think>", "", ["stop"])


def test_what_was_held_back_comes_at_the_end() -> None:
    """A stream that ends on what might have been a tag gives it out, in front of its end mark."""
    raw = event({"content": "<thi"}) + b"data: [DONE]\n\n"
    out = played(minimax.ADAPTER, [raw])[0]
    assert message_of(out)[0] == "<thi"
    assert out.count(b'"id":"i"') + out.count(b'"id": "i"') == 2
    assert out.endswith(b"data: [DONE]\n\n")


def test_minimax_details_are_thoughts() -> None:
    """Asked apart, thinking comes as details; they stay beside the text that is made of them."""
    details = [{"type": "reasoning.text", "text": "hm"}]
    raw = event({"content": "", "reasoning_details": details}) + event({"content": "x"}, "stop")
    out = played(minimax.ADAPTER, [raw])[0]
    assert message_of(out) == ("x", "hm", ["stop"])
    assert b'"reasoning_details"' in out


def test_minimax_fails_inside_a_stream() -> None:
    """A chunk with an error code is the end, and its kind is the code's."""
    good = event({"content": "x"}, base_resp={"status_code": 0, "status_msg": ""})
    bad = b'data: {"choices":[],"base_resp":{"status_code":1002,"status_msg":"rate"}}\n\n'
    out, _, complete, fault = played(minimax.ADAPTER, [good, bad, event({"content": "never"})])
    assert (message_of(out)[0], complete, fault) == ("x", False, "provider_rate_limit")


def test_moonshot_tells_usage_in_a_choice() -> None:
    """Usage is found on the last choice, with its cached tokens at the top."""
    adapter = moonshot.ADAPTER
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11, "cached_tokens": 4}
    found = adapter.operations["chat"].usage(json.dumps(usage).encode())
    assert (found.input, found.output, found.cached, found.problem) == (9, 2, 4, "")


def test_groq_usage_beside_the_usual_place() -> None:
    """Usage in `x_groq` alone is found, in whole answers too; the usual place comes first."""
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    choice = {"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}
    said = {"choices": [choice], "x_groq": {"id": "r", "usage": usage}}
    call = Call("chat", "up", "https://h", JsonBody.parse(b"{}"))
    parse = groq.ADAPTER.operations["chat"].parse
    reply = parse(call, 200, {}, json.dumps(said).encode())  # type: ignore[operator]
    assert (reply.usage.input, reply.usage.output) == (9, 2)
    assert json.loads(reply.body)["usage"] == usage
    both = {**said, "usage": {**usage, "prompt_tokens": 8, "total_tokens": 10}}
    raw = json.dumps(both).encode()
    reply = parse(call, 200, {}, raw)  # type: ignore[operator]
    assert (reply.usage.input, reply.body) == (8, raw)


REASONS = [
    (zhipu, "sensitive", "content_filter"),
    (zhipu, "model_context_window_exceeded", "length"),
    (mistral, "model_length", "length"),
    (openrouter, "eos", "stop"),
]


@pytest.mark.parametrize(("module", "theirs", "ours"), REASONS)
def test_reasons(module: Any, theirs: str, ours: str) -> None:
    """A reason that OpenAI lacks is told by one it has, beside its own name."""
    raw = event({}, theirs)
    out = played(module.ADAPTER, [raw + b"data: [DONE]\n\n"])[0]
    assert message_of(out)[2] == [ours]
    assert b'"native_finish_reason":"%s"' % theirs.encode() in out
