"""What a run has found: medians, ratios, targets; as a table and as JSON."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

BASELINE = "caddy"
SUBJECT = "gateway"


@dataclass
class Row:
    """One peer's figures of all rounds, and what went wrong."""

    name: str
    title: str
    version: str = "?"
    samples: dict[str, list[float]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    absent: str | None = None

    def add(self, figures: Mapping[str, float]) -> None:
        """Add one round's figures."""
        for name, value in figures.items():
            self.samples.setdefault(name, []).append(value)

    def median(self, name: str) -> float | None:
        """The median over the rounds, if it was measured."""
        values = self.samples.get(name)
        return statistics.median(values) if values else None


@dataclass(frozen=True)
class Column:
    """One column of the table."""

    heading: str
    figure: str
    places: int


COLUMNS = (
    Column("CPU us/call", "plain_us", 1),
    Column("calls/s", "plain_rps", 0),
    Column("core busy", "plain_core", 2),
    Column("added p50 ms", "added_p50_ms", 3),
    Column("added p99 ms", "added_p99_ms", 3),
    Column("p50 awake", "awake_added_p50_ms", 3),
    Column("p99 awake", "awake_added_p99_ms", 3),
    Column("CPU us/chunk", "chunk_us", 1),
    Column("CPU us/translated chunk", "translated_us", 1),
    Column("chunks/s", "chunk_rate", 0),
    Column("KB/stream", "stream_kb", 1),
    Column("base MB", "base_mb", 0),
    Column("start s", "start_s", 3),
    Column("start min s", "start_min_s", 3),
)
RATIOS = ("plain_us", "chunk_us", "stream_kb", "start_s")


def _grid(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as an aligned Markdown table; the first is the heading."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "| "
        + " | ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        + " |"
        for row in rows
    ]
    rule = (
        "|"
        + "|".join("-" * (width + 1) + ("-" if i == 0 else ":") for i, width in enumerate(widths))
        + "|"
    )
    return "\n".join([lines[0], rule, *lines[1:]])


def _number(value: float | None, places: int) -> str:
    return "-" if value is None else f"{value:,.{places}f}"


def table(rows: Sequence[Row]) -> str:
    """The absolute figures: medians over the rounds."""
    cells = [["peer", *(column.heading for column in COLUMNS)]]
    cells += [
        [row.title, *(_number(row.median(c.figure), c.places) for c in COLUMNS)]
        for row in rows
        if row.absent is None
    ]
    return _grid(cells)


def ratios(rows: Sequence[Row]) -> str:
    """The same run's figures as multiples of Caddy's."""
    base = next((row for row in rows if row.name == BASELINE and row.absent is None), None)
    if base is None:
        return "No ratios: Caddy was not measured in this run."
    wanted = [column for column in COLUMNS if column.figure in RATIOS]
    cells = [["x Caddy", *(column.heading for column in wanted)]]
    for row in rows:
        if row.absent is None:
            pairs = [(row.median(c.figure), base.median(c.figure)) for c in wanted]
            cells.append(
                [
                    row.title,
                    *(
                        _number(mine / theirs if mine is not None and theirs else None, 2)
                        for mine, theirs in pairs
                    ),
                ]
            )
    return _grid(cells)


def spread(rows: Sequence[Row]) -> str:
    """Lowest and highest round of the figures that targets look at."""
    lines = []
    for row in rows:
        parts = [
            f"{name} {min(values):.4g}..{max(values):.4g}"
            for name in ("plain_us", "chunk_us", "added_p50_ms", "awake_added_p50_ms", "start_s")
            if len(values := row.samples.get(name, [])) > 1
        ]
        if parts:
            lines.append(f"  {row.name}: " + ", ".join(parts))
    return "\n".join(["Lowest..highest round:", *lines]) if lines else ""


def targets(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """Each promise: what, PASS, FAIL or `not measured`, and the figure."""
    by_name = {row.name: row for row in rows if row.absent is None}

    def value(peer: str, figure: str) -> float | None:
        return by_name[peer].median(figure) if peer in by_name else None

    def verdict(
        text: str, mine: float | None, limit: float | None, unit: str
    ) -> tuple[str, str, str]:
        if mine is None or limit is None:
            return text, "not measured", ""
        shown = f"{mine:.4g} {unit}, limit {limit:.4g}"
        return text, "PASS" if mine <= limit else "FAIL", shown

    def times(limit: float | None, factor: float) -> float | None:
        return None if limit is None else limit * factor

    call, chunk = value(SUBJECT, "plain_us"), value(SUBJECT, "chunk_us")
    return [
        verdict("CPU per plain call <= 1.0x Caddy", call, value(BASELINE, "plain_us"), "us"),
        verdict(
            "CPU per plain call <= LiteLLM / 100",
            call,
            times(value("litellm", "plain_us"), 0.01),
            "us",
        ),
        verdict(
            "CPU per plain call <= 1.25x the same without a ledger",
            call,
            times(value("unwritten", "plain_us"), 1.25),
            "us",
        ),
        verdict(
            "CPU per chunk <= 1.1x Caddy", chunk, times(value(BASELINE, "chunk_us"), 1.1), "us"
        ),
        verdict(
            "CPU per translated chunk <= 2.5x one passed through",
            value(SUBJECT, "translated_us"),
            times(chunk, 2.5),
            "us",
        ),
        verdict("memory per open stream <= 20 KB", value(SUBJECT, "stream_kb"), 20.0, "KB"),
        verdict("exec to first answer <= 0.5 s", value(SUBJECT, "start_s"), 0.5, "s"),
        verdict(
            "added latency p50 <= 0.5 ms, cores kept awake",
            value(SUBJECT, "awake_added_p50_ms"),
            0.5,
            "ms",
        ),
        verdict(
            "added latency p50 <= 0.5 ms, cores that fall asleep",
            value(SUBJECT, "added_p50_ms"),
            0.5,
            "ms",
        ),
    ]


def machine() -> dict[str, str]:
    """What a reader must know to compare runs."""
    text = Path("/proc/cpuinfo").read_text()
    model = next(
        (
            line.partition(":")[2].strip()
            for line in text.splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "cpu": f"{model}, {len(os.sched_getaffinity(0))} cores",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}{_unoptimised()}",
        "load": " ".join(f"{each:.2f}" for each in os.getloadavg()),
    }


def _unoptimised() -> str:
    """Said of an interpreter that runs everything slower than it need.

    Distributions build theirs with profiles, and not all of them by the flag that says so.
    """
    given = str(sysconfig.get_config_var("CONFIG_ARGS"))
    if "--enable-optimizations" in given or sys.base_prefix == "/usr":
        return ""
    return ", built without optimisation by profile"


def notes(rows: Sequence[Row]) -> str:
    """Versions, absent peers and measurements that failed."""
    lines = [f"  {row.name} {row.version}" for row in rows if row.absent is None]
    lines += [f"  SKIPPED {row.name}: {row.absent}" for row in rows if row.absent is not None]
    lines += [f"  FAILED {row.name} {problem}" for row in rows for problem in row.problems]
    return "\n".join(lines)
