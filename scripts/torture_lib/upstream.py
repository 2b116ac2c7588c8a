"""A provider in a process of its own: it outlives every kill and writes down what it executed.

`python -m torture_lib.upstream LOG` prints its port. Each line of the log is one fact, flushed
before anything is answered: {"is": "begin", "user": marker, "usage": what it will report} when a
whole request has arrived, then "end" when all of the answer was handed to the socket, "failed" when
it was answered with a 500, or "cut" when the gateway had gone.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from pathlib import Path
from typing import Any, TextIO


class Provider:
    """What is answered follows from the call's marker alone."""

    def __init__(self, log: TextIO) -> None:
        self._log = log

    def note(self, **fact: Any) -> None:
        self._log.write(json.dumps(fact) + "\n")
        self._log.flush()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.decode("latin-1").lower().split("\r\n")
                length = next(int(x[15:]) for x in lines if x.startswith("content-length:"))
                body = json.loads(await reader.readexactly(length))
                usage = _usage(body)
                self.note(**{"is": "begin", "user": body["user"], "usage": usage})
                await self._answer(body, usage, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(
        self, body: dict[str, Any], usage: dict[str, Any], writer: asyncio.StreamWriter
    ) -> None:
        user, words = body["user"], usage["completion_tokens"]
        chance = random.Random(user + "?")
        try:
            await asyncio.sleep(chance.random() * 0.05)
            if chance.random() < 0.03:
                await _send(writer, _whole(500, {"error": {"message": "no luck"}}))
                self.note(**{"is": "failed", "user": user})
            elif body.get("stream"):
                await _stream(writer, words, usage, chance)
                self.note(**{"is": "end", "user": user})
            else:
                message = {"role": "assistant", "content": "word " * words}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                await _send(writer, _whole(200, {"choices": [choice], "usage": usage}))
                self.note(**{"is": "end", "user": user})
        except OSError:
            self.note(**{"is": "cut", "user": user})
            raise


def _usage(body: dict[str, Any]) -> dict[str, Any]:
    """What this call will have used when it comes to its end."""
    chance = random.Random(body["user"])
    words = chance.choice([1, 3, 10, 40, 200])
    if not body.get("stream"):
        words = min(words, body.get("max_completion_tokens") or body.get("max_tokens") or words)
    prompt = len(json.dumps(body["messages"])) // 5
    return {
        "prompt_tokens": prompt,
        "completion_tokens": words,
        "total_tokens": prompt + words,
        "prompt_tokens_details": {"cached_tokens": chance.choice([0, 0, prompt // 2])},
    }


async def _stream(
    writer: asyncio.StreamWriter, words: int, usage: dict[str, Any], chance: random.Random
) -> None:
    pause = chance.choice([0.0, 0.001, 0.01])
    await _send(
        writer,
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    )
    for _ in range(words):
        await _send(writer, _event({"choices": [{"index": 0, "delta": {"content": "word "}}]}))
        await asyncio.sleep(pause)
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    last = _event(end) + _event({"choices": [], "usage": usage}) + _chunk(b"data: [DONE]\n\n")
    await _send(writer, last + b"0\r\n\r\n")


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    if writer.is_closing():
        raise ConnectionResetError
    writer.write(data)
    await writer.drain()


def _whole(status: int, answer: Any) -> bytes:
    body = json.dumps(answer).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def _event(data: Any) -> bytes:
    return _chunk(b"data: " + json.dumps(data).encode() + b"\n\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def main(log: Path) -> None:
    """Serve until killed."""
    with log.open("a") as out:
        server = await asyncio.start_server(Provider(out).connected, "127.0.0.1", 0, backlog=1024)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
