"""The part of the catalog that a call reads."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Protocol

from gateway.core.routing.names import Choice
from gateway.domain import Provider, Route


class Group(Protocol):
    """What the accounts of a group may do."""

    @property
    def name(self) -> str: ...

    @property
    def rpm(self) -> int: ...

    @property
    def tpm(self) -> int: ...

    @property
    def multiplier(self) -> Decimal: ...

    def allows(self, slug: str) -> bool: ...


class Anonymous(Protocol):
    """What callers without a key may do."""

    @property
    def group(self) -> Group: ...

    @property
    def rpm(self) -> int: ...


class Webhooks(Protocol):
    """Who may be told of a task's end, and how that is signed."""

    @property
    def hosts(self) -> Collection[str]: ...

    @property
    def secret(self) -> str: ...

    @property
    def private(self) -> bool: ...


class Routes(Protocol):
    """One immutable revision of it."""

    @property
    def by_name(self) -> Mapping[str, tuple[Route, ...]]: ...

    @property
    def by_model(self) -> Mapping[str, tuple[Route, ...]]: ...

    @property
    def auto(self) -> Mapping[str, Choice]: ...

    @property
    def providers(self) -> Mapping[str, Provider]: ...

    @property
    def groups(self) -> Mapping[str, Group]: ...

    @property
    def anonymous(self) -> Anonymous | None: ...

    @property
    def webhooks(self) -> Webhooks | None: ...

    def candidates(self, name: str) -> tuple[Route, ...]: ...


class Catalogs(Protocol):
    """The catalog that is in force now."""

    @property
    def current(self) -> Routes: ...
