"""One process' life: compose the rooms, listen, reload, drain. The only place that joins them."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from ipaddress import ip_address

from gateway import __version__
from gateway.catalog.compile import Catalog
from gateway.catalog.live import LiveCatalog
from gateway.core.limits import AddressLimits
from gateway.core.talk.responses import Responses
from gateway.domain import SCOPES
from gateway.observe.health import Health
from gateway.observe.logs import Log
from gateway.observe.metrics import Metrics
from gateway.observe.pools import PoolWatch, ProbeWatch
from gateway.pipeline.desk import Desk
from gateway.pipeline.probing import Prober
from gateway.pipeline.routing import Routing
from gateway.pipeline.services import Services
from gateway.plugins import Plugins
from gateway.settings import Settings, SystemClock
from gateway.store import Store
from gateway.store.control import Control, socket_path
from gateway.store.database import StoreError
from gateway.tasking import pace_of, tasks_of, tell_of_tasks
from gateway.upstream import Upstreams
from gateway.upstream.logins import Logins
from gateway.web.addresses import Proxies
from gateway.web.app import App
from gateway.web.connection import Connection, Guards, Room
from gateway.web.site import Site

_DESCRIPTORS_PER_CONNECTION = 2
_DESCRIPTORS_KEPT = 64
_BACKLOG = 1024
_LAST_WORDS = 0.25
_RELOAD_WAIT = 0.1  # calls are being served meanwhile: what takes longer comes by itself


class Server:
    """A gateway that is set up and can be started, drained and closed."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], log: Log) -> None:
        self.settings = settings
        self.log = log
        self.plugins = Plugins()
        self.catalog = LiveCatalog(settings.catalog, environ)
        self._environ = environ
        self._stack = AsyncExitStack()
        self._listener: asyncio.Server | None = None
        self._stop = asyncio.Event()
        self._idle = asyncio.Event()
        self.hard_stop = False
        self.pace = pace_of(settings)
        self.unwritten = 0
        self.first_admin_key: str | None = None

    async def start(self) -> None:
        """Open the store, load the adapters, listen."""
        settings = self.settings
        clock = SystemClock()
        self.plugins.limit = settings.adapter_limit
        self._use_adapters(self.catalog.current, settings.adapter_wait)
        store = await Store.open(settings.db, clock, settings.key_prefix, settings.ledger_sync)
        self.store = store
        store.groups = lambda: self.catalog.current.groups
        self._stack.push_async_callback(self._close_store, store)
        await store.serve(self._storage_failed)
        new = await self._is_new(store)
        upstream = Upstreams(self._environ)
        self._stack.push_async_callback(upstream.close)
        logins = Logins()
        self._stack.push_async_callback(logins.close)
        services = self._services(store, upstream, logins, clock)
        self._watch_adapters(services, clock)
        store.on_money.append(services.desk.moved)
        self.prober = Prober(services)
        self.site = self._site(services, store, clock)
        PoolWatch(services.routing, self.log, clock).register(self.site.metrics)
        ProbeWatch(self.prober, self.log, self.site.health).register(self.site.metrics)
        self.tasks = services.tasks = tasks_of(settings, self.pace, store.tasks)
        tell_of_tasks(self.tasks, self.site)
        self._stack.push_async_callback(self.tasks.stop)
        await self.tasks.start(services)
        self.app = App(self.site)
        self.catalog.on_swap.append(self._use_adapters)
        self.catalog.on_swap.append(lambda new: self.app.mount(new.surfaces))
        await self._listen()
        if new:
            made = await store.keys.create("admin", scopes=SCOPES)
            self.first_admin_key = str(made.secret)
        control = Control(socket_path(settings.db), store)
        await control.open()
        self._stack.push_async_callback(control.close)
        self._stack.push_async_callback(self.prober.close)
        watches = (self.catalog.watch(self.settings.watch_every), self._watch(), self.prober.run())
        for watch in watches:
            self._stack.callback(asyncio.create_task(watch).cancel)
        self._register_gauges(upstream)

    def _services(
        self, store: Store, upstream: Upstreams, logins: Logins, clock: SystemClock
    ) -> Services:
        """What calls are served with."""
        return Services(
            catalog=self.catalog,
            adapters=self.plugins.adapters,
            keys=store.keys,
            upstream=upstream,
            clock=clock,
            desk=Desk(store.ledger, store.books, clock),
            ledger=store.ledger,
            books=store.books,
            addresses=AddressLimits(1),
            logins=logins,
            routing=Routing(clock),
            first_call=store.books.first_call,
            loading=self.plugins.loading,
        )

    def _site(self, services: Services, store: Store, clock: SystemClock) -> Site:
        """What endpoints reach."""
        settings = self.settings
        return Site(
            services=services,
            prober=self.prober,
            catalog=self.catalog,
            log=self.log,
            metrics=Metrics(),
            health=Health(),
            version=__version__,
            started_at=clock.time(),
            adapter_failures=self.plugins.failures,
            token=store.books.token,
            proxies=Proxies(settings.trusted_proxies),
            store=store,
            responses=Responses(settings.responses_memory << 20),
            keeps_responses=settings.responses_memory > 0,
        )

    async def _is_new(self, store: Store) -> bool:
        """Whether the database has no key yet, and so gets one for its admin.

        With keys, but none for an admin, nobody beyond this machine is served.
        """
        keys = await store.keys.list()
        if not keys:
            return True
        now = store.clock.time()
        if any(
            "admin" in key.scopes and key.revoked_at is None and (key.expires_at or now + 1) > now
            for key in keys
        ):
            return False
        if not is_loopback(self.settings.host):
            raise StoreError(
                f"There is no admin key, so the gateway will not listen on {self.settings.host}. "
                "Make one with: gateway keys create admin --scope admin --scope inference"
            )
        return False

    def _storage_failed(self, error: Exception) -> None:
        self.log.event("error", "storage_failed", error=type(error).__name__, reason=str(error))

    async def _close_store(self, store: Store) -> None:
        """Write what is owed. What cannot be written is said aloud: it is somebody's money."""
        for row in await store.close():
            self.unwritten += 1
            *numbers, receipt = row
            shown = receipt.decode() if isinstance(receipt, bytearray) else None
            self.log.event("error", "charge_not_written", entry=[*numbers, shown])

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        guards = Guards(max_connections=connection_cap(self.settings.max_connections))
        self.room = Room(guards, loop, self.app.handle, self.app.note)
        self._listener = await loop.create_server(
            lambda: Connection(self.room),
            self.settings.host,
            self.settings.port,
            backlog=_BACKLOG,
        )
        self.room.open()
        self._stack.callback(self.room.close)

    @property
    def port(self) -> int:
        """The port that is really listened on."""
        assert self._listener is not None
        return int(self._listener.sockets[0].getsockname()[1])

    def stop(self) -> None:
        """Begin to drain; asked a second time, end at once."""
        if self._stop.is_set():
            self.hard_stop = True
            self._idle.set()
        self._stop.set()

    async def run_until_stopped(self) -> None:
        """Serve until `stop`, then drain and close."""
        await self._stop.wait()
        await self.drain()
        await self.close()

    async def drain(self) -> None:
        """Refuse new calls, let open ones finish within the time allowed."""
        site = self.site
        site.draining = True
        self.log.event("info", "draining", open_calls=site.open_calls)
        await self.prober.close()
        site.on_idle = self._idle.set
        try:
            async with asyncio.timeout(self.settings.drain):
                if site.open_calls and not self.hard_stop:
                    await self._idle.wait()
                if not self.hard_stop:
                    await self.tasks.quiet()
        except TimeoutError:
            self.log.event("warning", "drain_overdue", open_calls=site.open_calls)

    async def close(self) -> None:
        """Stop listening and put everything away; what is still open is told so, and cut."""
        if self._listener is not None:
            self._listener.close()
            for connection in tuple(self.room.connections):
                connection.end()
            await self.room.server.shutdown(_LAST_WORDS)
        await self._stack.aclose()
        self.log.event("info", "stopped")

    async def reload(self) -> None:
        """Read the catalog again and say how it went."""
        await self.catalog.reload()

    def _use_adapters(self, catalog: Catalog, wait: float = _RELOAD_WAIT) -> None:
        self.plugins.load({provider.adapter for provider in catalog.providers.values()}, wait)

    def _watch_adapters(self, services: Services, clock: SystemClock) -> None:
        """Hear of adapters that come late, and of what they do wrong in calls."""
        loop = asyncio.get_running_loop()

        def ended(name: str) -> None:
            services.known.forget()  # routes may have become possible
            if name in self.plugins.adapters:
                self.log.event("info", "adapter_loaded", adapter=name)
            else:
                self.log_unavailable(name)

        def tell(name: str) -> None:
            try:
                loop.call_soon_threadsafe(ended, name)
            except RuntimeError:
                pass  # the loop has ended: nobody is left to tell

        def failed(adapter: str, error: str, where: list[str]) -> None:
            self.log.event("error", "adapter_failed", adapter=adapter, error=error, where=where)

        services.mishaps.clock = clock.time
        services.mishaps.on_note = failed
        self.plugins.on_end = tell

    def log_unavailable(self, name: str) -> None:
        """Say why an adapter is not in use."""
        problem, reason = self.plugins.failures.get(name), self.plugins.reasons.get(name)
        more = {} if reason is None else {"reason": reason}
        shown = "is still loading" if problem is None else problem
        self.log.event("warning", "adapter_unavailable", adapter=name, problem=shown, **more)

    async def _watch(self) -> None:
        """Tell the log what became of the catalog file, however it was reloaded."""
        said: tuple[str, str | None] = (self.catalog.revision, self.catalog.last_error)
        while True:
            await asyncio.sleep(self.settings.watch_every)
            now = (self.catalog.revision, self.catalog.last_error)
            if now != said:
                said = now
                self._report_catalog()

    def _report_catalog(self) -> None:
        error = self.catalog.last_error
        if error is not None:
            self.log.event("error", "catalog_refused", problems=error)
        else:
            self.log.event("info", "catalog_loaded", revision=self.catalog.revision)

    def _register_gauges(self, upstream: Upstreams) -> None:
        metrics, site, room = self.site.metrics, self.site, self.room
        one: Mapping[str, str] = {}

        def gauge(name: str, text: str, read: Callable[[], float]) -> None:
            def values() -> Iterable[tuple[Mapping[str, str], float]]:
                return [(one, read())]

            metrics.gauge(name, text, values)

        def pools() -> Iterable[tuple[Mapping[str, str], float]]:
            for provider, counts in upstream.stats().items():
                for state, count in counts._asdict().items():
                    yield {"provider": provider, "state": state}, count

        def mishaps() -> Iterable[tuple[Mapping[str, str], float]]:
            for (adapter, error), count in site.services.mishaps.counts.items():
                yield {"adapter": adapter, "error": error}, count

        metrics.gauge("gateway_adapter_failures", "Failures of adapters in calls.", mishaps)
        metrics.gauge("gateway_upstream_connections", "Connections to providers.", pools)
        gauge("gateway_open_calls", "Calls being served.", lambda: site.other_calls)
        gauge("gateway_connections", "Client connections.", lambda: len(room.connections))
        gauge("gateway_connections_refused", "Connections over the cap.", lambda: room.refused)
        ledger, books = self.store.ledger, self.store.books
        gauge("gateway_ledger_owed", "Charges that storage has not taken yet.", lambda: ledger.owed)
        gauge("gateway_ledger_rows", "Ledger rows since the start.", lambda: ledger.rows)
        gauge("gateway_ledger_commits", "Ledger commits since the start.", lambda: ledger.commits)
        gauge("gateway_ledger_recovered", "Calls settled at the start.", lambda: books.recovered)
        gauge("gateway_log_lines_dropped", "Log lines not kept.", lambda: self.log.dropped)
        gauge(
            "gateway_catalog_bad",
            "1 while the catalog file is refused and an older one serves.",
            lambda: float(self.catalog.last_error is not None),
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def connection_cap(wanted: int) -> int:
    """As many connections as the process can have descriptors for, raising its limit if allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted * _DESCRIPTORS_PER_CONNECTION + _DESCRIPTORS_KEPT
    if soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(wanted, (soft - _DESCRIPTORS_KEPT) // _DESCRIPTORS_PER_CONNECTION))


def _calm_collector() -> None:
    """Calls leave next to no cycles behind: look for them rarely, and never among the modules."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


async def serve(settings: Settings, log: Log, ready: Callable[[Server], None]) -> int:
    """Run a server until it is told to stop by SIGTERM or SIGINT; SIGHUP reloads the catalog.

    The number of charges that storage would not take.
    """
    server = Server(settings, os.environ, log)
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = asyncio.create_task(server.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    # Before anybody is served: a signal that nobody handles would end the process on the spot.
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        await server.start()
        ready(server)
    except BaseException:
        await server.close()
        raise
    await server.run_until_stopped()
    return server.unwritten


def run(settings: Settings, log: Log, ready: Callable[[Server], None]) -> int:
    """Run a server on uvloop, or on asyncio's own loop where there is no uvloop."""
    _calm_collector()
    try:
        import uvloop
    except ImportError:
        return asyncio.run(serve(settings, log, ready))
    return uvloop.run(serve(settings, log, ready))
