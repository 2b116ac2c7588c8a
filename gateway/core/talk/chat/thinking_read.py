"""How much a chat client wants the model to think, in the forms that clients use."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.core.talk.chat.names import count_in, text_in
from gateway.core.talk.model import Losses, Talk
from gateway.errors import invalid

_MODES: Final = {"enabled": "on", "disabled": "off", "adaptive": "adaptive"}


def read_reasoning(talk: Talk, raw: bytes, losses: Losses) -> None:
    """`reasoning: {effort, max_tokens, enabled, exclude, summary}`."""
    found = _members("reasoning", raw)
    talk.effort = talk.effort or text_in(found.get("effort"))
    talk.summary = text_in(found.get("summary"))
    _budget(talk, found.get("max_tokens"), "reasoning.max_tokens")
    if found.get("enabled") is True and not talk.thinking:
        talk.thinking = "on"
    elif found.get("enabled") is False:
        talk.thinking = "off"
    if found.get("exclude") is True:
        losses.lose("reasoning.exclude")
    _rest("reasoning", found, {"effort", "summary", "max_tokens", "enabled", "exclude"}, losses)


def read_thinking(talk: Talk, raw: bytes, losses: Losses) -> None:
    """`thinking: {type, budget_tokens}`."""
    found = _members("thinking", raw)
    mode = found.get("type")
    if isinstance(mode, str) and mode in _MODES:
        talk.thinking = _MODES[mode]
    elif mode is not None:
        losses.lose("thinking.type")
    _budget(talk, found.get("budget_tokens"), "thinking.budget_tokens")
    _rest("thinking", found, {"type", "budget_tokens"}, losses)


def _members(name: str, raw: bytes) -> dict[str, Any]:
    found = msgspec.json.decode(raw)
    if not isinstance(found, dict):
        raise invalid(f"'{name}' must be an object.", name)
    return found


def _budget(talk: Talk, value: object, name: str) -> None:
    if value is None:
        return
    budget = count_in(value)
    if budget is None:
        raise invalid(f"'{name}' must be a count of tokens.", name)
    talk.budget = budget
    talk.thinking = talk.thinking or "on"


def _rest(name: str, found: dict[str, Any], known: set[str], losses: Losses) -> None:
    for member, value in found.items():
        if member not in known and value is not None:
            losses.lose(f"{name}.{member}")
