"""Whatever is said by clients and vendors is written, read, or refused in one way."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Fault
from gateway.sdk import Call, JsonBody
from providers_plugins import azure, compatible, groq, minimax, mistral, openrouter
from tests.adapters.vendors import KEY, NORMALISED, played

PIECES = st.lists(
    st.sampled_from([
        b"data: ", b"\n\n", b"\r\n\r\n", b"[DONE]", b"{", b"}", b'"choices":[', b"]", b":", b",",
        b'{"index":0,"delta":{"content":"<thi', b'nk>', b'"reasoning":"x"', b'"thinking":[7]',
        b'{"index":1e9,"delta":{"content":"a"}}', b'"finish_reason":"odd"',
        b'"x_groq":{"usage":{}}',
        b'"reasoning_details":[7,{"text":7}]', b'{"index":"x","delta":{"content":[{"text":7}]}}',
        b"\xff", b'{"choices":[{"index":0,"delta":{"content":[7]},"finish_reason":7}]}', b"null",
    ]),
    max_size=25,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(pieces=PIECES)
def test_hostile_streams(pieces: list[bytes]) -> None:
    """No bytes make a translator fail, and no split makes it read them otherwise."""
    raw = b"".join(pieces)
    adapters = (minimax.ADAPTER, mistral.ADAPTER, groq.ADAPTER, openrouter.ADAPTER, compatible.VLLM)
    for adapter in adapters:
        whole = played(adapter, [raw])
        assert played(adapter, pieces) == whole
        assert played(adapter, [bytes([byte]) for byte in raw]) == whole


EVERYONE = [module.ADAPTER for module in (*NORMALISED, azure)] + [
    compatible.OLLAMA,
    compatible.VLLM,
]
WORDS = st.sampled_from([
    "role", "content", "developer", "system", "assistant", "function", "functions", "name", "text",
    "type", "tool_calls", "function_call", "arguments", "reasoning_content", "effort", "enabled",
    "json_schema", "choices", "message", "delta", "finish_reason", "error", "index", "thinking",
    "max_tokens", "budget_tokens", "usage", "reasoning_details", "base_resp", "status_code", "high",
])  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
MEMBERS = st.sampled_from([
    "messages", "functions", "function_call", "tools", "tool_choice", "stop", "n", "temperature",
    "response_format", "reasoning", "reasoning_effort", "thinking", "max_tokens", "user", "seed",
    "max_completion_tokens", "logprobs", "stream_options", "enable_thinking", "parallel_tool_calls",
])  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(members=st.dictionaries(MEMBERS, ANYTHING, max_size=5), stream=st.booleans())
def test_hostile_requests(members: dict[str, Any], stream: bool) -> None:
    """Whatever a client says is written, or refused as the client's fault."""
    raw = json.dumps({"model": "m", **members}).encode()
    for adapter in EVERYONE:
        for upstream in ("kimi-k3", "MiniMax-M3", "qwen3", "magistral", "deepseek-v4"):
            call = Call("chat", upstream, "https://h", JsonBody.parse(raw), stream)
            try:
                built = adapter.operations["chat"].build(call, KEY)
            except Fault as fault:
                refused: int | None = fault.kind.status
            else:
                refused = None
                JsonBody.parse(built.body)
            assert refused in (None, 400)


@settings(max_examples=300, deadline=None)
@given(answer=ANYTHING, choices=st.lists(ANYTHING, max_size=3), finish=ANYTHING)
def test_hostile_answers(answer: Any, choices: list[Any], finish: Any) -> None:
    """Whatever a host answers is passed on, or is a fault."""
    held = {"index": 0, "message": answer, "finish_reason": finish}
    for said in (answer, {"choices": choices}, {"choices": [held]}, {"choices": [held, *choices]}):
        raw = json.dumps(said).encode()
        for adapter in EVERYONE:
            operation = adapter.operations["chat"]
            assert isinstance(operation.fault_in(raw), Fault | None)
            if not callable(operation.parse):
                continue
            call = Call("chat", "up", "https://h", JsonBody.parse(b'{"functions":[]}'))
            with suppress(Fault):
                json.loads(operation.parse(call, 200, {}, raw).body)
