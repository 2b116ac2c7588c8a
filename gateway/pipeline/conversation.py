"""Both directions of a realtime session: messages through, use counted, money kept ahead of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from msgspec import Struct

from gateway.core.money.checks import problem_of
from gateway.core.realtime import (
    Event,
    Passing,
    code_of,
    counts,
    error_event,
    event_of,
    total,
)
from gateway.core.websocket import FAILED, GOING_AWAY, NO_STATUS, NORMAL, POLICY, TOO_BIG, Closed
from gateway.domain import Credential, Route, Usage
from gateway.errors import (
    BUDGET_EXHAUSTED,
    CLIENT_CLOSED,
    RATE_LIMIT_EXCEEDED,
    Fault,
    upstream_error,
)
from gateway.pipeline import settle
from gateway.pipeline.admission import Admitted
from gateway.pipeline.masking import masked, told
from gateway.pipeline.mishaps import sound_frames, sound_usage
from gateway.pipeline.record import Record
from gateway.pipeline.services import Services
from gateway.ports import Socket
from gateway.sdk import Dialogue, Frames

# Sound that has passed since its cost was last looked at.
_LOOK_EVERY_MS = 1_000
_LARGEST_REASON = 100
# Who asks and does not read: the provider can be held for that, but not the answers to its own.
_MOST_UNREAD = 1 << 20
_TELLS_OF_FAILURE = ("error", "response.done")


class Ending(Struct, frozen=True):
    """How a session ends: the close code, and the fault that its client is told of before it.

    `failed`: it is the gateway's or the provider's failure, not an end that was to be.
    """

    code: int
    reason: str = ""
    fault: Fault | None = None
    cause: str = ""
    failed: bool = False
    status: int = 200
    flag: str = ""


def ended_by(fault: Fault, code: int, *, failed: bool = False, flag: str = "") -> Ending:
    """An end that the client is told the reason of."""
    fault.forget_frames()
    status = fault.kind.status if failed else 200
    return Ending(code, code_of(fault), fault, fault.cause, failed, status, flag)


class Conversation:
    """One session on its way. Everything here happens as messages come; nothing waits."""

    def __init__(
        self,
        services: Services,
        job: Admitted,
        dialogue: Dialogue,
        client: Socket,
        provider: Socket,
        credential: Credential,
        record: Record,
        early: list[bytes],
    ) -> None:
        self.client, self.provider = client, provider
        self.over: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self.last_message = services.clock.monotonic()
        self._services = services
        self._job = job
        self._till = job.till
        self._dialogue = dialogue
        self._credential = credential
        self._record = record
        self._early = early
        self._passing = Passing()
        self._used: Usage | None = None
        self._problem = ""
        self._answered = 0  # bytes that answer the client's own messages while it does not read
        self._looked_at = 0  # milliseconds of sound when the cost was last looked at
        self._parted = asyncio.Event()
        self.client_held = self.provider_held = False  # who is not read from

    @property
    def route(self) -> Route:
        """Where it goes."""
        return self._job.candidate.route

    def begin(self) -> None:
        """Open the dialogue, and hear both sides from now on."""
        client, provider = self.client, self.provider
        client.on_congestion(self._hold_provider, self._free_provider)
        provider.on_congestion(self._hold_client, self._free_client)
        self._passing.wished(self._job.body.get("session") or b"")
        self._take(self._dialogue.opening)
        client.listen(self._from_client, self._client_closed)
        for message in self._early:
            self._from_provider(message)
        provider.listen(self._from_provider, self._provider_closed)
        if not self.provider_held:
            provider.resume()

    def end(self, ending: Ending) -> None:
        """This is the end; the first reason counts."""
        if not self.over.done():
            self.over.set_result(ending)

    def tell(self, fault: Fault | None) -> None:
        """Tell the client why its session ends."""
        if fault is not None:
            self.client.send(error_event(fault, f"{self._record.id}_end"))

    def settled(self, status: int, flag: str) -> Awaitable[Exception | None]:
        """Charge what was used, with what has passed of an answer that nobody has counted."""
        used, pending = self._used, self._passing.usage
        problem = self._problem
        if pending is not None:
            used = total(used, pending)
            if not flag or not (self._passing.answering or flag == "stopped"):
                flag = "no_usage"
        elif flag != "stopped":
            flag = ""
        if problem:
            flag = "bad_usage"
        return settle.session(self._till, self._record, used, status, flag, problem)

    async def parted(self, code: int, reason: str) -> None:
        """Say goodbye to the client, and wait a moment for the answer."""
        self.client.close(code, reason[:_LARGEST_REASON])
        self.client.resume()
        try:
            async with asyncio.timeout(self._services.sessions.goodbye):
                await self._parted.wait()
        except TimeoutError:
            self.client.abort()

    # --- messages ---

    def _from_client(self, message: bytes) -> None:
        if self.over.done():
            return
        self._note(len(message), 0)
        self._passing.from_client(event_of(message), message)
        answered = self._take(lambda: self._dialogue.from_client(message))
        if not self.provider_held:
            return
        self._answered += answered
        if self._answered > _MOST_UNREAD:
            self.end(
                Ending(POLICY, cause="client_stuck", status=CLIENT_CLOSED.status, flag="abandoned")
            )

    def _from_provider(self, message: bytes) -> None:
        if self.over.done():
            return
        self._note(0, len(message))
        self._take(lambda: self._dialogue.from_provider(message))

    def _take(self, ask: Callable[[], Frames]) -> int:
        """Send on what the dialogue makes of a message, and see what it has counted.

        How many bytes of it went to the client.
        """
        job = self._job
        try:
            frames = sound_frames(ask())
            used = [sound_usage(one) for one in self._dialogue.take_usage()]
            fault = self._dialogue.fault
        except Fault as error:
            self._fail(told(error, job.candidate, self._credential, self._services.mishaps))
            return 0
        except (Exception, SystemExit) as error:
            adapter = job.candidate.route.provider.adapter
            self._fail(self._services.mishaps.failed(adapter, error))
            return 0
        for message in frames.to_provider:
            self.provider.send(message)
        for message in frames.to_client:
            self._to_client(event_of(message), message)
        for usage in used:
            if usage is not None:
                self._count(settle.whole_input(usage, job.candidate))
        if fault is not None:
            self._fail(told(fault, job.candidate, self._credential, self._services.mishaps))
        else:
            self._look(bool(used))
        return sum(map(len, frames.to_client))

    def _to_client(self, event: Event, message: bytes) -> None:
        record = self._record
        if not record.first_byte:
            record.first_byte = self._services.clock.monotonic()
        if event.type in _TELLS_OF_FAILURE:
            message = masked(message, self._credential)
        self._passing.to_client(event, message)
        self.client.send(message)

    def _note(self, bytes_in: int, bytes_out: int) -> None:
        self.last_message = self._services.clock.monotonic()
        self._record.bytes_in += bytes_in
        self._record.bytes_out += bytes_out

    # --- money and limits ---

    def _count(self, usage: Usage) -> None:
        """Add what an answer used; where that cannot be, the gateway's own count stands in."""
        problem = problem_of(usage)
        if problem:
            self._problem = problem
            own = self._passing.usage
            if own is None:
                return
            usage = own
        if counts(usage):
            self._used = total(self._used, usage)
            self._passing.told(usage.input + usage.output)
            self._limit(usage.input + usage.output)

    def _limit(self, tokens: int) -> None:
        """Count tokens against the key's minute; a session that is over it ends."""
        bucket = self._job.standing.limits.tpm
        if bucket is None:
            return
        now = self._services.clock.monotonic()
        bucket.room(now)
        bucket.put(now, tokens)
        if bucket.room(now) < 0:
            self.end(
                ended_by(
                    Fault(
                        RATE_LIMIT_EXCEEDED,
                        f"TPM exceeded - {bucket.limit} tokens in 60 seconds. Open a new session "
                        "in a moment.",
                        cause="over_tpm",
                    ),
                    POLICY,
                )
            )

    def _look(self, counted: bool) -> None:
        """See to it that there is money for what was said and what is being said."""
        if not counted:
            heard, said = self._passing.milliseconds
            if abs(heard + said - self._looked_at) < _LOOK_EVERY_MS:
                return
            self._looked_at = heard + said
        used, pending = self._used, self._passing.usage
        if pending is not None:
            used = total(used, pending)
        if used is None or self._till.ahead(self._till.price(used)):
            return
        self.end(
            ended_by(
                Fault(
                    BUDGET_EXHAUSTED,
                    "The money for this session is used up. What was said so far is charged.",
                    cause="no_money:session",
                ),
                POLICY,
                flag="stopped",
            )
        )

    # --- ends ---

    def _fail(self, fault: Fault) -> None:
        code = POLICY if fault.kind.blame == "client" else FAILED
        self.end(ended_by(fault, code, failed=True, flag="cut_off"))

    def _client_closed(self, closed: Closed) -> None:
        self._parted.set()
        if closed.clean:
            self.end(Ending(NORMAL, cause="", flag="abandoned"))
            return
        # It broke the protocol, or is gone without a word.
        self.end(
            Ending(
                closed.code,
                cause=f"client_closed:{closed.code}",
                status=CLIENT_CLOSED.status,
                flag="abandoned",
            )
        )

    def _provider_closed(self, closed: Closed) -> None:
        """What the provider says of it is for its own customer, not for ours."""
        code = closed.code
        cause = f"provider_closed:{code}"
        if closed.clean and code in (NORMAL, NO_STATUS, GOING_AWAY):
            ours = GOING_AWAY if code == GOING_AWAY else NORMAL
            self.end(Ending(ours, "The provider has ended the session.", cause=cause))
        elif closed.clean and code == TOO_BIG:
            self.end(Ending(TOO_BIG, "A message was too large for the provider.", cause=cause))
        else:
            self._fail(upstream_error("The provider broke off the session.", cause))

    # --- whoever does not keep up ---

    def _hold_provider(self) -> None:
        self.provider_held = True
        self.provider.pause()

    def _free_provider(self) -> None:
        self.provider_held = False
        self._answered = 0
        self.provider.resume()

    def _hold_client(self) -> None:
        self.client_held = True
        self.client.pause()

    def _free_client(self) -> None:
        self.client_held = False
        self.client.resume()
