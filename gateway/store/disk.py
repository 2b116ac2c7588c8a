"""Room on the disk that files of clients and providers leave alone.

A database on the same disk must be able to write what was charged, whoever fills the rest.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

_SPARE = 256 << 20
_SHARE = 20  # of a small disk, a twentieth


def check_spare(file: int | Path) -> None:
    """An OSError, as of a full disk, where the disk of a file has next to no room left."""
    disk = os.statvfs(file) if isinstance(file, Path) else os.fstatvfs(file)
    if disk.f_bavail < min(_SPARE // disk.f_frsize, disk.f_blocks // _SHARE):
        raise OSError(errno.ENOSPC, "What room is left on this disk is kept for the database")


def sync_folder(folder: Path) -> None:
    """Make a file's new name durable: one that is only in memory goes with the machine's power."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
