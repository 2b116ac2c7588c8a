"""docs/videos.md says what is made: its tables are held against the adapters."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.errors import Fault
from providers_plugins import jobs
from providers_plugins.google.videos import _CODES
from tests.adapters.jobs.hosts import FILMS, Host

TEXT = (Path(__file__).parents[3] / "docs" / "videos.md").read_text()
ROWS = {
    "studio": "Google AI Studio", "cloud": "Google Vertex AI", "hailuo": "MiniMax", "cog": "Zhipu",
    "grok": "xAI", "sora": "OpenAI", "wan": "Alibaba",
}  # fmt: skip
SAID = {"negative_prompt": "rain", "seed": 7, "audio": True}


def cells(title: str, host: str) -> list[str]:
    """The row of a host, in the first table whose header holds this."""
    table = TEXT[TEXT.index(title) :].split("\n\n")[0]
    (row,) = (line for line in table.splitlines() if line.startswith(f"| {ROWS[host]} |"))
    return [cell.strip() for cell in row.strip("|").split("|")]


def serves(host: Host, **more: object) -> bool:
    try:
        host.build({"prompt": "x", **more})
    except Fault:
        return False
    return True


@pytest.mark.parametrize("name", FILMS)
def test_what_is_made(name: str) -> None:
    """Lengths, resolutions and shapes, and no others."""
    host = FILMS[name]
    _, _, lengths, labels, shapes, _ = cells("| host | models | seconds", name)
    offered, usual = re.fullmatch(r"(.*) \((\d+)\)", lengths).groups()  # type: ignore[union-attr]
    assert host.expects({"prompt": "x"}).milliseconds == int(usual) * 1000
    if "judges" not in offered:
        ends = [int(one) for one in re.findall(r"\d+", offered)]
        known = range(ends[0], ends[1] + 1) if "to" in offered else ends
        exact = {
            length
            for length in range(1, 30)
            if serves(host, duration=length)
            and not host.build({"prompt": "x", "duration": length}).adapted
        }
        assert exact == set(known)
    known_labels = re.findall(r"\d+[pk]", labels)
    if known_labels:
        every = ("480p", "512p", "720p", "768p", "1024p", "1080p", "4k")
        wide = {label for label in every if serves(host, resolution=label, aspect_ratio="16:9")}
        assert wide == set(known_labels)
    every = ("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9")
    assert {one for one in every if serves(host, aspect_ratio=one)} == set(
        re.findall(r"\d+:\d+", shapes)
    )


@pytest.mark.parametrize("name", FILMS)
def test_what_is_lost(name: str) -> None:
    """Beside the usual members, each host takes some and loses the others by name."""
    _, taken, lost = cells("| host | beside the usual", name)
    made = FILMS[name].build({"prompt": "x", **SAID})
    for member in SAID:
        assert (member in made.adapted) == (f"`{member}`" in lost), member
        assert (member not in made.adapted) == (f"`{member}`" in taken) or member == "audio"


def test_every_code_is_explained() -> None:
    """Each that a job can fail with."""
    table = TEXT.split("## Why work fails")[1]
    known = {jobs.FAILED, jobs.POLICY, jobs.EXPIRED, jobs.CANCELLED, jobs.NO_FILE, *_CODES.values()}
    assert set(re.findall(r"`([a-z_]+)`", table)) == known
