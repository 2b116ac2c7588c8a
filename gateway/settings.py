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
DEFAULT_MEDIA_KEEP = 24.0
DEFAULT_MEDIA_FILE = 1_024
DEFAULT_MEDIA_ROOM = 10_240
DEFAULT_TASK_DEADLINE = 3_600.0
DEFAULT_TASK_POLL = (2.0, 30.0)
MEDIA_OFF = "off"
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
    media: str | None = None  # a folder for the files of tasks; None: beside the database
    media_keep: float = DEFAULT_MEDIA_KEEP  # hours
    media_file: int = DEFAULT_MEDIA_FILE  # MiB that a file may have and be kept
    media_room: int = DEFAULT_MEDIA_ROOM  # MiB for all of them
    task_deadline: float = DEFAULT_TASK_DEADLINE  # seconds
    task_poll: tuple[float, float] = DEFAULT_TASK_POLL  # seconds: first, longest
    adapter_wait: float = 1.0  # how long the start waits for adapters to be imported
    adapter_limit: float = 5.0  # how long that may take before one counts as failed


class SystemClock:
    """The `Clock` port over the system's clocks."""

    def __init__(self) -> None:
        import time

        self.monotonic = time.monotonic
        self.time = time.time
