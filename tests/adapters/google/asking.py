"""Credentials, and short ways to ask this provider, that the tests of requests share."""

from __future__ import annotations

import json
from typing import Any

from gateway.core.body import JsonBody
from gateway.domain import Credential
from gateway.sdk import Adapter, Call, UpstreamRequest
from gateway.sdk.talk import Losses, Message, Talk, Text
from providers_plugins.google import GOOGLE

BASE = "https://generativelanguage.googleapis.com/v1beta"
CLOUD = "https://aiplatform.googleapis.com/v1"
KEY = Credential("c", {"api_key": "AIzaCanary"})
LOGGED_IN = Credential("c", {"access_token": "ya29.canary", "project": "p-1"})
UNSIGNED = "skip_thought_signature_validator"


def sent(
    talk: Talk, adapter: Adapter = GOOGLE, credential: Credential = KEY, **call: Any
) -> tuple[UpstreamRequest, tuple[str, ...]]:
    losses = Losses()
    given = Call(
        "chat",
        talk.model,
        call.pop("base_url", BASE if adapter is GOOGLE else CLOUD),
        JsonBody.parse(b"{}"),
        stream=talk.stream,
        **call,
    )
    assert adapter.wire is not None
    return adapter.wire.build(given, credential, talk, losses), losses.names


def talk(*messages: Message, model: str = "gemini-2.5-flash", **more: Any) -> Talk:
    said = list(messages) or [Message("user", [Text("hi")])]
    return Talk("chat", model=model, messages=said, **more)


def written(given: Talk, adapter: Adapter = GOOGLE, **call: Any) -> tuple[Any, tuple[str, ...]]:
    credential = KEY if adapter is GOOGLE else LOGGED_IN
    request, lost = sent(given, adapter, credential, **call)
    return json.loads(request.body), lost
