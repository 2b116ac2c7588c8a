"""Answers and streams of our own making: what they mean, and that nothing in them can hurt."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.body import JsonBody
from gateway.core.money.checks import problem_of
from gateway.errors import RATE_LIMIT_EXCEEDED, UPSTREAM_ERROR, UPSTREAM_TIMEOUT, Fault
from gateway.sdk import Call
from gateway.sdk.talk import (
    Answer,
    Began,
    Broke,
    Citation,
    Closed,
    Ended,
    Event,
    Foreign,
    Grew,
    Interpreter,
    Media,
    Opened,
    Signed,
    Stopped,
    Text,
    Thinking,
    ToolUse,
    Used,
    sse,
)
from providers_plugins.google import VERTEX
from providers_plugins.google.faults import wire_fault
from providers_plugins.google.reader import MAX_EVENT, GenerateReader
from providers_plugins.google.whole import gathered

WIRE = VERTEX.wire
assert WIRE is not None
CALL = Call("chat", "m", "https://u.example", JsonBody.parse(b"{}"), now=7.5)
COUNTS = {
    "promptTokenCount": 10, "candidatesTokenCount": 4, "thoughtsTokenCount": 3,
    "toolUsePromptTokenCount": 5, "cachedContentTokenCount": 6, "totalTokenCount": 22,
    "promptTokensDetails": [
        {"modality": "TEXT", "tokenCount": 7}, {"modality": "AUDIO", "tokenCount": 3},
    ],
    "toolUsePromptTokensDetails": [{"modality": "IMAGE", "tokenCount": 2}],
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 4}],
    "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 1}],
}  # fmt: skip


def piece(*parts: Any, finish: str = "", counts: Any = None, **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, **more}
    if finish:
        candidate["finishReason"] = finish
    found: dict[str, Any] = {"candidates": [candidate], "responseId": "r", "modelVersion": "v"}
    return {**found, "usageMetadata": counts} if counts is not None else found


def read(found: Any) -> Answer:
    assert WIRE is not None
    body = found if isinstance(found, bytes) else json.dumps(found).encode()
    return WIRE.read(CALL, {}, body)


def stream(*pieces: Any) -> list[Event]:
    data = b"".join(
        it if isinstance(it, bytes) else sse.event(json.dumps(it).encode()) for it in pieces
    )
    reader = GenerateReader(7.5)
    return [*reader.feed(data), *reader.finish()]


def call(name: str | None = None, **more: Any) -> dict[str, Any]:
    return {"functionCall": {**({"name": name} if name else {}), **more}}


# -- meaning


def test_usage_is_whole() -> None:
    """Tools' answers are input, thoughts are output, cached tokens are inside the input."""
    raw = json.dumps(COUNTS)
    body = b'{"candidates":[{"content":{"parts":[{"text":"x"}]}}],"usageMetadata":%b}'
    usage = read(body % raw.encode()).usage
    assert usage is not None
    assert (usage.input, usage.output, usage.cached, usage.reasoning) == (15, 7, 6, 3)
    assert (usage.audio_input, usage.image_input, usage.image_output) == (3, 2, 4)
    assert (usage.cached_audio, usage.raw) == (1, raw.encode())
    assert problem_of(usage) == ""


@pytest.mark.parametrize(
    "counts",
    [
        {"promptTokenCount": -1},
        {"promptTokenCount": "5"},
        {"promptTokenCount": 1.5},
        {"promptTokenCount": True},
        {"promptTokenCount": 1 << 60},
        {"promptTokenCount": 5, "totalTokenCount": 6},
        {"promptTokenCount": 5, "cachedContentTokenCount": 6, "totalTokenCount": 5},
        {"promptTokenCount": 1, "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 9}]},
        [],
        "many",
    ],
)
def test_impossible_usage_is_a_problem(counts: Any) -> None:
    """It is told of, never billed from, and never an error."""
    usage = read(piece({"text": "x"}, finish="STOP", counts=counts)).usage
    assert usage is not None
    assert problem_of(usage)
    (used,) = (it for it in stream(piece({"text": "x"}, finish="STOP", counts=counts))
               if isinstance(it, Used))  # fmt: skip
    assert used.usage == usage


@pytest.mark.parametrize("counts", [{}, {"trafficType": "ON_DEMAND"}, None])
def test_no_count_is_no_usage(counts: Any) -> None:
    """The gateway then counts for itself."""
    assert read(piece({"text": "x"}, finish="STOP", counts=counts)).usage is None


def test_the_first_usage_knows_the_input_alone() -> None:
    """What it says of the output may be more than the end's: that is no contradiction."""
    events = stream(
        piece({"text": "a"}, counts={"promptTokenCount": 9, "candidatesTokenCount": 50}),
        piece({"text": "b"}, finish="STOP", counts={"promptTokenCount": 20, "totalTokenCount": 20}),
    )
    assert isinstance(events[0], Began)
    assert events[0].usage is not None
    assert (events[0].usage.input, events[0].usage.output) == (9, 0)

    class Silent:
        def write(self, event: Event) -> bytes:
            return b""

    interpreter = Interpreter(GenerateReader(0.0), Silent())
    for it in ({"promptTokenCount": 9, "candidatesTokenCount": 50}, {"promptTokenCount": 20}):
        last = piece({"text": "a"}, counts=it, finish="STOP" if len(it) == 1 else "")
        interpreter.feed(sse.event(json.dumps(last).encode()))
    interpreter.finish()
    assert interpreter.complete
    assert interpreter.usage is not None
    assert (interpreter.usage.input, interpreter.usage.problem) == (20, "")


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "filter"),
        ("RECITATION", "filter"),
        ("PROHIBITED_CONTENT", "filter"),
        ("BLOCKLIST", "filter"),
        ("SPII", "filter"),
        ("IMAGE_SAFETY", "filter"),
        ("MALFORMED_FUNCTION_CALL", "error"),
        ("UNEXPECTED_TOOL_CALL", "error"),
        ("OTHER", "stop"),
        ("SOMETHING_NEW", "stop"),
    ],
)
def test_why_answers_end(finish: str, reason: str) -> None:
    """The same whole and streamed."""
    given = piece({"text": "x"}, finish=finish)
    assert read(given).reason == reason
    assert [it.reason for it in stream(given) if isinstance(it, Stopped)] == [reason]


@pytest.mark.parametrize("finish", ["MALFORMED_FUNCTION_CALL", "OTHER", "NO_IMAGE", "LANGUAGE"])
def test_a_mishap_with_nothing_to_show_is_a_failure(finish: str) -> None:
    """Another try may go better; what the model said of it is told."""
    given = {"candidates": [{"finishReason": finish, "finishMessage": "Malformed: f("}]}
    with pytest.raises(Fault) as caught:
        read(given)
    assert caught.value.kind is UPSTREAM_ERROR
    assert finish in caught.value.message
    assert "Malformed: f(" in caught.value.message
    last = stream(given)[-1]
    assert isinstance(last, Broke)
    assert last.fault.message == caught.value.message


def test_a_blocked_prompt_is_a_filtered_answer() -> None:
    """No candidate, and no error for the client."""
    given = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}}
    answer = read(given)
    assert (answer.parts, answer.reason) == ([], "filter")
    assert answer.usage is not None
    assert answer.usage.input == 3
    kinds = [type(it) for it in stream(given)]
    assert kinds == [Began, Stopped, Used, Ended]


def test_calls_get_ids_that_stay() -> None:
    """Two calls of one tool differ; the same answer read twice, or streamed, gives the same ids."""
    given = piece(call("f", args={"a": 1}), call("f"), call("g", id="theirs"), finish="STOP")
    answer = read(given)
    calls = [it for it in answer.parts if isinstance(it, ToolUse)]
    assert [it.arguments for it in calls] == ['{"a": 1}', "{}", "{}"]
    assert len({it.id for it in calls}) == 3
    assert calls[2].id == "theirs"
    assert calls[0].id.replace("_", "").isalnum()
    assert read(given) == answer == gathered(stream(given))
    other = read({**given, "responseId": "another"})
    assert isinstance(other.parts[0], ToolUse)
    assert other.parts[0].id != calls[0].id
    assert answer.reason == "tool"


def test_arguments_stay_the_bytes_they_came_as() -> None:
    """Spaces, order, numbers and escapes."""
    raw = b'{ "z":1.0e2,\n "a" : "\\u00e9" }'
    body = b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":%b}}]}}]}' % raw
    (part,) = read(body).parts
    assert isinstance(part, ToolUse)
    assert part.arguments == raw.decode()


def test_signatures_find_their_places() -> None:
    """Of a thought and a call on them, of words and pictures on a part behind them."""
    answer = read(
        piece(
            {"text": "hm", "thought": True, "thoughtSignature": "s1"},
            {"text": "a"},
            {"text": "b", "thoughtSignature": "s2"},
            {"text": "c"},
            {"inlineData": {"mimeType": "image/png", "data": "aWNv"}, "thoughtSignature": "s3"},
            {**call("f"), "thoughtSignature": "s4"},
            {"text": "", "thoughtSignature": "s5"},
            finish="STOP",
        )
    )

    def bare(signature: str) -> Thinking:
        return Thinking(signature=signature, family="generate")

    assert answer.parts[:7] == [
        Thinking("hm", signature="s1", family="generate"),
        Text("ab"),
        bare("s2"),
        Text("c"),
        Media("image", mime="image/png", data="aWNv"),
        bare("s3"),
        answer.parts[6],
    ]
    assert isinstance(answer.parts[6], ToolUse)
    assert (answer.parts[6].signature, answer.parts[6].family) == ("s4", "generate")
    assert answer.parts[7:] == [bare("s5")]


def test_drafts_of_pictures_are_no_answer() -> None:
    """A model that thinks in pictures shows the last one alone."""
    blob = {"mimeType": "image/png", "data": "aWNv"}
    answer = read(piece({"inlineData": blob, "thought": True}, {"inlineData": blob}))
    assert answer.parts == [Media("image", mime="image/png", data="aWNv")]


def test_code_and_unknown_parts_stay_whole() -> None:
    """As the bytes they came as."""
    raw = b'{"executableCode": {"code":"1"},"thoughtSignature":"s"}'
    answer = read(b'{"candidates":[{"content":{"parts":[%b,{"newThing":{}},{}]}}]}' % raw)
    assert answer.parts == [
        Foreign("generate", "executableCode", raw),
        Foreign("generate", "newThing", b'{"newThing":{}}'),
    ]


def test_sources_have_places_in_characters() -> None:
    """The provider counts bytes, and from the part; a place that does not fit is looked for."""
    text = "Zürich ist schön. Bern auch."
    chunk = {"web": {"uri": "https://a.example", "title": "A"}}
    grounding = {
        "groundingChunks": [chunk, {"web": {"uri": "https://b.example"}}],
        "groundingSupports": [
            {
                "segment": {"startIndex": 8, "endIndex": 19, "text": "ist schön."},
                "groundingChunkIndices": [0, 9, "x"],
            },
            {"segment": {"startIndex": 900, "endIndex": 5, "text": "Bern auch."},
             "groundingChunkIndices": [0]},
            {"segment": {"text": "not there"}, "groundingChunkIndices": [0]},
        ],
    }  # fmt: skip
    given = piece({"text": text}, finish="STOP", groundingMetadata=grounding)
    (part,) = read(given).parts
    assert isinstance(part, Text)
    first, second, third, fourth = part.citations
    assert text[first.start : first.end] == "ist schön."
    assert text[second.start : second.end] == "Bern auch."
    assert (third.start, third.quote, third.url) == (None, "not there", "https://a.example")
    assert fourth == Citation("https://b.example", dialect="generate", raw=fourth.raw)
    assert (first.title, json.loads(first.raw)) == ("A", chunk)
    # Streams may repeat all sources in each piece.
    again = gathered(stream(piece({"text": text[:9]}), given | {"candidates": [
        {**given["candidates"][0], "content": {"parts": [{"text": text[9:]}]}}]}, given | {
        "candidates": [{"groundingMetadata": grounding}]}))  # fmt: skip
    assert again.parts == [part]


def test_sources_after_the_words_stand_on_their_own() -> None:
    """A text that is complete takes no more sources."""
    grounding = {"groundingChunks": [{"web": {"uri": "https://a.example"}}]}
    answer = read(piece({"text": "x"}, call("f"), finish="STOP", groundingMetadata=grounding))
    last = answer.parts[-1]
    assert isinstance(last, Text)
    assert (last.text, last.citations[0].url) == ("", "https://a.example")


def test_arguments_in_bits() -> None:
    """Put together by their places; the last bit is told, and strings that go on are joined."""
    bits = [
        [{"jsonPath": "$.a.b[0].c", "stringValue": "x", "willContinue": True}],
        [{"jsonPath": "$.a.b[0].c", "stringValue": "y"}, {"jsonPath": "$.n", "numberValue": 1.50}],
        [{"jsonPath": "$['odd.name']", "boolValue": True}, {"jsonPath": "$.z", "nullValue": None}],
        [{"jsonPath": "$.open", "stringValue": "cut", "willContinue": True}],
    ]
    events = stream(
        piece(call("f", willContinue=True)),
        *(piece(call(partialArgs=it, willContinue=True)) for it in bits),
        piece(call()),
        piece(call("g", args={})),
        piece(finish="STOP"),
    )
    first, second = gathered(events).parts
    assert isinstance(first, ToolUse)
    assert isinstance(second, ToolUse)
    assert json.loads(first.arguments) == {
        "a": {"b": [{"c": "xy"}]}, "n": 1.5, "odd.name": True, "z": None, "open": "cut",
    }  # fmt: skip
    assert list(json.loads(first.arguments)) == ["a", "n", "odd.name", "z", "open"]
    assert second.name == "g"


@pytest.mark.parametrize(
    "bit",
    [
        {"jsonPath": "$.a[5]", "stringValue": "x"},
        {"jsonPath": "$.a[999999999]", "stringValue": "x"},
        {"jsonPath": "$[0]", "stringValue": "x"},
        {"jsonPath": "$", "stringValue": "x"},
        {"jsonPath": "", "stringValue": "x"},
        {"jsonPath": "$." + "a." * 100 + "b", "stringValue": "x"},
        {"jsonPath": "$..a", "stringValue": "x"},
        {"jsonPath": "$.a", "numberValue": "x"},
        {"jsonPath": "$.a", "numberValue": {}},
        {"jsonPath": 7},
        {"jsonPath": "$.a", "stringValue": "x" * (1 << 20)},
        7,
    ],
)
def test_hostile_bits(bit: Any) -> None:
    """What fits nowhere makes the arguments useless: the stream is broken."""
    events = stream(piece(call("f", willContinue=True)), piece(call(partialArgs=[bit])))
    assert isinstance(events[-1], Broke)
    assert not any(isinstance(it, Ended) for it in events)


# -- streams


def test_the_finish_reason_is_not_the_end() -> None:
    """Words and counts may follow it, and older models tell it in every piece."""
    events = stream(
        piece({"text": "a"}, finish="STOP"),
        piece({"text": "b"}, finish="STOP"),
        {"usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1}},
    )
    answer = gathered(events)
    assert answer.parts == [Text("ab")]
    assert answer.usage is not None
    assert answer.usage.output == 1
    assert [type(it) for it in events[-4:]] == [Closed, Stopped, Used, Ended]


def test_a_call_that_goes_on_may_have_arguments_already() -> None:
    """Empty ones give way to the bits; without bits they are all there is."""
    bit = {"jsonPath": "$.a", "numberValue": 1}
    for bits, whole in (([bit], '{"a":1}'), ([], '{"z": 2}')):
        events = stream(
            piece(call("f", args={} if bits else {"z": 2}, willContinue=True)),
            piece(call(partialArgs=bits, willContinue=True)),
            piece(call(), finish="FINISH_REASON_UNSPECIFIED"),
            piece(finish="STOP"),
        )
        (part,) = gathered(events).parts
        assert isinstance(part, ToolUse)
        assert part.arguments == whole
    assert not any(
        isinstance(it, Ended)
        for it in stream(piece({"text": "x"}, finish="FINISH_REASON_UNSPECIFIED"))
    )


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_cut_stream_has_no_end(cut: int) -> None:
    """Neither between events nor inside the last one."""
    reader = GenerateReader(0.0)
    head = sse.event(json.dumps(piece({"text": "a"}, finish="STOP")).encode())
    events = [*reader.feed(head[:-cut]), *reader.finish()]
    ended = any(isinstance(it, Ended) for it in events)
    assert ended == (cut <= 2)  # without its blank line it is whole all the same
    reader = GenerateReader(0.0)
    tail = sse.event(json.dumps(piece({"text": "b"}, finish="STOP")).encode())
    events = [*reader.feed(sse.event(json.dumps(piece({"text": "a"})).encode()) + tail[:-cut])]
    events += reader.finish()
    assert any(isinstance(it, Ended) for it in events) == (cut <= 2)


@pytest.mark.parametrize(
    "framed",
    [
        b'data: {"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}\n\n',
        b'{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}\n\n',
        b'{\n  "error": {\n    "code": 503,\n    "message": "overloaded"\n  }\n}\n',
        b'[{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}]',
    ],
)
def test_errors_inside_a_stream(framed: bytes) -> None:
    """In a frame or without one, they break it; what follows means nothing."""
    after = [piece({"text": "b"}, finish="STOP")] if framed.endswith(b"\n\n") else []
    events = stream(piece({"text": "a"}, finish="STOP"), framed, *after)
    broke = [it for it in events if isinstance(it, Broke)]
    assert len(broke) == 1
    assert broke[0].fault.kind is UPSTREAM_ERROR
    assert "overloaded" in broke[0].fault.message
    assert events[-1] is broke[0]


def test_a_picture_longer_than_the_parser_reads() -> None:
    """It is one event all the same, however it comes."""
    data = "aWNv" * (1 << 19)
    given = piece({"inlineData": {"mimeType": "image/png", "data": data}}, finish="STOP")
    framed = sse.event(json.dumps(given).encode())
    assert len(framed) > 2 * sse.MAX_EVENT
    after = sse.event(json.dumps(piece({"text": "done"}, finish="STOP")).encode())
    for size in (1 << 30, 1 << 16, 999_983):
        reader = GenerateReader(0.0)
        events: list[Event] = []
        whole = sse.event(json.dumps(piece({"text": "see"})).encode()) + framed + after
        for at in range(0, len(whole), size):
            events += reader.feed(whole[at : at + size])
        events += reader.finish()
        answer = gathered(events)
        assert answer.parts == [
            Text("see"), Media("image", mime="image/png", data=data), Text("done"),
        ]  # fmt: skip
        assert isinstance(events[-1], Ended)


def test_an_endless_event_is_bounded() -> None:
    """Beyond what any picture takes it is given up."""
    reader = GenerateReader(0.0)
    chunk = b"data: " + b"x" * (4 << 20)
    found: list[Event] = []
    for _ in range((MAX_EVENT >> 22) + 3):
        found += reader.feed(chunk)
        assert len(reader._long) <= MAX_EVENT + len(chunk)
    assert [type(it) for it in found] == [Broke]


# -- hostile bytes

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from([
            "candidates", "content", "parts", "text", "thought", "thoughtSignature", "index",
            "functionCall", "name", "args", "partialArgs", "jsonPath", "stringValue", "id",
            "willContinue", "inlineData", "mimeType", "data", "finishReason", "usageMetadata",
            "promptTokenCount", "candidatesTokenCount", "promptTokensDetails", "modality",
            "tokenCount", "groundingMetadata", "groundingChunks", "groundingSupports", "segment",
            "startIndex", "endIndex", "web", "uri", "citationMetadata", "citations", "error",
            "code", "message", "details", "promptFeedback", "blockReason", "responseId",
            "createTime", "executableCode",
        ]),
        inner,
        max_size=4,
    ),
    max_leaves=25,
)  # fmt: skip


def orderly(events: list[Event]) -> None:
    """Whatever came, the events are those of an answer."""
    open_parts: set[int] = set()
    count = 0
    for at, event in enumerate(events):
        if isinstance(event, Opened):
            assert event.index == count
            count += 1
            open_parts.add(event.index)
        elif isinstance(event, Closed):
            open_parts.remove(event.index)
        elif isinstance(event, Grew | Signed):
            assert event.index in open_parts
        elif isinstance(event, Stopped):
            assert not open_parts
        elif isinstance(event, Broke | Ended):
            assert at == len(events) - 1


def tried(data: bytes) -> None:
    reader = GenerateReader(0.0)
    events = [*reader.feed(data), *reader.finish()]
    orderly(events)
    single = GenerateReader(0.0)
    split = [it for i in range(len(data)) for it in single.feed(data[i : i + 1])]
    split += single.finish()
    assert list(map(plainly, split)) == list(map(plainly, events))


def plainly(event: Event) -> Any:
    if isinstance(event, Broke):
        return (event.fault.kind.code, event.fault.message)
    return msgspec.json.encode(event)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.builds(lambda it: {"candidates": [{"content": {"parts": it}}]}, st.lists(VALUES))
        | st.builds(lambda it: {"candidates": [it]}, VALUES)
        | VALUES,
        max_size=3,
    )
)
def test_any_json_is_read_in_order(values: list[Any]) -> None:
    """Nothing raises, parts open and close in turn, and no split makes a difference."""
    tried(b"".join(sse.event(json.dumps(value).encode()) for value in values))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda it: b"data: " + it + b"\n\n"))
def test_any_bytes_are_survived(data: bytes) -> None:
    """In a stream, and as a whole answer, which fails in one way."""
    tried(data)
    with pytest.raises(Fault):
        read(data)


@settings(max_examples=300, deadline=None)
@given(VALUES)
def test_any_whole_answer_is_read_or_refused(value: Any) -> None:
    """Only faults are raised."""
    for body in (value, {"candidates": [value]}, {"candidates": [{"content": {"parts": [value]}}]}):
        try:
            assert isinstance(read(body), Answer)
        except Fault:
            continue


@pytest.mark.parametrize(
    "data",
    [
        b'{"candidates":' + b"[" * 100_000,
        b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":'
        + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}}]}}]}",
        b'{"candidates":[{"content":{"parts":[{"text":"\\ud800"}]}}]}',
        b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":"\xff"}}}]}}]}',
        b'{"candidates":[{"content":{"parts":[{"text":"\xff"}]}}]}',
        b'{"usageMetadata":{"promptTokenCount":' + b"9" * 5000 + b"}}",
        b'{"usageMetadata":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"candidates":[{"groundingMetadata":' + b"[" * 50_000 + b"]" * 50_000 + b"}]}",
        b'{"error":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"createTime":"9999-99-99","candidates":[{}]}',
        b'{"createTime":"0001-01-01T00:00:00+23:59","candidates":[{}]}',
    ],
    ids=range(11),
)  # fmt: skip
def test_hostile_json(data: bytes) -> None:
    """Depth, broken text, huge numbers and odd times do no harm."""
    reader = GenerateReader(0.0)
    orderly([*reader.feed(sse.event(data)), *reader.finish()])
    try:
        assert isinstance(read(data), Answer)
    except Fault:
        pass


# -- faults


def error(status: int, name: str, message: str = "m", *details: Any) -> bytes:
    told = {"code": status, "message": message, "status": name, "details": list(details)}
    return json.dumps({"error": told}).encode()


def test_how_long_to_wait() -> None:
    """The provider says it in the body; a header comes first, nonsense is nothing."""
    delays = [("17s", 17.0), ("1.5s", 1.5), ("99999s", 3600.0), ("-1s", None), (7, None)]
    for told, wanted in delays:
        retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": told}
        fault = wire_fault(429, {}, error(429, "RESOURCE_EXHAUSTED", "m", "x", {}, retry))
        assert fault.kind is RATE_LIMIT_EXCEEDED
        assert fault.retry_after == wanted
        assert wire_fault(429, {"retry-after": "3"}, error(429, "", "m", retry)).retry_after == 3


@pytest.mark.parametrize("shape", [b"%b", b"[%b]", b"[%b\n]"])
def test_refused_keys_are_not_the_clients_fault(shape: bytes) -> None:
    """Though the provider says 400."""
    for body in (
        error(400, "INVALID_ARGUMENT", "API key not valid.", {"reason": "API_KEY_INVALID"}),
        error(400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
        error(403, "PERMISSION_DENIED"),
        error(401, "UNAUTHENTICATED"),
    ):
        fault = wire_fault(json.loads(body)["error"]["code"], {}, shape % body)
        assert (fault.kind, fault.cause) == (UPSTREAM_ERROR, "credential_refused")
        assert "key is fine" in fault.message


def test_other_failures() -> None:
    """By their status; a deadline is a timeout."""
    assert wire_fault(504, {}, error(504, "DEADLINE_EXCEEDED")).kind is UPSTREAM_TIMEOUT
    assert wire_fault(503, {}, error(503, "UNAVAILABLE")).cause == "status_503"
    assert wire_fault(404, {}, error(404, "NOT_FOUND")).cause == "status_404"
    long = "The input token count (1250074) exceeds the maximum number of tokens allowed (9)."
    assert wire_fault(400, {}, error(400, "INVALID_ARGUMENT", long)).cause == "context_length"


@settings(max_examples=200, deadline=None)
@given(
    st.integers(300, 599), st.binary(max_size=60) | VALUES.map(lambda it: json.dumps(it).encode())
)
def test_any_failure_is_a_fault(status: int, body: bytes) -> None:
    """Whatever its body says."""
    assert isinstance(wire_fault(status, {}, body), Fault)
