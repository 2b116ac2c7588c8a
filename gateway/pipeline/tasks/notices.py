"""Webhooks: whoever asked for it is told that a task has ended. Tried again, over restarts too."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from gateway.core.task import Task
from gateway.core.webhook import secret_bytes, signed
from gateway.domain import Channel, Timeouts, UpstreamRequest
from gateway.errors import Fault, invalid
from gateway.pipeline.catalogs import Webhooks
from gateway.pipeline.services import Services
from gateway.pipeline.tasks.pace import Pace
from gateway.ports import TaskBook

_LONGEST_URL = 2_048
_TIMEOUTS = Timeouts(connect=10, first_byte=20, idle=10, total=30)
_MAX_ANSWER = 64 << 10
_AT_ONCE = 8
_GONE = 410
_LONGEST_SLEEP = 300.0


def checked(url: str, known: Webhooks | None) -> str:
    """A webhook's address, if the operator allows it."""
    if known is None:
        raise invalid("This gateway sends no webhooks: its catalog names no hosts.", "webhook")
    try:
        parts = urlsplit(url)
        host, login, _ = parts.hostname or "", parts.username, parts.port
    except ValueError:
        raise invalid("'webhook' must be a URL.", "webhook") from None
    schemes = ("https", "http") if known.private else ("https",)
    if parts.scheme not in schemes or not host or login is not None or not url.isascii():
        raise invalid(
            f"'webhook' must be an {' or '.join(schemes)} URL without a login.", "webhook"
        )
    if len(url) > _LONGEST_URL or not url.isprintable() or " " in url:
        raise invalid("'webhook' must be a URL of at most 2048 characters.", "webhook")
    if host not in known.hosts:
        raise invalid(
            f"Webhooks may not be sent to '{host[:200]}'. The gateway's operator says which hosts "
            "are allowed.",
            "webhook",
        )
    return url.partition("#")[0]


class Notices:
    """Sends what is due."""

    def __init__(self, book: TaskBook, pace: Pace) -> None:
        self._book = book
        self._pace = pace
        self._kicked = asyncio.Event()
        self.delivered = self.given_up = 0
        self.on_trouble: Callable[[str, Exception], None] = lambda _id, _error: None

    def kick(self) -> None:
        """Something may be due."""
        self._kicked.set()

    async def run(self, services: Services) -> None:
        """Send for ever, some at a time."""
        while True:
            self._kicked.clear()
            try:
                wait = await self._round(services)
            except (sqlite3.Error, ValueError) as error:
                self.on_trouble("", error)
                wait = self._pace.storage
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._kicked.wait()

    async def _round(self, services: Services) -> float:
        """Send what is due now; how long nothing else will be."""
        tasks = await self._book.due()
        now = services.clock.time() * 1000
        ready = [task for task in tasks if (task.webhook_due or 0) <= now]
        for at in range(0, len(ready), _AT_ONCE):
            sending = [self._send(services, task) for task in ready[at : at + _AT_ONCE]]
            await asyncio.gather(*sending)
        if ready:
            return 0.0
        left = [(task.webhook_due or 0) - now for task in tasks]
        return min(_LONGEST_SLEEP, max(0.01, min(left, default=_LONGEST_SLEEP * 1000) / 1000))

    async def _send(self, services: Services, task: Task) -> None:
        tries = task.webhook_tries + 1
        due: int | None = None
        try:
            delivered = await self._delivered(services, task)
        except Fault:
            delivered = False
        waits = self._pace.webhooks
        again = delivered is False and tries <= len(waits)
        if again:
            due = int((services.clock.time() + waits[tries - 1]) * 1000)
        await self._book.told(task, due, tries)
        self.delivered += delivered is True
        self.given_up += not (delivered or again)

    async def _delivered(self, services: Services, task: Task) -> bool | None:
        """Whether it has arrived; None where it never will."""
        known, url = services.catalog.current.webhooks, task.webhook
        if known is None or url is None:
            return None
        try:
            checked(url, known)
        except Fault:
            return None  # allowed once, but not any more
        body = msgspec.json.encode(event_of(task))
        moment = int(services.clock.time())
        name = f"evt_{task.id}"
        headers = signed(secret_bytes(known.secret), name, moment, body)
        request = UpstreamRequest(
            "POST", url, (("content-type", "application/json"), *headers), body
        )
        channel = Channel("(webhooks)", "(none)", _TIMEOUTS, 16, None, not known.private)
        reply = await services.upstream.send(request, channel)
        try:
            with contextlib.suppress(Fault):
                await reply.read(_MAX_ANSWER)
        finally:
            reply.close()
        return None if reply.status == _GONE else 200 <= reply.status < 300


def event_of(task: Task) -> dict[str, Any]:
    """What is told: enough to ask for the rest."""
    ended = (task.finished or 0) / 1000
    error = None
    if task.state == "failed":
        error = {"code": task.error_code, "message": task.error}
    return {
        "id": f"evt_{task.id}",
        "object": "event",
        "type": f"{task.work.noun}.{'completed' if task.state == 'succeeded' else 'failed'}",
        "created_at": int(ended),
        "timestamp": datetime.fromtimestamp(ended, UTC).isoformat().replace("+00:00", "Z"),
        "data": {"id": task.id, "status": task.state, "model": task.asked, "error": error},
    }
