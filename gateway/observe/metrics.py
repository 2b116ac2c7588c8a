"""Prometheus figures with bounded labels: each value comes from the catalog or a fixed table.

What a client sends never becomes a label, so no client can grow the page.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping

from gateway.pipeline.record import Record

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_BOUNDS = (*map(str, _BUCKETS), "+Inf")

Labels = tuple[str, ...]
Gauge = Callable[[], Iterable[tuple[Mapping[str, str], float]]]


class Counter:
    """A labelled counter."""

    def __init__(self, name: str, text: str, labels: Labels) -> None:
        self.name, self.text, self.labels = name, text, labels
        self.values: dict[Labels, float] = {}

    def add(self, labels: Labels, amount: float = 1) -> None:
        """Count."""
        self.values[labels] = self.values.get(labels, 0) + amount

    def render(self) -> Iterable[str]:
        """The exposition text."""
        yield f"# HELP {self.name} {self.text}\n# TYPE {self.name} counter\n"
        for labels, value in self.values.items():
            yield f"{self.name}{_labels(self.labels, labels)} {_number(value)}\n"


class Histogram:
    """A labelled histogram over fixed bounds, in seconds."""

    def __init__(self, name: str, text: str, labels: Labels) -> None:
        self.name, self.text, self.labels = name, text, labels
        self.values: dict[Labels, list[float]] = {}

    def observe(self, labels: Labels, seconds: float) -> None:
        """Add one observation; the last two cells hold the sum and the count."""
        cells = self.values.get(labels)
        if cells is None:
            cells = self.values[labels] = [0.0] * (len(_BUCKETS) + 3)
        cells[bisect_left(_BUCKETS, seconds)] += 1
        cells[-2] += seconds
        cells[-1] += 1

    def render(self) -> Iterable[str]:
        """The exposition text, buckets made cumulative."""
        yield f"# HELP {self.name} {self.text}\n# TYPE {self.name} histogram\n"
        names = (*self.labels, "le")
        for labels, cells in self.values.items():
            running = 0.0
            for bound, count in zip(_BOUNDS, cells, strict=False):
                running += count
                yield f"{self.name}_bucket{_labels(names, (*labels, bound))} {_number(running)}\n"
            tail = _labels(self.labels, labels)
            yield f"{self.name}_sum{tail} {cells[-2]:.6f}\n"
            yield f"{self.name}_count{tail} {_number(cells[-1])}\n"


class Metrics:
    """All figures of the process."""

    def __init__(self) -> None:
        self.calls = Counter(
            "gateway_calls_total", "Finished calls.", ("operation", "route", "status")
        )
        self.faults = Counter(
            "gateway_faults_total", "Failed calls by cause.", ("operation", "provider", "cause")
        )
        self.tokens = Counter(
            "gateway_tokens_total", "Tokens as providers counted them.", ("route", "direction")
        )
        self.bytes = Counter(
            "gateway_bytes_total", "Body bytes by direction.", ("operation", "direction")
        )
        self.seconds = Histogram(
            "gateway_call_seconds", "Time from request to end of answer.", ("operation",)
        )
        self.ttft = Histogram(
            "gateway_first_byte_seconds", "Time from request to first byte.", ("operation",)
        )
        self._gauges: list[tuple[str, str, Gauge]] = []

    def gauge(self, name: str, text: str, read: Gauge) -> None:
        """Register a figure that is read when the page is asked for."""
        self._gauges.append((name, text, read))

    def call(self, record: Record) -> None:
        """Count one finished call."""
        operation = record.operation
        self.calls.add((operation, record.route, str(record.status)))
        if record.bytes_in:
            self.bytes.add((operation, "in"), record.bytes_in)
        if record.bytes_out:
            self.bytes.add((operation, "out"), record.bytes_out)
        self.seconds.observe((operation,), record.finished - record.started)
        if record.first_byte:
            self.ttft.observe((operation,), record.first_byte - record.started)
        if record.usage is not None:
            self.tokens.add((record.route, "input"), record.usage.input)
            self.tokens.add((record.route, "output"), record.usage.output)
        if record.cause:
            self.faults.add((operation, record.provider, record.cause))

    def render(self) -> str:
        """The whole page."""
        parts: list[str] = []
        for family in (self.calls, self.faults, self.tokens, self.bytes, self.seconds, self.ttft):
            parts.extend(family.render())
        for name, text, read in self._gauges:
            parts.append(f"# HELP {name} {text}\n# TYPE {name} gauge\n")
            for labels, value in read():
                shown = _labels(tuple(labels), tuple(labels.values()))
                parts.append(f"{name}{shown} {_number(value)}\n")
        return "".join(parts)


def _labels(names: Labels, values: Labels) -> str:
    if not names:
        return ""
    pairs = (f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))
    return "{" + ",".join(pairs) + "}"


def _number(value: float) -> str:
    """Every digit: a counter past a million that is rounded stands still between two readings."""
    return str(int(value)) if value == value // 1 else repr(value)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
