"""The measurements: each starts what it needs, and turns a load run into figures."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench_lib import load, peers, wire, wrk
from bench_lib.clients import same_completion
from bench_lib.processes import (
    Cores,
    Nursery,
    Process,
    awake,
    free_port,
    pinned,
    wait_port,
)

Figures = dict[str, float]
MIN_CALLS = 20


class FailedError(Exception):
    """A measurement of one peer that cannot be trusted; the text says why."""


@dataclass(frozen=True)
class Plan:
    """How long and how much."""

    rounds: int = 3
    warm: float = 2.0
    window: float = 8.0
    connections: int = 64
    streams: int = 200
    held: int = 4000
    starts: int = 5
    own_load: bool = False


@dataclass
class Running:
    """A started peer."""

    peer: peers.Peer
    process: Process
    port: int
    first_answer: float


@dataclass
class Bench:
    """One run of the whole: its places, its upstream and its plan."""

    nursery: Nursery
    cores: Cores
    setting: peers.Setting
    plan: Plan

    def start_upstream(self) -> None:
        """Start the fake provider on the load's core."""
        argv = [sys.executable, "-m", "bench_lib.upstream", str(self.setting.upstream)]
        process = self.nursery.start(argv, self.cores[1], {"PYTHONPATH": str(peers.LIBRARY)})
        if not wait_port(self.setting.upstream, 10):
            raise RuntimeError(f"the fake upstream did not start: {process.tail()}")

    def start(self, peer: peers.Peer) -> Running:
        """Start a peer and wait for its first good answer, timed from exec."""
        port = free_port()
        launch = peer.launch(port)
        started = time.perf_counter()
        process = self.nursery.start(launch.argv, self.cores[0], launch.env, launch.cwd)
        problem = self._first_answer(peer, process, port, started + peer.patience)
        if problem:
            self.nursery.stop(process)
            raise FailedError(f"{problem}; log: {process.tail() or 'empty'}")
        return Running(peer, process, port, time.perf_counter() - started)

    def _first_answer(
        self, peer: peers.Peer, process: Process, port: int, deadline: float
    ) -> str | None:
        """Poll tightly until a chat call is answered; otherwise say what happened."""
        request = wire.request(port, peer.headers, wire.request_body())
        last = "nothing listens"
        while time.perf_counter() < deadline:
            if process.popen.poll() is not None:
                return f"ended with status {process.popen.returncode}"
            try:
                with load.dial(port, min(10.0, peer.patience)) as sock:
                    status, body = load.call(sock, request)
            except OSError as error:
                last = str(error)
                time.sleep(0.001)
                continue
            if status == 200 and same_completion(body):
                return None
            last = f"status {status}: {body[:200]!r}"
            time.sleep(0.02)
        return f"no good answer in {peer.patience:.0f} s ({last})"

    def job(self, running: Running, kind: str, **more: object) -> dict[str, Any]:
        """Run one job of the load generator and return its result."""
        job = {
            "kind": kind,
            "port": running.port,
            "pid": running.process.pid,
            "headers": running.peer.headers,
            "warm": self.plan.warm,
            "window": self.plan.window,
            "upstream": self.setting.upstream,
            **more,
        }
        argv = [sys.executable, "-m", "bench_lib.load", json.dumps(job)]
        try:
            with pinned(self.cores[1]):
                child = subprocess.run(
                    argv,
                    cwd=peers.LIBRARY,
                    capture_output=True,
                    text=True,
                    timeout=300,
                    check=False,
                )
        except subprocess.TimeoutExpired as error:
            raise FailedError("the load generator did not end in 300 s") from error
        if child.returncode:
            gone = "" if running.process.popen.poll() is None else "the peer is gone; "
            raise FailedError(f"{gone}the load generator failed: {child.stderr[-300:]}")
        result: dict[str, Any] = json.loads(child.stdout)
        return result

    def upstream_count(self, name: str) -> int:
        """How many answers of one kind the fake upstream has given."""
        with socket.create_connection(("127.0.0.1", self.setting.upstream), 10) as sock:
            _, body = load.call(sock, b"GET /stats HTTP/1.1\r\nHost: bench\r\n\r\n")
        return int(json.loads(body)[name])


def _trust(result: dict[str, Any]) -> None:
    """Refuse figures from a run in which any call failed."""
    if result.get("fault_count"):
        faults = result["faults"]
        first = faults[0] if isinstance(faults, list) else "see wrk"
        raise FailedError(f"{result['fault_count']:.0f} failed calls, first: {first}")


def _wrk(bench: Bench, running: Running) -> dict[str, Any]:
    """Plain calls by wrk."""
    plan, peer = bench.plan, running.peer
    try:
        return wrk.plain(
            peer.setting.directory,
            peer.headers,
            running.port,
            running.process.pid,
            plan.connections,
            plan.warm,
            plan.window,
            bench.cores[1],
        )
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        raise FailedError(f"wrk: {error}") from error


def plain(bench: Bench, running: Running) -> Figures:
    """CPU per plain call under load."""
    plan, before = bench.plan, bench.upstream_count("plain")
    if plan.own_load or wrk.program() is None:
        result = bench.job(running, "plain", connections=plan.connections)
    else:
        result = _wrk(bench, running)
    _trust(result)
    forwarded = bench.upstream_count("plain") - before
    if running.peer.forwards and forwarded < result["plain"]:
        raise FailedError(f"{result['plain']} answers of which only {forwarded} from the upstream")
    if result["plain"] < MIN_CALLS:
        raise FailedError(f"only {result['plain']} calls in the window")
    return {
        "plain_us": result["cpu"] / result["plain"] * 1e6,
        "plain_rps": result["plain"] / result["seconds"],
        "plain_core": result["cpu"] / result["seconds"],
    }


def latency(bench: Bench, running: Running) -> Figures:
    """Latency added at one connection, on cores that fall asleep and on cores kept awake."""
    figures = _added(bench, running)
    with awake() as allowed:
        if allowed:
            figures |= {f"awake_{name}": value for name, value in _added(bench, running).items()}
    return figures


def _added(bench: Bench, running: Running) -> Figures:
    """What a call takes longer than one straight to the upstream."""
    result = bench.job(
        running, "latency", calls=100_000, warm=0.5, window=max(1.0, bench.plan.window / 2)
    )
    _trust(result)
    return {
        "added_p50_ms": result["proxied_p50"] - result["direct_p50"],
        "added_p99_ms": result["proxied_p99"] - result["direct_p99"],
        "direct_p50_ms": result["direct_p50"],
    }


def streams(bench: Bench, running: Running) -> Figures:
    """CPU per streamed chunk."""
    count = max(1, bench.plan.streams // running.peer.heavy)
    before = bench.upstream_count("streams")
    result = bench.job(running, "streams", connections=count)
    _trust(result)
    forwarded = bench.upstream_count("streams") - before
    if running.peer.forwards and forwarded != result["streams"]:
        raise FailedError(f"{result['streams']} streams complete, {forwarded} from the upstream")
    if not result["chunks"]:
        raise FailedError("no chunk came in the window")
    return {
        "chunk_us": result["cpu"] / result["chunks"] * 1e6,
        "chunk_rate": result["chunks"] / result["seconds"],
        "streams_complete": float(result["streams"]),
        "streams_open": float(count),
    }


def translated(bench: Bench, running: Running) -> Figures:
    """CPU per chunk of streams whose clients speak another dialect than the provider."""
    if not running.peer.translates:
        return {}
    before = bench.upstream_count("streams")
    result = bench.job(running, "translated", connections=bench.plan.streams)
    _trust(result)
    if bench.upstream_count("streams") - before != result["streams"]:
        raise FailedError(f"{result['streams']} streams complete, the upstream counts others")
    return {"translated_us": result["cpu"] / max(1, result["chunks"]) * 1e6}


def memory(bench: Bench, running: Running) -> Figures:
    """Memory per open stream, in a fresh process that has served a little."""
    count = max(1, bench.plan.held // running.peer.heavy)
    _trust(bench.job(running, "plain", connections=16, warm=0.2, window=0.5))
    _trust(bench.job(running, "streams", connections=8, warm=0.2, window=0.5))
    time.sleep(1.0)
    result = bench.job(running, "held", connections=count, settle=2.0, timeout=60.0)
    _trust(result)
    if result["still"] != count:
        raise FailedError(f"{result['still']} of {count} streams open at the end")
    return {
        "stream_kb": (result["after"] - result["before"]) / count,
        "base_mb": result["before"] / 1024,
        "streams_held": float(count),
    }


def cold_starts(bench: Bench, peer: peers.Peer) -> list[float]:
    """Seconds from exec to the first answer, several times; slow starters fewer times."""
    times: list[float] = []
    for _ in range(bench.plan.starts):
        running = bench.start(peer)
        bench.nursery.stop(running.process)
        times.append(running.first_answer)
        if sum(times) > 30:
            break
    return times


MEASURES: dict[str, Callable[[Bench, Running], Figures]] = {
    "plain": plain,
    "latency": latency,
    "streams": streams,
    "translated": translated,
}
