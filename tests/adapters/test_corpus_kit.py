"""Recorded streams as samples of the kit: real traffic breaks none of its rules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec import structs

from gateway.sdk.testing import Broken, Sample, of
from gateway.sdk.testing.streaming import end_is_proved, splits_are_exact, usage_grows
from tests import recorded
from tests.adapters.test_corpus import ADAPTERS

pytestmark = recorded.needs_corpus

OPERATIONS = {"chat_stream": "chat", "completions_stream": "completions"}
CASES = [case for provider in ADAPTERS for case in recorded.cases(provider, *OPERATIONS)]
# Before the first of these a stream is not complete, wherever it is cut.
FINISHED = re.compile(rb'"finish_reason": ?"[a-z_]+"')
# What is wrong in a recording itself: the rule that it breaks, rightly.
WRONG = {
    "openrouter/chat_stream/pydantic-ai-test_openrouter-test_openrouter_stream_error-0": (
        7,
        "the host counts 11 tokens of reasoning among 10 of output",
    ),
}


def framed(case: Path) -> bytes:
    """The stream's bytes; recordings of events alone have lost what framed them."""
    path = recorded.response_file(case)
    if path.suffix != ".jsonl":
        return path.read_bytes()
    lines = path.read_bytes().splitlines()
    return b"".join(b"data: " + line + b"\n\n" for line in lines if line) + b"data: [DONE]\n\n"


@pytest.mark.parametrize("case", CASES, ids=recorded.case_id)
def test_kit(case: Path) -> None:
    """Cut everywhere, cut off, and read as it grows."""
    provider, name = case.parts[-3], OPERATIONS[case.parts[-2]]
    wire = framed(case)
    mark = FINISHED.search(wire)
    end = mark[0].decode() if mark else ""
    sample = Sample(name, recorded.case_id(case), stream_base64=wire, end_mark=end)
    subject = structs.replace(of(provider, ADAPTERS[provider]), samples=(sample,))
    operation = subject.adapter.operations[name]
    broken: list[int] = []
    for check in (splits_are_exact, end_is_proved, usage_grows):
        try:
            check(subject, name, operation)
        except Broken as found:
            if sample.name not in WRONG:
                raise
            broken.append(found.rule)
    expected = WRONG.get(sample.name)
    assert broken == ([] if expected is None else [expected[0]])
