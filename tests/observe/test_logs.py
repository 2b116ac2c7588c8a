"""One line a call, whatever it holds and whatever becomes of the output."""

from __future__ import annotations

import asyncio
import json
import os
import threading

import pytest

from gateway.errors import invalid
from gateway.observe import logs
from gateway.observe.logs import Log, to_descriptor
from gateway.pipeline.record import Record

NASTY = "a\r\nlevel=error forged\x00\x1b[31m\x7f\x85\x9b\u2028\u2029\tz"


def written(style: logs.Format, *lines: dict[str, object]) -> bytes:
    out: list[bytes] = []
    log = Log(out.append, style)
    for fields in lines:
        log.event("info", "happened", **fields)
    log.close()
    assert log.dropped == 0
    return b"".join(out)


def test_a_json_record_a_line() -> None:
    """Every record is one line of JSON with its fields."""
    lines = written("json", {"n": 1}, {"text": NASTY}, {"n": 3}).split(b"\n")
    assert lines.pop() == b""
    found = [json.loads(line) for line in lines]
    assert [line.get("n") for line in found] == [1, None, 3]
    assert found[1]["text"] == NASTY
    assert found[0]["level"] == "info"
    assert found[0]["event"] == "happened"


@pytest.mark.parametrize("place", ["value", "event", "name"])
def test_text_lines_cannot_be_forged(place: str) -> None:
    """Control characters and Unicode line ends are escaped: one record, one line."""
    out: list[bytes] = []
    log = Log(out.append, "text")
    if place == "event":
        log.event("info", NASTY)
    else:
        log.event("info", "x", **({"v": NASTY} if place == "value" else {NASTY: 1}))
    log.close()
    text = b"".join(out).decode()
    assert len(text.splitlines()) == 1
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text[:-1])
    assert "forged" in text


@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.parametrize(
    "odd", ["\ud800", "x\udcff", 1 << 70, -(1 << 70), object, b"\xff", {"\ud800": 1}]
)
def test_no_value_stops_the_log(style: logs.Format, odd: object) -> None:
    """A value that cannot be written as it is is written somehow, and the next line comes too."""
    lines = written(style, {"odd": odd}, {"after": "yes"}).splitlines()
    assert len(lines) == 2
    assert b"yes" in lines[1]


@pytest.mark.parametrize("style", ["json", "text"])
def test_a_call_leaves_its_line(style: logs.Format) -> None:
    """The line of a call has its figures, and no field that is empty."""
    out: list[bytes] = []
    log = Log(out.append, style)
    fault = invalid("secret words")
    log.call(
        Record(
            id="req_1", started=1.0, finished=1.25, status=400, model="m", fault=fault, cause="c"
        ),
        1.0,
    )
    log.close()
    text = b"".join(out).decode()
    assert "req_1" in text
    assert "250.0" in text
    assert "provider" not in text
    assert "secret words" not in text


def test_a_blocked_output_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the output blocks, callers go on; what cannot be kept is dropped and counted."""
    monkeypatch.setattr(logs, "_MAX_WAITING", 10)
    entered, release = threading.Event(), threading.Event()
    out: list[bytes] = []

    def write(data: bytes) -> None:
        entered.set()
        release.wait(10)
        out.append(data)

    log = Log(write, "json")
    log.event("info", "first")
    assert entered.wait(10)
    for n in range(100):
        log.event("info", "more", n=n)
    assert log.dropped == 91
    release.set()
    log.close()
    assert b"".join(out).count(b"\n") == 10
    assert log.dropped == 91


def test_room_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that were written, or failed, take no room from later ones."""
    monkeypatch.setattr(logs, "_MAX_WAITING", 10)
    done = threading.Semaphore(0)
    fail = False

    def write(data: bytes) -> None:
        done.release()
        if fail:
            raise OSError(28, "No space left on device")

    log = Log(write, "json")
    for _ in range(3):
        for n in range(5):
            log.event("info", "x", n=n)
            assert done.acquire(timeout=10)
        fail = not fail
    log.close()
    assert log.dropped == 5


def test_a_closed_descriptor_is_survived() -> None:
    """A closed output costs its lines, which are counted, and nothing else."""
    read, write = os.pipe()
    os.close(read)
    log = Log(to_descriptor(write), "text")
    log.event("info", "into the void")
    log.close()
    assert log.dropped == 1
    os.close(write)
    log = Log(to_descriptor(write), "json")
    log.event("info", "into the void")
    log.close()
    assert log.dropped == 1


def test_short_writes_are_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    """A descriptor that takes a few bytes at a time gets them all."""
    taken: list[bytes] = []

    def write(descriptor: int, data: memoryview) -> int:
        taken.append(bytes(data[:3]))
        return len(taken[-1])

    monkeypatch.setattr(logs.os, "write", write)
    to_descriptor(99)(b"0123456789")
    assert b"".join(taken) == b"0123456789"


async def test_lines_of_one_moment_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a running loop lines wait for each other, and are written in order."""
    monkeypatch.setattr(logs, "_FLUSH_EVERY", 0)
    out: list[bytes] = []
    wrote = asyncio.Event()
    loop = asyncio.get_running_loop()

    def write(data: bytes) -> None:
        out.append(data)
        loop.call_soon_threadsafe(wrote.set)

    log = Log(write, "json")
    for n in range(5):
        log.event("info", "x", n=n)
    await asyncio.wait_for(wrote.wait(), 10)
    log.close()
    assert len(out) == 1
    assert [json.loads(line)["n"] for line in out[0].splitlines()] == [0, 1, 2, 3, 4]
