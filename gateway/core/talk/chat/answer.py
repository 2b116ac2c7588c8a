"""Whole answers on the chat wire: read from a provider's, written for a client."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from gateway.core.body import JsonBody
from gateway.core.talk.chat.parts import (
    FAMILY,
    FINISH,
    NOTHING,
    Annotation,
    CallPart,
    Detail,
    FunctionPart,
    annotation_of,
    citation_of,
    detail_of,
    joined,
    media_of,
    reason_of,
    text_of,
    thought_of,
    tool_of,
    url_of,
)
from gateway.core.talk.model import (
    Answer,
    Media,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolUse,
)
from gateway.core.usage import openai_usage
from gateway.domain import Usage
from gateway.errors import upstream_error


class _Image(Struct, gc=False):
    image_url: dict[str, Any] | None = None


class _Message(Struct, gc=False):
    content: Raw = NOTHING
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[Detail] | None = None
    tool_calls: list[CallPart] | None = None
    function_call: FunctionPart | None = None
    annotations: list[Annotation] | None = None
    images: list[_Image] | None = None


class _Choice(Struct, gc=False):
    message: _Message | None = None
    finish_reason: str | None = None


class _Completion(Struct, gc=False):
    id: str | None = None
    model: str | None = None
    created: float | None = None
    choices: list[_Choice] | None = None
    usage: Raw = NOTHING
    service_tier: str | None = None


class ContentPart(Struct, gc=False):
    """Some hosts answer in parts: words, and what was thought."""

    type: str | None = None
    text: str | None = None
    thinking: Raw = NOTHING
    refusal: str | None = None


class _Words(Struct, gc=False):
    text: str = ""


_completion = msgspec.json.Decoder(_Completion)
_content_parts = msgspec.json.Decoder(list[ContentPart])
_words = msgspec.json.Decoder(str | list[_Words])


def read_answer(raw: bytes) -> Answer:
    """A whole answer; a body that is none is the provider's fault."""
    try:
        said = _completion.decode(raw)
        if not said.choices:
            raise upstream_error("The provider's answer holds no message.", "bad_answer")
        parts = _parts(said.choices[0].message or _Message())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise upstream_error(
            "The provider's answer is not the JSON object it should be.", "bad_answer"
        ) from None
    finish = said.choices[0].finish_reason
    reason = reason_of(finish or "stop")
    if reason == "stop" and any(isinstance(part, ToolUse) for part in parts):
        reason = "tool"
    usage = bytes(said.usage)
    return Answer(
        said.id or "",
        said.model or "",
        parts,
        reason,
        usage=openai_usage(usage) if usage[:1] == b"{" else None,
        created=int(said.created or 0),
        service_tier=said.service_tier or "",
    )


def _parts(said: _Message) -> list[Part]:
    thoughts = [thought_of(detail) for detail in said.reasoning_details or []]
    parts: list[Part] = [thought for thought in thoughts if thought is not None]
    shown = said.reasoning_content or said.reasoning
    if not parts and shown:
        parts.append(Thinking(shown, family=FAMILY))
    parts += content_of(said.content)
    if said.annotations:
        found = [citation_of(one) for one in said.annotations]
        words = next((part for part in parts if isinstance(part, Text)), None)
        if words is not None:
            words.citations += [citation for citation in found if citation is not None]
    if said.refusal:
        parts.append(Refusal(said.refusal))
    for image in said.images or []:
        url = (image.image_url or {}).get("url")
        if isinstance(url, str):
            parts.append(media_of("image", url))
    parts += [tool_of(call, n) for n, call in enumerate(said.tool_calls or [])]
    old = said.function_call
    if old is not None and old.name and not said.tool_calls:
        parts.append(ToolUse(f"call_{old.name}", old.name or "", text_of(old.arguments)))
    return parts


def content_of(raw: Raw) -> list[Part]:
    """What is said, as a string or in parts."""
    found = bytes(raw)
    if not found or found == b"null":
        return []
    if found[:1] == b'"':
        text = msgspec.json.decode(found, type=str)
        return [Text(text)] if text else []
    parts: list[Part] = []
    for part in _content_parts.decode(found):
        if part.type == "thinking" and part.thinking:
            parts.append(Thinking(thinking_text(part.thinking), family=FAMILY))
        elif part.refusal:
            parts.append(Refusal(part.refusal))
        elif part.text:
            parts.append(Text(part.text))
    return parts


def thinking_text(raw: Raw) -> str:
    """The words of a thinking part, given as a string or in parts."""
    said = _words.decode(raw)
    return said if isinstance(said, str) else "".join([one.text for one in said])


def write_answer(body: JsonBody, answer: Answer) -> bytes:
    """A chat.completion."""
    del body
    parts = answer.parts
    message: dict[str, Any] = {"role": "assistant"}
    calls = [call_of(part) for part in parts if isinstance(part, ToolUse)]
    message["content"] = joined(parts, Text) or (None if calls else "")
    message["refusal"] = joined(parts, Refusal) or None
    if message["refusal"] and not message["content"]:
        message["content"] = None
    thought = joined(parts, Thinking)
    if thought:
        message["reasoning_content"] = thought
    proofs = [p for p in parts if isinstance(p, Thinking) and (p.signature or p.data)]
    if proofs:
        message["reasoning_details"] = [detail_of(part, n) for n, part in enumerate(proofs)]
    if calls:
        message["tool_calls"] = calls
    message["annotations"] = [
        annotation_of(one) for p in parts if isinstance(p, Text) for one in p.citations
    ]
    images = [p for p in parts if isinstance(p, Media) and p.kind == "image"]
    if images:
        message["images"] = [image_of(part) for part in images]
    choice = {"index": 0, "message": message, "finish_reason": FINISH[answer.reason]}
    whole: dict[str, Any] = {
        "id": answer.id,
        "object": "chat.completion",
        "created": answer.created,
        "model": answer.model,
        "choices": [choice | {"logprobs": None}],
    }
    if answer.service_tier:
        whole["service_tier"] = answer.service_tier
    if answer.usage is not None:
        whole["usage"] = shown_usage(answer.usage)
    return msgspec.json.encode(whole)


def call_of(part: ToolUse) -> dict[str, Any]:
    """A tool call as clients know it, with its signature where it has one."""
    if part.custom:
        call: dict[str, Any] = {
            "id": part.id,
            "type": "custom",
            "custom": {"name": part.name, "input": part.arguments},
        }
    else:
        function = {"name": part.name, "arguments": part.arguments or "{}"}
        call = {"id": part.id, "type": "function", "function": function}
    if part.signature:
        call |= {"signature": part.signature, "signature_family": part.family}
    return call


def image_of(part: Media) -> dict[str, Any]:
    """A picture in an answer."""
    return {"type": "image_url", "image_url": {"url": url_of(part)}}


def shown_usage(usage: Usage) -> dict[str, Any]:
    """Usage as this dialect counts it: the parts inside the whole."""
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached,
            "audio_tokens": usage.audio_input,
            "cache_write_tokens": usage.cache_write + usage.cache_write_1h,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": usage.audio_output,
        },
    }
