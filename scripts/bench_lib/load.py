"""The load generator: one process, one job, one JSON object on stdout.

Run as `python -m bench_lib.load JOB`, where JOB is a JSON object; `bench_lib.runs` starts it.
It reads the proxy's CPU clock itself, so that counts and CPU time cover the same window.
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import sys
import time
from typing import Any

import httptools
import uvloop

from bench_lib import clients, measure, wire

DRAIN = 30.0
Job = dict[str, Any]


KINDS: dict[str, type[clients.Client]] = {
    "plain": clients.PlainClient,
    "streams": clients.StreamClient,
    "translated": clients.OtherClient,
}


async def _drain(tally: clients.Tally) -> None:
    """Let the calls under way come to their end; what does not is a fault."""
    tally.wanted = False
    deadline = time.monotonic() + DRAIN
    while tally.open and time.monotonic() < deadline:  # noqa: ASYNC110 - nothing to wait on
        await asyncio.sleep(0.02)
    if tally.open:
        tally.fault(f"{tally.open} calls still open {DRAIN:.0f} s after the window")


async def _start(kind: type[clients.Client], tally: clients.Tally, job: Job, over: float) -> None:
    """Open the job's connections, spread evenly over some seconds."""
    if kind is clients.OtherClient:
        request = wire.request(job["port"], job["headers"], wire.other_body(), wire.OTHER_PATH)
    else:
        body = wire.request_body(stream=kind is clients.StreamClient)
        request = wire.request(job["port"], job["headers"], body)
    for _ in range(job["connections"]):
        await clients.connect(kind(tally, job["port"], request))
        await asyncio.sleep(over / job["connections"])


async def window(job: Job) -> dict[str, Any]:
    """Repeat calls on N connections; measure over a fixed window after a warm-up."""
    kind = KINDS[job["kind"]]
    tally = clients.Tally()
    spread = 0.0 if job["kind"] == "plain" else 1.0
    await _start(kind, tally, job, spread)
    await asyncio.sleep(job["warm"])
    started, cpu = time.perf_counter(), measure.cpu_seconds(job["pid"])
    before = (tally.plain, tally.chunks)
    await asyncio.sleep(job["window"])
    seconds, cpu = time.perf_counter() - started, measure.cpu_seconds(job["pid"]) - cpu
    plain, chunks = tally.plain - before[0], tally.chunks - before[1]
    await _drain(tally)
    if not (tally.plain or tally.streams):
        tally.fault("not one call came through")
    return {
        "seconds": seconds,
        "cpu": cpu,
        "plain": plain,
        "chunks": chunks,
        "streams": tally.streams,
        "total": tally.plain,
        "faults": tally.faults,
    }


async def held(job: Job) -> dict[str, Any]:
    """Open N streams that stay open, and weigh the proxy before and after."""
    tally = clients.Tally()
    request = wire.request(
        job["port"], job["headers"], wire.request_body(wire.HOLD_MODEL, stream=True)
    )
    gate = asyncio.Semaphore(64)

    async def one() -> clients.Client:
        async with gate:
            client = clients.HoldClient(tally, job["port"], request)
            await clients.connect(client)
            await asyncio.wait([client.first], timeout=job["timeout"])
            return client

    before = measure.memory_kb(job["pid"])
    opening = asyncio.gather(*(one() for _ in range(job["connections"])))
    opened: list[clients.Client] = []
    try:
        opened = await asyncio.wait_for(opening, job["timeout"])
    except TimeoutError:
        tally.fault(f"only {tally.held} streams opened in {job['timeout']} s")
    await asyncio.sleep(job["settle"])
    after, still = measure.memory_kb(job["pid"]), tally.open
    tally.wanted = False
    for client in opened:
        client.transport.abort()
    return {
        "before": before,
        "after": after,
        "held": tally.held,
        "still": still,
        "faults": tally.faults,
    }


class _Answer:
    """Reads one answer from a blocking socket."""

    def __init__(self) -> None:
        self.body = b""
        self.complete = False

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete = True


def call(sock: socket.socket, request: bytes) -> tuple[int, bytes]:
    """One call on a blocking socket: status and body."""
    answer = _Answer()
    parser = httptools.HttpResponseParser(answer)
    sock.sendall(request)
    while not answer.complete:
        data = sock.recv(65536)
        if not data:
            raise ConnectionError("closed before the end of the answer")
        parser.feed_data(data)
    return parser.get_status_code(), answer.body


def dial(port: int, timeout: float = 10.0) -> socket.socket:
    """A blocking connection to a local port."""
    sock = socket.create_connection(("127.0.0.1", port), timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def latency(job: Job) -> dict[str, Any]:
    """One call at a time, in turn straight to the upstream and through the proxy."""
    body = wire.request_body()
    ways = [
        (dial(port), wire.request(port, job["headers"], body), list[float]())
        for port in (job["upstream"], job["port"])
    ]
    deadline = time.perf_counter() + job["warm"] + job["window"]
    warm = time.perf_counter() + job["warm"]
    for _ in range(job["calls"]):
        for sock, request, times in ways:
            started = time.perf_counter()
            status, answer = call(sock, request)
            ended = time.perf_counter()
            if status != 200 or not clients.same_completion(answer):
                return {"faults": [f"status {status}: {answer[:200]!r}"]}
            if started > warm:
                times.append((ended - started) * 1000)
        if ended > deadline:
            break
    (direct, proxied) = (times for _, _, times in ways)
    if not proxied:
        return {"faults": ["no call came through after the warm-up"]}
    return {
        "calls": len(proxied),
        "faults": [],
        **{
            f"{name}_p{round(share * 100)}": measure.quantile(times, share)
            for name, times in (("direct", direct), ("proxied", proxied))
            for share in (0.5, 0.99)
        },
    }


def main() -> None:
    """Do the job named on the command line."""
    gc.disable()
    job = json.loads(sys.argv[1])
    if job["kind"] == "latency":
        result = latency(job)
    else:
        result = uvloop.run(held(job) if job["kind"] == "held" else window(job))
    faults = result["faults"]
    print(json.dumps({**result, "fault_count": len(faults), "faults": faults[:5]}))


if __name__ == "__main__":
    main()
