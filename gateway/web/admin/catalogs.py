"""The catalog in service, and a word to read its file again."""

from __future__ import annotations

from gateway.errors import invalid
from gateway.web.admin.common import admin, commands
from gateway.web.exchange import Exchange
from gateway.web.site import shown


async def show(exchange: Exchange) -> None:
    """Which catalog is in service, and what is wrong with the file since."""
    await admin(exchange)
    exchange.answer({"object": "catalog", **shown(exchange.site.catalog)})


async def reload(exchange: Exchange) -> None:
    """Read the file now; a bad one is refused with all its problems, and nothing changes."""
    me = await admin(exchange)
    catalog = exchange.site.catalog
    if not await catalog.reload():
        problems = "; ".join(str(catalog.last_error).splitlines())
        raise invalid(f"The catalog file is refused, and the one before it serves on: {problems}")
    revision = catalog.current.revision
    await commands(exchange).note(me.id, "catalog.reload", revision)
    exchange.answer({"object": "catalog", **shown(catalog)})
