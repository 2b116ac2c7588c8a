"""Sessions as scripts: JSON lines, what either side says and what comes of it.

The first line says whose session it is. `client` and `provider` are said; after each stands what
is sent `to_provider` and `to_client`, and what is counted as `usage`, all in their order.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from gateway.core.body import JsonBody
from gateway.domain import Credential, Usage
from gateway.sdk import Adapter, Call, Dialogue, Frames
from providers_plugins.google import GOOGLE, VERTEX
from providers_plugins.zhipu import ADAPTER as ZHIPU

FOLDER = Path(__file__).parent / "scripts"
ADAPTERS: dict[str, tuple[Adapter, str, str]] = {
    "google": (
        GOOGLE,
        "gemini-3.1-flash-live-preview",
        "https://generativelanguage.googleapis.com/v1beta",
    ),
    "vertex": (VERTEX, "gemini-live-2.5-flash", "https://aiplatform.googleapis.com"),
    "zhipu": (ZHIPU, "glm-realtime", "https://open.bigmodel.cn/api/paas/v4"),
}
LOGIN = Credential("c", {"access_token": "ya29.canary", "project": "p-1"})
KEY = Credential("c", {"api_key": "AIzaCanary"})
SAID = ("client", "provider")


def call_of(name: str, session: Any = None, **more: Any) -> Call:
    """A session's call."""
    _, upstream, base_url = ADAPTERS[name]
    body: dict[str, Any] = {"model": "client-model"}
    if session is not None:
        body["session"] = session
    given: dict[str, Any] = {"base_url": base_url, "upstream": upstream, "id": "gen-01", **more}
    return Call("realtime", body=JsonBody.parse(json.dumps(body).encode()), **given)


def dialogue_of(name: str, session: Any = None, **more: Any) -> Dialogue:
    """A session that begins."""
    operation = ADAPTERS[name][0].operations["realtime"]
    assert operation.session is not None
    return operation.session(call_of(name, session, **more), LOGIN if name == "vertex" else KEY)


def events(messages: tuple[bytes, ...]) -> list[Any]:
    """Messages, read."""
    return [json.loads(message) for message in messages]


def told(dialogue: Dialogue, frames: Frames) -> list[dict[str, Any]]:
    """What came of a message, as a script has it."""
    lines = [{"to_provider": event} for event in events(frames.to_provider)]
    lines += [{"to_client": event} for event in events(frames.to_client)]
    lines += [{"usage": counted(usage)} for usage in dialogue.take_usage()]
    if dialogue.fault is not None:
        lines.append({"fault": dialogue.fault.kind.code, "cause": dialogue.fault.cause})
    return lines


def counted(usage: Usage) -> dict[str, Any]:
    """The figures that are not nothing."""
    figures = {name: getattr(usage, name) for name in Usage.__struct_fields__ if name != "raw"}
    return {name: figure for name, figure in figures.items() if figure}


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a script."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def played(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The script as it turns out when what is said in it is said."""
    dialogue = dialogue_of(lines[0]["adapter"], lines[0].get("session"))
    found = [lines[0], *told(dialogue, dialogue.opening())]
    for line in lines[1:]:
        for side in SAID:
            if side in line:
                message = msgspec.json.encode(line[side])
                heard = dialogue.from_client if side == "client" else dialogue.from_provider
                found += [line, *told(dialogue, heard(message))]
    return found
