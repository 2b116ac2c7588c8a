"""The kit's checks of sessions: one that is right passes, each that is wrong breaks its rule."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.sdk import (
    UPSTREAM_ERROR,
    Adapter,
    Fault,
    Frames,
    Operation,
    UpstreamRequest,
    Usage,
)
from gateway.sdk.testing import Broken, Sample, Subject, Unfit, of, verdicts
from tests.adapters.kit_newt import boom, broken, forever

SAMPLES = (
    Sample(
        "realtime",
        "hello",
        request={"model": "client-model"},
        dialogue=[{"client": {"type": "x"}}, {"provider": '{"say":"hi","out":4}'}],
        text="hi",
        output=4,
    ),
)


class Echo:
    """Counts `out`, tells what is said, and asks for the route's model."""

    fault: Any = None

    def __init__(self, call: Any, credential: Any) -> None:
        self.call, self.credential = call, credential
        self.used: list[Any] = []

    def opening(self) -> Any:
        return Frames(to_provider=(msgspec.json.encode({"model": self.call.upstream}),))

    def from_client(self, message: bytes) -> Any:
        try:
            msgspec.json.decode(message, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return Frames(to_client=(b'{"type":"error"}',))
        return Frames(to_provider=(b'{"heard":%d}' % len(message),))

    def from_provider(self, message: bytes) -> Any:
        try:
            said = msgspec.json.decode(message, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.fault = Fault(UPSTREAM_ERROR, "It can't be read.")
            return Frames()
        if isinstance(said.get("out"), int) and 0 <= said["out"] < 1 << 40:
            self.used.append(Usage(output=said["out"]))
        return Frames(to_client=(msgspec.json.encode(str(said.get("say"))),))

    def take_usage(self) -> Any:
        used, self.used = self.used, []
        return tuple(used)


PARTS = (*vars(Echo), "greeting", "fault")


def echo(**changes: Any) -> Subject:
    """The right one, with something changed."""

    def build(call: Any, credential: Any) -> UpstreamRequest:
        login = (("Authorization", f"Bearer {credential.api_key}"),)
        return UpstreamRequest("GET", "ws" + call.base_url[4:] + "/talk", login)

    made = type("Changed", (Echo,), {n: w for n, w in changes.items() if n in PARTS})
    parts = {"session": made, "build": build, **changes}
    operation = Operation(build=parts["build"], session=parts["session"])
    subject = of("echo", Adapter("echo", {"realtime": operation}))
    return msgspec.structs.replace(subject, samples=SAMPLES)


def test_the_right_one_passes() -> None:
    """All that is asked of sessions holds."""
    found = verdicts(echo())
    assert {name: str(one) for name, one in found.items() if isinstance(one, Broken)} == {}
    asked = [name for name, one in found.items() if "session" in name or "bad_messages" in name]
    assert len(asked) == 4
    assert not any(isinstance(found[name], Unfit) for name in asked)


def elsewhere(call: Any, _credential: Any) -> UpstreamRequest:
    return UpstreamRequest("GET", "wss://elsewhere.example/talk", ())


def no_websocket(call: Any, _credential: Any) -> UpstreamRequest:
    return UpstreamRequest("GET", call.base_url + "/talk", ())


def greedy(self: Any, message: bytes) -> Any:
    self.used.append(message)
    return Frames()


def secretive(self: Any, _message: bytes) -> Any:
    return Frames(to_client=(b'"' + self.credential.api_key.encode() + b'"',))


def counting() -> Any:
    seen: list[int] = []

    def opening(self: Any) -> Any:
        seen.append(1)
        return Frames(to_provider=(b'{"model":"%b%d"}' % (self.call.upstream.encode(), len(seen)),))

    return opening


def wrong(self: Any) -> Any:
    self.used = []
    return (Usage(input=1, cached=9),)


ZOO: dict[str, tuple[int, dict[str, Any]]] = {
    "has no session": (11, {"session": 7}),
    "goes elsewhere": (10, {"build": elsewhere}),
    "opens no websocket": (10, {"build": no_websocket}),
    "fails to begin": (4, {"session": boom}),
    "fails at a client's message": (4, {"from_client": boom}),
    "fails at a provider's message": (4, {"from_provider": boom}),
    "fails at a greeting": (4, {"greeting": boom}),
    "makes no fault of a greeting": (6, {"greeting": lambda *_: "no"}),
    "has no fault": (6, {"fault": "no"}),
    "talks for ever": (4, {"from_client": forever}),
    "returns nothing": (12, {"from_client": lambda *_: None}),
    "returns text": (12, {"opening": lambda *_: Frames(to_client=("text",))}),  # type: ignore[arg-type]
    "sends bytes that are no text": (4, {"opening": lambda *_: Frames(to_client=(b"\xff",))}),
    "keeps a count": (1, {"opening": counting()}),
    "tells the secret": (15, {"from_provider": secretive}),
    "forgets the model": (16, {"opening": lambda *_: Frames()}),
    "sends the client's model": (
        16,
        {"opening": lambda *_: Frames(to_provider=(b'"kit-upstream-model" "client-model"',))},
    ),
    "counts what cannot be": (7, {"take_usage": wrong}),
    "counts nothing": (7, {"take_usage": lambda *_: ()}),
    "says nothing": (4, {"from_provider": lambda *_: Frames()}),
    "keeps everything": (17, {"from_client": greedy, "take_usage": lambda *_: ()}),
}


@pytest.mark.parametrize("name", ZOO)
def test_the_zoo(name: str) -> None:
    """Each breaks its rule, and says which and how to mend it."""
    rule, changes = ZOO[name]
    found = broken(echo(**changes))
    assert rule in {one.rule for one in found.values()}, {n: str(o) for n, o in found.items()}
    assert all("To mend it: " in str(one) for one in found.values())
