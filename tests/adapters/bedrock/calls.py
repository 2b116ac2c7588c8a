"""Calls and conversations that the tests of this adapter share."""

from __future__ import annotations

import json
from typing import Any

from gateway.core.body import JsonBody
from gateway.domain import Credential
from gateway.sdk import Call
from gateway.sdk.talk import (
    Began,
    Broke,
    Cited,
    Closed,
    Ended,
    Event,
    Grew,
    Opened,
    Signed,
    Stopped,
    Used,
)

BASE = "https://bedrock-runtime.us-east-1.amazonaws.com"
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOW = 1_767_323_045.0
KEY = Credential("k", {"api_key": "bedrock-key"})
SIGNING = Credential("s", {"access_key": "AKIDEXAMPLE", "secret_key": "secret"})


def call(upstream: str = CLAUDE, body: Any = None, **said: Any) -> Call:
    raw = body if isinstance(body, bytes) else json.dumps(body or {"model": "m"}).encode()
    given = {"operation": "chat", "base_url": BASE, "now": NOW} | said
    return Call(upstream=upstream, body=JsonBody.parse(raw), **given)


def told(events: list[Event]) -> dict[str, Any]:
    """What a stream's events add up to; asserts that they come in an order that is allowed."""
    parts: list[dict[str, Any]] = []
    open_parts: set[int] = set()
    found: dict[str, Any] = {"parts": parts, "reason": None, "usage": None, "ended": False}
    for at, event in enumerate(events):
        assert not found["ended"], "nothing comes after the end"
        if isinstance(event, Began):
            assert at == 0
        elif isinstance(event, Opened):
            assert event.index == len(parts)
            assert found["reason"] is None
            open_parts.add(event.index)
            parts.append({"part": event.part, "text": "", "signature": "", "citations": []})
        elif isinstance(event, Grew | Signed | Cited | Closed):
            assert event.index in open_parts
            grow(parts[event.index], event)
            if isinstance(event, Closed):
                open_parts.remove(event.index)
        elif isinstance(event, Stopped):
            assert not open_parts
            found["reason"], found["sequence"] = event.reason, event.sequence
        elif isinstance(event, Used):
            found["usage"] = event.usage
        elif isinstance(event, Broke):
            found["fault"] = event.fault
        else:
            assert isinstance(event, Ended)
            assert found["reason"] is not None
            found["ended"] = True
    return found


def grow(part: dict[str, Any], event: Event) -> None:
    if isinstance(event, Grew):
        part["text"] += event.text
    elif isinstance(event, Signed):
        part["signature"] += event.signature
        part["family"] = event.family
    elif isinstance(event, Cited):
        part["citations"].append(event.citation)


class Silent:
    """A dialect that says nothing: for what is counted on the way."""

    def write(self, event: Event) -> bytes:
        return b""
