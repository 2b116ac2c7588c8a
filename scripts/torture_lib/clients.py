"""Fifty clients at once, each writing down what it saw complete."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from typing import Any, TextIO

AT_ONCE = 50
_PATIENCE = 20.0


class Clients:
    """One round's load. A body's length is unique within its round: it names the call.

    The gateway notes its guess of the input's tokens with each hold, and that guess follows from
    the length alone; so holds can be told apart even where no client ever got an answer.
    """

    def __init__(
        self, port: int, secrets: list[str], number: int, log: TextIO, seed: int, most: int
    ) -> None:
        self._port = port
        self._secrets = secrets
        self._round = number
        self._log = log
        self._chance = random.Random(seed)
        self._made = 0
        self._most = most

    async def run(self) -> None:
        """Call until the gateway is gone, or until each client has made its share."""
        await asyncio.gather(*(self._client() for _ in range(AT_ONCE)))

    async def _client(self) -> None:
        while self._made < self._most:
            self._made += 1
            fact = self._call(self._made)
            body = fact.pop("body")
            try:
                await asyncio.wait_for(self._make(fact, body), _PATIENCE)
            except ConnectionRefusedError:
                return
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
                pass
            finally:
                self._log.write(json.dumps(fact) + "\n")
                self._log.flush()

    def _call(self, number: int) -> dict[str, Any]:
        chance = self._chance
        marker = f"r{self._round}c{number}"
        stream = chance.random() < 0.6
        body = {"model": "m", "user": marker, "max_tokens": 256, "stream": stream}
        text = json.dumps(body | {"messages": [{"role": "user", "content": ""}]})
        padding = (". " * (3 * number + 300))[: 300 + 3 * number - len(text)]
        body["messages"] = [{"role": "user", "content": padding}]
        raw = json.dumps(body).encode()
        leaves = None if chance.random() < 0.75 else chance.choice([0, 0, 1, 2, 5, 20])
        return {
            "body": raw, "user": marker, "round": self._round, "length": len(raw),
            "stream": stream, "leaves": leaves, "secret": chance.randrange(len(self._secrets)),
            "wait": chance.random() * 0.03, "status": None, "id": None, "complete": False,
        }  # fmt: skip

    async def _make(self, fact: dict[str, Any], body: bytes) -> None:
        secret, wait, leaves = self._secrets[fact.pop("secret")], fact.pop("wait"), fact["leaves"]
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 22)
        try:
            writer.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json"
                b"\r\nAuthorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b"
                % (secret.encode(), len(body), body)
            )
            if leaves == 0:
                await asyncio.sleep(wait)
                return
            await _read(reader, fact, leaves)
        finally:
            writer.transport.abort()


async def _read(reader: asyncio.StreamReader, fact: dict[str, Any], leaves: int | None) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in head)}
    fact["status"] = int(head[0].split(" ")[1])
    fact["id"] = headers.get("x-request-id")
    fact["cost"] = headers.get("x-gateway-cost")
    if "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
        if fact["status"] >= 400:
            with contextlib.suppress(ValueError, KeyError):
                fact["code"] = json.loads(body)["error"]["code"]
        fact["complete"] = True
        return
    count = 0
    while size := int(await reader.readuntil(b"\r\n"), 16):
        data = (await reader.readexactly(size + 2))[:-2]
        fact["done"] = data.endswith(b"data: [DONE]\n\n")
        fact["error"] = fact.get("error", False) or b'"error"' in data
        count += 1
        if leaves is not None and count >= leaves:
            return
    await reader.readexactly(2)
    fact["complete"] = True
