"""A provider without a network: plays the script that stands in the request's body."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.core import script
from gateway.core.script import Cut, Script, Step, Wait
from gateway.domain import Channel, Timeouts, UpstreamRequest
from gateway.errors import INTERNAL_ERROR, Fault
from gateway.upstream import faults
from gateway.upstream.decoding import DecodingError, decoder_for
from gateway.upstream.reply import Reply

Sleep = Callable[[float], Awaitable[None]]

WHERE = "the simulator"


class SimUpstream:
    """Implements `ports.Upstream` for URLs with the scheme `sim`."""

    def __init__(self, sleep: Sleep = asyncio.sleep) -> None:
        self._sleep = sleep
        self._players: set[_Player] = set()

    async def send(self, request: UpstreamRequest, channel: Channel) -> Reply:
        """Play up to the head of the scripted answer; the rest plays as it is read."""
        try:
            played = script.decode(request.body)
        except ValueError as error:
            raise Fault(INTERNAL_ERROR, "The simulator was sent no script.") from error
        player = _Player(played, channel.timeouts, self._sleep, self._players.discard)
        reply = await player.head()
        self._players.add(player)
        player.start(reply)
        return reply

    async def close(self) -> None:
        """Stop every script that still plays."""
        for player in list(self._players):
            player.abandon()


class _Player:
    """One script being played; a `reply.Source`."""

    __slots__ = (
        "_clock",
        "_go",
        "_on_end",
        "_reply",
        "_script",
        "_sleep",
        "_steps",
        "_task",
        "_timeouts",
        "where",
    )

    def __init__(
        self, played: Script, timeouts: Timeouts, sleep: Sleep, on_end: Callable[[_Player], None]
    ) -> None:
        self.where = WHERE
        self._script = played
        self._steps: list[Step] = list(reversed(played.steps))
        self._timeouts = timeouts
        self._sleep = sleep
        self._on_end = on_end
        self._clock = 0.0  # seconds played so far, on the script's own time
        self._go = asyncio.Event()
        self._go.set()
        self._reply: Reply | None = None
        self._task: asyncio.Task[None] | None = None

    async def head(self) -> Reply:
        """Play what stands before the first piece of the body."""
        steps = self._steps
        silent = 0.0
        while steps and isinstance(steps[-1], Wait):
            step = steps.pop()
            assert isinstance(step, Wait)
            silent = await self._wait("first_byte", silent, step.seconds)
        if steps and isinstance(steps[-1], Cut):
            raise faults.reset(self.where)
        return self._begin()

    def start(self, reply: Reply) -> None:
        """Play the body in a task of its own."""
        self._reply = reply
        self._task = asyncio.create_task(self._play(reply))

    def abandon(self) -> None:
        """The simulator is being closed."""
        if self._reply is not None:
            self._reply.fail(faults.shut_down(self.where))
        self.cut()

    # --- reply.Source ---

    def hold(self) -> None:
        """Stop playing until `go_on`."""
        self._go.clear()

    def go_on(self) -> None:
        """Play on."""
        self._go.set()

    def cut(self) -> None:
        """Stop playing."""
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        self._steps.clear()
        self._go.set()
        self._on_end(self)

    # --- inside ---

    def _begin(self) -> Reply:
        headers: dict[str, str] = {}
        for name, value in self._script.headers:
            key = name.lower()
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
        try:
            decoder = decoder_for(headers.get("content-encoding"))
        except DecodingError as error:
            raise faults.bad_response(self.where, str(error)) from error
        loop = asyncio.get_running_loop()
        return Reply(self._script.status, headers, self, self.where, loop, decoder=decoder)

    async def _play(self, reply: Reply) -> None:
        try:
            await self._play_steps(reply)
        except Fault as fault:
            reply.fail(fault)
        finally:
            self._on_end(self)

    async def _play_steps(self, reply: Reply) -> None:
        steps, silent = self._steps, 0.0
        while steps:
            if not self._go.is_set():
                await self._go.wait()
                silent = 0.0
                continue
            step = steps.pop()
            if isinstance(step, Cut):
                raise faults.truncated(self.where)
            if isinstance(step, Wait):
                silent = await self._wait("idle", silent, step.seconds)
                continue
            silent = 0.0
            if step.data:
                _push(reply, step.data)
            await asyncio.sleep(0)
        reply.finish()

    async def _wait(self, name: str, silent: float, seconds: float) -> float:
        """Sleep until the wait or the nearest deadline is over; answers the silence so far."""
        allowed: float = getattr(self._timeouts, name)
        left, total = allowed - silent, self._timeouts.total - self._clock
        pause = min(seconds, left, total)
        await self._sleep(max(pause, 0.0))
        self._clock += pause
        if pause < seconds:
            if total <= left:
                raise faults.timeout(self.where, "total", self._timeouts.total)
            raise faults.timeout(self.where, name, allowed)
        return silent + pause


def _push(reply: Reply, data: bytes) -> None:
    if reply.deliver is None:
        reply.keep(data)
        return
    try:
        reply.deliver(data)
    except Exception as error:  # what the consumer raised ends its pump
        reply.give_up(error)
