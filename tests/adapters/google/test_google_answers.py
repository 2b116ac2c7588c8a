"""What answers of our own making mean: their ends, calls, signatures, files and sources."""

from __future__ import annotations

import json

import pytest

from gateway.errors import UPSTREAM_ERROR, Fault
from gateway.sdk.talk import (
    Began,
    Broke,
    Citation,
    Ended,
    Foreign,
    Media,
    Stopped,
    Text,
    Thinking,
    ToolUse,
    Used,
)
from providers_plugins.google.whole import gathered
from tests.adapters.google.answering import call, piece, read, stream


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
