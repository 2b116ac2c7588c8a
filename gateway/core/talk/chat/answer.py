"""Whole answers on the chat wire, read in every host's spelling and written as SDKs expect them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from gateway.core.body import JsonBody
from gateway.core.faults import fault_in_body
from gateway.core.talk.chat.calls import pieces_in
from gateway.core.talk.chat.media import (
    annotation_of,
    audio_in,
    audio_of,
    citation_in,
    image_in,
    media_in,
    part_of,
)
from gateway.core.talk.chat.names import (
    UNREADABLE,
    call_id,
    count_in,
    encode,
    finish_of,
    in_functions,
    reason_of,
    text_in,
)
from gateway.core.talk.chat.thoughts import details_of, thoughts_in
from gateway.core.talk.chat.usage import usage_of
from gateway.core.talk.model import Answer, Media, Part, Refusal, Text, Thinking, ToolUse
from gateway.core.usage import NOTHING, is_object, openai_usage
from gateway.domain import Usage
from gateway.errors import Fault, upstream_error


class _Message(msgspec.Struct):
    content: Any = None
    refusal: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    tool_calls: msgspec.Raw = NOTHING
    function_call: msgspec.Raw = NOTHING
    annotations: Any = None
    images: Any = None
    audio: Any = None


class _Choice(msgspec.Struct):
    message: _Message | None = None
    finish_reason: Any = None
    usage: msgspec.Raw = NOTHING


class _Body(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = NOTHING
    error: msgspec.Raw = NOTHING
    id: Any = ""
    model: Any = ""
    created: Any = 0
    service_tier: Any = ""


_decode = msgspec.json.Decoder(_Body).decode


def read_answer(
    raw: bytes,
    read_usage: Callable[[bytes], Usage] = openai_usage,
    fault_in: Callable[[bytes], Fault | None] = fault_in_body,
) -> Answer:
    """An answer from a host's body; raises the fault of a body that holds none."""
    try:
        body = _decode(raw)
    except UNREADABLE:
        raise fault_in(raw) or _unreadable() from None
    choice = body.choices[0] if body.choices else None
    # A host whose filter held everything back says so without a message.
    if choice is None or (choice.message is None and not choice.finish_reason):
        raise fault_in(raw) or _unreadable()
    try:
        parts = _parts(choice.message or _Message(), text_in(body.id))
    except UNREADABLE:
        raise _unreadable() from None
    used = next((found for found in (body.usage, choice.usage) if is_object(found)), None)
    return Answer(
        id=text_in(body.id),
        model=text_in(body.model),
        parts=parts,
        reason=reason_of(choice.finish_reason, any(isinstance(part, ToolUse) for part in parts)),
        usage=None if used is None else read_usage(bytes(used)),
        created=count_in(body.created) or 0,
        service_tier=text_in(body.service_tier),
    )


def write_answer(body: JsonBody, answer: Answer) -> bytes:
    """The body that a chat client gets for an answer."""
    message, finish = _message(answer.parts), finish_of(answer.reason)
    if "tool_calls" in message and in_functions(body):
        message["function_call"] = message.pop("tool_calls")[0]["function"]
        finish = "function_call" if finish == "tool_calls" else finish
    written: dict[str, Any] = {
        "id": answer.id,
        "object": "chat.completion",
        "created": answer.created,
        "model": answer.model or text_in(body.value("model")),
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": None,
                "finish_reason": finish,
            }
        ],
    }
    if answer.usage is not None:
        written["usage"] = usage_of(answer.usage)
    if answer.service_tier:
        written["service_tier"] = answer.service_tier
    return encode(written)


def _unreadable() -> Fault:
    return upstream_error(
        "The provider's answer holds no message that can be read.", "unreadable_answer"
    )


def _parts(message: _Message, answer: str) -> list[Part]:
    plain = text_in(message.reasoning_content) or text_in(message.reasoning)
    parts: list[Part] = [*thoughts_in(plain, message.reasoning_details)]
    parts += content_parts(message.content)
    if text_in(message.refusal):
        parts.append(Refusal(message.refusal))
    _cite(parts, message.annotations)
    for item in message.images if isinstance(message.images, list) else ():
        image = image_in(item)
        if image is not None:
            parts.append(image)
    audio = audio_in(message.audio)
    if audio is not None:
        parts.append(audio)
    return parts + _calls(message, answer, len(parts))


def content_parts(content: object) -> list[Part]:
    """Words, thoughts and media of an answer's content: a string, or a list as some hosts have."""
    if isinstance(content, str):
        return [Text(content)] if content else []
    parts: list[Part] = []
    for piece in content if isinstance(content, list) else ():
        if isinstance(piece, dict):
            parts += _piece(piece)
    return parts


def _piece(piece: dict[str, Any]) -> list[Part]:
    thought = piece.get("thinking")
    if isinstance(thought, list):
        words = [text_in(item.get("text")) for item in thought if isinstance(item, dict)]
        return [Thinking("".join(words))]
    if text_in(thought):
        return [Thinking(text_in(thought))]
    if text_in(piece.get("refusal")):
        return [Refusal(piece["refusal"])]
    if text_in(piece.get("text")):
        return [Text(piece["text"])]
    media = media_in(piece)
    return [media] if media is not None else []


def _cite(parts: list[Part], annotations: object) -> None:
    """Sources belong to the text; an answer of sources alone gets an empty one."""
    found = [citation_in(item) for item in annotations] if isinstance(annotations, list) else []
    citations = [citation for citation in found if citation is not None]
    if not citations:
        return
    text = next((part for part in parts if isinstance(part, Text)), None)
    if text is None:
        text = Text()
        parts.append(text)
    text.citations += citations


def _calls(message: _Message, answer: str, first: int) -> list[Part]:
    pieces = pieces_in(bytes(message.tool_calls), bytes(message.function_call))
    return [
        ToolUse(
            id=piece.id or call_id(answer, first + number),
            name=piece.name,
            arguments=piece.arguments,
            custom=piece.custom,
            signature=piece.signature,
            family=piece.family,
        )
        for number, piece in enumerate(pieces)
        if piece.id or piece.name or piece.arguments
    ]


def _message(parts: list[Part]) -> dict[str, Any]:
    texts = [part for part in parts if isinstance(part, Text)]
    refusals = [part.text for part in parts if isinstance(part, Refusal)]
    thoughts = [part for part in parts if isinstance(part, Thinking)]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(text.text for text in texts) if texts else None,
        "refusal": "".join(refusals) if refusals else None,
    }
    if any(thought.text for thought in thoughts):
        message["reasoning_content"] = "".join(thought.text for thought in thoughts)
    if details := details_of(thoughts):
        message["reasoning_details"] = details
    if calls := [call_of(part) for part in parts if isinstance(part, ToolUse)]:
        message["tool_calls"] = calls
    if citations := [annotation_of(found) for text in texts for found in text.citations]:
        message["annotations"] = citations
    return message | _media([part for part in parts if isinstance(part, Media)])


def _media(media: list[Media]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    images = [shown for part in media if part.kind != "audio" and (shown := part_of(part))]
    if images:
        said["images"] = [{**image, "index": index} for index, image in enumerate(images)]
    for part in media:
        if part.kind == "audio":
            said["audio"] = audio_of(part)
    return said


def call_of(part: ToolUse) -> dict[str, Any]:
    """A tool call as a message has it, with the signature that must come back."""
    kind, said = ("custom", "input") if part.custom else ("function", "arguments")
    call: dict[str, Any] = {
        "id": part.id,
        "type": kind,
        kind: {"name": part.name, said: part.arguments},
    }
    if part.signature:
        call |= {"signature": part.signature, "signature_family": part.family}
    return call
