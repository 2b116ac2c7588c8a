"""What a request needs is found in every dialect, and compared with what a route can do."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.body import JsonBody
from gateway.core.routing import needs
from gateway.core.routing.needs import Needs, lacks, needs_of
from tests.core.routing.made import route

SAY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def body(**members):
    return JsonBody.parse(msgspec.json.encode(members))


def chat(*parts, **members):
    messages = [{"role": "user", "content": [{"type": "text", "text": "see"}, *parts]}]
    return body(**{"model": "m", "messages": messages, **members})


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
TOOL = {"type": "function", "function": {"name": "f"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}


@pytest.mark.parametrize(
    ("operation", "asked", "words"),
    [
        ("chat", body(**SAY), ()),
        ("chat", body(**SAY, stream=True), ("streaming",)),
        ("chat", body(**SAY, stream=False), ()),
        ("chat", body(**SAY, tools=[TOOL]), ("tools",)),
        ("chat", body(**SAY, tools=[]), ()),
        ("chat", body(**SAY, tools=None), ()),
        ("chat", chat(IMAGE), ("images",)),
        ("chat", chat({"type": "input_audio", "input_audio": {}}), ("audio input",)),
        ("chat", chat({"type": "file", "file": {}}), ("documents",)),
        ("chat", chat({"type": "video_url", "video_url": {}}), ("video input",)),
        ("chat", chat(IMAGE, {"type": "file"}, stream=True), ("images", "documents", "streaming")),
        ("chat", body(**SAY, response_format=SCHEMA), ("JSON schemas",)),
        ("chat", body(**SAY, response_format={"type": "json_object"}), ("JSON mode",)),
        ("chat", body(**SAY, response_format={"type": "text"}), ()),
        ("chat", body(**SAY, response_format=None), ()),
        ("chat", body(**SAY, reasoning_effort="high"), ("reasoning",)),
        ("chat", body(**SAY, reasoning_effort="none"), ()),
        ("chat", body(**SAY, reasoning={"effort": "low"}), ("reasoning",)),
        ("chat", body(**SAY, reasoning={"enabled": False}), ()),
        ("chat", body(**SAY, reasoning={}), ()),
        ("chat", body(**SAY, reasoning=None), ()),
        ("chat", body(**SAY, modalities=["text", "audio"]), ("audio output",)),
        ("chat", body(**SAY, modalities=["text"]), ()),
        ("messages", body(**SAY, thinking={"type": "enabled", "budget_tokens": 9}), ("reasoning",)),
        ("messages", body(**SAY, thinking={"type": "adaptive"}), ("reasoning",)),
        ("messages", body(**SAY, thinking={"type": "disabled"}), ()),
        ("messages", body(**SAY, output_config={"format": SCHEMA}), ("JSON schemas",)),
        ("messages", body(**SAY, output_config={"effort": "low"}), ()),
        ("messages", body(**SAY, output_format=SCHEMA), ("JSON schemas",)),
        ("messages", chat({"type": "image", "source": {}}), ("images",)),
        ("messages", chat({"type": "document", "source": {}}), ("documents",)),
        (
            "messages",
            chat({"type": "tool_result", "content": [{"type": "image", "source": {}}]}),
            ("images",),
        ),
        ("responses", body(model="m", input="hi", text={"format": SCHEMA}), ("JSON schemas",)),
        ("responses", body(model="m", input="hi", reasoning={"effort": "none"}), ()),
        ("responses", body(model="m", input="hi", reasoning={"summary": "auto"}), ("reasoning",)),
        (
            "responses",
            body(model="m", input=[{"role": "user", "content": [{"type": "input_image"}]}]),
            ("images",),
        ),
        (
            "responses",
            body(
                model="m",
                input=[{"type": "function_call_output", "output": [{"type": "input_file"}]}],
            ),
            ("documents",),
        ),
        ("completions", body(model="m", prompt="hi", stream=True), ("streaming",)),
        ("embeddings", body(model="m", input=["hi"]), ()),
    ],
)
def test_each_dialect_says_what_it_needs(operation, asked, words):
    """And nothing else is read into it."""
    assert needs_of(operation, asked).words == words


def test_embeddings_need_room_alone():
    """They have no answer that could take any."""
    asked = body(model="m", input=["hi"], tools=[TOOL], max_tokens=9)
    assert needs_of("embeddings", asked, 70) == Needs(0, 70)


@pytest.mark.parametrize(
    "asked",
    [
        chat({"type": "text", "text": '{"type":"image_url"}'}),
        body(**SAY, tools=None, metadata={"type": "image_url"}),
        chat({"type": "tool_use", "input": {"type": "image"}}),
        body(model="m", messages=[{"role": "user", "content": '"type": "image_url"'}]),
    ],
)
def test_what_only_looks_like_media_is_none(asked):
    """Text and arguments of tools may speak of anything."""
    assert needs_of("chat", asked).words == ()


def test_white_space_and_order_make_no_difference():
    """The search of the bytes finds what was written by hand."""
    raw = b'{"messages" : [ {"content" : [ {"url" : "x", "type" :\n "image_url"} ] } ]}'
    assert needs_of("chat", JsonBody.parse(raw)).words == ("images",)


@pytest.mark.parametrize("odd", [b"1e999", b"9" * 400, b"[]", b'{"a":1e999}', b"null", b'"x"'])
def test_values_that_nothing_can_hold_are_passed_over(odd):
    """Well-formed JSON all the same: others may refuse it."""
    forms = (
        b'"reasoning":{"effort":%s}', b'"response_format":{"type":%s}', b'"thinking":{"type":%s}',
        b'"text":{"format":%s}', b'"max_tokens":%s', b'"tools":%s', b'"messages":%s',
        b'"messages":[{"content":[{"type":"image","x":%s},{"type":%s}]}]', b'"stream":%s',
    )  # fmt: skip
    for form in forms:
        raw = b"{" + form.replace(b"%s", odd) + b"}"
        assert needs_of("chat", JsonBody.parse(raw)).tokens >= 0
    seen = b'{"messages":[{"content":[{"type":"image","x":%s},{"type":%s}]}]}' % (odd, odd)
    assert needs_of("chat", JsonBody.parse(seen)).words == ("images",)


@pytest.mark.parametrize(
    ("operation", "member", "most"),
    [
        ("chat", {"max_tokens": 7}, 7),
        ("chat", {"max_completion_tokens": 9, "max_tokens": 7}, 9),
        ("chat", {"max_completion_tokens": None, "max_tokens": 7}, 7),
        ("messages", {"max_tokens": 7}, 7),
        ("responses", {"max_output_tokens": 5}, 5),
        ("chat", {}, 0),
        ("chat", {"max_tokens": "many"}, 0),
    ],
)
def test_the_answer_needs_room_too(operation, member, most):
    """The context is for what goes in and what comes out."""
    found = needs_of(operation, body(**SAY, **member), 100)
    assert (found.most_out, found.tokens) == (most, 100 + most)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "content", "output", "format"]), inner)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)
NAMES = st.sampled_from(
    ["messages", "input", "tools", "text", "reasoning", "thinking", "response_format", "stream",
     "output_config", "modalities", "max_tokens", "reasoning_effort", "output_format"]
)  # fmt: skip


@given(st.sampled_from(["chat", "messages", "responses", "completions", "embeddings"]),
       st.dictionaries(NAMES, JSON))  # fmt: skip
def test_any_body_has_needs(operation, members):
    """Whatever is wrong with one is for others to refuse."""
    found = needs_of(operation, body(**members))
    assert 0 <= found.wants <= needs.EVERYTHING
    assert found.tokens >= 0


def test_a_lack_is_named():
    """The first of what is missing, then the context."""
    plain = route("a", able=("streaming", "tools"), context=1000)
    assert lacks(plain, Needs(needs.TOOLS | needs.STREAMING, 500, 500)) is None
    assert lacks(plain, Needs(needs.TOOLS | needs.VISION)) == "images"
    assert lacks(plain, Needs(needs.DOCUMENTS)) == "documents"
    assert lacks(plain, Needs(0, 500, 501)) == "a context of 1001 tokens"
    assert lacks(route("a", context=None), Needs(0, 1 << 40)) is None


def test_a_schema_is_json_too():
    """What keeps to a schema can answer in JSON; not the other way round."""
    schemas, mode = route("a", able=("json_schema",)), route("b", able=("json_object",))
    assert lacks(schemas, Needs(needs.JSON_MODE)) is None
    assert lacks(mode, Needs(needs.JSON_MODE)) is None
    assert lacks(mode, Needs(needs.JSON_SCHEMA)) == "JSON schemas"
