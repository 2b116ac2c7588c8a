"""What a call needs from the rest of the house, handed in by the composition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from gateway.domain import Route
from gateway.ports import Clock, Keys, Upstream
from gateway.sdk import Adapter


class Routes(Protocol):
    """The part of the catalog that a call reads: one immutable revision of it."""

    def candidates(self, name: str) -> tuple[Route, ...]: ...


class Catalogs(Protocol):
    """The catalog that is in force now."""

    @property
    def current(self) -> Routes: ...


class Services(Struct):
    """The ports, the catalog in force, and the adapters it uses."""

    catalog: Catalogs
    adapters: Mapping[str, Adapter]
    keys: Keys
    upstream: Upstream
    clock: Clock
    turns: dict[str, int]
