# ruff: noqa: E501 - a row of a zoo stays on its line
"""The conformance kit: our own adapters pass it, and each broken one is caught by its rule."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from gateway.core.talk.model import Answer
from gateway.sdk import (
    PASSTHROUGH,
    UPSTREAM_ERROR,
    Adapter,
    Fault,
    Operation,
    Quirks,
    Reply,
    StreamMeter,
    UpstreamRequest,
    Usage,
    adapted,
    bearer,
    compatible,
)
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
from gateway.sdk.testing import Broken, Sample, Subject, Unfit, load, of, verdicts

ROOT = Path(__file__).parents[2]

declared = ConfigParser()
declared.read(ROOT / "setup.cfg")
OURS = [
    line.split("=")[0].strip()
    for line in declared["options.entry_points"]["gateway.providers"].split("\n")
    if line.strip()
]


def broken(subject: Subject) -> dict[str, Broken]:
    return {name: one for name, one in verdicts(subject).items() if isinstance(one, Broken)}


@pytest.mark.parametrize("name", OURS)
def test_ours_pass(name: str) -> None:
    """Every adapter that this package declares keeps every rule."""
    found = verdicts(load(name))
    assert {check: str(one) for check, one in found.items() if isinstance(one, Broken)} == {}
    assert sum(one is None for one in found.values()) >= 8


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """pytest in a folder of its own, as an author runs it."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", *arguments],
        cwd=folder, capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )  # fmt: skip


def installed(folder: Path, code: str, name: str = "newt") -> None:
    """A package with an adapter, as pip leaves it."""
    (folder / f"{name}_adapter.py").write_text(code)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[gateway.providers]\n{name} = {name}_adapter:ADAPTER\n"
    )


def test_through_pytest(tmp_path: Path) -> None:
    """`pytest --gateway-adapter` runs it for an installed package, and reports rules in words."""
    installed(tmp_path, "from gateway.sdk import compatible\nADAPTER = compatible('newt')\n")
    done = run_pytest(tmp_path, "--gateway-adapter", "newt", "--gateway-adapter", "sim")
    assert done.returncode == 0, done.stdout
    assert "newt: chat: splits_are_exact" in done.stdout
    assert "sim: chat: build_is_pure" in done.stdout


def test_a_failure_through_pytest(tmp_path: Path) -> None:
    """A broken rule fails the run with its number and a remedy, without the kit's stack."""
    installed(
        tmp_path,
        "import time\nfrom gateway.sdk import *\n"
        "def build(call, credential):\n"
        "    time.sleep(0)\n"
        "    return UpstreamRequest('POST', call.base_url, bearer(credential), b'{}')\n"
        "ADAPTER = Adapter('newt', {'chat': Operation(build)})\n",
    )
    done = run_pytest(tmp_path, "--gateway-adapter", "newt")
    assert done.returncode == 1
    assert "Rule 1 of docs/adapters.md is broken: build uses time.sleep." in done.stdout
    assert "To mend it:" in done.stdout
    assert "Traceback" not in done.stdout


def test_without_the_option(tmp_path: Path) -> None:
    """Whoever does not ask for the kit gets none of it, nor its modules."""
    (tmp_path / "test_nothing.py").write_text(
        "import sys\ndef test_it():\n    assert 'gateway.sdk.testing.suite' not in sys.modules\n"
    )
    done = run_pytest(tmp_path)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == 1


def test_samples_from_a_folder(tmp_path: Path) -> None:
    """Files in `--gateway-samples` are samples like those in the module."""
    (tmp_path / "s").mkdir()
    wrong = {"operation": "chat", "name": "odd", "stream": 'data: {"choices":[]}\n\n'}
    (tmp_path / "s" / "odd.json").write_text(json.dumps([wrong]))
    done = run_pytest(tmp_path, "--gateway-adapter", "openai", "--gateway-samples", "s")
    assert done.returncode == 1
    assert (
        "Rule 5 of docs/adapters.md is broken: 'odd' is whole, and never complete." in done.stdout
    )


def test_samples_that_are_not_there(tmp_path: Path) -> None:
    """A folder that was named and is not there is an error, not an empty one."""
    done = run_pytest(tmp_path, "--gateway-adapter", "openai", "--gateway-samples", "nowhere")
    assert done.returncode == 4
    assert "there is no folder nowhere" in done.stdout + done.stderr


def test_a_sample_that_cannot_be_read(tmp_path: Path) -> None:
    """It is said, and not passed over."""
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "odd.json").write_text('{"operation": "chat", "strem": "x"}')
    done = run_pytest(tmp_path, "--gateway-adapter", "openai", "--gateway-samples", "s")
    assert done.returncode == 1
    assert "strem" in done.stdout


# A host with a wire of its own, done right; the zoo holds it with one thing wrong each.


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


def test_a_wire_of_its_own_passes() -> None:
    """All that can be asked of it holds."""
    found = verdicts(newt())
    assert {n: str(o) for n, o in found.items() if isinstance(o, Broken)} == {}
    unfit = {n for n, one in found.items() if isinstance(one, Unfit)}
    assert unfit == {"chat: members_stay"}


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


def boom(*_: Any) -> Any:
    raise ZeroDivisionError


def forever(*_: Any) -> Any:
    while True:
        pass


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


def test_a_clock_taken_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`from time import time` is found as well."""
    installed(
        tmp_path,
        "from time import monotonic as now\nfrom gateway.sdk import *\n"
        "def build(call, credential):\n"
        "    now()\n"
        "    body = adapted(call, Quirks()).raw\n"
        "    return UpstreamRequest('POST', call.base_url, bearer(credential), body)\n"
        "ADAPTER = Adapter('olm', {'chat': Operation(build)})\n",
        "olm",
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = broken(load("olm"))
    assert {one.rule for one in found.values()} == {1}
    assert time.monotonic() > 0  # and everything is back in its place


@pytest.mark.parametrize(
    ("adapter", "told"),
    [
        ({}, "it is a dict"),
        (Adapter("x", {}), "declares no operations"),
        (Adapter("x", {"chat": 1}), "is no Operation"),  # type: ignore[dict-item]
        (Adapter("x", {"chat": Operation(build)}, contract=9), "contract 9"),
        (Adapter("x", {"chat": Operation(build, parse=7)}), "can't be called"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_adapter(adapter: Any, told: str) -> None:
    """It fails one check, and nothing else is asked of it."""
    (found,) = verdicts(of("x", adapter)).values()
    assert isinstance(found, Broken)
    assert found.rule == 11
    assert told in str(found)


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


def test_quirks_do_not_offend() -> None:
    """What `compatible` can declare keeps all rules."""
    quirks = Quirks(
        rename={"max_completion_tokens": "max_tokens"},
        drop=frozenset({"logit_bias"}),
        default={"safety": b'"low"'},
        clamp={"temperature": (0.0, 1.0)},
        roles={"developer": "system"},
        stream_usage=False,
    )
    assert broken(of("teal", compatible("teal", quirks=quirks))) == {}
    assert StreamMeter(hide_usage=True).complete is False
