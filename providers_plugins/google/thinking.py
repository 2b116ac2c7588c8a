"""How much a model shall think, in the terms of its generation."""

from __future__ import annotations

from typing import Any

from gateway.sdk.talk import Losses, Talk
from providers_plugins.google.home import generation

_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
_LEVELS = {
    "none": "MINIMAL",
    "minimal": "MINIMAL",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "xhigh": "HIGH",
    "max": "HIGH",
}
_SILENT = ("none", "omitted")
_FLASH_MOST = 24_576
_PRO_MOST = 32_768
_DYNAMIC = -1


def thinking_config(talk: Talk, losses: Losses) -> dict[str, Any]:
    """The `thinkingConfig`; empty when the client said nothing about it."""
    asked = talk.effort or talk.thinking or talk.budget is not None
    if not asked and not talk.summary:
        return {}
    if generation(talk.model) < (2, 5) or "-image" in talk.model or "-tts" in talk.model:
        if asked and not _off(talk):
            _lose(talk, losses)
        return {}
    config: dict[str, Any] = {}
    if not _off(talk) and talk.summary not in _SILENT:
        config["includeThoughts"] = True
    if asked:
        level = generation(talk.model) >= (3, 0)
        config |= _level(talk, losses) if level else _budget(talk, losses)
    return config


def _off(talk: Talk) -> bool:
    return talk.thinking == "off" or talk.effort == "none" or talk.budget == 0


def _lose(talk: Talk, losses: Losses) -> None:
    losses.lose("thinking" if talk.thinking or talk.budget is not None else "reasoning_effort")


def _level(talk: Talk, losses: Losses) -> dict[str, Any]:
    """Later models can't be kept from thinking, and the large ones have no lowest level."""
    if _off(talk):
        _lose(talk, losses)
        level = "MINIMAL"
    elif talk.effort:
        level = _LEVELS.get(talk.effort, "HIGH")
    elif talk.budget is not None:
        losses.lose("budget_tokens")
        level = _level_of(talk.budget)
    else:
        return {}
    if "pro" in talk.model and level == "MINIMAL":
        level = "LOW"
    if "pro" in talk.model and level == "MEDIUM" and generation(talk.model) == (3, 0):
        level = "HIGH"
    return {"thinkingLevel": level}


def _level_of(budget: int) -> str:
    if budget <= 4096:
        return "LOW"
    return "MEDIUM" if budget <= 12_288 else "HIGH"


def _budget(talk: Talk, losses: Losses) -> dict[str, Any]:
    pro = "pro" in talk.model
    most = _PRO_MOST if pro else _FLASH_MOST
    if _off(talk):
        if not pro:
            return {"thinkingBudget": 0}
        _lose(talk, losses)
        return {"thinkingBudget": 128}
    if talk.budget is not None:
        return {"thinkingBudget": _within(talk.budget, most, talk.model, losses)}
    if talk.effort:
        return {"thinkingBudget": _BUDGETS.get(talk.effort, most)}
    return {"thinkingBudget": _DYNAMIC}


def _within(budget: int, most: int, model: str, losses: Losses) -> int:
    least = 128 if "pro" in model else 512 if "lite" in model else 1
    kept = min(max(budget, least), most)
    if kept != budget:
        losses.lose("budget_tokens")
    return kept
