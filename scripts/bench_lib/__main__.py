"""`scripts/bench`: measure the peers side by side and print what was found."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shlex
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from bench_lib import (
    choosing,
    install,
    instructions,
    ledger,
    measure,
    peers,
    processes,
    profile,
    report,
    runs,
)
from bench_lib.foreign import LiteLLM, Portkey

PEERS = ("gateway", "unwritten", "distributed", "caddy", "nginx", "bare", "portkey", "litellm")
LOCAL = peers.ROOT / ".bench"
SYSTEM_PYTHON = LOCAL / "system-python"
QUICK = runs.Plan(rounds=1, warm=1.0, window=3.0, held=1000, starts=3)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument(
        "--only", default=",".join(PEERS), metavar="PEER,...", help=f"of {', '.join(PEERS)}"
    )
    parser.add_argument("--quick", action="store_true", help="short windows, one round")
    parser.add_argument("--rounds", type=int, help="interleaved rounds; medians are reported")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples there")
    parser.add_argument("--install", action="store_true", help="fetch absent peers (apt as root)")
    parser.add_argument("--profile", action="store_true", help="py-spy the gateway afterwards")
    parser.add_argument("--own-load", action="store_true", help="do not use wrk for plain calls")
    parser.add_argument(
        "--litellm-venv",
        type=Path,
        metavar="DIR",
        default=Path(os.environ.get("LITELLM_VENV", LOCAL / "litellm")),
    )
    parser.add_argument(
        "--portkey-dir",
        type=Path,
        metavar="DIR",
        default=Path(os.environ.get("PORTKEY_DIR", LOCAL / "portkey")),
    )
    parser.add_argument(
        "--gateway-root",
        type=Path,
        metavar="DIR",
        default=peers.ROOT,
        help="measure the gateway of another checkout",
    )
    parser.add_argument(
        "--ledger", type=int, metavar="CALLS", help="instead, time a ledger of so many calls"
    )
    parser.add_argument("--ledger-file", type=Path, metavar="FILE", help="keep that ledger here")
    parser.add_argument(
        "--choosing", action="store_true", help="instead, time the choice of a route"
    )
    parser.add_argument(
        "--instructions", action="store_true", help="instead, count them (needs valgrind)"
    )
    options = parser.parse_args()
    unknown = set(options.only.split(",")) - set(PEERS)
    if unknown:
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")
    if options.rounds is not None and not 1 <= options.rounds <= 50:
        parser.error("--rounds takes 1 to 50")
    return options


def plan_of(options: argparse.Namespace) -> runs.Plan:
    """Windows and numbers from the command line."""
    base = QUICK if options.quick else runs.Plan()
    return runs.Plan(
        **{**asdict(base), "own_load": options.own_load, "rounds": options.rounds or base.rounds}
    )


def make_peers(options: argparse.Namespace, setting: peers.Setting) -> list[peers.Peer]:
    """The peers named, in a fixed order."""
    every: list[peers.Peer] = [
        peers.Gateway(setting, options.gateway_root.resolve()),
        peers.Unwritten(setting, options.gateway_root.resolve()),
        peers.Distributed(setting, options.gateway_root.resolve(), SYSTEM_PYTHON),
        peers.Caddy(setting),
        peers.Nginx(setting),
        peers.Bare(setting),
        Portkey(setting, options.portkey_dir.resolve()),
        LiteLLM(setting, options.litellm_venv.absolute()),
    ]
    names = set(options.only.split(","))
    return [peer for peer in every if peer.name in names]


def say(text: str) -> None:
    """Progress, beside the report."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def prepared(peer: peers.Peer) -> report.Row:
    """The peer's row, marked absent with the reason if it cannot run here."""
    row = report.Row(peer.name, peer.title)
    try:
        peer.prepare()
    except peers.AbsentError as reason:
        row.absent = str(reason)
        say(f"SKIPPED {peer.name}: {reason}")
    row.version = peer.version
    return row


def start_and_weigh(bench: runs.Bench, peer: peers.Peer, row: report.Row) -> None:
    """Cold starts, then memory per open stream, in fresh processes."""
    try:
        for seconds in runs.cold_starts(bench, peer):
            row.add({"start_s": seconds})
        row.add({"start_min_s": min(row.samples["start_s"])})
    except runs.FailedError as problem:
        row.absent = f"does not start: {problem}"
        say(f"SKIPPED {peer.name}: {row.absent}")
        return
    say(f"{peer.name}: starts in {row.median('start_s'):.3f} s")
    running = None
    try:
        running = bench.start(peer)
        row.add(runs.memory(bench, running))
        say(f"{peer.name}: {row.median('stream_kb'):.1f} KB per open stream")
    except runs.FailedError as problem:
        row.problems.append(f"memory: {problem}")
        say(f"FAILED {peer.name} memory: {problem}")
    finally:
        if running is not None:
            bench.nursery.stop(running.process)


def start_all(
    bench: runs.Bench,
    pairs: list[tuple[peers.Peer, report.Row]],
) -> list[tuple[runs.Running, report.Row]]:
    """Start every present peer for the rounds."""
    running = []
    for peer, row in pairs:
        if row.absent is None:
            try:
                running.append((bench.start(peer), row))
            except runs.FailedError as problem:
                row.problems.append(f"start for the rounds: {problem}")
    return running


def measure_all(bench: runs.Bench, chosen: list[peers.Peer]) -> list[report.Row]:
    """Every measurement of every peer, interleaved peer by peer in each round."""
    pairs = [(peer, prepared(peer)) for peer in chosen]
    rows = [row for _, row in pairs]
    for peer, row in pairs:
        if row.absent is None:
            start_and_weigh(bench, peer, row)
    running = start_all(bench, pairs)
    for number in range(bench.plan.rounds):
        for name, take in runs.MEASURES.items():
            for each, row in running:
                try:
                    figures = take(bench, each)
                except runs.FailedError as problem:
                    row.problems.append(f"{name}, round {number + 1}: {problem}")
                    say(f"FAILED {row.name} {name}: {problem}")
                    continue
                row.add(figures)
                text = ", ".join(f"{key} {value:.4g}" for key, value in figures.items())
                say(f"round {number + 1} {row.name}: {text}")
    for each, _ in running:
        bench.nursery.stop(each.process)
    return rows


def disturbed(before: float, after: float) -> str:
    """What else the machine did before and after the run."""
    text = f"{before:.0%} of the machine before the run, {after:.0%} after it"
    return text + (": NOT QUIET, distrust the figures" if max(before, after) > 0.05 else "")


def speed_of_disk(before: float, after: float) -> str:
    """What the ledger's promise costs here, whoever keeps it."""
    return (
        f"4 KB written and synced in {before:.3f} ms before the run, {after:.3f} ms after it; "
        "a call of the gateway's does it twice"
    )


def show(rows: list[report.Row], plan: runs.Plan, header: dict[str, str]) -> None:
    """Print the report."""
    load = "own generator" if plan.own_load or runs.wrk.program() is None else "wrk"
    print("\n".join(f"{name}: {value}" for name, value in header.items()))
    print(
        f"plan: {plan.rounds} rounds, {plan.window:.0f} s windows, {plan.connections} "
        f"connections ({load}), {plan.streams} streams of 50 chunks at 20 ms, "
        f"{plan.held} held streams"
    )
    for text in (report.table(rows), report.ratios(rows), report.spread(rows)):
        if text:
            print("\n" + text)
    print("\nPeers:\n" + report.notes(rows))
    print("\nTargets of the gateway:")
    for text, verdict, shown in report.targets(rows):
        print(f"  {verdict:12} {text}" + (f"  ({shown})" if shown else ""))


def run(options: argparse.Namespace) -> None:
    """One whole run."""
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    header = {
        "date": now,
        **report.machine(),
        "command": shlex.join(["scripts/bench", *sys.argv[1:]]),
    }
    before = measure.others_busy()
    plan, cores = plan_of(options), processes.cores()
    files = processes.raise_limits()
    if options.install:
        names = set(options.only.split(","))
        root = options.gateway_root.resolve()
        install.install(names, root, SYSTEM_PYTHON, options.litellm_venv, options.portkey_dir)
    if files < 2 * plan.held + 500:
        plan = runs.Plan(**{**asdict(plan), "held": (files - 500) // 2})
        say(f"only {files} open files allowed: {plan.held} held streams")
    os.sched_setaffinity(0, {cores[1]})
    with tempfile.TemporaryDirectory(prefix="isthmus-bench-") as name:
        setting = peers.Setting(Path(name), processes.free_port())
        bench = runs.Bench(processes.Nursery(Path(name)), cores, setting, plan)
        chosen = make_peers(options, setting)
        try:
            bench.start_upstream()
            syncs = [processes.sync_ms(cores[0])]
            rows = measure_all(bench, chosen)
            syncs.append(processes.sync_ms(cores[0]))
            header["disk"] = speed_of_disk(*syncs)
            header["busy with others"] = disturbed(before, measure.others_busy())
            show(rows, plan, header)
            subject = next(
                (
                    p
                    for p, r in zip(chosen, rows, strict=True)
                    if p.name == report.SUBJECT and r.absent is None
                ),
                None,
            )
            if options.profile and subject is not None:
                print("\n" + profile.profile(bench, subject, LOCAL))
        finally:
            bench.nursery.stop_all()
    if options.json:
        options.json.write_text(
            json.dumps(
                {
                    "header": header,
                    "plan": asdict(plan),
                    "peers": [asdict(row) for row in rows],
                    "targets": report.targets(rows),
                },
                indent=2,
            )
            + "\n"
        )
    if not any(row.samples for row in rows):
        sys.exit("bench: nothing could be measured")


def main() -> None:
    """Run; 0 unless the harness itself failed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        options = arguments()
        if options.ledger:
            print(ledger.measure(options.ledger, options.ledger_file))
        elif options.choosing:
            print(choosing.measure())
        elif options.instructions:
            print(instructions.measure(options.gateway_root.resolve()))
        else:
            run(options)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
