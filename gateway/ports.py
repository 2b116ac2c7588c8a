"""The small contracts between the order of things (pipeline) and the rooms that do I/O."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from gateway.core.task import Task
from gateway.core.websocket import Closed
from gateway.domain import Channel, Credential, Key, Period, Provider, UpstreamRequest
from gateway.sdk.adapter import Adapter

Headers = Sequence[tuple[str, str]]
# Account, key and derived key, by their numbers.
Who = tuple[int, int, int]
# Status, flag, input, output and cached tokens, receipt.
Result = tuple[int, int, int, int, int, bytearray]


class UpstreamReply(Protocol):
    """A provider's answer whose headers have arrived. Faults are raised as `errors.Fault`."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Lower-case names; repeated headers joined by a comma."""
        ...

    @property
    def delimited(self) -> bool:
        """False when only the connection's end ends the body: the content must prove it whole."""
        ...

    def forget_headers(self) -> None:
        """They will not be asked for again."""
        ...

    def at_hand(self, limit: int) -> bytes | None:
        """What `read` gives, where nothing is to be waited for; None tells nothing of the rest."""
        ...

    async def read(self, limit: int) -> bytes:
        """The whole body, decoded from its content encoding; over `limit` is a fault."""
        ...

    async def pump(self, receive: Callable[[bytes], None]) -> None:
        """Hand each piece of the body to `receive` as it arrives; return at a clean end only."""
        ...

    def pause(self) -> None:
        """Stop reading from the provider until `resume`: the client does not keep up."""
        ...

    def resume(self) -> None: ...

    def close(self) -> None:
        """Be done with the answer: a finished connection is pooled, an unfinished one is cut."""
        ...


class Upstream(Protocol):
    """Sends one request to a provider."""

    def send(self, request: UpstreamRequest, channel: Channel) -> Awaitable[UpstreamReply]: ...

    def connect(self, request: UpstreamRequest, channel: Channel) -> Awaitable[Socket | Declined]:
        """Open a websocket; what a provider answers that does not want to is no fault yet."""
        ...


class Declined(Struct, frozen=True):
    """A provider's answer to somebody who asked for a websocket and did not get one."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Socket(Protocol):
    """An open websocket, at either end. Messages are text, and sending one never waits."""

    @property
    def heard(self) -> float:
        """When bytes came last, by the loop's clock."""
        ...

    def listen(
        self, on_message: Callable[[bytes], None], on_close: Callable[[Closed], None]
    ) -> None:
        """Who takes the messages from now on, and is told of the end, once."""
        ...

    def on_congestion(self, hold: Callable[[], None], go_on: Callable[[], None]) -> None:
        """Whom to tell when the other side falls behind, and when it has caught up."""
        ...

    def send(self, message: bytes) -> None: ...

    def ping(self) -> None: ...

    def pause(self) -> None:
        """Read no more until `resume`: whoever is at the far end does not keep up."""
        ...

    def resume(self) -> None: ...

    def close(self, code: int, reason: str = "") -> None:
        """Begin the end. The connection goes when the other side agrees, or soon after."""
        ...

    def abort(self) -> None:
        """Drop the connection at once."""
        ...


class Logins(Protocol):
    """Turns a credential into what requests are signed with, where it isn't simply a key."""

    async def secrets(
        self, adapter: Adapter, provider: Provider, credential: Credential, now: float
    ) -> Credential: ...

    def forget(self, provider: Provider, credential: Credential, now: float) -> None:
        """What a login gave was refused: the next call logs in anew."""
        ...


class Sink(Protocol):
    """Where a call's answer goes. Writing never waits; congestion is told to whom it concerns."""

    @property
    def started(self) -> bool: ...

    def on_congestion(self, hold: Callable[[], None], go_on: Callable[[], None]) -> None:
        """Whom to tell when the client falls behind, and when it has caught up."""
        ...

    def start(self, status: int, headers: Headers) -> None: ...

    def write(self, data: bytes) -> None: ...

    def straight(self) -> tuple[Callable[[bytes], object], bytes] | None:
        """How to write a piece in one call: the transport's own, and the frame of size and bytes
        that it is given. Whoever does it counts what it sends. None where writing is more.
        """
        ...

    def end(self) -> None:
        """The clean end of a started answer."""
        ...

    def reply(self, status: int, headers: Headers, body: bytes) -> None:
        """A whole answer at once."""
        ...


class Keys(Protocol):
    """Client keys by secret."""

    @property
    def changes(self) -> int:
        """Counts up with each change to any key: what was found before may be out of date."""
        ...

    def known(self, digest: bytes) -> Key | None:
        """The key by its secret's digest, where it has called before: at once, as nearly all
        have.
        """
        ...

    async def find(self, secret: bytes) -> Key | None: ...


class Ledger(Protocol):
    """Where money is written down. What each method returns is done once the entry is durable,
    with the error that kept it from being so. `who` is account, key and derived key by number.
    """

    def hold(
        self, at: int, who: Who, call: int, amount: int, way: int, tokens: int, estimate: int
    ) -> Future[Exception | None]: ...

    def tell(
        self, commit: Future[Exception | None], tell: Callable[[Exception | None], None]
    ) -> None:
        """Say how a hold ended to somebody who was cancelled while waiting for it."""
        ...

    def extend(
        self, at: int, who: Who, call: int, amount: int, estimate: int = 0
    ) -> Awaitable[Exception | None]: ...

    def settle(
        self, at: int, who: Who, call: int, held: int, charge: int, way: int, result: Result
    ) -> Awaitable[Exception | None]: ...

    async def flush(self) -> Exception | None:
        """Wait until all that was handed over has been written; the error that prevents it."""
        ...


class Books(Protocol):
    """What the ledger adds up to."""

    async def free_money(self, account: int) -> int: ...

    async def spent_by_key(self, key: int, period: Period) -> int: ...

    async def spent_by_account(self, account: int, period: Period) -> int: ...

    async def spent_by_child(self, child: int) -> int: ...

    async def child(self, block_id: str, key: Key, parent: int | None) -> int: ...

    async def way(self, route: str, model: str, provider: str) -> int: ...

    async def keep_price(self, digest: str, row: bytes) -> None: ...


class Settlement(Struct, frozen=True):
    """What is to be written of a call's money at its end: what more is set aside (moment and
    amount), then what of all that is charged.
    """

    at: int
    held: int
    charge: int
    result: Result
    extends: tuple[tuple[int, int], ...] = ()


class TaskBook(Protocol):
    """Where tasks are written down. Nothing is done before it is durable."""

    async def add(self, task: Task) -> Task: ...

    async def note(self, task: Task) -> None: ...

    async def finish(self, task: Task, money: Settlement) -> bool: ...

    async def told(self, task: Task, due: int | None, tries: int) -> None: ...

    async def drop(self, task: Task, deleted: int | None) -> None: ...

    async def unfinished(self) -> list[Task]: ...

    async def find(self, task_id: str) -> Task | None: ...

    async def due(self) -> list[Task]: ...

    async def stale(self, now: int) -> list[Task]: ...

    async def media(self) -> set[str]: ...

    async def forget(self, before: int) -> None: ...

    async def price_row(self, digest: str) -> bytes | None: ...

    async def payer(self, task: Task) -> tuple[Key, tuple[int, ...]]: ...


class Spool(Protocol):
    """A file that is being kept. It is there under its name once `done`, or not at all."""

    @property
    def size(self) -> int: ...

    async def write(self, data: bytes) -> bool:
        """False where it has grown past what may be kept."""
        ...

    async def done(self) -> None: ...

    def drop(self) -> None: ...


class Shelf(Protocol):
    """Where the files of tasks are kept, within bounds."""

    def room(self, size: int) -> bool: ...

    def begin(self, name: str) -> Spool: ...

    def open(self, name: str) -> int:
        """A descriptor to read from; FileNotFoundError where it is gone."""
        ...

    async def remove(self, name: str) -> None: ...

    async def sweep(self, known: set[str]) -> None:
        """Remove whatever nobody knows of."""
        ...


class Clock(Protocol):
    """Time as an argument: monotonic for limits, wall for records."""

    def monotonic(self) -> float: ...

    def time(self) -> float: ...
