"""A whole answer: the same pieces as a stream's, all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.sdk import UPSTREAM_ERROR, Call, Fault
from gateway.sdk.talk import (
    Answer,
    Began,
    Broke,
    Cited,
    Event,
    Grew,
    Opened,
    Signed,
    Stopped,
    Text,
    Thinking,
    ToolUse,
    Used,
)
from providers_plugins.google.answer import UNREADABLE
from providers_plugins.google.reader import Assembler, piece_of, unreadable
from providers_plugins.google.sizes import spoken_size


def read(call: Call, headers: Mapping[str, str], body: bytes) -> Answer:
    """The answer in a body; one without a candidate is either filtered or none at all."""
    assembler = Assembler(call.now, spoken_size(call))
    try:
        events = list(assembler.take(piece_of(body)))
    except (*UNREADABLE, ValueError):
        raise unreadable() from None
    if not assembler.answered:
        raise Fault(UPSTREAM_ERROR, "The provider's answer is empty.", cause="empty_answer")
    assembler.assume_end()
    return gathered([*events, *assembler.end()])


def gathered(events: Iterable[Event]) -> Answer:
    """What the events of one answer come to."""
    answer = Answer()
    for event in events:
        if isinstance(event, Began):
            answer.id, answer.model, answer.created = event.id, event.model, event.created
        elif isinstance(event, Opened):
            answer.parts.append(event.part)
        elif isinstance(event, Grew | Signed | Cited):
            _add(answer, event)
        elif isinstance(event, Stopped):
            answer.reason = event.reason
        elif isinstance(event, Used):
            answer.usage = event.usage
        elif isinstance(event, Broke):
            raise event.fault
    return answer


def _add(answer: Answer, event: Grew | Signed | Cited) -> None:
    part = answer.parts[event.index]
    if isinstance(event, Grew):
        if isinstance(part, ToolUse):
            part.arguments += event.text
        elif isinstance(part, Text | Thinking):
            part.text += event.text
    elif isinstance(event, Signed) and isinstance(part, Thinking):
        part.signature, part.family = event.signature, event.family
    elif isinstance(event, Cited) and isinstance(part, Text):
        part.citations.append(event.citation)
