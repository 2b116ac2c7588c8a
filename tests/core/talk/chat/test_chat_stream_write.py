"""Streams written for chat clients: what SDKs expect, and what is read again is what was told."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.body import JsonBody
from gateway.core.talk.chat import Reader, Writer
from gateway.core.talk.events import (
    Began,
    Cited,
    Closed,
    Ended,
    Event,
    Grew,
    Opened,
    Signed,
    Stopped,
    Used,
)
from gateway.core.talk.model import Citation, Media, Refusal, Text, Thinking, ToolUse
from gateway.domain import Usage

ASKED = JsonBody.parse(b'{"model":"m","messages":[],"stream_options":{"include_usage":true}}')
SILENT = JsonBody.parse(b'{"model":"m","messages":[]}')
DONE = b"data: [DONE]\n\n"


def read(*pieces: bytes) -> list[Event]:
    reader = Reader()
    found = [event for piece in pieces for event in reader.feed(piece)]
    return found + list(reader.finish())


WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9)
PARTS = st.one_of(
    st.builds(Text, WORDS),
    st.builds(Refusal, WORDS),
    st.builds(Thinking, WORDS),
    st.builds(Thinking, WORDS, WORDS, family=st.sampled_from(["messages", "generate", "chat"])),
    st.builds(Thinking, data=WORDS, family=st.just("responses"), id=WORDS),
    st.builds(ToolUse, id=WORDS, name=WORDS, arguments=WORDS, custom=st.booleans()),
    st.builds(
        ToolUse, id=WORDS, name=WORDS, arguments=WORDS, signature=WORDS, family=st.just("generate")
    ),
)


def events_for(parts: list[Any]) -> list[Event]:
    """The parts as a reader of another wire would tell of them: opened empty, grown, signed."""
    events: list[Event] = [Began("i", "m", 9)]
    for index, part in enumerate(parts):
        if isinstance(part, ToolUse):
            events += [
                Opened(index, ToolUse(part.id, part.name, custom=part.custom)),
                Grew(index, part.arguments),
            ]
        elif isinstance(part, Thinking) and part.data:
            events.append(Opened(index, part))
        elif isinstance(part, Thinking):
            events += [Opened(index, Thinking(family=part.family)), Grew(index, part.text)]
        else:
            events += [Opened(index, type(part)()), Grew(index, part.text)]
        if isinstance(part, Thinking | ToolUse) and part.signature:
            events.append(Signed(index, part.signature, part.family))
        events.append(Closed(index))
    return [*events, Stopped("length"), Used(Usage(7, 5, 2, 1, 3)), Ended()]


def put_together(events: list[Event]) -> list[tuple[Any, ...]]:
    """What a stream says: neighbours that say one thing are one."""
    told: dict[int, list[Any]] = {}
    for event in events:
        if isinstance(event, Opened):
            part = event.part
            words = part.arguments if isinstance(part, ToolUse) else getattr(part, "text", "")
            said = (part.id, part.name) if isinstance(part, ToolUse) else getattr(part, "data", "")
            told[event.index] = [type(part).__name__, said, words, "", ""]
        elif isinstance(event, Grew):
            told[event.index][2] += event.text
        elif isinstance(event, Signed):
            told[event.index][3:] = [event.signature, event.family]
    found: list[list[Any]] = []
    for part in told.values():
        if found and part[0] == found[-1][0] and part[0] in ("Text", "Refusal"):
            found[-1][2] += part[2]
        elif (
            found
            and part[0] == found[-1][0] == "Thinking"
            and not (part[1] or found[-1][1] or found[-1][3])
        ):
            found[-1][2:] = [found[-1][2] + part[2], *part[3:]]
        else:
            found.append(part)
    return [tuple(part) for part in found]


@given(st.lists(PARTS, max_size=5, unique_by=lambda part: getattr(part, "id", "") or id(part)))
def test_round_trip(parts: list[Any]) -> None:
    """What is written is read again: words, calls, signatures, sealed thoughts, usage, the end."""
    events = events_for(parts)
    writer = Writer(ASKED)
    again = read(b"".join(writer.write(event) for event in events))
    assert put_together(again) == put_together(events)
    assert again[0] == Began("i", "m", 9)
    assert isinstance(again[-1], Ended)
    used = [event.usage for event in again if isinstance(event, Used)][-1]
    assert (used.input, used.output, used.cached, used.cache_write, used.reasoning) == (
        7,
        5,
        2,
        1,
        3,
    )


def test_other_chunks_have_no_usage_yet() -> None:
    """Those who ask for usage find the member in every chunk, null until the last."""
    writer = Writer(ASKED)
    written = b"".join(writer.write(event) for event in events_for([Text("a")]))
    values = [json.loads(line[6:]) for line in written.split(b"\n\n")[:-2]]
    assert [value["usage"] is None for value in values] == [True, True, True, False]
    assert values[-1]["choices"] == []


def test_usage_only_for_those_who_ask() -> None:
    for body, expected in ((ASKED, True), (SILENT, False)):
        writer = Writer(body)
        written = b"".join(writer.write(event) for event in events_for([Text("a")]))
        assert (b'"usage"' in written) is expected
        assert written.endswith(DONE)


def test_chunks_as_sdks_expect_them() -> None:
    writer = Writer(SILENT)
    written = b"".join(writer.write(event) for event in events_for([ToolUse("c", "f", "{}")]))
    values = [json.loads(line[6:]) for line in written.split(b"\n\n")[:-2]]
    assert {v["object"] for v in values} == {"chat.completion.chunk"}
    assert {(v["id"], v["created"], v["model"]) for v in values} == {("i", 9, "m")}
    deltas = [v["choices"][0]["delta"] for v in values]
    assert deltas[0] == {"role": "assistant", "content": ""}
    first = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    assert deltas[1] == {"tool_calls": [first]}
    assert deltas[2] == {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}
    assert [v["choices"][0]["finish_reason"] for v in values] == [None, None, None, "length"]


def test_sources_and_pictures() -> None:
    source = Citation("https://a.example", "A", "q", 1, 2)
    writer = Writer(SILENT)
    told: list[Event] = [
        Began("i"),
        Opened(0, Text()),
        Grew(0, "a"),
        Cited(0, source),
        Closed(0),
        Opened(1, Media("image", mime="image/png", data="QUJD")),
        Closed(1),
        Stopped("stop"),
        Ended(),
    ]
    again = read(b"".join(writer.write(event) for event in told))
    (cited,) = (event.citation for event in again if isinstance(event, Cited))
    assert (cited.url, cited.title, cited.quote, cited.start, cited.end) == (
        "https://a.example", "A", "q", 1, 2,
    )  # fmt: skip
    assert Opened(1, Media("image", mime="image/png", data="QUJD")) in again


def test_a_gateway_that_stops_says_so_properly() -> None:
    """Cut before anything came: still a role, a finish and the end mark."""
    writer = Writer(SILENT)
    written = writer.write(Stopped("length")) + writer.write(Ended())
    assert written.count(b'"finish_reason":"length"') == 1
    assert written.endswith(DONE)
