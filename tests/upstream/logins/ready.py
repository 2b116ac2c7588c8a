"""Accounts and tokens, and a session whose answers are laid ready by URL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.domain import Credential, Provider
from gateway.upstream.logins import Logins

NOW = 1_800_000_000.0
TOKEN_URL = "https://oauth2.googleapis.com/token"
METADATA = "http://metadata.google.internal/computeMetadata/v1"
PROVIDER = Provider("v", "vertex", "https://aiplatform.googleapis.com/v1")
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
).decode()
ACCOUNT = {
    "type": "service_account",
    "client_email": "robot@p.iam.gserviceaccount.com",
    "private_key": PEM,
    "private_key_id": "key-1",
    "project_id": "project-1",
    "token_uri": TOKEN_URL,
}


def service_account(**changes: Any) -> Credential:
    return Credential("c", {"service_account": json.dumps({**ACCOUNT, **changes})})


def granted(token: str = "ya29.one", seconds: Any = 3599) -> dict[str, Any]:
    return {"access_token": token, "expires_in": seconds, "token_type": "Bearer"}


class Answer:
    """A response as far as logins read it."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self._body = body
        self.content = self

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        for at in range(0, len(self._body), size):
            yield self._body[at : at + size]


class Web:
    """A session whose answers are laid ready by URL; the last one stays when told to."""

    def __init__(self) -> None:
        self._ready: dict[tuple[str, str], list[Any]] = {}
        self.requests: dict[str, list[dict[str, Any]]] = {}
        self.closed = False

    def ready(self, method: str, url: str, body: Any = b"", **how: Any) -> None:
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._ready.setdefault((method, url), []).append((body, how))

    def post(self, url: str, body: Any = b"", **how: Any) -> None:
        self.ready("POST", url, body, **how)

    def get(self, url: str, body: Any = b"", **how: Any) -> None:
        self.ready("GET", url, body, **how)

    @asynccontextmanager
    async def request(self, method: str, url: str, **sent: Any) -> AsyncIterator[Answer]:
        self.requests.setdefault(url, []).append(sent)
        waiting = self._ready.get((method, url))
        if not waiting:
            raise aiohttp.ClientConnectionError("no such host")
        body, how = waiting[0] if waiting[0][1].get("repeat") else waiting.pop(0)
        if "callback" in how:
            await how["callback"]()
        await asyncio.sleep(0)
        if "exception" in how:
            raise how["exception"]
        yield Answer(how.get("status", 200), body)

    async def close(self) -> None:
        self.closed = True


def requests(web: Web, url: str) -> list[dict[str, Any]]:
    return web.requests.get(url, [])


async def settled(kept: Logins) -> None:
    """Until what runs in the background is done."""
    tasks = [entry.task for entry in kept._entries.values() if entry.task]
    await asyncio.gather(*tasks)
