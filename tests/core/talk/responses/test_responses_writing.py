"""Answers written in the Responses dialect are those of the official client."""

from __future__ import annotations

import json

import pytest
from openai.types.responses import Response

from gateway.core.body import JsonBody
from gateway.core.talk.events import (
    Began,
    Cited,
    Closed,
    Ended,
    Grew,
    Opened,
    Signed,
    Stopped,
    Used,
)
from gateway.core.talk.model import Answer, Thinking, ToolUse
from gateway.core.talk.responses import Writer, error_event, read_answer, write_answer
from gateway.errors import UPSTREAM_ERROR, Fault
from tests.core.talk.responses.speaking import EVENTS, TELLING, USAGE, asked, body, heard, payloads


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


def test_an_error_event_is_that_of_the_official_client() -> None:
    (said,) = payloads(error_event(Fault(UPSTREAM_ERROR, "It broke."), 3))
    EVENTS["error"].model_validate(said)
    assert (said["message"], said["sequence_number"]) == ("It broke.", 3)
