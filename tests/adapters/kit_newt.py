"""A host with a wire of its own, done right; the zoos hold it with one thing wrong each."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from gateway.sdk import (
    UPSTREAM_ERROR,
    Adapter,
    Fault,
    Operation,
    Quirks,
    Reply,
    UpstreamRequest,
    Usage,
    adapted,
    bearer,
)
from gateway.sdk.testing import Broken, Sample, Subject, of, verdicts


def build(call: Any, credential: Any) -> UpstreamRequest:
    body = adapted(call, Quirks())
    return UpstreamRequest("POST", call.base_url + "/x", bearer(credential), body.raw)


def parse(call: Any, status: int, headers: Any, body: bytes) -> Reply:
    try:
        used = msgspec.json.decode(body, type=dict[str, int])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Fault(UPSTREAM_ERROR, "The provider's answer can't be read.") from None
    if not 0 <= used.get("out", 0) < 1 << 40:
        raise Fault(UPSTREAM_ERROR, "The provider's answer can't be read.")
    return Reply(b'{"said":"hi"}', Usage(input=3, output=used.get("out", 0)))


class Lines:
    """`say` lines into events; `#n` ends it."""

    def __init__(self, call: Any) -> None:
        self.usage: Any = None
        self.fault: Any = None
        self.complete: Any = False
        self.tail = b""

    def feed(self, data: bytes) -> Any:
        *lines, self.tail = (self.tail + data).split(b"\n")
        self.tail = self.tail[: 1 << 20]
        return b"".join(map(self.line, lines))

    def finish(self) -> Any:
        return b""

    def line(self, line: bytes) -> bytes:
        if self.complete:
            return b""
        if line.startswith(b"#") and line[1:].isdigit() and len(line) < 9:
            self.usage = Usage(input=3, output=int(line[1:]))
            self.complete = True
            return b"data: [DONE]\n\n"
        return b"data: " + msgspec.json.encode(line.decode(errors="replace")) + b"\n\n"


SAMPLES = (
    Sample("chat", "hello", stream="hé\nllo\n#4\n", end_mark="#4", text="hé", input=3, output=4),
    Sample("chat", "whole", answer='{"out":4}', text="hi", output=4),
)


def newt(module: ModuleType | None = None, **changes: Any) -> Subject:
    """The right one, with something changed."""
    parts: dict[str, Any] = {"build": build, "parse": parse, "stream": Lines, **changes}
    subject = of("newt", Adapter("newt", {"chat": Operation(**parts)}), module)
    return msgspec.structs.replace(subject, samples=SAMPLES)


def broken(subject: Subject) -> dict[str, Broken]:
    return {name: one for name, one in verdicts(subject).items() if isinstance(one, Broken)}


def boom(*_: Any) -> Any:
    raise ZeroDivisionError


def forever(*_: Any) -> Any:
    while True:
        pass


def installed(folder: Path, code: str, name: str = "newt") -> None:
    """A package with an adapter, as pip leaves it."""
    (folder / f"{name}_adapter.py").write_text(code)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[gateway.providers]\n{name} = {name}_adapter:ADAPTER\n"
    )
