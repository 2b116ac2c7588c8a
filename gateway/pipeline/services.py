"""What a call needs from the rest of the house, handed in by the composition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from gateway.domain import Channel, Route
from gateway.ports import Clock, Keys, Upstream
from gateway.sdk import Adapter, Operation


class Routes(Protocol):
    """The part of the catalog that a call reads: one immutable revision of it."""

    @property
    def auto(self) -> Mapping[str, object]: ...

    def candidates(self, name: str) -> tuple[Route, ...]: ...


class Catalogs(Protocol):
    """The catalog that is in force now."""

    @property
    def current(self) -> Routes: ...


class Candidate(Struct, frozen=True):
    """A route that could serve a call, how its provider does it, and over which channels."""

    route: Route
    operation: Operation
    channels: Mapping[str, Channel]
    options: Mapping[str, str]
    cached_inside: bool


class Services(Struct):
    """The ports, the catalog in force, the adapters it uses, and what was worked out from both."""

    catalog: Catalogs
    adapters: Mapping[str, Adapter]
    keys: Keys
    upstream: Upstream
    clock: Clock
    turns: dict[str, int] = {}
    admitted: dict[tuple[str, str], list[Candidate]] = {}
    admitted_for: Routes | None = None
