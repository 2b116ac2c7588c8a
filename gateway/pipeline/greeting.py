"""The first word of a provider that speaks first: it may be a refusal, though it has agreed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.core.websocket import Closed
from gateway.errors import Fault, upstream_error, upstream_timeout
from gateway.ports import Socket
from gateway.sdk import Dialogue

_SECONDS = 30.0


async def greeted(socket: Socket, dialogue: Dialogue, seconds: float) -> list[bytes]:
    """What the provider has said by the time the client may be let in, and goes on to say.

    Some hosts open a websocket for anybody and then say in an event that the key is wrong. Where a
    dialogue has `greeting`, its first message is waited for, so that another route can be tried.
    """
    judge: Callable[[bytes], Fault | None] | None = getattr(dialogue, "greeting", None)
    if judge is None:
        return []
    heard: list[bytes] = []
    first: asyncio.Future[Closed | None] = asyncio.get_running_loop().create_future()

    def message(data: bytes) -> None:
        heard.append(data)
        socket.pause()
        if not first.done():
            first.set_result(None)

    def closed(how: Closed) -> None:
        if not first.done():
            first.set_result(how)

    socket.listen(message, closed)
    limit = min(seconds, _SECONDS)
    try:
        async with asyncio.timeout(limit):
            ended = await first
        if ended is not None:
            raise upstream_error(
                "The provider ended the session before it began.", f"provider_closed:{ended.code}"
            )
        refused = judge(heard[0])
        if refused is not None:
            raise refused
    except TimeoutError:
        socket.abort()
        raise upstream_timeout(
            f"The provider did not begin the session within {limit:g} s.", "first_byte_timeout"
        ) from None
    except BaseException:
        socket.close(1000)
        raise
    return heard
