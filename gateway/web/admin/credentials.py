"""The providers' credentials: how each stands, and the operator's word on it. Never a secret."""

from __future__ import annotations

import math
from typing import Annotated, Any
from urllib.parse import unquote

import msgspec
from msgspec import Meta, Struct

from gateway.core.routing.pool import Pool, State
from gateway.web.admin.common import act, admin, commands, unknown
from gateway.web.exchange import Exchange

_LONGEST = 30 * 86_400


class Bench(Struct, forbid_unknown_fields=True):
    """POST credentials/{provider}/{name}/bench; no `seconds`: until restored."""

    seconds: Annotated[float, Meta(gt=0, le=_LONGEST)] | None = None


bench = msgspec.json.Decoder(Bench)


async def index(exchange: Exchange) -> None:
    """Every credential and route that has been asked, and how it stands."""
    await admin(exchange)
    services = exchange.site.services
    now = services.clock.monotonic()
    rows: list[dict[str, Any]] = []
    for name, provider in exchange.site.catalog.current.providers.items():
        states = services.routing.pool(provider).states(now)
        rows += [{"object": "credential_state", **shown(name, state)} for state in states]
    exchange.answer({"object": "list", "data": rows, "has_more": False})


async def change(exchange: Exchange) -> None:
    """Keep a credential out, or let it back in."""
    me = await admin(exchange)
    path, _, what = exchange.rest.rpartition("/")
    provider, _, name = path.partition("/")
    pool = _pool(exchange, unquote(provider))
    name = unquote(name)
    if what not in ("bench", "restore") or pool is None or name not in pool.accounts:
        raise unknown("credential")

    async def work(wanted: Bench) -> Any:
        now = exchange.site.services.clock.monotonic()
        seconds = math.inf if wanted.seconds is None else wanted.seconds
        if what == "bench":
            pool.bench(name, now, seconds)
        else:
            pool.restore(name)
        detail = {"seconds": wanted.seconds} if what == "bench" else {}
        subject = f"{unquote(provider)}/{name}"
        await commands(exchange).note(me.id, f"credential.{what}", subject, detail)
        state = next(one for one in pool.states(now) if one.credential == name)
        return {"object": "credential_state", **shown(unquote(provider), state)}

    if what == "restore":
        exchange.answer(await work(Bench()))
    else:
        await act(exchange, me, bench, work)


def _pool(exchange: Exchange, name: str) -> Pool | None:
    provider = exchange.site.catalog.current.providers.get(name)
    return None if provider is None else exchange.site.services.routing.pool(provider)


def shown(provider: str, state: State) -> dict[str, Any]:
    """A state as JSON; what has no end has no seconds."""
    row: dict[str, Any] = {"provider": provider, **msgspec.structs.asdict(state)}
    row["seconds"] = None if math.isinf(state.seconds) else round(state.seconds, 3)
    row["latency"] = round(state.latency, 4)
    return row
