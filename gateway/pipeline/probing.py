"""Asks providers how they are beside the calls, where the catalog wants it and no call tells.

Never on a call's way: a step each second looks at who has been silent for long enough, and asks at
most one credential of each provider at a time. Nothing is charged, nobody waits for an answer.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from msgspec import Struct

from gateway.core.routing import asking
from gateway.core.routing.asking import Said
from gateway.core.routing.pool import Pool
from gateway.domain import (
    ANONYMOUS,
    Channel,
    Credential,
    Probe,
    Provider,
    Timeouts,
    UpstreamRequest,
)
from gateway.errors import Fault
from gateway.pipeline.catalogs import Routes
from gateway.pipeline.mishaps import sound_request
from gateway.pipeline.services import Services
from gateway.sdk import Adapter, Call, JsonBody
from gateway.sdk.adapter import Build

STEP = 1.0  # seconds between two looks
_SOONEST, _SPREAD = 0.75, 0.5  # of `every`: when a credential's turn comes again, and by chance
_MOST_READ = 4 << 20
_NOTHING = JsonBody.parse(b"{}")


class Told(Struct, frozen=True):
    """What a provider last answered, under which credential. Without an answer there is no status.

    `news` says that this credential was not told the same the time before.
    """

    credential: str
    said: Said
    status: int
    at: float
    news: bool


class _Question(Struct, frozen=True):
    """Whom to ask, as whom, and how."""

    adapter: Adapter
    build: Build
    provider: Provider
    probe: Probe
    credential: Credential
    pool: Pool


class Prober:
    """Who was asked, what they said, and whose turn is next."""

    def __init__(self, services: Services) -> None:
        self.counts: Counter[tuple[str, str, Said]] = Counter()
        self.last: dict[str, Told] = {}
        self.unable: set[str] = set()  # providers whose adapter knows nothing to ask
        self.on_told: Callable[[str, Told], None] = _nobody
        self._services = services
        self._catalog: Routes | None = None
        self._due: dict[tuple[str, str], float] = {}
        self._said: dict[tuple[str, str], Said] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Take steps until cancelled."""
        while True:
            await sleep(STEP)
            self.step()

    def step(self) -> None:
        """Ask those whose time it is."""
        services = self._services
        catalog = services.catalog.current
        if catalog is not self._catalog:
            self._turn_to(catalog)
        for provider in catalog.providers.values():
            adapter = services.adapters.get(provider.adapter)
            if provider.probe is None or adapter is None or provider.name in self._asking:
                continue
            if adapter.probe is None:
                self.unable.add(provider.name)
            elif not self._closed:
                self._step(adapter, adapter.probe, provider, provider.probe)

    async def idle(self) -> None:
        """Wait until all who were asked have answered."""
        while self._asking:
            await asyncio.wait(self._asking.values())

    async def close(self) -> None:
        """Ask nobody any more, and wait for no answer."""
        self._closed = True
        asked = tuple(self._asking.values())
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)

    def _turn_to(self, catalog: Routes) -> None:
        """Another catalog: who is no longer in it is forgotten, who is new comes in time."""
        self._catalog = catalog
        self.unable.clear()
        asked = {
            (provider.name, credential.name)
            for provider in catalog.providers.values()
            if provider.probe is not None
            for credential in _credentials(provider)
        }
        self._due = {key: due for key, due in self._due.items() if key in asked}
        self._said = {key: said for key, said in self._said.items() if key in asked}
        for key in [key for key in self.counts if key[:2] not in asked]:
            del self.counts[key]
        providers = {name for name, _ in asked}
        self.last = {name: told for name, told in self.last.items() if name in providers}

    def _step(self, adapter: Adapter, build: Build, provider: Provider, probe: Probe) -> None:
        now = self._services.clock.monotonic()
        pool = self._services.routing.pool(provider)
        credential = self._next(provider, probe, pool, now)
        if credential is None or not asking.begin(pool, credential.name, now):
            return
        question = _Question(adapter, build, provider, probe, credential, pool)
        task = asyncio.create_task(self._ask(question))
        self._asking[provider.name] = task
        task.add_done_callback(lambda _: self._asking.pop(provider.name, None))

    def _next(self, provider: Provider, probe: Probe, pool: Pool, now: float) -> Credential | None:
        """The one that is longest overdue, of those that have been silent."""
        chance = self._services.routing.chance
        found, longest = None, now
        for credential in _credentials(provider):
            key = provider.name, credential.name
            due = self._due.get(key)
            if due is None:  # spread from the start, so that they never ask together
                due = self._due[key] = now + probe.every * chance()
            if due > now:
                continue
            if not asking.silent(pool, credential.name, now, probe.every):
                self._due[key] = now + probe.every * (_SOONEST + _SPREAD * chance())
            elif found is None or due < longest:
                found, longest = credential, due
        if found is not None:
            again = probe.every * (_SOONEST + _SPREAD * chance())
            self._due[provider.name, found.name] = now + again
        return found

    async def _ask(self, question: _Question) -> None:
        clock, pool, name = self._services.clock, question.pool, question.credential.name
        status = 0
        try:
            async with asyncio.timeout(question.probe.timeout):
                status = await self._status(question)
        except asyncio.CancelledError:
            asking.told(pool, name, clock.monotonic(), "failed")
            raise
        except Exception as error:  # whatever it was, it was no good answer
            if not isinstance(error, (Fault, TimeoutError)):
                self._services.mishaps.note(question.provider.adapter, error)
        said = _meaning(status)
        changes = asking.told(pool, name, clock.monotonic(), said)
        self._note(question.provider.name, name, said, status)
        self._services.routing.changed(question.provider.name, changes)

    async def _status(self, question: _Question) -> int:
        """The answer's status; its body is read so that the connection can be used again."""
        services, provider = self._services, question.provider
        credential, now = question.credential, services.clock.time()
        if question.adapter.login is not None:
            credential = await services.logins.secrets(question.adapter, provider, credential, now)
        call = Call(
            operation="probe",
            upstream=question.probe.path,
            base_url=provider.base_url,
            body=_NOTHING,
            region=provider.region,
            options=provider.options,
            now=now,
        )
        request: UpstreamRequest = sound_request(question.build(call, credential))
        reply = await services.upstream.send(request, _channel(question))
        try:
            await reply.read(_MOST_READ)
        except Fault:
            pass  # the status has said it
        finally:
            reply.close()
        return reply.status

    def _note(self, provider: str, credential: str, said: Said, status: int) -> None:
        news = self._said.get((provider, credential), "ok") != said
        self._said[provider, credential] = said
        self.counts[provider, credential, said] += 1
        told = Told(credential, said, status, self._services.clock.time(), news)
        self.last[provider] = told
        self.on_told(provider, told)


def _credentials(provider: Provider) -> tuple[Credential, ...]:
    if provider.needs_credential:
        return provider.credentials
    return provider.credentials or (ANONYMOUS,)


def _channel(question: _Question) -> Channel:
    """The credential's own connections, with less time for everything."""
    provider, seconds = question.provider, question.probe.timeout
    return Channel(
        provider=provider.name,
        credential=question.credential.name,
        timeouts=Timeouts(seconds, seconds, seconds, seconds),
        max_connections=provider.max_connections,
        ca_file=provider.ca_file,
    )


def _meaning(status: int) -> Said:
    if 200 <= status < 300:
        return "ok"
    return "refused" if status in (401, 403) else "failed"


def _nobody(provider: str, told: Told) -> None:
    """Nobody listens."""
