"""Converse's whole answers, and the pieces that its streams say the same way."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

import msgspec

from gateway.sdk import UPSTREAM_ERROR, Call, Fault
from gateway.sdk.talk import Answer, Citation, Foreign, Media, Part, Reason, Text, Thinking, ToolUse
from providers_plugins.bedrock.lenient import Raw, items, members, number, text, value
from providers_plugins.bedrock.models import shown, traits_of
from providers_plugins.bedrock.usage import converse_usage

DIALECT = "converse"
_REASONS: Mapping[str, Reason] = {
    "end_turn": "stop",
    "stop_sequence": "sequence",
    "tool_use": "tool",
    "max_tokens": "length",
    "model_context_window_exceeded": "context",
    "guardrail_intervened": "filter",
    "content_filtered": "filter",
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
    "refusal": "refusal",
    "pause_turn": "pause",
}
_DOCUMENT_PLACES = ("documentChar", "documentPage", "documentChunk", "searchResultLocation")


def read(call: Call, headers: Mapping[str, str], body: bytes) -> Answer:
    """A whole answer."""
    found = members(body)
    message = members(members(found.get("output")).get("message"))
    if not message:
        raise Fault(
            UPSTREAM_ERROR, "The provider's answer cannot be read.", cause="unreadable_answer"
        )
    family = traits_of(call.upstream, call.options).signs
    parts = [part for raw in items(message.get("content")) for part in _parts(raw, family)]
    usage = found.get("usage")
    return Answer(
        id=headers.get("x-amzn-requestid", ""),
        model=shown(call.upstream),
        parts=parts,
        reason=reason_of(text(found.get("stopReason"))),
        sequence=sequence_of(found.get("additionalModelResponseFields")),
        usage=None if value(usage) is None else converse_usage(bytes(usage or b"")),
        service_tier=text(members(found.get("serviceTier")).get("type")),
    )


def reason_of(said: str) -> Reason:
    """Why the answer ended; a reason that is not known is the plain end."""
    return _REASONS.get(said, "stop")


def sequence_of(raw: Raw | None) -> str:
    """The stop sequence that was met, if the client asked the model to say it."""
    found = members(raw)
    inner = members(found.get("delta")) or found
    return text(inner.get("stop_sequence"))


def thinking_of(raw: Raw | None, family: str) -> Thinking | None:
    """What was thought, signed or sealed."""
    found = members(raw)
    sealed = text(found.get("redactedContent"))
    if sealed:
        return Thinking(data=unsealed(sealed), family=family)
    said = members(found.get("reasoningText"))
    if not said:
        return None
    signature = text(said.get("signature"))
    return Thinking(
        text=text(said.get("text")), signature=signature, family=family if signature else ""
    )


def unsealed(sealed: str) -> str:
    """Sealed thoughts as their own family writes them: this host wraps them once more."""
    try:
        return base64.b64decode(sealed, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return sealed


def citation_of(raw: Raw) -> Citation:
    """A source, with its place where the provider tells it."""
    found = members(raw)
    location = members(found.get("location"))
    quotes = (text(members(item).get("text")) for item in items(found.get("sourceContent")))
    start = end = None
    for name in _DOCUMENT_PLACES:
        place = members(location.get(name))
        if place:
            start, end = number(place.get("start")), number(place.get("end"))
    web = members(location.get("web"))
    return Citation(
        url=text(web.get("url")) or text(found.get("source")),
        title=text(found.get("title")) or text(web.get("domain")),
        quote="".join(quotes),
        start=start,
        end=end,
        dialect=DIALECT,
        raw=bytes(raw),
    )


def _parts(raw: Raw, family: str) -> list[Part]:
    """The part, or none, that a content block stands for."""
    block = members(raw)
    part: Part | None = None
    if "text" in block:
        said = text(block["text"])
        part = Text(said) if said else None
    elif "toolUse" in block:
        part = _tool_use(block["toolUse"], bytes(raw))
    elif "reasoningContent" in block:
        part = thinking_of(block["reasoningContent"], family)
    elif "citationsContent" in block:
        part = _cited(block["citationsContent"])
    elif "image" in block:
        part = image_of(members(block["image"]))
    elif block:
        part = Foreign(DIALECT, next(iter(block)), bytes(raw))
    return [] if part is None else [part]


def _tool_use(raw: Raw, whole: bytes) -> Part:
    """A call of the client's tool; one that the provider ran itself is its own affair."""
    found = members(raw)
    kind = text(found.get("type"))
    if kind:
        return Foreign(DIALECT, kind, whole)
    given = found.get("input")
    return ToolUse(
        id=text(found.get("toolUseId")),
        name=text(found.get("name")),
        arguments="{}" if given is None else bytes(given).decode("utf-8", "replace"),
    )


def _cited(raw: Raw) -> Text:
    found = members(raw)
    said = "".join(text(members(item).get("text")) for item in items(found.get("content")))
    return Text(said, citations=[citation_of(item) for item in items(found.get("citations"))])


def image_of(found: dict[str, Raw]) -> Media | None:
    """A picture that the model made."""
    data = text(members(found.get("source")).get("bytes"))
    if not data:
        return None
    return Media("image", mime=f"image/{text(found.get('format')) or 'png'}", data=data)


def foreign(kind: str, said: dict[str, object]) -> Foreign:
    """Something that this wire alone knows, put together from its pieces."""
    return Foreign(DIALECT, kind, msgspec.json.encode(said))
