"""Moonshot Kimi: its thinking models fix their sampling and want their thoughts back."""

from __future__ import annotations

import re

from gateway.sdk import Call, JsonBody, Quirks, compatible, normalise
from gateway.sdk.talk import Losses
from providers_plugins.causes import BUSY, EXHAUSTED, POLICY, RATE, by_code, inside_by_code

_THINKS = re.compile(r"kimi-(?:k2\.[5-9]|k2-thinking|k[3-9])")
_HEARS_EFFORT = re.compile(r"kimi-k[3-9]")
_EFFORTS = {
    "minimal": "low", "low": "low", "medium": "high", "high": "high", "xhigh": "max", "max": "max",
}  # fmt: skip
_CAUSES = {
    "content_filter": POLICY,
    "exceeded_current_quota_error": EXHAUSTED,
    "rate_limit_reached_error": RATE,
    "engine_overloaded_error": BUSY,
}


def thinking(call: Call, body: JsonBody, losses: Losses) -> JsonBody:
    """Off by a switch; an effort where the model hears one, else the switch alone."""
    wish = normalise.wish(body)
    if wish.on is None:
        return body
    changes: dict[str, bytes | None] = {"reasoning": None} if "reasoning" in body else {}
    hears = _HEARS_EFFORT.search(call.upstream) is not None
    if wish.on and wish.effort and hears:
        changes["reasoning_effort"] = normalise.encoded(_EFFORTS.get(wish.effort, wish.effort))
        return body.replace(changes)
    if "reasoning_effort" in body:
        changes["reasoning_effort"] = None
    if wish.on and wish.effort:
        losses.lose("reasoning_effort")
    if "thinking" not in body:
        switch: dict[str, object] = {"type": "enabled" if wish.on else "disabled"}
        if wish.on and wish.budget:
            switch["budget_tokens"] = wish.budget
        changes["thinking"] = normalise.encoded(switch)
    return body.replace(changes)


def models_that_think(call: Call, body: JsonBody, losses: Losses) -> JsonBody:
    """They refuse any temperature but their own, and turns with tool calls and no thought."""
    if _THINKS.search(call.upstream) is None:
        return body
    body = normalise.without("temperature", "top_p")(call, body, losses)
    return normalise.thoughts_with_tools(call, body, losses)


ADAPTER = compatible(
    "moonshot",
    quirks=Quirks(
        rename={"max_completion_tokens": "max_tokens"},
        clamp={"temperature": (0.0, 1.0)},
        roles={"developer": "system"},
        steps=(
            normalise.tools_only_named,
            normalise.flat_text,
            normalise.without("seed", "logprobs", "top_logprobs", "logit_bias"),
            thinking,
            models_that_think,
        ),
    ),
    operations=("chat",),
    fault_in=inside_by_code(_CAUSES),
    fault=by_code(_CAUSES),
)
