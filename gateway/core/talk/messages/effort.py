"""How much a model is to think: the other dialects' efforts, in this wire's words."""

from __future__ import annotations

from typing import Any, Final

from gateway.core.talk.messages.traits import Traits
from gateway.core.talk.messages.wire import DIALECT
from gateway.core.talk.model import Losses, Talk, Thinking, ToolResult, ToolUse

_KINDS: Final = {"on": "enabled", "adaptive": "adaptive", "off": "disabled"}
_SHARES: Final = {"minimal": 2, "low": 10, "medium": 30, "high": 60, "xhigh": 90, "max": 90}
_LEAST: Final = 1_024
_DEFAULT_EFFORT: Final = "medium"
Body = dict[str, Any]


def add_thinking(body: Body, talk: Talk, traits: Traits, losses: Losses) -> bool:
    """Write what the client wants of thinking; true when the model is told to think."""
    if talk.dialect == DIALECT:
        _as_said(body, talk)
        return talk.thinking in ("on", "adaptive")
    name = "reasoning.effort" if talk.dialect == "responses" else "reasoning_effort"
    if talk.thinking == "off" or talk.effort == "none":
        if traits.thinks != "never":
            body["thinking"] = {"type": "disabled"}
        return False
    if not talk.effort and not talk.thinking and talk.budget is None:
        return False
    if traits.thinks == "adaptive":
        _adaptive(body, talk, traits, losses)
        return True
    too_short = talk.max_tokens is not None and talk.max_tokens <= _LEAST
    if traits.thinks == "never" or too_short or _mid_call_unsigned(talk):
        losses.lose(name)
        return False
    _with_budget(body, talk, traits, losses)
    return True


def _as_said(body: Body, talk: Talk) -> None:
    """The client's own words, as they were."""
    if talk.thinking:
        written: Body = {"type": _KINDS[talk.thinking]}
        if talk.budget is not None:
            written["budget_tokens"] = talk.budget
        if talk.summary:
            written["display"] = talk.summary
        body["thinking"] = written
    if talk.effort:
        body.setdefault("output_config", {})["effort"] = talk.effort


def _adaptive(body: Body, talk: Talk, traits: Traits, losses: Losses) -> None:
    body["thinking"] = {"type": "adaptive", "display": "summarized"}
    if talk.budget is not None:
        losses.lose("thinking.budget_tokens")
    effort = {"minimal": "low", "xhigh": "xhigh" if traits.xhigh else "max"}.get(
        talk.effort, talk.effort
    )
    if effort:
        body.setdefault("output_config", {})["effort"] = effort


def _with_budget(body: Body, talk: Talk, traits: Traits, losses: Losses) -> None:
    """A share of what the answer may be long; the answer's ceiling then holds both.

    What a client asks for as its ceiling holds its thinking too, as in its own dialect. It is
    never raised: money was set aside for so much, and no more.
    """
    share = _SHARES.get(talk.effort or _DEFAULT_EFFORT, _SHARES[_DEFAULT_EFFORT])
    if talk.max_tokens is None:
        budget = talk.budget or max(_LEAST, traits.max_output * share // 100)
        budget = min(budget, traits.max_output - _LEAST)
        body["max_tokens"] = min(budget + int(body["max_tokens"]), traits.max_output)
    else:
        budget = max(_LEAST, talk.budget or talk.max_tokens * share // 100)
        if budget >= talk.max_tokens:
            budget = max(_LEAST, talk.max_tokens * _SHARES["max"] // 100)
            losses.lose("thinking.budget_tokens")
    body["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _mid_call_unsigned(talk: Talk) -> bool:
    """True where the model waits for its tools, and what it thought before is not there."""
    messages = talk.messages
    if not messages or not any(isinstance(part, ToolResult) for part in messages[-1].parts):
        return False
    for message in reversed(messages[:-1]):
        if message.role == "assistant":
            called = any(isinstance(part, ToolUse) for part in message.parts)
            signed = any(isinstance(p, Thinking) and p.family == DIALECT for p in message.parts)
            return called and not signed
    return False
