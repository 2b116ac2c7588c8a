"""Further requests that an answer asks for before it is one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit

from gateway.domain import Channel, Credential, UpstreamRequest
from gateway.errors import Fault
from gateway.pipeline.attempt import Attempt
from gateway.pipeline.mishaps import sound_request
from gateway.ports import Upstream
from gateway.sdk import Answered

More = UpstreamRequest | Callable[[Credential], UpstreamRequest]
_MOST = 32  # side by side


async def brought(
    attempt: Attempt, requests: tuple[More, ...], upstream: Upstream, most: int
) -> tuple[Answered, ...]:
    """What further requests of the same call bring. One that comes to nothing has a fault's status:
    what the others bring may be an answer all the same."""
    if len(requests) > _MOST:
        raise ValueError("no answer needs so many further requests")

    async def bring(more: More) -> Answered:
        try:
            if callable(more):
                request = sound_request(more(attempt.credential))
                channel = attempt.candidate.channels[attempt.credential.name]
            else:
                request = sound_request(more)
                channel = _channel_to(attempt, request.url)
            reply = await upstream.send(request, channel)
            try:
                return Answered(reply.status, reply.headers, await reply.read(most))
            finally:
                reply.close()
        except Fault as fault:
            return Answered(fault.kind.status, {}, b"")

    tasks = [asyncio.ensure_future(bring(request)) for request in requests]
    try:
        return tuple(await asyncio.gather(*tasks))
    except asyncio.CancelledError:
        # One of them may have said that it was not sent: that is not so of the call it is part of.
        raise asyncio.CancelledError from None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _channel_to(attempt: Attempt, url: str) -> Channel:
    """To an address that an answer has named: anybody's, so it gets no connection that has seen a
    credential, and reaches nobody's own network. The provider's own host is asked as ever."""
    provider = attempt.candidate.route.provider
    asked, known = urlsplit(url), urlsplit(provider.base_url)
    if (asked.scheme, asked.netloc) == (known.scheme, known.netloc):
        return attempt.candidate.channels[attempt.credential.name]
    return Channel(provider.name, "(files)", provider.timeouts, _MOST, None, public=True)
