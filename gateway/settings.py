"""What an operator sets on the command line or in the environment, and the defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msgspec import Struct

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8080
DEFAULT_DRAIN = 30.0
DEFAULT_DB = Path("gateway.sqlite")
DEFAULT_RESPONSES_MEMORY = 64
KEY_PREFIX = "sk-maas-"


class Settings(Struct, frozen=True):
    """One server's settings."""

    catalog: Path
    db: Path
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    drain: float = DEFAULT_DRAIN
    log_format: Literal["text", "json"] = "text"
    key_prefix: str = KEY_PREFIX
    max_connections: int = 10_000
    watch_every: float = 0.5
    ledger_sync: Literal["full", "normal"] = "full"
    trusted_proxies: tuple[str, ...] = ()
    responses_memory: int = DEFAULT_RESPONSES_MEMORY  # MiB; 0 keeps none
    adapter_wait: float = 1.0  # how long the start waits for adapters to be imported
    adapter_limit: float = 5.0  # how long that may take before one counts as failed


class SystemClock:
    """The `Clock` port over the system's clocks."""

    def __init__(self) -> None:
        import time

        self.monotonic = time.monotonic
        self.time = time.time
