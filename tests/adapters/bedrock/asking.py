"""Conversations to be written, and the vendor's own judgement of what is."""

from __future__ import annotations

import json
from typing import Any

import botocore.session
from botocore.validate import ParamValidator

from gateway.sdk.talk import Losses, Message, Talk, Text, Tool
from providers_plugins.bedrock import WIRE
from tests.adapters.bedrock.calls import CLAUDE, KEY, call

OLDER, NEWEST = CLAUDE, "global.anthropic.claude-opus-4-7"
SIX = "us.anthropic.claude-sonnet-4-6"
NOVA, NOVA2 = "amazon.nova-lite-v1:0", "us.amazon.nova-2-lite-v1:0"
GPT, LLAMA = "openai.gpt-oss-120b-1:0", "meta.llama3-2-1b-instruct-v1:0"
MISTRAL = "mistral.mistral-large-2402-v1:0"
SHAPES = botocore.session.Session().get_service_model("bedrock-runtime")
HELLO = [Message("user", [Text("hello")])]
TOOL = Tool("f", "does f", b'{"type":"object","properties":{"b":{},"a":{}}}')


def said(talk: Talk, upstream: str = CLAUDE, **more: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The request's JSON, found good by the vendor's own validator, and the losses."""
    losses = Losses()
    talk.messages = talk.messages or list(HELLO)
    request = WIRE.build(call(upstream, **more), KEY, talk, losses)
    body: dict[str, Any] = json.loads(request.body)
    shape = SHAPES.operation_model("Converse").input_shape
    report = ParamValidator().validate({"modelId": upstream, **body}, shape)
    assert not report.has_errors(), report.generate_report()
    return body, losses.names


def turn(*parts: Any, role: Any = "user") -> Message:
    return Message(role, list(parts))
