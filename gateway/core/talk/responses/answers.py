"""A whole answer of the Responses wire, both ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import structs

from gateway.core.body import JsonBody
from gateway.core.faults import fault_in_body
from gateway.core.talk.events import (
    Began,
    Cited,
    Closed,
    Ended,
    Event,
    Grew,
    Opened,
    Signed,
    Stopped,
    Used,
)
from gateway.core.talk.model import Answer, Part, Refusal, Text, Thinking, ToolUse
from gateway.core.talk.responses.parts import failure, item_parts, reason_of
from gateway.core.talk.responses.wire import Head, is_object, listed, read_head
from gateway.core.talk.responses.writer import Writer
from gateway.core.usage import openai_usage
from gateway.domain import Usage
from gateway.errors import upstream_error


def read_answer(raw: bytes, read_usage: Callable[[bytes], Usage] = openai_usage) -> Answer:
    """A response object as an answer; one that failed, or is none, raises its fault."""
    head = read_head(raw)
    if head is None or not (head.status or is_object(head.usage) or listed(head.output)):
        raise fault_in_body(raw) or upstream_error(
            "The provider's answer is not a response object.", "bad_answer"
        )
    if head.status in ("failed", "cancelled"):
        raise failure(bytes(head.error))
    parts = [part for item in listed(head.output) for part in item_parts(item)]
    return Answer(
        id=head.id or "",
        model=head.model or "",
        parts=parts,
        reason=reason_of(head, map(type, parts)),
        usage=_usage(head, read_usage),
        created=head.created,
        service_tier=head.service_tier or "",
    )


def write_answer(body: JsonBody, answer: Answer) -> bytes:
    """An answer as the response object that ends its stream."""
    writer = Writer(body, service_tier=answer.service_tier)
    for event in answer_events(answer):
        writer.write(event)
    return writer.final


def answer_events(answer: Answer) -> Iterator[Event]:
    """A whole answer as the events of its stream."""
    yield Began(answer.id, answer.model, answer.created)
    for index, part in enumerate(answer.parts):
        yield from _told(index, part)
    yield Stopped(answer.reason, answer.sequence)
    if answer.usage is not None:
        yield Used(answer.usage)
    yield Ended()


def _told(index: int, part: Part) -> Iterator[Event]:
    yield Opened(index, _begun(part))
    if isinstance(part, Text | Refusal | Thinking) and part.text:
        yield Grew(index, part.text)
    if isinstance(part, Text):
        for citation in part.citations:
            yield Cited(index, citation)
    if isinstance(part, ToolUse) and part.arguments:
        yield Grew(index, part.arguments)
    if isinstance(part, Thinking) and part.signature:
        yield Signed(index, part.signature, part.family)
    yield Closed(index)


def _begun(part: Part) -> Part:
    """A part as it is before anything of it has been said."""
    if isinstance(part, Text):
        return Text()
    if isinstance(part, Refusal):
        return Refusal()
    if isinstance(part, Thinking):
        return Thinking(data=part.data, family=part.family, id=part.id)
    if isinstance(part, ToolUse):
        return structs.replace(part, arguments="")
    return part


def _usage(head: Head, read_usage: Callable[[bytes], Usage]) -> Usage | None:
    return read_usage(bytes(head.usage)) if is_object(head.usage) else None
