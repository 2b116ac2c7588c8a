"""A task's money: the hold that its call left, and the one settlement at its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import msgspec
from msgspec import Struct, structs

from gateway.core.limits import Limits
from gateway.core.money.rows import price_of, rows_of
from gateway.core.purse import Purse
from gateway.core.task import Task
from gateway.domain import Model, Price, Provider, Route, UpstreamRequest, Usage
from gateway.errors import Fault
from gateway.pipeline import settle
from gateway.pipeline.desk import Standing
from gateway.pipeline.record import Record
from gateway.pipeline.services import Candidate, Services
from gateway.pipeline.till import Till
from gateway.ports import Result, Settlement, TaskBook, Who
from gateway.sdk import Adapter, Call, Credential, Operation


class _Counter:
    """The `Ledger` that a task's till settles into: it keeps what it is told, to be written in one
    transaction with the task's end.
    """

    def __init__(self) -> None:
        self.extends: list[tuple[int, int]] = []
        self.settlement: Settlement | None = None

    def hold(
        self, at: int, who: Who, call: int, amount: int, way: int, tokens: int, estimate: int
    ) -> asyncio.Future[Exception | None]:
        """A task's hold has been written long since."""
        raise NotImplementedError

    def tell(self, commit: object, tell: object) -> None:
        """Nobody waits here."""

    def extend(
        self, at: int, who: Who, call: int, amount: int, estimate: int = 0
    ) -> Awaitable[Exception | None]:
        """More is set aside at the end, where it cost more than was expected."""
        self.extends.append((at, amount))
        return _done()

    def settle(
        self, at: int, who: Who, call: int, held: int, charge: int, way: int, result: Result
    ) -> Awaitable[Exception | None]:
        """What the end comes to."""
        self.settlement = Settlement(at, held, charge, result, tuple(self.extends))
        return _done()

    async def flush(self) -> Exception | None:
        """There is nothing to wait for."""
        return None


class End(Struct, frozen=True):
    """How a task ended: its settlement, what was charged, and what there is to log."""

    money: Settlement
    record: Record


def ended(task: Task, till: Till, usage: Usage | None, fault: Fault | None) -> End:
    """Settle a task's till: by use where it has succeeded, nothing where it has not."""
    counter = _Counter()
    services = till.services
    till.services = structs.replace(services, ledger=counter)
    record = Record(
        id=task.id,
        started=services.clock.monotonic() - (services.clock.time() - task.created / 1000),
        operation=task.operation,
        key=till.standing.key.id,
        model=task.asked,
        route=task.route,
        provider=task.provider,
        status=200 if fault is None else fault.kind.status,
        cause="" if fault is None else fault.cause,
        fault=fault,
    )
    if fault is None:
        settle.finished(till, record, till.candidate, usage, 0, 0)
    else:
        till.release(fault.kind.status)
    till.services = services
    assert counter.settlement is not None
    return End(counter.settlement, record)


async def reopened(services: Services, book: TaskBook, task: Task) -> Till:
    """The till of a task from before the gateway was started; its money is set aside again."""
    key, line = await book.payer(task)
    purses = await services.desk.resumed(key, line, task.held)
    if task.most is not None:
        own = Purse("call", task.most)
        own.take(task.held)
        purses = (*purses, own)
    standing = Standing(
        key=key,
        who=task.who,
        limits=Limits(),
        purses=purses,
        scale=int(task.scale),
        unlimited=all(purse.limit is None for purse in purses),
    )
    row = await book.price_row(task.price)
    price = Price() if row is None else price_of(row, task.price)
    till = Till(services, standing, _stand_in(task, price), task.call, task.tokens, 0, purses, 0)
    till.expect(msgspec.json.decode(task.expects, type=Usage))
    till.held = task.held
    till.settled = True
    return till


def _stand_in(task: Task, price: Price) -> Candidate:
    """The route as the task has it: the catalog may know it no more, or at another price."""
    route = Route(
        slug=task.route,
        model=Model(task.model, task.model, "", ""),
        provider=Provider(task.provider, "", ""),
        upstream=task.upstream,
        price=price,
        region=task.region,
    )
    return Candidate(
        route=route,
        operation=Operation(build=_not_sent),
        adapter=Adapter(name="", operations={}),
        credentials={},
        channels={},
        options={},
        rows=rows_of(price),
        digest=price.digest.encode(),
        free=price.free,
        way=task.way,
    )


def _not_sent(call: Call, credential: Credential) -> UpstreamRequest:
    raise NotImplementedError  # it stands for money alone


def _done() -> asyncio.Future[Exception | None]:
    done: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done
