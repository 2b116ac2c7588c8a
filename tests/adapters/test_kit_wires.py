# ruff: noqa: E501 - a row of a zoo stays on its line
"""The conformance kit for wires and logins: a right one passes, each broken one is caught."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest

from gateway.core.talk.model import Answer
from gateway.sdk import UPSTREAM_ERROR, Adapter, Fault, Operation, UpstreamRequest, Usage, bearer
from gateway.sdk.talk import (
    Began,
    Broke,
    Closed,
    Ended,
    Grew,
    Login,
    Opened,
    ReadFile,
    Stopped,
    Text,
    Token,
    Used,
    Wire,
    sse,
)
from gateway.sdk.testing import Sample, Subject, of, verdicts
from tests.adapters.kit_newt import boom, broken, build, forever, parse


# A provider's own wire: `say` in events of SSE, `end` with the count.
class SaysReader:
    """Reads `data: {"say": ...}` and `data: {"end": n}`."""

    def __init__(self, call: Any = None) -> None:
        self.splitter = sse.Splitter()
        self.begun = False
        self.done = False

    def feed(self, data: bytes) -> Any:
        for event in self.splitter.feed(data):
            payload = None if self.splitter.oversize else sse.data_of(event)
            if payload is not None and not self.done:
                yield from self.read(payload)

    def finish(self) -> Any:
        return ()

    def read(self, payload: bytes) -> Any:
        try:
            said = msgspec.json.decode(payload, type=dict[str, str | int])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if not self.begun:
            self.begun = True
            yield Began()
            yield Opened(0, Text())
        if isinstance(said.get("say"), str):
            yield Grew(0, str(said["say"]))
        if isinstance(said.get("end"), int) and 0 <= int(said["end"]) < 1 << 40:
            yield from self.end(int(said["end"]))

    def end(self, count: int) -> Any:
        self.done = True
        yield Closed(0)
        yield Stopped("stop")
        yield Used(Usage(input=3, output=count))
        yield Ended()


def wire_build(call: Any, credential: Any, talk: Any, losses: Any) -> UpstreamRequest:
    for field in ("seed", "user", "logit_bias", "metadata", "format", "stop"):
        if getattr(talk, field):
            losses.lose(field)
    tools = [msgspec.Raw(tool.schema) for tool in talk.tools]
    texts = [getattr(part, "text", "") for message in talk.messages for part in message.parts]
    ask = {"model": talk.model, "say": texts, "tools": tools}
    return UpstreamRequest(
        "POST", call.base_url + "/say", bearer(credential), msgspec.json.encode(ask)
    )


def wire_read(call: Any, headers: Any, body: bytes) -> Answer:
    reply = parse(call, 200, headers, body)
    return Answer(parts=[Text("hi")], usage=reply.usage)


WIRE_SAMPLES = (
    Sample(
        "wire", "says", stream='data: {"say":"hé"}\n\ndata: {"say":"llo"}\n\ndata: {"end":4}\n\n',
        end_mark='data: {"end"', text="héllo", input=3, output=4,
    ),
    Sample("wire", "whole", answer='{"out":4}', output=4),
)  # fmt: skip


def step(credential: Any, now: float, answers: tuple[bytes | None, ...]) -> Any:
    if not answers:
        return ReadFile("~/.newt/key")
    if not answers[0]:
        raise Fault(UPSTREAM_ERROR, "There is no key file.")
    return Token({"key": answers[0].decode(errors="replace")}, now + 60)


def spoken(login: Any = step, **changes: Any) -> Subject:
    parts: dict[str, Any] = {
        "build": wire_build, "read": wire_read, "reader": SaysReader, **changes
    }  # fmt: skip
    adapter = Adapter(
        "newt", {"chat": Operation(build)}, wire=Wire(**parts), login=Login(step=login)
    )
    return msgspec.structs.replace(of("newt", adapter), samples=WIRE_SAMPLES)


def test_a_wire_and_a_login_pass() -> None:
    """All checks of a Wire are made, and hold."""
    found = verdicts(spoken())
    mine = {n: o for n, o in found.items() if n.startswith(("wire", "login"))}
    assert len(mine) == 7
    assert {n: str(o) for n, o in mine.items() if o is not None} == {}


def reader(**methods: Any) -> type[SaysReader]:
    return type("Odd", (SaysReader,), methods)


def ends(*events: Any) -> Any:
    def end(self: SaysReader, count: int) -> Any:
        self.done = True
        usage = Used(Usage(input=3, output=count))
        return [usage if event is Used else event for event in events]

    return end


def losing(name: str) -> Any:
    def odd(call: Any, credential: Any, talk: Any, losses: Any) -> UpstreamRequest:
        losses.lose(name)
        return wire_build(call, credential, talk, losses)

    return odd


def tidying(call: Any, credential: Any, talk: Any, losses: Any) -> UpstreamRequest:
    made = wire_build(call, credential, talk, losses)
    talk.messages.clear()
    return made


def re_encoding(call: Any, credential: Any, talk: Any, losses: Any) -> UpstreamRequest:
    made = wire_build(call, credential, talk, losses)
    body = json.dumps(json.loads(made.body), sort_keys=True).encode()
    return msgspec.structs.replace(made, body=body)


def with_everything(call: Any, headers: Any, body: bytes) -> Any:
    return {"parts": []}


def cut_is_an_end(self: SaysReader) -> Any:
    return [] if self.done else [Stopped("stop"), Used(Usage()), Ended()]


WIRE_ZOO: dict[str, tuple[int, dict[str, Any]]] = {
    "names losses as it likes": (13, {"build": losing("no seed, sorry!")}),
    "changes the talk": (13, {"build": tidying}),
    "encodes schemas anew": (16, {"build": re_encoding}),
    "fails to build": (12, {"build": boom}),
    "builds nothing": (13, {"build": lambda *_: None}),
    "fails to read": (12, {"read": boom}),
    "reads a dict": (13, {"read": with_everything}),
    "fails in the reader": (4, {"reader": reader(read=boom)}),
    "reads for ever": (4, {"reader": reader(feed=forever)}),
    "stops with a part open": (13, {"reader": reader(end=ends(Stopped("stop"), Used, Ended()))}),
    "ends without usage": (13, {"reader": reader(end=ends(Closed(0), Stopped("stop"), Ended()))}),
    "goes on after the end": (13, {"reader": reader(end=ends(Closed(0), Stopped("stop"), Used, Ended(), Used))}),
    "never ends": (5, {"reader": reader(end=ends(Closed(0), Stopped("stop"), Used))}),
    "takes a cut for an end": (5, {"reader": reader(finish=cut_is_an_end)}),
    "reads pieces": (3, {"reader": reader(feed=lambda self, data: list(self.read(data[6:].strip())))}),
    "breaks on everything": (5, {"reader": reader(read=lambda *_: [])}),
    "makes no fault": (6, {"fault": boom}),
    "logs in for ever": (14, {"login": lambda *_: ReadFile("x")}),
    "fails to log in": (14, {"login": boom}),
    "logs in to nothing": (14, {"login": lambda *_: None}),
    "asks a clock to log in": (1, {"login": lambda *_: Token({}, time.time())}),
}  # fmt: skip


@pytest.mark.parametrize("name", WIRE_ZOO)
def test_the_zoo_of_wires(name: str) -> None:
    """The same for wires and logins."""
    rule, changes = WIRE_ZOO[name]
    mine = {n: o for n, o in broken(spoken(**changes)).items() if n.startswith(("wire", "login"))}
    assert rule in {one.rule for one in mine.values()}, {n: str(o) for n, o in mine.items()}


def test_broke_is_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream in which the provider tells of a failure owes no Ended."""
    fault = Fault(UPSTREAM_ERROR, "The provider is out of order.")
    subject = spoken(reader=reader(end=lambda *_: [Broke(fault)]))
    sample = Sample("wire", "fails", stream='data: {"end":4}\n\n')
    found = verdicts(msgspec.structs.replace(subject, samples=(sample,)))
    assert found["wire: reader_is_exact"] is None
