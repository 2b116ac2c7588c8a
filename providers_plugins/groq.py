"""Groq: OpenAI's wire, with what was thought under another name."""

from __future__ import annotations

from msgspec import structs

from gateway.sdk import (
    Call,
    Fault,
    JsonBody,
    Quirks,
    Spelling,
    compatible,
    fault_in_body,
    hearing,
    normalise,
)
from gateway.sdk.talk import Losses
from providers_plugins.causes import BUSY, EXHAUSTED, by_code

# The model's failure to call a tool, and a model that is no more: neither is the client's fault.
_TOOL = "tool_use_failed"
_CAUSES = {
    _TOOL: _TOOL,
    "model_decommissioned": "model_gone",
    "498": BUSY,
    "402": EXHAUSTED,
}


def fault_in(body: bytes) -> Fault | None:
    """An error event in a stream; of a failed tool call it says so."""
    found = fault_in_body(body)
    if found is not None and found.provider is not None and found.provider.code == _TOOL:
        return Fault(found.kind, found.message, cause=_TOOL, provider=found.provider)
    return found


fault = by_code(_CAUSES)


def thinking(call: Call, body: JsonBody, losses: Losses) -> JsonBody:
    """Each family of models has its own words for how much to think."""
    wish = normalise.wish(body)
    asked = normalise.asked(body)
    if not asked:
        return body
    changes: dict[str, bytes | None] = dict.fromkeys(asked)
    if wish.budget is not None:
        losses.lose("reasoning.max_tokens" if "reasoning" in body else "thinking.budget_tokens")
    level = _level(call.upstream, wish)
    if wish.on is None:
        losses.lose(asked[0])
    if level:
        changes["reasoning_effort"] = normalise.encoded(level)
    if level != wish.effort and wish.effort:
        losses.lose(asked[0])
    if "qwen" in call.upstream and wish.on and "reasoning_format" not in body:
        changes["reasoning_format"] = b'"parsed"'  # or it would stand in the text
    return body.replace(changes)


def _level(upstream: str, wish: normalise.Wish) -> str:
    if "qwen" in upstream:
        return "" if wish.on is None else "default" if wish.on else "none"
    known = {"none": "low", "minimal": "low", "xhigh": "high", "max": "high"}
    if "gpt-oss" in upstream:
        return known.get(wish.effort, wish.effort) or ("low" if wish.on is False else "")
    return wish.effort


# What this host's form does not know; it answers in one piece.
_UNHEARD = frozenset({
    "chunking_strategy", "include", "known_speaker_names", "known_speaker_references", "stream",
})  # fmt: skip

CHAT = compatible(
    "groq",
    quirks=Quirks(
        roles={"developer": "system"},
        steps=(
            normalise.tools_only,
            normalise.one_choice,
            normalise.without("logit_bias", "logprobs", "top_logprobs"),
            normalise.renamed_in_messages("reasoning_content", "reasoning"),
            thinking,
        ),
    ),
    operations=("chat", "speech"),
    fault_in=fault_in,
    fault=fault,
    spelling=Spelling(thoughts=("reasoning",), usage_in="x_groq"),
)

ADAPTER = structs.replace(
    CHAT,
    operations={
        **CHAT.operations,
        **{
            name: hearing.heard(path, drop=_UNHEARD, fault_in=fault_in, fault=fault)
            for name, path in hearing.PATHS.items()
        },
    },
)
