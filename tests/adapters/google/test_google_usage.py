"""Usage on this wire: whole, impossible, absent, or told too early."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.core.money.checks import problem_of
from gateway.sdk.talk import Began, Event, Interpreter, Used, sse
from providers_plugins.google.reader import GenerateReader
from tests.adapters.google.answering import piece, read, stream

COUNTS = {
    "promptTokenCount": 10, "candidatesTokenCount": 4, "thoughtsTokenCount": 3,
    "toolUsePromptTokenCount": 5, "cachedContentTokenCount": 6, "totalTokenCount": 22,
    "promptTokensDetails": [
        {"modality": "TEXT", "tokenCount": 7}, {"modality": "AUDIO", "tokenCount": 3},
    ],
    "toolUsePromptTokensDetails": [{"modality": "IMAGE", "tokenCount": 2}],
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 4}],
    "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 1}],
}  # fmt: skip


def test_usage_is_whole() -> None:
    """Tools' answers are input, thoughts are output, cached tokens are inside the input."""
    raw = json.dumps(COUNTS)
    body = b'{"candidates":[{"content":{"parts":[{"text":"x"}]}}],"usageMetadata":%b}'
    usage = read(body % raw.encode()).usage
    assert usage is not None
    assert (usage.input, usage.output, usage.cached, usage.reasoning) == (15, 7, 6, 3)
    assert (usage.audio_input, usage.image_input, usage.image_output) == (3, 2, 4)
    assert (usage.cached_audio, usage.raw) == (1, raw.encode())
    assert problem_of(usage) == ""


@pytest.mark.parametrize(
    "counts",
    [
        {"promptTokenCount": -1},
        {"promptTokenCount": "5"},
        {"promptTokenCount": 1.5},
        {"promptTokenCount": True},
        {"promptTokenCount": 1 << 60},
        {"promptTokenCount": 5, "totalTokenCount": 6},
        {"promptTokenCount": 5, "cachedContentTokenCount": 6, "totalTokenCount": 5},
        {"promptTokenCount": 1, "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 9}]},
        [],
        "many",
    ],
)
def test_impossible_usage_is_a_problem(counts: Any) -> None:
    """It is told of, never billed from, and never an error."""
    usage = read(piece({"text": "x"}, finish="STOP", counts=counts)).usage
    assert usage is not None
    assert problem_of(usage)
    (used,) = (it for it in stream(piece({"text": "x"}, finish="STOP", counts=counts))
               if isinstance(it, Used))  # fmt: skip
    assert used.usage == usage


@pytest.mark.parametrize("counts", [{}, {"trafficType": "ON_DEMAND"}, None])
def test_no_count_is_no_usage(counts: Any) -> None:
    """The gateway then counts for itself."""
    assert read(piece({"text": "x"}, finish="STOP", counts=counts)).usage is None


def test_the_first_usage_knows_the_input_alone() -> None:
    """What it says of the output may be more than the end's: that is no contradiction."""
    events = stream(
        piece({"text": "a"}, counts={"promptTokenCount": 9, "candidatesTokenCount": 50}),
        piece({"text": "b"}, finish="STOP", counts={"promptTokenCount": 20, "totalTokenCount": 20}),
    )
    assert isinstance(events[0], Began)
    assert events[0].usage is not None
    assert (events[0].usage.input, events[0].usage.output) == (9, 0)

    class Silent:
        def write(self, event: Event) -> bytes:
            return b""

    interpreter = Interpreter(GenerateReader(0.0), Silent())
    for it in ({"promptTokenCount": 9, "candidatesTokenCount": 50}, {"promptTokenCount": 20}):
        last = piece({"text": "a"}, counts=it, finish="STOP" if len(it) == 1 else "")
        interpreter.feed(sse.event(json.dumps(last).encode()))
    interpreter.finish()
    assert interpreter.complete
    assert interpreter.usage is not None
    assert (interpreter.usage.input, interpreter.usage.problem) == (20, "")
