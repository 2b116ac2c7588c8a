# ruff: noqa: E501 - a row of a table stays on its line
"""Adapters by strangers that hang, raise or lie: their own routes fail, and are told of."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import pytest

from gateway.errors import INVALID_REQUEST, UPSTREAM_ERROR, Fault
from gateway.plugins import Plugins
from gateway.sdk import Adapter, Operation, Reply, UpstreamRequest, Usage, compatible
from tests.fake_upstream import Exchange, FakeUpstream
from tests.harness import Gateway, running
from tests.money import charges, entries, open_calls, payer, until
from tests.rawclient import Answer, ask, chat, request

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
LAST = (
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}\n\n'
    b"data: [DONE]\n\n"
)
SECRET = "sk-upstream-secret-0001"


class Gate:
    """A module whose import waits until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.adapter: object = compatible("slow")

    def load(self) -> object:
        self.begun.set()
        assert self.go.wait(30)
        if isinstance(self.adapter, BaseException):
            raise self.adapter
        return self.adapter


class Slow(EntryPoint):
    """An entry point that loads through a gate."""

    gates: ClassVar[dict[str, Gate]] = {}

    def load(self) -> object:
        return self.gates[self.value].load()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The adapter 'not-installed' of the test catalog, slow to import."""
    made = Gate()
    monkeypatch.setitem(Slow.gates, "slow", made)
    entries = [
        EntryPoint(
            "openai-compatible", "providers_plugins.compatible:GENERIC", "gateway.providers"
        ),
        EntryPoint("sim", "providers_plugins.sim:ADAPTER", "gateway.providers"),
        Slow("not-installed", "slow", "gateway.providers"),
    ]
    monkeypatch.setattr(Plugins.__init__, "__defaults__", (lambda: entries,))
    yield made
    made.go.set()


async def status(gateway: Gateway) -> Any:
    path = request(b"", None, path="/api/status", method="GET")
    return (await ask(gateway.server.port, path)).json()["adapters"]


async def metrics(gateway: Gateway) -> str:
    path = request(b"", None, path="/metrics", method="GET")
    return (await ask(gateway.server.port, path)).body.decode()


async def asked(gateway: Gateway, model: str, **more: Any) -> Answer:
    answer = ask(gateway.server.port, request(chat(model=model, **more), gateway.key))
    return await asyncio.wait_for(answer, 5)


def heard(gateway: Gateway, event: str) -> list[dict[str, Any]]:
    return [line for line in gateway.logged() if line["event"] == event]


async def test_a_slow_import_comes_late(tmp_path: Path, gate: Gate) -> None:
    """The gateway starts without it, says so, and serves it once it is there."""
    async with (
        FakeUpstream() as fake,
        running(tmp_path, fake.url + "/v1", adapter_wait=0.0) as gateway,
    ):
        assert (await asked(gateway, "echo")).status == 200
        refused = await asked(gateway, "foreign-slug")
        assert refused.status == 503
        assert refused.json()["error"]["message"] == (
            "The adapter for 'foreign-slug' is still being loaded. Try again in a moment."
        )
        told = await status(gateway)
        assert (told["loading"], told["failed"]) == (["not-installed"], {})
        gate.go.set()
        await until(lambda: heard(gateway, "adapter_loaded"))
        told = await status(gateway)
        assert (told["loading"], told["failed"]) == ([], {})
        assert "not-installed" in told["loaded"]
        assert (await asked(gateway, "foreign-slug")).status != 503


async def test_a_slow_import_that_fails(tmp_path: Path, gate: Gate) -> None:
    """The class of its error is public, what it says is not."""
    gate.adapter = ImportError(f"no module at /home/me with {SECRET}")
    async with running(tmp_path, adapter_wait=0.0) as gateway:
        gate.go.set()
        await until(lambda: heard(gateway, "adapter_unavailable"))
        told = await status(gateway)
        assert told["failed"] == {"not-installed": "did not load: ImportError"}
        assert (await asked(gateway, "foreign-slug")).status == 501
        assert SECRET.encode() not in b"".join(gateway.lines)


async def test_an_import_without_end(tmp_path: Path, gate: Gate) -> None:
    """Its time over, it counts as failed; if it ends after all, it is welcome."""
    async with running(tmp_path, adapter_wait=0.0, adapter_limit=0.05) as gateway:
        await until(lambda: "not-installed" in gateway.server.plugins.failures)
        told = await status(gateway)
        # On a busy machine our own adapters may not make it in so short a time either.
        assert told["failed"]["not-installed"] == "did not load within 0.05 seconds"
        assert (told["loading"], (await asked(gateway, "foreign-slug")).status) == ([], 501)
        await gateway.server.reload()  # which does not begin it a second time
        assert sum(t.name == "import of not-installed" for t in threading.enumerate()) == 1
        gate.go.set()
        await until(lambda: heard(gateway, "adapter_loaded"))
        assert "not-installed" not in (await status(gateway))["failed"]


def test_the_command_line_waits(gate: Gate) -> None:
    """`gateway check` has no later: it waits for the limit and then says what failed."""
    plugins = Plugins()
    plugins.limit = 0.05
    plugins.load(["not-installed", "sim"])
    assert plugins.failures["not-installed"] == "did not load within 0.05 seconds"


def boom(*_: Any) -> Any:
    raise ZeroDivisionError(f"with {SECRET}")


def build(call: Any, _credential: Any) -> Any:
    return UpstreamRequest("POST", call.base_url + "/x", (), b"{}")


def built(**parts: Any) -> Operation:
    """A build with a request of wrong types."""
    made: dict[str, Any] = {"method": "POST", "url": "http://x.example", "headers": (), **parts}
    return Operation(lambda *_: UpstreamRequest(**made))


class Talker:
    """A translator with one thing wrong."""

    def __init__(self, **wrong: Any) -> None:
        self.wrong = wrong

    def __getattr__(self, name: str) -> Any:
        right = {"usage": None, "fault": None, "complete": True}
        value = self.wrong.get(name, right.get(name))
        if isinstance(value, BaseException):
            raise type(value)(*value.args)
        return value

    def feed(self, data: bytes) -> Any:
        given = self.wrong.get("fed", EVENT)
        if isinstance(given, BaseException):
            raise type(given)(*given.args)
        return given() if callable(given) else given

    def finish(self) -> Any:
        given = self.wrong.get("finished", b"data: [DONE]\n\n")
        if isinstance(given, BaseException):
            raise type(given)(*given.args)
        return given


def talks(**wrong: Any) -> Operation:
    return Operation(build, stream=lambda _: Talker(**wrong))


def parses(reply: Any) -> Operation:
    return Operation(build, parse=lambda *_: reply)


def odd_fault(**parts: Any) -> Fault:
    fault = Fault(UPSTREAM_ERROR, "It said no.")
    for name, value in parts.items():
        setattr(fault, name, value)
    return fault


def raises(make: Any) -> Any:
    """A function that raises what is made anew each time: no fault outlives its call."""

    def work(*_: Any) -> Any:
        raise make()

    return work


WHOLE = {
    "build raises": (Operation(boom), "ZeroDivisionError"),
    "build exits": (Operation(lambda *_: sys.exit(3)), "SystemExit"),
    "build gives nothing": (Operation(lambda *_: None), "TypeError"),  # type: ignore[arg-type,return-value]
    "build gives a URL of bytes": (built(url=b"http://x"), "TypeError"),
    "build gives headers of numbers": (built(headers=(("a", 1),)), "TypeError"),
    "build gives no headers": (built(headers=None), "TypeError"),
    "build raises a fault without a kind": (Operation(raises(partial(odd_fault, kind=7))), "TypeError"),
    "build raises a fault of bytes": (Operation(raises(partial(odd_fault, message=b"x"))), "TypeError"),
    "parse raises": (Operation(build, parse=boom), "ZeroDivisionError"),
    "parse gives nothing": (parses(None), "TypeError"),
    "parse gives text": (parses(Reply("text")), "TypeError"),  # type: ignore[arg-type]
    "parse gives usage of a dict": (parses(Reply(b"{}", {"input": 1})), "TypeError"),  # type: ignore[arg-type]
    "parse gives counts of text": (parses(Reply(b"{}", Usage(input="1"))), "TypeError"),  # type: ignore[arg-type]
    "parse gives half tokens": (parses(Reply(b"{}", Usage(output=0.5))), "TypeError"),  # type: ignore[arg-type]
    "parse gives two header lines": (parses(Reply(b"{}", None, "a\r\nb: c")), "TypeError"),
    "parse gives a type beyond ASCII": (parses(Reply(b"{}", None, "text/\u2603")), "TypeError"),
    "parse raises a fault with a wait": (
        Operation(build, parse=raises(partial(odd_fault, retry_after="soon"))), "TypeError"
    ),
    "usage raises": (Operation(build, usage=boom), "ZeroDivisionError"),
    "usage gives nothing": (Operation(build, usage=lambda _: 7), "TypeError"),  # type: ignore[arg-type,return-value]
    "fault_in raises": (Operation(build, fault_in=boom), "ZeroDivisionError"),
    "fault_in gives text": (Operation(build, fault_in=lambda _: "no"), "TypeError"),  # type: ignore[arg-type,return-value]
}  # fmt: skip

STREAMED = {
    "stream raises": (Operation(build, stream=boom), "ZeroDivisionError"),
    "stream gives nothing": (Operation(build, stream=lambda _: None), "AttributeError"),  # type: ignore[arg-type,return-value]
    "feed raises": (talks(fed=KeyError(SECRET)), "KeyError"),
    "feed gives text": (talks(fed="text"), "TypeError"),
    "finish raises": (talks(finished=KeyError(SECRET)), "KeyError"),
    "finish gives nothing": (talks(finished=None), "TypeError"),
    "feed raises a fault without a kind": (
        talks(fed=raises(partial(odd_fault, kind=None))),
        "TypeError",
    ),
    "usage raises": (talks(usage=KeyError(SECRET)), "KeyError"),
    "usage is a dict": (talks(usage={"input": 1}), "TypeError"),
    "usage counts in text": (talks(usage=Usage(input="7")), "TypeError"),  # type: ignore[arg-type]
    "fault raises": (talks(fault=KeyError(SECRET)), "KeyError"),
    "fault is text": (talks(fault="no"), "TypeError"),
    "complete raises": (talks(complete=KeyError(SECRET)), "KeyError"),
    "fault_in raises": (Operation(build, fault_in=boom), "ZeroDivisionError"),
}


async def good(exchange: Exchange) -> None:
    """A good answer on OpenAI's wire, whole or streamed as the route's operation is used."""
    choice = {"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    await exchange.send_json(200, {"choices": [choice], "usage": usage})


async def good_stream(exchange: Exchange) -> None:
    await exchange.sse([EVENT, LAST], done=False)


class Left:
    """What a call through a bad adapter leaves behind."""

    def __init__(self, answer: Answer, told: Any, page: str, logged: list[Any], rows: list[Any]):
        self.answer, self.told, self.page, self.logged, self.rows = (
            answer, told, page, logged, rows
        )  # fmt: skip


async def left(tmp_path: Path, operation: Operation, handler: Any, **more: Any) -> Left:
    """One paid call through a bad adapter, then one on another route."""
    async with FakeUpstream(handler) as fake, running(tmp_path, fake.url + "/v1") as gateway:
        gateway.server.plugins.adapters["not-installed"] = Adapter("rogue", {"chat": operation})
        paying = await payer(gateway.server.store, 10**12)
        body = chat(model="foreign-slug", **more)
        call = ask(gateway.server.port, request(body, paying.secret))
        answer = await asyncio.wait_for(call, 5)
        assert (await asked(gateway, "echo")).status == 200
        await gateway.idle()
        told, page = await status(gateway), await metrics(gateway)
    logged = gateway.logged()  # the log is whole once the gateway has ended
    assert SECRET.encode() not in b"".join(gateway.lines) + answer.body + page.encode()
    return Left(answer, told, page, logged, entries(tmp_path / "gateway.sqlite", paying.account))


def named(after: Left, error: str) -> None:
    """Status, metrics and log say which adapter failed, how and where; no message of its own."""
    failing = after.told["failing"]
    assert set(failing) == {"not-installed"}
    assert failing["not-installed"]["last_error"] == error
    assert failing["not-installed"]["failures"] >= 1
    assert failing["not-installed"]["last_failure_at"] > 0
    line = f'gateway_adapter_failures{{adapter="not-installed",error="{error}"}}'
    assert line in after.page
    (event,) = [one for one in after.logged if one["event"] == "adapter_failed"][:1]
    assert (event["adapter"], event["error"]) == ("not-installed", error)
    assert event["where"]
    assert not [one for one in after.logged if one["event"] == "unexpected"]
    assert open_calls(after.rows) == set()


@pytest.mark.parametrize("name", WHOLE)
async def test_a_whole_answer(tmp_path: Path, name: str) -> None:
    """A 502 that names the adapter; the hold is let go, nothing is charged."""
    operation, error = WHOLE[name]
    after = await left(tmp_path, operation, good)
    assert after.answer.status == 502
    told = after.answer.json()["error"]
    assert told["code"] == "upstream_error"
    assert told["message"] == (
        "The adapter 'not-installed' failed on this call. Other routes are not affected."
    )
    assert sum(charges(after.rows)) == 0
    named(after, error)


@pytest.mark.parametrize("name", STREAMED)
async def test_a_stream(tmp_path: Path, name: str) -> None:
    """Before the first byte a 502, later an error event; the call is settled either way."""
    operation, error = STREAMED[name]
    after = await left(tmp_path, operation, good_stream, stream=True)
    assert after.answer.status in (200, 502)
    if name.startswith("usage"):
        assert after.answer.body.endswith(b"data: [DONE]\n\n")  # the answer itself was good
        assert len(charges(after.rows)) == 1
    else:
        told = after.answer.body.decode().strip().rpartition("data: ")[2]
        if after.answer.status == 502:
            told = after.answer.body.decode()
        assert json.loads(told)["error"]["code"] == "upstream_error", after.answer.body
    named(after, error)


@pytest.mark.parametrize("fault", [boom, lambda *_: None, lambda *_: odd_fault(kind=7)])
async def test_a_refusal(tmp_path: Path, fault: Any) -> None:
    """The provider refuses, and the adapter cannot say why: a 502, nothing charged."""

    async def refuses(exchange: Exchange) -> None:
        await exchange.send_json(429, {"error": SECRET})

    after = await left(tmp_path, Operation(build, fault=fault), refuses)
    assert after.answer.status == 502
    assert sum(charges(after.rows)) == 0
    named(after, "ZeroDivisionError" if fault is boom else "TypeError")


async def test_usage_that_fails_in_a_stream(tmp_path: Path) -> None:
    """The client keeps its answer, and pays by the gateway's own count."""
    after = await left(tmp_path, Operation(build, usage=boom), good_stream, stream=True)
    assert after.answer.status == 200
    assert after.answer.body.endswith(b"data: [DONE]\n\n")
    assert len(charges(after.rows)) == 1
    named(after, "ZeroDivisionError")


async def test_a_good_fault_is_no_mishap(tmp_path: Path) -> None:
    """An adapter that refuses a call by the contract has not failed."""
    refuse = raises(partial(Fault, INVALID_REQUEST, "No tools here.", param="tools"))
    after = await left(tmp_path, Operation(refuse), good)
    assert after.answer.status == 400
    assert after.told["failing"] == {}
    assert open_calls(after.rows) == set()


async def test_kinds_of_errors_are_bounded(tmp_path: Path) -> None:
    """An adapter that makes up classes of errors does not fill the metrics."""
    number = [0]

    def inventive(*_: Any) -> Any:
        number[0] += 1
        raise type(f"Error{number[0]}", (Exception,), {})

    async with running(tmp_path) as gateway:
        rogue = Adapter("rogue", {"chat": Operation(inventive)})
        gateway.server.plugins.adapters["not-installed"] = rogue
        for _ in range(60):
            gateway.forget_failures()
            assert (await asked(gateway, "foreign-slug")).status == 502
        page = await metrics(gateway)
        assert page.count("gateway_adapter_failures{") == 51
        assert 'error="others"} 10' in page
