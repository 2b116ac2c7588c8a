"""What a call needs from the rest of the house, handed in by the composition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct, field

from gateway.core.limits import AddressLimits
from gateway.core.money.rows import Rows
from gateway.core.routing.plan import Plan
from gateway.domain import Channel, Credential, Route
from gateway.pipeline.catalogs import Catalogs, Routes
from gateway.pipeline.desk import Desk
from gateway.pipeline.mishaps import Mishaps
from gateway.pipeline.routing import Routing
from gateway.ports import Books, Clock, Keys, Ledger, Logins, Upstream
from gateway.sdk import Adapter, Operation

if TYPE_CHECKING:
    from gateway.pipeline.tasks import Tasks


class Candidate(Struct, frozen=True):
    """A route that could serve a call, how its provider does it, as whom, over which channels."""

    route: Route
    operation: Operation
    adapter: Adapter
    credentials: Mapping[str, Credential]
    channels: Mapping[str, Channel]
    options: Mapping[str, str]
    rows: Rows
    digest: bytes
    free: bool
    talks: bool = False  # its answer is text, whose length can be bounded
    usual_answer: int = 0  # the most output tokens, where the request does not say how many
    longest_answer: int = 0  # the most, however many it asks for
    way: int = 0
    asked: bool = True  # the client named it itself, be it as a fallback


class Several(Struct, frozen=True):
    """A name of several routes: its plan, and by slug those that can serve it."""

    plan: Plan
    ready: dict[str, Candidate]


_MOST_DRAWN = 1_000


class Known(Struct):
    """What was worked out of the catalog in force: candidates by operation and name, by operation
    and route, and of each order of routes that was drawn."""

    catalog: Routes | None = None
    named: dict[tuple[str, str], list[Candidate] | Several] = {}
    built: dict[tuple[str, str], Candidate] = {}
    drawn: dict[tuple[str, int], tuple[tuple[Route, ...], list[Candidate]]] = {}

    def keep(self, operation: str, routes: tuple[Route, ...], found: list[Candidate]) -> None:
        """Remember the candidates of an order; the oldest goes where there are too many."""
        if len(self.drawn) >= _MOST_DRAWN:
            del self.drawn[next(iter(self.drawn))]
        self.drawn[operation, id(routes)] = routes, found

    def forget(self, catalog: Routes | None = None) -> None:
        """Begin anew, for this catalog."""
        self.catalog = catalog
        self.named.clear()
        self.built.clear()
        self.drawn.clear()


class SessionGuards(Struct, frozen=True):
    """How long realtime sessions may last, and how long either side may be silent. Seconds."""

    longest: float = 3600.0
    idle: float = 900.0  # without a message either way
    ping_every: float = 20.0
    silence: float = 60.0  # without a sign of life, be it the answer to a ping
    goodbye: float = 2.0
    tick: float = 0.25


class Services(Struct):
    """The ports, the catalog in force, the adapters it uses, and what was worked out from both."""

    catalog: Catalogs
    adapters: Mapping[str, Adapter]
    keys: Keys
    upstream: Upstream
    clock: Clock
    desk: Desk
    ledger: Ledger
    books: Books
    addresses: AddressLimits
    logins: Logins
    routing: Routing
    first_call: int = 0
    known: Known = field(default_factory=Known)
    ways: dict[tuple[str, str, str], int] = {}
    prices: set[str] = set()
    loading: Mapping[str, object] = {}  # adapters that are still being imported
    mishaps: Mishaps = field(default_factory=Mishaps)
    sessions: SessionGuards = SessionGuards()
    tasks: Tasks | None = None
