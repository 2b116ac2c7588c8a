"""Zhipu GLM (BigModel and Z.ai): near OpenAI's wire; a business code tells why a call failed."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.sdk import Call, JsonBody, Quirks, Spelling, compatible, normalise
from gateway.sdk.talk import Losses
from providers_plugins.causes import (
    EXHAUSTED,
    FAILED,
    INVALID,
    POLICY,
    RATE,
    REFUSED,
    by_code,
    inside_by_code,
)

# The same status 429 stands for a full queue, a spent plan and an unpaid bill.
_CAUSES: Mapping[str, str] = {
    **dict.fromkeys(("1000", "1001", "1002", "1003", "1004"), REFUSED),
    **dict.fromkeys(("1110", "1111", "1112", "1121", "1220", "1313"), REFUSED),
    **dict.fromkeys(("1113", "1304", "1308", "1309", "1310", "1311"), EXHAUSTED),
    **dict.fromkeys(("1120", "1230", "1234"), FAILED),
    **dict.fromkeys(("1210", "1213", "1214", "1215", "1261"), INVALID),
    **dict.fromkeys(("1300", "1301"), POLICY),
    **dict.fromkeys(("1302", "1303", "1305", "1312"), RATE),
}


def thinking(call: Call, body: JsonBody, losses: Losses) -> JsonBody:
    """Thinking is on or off; newer models hear an effort beside it."""
    del call
    wish = normalise.wish(body)
    changes: dict[str, bytes | None] = {}
    if "reasoning" in body:
        changes["reasoning"] = None
    if wish.on is not None:
        changes["thinking"] = _switch(body, wish.on)
    if wish.budget is not None:
        losses.lose("reasoning.max_tokens" if "reasoning" in body else "thinking.budget_tokens")
    if wish.on is False:
        changes["reasoning_effort"] = None
    elif wish.effort:
        changes["reasoning_effort"] = normalise.encoded(wish.effort)
    return body.replace(changes)


def _switch(body: JsonBody, on: bool) -> bytes:
    kind = normalise.encoded("enabled" if on else "disabled")
    given = body.value("thinking")
    if not isinstance(given, dict):
        return b'{"type":' + kind + b"}"
    kept = {name: value for name, value in given.items() if name not in ("type", "budget_tokens")}
    if kept.keys() == given.keys() - {"type"} and given.get("type") in ("enabled", "disabled"):
        return body.get("thinking") or b""
    return normalise.encoded({"type": "enabled" if on else "disabled", **kept})


def tool_stream(call: Call, body: JsonBody, losses: Losses) -> JsonBody:
    """Without being asked, this host sends the arguments of a tool in one piece."""
    del losses
    if not call.stream or "tools" not in body or "tool_stream" in body:
        return body
    return body.replace({"tool_stream": b"true"})


fault = by_code(_CAUSES)
fault_in = inside_by_code(_CAUSES)

CHAT = compatible(
    "zhipu",
    quirks=Quirks(
        rename={"max_completion_tokens": "max_tokens", "user": "user_id"},
        clamp={"temperature": (0.0, 1.0), "top_p": (0.01, 1.0)},
        roles={"developer": "system"},
        headers=(("Accept-Language", "en-US,en"),),
        steps=(
            normalise.tools_only,
            normalise.some_tools,
            normalise.one_choice,
            normalise.without(
                "logit_bias",
                "logprobs",
                "top_logprobs",
                "frequency_penalty",
                "presence_penalty",
                "parallel_tool_calls",
            ),
            normalise.json_object_only,
            normalise.stops(1),
            thinking,
            tool_stream,
        ),
    ),
    operations=("chat",),
    fault_in=fault_in,
    fault=fault,
    spelling=Spelling(
        finish={"sensitive": "content_filter", "model_context_window_exceeded": "length"},
        broken=frozenset({"network_error"}),
    ),
)
