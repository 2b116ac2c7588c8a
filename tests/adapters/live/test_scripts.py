"""Sessions from end to end, word for word; what clients are told is what their SDK expects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from openai.types.realtime.realtime_server_event import RealtimeServerEvent
from pydantic import TypeAdapter

from gateway.sdk.testing import Sample, of
from gateway.sdk.testing.talking import bad_messages_are_borne, sessions_are_pure
from tests.adapters.live.scripts import ADAPTERS, FOLDER, SAID, played, read

SCRIPTS = sorted(FOLDER.glob("*.jsonl"))
EVENT: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
# The host's own additions, and what it has no word for: the item that speech will become.
NOT_OPENAIS = ("response.function_call.simple_browser", "input_audio_buffer.speech_")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_word_for_word(path: Path) -> None:
    """What is sent either way, and what is counted, after each message."""
    lines = read(path)
    assert played(lines) == lines


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_clients_know_the_events(path: Path) -> None:
    """Every event is one of the SDK's, with all that it must have."""
    for line in read(path):
        event = line.get("to_client")
        if event is None or (
            path.stem.startswith("zhipu") and event["type"].startswith(NOT_OPENAIS)
        ):
            continue
        EVENT.validate_python(event)


@pytest.mark.parametrize("name", ["google", "vertex", "zhipu"])
def test_the_kit(name: str) -> None:
    """The kit's own checks hold at every point of the scripts."""
    adapter = ADAPTERS[name][0]
    samples = []
    for path in SCRIPTS:
        first, *rest = read(path)
        if first["adapter"] == name:
            said = [line for line in rest if any(side in line for side in SAID)]
            request = {"model": "client-model", "session": first.get("session", {})}
            samples.append(Sample("realtime", path.stem, request=request, dialogue=said))
    assert samples
    subject = msgspec.structs.replace(of(name, adapter), samples=tuple(samples))
    for check in (sessions_are_pure, bad_messages_are_borne):
        check(subject, "realtime", adapter.operations["realtime"])
