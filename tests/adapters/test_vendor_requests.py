"""What each vendor is sent, and what is named as lost, where no recording shows it.

MiniMax and Moonshot were never recorded: their bodies here are fakes written after the fact sheet.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.domain import Credential
from gateway.sdk import Call, JsonBody
from providers_plugins import alibaba, azure, deepseek, groq, minimax, mistral, moonshot, zhipu
from tests.adapters.vendors import KEY, NORMALISED, USER, wrote

SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}


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
