"""What ends a session that nobody ends: its key, its time, silence, a gateway that closes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.core.websocket import FAILED, GOING_AWAY, POLICY
from gateway.errors import (
    AUTHENTICATION_ERROR,
    CLIENT_CLOSED,
    INVALID_REQUEST,
    MODEL_NOT_ALLOWED,
    NO_UPSTREAM,
    Fault,
    upstream_timeout,
)
from gateway.pipeline.admission import Ask
from gateway.pipeline.admit import vouch
from gateway.pipeline.candidates import allowed
from gateway.pipeline.conversation import Conversation, Ending, ended_by
from gateway.pipeline.desk import Standing
from gateway.pipeline.services import Services


async def watch(
    services: Services,
    conversation: Conversation,
    ask: Ask,
    closing: Callable[[], bool],
    standing: Standing,
) -> Ending:
    """Let a conversation run until somebody ends it."""
    keeper = Keeper(services, conversation, ask, closing, standing)
    conversation.begin()
    while not conversation.over.done():
        await asyncio.wait((conversation.over,), timeout=services.sessions.tick)
        if not conversation.over.done():
            await keeper.look()
    return conversation.over.result()


class Keeper:
    """Looks after one session, a few times a second."""

    def __init__(
        self,
        services: Services,
        conversation: Conversation,
        ask: Ask,
        closing: Callable[[], bool],
        standing: Standing,
    ) -> None:
        self._services = services
        self._conversation = conversation
        self._ask = ask
        self._closing = closing
        self._key = standing.key
        self._route = conversation.route
        self._changes = services.keys.changes
        now = services.clock.monotonic()
        self._ends = now + services.sessions.longest
        self._ping_at = now + services.sessions.ping_every
        self._held_since = now

    async def look(self) -> None:
        """End the session if it must end."""
        guards, conversation = self._services.sessions, self._conversation
        now = self._services.clock.monotonic()
        if self._closing():
            self._say("The gateway is shutting down. Open a new session in a moment.", "draining")
        elif now >= self._ends:
            minutes = f"{guards.longest / 60:g}"
            self._say(f"A session may last {minutes} minutes. Open a new one.", "session_expired")
        elif now - conversation.last_message > guards.idle:
            self._say("Nothing was said for too long. Open a new session.", "session_idle")
        else:
            self._listen(now)
            await self._check_key()

    def _say(self, text: str, cause: str) -> None:
        kind = NO_UPSTREAM if cause == "draining" else INVALID_REQUEST
        ending = ended_by(Fault(kind, text, cause=cause), GOING_AWAY)
        self._conversation.end(ending)

    def _listen(self, now: float) -> None:
        """Ask for signs of life; whoever is not read from can give none."""
        guards, conversation = self._services.sessions, self._conversation
        if now >= self._ping_at:
            self._ping_at = now + guards.ping_every
            conversation.client.ping()
            conversation.provider.ping()
        before = asyncio.get_running_loop().time() - guards.silence
        if not conversation.client_held:
            self._held_since = now
            if conversation.client.heard < before:
                conversation.end(
                    Ending(GOING_AWAY, cause="client_silent", status=CLIENT_CLOSED.status,
                        flag="abandoned")
                )  # fmt: skip
        elif now - self._held_since > guards.silence:
            self._give_up("The provider takes no more of what is said.", "provider_stuck")
        if not conversation.provider_held and conversation.provider.heard < before:
            self._give_up("The provider gives no sign of life.", "provider_silent")

    def _give_up(self, text: str, cause: str) -> None:
        fault = upstream_timeout(text, cause)
        self._conversation.end(ended_by(fault, FAILED, failed=True, flag="cut_off"))

    async def _check_key(self) -> None:
        """A key that is revoked, or narrowed, takes its sessions with it."""
        key, services = self._key, self._services
        if self._ask.secret is None:
            return
        try:
            if self._changes != services.keys.changes:
                self._changes = services.keys.changes
                found = await services.keys.find(self._ask.secret)
                if found is None:
                    raise Fault(
                        AUTHENTICATION_ERROR, "The API key is no longer known.", cause="unknown_key"
                    )
                if found is not key:
                    self._key = key = found
                    await services.desk.load(key, services.catalog.current)
            vouch(services, key, self._ask.address, self._ask.scope)
            if not allowed(key, self._route):
                raise Fault(
                    MODEL_NOT_ALLOWED, "This model is no longer on the API key's allow-list."
                )
        except Fault as fault:
            self._conversation.end(ended_by(fault, POLICY))
