"""A task's file at its provider, and wherever else that points to.

What a provider names may be any address. The provider's own host, and those that the operator named
in its `media_hosts`, are asked with what the adapter wrote; all others without any of it, and only
if they are on the public network. No header goes to another origin than it was written for.
"""

from __future__ import annotations

import asyncio
import re
from urllib.parse import urljoin, urlsplit

from msgspec import structs

from gateway.core.task import Task, Work
from gateway.domain import Channel, Timeouts, UpstreamRequest
from gateway.errors import Fault
from gateway.pipeline.services import Services
from gateway.pipeline.tasks.asking import Place, bad_file, place_of, written
from gateway.pipeline.tasks.pace import Pace
from gateway.ports import Shelf, Spool, UpstreamReply
from gateway.sdk import Progress

MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_HARMLESS = ("accept", "range", "if-range")
_PORTS = {"http": 80, "https": 443}
_MEDIA = re.compile(r"(?:video|audio)/[a-z0-9][a-z0-9.+-]{0,60}")
_TEXT = re.compile(r"text/|application/(?:[a-z.+-]*\+)?(?:json|xml)")
_BUFFER = 1 << 20

Origin = tuple[str, str, int]


async def fetch(
    services: Services,
    task: Task,
    progress: Progress,
    pace: Pace,
    headers: tuple[tuple[str, str], ...] = (),
) -> UpstreamReply:
    """The provider's answer with the file (200, 206 or 416); anything else is a Fault."""
    place = await place_of(services, task, pace)
    request = written(services, place, place.job.result, progress)
    request = structs.replace(request, headers=(*request.headers, *headers))
    here = origin_of(request.url, place)
    if here != origin_of(place.provider.base_url, place) and not _trusted(here[1], place):
        request = _stripped(request, request.url)
    for _ in range(MOST_REDIRECTS + 1):
        reply = await services.upstream.send(request, _channel(place, here))
        if reply.status not in _REDIRECTS:
            return _checked(reply)
        target = reply.headers.get("location", "")
        reply.close()
        request, here = _followed(request, target, here, place)
    raise bad_file(f"it was more than {MOST_REDIRECTS} redirects away")


def origin_of(url: str, place: Place) -> Origin:
    """Scheme, host and port; refused where that is not what files come from."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        raise bad_file("its address is malformed") from None
    simulated = parts.scheme == "sim" and place.provider.base_url.startswith("sim:")
    if simulated:  # one place, whatever the operator calls it
        return "sim", "", 0
    if parts.scheme not in _PORTS or not parts.hostname or parts.username:
        raise bad_file("its address is not one of the web")
    return parts.scheme, parts.hostname, port


def media_type(given: str, work: Work) -> str:
    """A content type of sound or pictures, whatever was said."""
    told = given.partition(";")[0].strip().lower()
    if _MEDIA.fullmatch(told):
        return told
    return work.media_type


async def keep(reply: UpstreamReply, shelf: Shelf, name: str) -> int | None:
    """Keep the answer's body under a name; its size, or None where it is more than may be kept."""
    announced = reply.headers.get("content-length", "")
    try:
        if announced.isdecimal() and not shelf.room(int(announced)):
            return None
        spool = shelf.begin(name)
        try:
            await _Pump(reply, spool).run()
            if not spool.size:
                raise bad_file("it is empty")
            await spool.done()
        except _Full:
            return None
        finally:
            spool.drop()
        return spool.size
    finally:
        reply.close()


class _Full(Exception):  # noqa: N818 - not an error: such a file is passed through
    """It is more than may be kept."""


class _Pump:
    """From the wire to a file, no faster than the disk: what waits in between is bounded."""

    def __init__(self, reply: UpstreamReply, spool: Spool) -> None:
        self._reply = reply
        self._spool = spool
        self._waiting: list[bytes] = []
        self._size = 0
        self._more = asyncio.Event()

    async def run(self) -> None:
        """Until all is written."""
        reading = asyncio.ensure_future(self._reply.pump(self._receive))
        reading.add_done_callback(lambda _: self._more.set())
        try:
            while not (reading.done() and not self._waiting):
                await self._more.wait()
                self._more.clear()
                data = b"".join(self._waiting)
                self._waiting.clear()
                self._size = 0
                if data and not await self._spool.write(data):
                    raise _Full
                if not reading.done():
                    self._reply.resume()
                else:
                    self._more.set()
            await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    def _receive(self, data: bytes) -> None:
        self._waiting.append(data)
        self._size += len(data)
        if self._size >= _BUFFER:
            self._reply.pause()
        self._more.set()


def _checked(reply: UpstreamReply) -> UpstreamReply:
    if reply.status not in (200, 206, 416):
        status = reply.status
        reply.close()
        raise bad_file(f"it was answered with {status}")
    if _TEXT.match(reply.headers.get("content-type", "").lower()) and reply.status != 416:
        reply.close()
        raise bad_file("what came is text")
    return reply


def _followed(
    request: UpstreamRequest, target: str, here: Origin, place: Place
) -> tuple[UpstreamRequest, Origin]:
    if not target or not target.isprintable():
        raise bad_file("it was redirected to nowhere")
    url = urljoin(request.url, target).partition("#")[0]
    there = origin_of(url, place)
    if there == here:
        return structs.replace(request, method="GET", url=url, body=b"", pieces=()), there
    return _stripped(request, url), there


def _stripped(request: UpstreamRequest, url: str) -> UpstreamRequest:
    """A request that anybody may see."""
    told = tuple(one for one in request.headers if one[0].lower() in _HARMLESS)
    return UpstreamRequest("GET", url, told)


def _channel(place: Place, there: Origin) -> Channel:
    provider = place.provider
    timeouts = structs.replace(provider.timeouts, first_byte=60.0)
    if there == origin_of(provider.base_url, place):
        return structs.replace(place.channel, timeouts=timeouts)
    return media_channel(provider.name, timeouts, public=not _trusted(there[1], place))


def media_channel(provider: str, timeouts: Timeouts, *, public: bool) -> Channel:
    """Connections that carry no credential, and are never shared with those that do."""
    return Channel(provider, "(files)", timeouts, 64, None, public)


def _trusted(host: str, place: Place) -> bool:
    named = place.provider.options.get("media_hosts", "")
    return host in {one.strip().lower() for one in named.split(",") if one.strip()}


def fault_of(error: Exception) -> Fault:
    """What a step failed with, as a Fault."""
    return error if isinstance(error, Fault) else bad_file(type(error).__name__)
