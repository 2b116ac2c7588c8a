"""DeepSeek: OpenAI's wire, with thinking that must be shown again in turns that call tools."""

from __future__ import annotations

from gateway.sdk import Call, JsonBody, Quirks, Spelling, compatible, normalise
from gateway.sdk.talk import Losses
from providers_plugins.causes import EXHAUSTED, INVALID, by_code

# Aliases whose mode is fixed: what a client says about thinking is not heard there.
_NEVER_THINKS = ("deepseek-chat",)


def thinking(call: Call, body: JsonBody, losses: Losses) -> JsonBody:
    """Thinking is a switch beside the effort; forced tools and thinking exclude each other."""
    wish = normalise.wish(body)
    changes: dict[str, bytes | None] = {}
    if "reasoning" in body:
        changes["reasoning"] = None
    if wish.budget is not None:
        losses.lose("reasoning.max_tokens" if "reasoning" in body else "thinking.budget_tokens")
    if wish.on is not None and "thinking" not in body:
        changes["thinking"] = b'{"type":"enabled"}' if wish.on else b'{"type":"disabled"}'
    if wish.on is False:
        changes["reasoning_effort"] = None
    elif wish.effort:
        changes["reasoning_effort"] = _effort(wish.effort)
    body = body.replace(changes)
    forced = body.value("tool_choice") not in (None, "auto", "none")
    if wish.on and forced and call.upstream not in _NEVER_THINKS:
        losses.lose("tool_choice")
        body = body.replace({"tool_choice": None})
    return body


def _effort(effort: str) -> bytes:
    return normalise.encoded("low" if effort == "minimal" else effort)


def thoughts(call: Call, body: JsonBody, losses: Losses) -> JsonBody:
    """A thinking model refuses turns with tool calls that do not show a thought."""
    if normalise.wish(body).on is False or call.upstream in _NEVER_THINKS:
        return body
    if call.options.get("thoughts_in_history") == "no":
        return body  # an old model that refuses them
    return normalise.thoughts_with_tools(call, body, losses)


ADAPTER = compatible(
    "deepseek",
    quirks=Quirks(
        rename={"max_completion_tokens": "max_tokens"},
        roles={"developer": "system"},
        steps=(
            normalise.tools_only,
            normalise.flat_text,
            normalise.one_choice,
            normalise.without("seed", "logit_bias"),
            normalise.json_object_only,
            normalise.stops(16),
            thinking,
            thoughts,
        ),
    ),
    operations=("chat",),
    fault=by_code({"402": EXHAUSTED, "422": INVALID}),
    spelling=Spelling(broken=frozenset({"insufficient_system_resource"})),
)
