"""Recorded requests of the Messages wire: read and written again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.core.body import JsonBody
from gateway.core.talk.messages import read_request, write_request
from gateway.core.talk.model import Losses
from tests import recorded

pytestmark = recorded.needs_corpus

# Of these the answer alone was recorded: there is no request to read.
WITHOUT_REQUEST = {
    "vercel-ai-anthropic-anthropic-json-tool.1-0",
    "vercel-ai-anthropic-anthropic-tool-search-deferred-bm25.2-0",
    "vercel-ai-anthropic-anthropic-clear-thinking.1-0",
    "vercel-ai-anthropic-anthropic-web-fetch-tool-20260209.1-0",
    "rig-anthropic-list_models_rejected_key_reports_api_error_with_context-0",
}
ASKED = [
    case
    for case in recorded.cases("anthropic", "chat", "chat_stream", "count_tokens", "error")
    if case.name not in WITHOUT_REQUEST
]


@recorded.parameters(ASKED)
def test_a_request_is_read_and_written_again(case: Path) -> None:
    raw = (case / "request.json").read_bytes()
    losses = Losses()
    talk = read_request(JsonBody.parse(raw), losses)
    written = json.loads(write_request(talk, losses))
    asked = json.loads(raw)
    if "max_tokens" not in asked:
        assert written.pop("max_tokens") == 8_192
    assert normal_request(written) == normal_request(asked)
    assert losses.names == ()


def normal_request(request: dict[str, Any]) -> dict[str, Any]:
    """What may differ and means the same: strings for blocks, and what is said by silence."""
    request = {k: v for k, v in request.items() if v is not None and (k, v) != ("stream", False)}
    request["messages"] = [
        message | {"content": normal_blocks(message["content"])} for message in request["messages"]
    ]
    if "system" in request:
        request["system"] = normal_blocks(request["system"])
    return {name: value for name, value in request.items() if value not in ([], {})}


def normal_blocks(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [normal_block(block) for block in content]


def normal_block(block: dict[str, Any]) -> dict[str, Any]:
    block = {k: v for k, v in block.items() if v is not None}
    if block["type"] == "tool_result":
        block["content"] = normal_blocks(block.get("content", []))
        block.setdefault("is_error", False)
    if block["type"] == "document" and block.get("citations") == {"enabled": False}:
        del block["citations"]
    if block.get("citations") == []:
        del block["citations"]
    if block.get("caller") == {"type": "direct"} and block["type"] == "tool_use":
        del block["caller"]
    if "cache_control" in block:
        block["cache_control"].setdefault("ttl", "5m")
    return block
