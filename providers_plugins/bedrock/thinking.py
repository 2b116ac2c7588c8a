"""How much a model is told to think, in each family's own words."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from gateway.sdk.talk import Talk, Thinking, ToolUse
from providers_plugins.bedrock.models import Traits
from providers_plugins.bedrock.naming import Naming

_SHARES = {"minimal": 0.02, "low": 0.1, "medium": 0.3, "high": 0.6, "xhigh": 0.9, "max": 0.9}
_LEAST_BUDGET = 1024
_THREE = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high",
          "max": "high"}  # fmt: skip
_HIDDEN = ("omitted", "none")
_LENGTHS = ("concise", "detailed")


class Thought(Struct):
    """What is said of thinking: the model's own fields, and what they do to the others."""

    fields: dict[str, Any] = field(default_factory=dict)
    on: bool = False
    budget: int = 0
    strained: bool = False  # the length and the sampling must be left to the model


def thought(talk: Talk, traits: Traits, naming: Naming) -> Thought:
    """Write `effort`, `thinking`, `budget` and `summary` for this model."""
    if not (talk.effort or talk.thinking or talk.budget):
        return Thought()
    if talk.summary in (_LENGTHS if traits.claude else _HIDDEN + _LENGTHS):
        naming.lose("summary")
    if traits.thinks == "effort":
        return _by_effort(talk, naming)
    if traits.thinks == "config":
        return _by_config(talk, naming)
    if traits.thinks in ("adaptive", "budget"):
        return _claude(talk, traits, naming)
    if talk.effort not in ("", "none") or talk.thinking in ("on", "adaptive"):
        _lose_all(talk, naming)
    return Thought()


def _by_effort(talk: Talk, naming: Naming) -> Thought:
    effort = _THREE.get(talk.effort)
    if talk.thinking == "off" or (talk.effort and effort is None):
        naming.lose("effort" if talk.effort else "thinking")
        return Thought()
    if talk.budget is not None:
        naming.lose("budget")
    if talk.effort and effort != talk.effort:
        naming.lose("effort")
    return Thought({"reasoning_effort": effort} if effort else {}, on=True)


def _by_config(talk: Talk, naming: Naming) -> Thought:
    if talk.thinking == "off" or talk.effort == "none":
        return Thought({"reasoningConfig": {"type": "disabled"}})
    if talk.budget is not None:
        naming.lose("budget")
    effort = _THREE.get(talk.effort, "medium")
    if effort == "high" and talk.max_tokens is not None:
        effort = "medium"  # high effort takes no ceiling, and what is set aside is for the ceiling
    if talk.effort and effort != talk.effort:
        naming.lose("effort")
    config = {"type": "enabled", "maxReasoningEffort": effort}
    return Thought({"reasoningConfig": config}, on=True, strained=effort == "high")


def _claude(talk: Talk, traits: Traits, naming: Naming) -> Thought:
    spoken = talk.dialect == "messages"  # such clients say whether it thinks, beside how hard
    wanted = talk.thinking or ("" if spoken or not talk.effort else "adaptive")
    if talk.effort == "none":
        wanted = "off"
    if wanted in ("on", "adaptive") and not spoken and _may_not(talk):
        naming.lose("effort")
        return Thought()
    if traits.thinks == "budget":
        return _with_budget(talk, traits, wanted, naming)
    return _adaptive(talk, traits, wanted, naming)


def _may_not(talk: Talk) -> bool:
    """A tool that must be called, or was called without the signed thoughts, forbids thinking."""
    if talk.choice is not None and talk.choice.mode in ("any", "tool"):
        return True
    for message in reversed(talk.messages):
        if message.role == "assistant":
            called = any(isinstance(part, ToolUse) for part in message.parts)
            return called and not any(
                isinstance(part, Thinking)
                and part.family == "messages"
                and (part.signature or part.data)
                for part in message.parts
            )
    return False


def _adaptive(talk: Talk, traits: Traits, wanted: str, naming: Naming) -> Thought:
    fields: dict[str, Any] = {}
    on = wanted in ("on", "adaptive")
    if wanted == "on" and talk.budget and not traits.newest:
        fields["thinking"] = {"type": "enabled", "budget_tokens": talk.budget}
    elif on:
        if talk.budget:
            naming.lose("budget")
        fields["thinking"] = {"type": "adaptive"}
    elif wanted == "off":
        fields["thinking"] = {"type": "disabled"}
    if on:
        # Other clients than those expect to see it unless they say no.
        shown = {} if talk.dialect == "messages" else {"display": "summarized"}
        fields["thinking"] |= shown | _display(talk)
    effort = talk.effort
    if effort and effort != "none":
        said = {"minimal": "low"}.get(effort, effort)
        said = "max" if said == "xhigh" and not traits.newest else said
        if said != effort:
            naming.lose("effort")
        fields["output_config"] = {"effort": said}
    return Thought(fields, on=on, budget=fields.get("thinking", {}).get("budget_tokens", 0))


def _with_budget(talk: Talk, traits: Traits, wanted: str, naming: Naming) -> Thought:
    if wanted not in ("on", "adaptive"):
        if talk.effort not in ("", "none"):
            naming.lose("effort")
        return Thought({"thinking": {"type": "disabled"}} if wanted == "off" else {})
    budget = talk.budget
    if budget is None:
        share = _SHARES.get(talk.effort, _SHARES["medium"])
        budget = max(_LEAST_BUDGET, int(share * (talk.max_tokens or traits.max_output)))
    elif talk.effort:
        naming.lose("effort")
    if talk.budget is None and talk.max_tokens is not None and budget >= talk.max_tokens:
        naming.lose("effort" if talk.effort else "thinking")
        return Thought()
    if talk.thinking == "adaptive":
        naming.lose("thinking")  # it will not choose for itself
    said = {"type": "enabled", "budget_tokens": budget, **_display(talk)}
    return Thought({"thinking": said}, on=True, budget=budget)


def _display(talk: Talk) -> dict[str, str]:
    """Whether what is thought is shown, for clients that say so in these words."""
    if not talk.summary or talk.dialect != "messages":
        return {}
    return {"display": "omitted" if talk.summary in _HIDDEN else "summarized"}


def _lose_all(talk: Talk, naming: Naming) -> None:
    for name, said in (
        ("effort", talk.effort), ("thinking", talk.thinking), ("budget", talk.budget)
    ):  # fmt: skip
        if said:
            naming.lose(name)
