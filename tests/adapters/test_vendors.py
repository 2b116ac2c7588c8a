"""What each vendor is sent, and how it is heard, where no recording shows it.

MiniMax and Moonshot were never recorded: their bodies here are fakes written after the fact sheet.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain import Credential
from gateway.errors import Fault
from gateway.sdk import Adapter, Call, JsonBody, Translator
from providers_plugins import (
    alibaba,
    azure,
    compatible,
    deepseek,
    groq,
    minimax,
    mistral,
    moonshot,
    openrouter,
    zhipu,
)

KEY = Credential("main", {"api_key": "sk-secret"})
USER = {"role": "user", "content": "hi"}
ASKED = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}


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


EFFORTS = [
    # adapter, model, asked, sent, lost
    (deepseek, "v4", {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}, ()),
    (
        deepseek,
        "v4",
        {"reasoning_effort": "minimal"},
        {"reasoning_effort": "low", "thinking": {"type": "enabled"}},
        (),
    ),
    (
        deepseek,
        "v4",
        {"reasoning_effort": "high", "tool_choice": "required"},
        {"reasoning_effort": "high", "thinking": {"type": "enabled"}},
        ("tool_choice",),
    ),
    (deepseek, "v4", {"tool_choice": "required"}, {"tool_choice": "required"}, ()),
    (zhipu, "glm", {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}, ()),
    (
        zhipu,
        "glm",
        {"reasoning_effort": "low"},
        {"reasoning_effort": "low", "thinking": {"type": "enabled"}},
        (),
    ),
    (
        zhipu,
        "glm",
        {"thinking": {"type": "enabled", "budget_tokens": 9}},
        {"thinking": {"type": "enabled"}},
        ("thinking.budget_tokens",),
    ),
    (alibaba, "qwen", {"reasoning_effort": "none"}, {"enable_thinking": False}, ()),
    (
        alibaba,
        "qwen",
        {"reasoning_effort": "low"},
        {"enable_thinking": True, "thinking_budget": 4096},
        (),
    ),
    (alibaba, "qwen", {"reasoning_effort": "high"}, {"enable_thinking": True}, ()),
    (
        alibaba,
        "qwen",
        {"thinking": {"type": "enabled", "budget_tokens": 77}},
        {"enable_thinking": True, "thinking_budget": 77},
        (),
    ),
    (
        alibaba,
        "qwen",
        {"enable_thinking": False, "reasoning_effort": "low"},
        {"enable_thinking": False, "thinking_budget": 4096},
        ("reasoning_effort",),
    ),
    (
        moonshot,
        "kimi-k2.5",
        {"reasoning_effort": "high"},
        {"thinking": {"type": "enabled"}},
        ("reasoning_effort",),
    ),
    (moonshot, "kimi-k2.5", {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}, ()),
    (moonshot, "kimi-k3", {"reasoning_effort": "medium"}, {"reasoning_effort": "high"}, ()),
    (moonshot, "kimi-k3", {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}, ()),
    (minimax, "MiniMax-M2.5", {"reasoning_effort": "low"}, {}, ("reasoning_effort",)),
    (minimax, "MiniMax-M3", {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}, ()),
    (
        minimax,
        "MiniMax-M3",
        {"reasoning_effort": "low"},
        {"thinking": {"type": "adaptive"}},
        ("reasoning_effort",),
    ),
    (mistral, "mistral-small", {"reasoning_effort": "high"}, {"reasoning_effort": "high"}, ()),
    (
        mistral,
        "mistral-small",
        {"reasoning_effort": "low"},
        {"reasoning_effort": "high"},
        ("reasoning_effort",),
    ),
    (mistral, "magistral-small", {"reasoning_effort": "high"}, {"prompt_mode": "reasoning"}, ()),
    (mistral, "magistral-small", {"reasoning_effort": "none"}, {"prompt_mode": None}, ()),
    (groq, "openai/gpt-oss-20b", {"reasoning_effort": "low"}, {"reasoning_effort": "low"}, ()),
    (
        groq,
        "openai/gpt-oss-20b",
        {"reasoning_effort": "max"},
        {"reasoning_effort": "high"},
        ("reasoning_effort",),
    ),
    (
        groq,
        "qwen/qwen3-32b",
        {"thinking": {"type": "enabled"}},
        {"reasoning_effort": "default", "reasoning_format": "parsed"},
        (),
    ),
    (groq, "qwen/qwen3-32b", {"reasoning_effort": "none"}, {"reasoning_effort": "none"}, ()),
    (openrouter, "x", {"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}, ()),
    (
        openrouter,
        "x",
        {"thinking": {"type": "enabled", "budget_tokens": 5}},
        {"reasoning": {"max_tokens": 5}},
        (),
    ),
    (openrouter, "x", {"reasoning": {"effort": "high"}}, {"reasoning": {"effort": "high"}}, ()),
]


@pytest.mark.parametrize(("module", "upstream", "asked", "expected", "lost"), EFFORTS)
def test_thinking(
    module: Any, upstream: str, asked: Any, expected: Any, lost: tuple[str, ...]
) -> None:
    """A wish to think reaches each vendor in its own words, or is named."""
    assert wrote(module.ADAPTER, upstream, **asked) == (expected, lost)


OLD_CALL = {"name": "f", "arguments": "{}"}
OLD: dict[str, Any] = {
    "functions": [{"name": "f", "parameters": {"type": "object"}}],
    "function_call": {"name": "f"},
    "messages": [
        USER,
        {"role": "assistant", "content": None, "function_call": OLD_CALL},
        {"role": "function", "name": "f", "content": "42"},
    ],
}
NORMALISED = [alibaba, deepseek, groq, minimax, mistral, moonshot, openrouter, zhipu]


@pytest.mark.parametrize("module", NORMALISED)
def test_the_old_form_of_tools(module: Any) -> None:
    """Functions become tools, calls get ids that their results share; schemas keep their bytes."""
    sent, lost = wrote(module.ADAPTER, **OLD)
    assert sent["tools"] == [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    ]
    assert "functions" not in sent
    assert "function_call" not in sent
    said = ("functions",) if module in (alibaba, moonshot) else ()
    if module is minimax:
        assert lost == ("tool_choice",)
    else:
        assert lost == said
        assert sent["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    called, told = sent["messages"][1:]
    (call,) = called["tool_calls"]
    assert call == {
        "id": call["id"],
        "type": "function",
        "function": OLD["messages"][1]["function_call"],
    }  # type: ignore[index]
    assert told == {"role": "tool", "tool_call_id": call["id"], "content": "42"}
    assert "function_call" not in called
    assert len(call["id"]) == 9


def test_old_calls_keep_their_bytes() -> None:
    """Neither a schema nor arguments are written anew."""
    raw = b'{"model":"m","functions":[{ "name":"f","parameters":{"b":1.0,"a":2e1} }],"messages":[]}'
    call = Call("chat", "up", "https://h", JsonBody.parse(raw))
    sent = zhipu.ADAPTER.operations["chat"].build(call, KEY).body
    assert b'"function":{ "name":"f","parameters":{"b":1.0,"a":2e1} }}]' in sent


def test_old_clients_are_answered_in_the_old_form() -> None:
    """The first call as a function call, whole and streamed; other calls stay beside it."""
    call = Call("chat", "up", "https://h", JsonBody.parse(b'{"functions":[]}'), stream=True)
    operation = zhipu.ADAPTER.operations["chat"]
    called = [{"index": at, "id": f"c{at}", "function": OLD_CALL} for at in range(2)]
    message = {"role": "assistant", "tool_calls": called}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    raw = json.dumps({"choices": [choice]}).encode()
    told = json.loads(operation.parse(call, 200, {}, raw).body)["choices"][0]  # type: ignore[operator]
    assert told["message"] == {**message, "function_call": OLD_CALL}
    assert told["finish_reason"] == "function_call"
    stream = operation.stream(call)  # type: ignore[operator]
    grown = {"tool_calls": [{"index": 0, "function": {"arguments": "x"}}]}
    second = {"tool_calls": [{"index": 1, "function": {"arguments": "y"}}]}
    out = stream.feed(event(grown) + event(second) + event({}, "tool_calls"))
    chunks = [json.loads(line[6:])["choices"][0] for line in out.decode().splitlines() if line]
    assert chunks[0]["delta"] == {**grown, "function_call": {"arguments": "x"}}
    assert chunks[1]["delta"] == second
    assert chunks[2]["finish_reason"] == "function_call"
    new = Call("chat", "up", "https://h", JsonBody.parse(b'{"tools":[]}'), stream=True)
    assert operation.stream(new).feed(event(grown)) == event(grown)  # type: ignore[operator]


def test_old_tools_that_say_nothing() -> None:
    """A choice among no functions is left out, and named where it demanded one."""
    assert wrote(zhipu.ADAPTER, function_call="auto") == ({}, ())
    assert wrote(zhipu.ADAPTER, function_call={"name": "f"}) == ({}, ("function_call",))
    assert wrote(zhipu.ADAPTER, functions="odd") == ({}, ("functions",))
    both = {"functions": [{"name": "f"}], "tools": [{"type": "function"}]}
    assert wrote(deepseek.ADAPTER, **both) == ({"tools": [{"type": "function"}]}, ("functions",))


def test_mistral_embeddings() -> None:
    """Its own name for the size; an end user is refused there, and named."""
    body = JsonBody.parse(b'{"model":"m","input":"a","dimensions":64,"user":"u"}')
    asked = Call("embeddings", "up", "https://h", body)
    built = mistral.ADAPTER.operations["embeddings"].build(asked, KEY)
    assert json.loads(built.body) == {"model": "up", "input": "a", "output_dimension": 64}
    assert built.adapted == ("user",)


LOST = [
    (zhipu, {"response_format": SCHEMA}, ("response_format.json_schema",)),
    (deepseek, {"response_format": SCHEMA}, ("response_format.json_schema",)),
    (minimax, {"response_format": SCHEMA}, ("response_format.json_schema",)),
    (zhipu, {"stop": ["a", "b"]}, ("stop[1]",)),
    (zhipu, {"parallel_tool_calls": True, "presence_penalty": 0}, ()),
    (zhipu, {"parallel_tool_calls": False, "seed": 0}, ("parallel_tool_calls",)),
    (deepseek, {"seed": 0}, ("seed",)),
    (zhipu, {"logit_bias": {"1": 2}, "logprobs": True}, ("logit_bias", "logprobs")),
    (deepseek, {"n": 2, "seed": 4}, ("n", "seed")),
    (minimax, {"temperature": 2}, ("temperature",)),
    (minimax, {"tool_choice": "required"}, ("tool_choice",)),
    (moonshot, {"logprobs": True, "seed": 1}, ("seed", "logprobs")),
    (groq, {"n": 3, "logit_bias": {"1": 1}}, ("n", "logit_bias")),
    (mistral, {"user": "u", "store": True}, ("user", "store")),
    (mistral, {"max_tokens": 5, "max_completion_tokens": 6}, ("max_completion_tokens",)),
    (alibaba, {"logit_bias": {"1": 2}}, ("logit_bias",)),
]  # fmt: skip


@pytest.mark.parametrize(("module", "asked", "lost"), LOST)
def test_losses_are_named(module: Any, asked: Any, lost: tuple[str, ...]) -> None:
    """What a vendor does not take is left out or brought into range, and said."""
    sent, named = wrote(module.ADAPTER, **asked)
    assert named == lost
    for name in lost:
        assert sent.get(name) is None or sent[name] != asked[name]


@pytest.mark.parametrize("module", NORMALISED)
def test_nothing_asked_nothing_lost(module: Any) -> None:
    """A plain request changes nowhere, and one choice is no loss."""
    for members in ({}, {"messages": [USER]}, {"n": 1}, {"unknown": {"deep": [1]}}):
        sent, lost = wrote(module.ADAPTER, **members)  # type: ignore[arg-type]
        assert (sent.get("messages"), lost) == (members.get("messages"), ())
        assert sent.get("unknown") == members.get("unknown")


def test_minimax_takes_one_system_message() -> None:
    """All of them, joined in front; one that has moved is named."""
    messages = [
        {"role": "system", "content": "a"},
        {"role": "developer", "content": "b"},
        USER,
        {"role": "system", "content": "c"},
    ]
    sent, lost = wrote(minimax.ADAPTER, messages=messages)
    assert sent["messages"] == [{"role": "system", "content": "a\n\nb\n\nc"}, USER]
    assert lost == ("messages[3].role",)


@pytest.mark.parametrize("module", [deepseek, minimax, moonshot])
def test_text_parts_become_strings(module: Any) -> None:
    """Parts of text alone are joined; with a picture among them they stay; marks are named."""
    text = {"type": "text", "text": "a"}
    picture = {"type": "image_url", "image_url": {"url": "data:,"}}
    marked = {**text, "cache_control": {"type": "ephemeral"}}
    messages = [
        {"role": "user", "content": [text, text]},
        {"role": "user", "content": [text, picture]},
        {"role": "user", "content": [marked]},
    ]
    sent, lost = wrote(module.ADAPTER, messages=messages)
    assert [m["content"] for m in sent["messages"]] == ["a\na", [text, picture], "a"]
    assert lost == ("messages[2].content[0].cache_control",)


def test_thoughts_are_shown_again() -> None:
    """Each vendor gets the thoughts of earlier turns under its own name; a blank where it must."""
    bare = {"role": "assistant", "content": "x", "tool_calls": ASKED}
    thought = {**bare, "reasoning_content": "hm"}
    for module, upstream in ((deepseek, "deepseek-v4-pro"), (moonshot, "kimi-k2.6")):
        sent, _ = wrote(module.ADAPTER, upstream, messages=[bare, thought])
        assert [m["reasoning_content"] for m in sent["messages"]] == [" ", "hm"]
    sent, _ = wrote(deepseek.ADAPTER, "deepseek-chat", messages=[bare])
    assert sent["messages"] == [bare]
    for module in (groq, openrouter):
        sent, _ = wrote(module.ADAPTER, messages=[thought])
        assert sent["messages"] == [{**bare, "reasoning": "hm"}]
    sent, _ = wrote(mistral.ADAPTER, messages=[thought])
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "x"},
    ]
    assert sent["messages"] == [{**bare, "content": parts}]


def test_kimi_models_that_think_fix_their_temperature() -> None:
    """The rest keep what was asked."""
    assert wrote(moonshot.ADAPTER, "kimi-k2.6", temperature=0.5) == ({}, ("temperature",))
    assert wrote(moonshot.ADAPTER, "moonshot-v1-8k", temperature=0.5) == ({"temperature": 0.5}, ())


def test_zhipu_streams_arguments() -> None:
    """Only where there are tools and a stream, and the client did not choose."""
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert wrote(zhipu.ADAPTER, stream=True, tools=tools)[0]["tool_stream"] is True
    assert "tool_stream" not in wrote(zhipu.ADAPTER, tools=tools)[0]
    chosen = wrote(zhipu.ADAPTER, stream=True, tools=tools, tool_stream=False)[0]
    assert chosen["tool_stream"] is False
    assert "tools" not in wrote(zhipu.ADAPTER, tools=[])[0]


@pytest.mark.parametrize(
    ("base", "version", "expected"),
    [
        ("https://r.azure.example", "", "https://r.azure.example/openai/v1/chat/completions"),
        ("https://r.example/openai/v1/", "v1", "https://r.example/openai/v1/chat/completions"),
        (
            "https://r.example",
            "preview",
            "https://r.example/openai/v1/chat/completions?api-version=preview",
        ),
        (
            "https://r.example/openai/v1",
            "2024-10-21",
            "https://r.example/openai/deployments/my%2Fmodel/chat/completions?api-version=2024-10-21",
        ),
        (
            "https://r.example",
            "2024&x=1",
            "https://r.example/openai/deployments/my%2Fmodel/chat/completions?api-version=2024%26x%3D1",
        ),
    ],
)
def test_azure_addresses(base: str, version: str, expected: str) -> None:
    """The version decides between the deployment's address and the resource's."""
    options = {"api_version": version} if version else {}
    call = Call("chat", "my/model", base, JsonBody.parse(b'{"model":"m"}'), options=options)
    built = azure.ADAPTER.operations["chat"].build(call, KEY)
    assert built.url == expected
    assert dict(built.headers) == {"Content-Type": "application/json", "api-key": "sk-secret"}
    token = azure.ADAPTER.operations["chat"].build(call, Credential("t", {"session_token": "ey"}))
    assert dict(token.headers)["Authorization"] == "Bearer ey"
    assert "api-key" not in dict(token.headers)


FAULTS = [
    (deepseek, 402, {"error": {"message": "Insufficient Balance"}}, "credential_exhausted"),
    (deepseek, 503, {"error": {"message": "busy"}}, "status_503"),
    (alibaba, 400, {"error": {"code": "data_inspection_failed"}}, "content_policy"),
    (alibaba, 400, {"code": "DataInspectionFailed", "message": "m"}, "content_policy"),
    (alibaba, 400, {"error": {"code": "Arrearage", "message": "m"}}, "credential_exhausted"),
    (alibaba, 429, {"error": {"code": "Throttling.RateQuota"}}, "provider_rate_limit"),
    (alibaba, 403, {"error": {"code": "AllocationQuota.FreeTierOnly"}}, "credential_exhausted"),
    (alibaba, 401, {"error": {"code": "invalid_api_key"}}, "credential_refused"),
    (moonshot, 429, {"error": {"type": "exceeded_current_quota_error"}}, "credential_exhausted"),
    (moonshot, 429, {"error": {"type": "engine_overloaded_error"}}, "provider_busy"),
    (moonshot, 429, {"error": {"type": "rate_limit_reached_error"}}, "provider_rate_limit"),
    (moonshot, 400, {"error": {"type": "content_filter", "message": "x"}}, "content_policy"),
    (zhipu, 429, {"error": {"code": "1302"}}, "provider_rate_limit"),
    (zhipu, 429, {"error": {"code": "1113"}}, "credential_exhausted"),
    (zhipu, 400, {"error": {"code": "1261", "message": "long"}}, "refused_by_provider"),
    (groq, 498, {"error": {"message": "capacity"}}, "provider_busy"),
    (openrouter, 402, {"error": {"code": 402, "message": "m"}}, "credential_exhausted"),
    (
        openrouter,
        403,
        {"error": {"code": 403, "message": "m", "metadata": {"reasons": ["hate"]}}},
        "content_policy",
    ),
    (openrouter, 403, {"error": {"code": 403, "message": "m"}}, "credential_refused"),
    (azure, 400, {"error": {"code": "content_filter", "message": "m"}}, "content_policy"),
    (
        azure,
        400,
        {"error": {"innererror": {"code": "ResponsibleAIPolicyViolation"}, "message": "m"}},
        "content_policy",
    ),
    (minimax, 400, {"base_resp": {"status_code": 1008}}, "credential_exhausted"),
    (mistral, 402, {"detail": "m"}, "credential_exhausted"),
]


@pytest.mark.parametrize(("module", "status", "body", "cause"), FAULTS)
def test_causes(module: Any, status: int, body: Any, cause: str) -> None:
    """Each code means what it means, and keeps the host's status."""
    raw = json.dumps(body).encode()
    fault = module.ADAPTER.operations["chat"].fault(status, {"retry-after-ms": "1500"}, raw)
    assert fault.cause == cause
    assert fault.provider.status == status
    if cause == "provider_rate_limit":
        assert fault.retry_after == 1.5
    if cause == "content_policy":
        assert fault.kind.status == 400


@pytest.mark.parametrize("wrapped", [False, True])
def test_mistral_names_the_member_it_refuses(wrapped: bool) -> None:
    """A list of places, plain or inside a message."""
    body: dict[str, Any] = {"detail": [{"loc": ["body", "messages", 0], "msg": "Extra inputs"}]}
    raw = json.dumps({"object": "error", "message": body} if wrapped else body).encode()
    fault = mistral.ADAPTER.operations["chat"].fault(422, {}, raw)
    assert (fault.kind.status, fault.param) == (400, "messages.0")
    assert fault.message == "messages.0: Extra inputs"


@pytest.mark.parametrize(
    "module", [*NORMALISED, azure], ids=lambda module: module.__name__.split(".")[-1]
)
@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{", b"\xff", b'{"error":[]}', b'{"error":{"code":{},"message":7}}',
     b'{"base_resp":7}', b'{"detail":[7]}', b'{"error":' + b"[" * 5000,
     b'{"choices":[{"error":7}]}',
     b'{"error":{"innererror":7,"metadata":[]}}', b'{"base_resp":{"status_code":[]}}'],
)  # fmt: skip
def test_hostile_refusals(module: Any, body: bytes) -> None:
    """No body makes a reading of a fault fail."""
    for operation in module.ADAPTER.operations.values():
        for status in (400, 402, 403, 422, 429, 500):
            assert isinstance(operation.fault(status, {}, body), Fault)
        assert isinstance(operation.fault_in(body), Fault | None)


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


@settings(max_examples=150, deadline=None)
@given(
    thought=st.text(alphabet="ab</think>\n ", max_size=30),
    text=st.text(alphabet="xy<think>/\n", max_size=30),
    cuts=st.lists(st.integers(0, 90), max_size=12),
)
def test_think_tags_split_anywhere(thought: str, text: str, cuts: list[int]) -> None:
    """Tags that span chunks are found; the words on both sides are whole."""
    thought = thought.replace("</think>", "").strip()
    told = f"<think>\n{thought}</think>\n\n{text}"
    at = sorted({min(cut, len(told)) for cut in cuts})
    parts = [told[a:b] for a, b in zip([0, *at], [*at, len(told)], strict=True)]
    raw = b"".join(event({"content": part}) for part in parts) + event({}, "stop")
    whole = played(minimax.ADAPTER, [raw + b"data: [DONE]\n\n"])
    assert message_of(whole[0]) == (text.lstrip("\n"), thought, ["stop"])
    assert whole[2] is True
    assert played(minimax.ADAPTER, [bytes([b]) for b in raw + b"data: [DONE]\n\n"]) == whole


def test_tags_inside_an_answer_are_words() -> None:
    """Only the beginning of an answer may be a thought."""
    raw = event({"content": "Use "}) + event({"content": "<think>x</think>"}, "stop")
    assert message_of(played(minimax.ADAPTER, [raw])[0]) == ("Use <think>x</think>", "", ["stop"])


def test_what_was_held_back_comes_at_the_end() -> None:
    """A stream that ends on what might have been a tag gives it out, in front of its end mark."""
    raw = event({"content": "<thi"}) + b"data: [DONE]\n\n"
    out = played(minimax.ADAPTER, [raw])[0]
    assert message_of(out)[0] == "<thi"
    assert out.count(b'"id":"i"') + out.count(b'"id": "i"') == 2
    assert out.endswith(b"data: [DONE]\n\n")


def test_minimax_details_are_thoughts() -> None:
    """Asked apart, thinking comes as details; they stay beside the text that is made of them."""
    details = [{"type": "reasoning.text", "text": "hm"}]
    raw = event({"content": "", "reasoning_details": details}) + event({"content": "x"}, "stop")
    out = played(minimax.ADAPTER, [raw])[0]
    assert message_of(out) == ("x", "hm", ["stop"])
    assert b'"reasoning_details"' in out


def test_minimax_fails_inside_a_stream() -> None:
    """A chunk with an error code is the end, and its kind is the code's."""
    good = event({"content": "x"}, base_resp={"status_code": 0, "status_msg": ""})
    bad = b'data: {"choices":[],"base_resp":{"status_code":1002,"status_msg":"rate"}}\n\n'
    out, _, complete, fault = played(minimax.ADAPTER, [good, bad, event({"content": "never"})])
    assert (message_of(out)[0], complete, fault) == ("x", False, "provider_rate_limit")


def test_moonshot_tells_usage_in_a_choice() -> None:
    """Usage is found on the last choice, with its cached tokens at the top."""
    adapter = moonshot.ADAPTER
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11, "cached_tokens": 4}
    found = adapter.operations["chat"].usage(json.dumps(usage).encode())
    assert (found.input, found.output, found.cached, found.problem) == (9, 2, 4, "")


def test_groq_usage_beside_the_usual_place() -> None:
    """Usage in `x_groq` alone is found, in whole answers too; the usual place comes first."""
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    choice = {"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}
    said = {"choices": [choice], "x_groq": {"id": "r", "usage": usage}}
    call = Call("chat", "up", "https://h", JsonBody.parse(b"{}"))
    parse = groq.ADAPTER.operations["chat"].parse
    reply = parse(call, 200, {}, json.dumps(said).encode())  # type: ignore[operator]
    assert (reply.usage.input, reply.usage.output) == (9, 2)
    assert json.loads(reply.body)["usage"] == usage
    both = {**said, "usage": {**usage, "prompt_tokens": 8, "total_tokens": 10}}
    raw = json.dumps(both).encode()
    reply = parse(call, 200, {}, raw)  # type: ignore[operator]
    assert (reply.usage.input, reply.body) == (8, raw)


REASONS = [
    (zhipu, "sensitive", "content_filter"),
    (zhipu, "model_context_window_exceeded", "length"),
    (mistral, "model_length", "length"),
    (openrouter, "eos", "stop"),
]


@pytest.mark.parametrize(("module", "theirs", "ours"), REASONS)
def test_reasons(module: Any, theirs: str, ours: str) -> None:
    """A reason that OpenAI lacks is told by one it has, beside its own name."""
    raw = event({}, theirs)
    out = played(module.ADAPTER, [raw + b"data: [DONE]\n\n"])[0]
    assert message_of(out)[2] == [ours]
    assert b'"native_finish_reason":"%s"' % theirs.encode() in out


BROKEN = [
    (zhipu, "network_error"),
    (deepseek, "insufficient_system_resource"),
    (mistral, "error"),
    (openrouter, "error"),
]


@pytest.mark.parametrize(("module", "reason"), BROKEN)
def test_broken_off(module: Any, reason: str) -> None:
    """A reason that is a failure breaks the stream, and fails a whole answer."""
    raw = event({"content": "x"}) + event({}, reason) + b"data: [DONE]\n\n"
    out, _, _, fault = played(module.ADAPTER, [raw])
    assert (message_of(out)[:2], fault) == (("x", ""), "broken_off")
    assert b"[DONE]" not in out
    body = {"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": reason}]}
    call = Call("chat", "up", "https://h", JsonBody.parse(b"{}"))
    with pytest.raises(Fault) as caught:
        module.ADAPTER.operations["chat"].parse(call, 200, {}, json.dumps(body).encode())
    assert caught.value.cause == "broken_off"


def test_openrouter_errors_inside_answers() -> None:
    """Beside choices and inside one; the host behind stays unnamed."""
    error = {"code": 429, "message": "m", "metadata": {"provider_name": "Hidden"}}
    fault_in = openrouter.ADAPTER.operations["chat"].fault_in
    for body in ({"error": error, "choices": [{"delta": {}}]}, {"choices": [{"error": error}]}):
        fault = fault_in(json.dumps(body).encode())
        assert fault is not None
        assert fault.cause == "provider_rate_limit"
        assert "Hidden" not in fault.message
    assert fault_in(b'{"choices":[{"message":{"content":"\\"error\\": {}"}}]}') is None


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
