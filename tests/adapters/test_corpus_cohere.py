"""Cohere's recorded v2 traffic, read field by field beside a plain reading of its JSON."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from gateway.core.body import JsonBody
from gateway.core.money.checks import problem_of
from gateway.domain import Credential, Usage
from gateway.sdk import Call
from gateway.sdk.talk import (
    Answer,
    Began,
    Citation,
    Cited,
    Closed,
    Ended,
    Event,
    Format,
    Grew,
    Losses,
    Message,
    Opened,
    Signed,
    Stopped,
    Talk,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Used,
)
from providers_plugins import cohere
from providers_plugins.cohere_answers import ChatReader, read_answer
from tests import recorded

# The first version of the wire, kept for old clients: the gateway does not speak it.
OLD_WIRE = {
    case
    for case in recorded.cases("cohere", "chat")
    if recorded.meta(case)["url"].endswith("/v1/chat")
}
REASONS = {
    "COMPLETE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool",
    "STOP_SEQUENCE": "sequence",
}
EVERY_BYTE_UNDER = 8192
CALL = Call("chat", "upstream-model", "https://u.example", JsonBody.parse(b"{}"), True, now=7.5)

pytestmark = recorded.needs_corpus


def spoken(operation: str) -> list[Path]:
    return [case for case in recorded.cases("cohere", operation) if case not in OLD_WIRE]


def assert_usage(usage: Usage | None, said: dict[str, Any]) -> None:
    assert usage is not None
    billed = said["billed_units"]
    assert (usage.input, usage.output) == (billed["input_tokens"], billed["output_tokens"])
    assert usage.reasoning == said["tokens"].get("reasoning_tokens", 0)
    assert usage.cached == 0
    assert json.loads(usage.raw) == said
    assert problem_of(usage) == ""


@recorded.parameters(spoken("chat"))
def test_answer(case: Path) -> None:
    """Every part of a whole answer, its sources, its reason, its usage."""
    raw = recorded.response_file(case).read_bytes()
    said = json.loads(raw)
    answer = read_answer(CALL, {}, raw)
    message = said["message"]
    content = message.get("content") or []
    thoughts = [part["thinking"] for part in content if part["type"] == "thinking"]
    texts = [part["text"] for part in content if part["type"] == "text"]
    plan = [message["tool_plan"]] if message.get("tool_plan") else []
    calls = [
        (call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls") or ()
    ]
    assert [part.text for part in answer.parts if isinstance(part, Thinking)] == thoughts
    assert [part.text for part in answer.parts if isinstance(part, Text)] == texts + plan
    uses = [part for part in answer.parts if isinstance(part, ToolUse)]
    assert [(use.id, use.name, use.arguments) for use in uses] == calls
    assert len(answer.parts) == len(thoughts) + len(texts) + len(plan) + len(calls)
    assert quotes(answer) == [
        (one["text"], one["start"], one["end"]) for one in message.get("citations") or ()
    ]
    assert (answer.id, answer.model, answer.created) == (said["id"], "upstream-model", 7)
    assert answer.reason == REASONS[said["finish_reason"]]
    assert_usage(answer.usage, said["usage"])


def quotes(answer: Answer) -> list[tuple[str, int | None, int | None]]:
    texts = [part for part in answer.parts if isinstance(part, Text)]
    return [(one.quote, one.start, one.end) for text in texts for one in text.citations]


def played(pieces: list[bytes]) -> list[Event]:
    reader = ChatReader(CALL)
    return [event for piece in pieces for event in reader.feed(piece)] + list(reader.finish())


def gathered(events: list[Event]) -> Answer:
    """A stream's events as a whole answer; the rules of the form are asserted on the way."""
    answer = Answer()
    opened: dict[int, Any] = {}
    for event in events:
        if isinstance(event, Began):
            answer.id = event.id
        elif isinstance(event, Opened):
            assert event.index == len(answer.parts)
            opened[event.index] = event.part
            answer.parts.append(event.part)
        elif isinstance(event, Grew):
            part = opened[event.index]
            if isinstance(part, ToolUse):
                part.arguments += event.text
            else:
                part.text += event.text
        elif isinstance(event, Cited):
            opened[event.index].citations.append(event.citation)
            assert isinstance(event.citation, Citation)
        elif isinstance(event, Closed):
            del opened[event.index]
        elif isinstance(event, Stopped):
            assert not opened
            answer.reason = event.reason
        elif isinstance(event, Used):
            answer.usage = event.usage
        assert not isinstance(event, Signed)
    return answer


@recorded.parameters(spoken("chat_stream"))
def test_stream(case: Path) -> None:
    """The same of a stream, whole and however it was split."""
    raw = recorded.response_file(case).read_bytes()
    said = [
        json.loads(line.removeprefix("data:"))
        for line in raw.decode().splitlines()
        if line.startswith("data:") and "[DONE]" not in line
    ]
    events = played([raw])
    whole = repr(events)
    assert isinstance(events[0], Began)
    assert [type(event) for event in events[-3:]] == [Stopped, Used, Ended]
    answer = gathered(events)
    assert answer.id == said[0]["id"]
    plans, contents, calls, citations = plain(said)
    texts = [part.text for part in answer.parts if isinstance(part, Text)]
    thoughts = [part.text for part in answer.parts if isinstance(part, Thinking)]
    assert texts == ([plans] if plans else []) + [t for kind, t in contents if kind == "text"]
    assert thoughts == [t for kind, t in contents if kind == "thinking"]
    uses = [part for part in answer.parts if isinstance(part, ToolUse)]
    assert [[use.id, use.name, use.arguments] for use in uses] == calls
    assert [quote[0] for quote in quotes(answer)] == citations
    assert answer.reason == REASONS[said[-1]["delta"]["finish_reason"]]
    assert_usage(answer.usage, said[-1]["delta"]["usage"])
    rng = random.Random(case.name)
    for _ in range(5):
        cuts = sorted(rng.randrange(len(raw)) for _ in range(40))
        pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
        assert repr(played(pieces)) == whole
    if len(raw) < EVERY_BYTE_UNDER:
        assert repr(played([bytes([byte]) for byte in raw])) == whole
    end = raw.index(b"event: message-end")
    cut = played([raw[:end]])
    assert not any(isinstance(event, Ended | Stopped | Used) for event in cut)


def plain(said: list[dict[str, Any]]) -> tuple[str, list[tuple[str, str]], list[Any], list[str]]:
    plan, contents, calls, citations = "", {}, [], []
    for event in said:
        message = (event.get("delta") or {}).get("message") or {}
        if event["type"] == "tool-plan-delta":
            plan += message["tool_plan"]
        elif event["type"] == "content-start":
            contents[event["index"]] = [message["content"]["type"], ""]
        elif event["type"] == "content-delta":
            content = message["content"]
            contents[event["index"]][1] += content.get("text") or content.get("thinking") or ""
        elif event["type"] == "tool-call-start":
            call = message["tool_calls"]
            calls.append([call["id"], call["function"]["name"], call["function"]["arguments"]])
        elif event["type"] == "tool-call-delta":
            calls[event["index"]][2] += message["tool_calls"]["function"]["arguments"]
        elif event["type"] == "citation-start":
            citations.append(message["citations"]["text"])
    return plan, [(kind, text) for kind, text in contents.values()], calls, citations


@recorded.parameters(recorded.cases("cohere", "embeddings"))
def test_embeddings(case: Path) -> None:
    """Vectors come as they were, in OpenAI's list, with what was billed."""
    raw = recorded.response_file(case).read_bytes()
    said = json.loads(raw)
    reply = cohere.ADAPTER.operations["embeddings"].parse(CALL, 200, {}, raw)  # type: ignore[operator]
    told = json.loads(reply.body)
    assert [one["embedding"] for one in told["data"]] == said["embeddings"]["float"]
    assert [one["index"] for one in told["data"]] == list(range(len(told["data"])))
    billed = said["meta"]["billed_units"]
    assert reply.usage is not None
    assert reply.usage.input == billed.get("input_tokens", 0)
    assert reply.usage.images == billed.get("images", 0)
    assert told["usage"]["prompt_tokens"] == billed.get("input_tokens", 0)


@recorded.parameters(recorded.cases("cohere", "error"))
def test_error(case: Path) -> None:
    """A refusal has its status' cause and the host's words."""
    meta = recorded.meta(case)
    raw = recorded.response_file(case).read_bytes()
    fault = cohere.WIRE.fault(meta["status"], {}, raw)
    causes = {404: "status_404", 401: "credential_refused"}
    assert (fault.kind.code, fault.cause) == ("upstream_error", causes[meta["status"]])
    assert fault.provider is not None
    assert fault.provider.status == meta["status"]
    if meta["status"] == 404:
        assert json.loads(raw)["message"][:40] in fault.message


@recorded.parameters(sorted(OLD_WIRE))
def test_left_out(case: Path) -> None:
    """What is not replayed is of the old wire: it has no message at all."""
    assert "text" in json.loads(recorded.response_file(case).read_bytes())


def asked() -> list[Path]:
    found = spoken("chat") + spoken("chat_stream")
    return [case for case in found if (case / "request.json").exists()]


def parts_of(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def as_talk(told: dict[str, Any]) -> Talk:
    """A recorded request in the typed form, read plainly."""
    talk = Talk("chat")
    for message in told.pop("messages"):
        role = message["role"]
        parts: list[Any] = []
        for part in parts_of(message.get("content")):
            if part["type"] == "text":
                parts.append(Text(part["text"]))
            else:
                assert part["type"] == "thinking"
                parts.append(Thinking(part["thinking"]))
        if role == "tool":
            parts = [ToolResult(message["tool_call_id"], parts)]
        for call in message.get("tool_calls") or ():
            function = call["function"]
            parts.append(ToolUse(call["id"], function["name"], function["arguments"]))
        talk.messages.append(Message("user" if role == "tool" else role, parts))
    for tool in told.pop("tools", None) or ():
        function = tool["function"]
        schema = json.dumps(function["parameters"]).encode()
        talk.tools.append(Tool(function["name"], function.get("description"), schema))
    if told.pop("tool_choice", None) is not None:
        talk.choice = ToolChoice("any")
    form = told.pop("response_format", None)
    if form is not None:
        talk.format = Format("schema", schema=json.dumps(form["json_schema"]).encode())
    if told.pop("thinking", None) is not None:
        talk.thinking = "on"
    names = {"p": "top_p", "k": "top_k", "stop_sequences": "stop"}
    plain = ("temperature", "max_tokens", "seed", "presence_penalty", "frequency_penalty")
    for name in (*plain, *names):
        if name in told:
            setattr(talk, names.get(name, name), told.pop(name))
    talk.extra = {
        name: json.dumps(value).encode()
        for name, value in told.items()
        if name not in ("model", "stream")
    }
    return talk


@recorded.parameters(asked())
def test_request(case: Path) -> None:
    """What was recorded is written again: every turn, tool and member."""
    recorded_request = json.loads((case / "request.json").read_bytes())
    losses = Losses()
    stream = recorded_request.get("stream") is True
    call = Call("chat", recorded_request["model"], "https://u", CALL.body, stream)
    talk = as_talk(dict(recorded_request))
    built = cohere.WIRE.build(call, Credential("none"), talk, losses)
    written = json.loads(built.body)
    assert losses.names == ()
    for side in (written, recorded_request):
        for message in side["messages"]:
            message["content"] = parts_of(message.get("content"))
            message.pop("tool_plan", None)  # what a model planned goes back as its words
            for name in [name for name, value in message.items() if not value]:
                del message[name]  # some clients write empty lists
        side.setdefault("stream", False)
    assert written == recorded_request
