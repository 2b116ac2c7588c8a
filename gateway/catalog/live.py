"""The catalog in service: swapped whole when its file changes, kept when the file is bad."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from gateway.catalog.compile import Catalog
from gateway.catalog.load import CatalogError, Problem, load

Stamp = tuple[int, int, int]

_TRIES = 5


class LiveCatalog:
    """Holds the catalog that new calls are served by; a call keeps the one it began with.

    `on_swap` callbacks see each new catalog before it is put in place, in order; one that raises
    refuses it, and the old one stays.
    """

    def __init__(
        self, path: Path, environ: Mapping[str, str], first: Catalog | None = None
    ) -> None:
        self._path = path
        self._environ = environ
        self._seen = _stamp(path)
        self._running: asyncio.Task[bool] | None = None
        self._again: asyncio.Task[bool] | None = None
        self.on_swap: list[Callable[[Catalog], None]] = []
        self.last_error: str | None = None
        # Read after the stamp: a change in between is seen by the next poll, never missed.
        self.current = first or load(path, environ)
        self.loaded_at = time.time()

    @property
    def revision(self) -> str:
        """The short hash of the text being served."""
        return self.current.revision

    async def reload(self) -> bool:
        """Read the file again; True when it is now in service, else `last_error` says why not.

        Any number of calls during one reading share one further reading, which starts after it:
        each caller's answer is about a file at least as new as its call.
        """
        if self._again is not None:  # has not begun to read yet
            return await asyncio.shield(self._again)
        if self._running is not None and not self._running.done():
            self._again = asyncio.create_task(self._after(self._running))
            return await asyncio.shield(self._again)
        self._running = asyncio.create_task(self._reload())
        return await asyncio.shield(self._running)

    async def _after(self, earlier: asyncio.Task[bool]) -> bool:
        await asyncio.wait([earlier])
        self._running, self._again = self._again, None
        return await self._reload()

    async def _reload(self) -> bool:
        try:
            new = await asyncio.to_thread(self._read)
            for callback in self.on_swap:
                callback(new)
        except CatalogError as error:
            self.last_error = str(error)
            return False
        except Exception as error:  # whatever a callback raises is its veto
            self.last_error = f"{self._path.name}: refused: {error}"
            return False
        self.current = new
        self.loaded_at = time.time()
        self.last_error = None
        return True

    def _read(self) -> Catalog:
        """Load the file; again while it is being written to: a torn reading could look whole.

        Runs in a thread, and never twice at once.
        """
        for _ in range(_TRIES):
            self._seen = _stamp(self._path)
            try:
                new: Catalog | CatalogError = load(self._path, self._environ)
            except CatalogError as error:
                new = error
            if _stamp(self._path) == self._seen:
                break
        else:
            self._seen = None  # whatever it is by the next poll, it is new
            new = CatalogError(
                [Problem(self._path.name, 1, "", "is being written to all the time")]
            )
        if isinstance(new, CatalogError):
            raise new
        return new

    async def poll_once(self) -> bool:
        """Reload if the file is another than the one last read; True when it swapped.

        A bad or half-written file is read again only when it changes again.
        """
        if await asyncio.to_thread(_stamp, self._path) == self._seen:
            return False
        return await self.reload()

    async def watch(self, interval: float = 0.5) -> None:
        """Poll until cancelled, each time the file has been at rest for one interval.

        A file that is still growing can be cut where it happens to be a whole, smaller catalog.
        """
        last = self._seen
        while True:
            await asyncio.sleep(interval)
            now = await asyncio.to_thread(_stamp, self._path)
            if now == last:
                await self.poll_once()
            last = now


def _stamp(path: Path) -> Stamp | None:
    """What tells one version of the file from another, through links; None when it is gone."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
