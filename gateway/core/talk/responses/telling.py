"""Writes the input of a request: a talk's turns as items."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Raw

from gateway.core.talk.model import (
    Foreign,
    Losses,
    Media,
    Message,
    Part,
    Refusal,
    Talk,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)
from gateway.core.talk.responses.parts import FAMILY
from gateway.core.talk.responses.wire import DIALECT

_THOUGHTS: Final = {"chat": "messages.reasoning_content", "messages": "messages.content.thinking"}


def input_items(talk: Talk, losses: Losses) -> list[Any]:
    """Every turn, in its order."""
    items: list[Any] = []
    for message in talk.messages:
        _Turn(talk, message, losses).write(items)
    return items


class _Turn:
    """One message: what is said in a row is one item, anything else an item of its own."""

    def __init__(self, talk: Talk, message: Message, losses: Losses) -> None:
        self._message = message
        self._losses = losses
        self._where = "input" if talk.dialect == DIALECT else "messages"
        self._thought = _THOUGHTS.get(talk.dialect, "input.reasoning")
        self._said: list[dict[str, Any]] = []

    def write(self, items: list[Any]) -> None:
        """Add the turn's items."""
        if self._message.name:
            self._losses.lose(f"{self._where}.name")
        for part in self._message.parts:
            if getattr(part, "cache", ""):
                self._losses.lose("cache_control")
            if isinstance(part, Text | Refusal | Media):
                self._say(part)
                continue
            self._end_words(items)
            item = self._item(part)
            if item is not None:
                items.append(item)
        self._end_words(items)

    def _end_words(self, items: list[Any]) -> None:
        if self._said:
            items.append({"type": "message", "role": self._message.role, "content": self._said})
            self._said = []

    def _say(self, part: Text | Refusal | Media) -> None:
        if isinstance(part, Media):
            said = None if self._message.role == "assistant" else media(part)
            if said is None:
                self._losses.lose(f"{self._where}.content.{part.kind}")
            else:
                self._said.append(said)
                self._lose_of(part)
        elif isinstance(part, Refusal):
            self._said.append({"type": "refusal", "refusal": part.text})
        elif self._message.role == "assistant":
            self._said.append({"type": "output_text", "text": part.text, "annotations": []})
            if part.citations:
                self._losses.lose(f"{self._where}.content.citations")
        else:
            self._said.append({"type": "input_text", "text": part.text})

    def _lose_of(self, part: Media) -> None:
        if part.context:
            self._losses.lose(f"{self._where}.content.context")
        if part.cite:
            self._losses.lose(f"{self._where}.content.citations")

    def _item(self, part: Part) -> Any:
        if isinstance(part, ToolUse):
            return self._call(part)
        if isinstance(part, ToolResult):
            return self._result(part)
        if isinstance(part, Thinking):
            return self._thinking(part)
        if isinstance(part, Foreign) and part.dialect == DIALECT:
            return Raw(part.raw)
        kind = part.kind if isinstance(part, Foreign) else ""
        self._losses.lose(f"{self._where}.content.{kind}")
        return None

    def _call(self, part: ToolUse) -> dict[str, Any]:
        if part.signature and part.family != FAMILY:
            self._losses.lose(f"{self._where}.tool_calls.signature")
        said = {"call_id": part.id, "name": part.name}
        if part.custom:
            return {"type": "custom_tool_call", **said, "input": part.arguments}
        return {"type": "function_call", **said, "arguments": part.arguments or "{}"}

    def _result(self, part: ToolResult) -> dict[str, Any]:
        if part.error:
            self._losses.lose(f"{self._where}.content.is_error")
        kind = "custom_tool_call_output" if part.custom else "function_call_output"
        return {"type": kind, "call_id": part.id, "output": self._output(part)}

    def _output(self, part: ToolResult) -> str | list[dict[str, Any]]:
        if not part.parts:
            return ""
        if len(part.parts) == 1 and isinstance(part.parts[0], Text):
            return part.parts[0].text
        said: list[dict[str, Any]] = []
        for one in part.parts:
            if isinstance(one, Text):
                said.append({"type": "input_text", "text": one.text})
                continue
            written = media(one) if one.kind != "audio" else None
            if written is None:
                self._losses.lose(f"{self._where}.content.{one.kind}")
            else:
                said.append(written)
        return said

    def _thinking(self, part: Thinking) -> dict[str, Any] | None:
        """Only what this wire's models sealed goes back to them."""
        sealed = part.signature or part.data
        if part.family != FAMILY or not sealed:
            self._losses.lose(self._thought)
            return None
        sections = [{"type": "summary_text", "text": part.text}] if part.text else []
        said = {"type": "reasoning", "summary": sections, "encrypted_content": sealed}
        return {"type": "reasoning", "id": part.id, **said} if part.id else said


def media(part: Media) -> dict[str, Any] | None:
    """A picture, a document or a recording as content; None for what the wire has no word for."""
    if part.kind == "image":
        return _image(part)
    if part.kind == "audio" and part.data:
        form = part.mime.partition("/")[2] or "wav"
        form = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav"}.get(form, form)
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": form}}
    if part.kind == "document":
        return _document(part)
    return None


def _image(part: Media) -> dict[str, Any]:
    said: dict[str, Any] = {"type": "input_image", "detail": part.detail or "auto"}
    if part.file_id:
        said["file_id"] = part.file_id
    else:
        said["image_url"] = _url(part, "image/png")
    return said


def _document(part: Media) -> dict[str, Any]:
    if part.text:
        return {"type": "input_text", "text": part.text}
    if part.file_id:
        return {"type": "input_file", "file_id": part.file_id}
    if part.data:
        name = part.name or "document.pdf"
        data = _url(part, "application/pdf")
        return {"type": "input_file", "filename": name, "file_data": data}
    return {"type": "input_file", "file_url": part.url}


def _url(part: Media, mime: str) -> str:
    return f"data:{part.mime or mime};base64,{part.data}" if part.data else part.url
