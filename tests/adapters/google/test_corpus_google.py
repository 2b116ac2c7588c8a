"""Every recording of this wire, read whole and as a stream, against a plain reading of its JSON."""

from __future__ import annotations

import base64
import json
import random
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.core import sse
from gateway.core.body import JsonBody
from gateway.domain import Credential
from gateway.errors import INVALID_REQUEST, UPSTREAM_ERROR
from gateway.sdk import Adapter, Call
from gateway.sdk.talk import (
    Broke,
    Closed,
    Ended,
    Event,
    Losses,
    Message,
    Opened,
    Stopped,
    Talk,
    Used,
)
from providers_plugins.google import GOOGLE, VERTEX
from providers_plugins.google.whole import gathered
from tests import recorded
from tests.adapters.google.plain_google import check, cited_places, pieces_of, plain

pytestmark = recorded.needs_corpus

ADAPTERS: dict[str, Adapter] = {"gemini": GOOGLE, "vertex": VERTEX}
# Recorded at the same hosts, but not on this wire.
OTHER_WIRES = {
    "pydantic-ai-test_openai-test_compatible_api_with_tool_calls_without_id-0",  # OpenAI's surface
    "pydantic-ai-test_openai-test_compatible_api_with_tool_calls_without_id-1",
    "fantasy-testgooglecommon-vertex-claude-3-7-sonnet-tool-0",  # Claude, on the wire of Messages
    "fantasy-testgooglecommon-vertex-claude-3-7-sonnet-tool-1",
    "fantasy-testgooglecommon-vertex-claude-3-7-sonnet-tool_streaming-1",
    "fantasy-testgooglevertexobjectgeneration-vertex-claude-3-7-sonnet-complex_object_streaming-0",
}
EVERY_BYTE_UNDER = 8192


def cases(*operations: str) -> list[Path]:
    found = [case for name in ADAPTERS for case in recorded.cases(name, *operations)]
    return [case for case in found if case.name not in OTHER_WIRES]


def adapter_of(case: Path) -> Adapter:
    return ADAPTERS[case.parts[-3]]


def call(stream: bool = False, operation: str = "chat", body: bytes = b"{}") -> Call:
    return Call(operation, "m", "https://u.example", JsonBody.parse(body), stream=stream, now=7.0)


@recorded.parameters(cases("chat", "image_chat"))
def test_whole(case: Path) -> None:
    """A whole answer says what the recording says."""
    body = recorded.response_file(case).read_bytes()
    wire = adapter_of(case).wire
    assert wire is not None
    answer = wire.read(call(), {}, body)
    piece = json.loads(body)
    check(answer, plain([piece]))
    grounding = [c.get("groundingMetadata", {}) for c in piece.get("candidates", [])[:1]]
    supports = [s for g in grounding for s in g.get("groundingSupports", [])]
    quotes = cited_places(answer)
    assert {s["segment"]["text"] for s in supports} <= set(quotes)
    assert wire.read(call(), {}, body) == answer


@recorded.parameters(cases("chat", "image_chat"))
def test_goes_back(case: Path) -> None:
    """As history, an answer is what the provider said: each part, and each signature on its own."""
    body = recorded.response_file(case).read_bytes()
    adapter = adapter_of(case)
    assert adapter.wire is not None
    answer = adapter.wire.read(call(), {}, body)
    losses = Losses()
    talk = Talk("chat", model="gemini-2.5-flash", messages=[Message("assistant", answer.parts)])
    credential = Credential("c", {"api_key": "k"})
    request = adapter.wire.build(call(), credential, talk, losses)
    turns = json.loads(request.body)["contents"]
    said = [it for it in json.loads(body).get("candidates", []) if it.get("index", 0) == 0][:1]
    parts = said[0].get("content", {}).get("parts", []) if said else []
    assert [comparable(it) for it in (turns[0]["parts"] if turns else [])] == merged(parts)
    assert losses.names == ()


def comparable(part: dict[str, Any]) -> dict[str, Any]:
    """Without the ids that the gateway made, and what says no more than its absence."""
    part = {name: value for name, value in part.items() if value is not False}
    if "functionCall" in part:
        part["functionCall"] = {"args": {}, **part["functionCall"], "id": None}
    return part


def merged(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Words that follow words of the same kind are one part, up to the one that is signed."""
    found: list[dict[str, Any]] = []
    for part in map(comparable, parts):
        if part.get("thought") and "inlineData" in part:
            continue
        last = found[-1] if found else {}
        goes_on = "text" in part and "text" in last and "thoughtSignature" not in last
        if goes_on and part.get("thought") == last.get("thought"):
            last |= {**part, "text": last["text"] + part["text"]}
        elif part.get("text") != "" or "thoughtSignature" in part:
            found.append(dict(part))
    return found


def stream_of(case: Path) -> bytes:
    """The stream's bytes; what was recorded without frames is framed here."""
    file = recorded.response_file(case)
    data = file.read_bytes()
    if file.suffix == ".sse":
        return data
    if file.suffix == ".jsonl":
        return b"".join(sse.event(line) for line in data.splitlines() if line.strip())
    elements = msgspec.json.decode(data, type=list[msgspec.Raw])
    return b"".join(sse.event(msgspec.json.format(bytes(it), indent=-1)) for it in elements)


def told(adapter: Adapter, chunks: list[bytes]) -> list[Event]:
    assert adapter.wire is not None
    reader = adapter.wire.reader(call(stream=True))
    found: list[Event] = []
    for chunk in chunks:
        found += reader.feed(chunk)
    return [*found, *reader.finish()]


def splits(case: Path, data: bytes) -> list[list[bytes]]:
    found = [[data]]
    if len(data) < EVERY_BYTE_UNDER:
        found.append([data[i : i + 1] for i in range(len(data))])
    chance = random.Random(case.name)
    for _ in range(3):
        cuts = sorted(chance.sample(range(1, len(data)), min(40, len(data) - 1)))
        found.append([data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)])
    return found


def well_formed(events: list[Event]) -> None:
    """Parts are opened and closed in turn; the end is told last, and after the usage."""
    opened: list[int] = []
    closed: list[int] = []
    for event in events:
        if isinstance(event, Opened):
            assert event.index == len(opened)
            assert opened == closed
            opened.append(event.index)
        elif isinstance(event, Closed):
            closed.append(event.index)
        elif isinstance(event, Stopped):
            assert opened == closed
    kinds = [type(event) for event in events]
    assert kinds[-1] is Ended
    assert kinds.count(Ended) == kinds.count(Stopped) == 1
    assert kinds.index(Stopped) == len(kinds) - (3 if Used in kinds else 2)


@recorded.parameters(cases("chat_stream"))
def test_stream(case: Path) -> None:
    """A stream says what the recording says, however it is split; cut short it has no end."""
    data = stream_of(case)
    seen = plain(pieces_of(case))
    adapter = adapter_of(case)
    # Events hold the very parts they open, and gathering adds to those: copies are compared.
    whole = [msgspec.json.encode(it) for it in told(adapter, [data]) if not isinstance(it, Broke)]
    for chunks in splits(case, data):
        events = told(adapter, chunks)
        assert [msgspec.json.encode(it) for it in events] == whole
        well_formed(events)
        answer = gathered(events)
        check(answer, seen)
        cited_places(answer)
    half = told(adapter, [data[: len(data) // 2]])
    assert not any(isinstance(event, Ended | Stopped) for event in half)


@recorded.parameters(cases("chat_stream"))
def test_stream_is_the_whole(case: Path) -> None:
    """One last piece alone reads the same whole and streamed, call ids and all."""
    piece = pieces_of(case)[-1]
    body = json.dumps(piece).encode()
    adapter = adapter_of(case)
    assert adapter.wire is not None
    assert gathered(told(adapter, [sse.event(body)])) == adapter.wire.read(call(), {}, body)


@recorded.parameters(cases("error"))
def test_error(case: Path) -> None:
    """A refused key is the operator's to mend; all else keeps its meaning and its codes."""
    status = recorded.meta(case)["status"]
    body = recorded.response_file(case).read_bytes()
    wire = adapter_of(case).wire
    assert wire is not None
    for shape in (body, b"[" + body + b"]"):
        fault = wire.fault(status, {}, shape)
        error = json.loads(body)["error"]
        assert fault.provider is not None
        assert fault.provider.status == status
        assert fault.provider.type == error["status"]
        if "API_KEY_INVALID" in json.dumps(error):
            assert (fault.kind, fault.cause) == (UPSTREAM_ERROR, "credential_refused")
            assert "API key" not in fault.message
        elif status == 400 or "CachedContent" in error["message"]:
            assert fault.kind is INVALID_REQUEST
            assert fault.message[:60] in " ".join(error["message"].split())
            long = "maximum number of tokens" in error["message"]
            assert (fault.cause == "context_length") == long
        else:
            assert (fault.kind, fault.cause) == (UPSTREAM_ERROR, f"status_{status}")
        (broke,) = told(adapter_of(case), [sse.event(json.dumps(json.loads(shape)).encode())])
        assert isinstance(broke, Broke)
        assert broke.fault.kind is fault.kind


@recorded.parameters(cases("embeddings"))
def test_embeddings(case: Path) -> None:
    """Vectors come through number by number, in either encoding, with what they took."""
    body = recorded.response_file(case).read_bytes()
    found = json.loads(body)
    vectors = found.get("embeddings") or [it["embeddings"] for it in found["predictions"]]
    counts = [it["statistics"]["token_count"] for it in vectors if "statistics" in it]
    taken = found.get("usageMetadata", {}).get("promptTokenCount") or sum(counts) or None
    operation = adapter_of(case).operations["embeddings"]
    assert callable(operation.parse)
    reply = operation.parse(call(operation="embeddings"), 200, {}, body)
    answer = json.loads(reply.body)
    assert [it["embedding"] for it in answer["data"]] == [it["values"] for it in vectors]
    assert [it["index"] for it in answer["data"]] == list(range(len(vectors)))
    assert (reply.usage.input if reply.usage else None) == taken
    assert answer.get("usage", {}).get("prompt_tokens") == taken
    packed = call(operation="embeddings", body=b'{"encoding_format":"base64"}')
    other = json.loads(operation.parse(packed, 200, {}, body).body)
    for it, vector in zip(other["data"], vectors, strict=True):
        data = base64.b64decode(it["embedding"])
        assert list(struct.unpack(f"<{len(data) // 4}f", data)) == pytest.approx(vector["values"])


OPERATIONS = ("chat", "chat_stream", "embeddings", "error", "image_chat")
LEFT_OUT = [
    case
    for name in ADAPTERS
    for case in recorded.cases(name, *OPERATIONS)
    if case not in cases(*OPERATIONS)
]


@recorded.parameters(LEFT_OUT)
def test_left_out(case: Path) -> None:
    """What is not compared here was recorded on another wire, and is there to be named."""
    assert "generateContent" not in recorded.meta(case)["url"]
    assert {left.name for left in LEFT_OUT} == OTHER_WIRES
