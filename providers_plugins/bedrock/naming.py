"""The names by which clients of each dialect know what they said, for what gets lost."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.sdk.talk import Losses, Talk

_NAMES: Mapping[str, Mapping[str, str]] = {
    "chat": {
        "max_tokens": "max_completion_tokens",
        "effort": "reasoning_effort",
        "thinking": "reasoning_effort",
        "format": "response_format",
        "parallel": "parallel_tool_calls",
        "reasoning": "messages[].reasoning_content",
        "cache_key": "prompt_cache_key",
    },
    "responses": {
        "max_tokens": "max_output_tokens",
        "effort": "reasoning.effort",
        "thinking": "reasoning.effort",
        "summary": "reasoning.summary",
        "format": "text.format",
        "verbosity": "text.verbosity",
        "parallel": "parallel_tool_calls",
        "reasoning": "input[].reasoning",
        "cache_key": "prompt_cache_key",
    },
    "messages": {
        "stop": "stop_sequences",
        "effort": "output_config.effort",
        "budget": "thinking.budget_tokens",
        "summary": "thinking.display",
        "format": "output_config.format",
        "parallel": "tool_choice.disable_parallel_tool_use",
        "reasoning": "messages[].content[].thinking",
        "user": "metadata.user_id",
    },
}
_LISTS = {"responses": "input[]"}


class Naming:
    """Notes losses under the names that the client used."""

    def __init__(self, talk: Talk, losses: Losses) -> None:
        self._names = _NAMES.get(talk.dialect, {})
        self._content = f"{_LISTS.get(talk.dialect, 'messages[]')}.content[]"
        self._turn = _LISTS.get(talk.dialect, "messages[]")
        self._losses = losses

    def lose(self, field: str) -> None:
        """A field of the request, by its name in `Talk` or its own."""
        self._losses.lose(self._names.get(field, field))

    def lose_part(self, what: str) -> None:
        """Something within a message's content."""
        self._losses.lose(f"{self._content}.{what}")

    def lose_turn(self, what: str) -> None:
        """Something of a message itself."""
        self._losses.lose(f"{self._turn}.{what}")
