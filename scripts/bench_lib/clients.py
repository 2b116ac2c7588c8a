"""Raw-protocol HTTP clients of the load generator; each verifies every answer that it counts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import cast

import httptools
import orjson

from bench_lib import wire

MAX_FAULTS = 100


@dataclass
class Tally:
    """What all clients of one run have seen; `wanted` turns False when the run is over."""

    plain: int = 0
    streams: int = 0
    chunks: int = 0
    held: int = 0
    open: int = 0
    faults: list[str] = field(default_factory=list)
    wanted: bool = True

    def fault(self, text: str) -> None:
        """Remember a failure; too many end the run."""
        self.faults.append(text)
        if len(self.faults) >= MAX_FAULTS:
            self.wanted = False


class Client(asyncio.Protocol):
    """One kept-alive connection that repeats one request until the run is over."""

    def __init__(self, tally: Tally, port: int, request: bytes) -> None:
        self.tally = tally
        self.port = port
        self.request = request
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self.parser = httptools.HttpResponseParser(self)
        self.tally.open += 1
        self.send()

    def send(self) -> None:
        """Send the request again, or leave when the run is over."""
        if not self.tally.wanted:
            self.transport.close()
            return
        self.busy = True
        self.begin()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.tally.fault(f"bad HTTP: {error!r}")
            self.transport.abort()

    def on_message_complete(self) -> None:
        status = self.parser.get_status_code()
        self.busy = False
        if status != 200:
            self.tally.fault(f"status {status}: {self.seen()[:200]!r}")
        elif problem := self.problem():
            self.tally.fault(problem)
        if self.parser.should_keep_alive():
            self.send()
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.tally.open -= 1
        if self.busy:
            self.tally.fault(f"connection lost in the middle of an answer: {exc!r}")
        if self.tally.wanted:
            again = type(self)(self.tally, self.port, self.request)
            self.reconnect = asyncio.ensure_future(connect(again))

    def begin(self) -> None:
        """Forget the previous answer."""

    def seen(self) -> bytes:
        """What of the body is at hand, for a fault's text."""
        return b""

    def problem(self) -> str | None:
        """Count the complete answer, or say what is wrong with it."""
        raise NotImplementedError


class PlainClient(Client):
    """Expects the fixed completion."""

    def begin(self) -> None:
        self.body = b""

    def on_body(self, data: bytes) -> None:
        self.body += data

    def seen(self) -> bytes:
        return self.body

    def problem(self) -> str | None:
        if not same_completion(self.body):
            return f"a completion that is not the upstream's: {self.body[:200]!r}"
        self.tally.plain += 1
        return None


class StreamClient(Client):
    """Expects all content chunks in order, a finish reason, [DONE] and a clean end."""

    def begin(self) -> None:
        self.rest = b""
        self.words: list[str] = []
        self.finished = self.done = False

    def on_body(self, data: bytes) -> None:
        *events, self.rest = (self.rest + data).split(b"\n\n")
        for event in events:
            if event.startswith(b"data: "):
                self.event(event[6:])

    def event(self, data: bytes) -> None:
        """Take one event of the stream."""
        if data == b"[DONE]":
            self.done = True
            return
        try:
            choices = orjson.loads(data)["choices"]
            choice = choices[0] if choices else {}
            word = choice.get("delta", {}).get("content")
        except (ValueError, LookupError, TypeError, AttributeError):
            self.tally.fault(f"not a chunk: {data[:200]!r}")
            return
        if word:
            self.tally.chunks += 1
            self.words.append(word)
        if choice.get("finish_reason"):
            self.finished = True

    def seen(self) -> bytes:
        return self.rest

    def problem(self) -> str | None:
        if "".join(self.words) != wire.STREAM_TEXT or not (self.finished and self.done):
            return (
                f"incomplete stream: {len(self.words)} of {wire.CHUNKS} chunks, "
                f"finish_reason {self.finished}, [DONE] {self.done}, then {self.rest[:200]!r}"
            )
        self.tally.streams += 1
        return None


class OtherClient(StreamClient):
    """The same in the other dialect: content deltas, a stop reason, the message's end."""

    def on_body(self, data: bytes) -> None:
        *events, self.rest = (self.rest + data).split(b"\n\n")
        for event in events:
            self.event(event.partition(b"\ndata: ")[2])

    def event(self, data: bytes) -> None:
        """Take one event of the stream."""
        try:
            said = orjson.loads(data)
            delta = said.get("delta", {})
        except (ValueError, AttributeError):
            self.tally.fault(f"not an event: {data[:200]!r}")
            return
        if delta.get("text"):
            self.tally.chunks += 1
            self.words.append(delta["text"])
        if delta.get("stop_reason"):
            self.finished = True
        if said["type"] == "message_stop":
            self.done = True


class HoldClient(StreamClient):
    """Waits for the first event of a stream that never ends by itself."""

    def __init__(self, tally: Tally, port: int, request: bytes) -> None:
        super().__init__(tally, port, request)
        self.first: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_body(self, data: bytes) -> None:
        if b"data: " in data and not self.first.done():
            self.tally.held += 1
            self.busy = False
            self.first.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.tally.open -= 1
        if self.tally.wanted:
            self.tally.fault(f"a held stream was ended by the proxy: {exc!r}")
        if not self.first.done():
            self.first.cancel()


async def connect(client: Client) -> None:
    """Open one client's connection."""
    try:
        await asyncio.get_running_loop().create_connection(lambda: client, "127.0.0.1", client.port)
    except OSError as error:
        client.tally.fault(f"cannot connect: {error}")


def same_completion(body: bytes) -> bool:
    """Whether an answer carries the upstream's text and usage, whatever the proxy added."""
    if body == wire.COMPLETION:
        return True
    try:
        ours, theirs = orjson.loads(wire.COMPLETION), orjson.loads(body)
        return ours["choices"][0]["message"]["content"] == theirs["choices"][0]["message"][
            "content"
        ] and all(theirs["usage"][name] == count for name, count in wire.USAGE.items())
    except (ValueError, LookupError, TypeError):
        return False
