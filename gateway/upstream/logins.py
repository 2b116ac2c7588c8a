"""Logins: credentials that are no key but a way to get one, kept fresh off the hot path.

An adapter says the steps, this module takes them. A token is renewed before it expires, while the
old one still serves; a call waits only where there is none. All who wait, wait for one login.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

import aiohttp
import msgspec
from msgspec import structs

from gateway.domain import Credential, Provider, UpstreamRequest
from gateway.errors import UPSTREAM_ERROR, Fault
from gateway.sdk import Adapter
from gateway.sdk.adapter import Login, ReadFile, Token

MAX_STEPS = 6
MAX_BYTES = 1 << 20
TIMEOUT = 10.0
MARGIN = 300.0  # renewed this long before it expires
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 60.0
_MOST_ENTRIES = 4096
_Key = tuple[str, str, bytes]


class _Entry:
    """One credential's token, and how its renewal is going."""

    __slots__ = ("fault", "pause", "retry_at", "task", "token")

    def __init__(self) -> None:
        self.token: Token | None = None
        self.task: asyncio.Task[None] | None = None
        self.fault: Fault | None = None
        self.pause = 0.0
        self.retry_at = float("-inf")


class Logins:
    """The tokens of all credentials that log in."""

    def __init__(self, session: Callable[[], aiohttp.ClientSession] | None = None) -> None:
        self._make_session = session or _session
        self._session: aiohttp.ClientSession | None = None
        self._entries: dict[_Key, _Entry] = {}

    async def secrets(
        self, adapter: Adapter, provider: Provider, credential: Credential, now: float
    ) -> Credential:
        """The credential with what its login gave; a login that fails raises a Fault."""
        login = adapter.login
        if login is None:
            return credential
        entry = self._entry((provider.name, credential.name, _digest(credential)))
        token = entry.token
        if token is None or now >= token.expires_at:
            token = await self._waited(entry, login, credential, now)
        elif now >= token.expires_at - MARGIN and now >= entry.retry_at:
            self._start(entry, login, credential, now)
        return structs.replace(credential, secrets={**credential.secrets, **token.secrets})

    def forget(self, provider: Provider, credential: Credential, now: float) -> None:
        """A provider refused what the login gave: the next call logs in anew, but not at once."""
        entry = self._entries.get((provider.name, credential.name, _digest(credential)))
        if entry is not None and now >= entry.retry_at:
            entry.token = None

    async def close(self) -> None:
        """End what is under way."""
        tasks = [entry.task for entry in self._entries.values() if entry.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._entries.clear()
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _entry(self, key: _Key) -> _Entry:
        entry = self._entries.get(key)
        if entry is None:
            if len(self._entries) >= _MOST_ENTRIES:
                self._entries.pop(next(iter(self._entries)))
            entry = self._entries[key] = _Entry()
        return entry

    async def _waited(
        self, entry: _Entry, login: Login, credential: Credential, now: float
    ) -> Token:
        """A token that is good now, or the fault of the login. Who leaves, leaves it running."""
        if entry.task is None and entry.fault is not None and now < entry.retry_at:
            raise _again(entry.fault)
        await asyncio.shield(self._start(entry, login, credential, now))
        if entry.fault is not None or entry.token is None:
            raise _again(entry.fault or _failed())
        return entry.token

    def _start(
        self, entry: _Entry, login: Login, credential: Credential, now: float
    ) -> asyncio.Task[None]:
        if entry.task is None:
            entry.task = asyncio.create_task(self._renew(entry, login, credential, now))
        return entry.task

    async def _renew(self, entry: _Entry, login: Login, credential: Credential, now: float) -> None:
        """Log in, and note what came of it; after a failure nobody asks again for a while."""
        try:
            entry.token = await self._logged_in(login, credential, now)
            entry.fault, entry.pause = None, 0.0
            # A token that lives no longer than the margin is not asked for anew at each call.
            entry.retry_at = now + FIRST_PAUSE
        except Exception as error:
            entry.fault = error if isinstance(error, Fault) else _failed()
            entry.fault.forget_frames()
            entry.pause = min(max(entry.pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
            entry.retry_at = now + entry.pause
        finally:
            entry.task = None

    async def _logged_in(self, login: Login, credential: Credential, now: float) -> Token:
        answers: tuple[bytes | None, ...] = ()
        for _ in range(MAX_STEPS):
            step = login.step(credential, now, answers)
            if isinstance(step, Token):
                if step.expires_at <= now:
                    break  # of no use to anybody
                return step
            if isinstance(step, ReadFile):
                answers = (*answers, await asyncio.to_thread(_content, step.path))
            else:
                answers = (*answers, await self._asked(step))
        raise _failed()

    async def _asked(self, request: UpstreamRequest) -> bytes | None:
        """The body of a 2xx answer; a redirect is none, for it would carry secrets elsewhere."""
        if self._session is None:
            self._session = self._make_session()
        try:
            async with (
                asyncio.timeout(TIMEOUT),
                self._session.request(
                    request.method,
                    request.url,
                    headers=dict(request.headers),
                    data=request.body or None,
                    allow_redirects=False,
                ) as answer,
            ):
                if not 200 <= answer.status < 300:
                    return None
                body = bytearray()
                async for piece in answer.content.iter_chunked(1 << 16):
                    body += piece
                    if len(body) > MAX_BYTES:
                        return None
                return bytes(body)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(trust_env=True, cookie_jar=aiohttp.DummyCookieJar())


def _digest(credential: Credential) -> bytes:
    """A changed secret is another login; the secret itself is no key of a table."""
    pairs = sorted(credential.secrets.items())
    return hashlib.sha256(msgspec.json.encode(pairs)).digest()


def _content(path: str) -> bytes | None:
    """What a file holds; None if it is absent, too long, or no plain file."""
    try:
        file = Path(path).expanduser()
        if not file.is_file():
            return None
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except (OSError, ValueError, RuntimeError):
        return None
    return content if len(content) <= MAX_BYTES else None


def _failed() -> Fault:
    return Fault(
        UPSTREAM_ERROR,
        "The gateway could not log in with its credential for this route. "
        "This is for the gateway's operator to mend; your key is fine.",
        cause="credential_refused",
    )


def _again(fault: Fault) -> Fault:
    """The same fault for another caller: one that is raised many times keeps all their frames."""
    return Fault(
        fault.kind,
        fault.message,
        param=fault.param,
        retry_after=fault.retry_after,
        cause=fault.cause,
        provider=fault.provider,
        detail=fault.detail,
    )
