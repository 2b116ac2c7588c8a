"""What the tests of vendors share: what is sent to one, and how its streams are played."""

from __future__ import annotations

import json
from typing import Any

from gateway.domain import Credential
from gateway.sdk import Adapter, Call, JsonBody, Translator
from providers_plugins import alibaba, deepseek, groq, minimax, mistral, moonshot, openrouter, zhipu

KEY = Credential("main", {"api_key": "sk-secret"})
USER = {"role": "user", "content": "hi"}

OLD_CALL = {"name": "f", "arguments": "{}"}
NORMALISED = [alibaba, deepseek, groq, minimax, mistral, moonshot, openrouter, zhipu]


def wrote(
    adapter: Adapter, upstream: str = "up", stream: bool = False, **members: Any
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What is sent for these members, less the model, and what is said to be lost."""
    body = JsonBody.parse(json.dumps({"model": "m", **members}).encode())
    call = Call("chat", upstream, "https://host.example", body, stream)
    built = adapter.operations["chat"].build(call, KEY)
    sent = json.loads(built.body)
    assert sent.pop("model") == upstream
    assert built.translated is False
    if adapter.name == "minimax":
        assert sent.pop("reasoning_split") is True
    return sent, built.adapted


def stream_of(adapter: Adapter, show: bool = False) -> Translator:
    body = b'{"stream_options":{"include_usage":%s}}' % (b"true" if show else b"false")
    call = Call("chat", "up", "https://h", JsonBody.parse(body), stream=True)
    opened: Translator = adapter.operations["chat"].stream(call)  # type: ignore[operator]
    return opened


def played(adapter: Adapter, pieces: list[bytes]) -> tuple[Any, ...]:
    stream = stream_of(adapter)
    out = b"".join(map(stream.feed, pieces)) + stream.finish()
    fault = stream.fault and stream.fault.cause
    return out, stream.usage, stream.complete, fault


def event(delta: Any, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: %s\n\n" % json.dumps({"id": "i", "choices": [choice], **more}).encode()


def message_of(out: bytes) -> tuple[str, str, list[str]]:
    text = thought = ""
    reasons = []
    for line in out.decode().splitlines():
        if not line.startswith("data: {"):
            continue
        for choice in json.loads(line[6:])["choices"]:
            text += choice["delta"].get("content") or ""
            thought += choice["delta"].get("reasoning_content") or ""
            reasons += [choice["finish_reason"]] if choice["finish_reason"] else []
    return text, thought, reasons
