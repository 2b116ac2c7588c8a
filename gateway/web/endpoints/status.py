"""GET /api/status, /healthz, /readyz, /metrics: public, and free of secrets."""

from __future__ import annotations

from gateway.web.exchange import Exchange
from gateway.web.site import Site, shown

_TEXT = ("Content-Type", "text/plain; charset=utf-8")
_EXPOSITION = ("Content-Type", "text/plain; version=0.0.4; charset=utf-8")


async def status(exchange: Exchange) -> None:
    """What runs here, since when, from which catalog, and how its providers fare."""
    site = exchange.site
    now = site.services.clock.time()
    exchange.answer(
        {
            "status": "draining" if site.draining else "ok",
            "version": site.version,
            "started_at": int(site.started_at),
            "uptime_seconds": int(now - site.started_at),
            "catalog": shown(site.catalog),
            "upstreams": {
                name: {
                    "configured": provider.configured,
                    **site.health.of(name),
                    **_standing(site, name),
                    **({} if provider.probe is None else _probed(site, name)),
                }
                for name, provider in site.catalog.current.providers.items()
            },
            "adapters": {
                "loaded": sorted(site.services.adapters),
                "loading": sorted(site.services.loading),
                "failed": dict(site.adapter_failures),
                "failing": {
                    name: {
                        "failures": mishap.count,
                        "last_error": mishap.last,
                        "last_failure_at": int(mishap.at),
                    }
                    for name, mishap in site.services.mishaps.adapters.items()
                },
            },
            "open_calls": site.other_calls,
        }
    )


def _standing(site: Site, provider: str) -> dict[str, object]:
    """How many of a provider's credentials can be used just now, and which routes rest."""
    pool = site.services.routing.pools().get(provider)
    if pool is None:
        return {}
    now = site.services.clock.monotonic()
    states = pool.states(now)
    accounts = [state for state in states if not state.upstream]
    resting = [s for s in states if s.upstream and not s.credential and s.phase == "open"]
    return {
        "credentials": len(accounts),
        "credentials_resting": sum(state.phase == "open" for state in accounts),
        "routes_resting": sorted({state.upstream for state in resting}),
    }


def _probed(site: Site, provider: str) -> dict[str, object]:
    """What came of asking it beside the calls."""
    prober, last = site.prober, site.prober.last.get(provider)
    counts = {"ok": 0, "refused": 0, "failed": 0}
    for (name, _, said), count in prober.counts.items():
        if name == provider:
            counts[said] += count
    return {
        "probes": {
            "possible": provider not in prober.unable,
            **counts,
            "last": None if last is None else last.said,
            "last_status": None if last is None or not last.status else last.status,
            "last_at": None if last is None else int(last.at),
        }
    }


async def alive(exchange: Exchange) -> None:
    """The process answers."""
    exchange.sink.reply(200, (_TEXT,), b"ok\n")


async def ready(exchange: Exchange) -> None:
    """New calls are welcome; 503 while draining."""
    if exchange.site.draining:
        exchange.sink.reply(503, (_TEXT, ("Retry-After", "1")), b"draining\n")
    else:
        exchange.sink.reply(200, (_TEXT,), b"ready\n")


async def metrics(exchange: Exchange) -> None:
    """Prometheus' exposition."""
    exchange.sink.reply(200, (_EXPOSITION,), exchange.site.metrics.render().encode())
