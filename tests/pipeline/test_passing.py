"""A stream that passes as it is has a quick way for what nearly every piece is: the same one."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.faults import fault_in_body
from gateway.core.usage import openai_usage
from gateway.domain import ANONYMOUS, Usage
from gateway.errors import Fault
from gateway.pipeline.record import Record
from gateway.pipeline.relay import Meter, Stream
from gateway.pipeline.wishes import Wishes
from gateway.sdk import PASSTHROUGH
from tests.pieces import ODD_PIECES

NEVER = 1 << 62
USAGE = b'{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}'
TEXT = b'{"id":"c","choices":[{"index":0,"delta":{"content":"hi there"},"finish_reason":null}]}'
NULL = TEXT[:-1] + b',"usage":null}'
STOP = TEXT.replace(b"null", b'"stop"')


def stream(*payloads: bytes) -> bytes:
    return b"".join(b"data: " + payload + b"\n\n" for payload in payloads)


def said(text: bytes) -> bytes:
    return TEXT.replace(b"hi there", text)


USUAL = [
    stream(TEXT),
    stream(NULL),
    stream(said(b"")),
    stream(said(rb"a \"quote\" \n\ndata: [DONE]")),
    stream(said("é😀".encode())),
    stream(said(b"\xff")),
    stream(b'{"choices":[{"text":"completed"}]}'),
    stream(b'{"choices":[{"text":"' + b"y" * 1200 + b'"}]}'),
    stream(b'{"choices":[{}]}'),
    stream(TEXT[:-1] + b',"error":null}'),
    stream(TEXT[:-1] + b',"error":{"message":"overloaded"}}'),
    stream(TEXT.replace(b"null", b'""')),
    stream(said(b"x" * 985)),
]
ODD = [
    *ODD_PIECES,
    b"data:" + TEXT + b"\n\n",
    b"event: x\n" + stream(TEXT),
    stream(TEXT, TEXT),
    stream(TEXT)[:20],
    stream(TEXT)[20:],
    stream(TEXT).replace(b"\n", b"\r\n"),
    stream(TEXT, STOP),
    stream(STOP),
    stream(NULL.replace(b"null}", USAGE + b"}")),
    stream(NULL.replace(b"null}", b"[]}")),
    stream(TEXT.replace(b"null}", b'null,"usage":' + USAGE + b"}")),
    stream(TEXT.replace(b"null}", b'null,"usage":null}')),
    stream(said(b"x" * 986), said(b"x" * 2000)),
    stream(b'{"choices":[{"text":"once"},{"text":"twice"}]}'),
    stream(b'{"choices":[{"delta":{"annotations":"' + b"z" * 2000 + b'"}}]}'),
    stream(b'{"choices":[]}', b'{"choices":\r[{}]}', b"nonsense", b"[]", b"1"),
    stream(b'{"choices":[],"usage":' + USAGE + b"}"),
    stream(b'{"error":{"message":"overloaded","code":"busy"}}'),
    stream(b"[DONE]"),
    b"data: " + b"x" * (1 << 20) + b"\n\n",
]


class Stage:
    """One stream, whose sink and till are looked at; `straight` opens the quick way."""

    def __init__(
        self, straight: bool, wishes: Wishes, watch_at: int = NEVER, paid: int = NEVER
    ) -> None:
        self.started = False
        self.watch_at = watch_at
        self.paid = paid
        self.seen: list[object] = []
        self.record = Record("req", 0.0)
        self.meter = Meter()
        self._straight = straight
        operation: Any = SimpleNamespace(
            stream=PASSTHROUGH, usage=openai_usage, fault_in=fault_in_body
        )
        adapter = SimpleNamespace(cached_inside_input=True)
        route = SimpleNamespace(provider=SimpleNamespace(adapter="a"))
        self.reply = self
        attempt: Any = SimpleNamespace(
            candidate=SimpleNamespace(operation=operation, route=route, adapter=adapter),
            call=SimpleNamespace(operation="chat"),
            credential=ANONYMOUS,
            mishaps=None,
            reply=self,
        )
        stage: Any = self
        self.stream = Stream(
            attempt, stage, (), wishes, stage, self.meter, self.record, stage,
            lambda: self.seen.append("begun"),
        )  # fmt: skip

    # --- the clock, the till, the sink and the provider's answer ---

    def monotonic(self) -> float:
        return 1.0

    def price(self, usage: Usage) -> int:
        return usage.output

    def more(self, events: int, produced: int) -> bool:
        self.seen.append(("more", events, produced))
        self.watch_at += 2
        self.paid -= 1
        return self.paid > 0

    def on_congestion(self, hold: object, go_on: object) -> None: ...

    def forget_headers(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def start(self, status: int, headers: object) -> None:
        self.started = True
        self.seen.append((status, headers))

    def write(self, data: bytes) -> None:
        self.record.bytes_out += len(data)
        self.seen.append(b"<%x|%b>" % (len(data), data))

    def straight(self) -> tuple[Callable[[bytes], object], bytes] | None:
        return (self.seen.append, b"<%x|%b>") if self._straight else None

    async def pump(self, receive: Callable[[bytes], None]) -> None:
        self.receive = receive
        await self.wait

    # --- what the test does ---

    async def feed(self, pieces: list[bytes]) -> list[object]:
        """What can be seen after every piece, and after the end."""
        self.wait: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self.stream.run())
        await asyncio.sleep(0)
        states: list[object] = []
        try:
            for piece in pieces:
                self.receive(piece)
                states.append(self.state())
            self.wait.set_result(None)
        except Exception as error:
            self.wait.set_exception(error)
        (end,) = await asyncio.gather(task, return_exceptions=True)
        told = (end.message, end.cause) if isinstance(end, Fault) else end
        return [*states, self.state(), self.seen, told, self.stream.stopped]

    def state(self) -> tuple[object, ...]:
        meter = self.meter
        return len(self.seen), self.record.bytes_out, meter.events, meter.produced, meter.usage


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(USUAL) | st.sampled_from(ODD) | st.binary(max_size=9), max_size=9),
    st.sampled_from([Wishes(), Wishes(show_usage=True), Wishes(show_usage=True, show_cost=True)]),
    st.sampled_from([(1, 3), (3, 2), (3, NEVER), (NEVER, NEVER)]),
    st.data(),
)
def test_the_quick_way_is_the_general_one(
    parts: list[bytes], wishes: Wishes, money: tuple[int, int], data: st.DataObject
) -> None:
    """Byte for byte, count for count, and after every piece, however the stream is cut."""
    pieces = [part for part in parts if part]
    if data.draw(st.booleans()):
        whole = b"".join(parts)
        cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=12)))
        pieces = [whole[a:b] for a, b in itertools.pairwise([0, *cuts, len(whole)]) if a < b]

    async def both() -> None:
        plain = await Stage(False, wishes, *money).feed(pieces)
        assert await Stage(True, wishes, *money).feed(pieces) == plain

    asyncio.run(both())


@pytest.fixture
async def begun(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """A stream whose answer has begun, and that has no general way any more."""
    stage = Stage(True, Wishes())
    task = asyncio.create_task(stage.feed([stream(TEXT)]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    monkeypatch.delattr(Stream, "_untouched")
    yield stage
    task.cancel()


@pytest.mark.parametrize("piece", USUAL)
async def test_what_is_usual_takes_it(piece: bytes, begun: Stage) -> None:
    """Once the answer has begun, the general way is not asked about any of them."""
    begun.receive(piece)
    assert begun.seen[-1] == b"<%x|%b>" % (len(piece), piece)


@pytest.mark.parametrize("piece", [piece for piece in ODD if len(piece) > 6])
async def test_what_is_odd_does_not(piece: bytes, begun: Stage) -> None:
    """What must be looked at more closely is handed on untouched."""
    before = begun.state()
    with pytest.raises(AttributeError):
        begun.receive(piece)
    assert begun.state() == before
