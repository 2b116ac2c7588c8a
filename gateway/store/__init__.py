"""Durable state behind the ports: SQLite, one writer."""

from gateway.store.store import Store

__all__ = ["Store"]
