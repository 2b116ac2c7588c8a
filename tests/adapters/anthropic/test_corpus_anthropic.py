"""Recorded requests pass through the adapter with nothing but the model's name changed."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.core.body import JsonBody
from gateway.domain import Credential
from gateway.sdk import Call
from providers_plugins.anthropic import ADAPTER
from tests import recorded

pytestmark = recorded.needs_corpus
OPERATIONS = {"chat": "messages", "chat_stream": "messages", "count_tokens": "count_tokens"}
# Of these the answer alone was recorded: there is no request to send.
WITHOUT_REQUEST = {
    "vercel-ai-anthropic-anthropic-json-tool.1-0",
    "vercel-ai-anthropic-anthropic-tool-search-deferred-bm25.2-0",
    "vercel-ai-anthropic-anthropic-clear-thinking.1-0",
    "vercel-ai-anthropic-anthropic-web-fetch-tool-20260209.1-0",
}
CASES = [
    case for case in recorded.cases("anthropic", *OPERATIONS) if case.name not in WITHOUT_REQUEST
]


@recorded.parameters(CASES)
def test_a_request_passes(case: Path) -> None:
    raw = (case / "request.json").read_bytes()
    name = OPERATIONS[case.parent.name]
    call = Call(name, "another-model", "https://api.anthropic.com", JsonBody.parse(raw))
    request = ADAPTER.operations[name].build(call, Credential("k", {"api_key": "a"}))
    assert json.loads(request.body) == json.loads(raw) | {"model": "another-model"}
    model = JsonBody.parse(raw).get("model") or b""
    assert request.body.replace(b'"another-model"', model, 1) == raw
