"""The files of tasks on disk: bounded each and in all, whole or not there.

All that takes time is done in a thread: a slow disk keeps nobody waiting.
"""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import suppress
from pathlib import Path

from gateway.store.disk import check_spare, sync_folder
from gateway.store.threads import to_its_end

_PART = ".part"
# An operator may name a folder that holds other things: they are left alone.
_OURS = re.compile(r"[a-z]+_[0-9a-f]{32}(\.part)?")


class MediaFolder:
    """The `Shelf` port over a folder of the gateway's own."""

    def __init__(self, folder: Path, most_each: int, most: int) -> None:
        self._folder = folder
        self._most_each = most_each
        self._most = most
        self.used = 0

    def room(self, size: int) -> bool:
        """Whether a file of this size may be kept."""
        return size <= self._most_each and self.used + size <= self._most

    def grows(self, size: int, more: int) -> bool:
        """Whether a file that has so much may have more."""
        return size + more <= self._most_each and self.used + more <= self._most

    def begin(self, name: str) -> SpoolFile:
        """A new file; it has its name once it is whole. The folder is for this user alone."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return SpoolFile(self, self._folder / name)

    def open(self, name: str) -> int:
        """A descriptor to read from."""
        return os.open(self._folder / name, os.O_RDONLY | os.O_CLOEXEC)

    async def remove(self, name: str) -> None:
        """Let a file go; who reads it still may go on."""
        self.used -= await asyncio.to_thread(_remove, self._folder / name)

    async def sweep(self, known: set[str]) -> None:
        """Remove what a crash has left behind, and see how much is there. To be called before
        anything is being kept.
        """
        self.used = await asyncio.to_thread(self._sweep, known)

    def _sweep(self, known: set[str]) -> int:
        for path in self._files():
            if path.name not in known and _OURS.fullmatch(path.name):
                path.unlink(missing_ok=True)
        return sum(path.stat().st_size for path in self._files())

    def _files(self) -> list[Path]:
        if not self._folder.exists():
            return []
        return [path for path in self._folder.iterdir() if path.is_file()]


class SpoolFile:
    """A file that is being written."""

    def __init__(self, folder: MediaFolder, path: Path) -> None:
        self._folder = folder
        self._path = path
        self._part = path.with_name(path.name + _PART)
        self._file = os.open(
            self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600
        )
        self._open = True
        self.size = 0

    async def write(self, data: bytes) -> bool:
        """Add to it; False where that is more than may be kept."""
        if not self._folder.grows(self.size, len(data)):
            return False
        self.size += len(data)
        self._folder.used += len(data)
        await to_its_end(lambda: _write(self._file, data))
        return True

    async def done(self) -> None:
        """Durable under its name."""
        await to_its_end(self._finish)

    def _finish(self) -> None:
        os.fsync(self._file)
        self._close()
        self._part.replace(self._path)
        sync_folder(self._path.parent)

    def drop(self) -> None:
        """Nothing of it is kept; nothing happens to one that is done."""
        if self._open:
            self._close()
            self._part.unlink(missing_ok=True)
            self._folder.used -= self.size

    def _close(self) -> None:
        self._open = False
        os.close(self._file)


def _remove(path: Path) -> int:
    """What it frees."""
    with suppress(FileNotFoundError):
        size = path.stat().st_size
        path.unlink()
        return size
    return 0


def _write(file: int, data: bytes) -> None:
    check_spare(file)
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]
