"""Work that would keep the loop waiting, done in a thread to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

Made = TypeVar("Made")


async def to_its_end(work: Callable[[], Made]) -> Made:
    """Whoever is cancelled meanwhile still waits: no file is closed while a thread is at it."""
    doing = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait([doing])
        raise
