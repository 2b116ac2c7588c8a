"""Whole answers of Converse: what a hostile or odd one becomes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Fault
from gateway.sdk.talk import Answer, Citation, Foreign, Media, Text, ToolUse
from providers_plugins.bedrock import WIRE
from tests.adapters.bedrock.calls import call


def read(content: Any, **more: Any) -> Answer:
    said = {"output": {"message": {"role": "assistant", "content": content}}, **more}
    return WIRE.read(call(), {}, json.dumps(said).encode())


def test_arguments_are_the_models_own_bytes() -> None:
    body = (
        b'{"output":{"message":{"content":[{"toolUse":{"toolUseId":"i","name":"f",'
        b'"input":{"n": 1.50,  "b":"\\u00e9"}}}]}},"stopReason":"tool_use"}'
    )
    (part,) = WIRE.read(call(), {}, body).parts
    assert part == ToolUse("i", "f", '{"n": 1.50,  "b":"\\u00e9"}')


def test_citations_keep_their_places() -> None:
    citation = {
        "title": "T",
        "location": {"documentChar": {"documentIndex": 0, "start": 2, "end": 9}},
        "sourceContent": [{"text": "quo"}, {"text": "te"}],
    }
    web = {"location": {"web": {"url": "https://u", "domain": "d"}}}
    content = [{"citationsContent": {"content": [{"text": "a"}], "citations": [citation, web]}}]
    (part,) = read(content).parts
    assert isinstance(part, Text)
    one, two = part.citations
    assert (one.title, one.quote, one.start, one.end) == ("T", "quote", 2, 9)
    assert json.loads(one.raw) == citation
    assert two == Citation("https://u", "d", dialect="converse", raw=two.raw)


def test_what_only_this_wire_knows_is_kept() -> None:
    parts = read(
        [{"newThing": {"x": 1}}, {"image": {"format": "png", "source": {"bytes": "AA=="}}}]
    )
    foreign, media = parts.parts
    assert foreign == Foreign("converse", "newThing", b'{"newThing": {"x": 1}}')
    assert media == Media("image", "image/png", "AA==")


def test_without_usage_there_is_none() -> None:
    assert read([]).usage is None
    assert read([], usage=None).usage is None
    usage = read([], usage={"inputTokens": "many", "outputTokens": 1}).usage
    assert usage is not None
    assert usage.problem


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{}", b'{"output":5}', b"\xff", b"[" * 9999]
)
def test_what_is_no_answer_is_a_fault(body: bytes) -> None:
    with pytest.raises(Fault, match="cannot be read") as raised:
        WIRE.read(call(), {}, body)
    assert raised.value.kind.code == "upstream_error"


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(-1e9, 1e9), st.integers(), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from([
                "text", "toolUse", "input", "reasoningContent", "reasoningText", "signature",
                "redactedContent", "citationsContent", "citations", "content", "location", "web",
                "documentChar", "start", "image", "source", "bytes", "type", "name", "toolUseId",
                "inputTokens", "cacheDetails", "delta", "stop_sequence",
            ]),
            inner, max_size=4,
        ),
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(JSON, JSON, JSON, JSON)
def test_no_json_raises(content: Any, reason: Any, usage: Any, fields: Any) -> None:
    said = {"stopReason": reason, "usage": usage, "additionalModelResponseFields": fields}
    read([content] if not isinstance(content, list) else content, **said)
