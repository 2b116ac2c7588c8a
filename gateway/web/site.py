"""What the edge serves from: the services of a call, and the state that status pages show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.core.talk.responses import Responses
from gateway.domain import Model, Provider, Route
from gateway.observe.health import Health
from gateway.observe.logs import Log
from gateway.observe.metrics import Metrics
from gateway.pipeline.probing import Prober
from gateway.pipeline.services import Services
from gateway.store import Store
from gateway.web.addresses import Proxies
from gateway.web.bodies import Bodies


class CatalogView(Protocol):
    """One revision of the catalog, as lists and status pages read it."""

    @property
    def revision(self) -> str: ...

    @property
    def surfaces(self) -> Mapping[str, str]: ...

    @property
    def providers(self) -> Mapping[str, Provider]: ...

    @property
    def models(self) -> Mapping[str, Model]: ...

    @property
    def routes(self) -> Mapping[str, Route]: ...

    @property
    def auto(self) -> Mapping[str, object]: ...

    def candidates(self, name: str) -> tuple[Route, ...]: ...


class LiveCatalogView(Protocol):
    """The catalog in force, and how its last reload went."""

    @property
    def current(self) -> CatalogView: ...

    @property
    def loaded_at(self) -> float: ...

    @property
    def last_error(self) -> str | None: ...

    async def reload(self) -> bool: ...


def shown(catalog: LiveCatalogView) -> dict[str, Any]:
    """A catalog in a few figures, and what is wrong with its file since."""
    current = catalog.current
    return {
        "revision": current.revision,
        "loaded_at": int(catalog.loaded_at),
        "last_error": catalog.last_error,
        "models": len(current.models),
        "routes": len(current.routes),
    }


@dataclass(slots=True)
class Site:
    """All that endpoints may reach. No Struct: each call writes `open_calls` twice."""

    services: Services
    prober: Prober
    catalog: LiveCatalogView
    log: Log
    metrics: Metrics
    health: Health
    version: str
    started_at: float
    token: str
    adapter_failures: Mapping[str, str]
    proxies: Proxies
    store: Store
    responses: Responses
    bodies: Bodies = field(default_factory=Bodies)
    keeps_responses: bool = True
    draining: bool = False
    open_calls: int = 0
    on_idle: Callable[[], None] | None = None

    @property
    def other_calls(self) -> int:
        """How many are open beside the one that asks."""
        return self.open_calls - 1
