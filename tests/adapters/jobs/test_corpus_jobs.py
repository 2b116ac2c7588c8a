"""Recorded films: what was asked and answered for real."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from gateway.sdk import Progress
from tests import recorded
from tests.adapters.jobs.hosts import GROK, STUDIO, sent

pytestmark = recorded.needs_corpus

CASES = [case for provider in ("xai", "gemini") for case in recorded.cases(provider, "video")]
# How far each is, by the end of its name.
STATES = {"0": "pending", "1": "running", "5": "succeeded"}


@pytest.mark.parametrize("case", CASES, ids=recorded.case_id)
def test_recorded(case: Path) -> None:
    """The request is written as it was sent, the answer is read as what it says."""
    meta = recorded.meta(case)
    host = GROK if meta["provider"] == "xai" else STUDIO
    answer = recorded.response_file(case).read_bytes()
    state = STATES[case.name.rpartition("-")[2]]
    if meta["method"] == "POST":
        body = (case / "request.json").read_bytes()
        made = host.work.build(host.call(body), host.credential)
        assert sent(made) == {**msgspec.json.decode(body), "model": host.upstream}
        assert made.url.removeprefix("https://") == meta["url"]
        found = host.begun(answer)
    else:
        name = meta["url"].partition("/operations/" if host is STUDIO else "/videos/")[2]
        name = f"models/{meta['model']}/operations/{name}" if host is STUDIO else name
        job = host.work.job
        assert job is not None
        asked = job.poll(host.call({"prompt": "x"}), Progress("running", name), host.credential)
        assert asked.url.removeprefix("https://") == meta["url"]
        found = host.polled(answer, meta["status"], name=name)
    assert found.state == state
    if state == "succeeded":
        assert found.url.startswith("https://generativelanguage.googleapis.com/v1beta/files/")
