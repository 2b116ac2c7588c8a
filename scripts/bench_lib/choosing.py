"""What it costs to choose where a call goes: all of it that is no request and no answer.

From a name to routes in order, to a credential, and the word back of how it went, by the gateway's
own code, in CPU time and without a socket.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from statistics import median

from gateway.core.body import JsonBody
from gateway.observe.logs import Log
from gateway.pipeline.candidates import Wanted, candidates, known_candidates
from gateway.pipeline.record import Record
from gateway.pipeline.serve import Attempts
from gateway.pipeline.services import Services
from gateway.server import Server
from gateway.settings import Settings

CASES = (
    ("a route, a credential", "slug", 1, 1),
    ("a route, 200 credentials", "slug", 1, 200),
    ("a model of 20 routes", "model", 20, 1),
    ("a model of 200 routes", "model", 200, 1),
    ("an auto model over 200 routes", "auto", 200, 1),
)
ROUNDS, CALLS = 7, 3_000
BODY = JsonBody.parse(b'{"model":"m","messages":[{"role":"user","content":"Hello there"}]}')


def measure() -> str:
    """CPU microseconds per choice, for each case."""
    lines = [f"{'':<34} {'CPU us':>8}"]
    for title, what, routes, credentials in CASES:
        found = asyncio.run(_time(what, routes, credentials))
        lines.append(f"{title:<34} {found:8.1f}")
    return "\n".join(lines)


def _catalog(routes: int, credentials: int) -> str:
    secrets = ", ".join(f"{{name: c{n}, api_key: sk-{n:016}}}" for n in range(credentials))
    price = 'price: {input_per_mtok: "1", output_per_mtok: "2"}'
    return "\n".join(
        [
            "version: 1",
            'surfaces: {"/v1": {style: openai}}',
            "providers:",
            *(
                f'  p{n}: {{adapter: sim, base_url: "sim://p{n}", credentials: [{secrets}]}}'
                for n in range(routes)
            ),
            "auto:",
            "  auto-any: {choose: cheapest, among: {models: [many]}}",
            "models:",
            "  many:",
            "    {name: Many, vendor: Sim, kind: chat, capabilities: [streaming], routes: {",
            *(f"    r{n}: {{provider: p{n}, upstream: echo, {price}}}," for n in range(routes)),
            "    }}",
        ]
    )


async def _time(what: str, routes: int, credentials: int) -> float:
    name = {"slug": "r0", "model": "many", "auto": "auto-any"}[what]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalog.yaml"
        path.write_text(_catalog(routes, credentials))
        settings = Settings(catalog=path, db=Path(folder) / "bench.sqlite", port=0)
        log = Log(lambda _: None, "json")
        server = Server(settings, {}, log)
        try:
            await server.start()
            key = (await server.store.keys.create("bench")).key
            return await _best(server.site.services, key, name)
        finally:
            await server.close()
            log.close()


async def _best(services: Services, key: object, name: str) -> float:
    standing = await services.desk.load(key, services.catalog.current)  # type: ignore[arg-type]
    spent = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        for _ in range(CALLS):
            wanted = Wanted.by(standing, "chat", BODY, standing.preferences, 10)
            found = known_candidates(services, standing, wanted, name)
            if found is None:
                found = await candidates(services, standing, wanted, name)
            record = Record("bench", 0.0)
            attempts = Attempts.of(services, found, 100, record, _nobody)
            tried = await attempts.next()
            attempts.answered(tried)
            attempts.done(tried, "ok")
        spent.append((time.process_time() - begun) / CALLS * 1e6)
    return median(spent)


async def _nobody() -> list[object]:
    return []
