"""The metrics page follows the exposition format, and clients cannot grow it."""

from __future__ import annotations

import math
import re

import pytest

from gateway.domain import Usage
from gateway.observe.metrics import Metrics
from gateway.pipeline.record import Record

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
LABEL = re.compile(rf'({NAME})="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
UNESCAPED = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


def parse(page: str) -> tuple[dict[str, str], dict[tuple[str, frozenset[tuple[str, str]]], float]]:
    """A strict reader of the format: families by name, samples by name and labels."""
    kinds: dict[str, str] = {}
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    assert page.endswith("\n")
    for line in page[:-1].split("\n"):
        if line.startswith("# HELP "):
            continue
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds
            kinds[name] = kind
            continue
        found = SAMPLE.fullmatch(line)
        assert found, line
        name, inside, value = found.groups()
        labels = LABEL.findall(inside or "")
        assert "".join(f'{k}="{v}",' for k, v in labels).removesuffix(",") == (inside or "")
        read = [(k, re.sub(r"\\.", lambda m: UNESCAPED[m[0]], v)) for k, v in labels]
        assert len(dict(read)) == len(read)
        family = re.sub("_(bucket|sum|count)$", "", name)
        assert name in kinds or kinds[family] == "histogram"
        key = (name, frozenset(read))
        assert key not in samples
        samples[key] = float(value)
    return kinds, samples


def record(**fields: object) -> Record:
    base = {"operation": "chat", "route": "r", "provider": "p", "status": 200, "finished": 2.5}
    return Record(id="x", **({"started": 1.0} | base | fields))


def of(samples: dict, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def test_the_page_reads_back() -> None:
    """Every figure that was counted is on the page, under its labels."""
    metrics = Metrics()
    metrics.call(record(first_byte=1.5, bytes_in=10, bytes_out=20, usage=Usage(7, 3)))
    metrics.call(record(status=502, cause="status_500"))
    metrics.gauge("up", "Whether it is up.", lambda: [({}, 1)])
    metrics.gauge(
        "open", "Open.", lambda: [({"provider": 'a"b\\c\nd'}, 2.5), ({"provider": ""}, 0)]
    )
    kinds, samples = parse(metrics.render())
    assert kinds["gateway_calls_total"] == "counter"
    assert kinds["gateway_call_seconds"] == "histogram"
    assert of(samples, "gateway_calls_total", operation="chat", route="r", status="200") == 1
    assert (
        of(samples, "gateway_faults_total", operation="chat", provider="p", cause="status_500") == 1
    )
    assert of(samples, "gateway_tokens_total", route="r", direction="input") == 7
    assert of(samples, "gateway_bytes_total", operation="chat", direction="out") == 20
    assert of(samples, "gateway_call_seconds_count", operation="chat") == 2
    assert of(samples, "gateway_call_seconds_sum", operation="chat") == 3.0
    assert of(samples, "gateway_first_byte_seconds_count", operation="chat") == 1
    assert of(samples, "up") == 1
    assert of(samples, "open", provider='a"b\\c\nd') == 2.5


def test_an_empty_page_reads_back() -> None:
    """Before the first call the page is well formed."""
    assert parse(Metrics().render())[1] == {}


@pytest.mark.parametrize("value", [999_999, 1_000_001, 1_234_567_891, (1 << 53) - 1, 0.25, 1e-7])
def test_figures_are_written_in_full(value: float) -> None:
    """A large counter keeps its last digit."""
    metrics = Metrics()
    metrics.gauge("g", "G.", lambda: [({}, value)])
    assert of(parse(metrics.render())[1], "g") == value


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_figures_that_are_no_number(value: float) -> None:
    """A gauge may have no finite figure; the page stays well formed."""
    metrics = Metrics()
    metrics.gauge("g", "G.", lambda: [({}, value)])
    found = of(parse(metrics.render())[1], "g")
    assert found == value or (math.isnan(found) and math.isnan(value))


def test_buckets_are_cumulative() -> None:
    """Each bucket holds all below it; the last equals the count."""
    metrics = Metrics()
    for seconds in (0.0, 0.005, 0.0051, 1.0, 299, 300, 301, 1e9):
        metrics.call(record(started=0.0, finished=seconds))
    _, samples = parse(metrics.render())
    bounds = [
        (float(dict(labels)["le"]), value)
        for (name, labels), value in samples.items()
        if name == "gateway_call_seconds_bucket"
    ]
    counts = [value for _, value in sorted(bounds)]
    assert counts == sorted(counts)
    assert dict(bounds)[0.005] == 2
    assert dict(bounds)[300.0] == 6
    assert (
        dict(bounds)[math.inf] == of(samples, "gateway_call_seconds_count", operation="chat") == 8
    )


def test_what_clients_send_is_no_label() -> None:
    """A hundred thousand made-up models, keys, addresses and ids add no line."""
    metrics = Metrics()
    metrics.call(record(route="", status=404, cause="model_not_found", provider=""))
    before = len(metrics.render().splitlines())
    for n in range(100_000):
        metrics.call(
            record(
                route="",
                status=404,
                cause="model_not_found",
                provider="",
                model=f"m{n}",
                key=f"k{n}",
            )
        )
    assert len(metrics.render().splitlines()) == before
