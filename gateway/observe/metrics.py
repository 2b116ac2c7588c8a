"""Prometheus figures with bounded labels: each value comes from the catalog or a fixed table.

What a client sends never becomes a label, so no client can grow the page. All figures of a call
hang on one look-up by what it was; the page is put together when somebody asks for it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from math import inf, isfinite

from gateway.core.money.amounts import dollars
from gateway.domain import FLAGS
from gateway.pipeline.record import Record

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_FLAG_NAMES = {number: name for name, number in FLAGS.items()}
_BOUNDS = (*map(str, _BUCKETS), "+Inf")

Labels = tuple[str, ...]
Gauge = Callable[[], Iterable[tuple[Mapping[str, str], float]]]


class Series:
    """The figures of all calls of one operation, route and status."""

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "charged",
        "first_byte",
        "first_byte_sum",
        "input_tokens",
        "output_tokens",
        "seconds",
        "seconds_sum",
    )

    def __init__(self) -> None:
        self.bytes_in = self.bytes_out = self.input_tokens = self.output_tokens = 0
        self.charged = 0
        self.seconds = [0] * len(_BOUNDS)
        self.first_byte = [0] * len(_BOUNDS)
        self.seconds_sum = self.first_byte_sum = 0.0


class Metrics:
    """All figures of the process."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str, int], Series] = {}
        self._faults: dict[tuple[str, str, str], int] = {}
        self._tried: dict[tuple[str, str, str], int] = {}
        self._flagged: dict[tuple[str, str], int] = {}
        self._gauges: list[tuple[str, str, Gauge]] = []

    def gauge(self, name: str, text: str, read: Gauge) -> None:
        """Register a figure that is read when the page is asked for."""
        self._gauges.append((name, text, read))

    def call(self, record: Record) -> None:
        """Count one finished call."""
        what = (record.operation, record.route, record.status)
        series = self._series.get(what)
        if series is None:
            series = self._series[what] = Series()
        series.bytes_in += record.bytes_in
        series.bytes_out += record.bytes_out
        seconds = record.finished - record.started
        series.seconds[bisect_left(_BUCKETS, seconds)] += 1
        series.seconds_sum += seconds
        if record.first_byte:
            seconds = record.first_byte - record.started
            series.first_byte[bisect_left(_BUCKETS, seconds)] += 1
            series.first_byte_sum += seconds
        usage = record.usage
        if usage is not None:
            series.input_tokens += usage.input
            series.output_tokens += usage.output
        series.charged += record.charged
        if record.flag:
            flagged = (record.route, _FLAG_NAMES[record.flag])
            self._flagged[flagged] = self._flagged.get(flagged, 0) + 1
        for one in record.tries:
            tried = (str(one["provider"]), str(one["route"]), str(one["cause"]))
            self._tried[tried] = self._tried.get(tried, 0) + 1
        if record.cause:
            fault = (record.operation, record.provider, record.cause)
            self._faults[fault] = self._faults.get(fault, 0) + 1

    def render(self) -> str:
        """The whole page."""
        parts: list[str] = []
        parts += self._calls()
        parts += self._faulty()
        parts += self._tokens()
        parts += self._bytes()
        parts += self._money()
        parts += self._histogram("gateway_call_seconds", "Time from request to end of answer.")
        parts += self._histogram("gateway_first_byte_seconds", "Time from request to first byte.")
        for name, text, read in self._gauges:
            parts.append(_head(name, text, "gauge"))
            for labels, value in read():
                parts.append(
                    f"{name}{_labels(tuple(labels), tuple(labels.values()))} {_number(value)}\n"
                )
        return "".join(parts)

    def _calls(self) -> Iterable[str]:
        name, labels = "gateway_calls_total", ("operation", "route", "status")
        yield _head(name, "Finished calls.", "counter")
        for (operation, route, status), series in self._series.items():
            values = (operation, route, str(status))
            yield f"{name}{_labels(labels, values)} {sum(series.seconds)}\n"

    def _faulty(self) -> Iterable[str]:
        name, labels = "gateway_faults_total", ("operation", "provider", "cause")
        yield _head(name, "Failed calls by cause.", "counter")
        for values, count in self._faults.items():
            yield f"{name}{_labels(labels, values)} {count}\n"
        name, labels = "gateway_failed_attempts_total", ("provider", "route", "cause")
        yield _head(name, "Tries that failed, though another may have saved the call.", "counter")
        for values, count in self._tried.items():
            yield f"{name}{_labels(labels, values)} {count}\n"

    def _tokens(self) -> Iterable[str]:
        name, labels = "gateway_tokens_total", ("route", "direction")
        yield _head(name, "Tokens as providers counted them.", "counter")
        sums: dict[Labels, int] = {}
        for (_, route, _), series in self._series.items():
            for way, count in (("input", series.input_tokens), ("output", series.output_tokens)):
                if route:
                    sums[route, way] = sums.get((route, way), 0) + count
        for values, count in sums.items():
            yield f"{name}{_labels(labels, values)} {count}\n"

    def _bytes(self) -> Iterable[str]:
        name, labels = "gateway_bytes_total", ("operation", "direction")
        yield _head(name, "Body bytes by direction.", "counter")
        sums: dict[Labels, int] = {}
        for (operation, _, _), series in self._series.items():
            for way, count in (("in", series.bytes_in), ("out", series.bytes_out)):
                sums[operation, way] = sums.get((operation, way), 0) + count
        for values, count in sums.items():
            yield f"{name}{_labels(labels, values)} {count}\n"

    def _money(self) -> Iterable[str]:
        name = "gateway_charged_dollars_total"
        yield _head(name, "What calls were charged.", "counter")
        sums: dict[str, int] = {}
        for (_, route, _), series in self._series.items():
            if route:
                sums[route] = sums.get(route, 0) + series.charged
        for route, nanos in sums.items():
            yield f"{name}{_labels(('route',), (route,))} {dollars(nanos)}\n"
        name, labels = "gateway_flagged_calls_total", ("route", "flag")
        yield _head(name, "Calls not simply charged as their provider counted.", "counter")
        for values, count in self._flagged.items():
            yield f"{name}{_labels(labels, values)} {count}\n"

    def _histogram(self, name: str, text: str) -> Iterable[str]:
        yield _head(name, text, "histogram")
        cells: dict[str, list[int]] = {}
        sums: dict[str, float] = {}
        whole = name == "gateway_call_seconds"
        for (operation, _, _), series in self._series.items():
            counted = series.seconds if whole else series.first_byte
            added = series.seconds_sum if whole else series.first_byte_sum
            old = cells.get(operation, [0] * len(_BOUNDS))
            cells[operation] = [a + b for a, b in zip(old, counted, strict=True)]
            sums[operation] = sums.get(operation, 0.0) + added
        for operation, counts in cells.items():
            running = 0
            for bound, count in zip(_BOUNDS, counts, strict=True):
                running += count
                labels = _labels(("operation", "le"), (operation, bound))
                yield f"{name}_bucket{labels} {running}\n"
            tail = _labels(("operation",), (operation,))
            yield f"{name}_sum{tail} {sums[operation]:.6f}\n{name}_count{tail} {running}\n"


def _head(name: str, text: str, kind: str) -> str:
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


def _labels(names: Labels, values: Labels) -> str:
    if not names:
        return ""
    pairs = (f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))
    return "{" + ",".join(pairs) + "}"


def _number(value: float) -> str:
    """Every digit: a figure past a million that is rounded stands still between two readings."""
    if not isfinite(value):
        return {inf: "+Inf", -inf: "-Inf"}.get(value, "NaN")
    return str(int(value)) if value == value // 1 else repr(value)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
