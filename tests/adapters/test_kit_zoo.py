# ruff: noqa: E501 - a row of a zoo stays on its line
"""Each broken adapter is caught by its rule."""

from __future__ import annotations

import json
import os
import random
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.sdk import (
    PASSTHROUGH,
    UPSTREAM_ERROR,
    Fault,
    Quirks,
    Reply,
    UpstreamRequest,
    Usage,
    adapted,
    bearer,
)
from tests.adapters.kit_newt import Lines, boom, broken, build, forever, newt


def changed(**parts: Any) -> Callable[[Any, Any], Any]:
    """A build whose request has other members."""
    return lambda call, credential: msgspec.structs.replace(build(call, credential), **parts)


def made(work: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A build that does something besides."""

    def besides(call: Any, credential: Any) -> Any:
        work(call, credential)
        return build(call, credential)

    return besides


def lines(**methods: Any) -> type[Lines]:
    """A translator with methods of its own."""
    return type("Odd", (Lines,), methods)


COUNT: list[int] = []


def counting(call: Any, credential: Any) -> UpstreamRequest:
    COUNT.append(1)
    headers = (*bearer(credential), ("X-Count", str(len(COUNT))))
    return msgspec.structs.replace(build(call, credential), headers=headers)


def reordered(call: Any, _credential: Any) -> UpstreamRequest:
    body = msgspec.json.decode(call.body.raw)
    body["model"] = call.upstream
    return UpstreamRequest("POST", call.base_url, (), json.dumps(body, sort_keys=True).encode())


def in_the_url(call: Any, credential: Any) -> UpstreamRequest:
    made = build(call, credential)
    return msgspec.structs.replace(made, url=made.url + "?key=" + credential.api_key)


def in_the_body(call: Any, credential: Any) -> UpstreamRequest:
    body = call.body.replace({"key": msgspec.json.encode(credential.api_key)})
    return UpstreamRequest("POST", call.base_url, (), adapted(call, Quirks()).raw + body.raw)


def forgetful(call: Any, credential: Any) -> UpstreamRequest:
    return UpstreamRequest("POST", call.base_url, bearer(credential), call.body.raw)


def swallowing(call: Any, _credential: Any) -> Any:
    try:
        time.sleep(1)
    except Exception:
        pass
    return build(call, _credential)


def repeating(status: int, headers: Any, body: bytes) -> Fault:
    return Fault(UPSTREAM_ERROR, body.decode(errors="replace")[:90].replace("\n", " ") or "none")


def utf8(self: Lines, data: bytes) -> bytes:
    return Lines.feed(self, data.decode().encode())


def no_tail(self: Lines, data: bytes) -> bytes:
    return b"".join(self.line(line) for line in data.split(b"\n") if line)


def at_the_end(self: Lines) -> bytes:
    self.complete = True
    return b""


def shrinking(self: Lines, line: bytes) -> bytes:
    out = Lines.line(self, line)
    self.usage = Usage(input=3, output=4 if self.complete else 9)
    return out


def outside(self: Lines, line: bytes) -> bytes:
    out = Lines.line(self, line)
    if self.complete:
        self.usage = Usage(input=3, output=4, cached=50)
    return out


def half(self: Lines, line: bytes) -> bytes:
    return Lines.line(self, line).rstrip(b"\n")


def greedy(self: Lines, data: bytes) -> bytes:
    *lines, self.tail = (self.tail + data).split(b"\n")
    return b"".join(map(self.line, lines))


ZOO: dict[str, tuple[int, dict[str, Any]]] = {
    "sleeps": (1, {"build": made(lambda *_: time.sleep(0))}),
    "sleeps, and catches what stops it": (1, {"build": swallowing}),
    "asks a clock": (1, {"build": made(lambda *_: time.time())}),
    "throws dice": (1, {"build": made(lambda *_: random.random())}),
    "reads the environment": (1, {"build": made(lambda *_: os.environ.get("KEY"))}),
    "keeps a count": (1, {"build": counting}),
    "starts a thread": (1, {"build": made(lambda *_: threading.Thread(target=boom).start())}),
    "opens a file": (2, {"build": made(lambda *_: Path("/dev/null").read_bytes())}),
    "runs a program": (2, {"build": made(lambda *_: subprocess.run(["true"], check=False))}),
    "builds no request": (12, {"build": lambda *_: None}),
    "builds a body of text": (12, {"build": changed(body="text")}),
    "builds headers of a list": (12, {"build": changed(headers=[["a", "b"]])}),
    "fails to build": (12, {"build": boom}),
    "builds for ever": (4, {"build": forever}),
    "goes elsewhere": (10, {"build": changed(url="https://elsewhere.example/v1/x")}),
    "does not encode its URL": (10, {"build": changed(url="https://kit.example/v1/a b")}),
    "sets a connection's header": (10, {"build": changed(headers=(("Host", "x"),))}),
    "writes two headers in one": (10, {"build": changed(headers=(("X", "a\r\nY: b"),))}),
    "puts the secret in the URL": (15, {"build": in_the_url}),
    "puts the secret in the body": (15, {"build": in_the_body}),
    "forgets the model": (16, {"build": forgetful}),
    "reorders schemas": (16, {"build": reordered}),
    "changes members": (9, {"build": reordered, "parse": PASSTHROUGH, "stream": PASSTHROUGH}),
    "hears in capitals": (11, {"hears": ("X-Beta",)}),
    "fails to parse": (12, {"parse": boom}),
    "parses to nothing": (12, {"parse": lambda *_: None}),
    "parses to text": (12, {"parse": lambda *_: Reply("text")}),  # type: ignore[arg-type]
    "parses what is good alone": (12, {"parse": lambda _c, _s, _h, b: Reply(b, Usage(**msgspec.json.decode(b)))}),
    "fails to open a stream": (4, {"stream": boom}),
    "fails to feed": (4, {"stream": lines(feed=boom)}),
    "fails to finish": (4, {"stream": lines(finish=boom)}),
    "feeds text": (4, {"stream": lines(feed=lambda *_: "text")}),
    "feeds for ever": (4, {"stream": lines(feed=forever)}),
    "decodes each piece": (4, {"stream": lines(feed=utf8)}),
    "has no tail": (3, {"stream": lines(feed=no_tail)}),
    "is complete at the end of the bytes": (5, {"stream": lines(finish=at_the_end)}),
    "is never complete": (5, {"stream": lines(line=lambda *_: b"")}),
    "gives half events": (4, {"stream": lines(line=half)}),
    "lets usage shrink": (7, {"stream": lines(line=shrinking)}),
    "counts cached tokens outside": (7, {"stream": lines(line=outside)}),
    "keeps everything": (17, {"stream": lines(feed=greedy)}),
    "fails on usage": (7, {"usage": boom}),
    "fails on a refusal": (6, {"fault": boom}),
    "makes no fault of a refusal": (6, {"fault": lambda *_: None}),
    "repeats the secret": (15, {"fault": repeating}),
    "fails to see a fault": (6, {"fault_in": boom}),
    "sees faults everywhere": (6, {"parse": PASSTHROUGH, "fault_in": lambda _: Fault(UPSTREAM_ERROR, "x")}),
}  # fmt: skip


@pytest.mark.parametrize("name", ZOO)
def test_the_zoo(name: str) -> None:
    """Each broken adapter breaks its rule, and says which and how to mend it."""
    rule, changes = ZOO[name]
    found = broken(newt(**changes))
    assert rule in {one.rule for one in found.values()}, {n: str(o) for n, o in found.items()}
    assert all("To mend it: " in str(one) for one in found.values())
