"""Writes a stream of the Responses dialect, and the response object that it comes to."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from gateway.core.body import JsonBody
from gateway.core.talk.events import (
    Began,
    Broke,
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
from gateway.core.talk.model import (
    Foreign,
    Media,
    Part,
    Reason,
    Refusal,
    Text,
    Thinking,
    ToolUse,
)
from gateway.core.talk.responses.envelope import INCOMPLETE, Envelope, response_id
from gateway.core.talk.responses.errors import event_of
from gateway.core.talk.responses.said import (
    Call,
    Entry,
    Piece,
    Said,
    Thought,
    Verbatim,
    Words,
    drawn,
)
from gateway.core.talk.responses.wire import DIALECT
from gateway.domain import Usage


class Writer:
    """One stream. `final` is the response object it ended with, empty until then."""

    def __init__(self, body: JsonBody, service_tier: str = "") -> None:
        self._body = body
        self._envelope = Envelope(body)
        self._tier = service_tier
        self._id = ""
        self._model = ""
        self._created = 0
        self._sequence = 0
        self._entries: list[Entry] = []
        self._open: dict[int, Said] = {}
        self._words: Words | None = None  # the message that further text still belongs to
        self._reason: Reason = "stop"
        self._usage: Usage | None = None
        self.final = b""

    @property
    def sequence(self) -> int:
        """The number that the next event will have."""
        return self._sequence

    def write(self, event: Event) -> bytes:
        """The client's bytes for one event."""
        if isinstance(event, Grew):
            said = self._open.get(event.index)
            if said is None or not event.text:
                return b""
            before = b"" if said.begun else self._begin_inside(said)
            self._sequence += 1
            return before + said.grow(event.text, self._sequence - 1)
        if self.final:
            return b""
        return b"".join(self._written(event))

    def _written(self, event: Event) -> list[bytes]:
        if isinstance(event, Began):
            return self._begin(event)
        begun = [] if self._id else self._begin(Began())
        if isinstance(event, Opened):
            return begun + self._opened(event.index, event.part)
        if isinstance(event, Signed | Cited):
            return begun + self._noted(event)
        if isinstance(event, Closed):
            return begun + self._closed(event.index, "completed")
        if isinstance(event, Stopped):
            return begun + self._stopped(event.reason)
        if isinstance(event, Used):
            self._usage = event.usage
            return begun
        if isinstance(event, Broke):
            return begun + self._failed(event)
        return begun + (self._ended() if isinstance(event, Ended) else [])

    def _event(self, name: str, /, **members: Any) -> bytes:
        said = {"type": name, **members, "sequence_number": self._sequence}
        self._sequence += 1
        return event_of(said)

    def _object(self, status: str, **members: Any) -> bytes:
        return self._envelope.write(
            name=self._id,
            model=self._model,
            created=self._created,
            status=status,
            service_tier=self._tier,
            **members,
        )

    def _begin(self, event: Began) -> list[bytes]:
        if self._id:
            return []
        self._id = response_id(event.id, self._body, event.created)
        self._model = event.model or _model_of(self._body)
        self._created = event.created
        response = Raw(self._object("in_progress", output=[]))
        return [
            self._event("response.created", response=response),
            self._event("response.in_progress", response=response),
        ]

    def _opened(self, index: int, part: Part) -> list[bytes]:
        if index in self._open:
            return []
        if isinstance(part, Text | Refusal):
            return self._text_opened(index, part)
        entry = self._entry_for(part)
        if entry is None:
            return []
        out = self._end_words()
        self._entries.append(entry)
        self._open[index] = entry
        out.append(self._item_event("added", entry))
        if isinstance(part, Thinking | ToolUse):
            text = part.text if isinstance(part, Thinking) else part.arguments
            out.append(self.write(Grew(index, text)))
        return out

    def _begin_inside(self, said: Said) -> bytes:
        if isinstance(said, Piece):
            return b""
        return b"".join(self._event(name, **members) for name, members in said.began())

    def _entry_for(self, part: Part) -> Entry | None:
        place, tail = len(self._entries), self._id.removeprefix("resp_")
        if isinstance(part, Thinking):
            return Thought(place, part.id or f"rs_{tail}_{place}", part)
        if isinstance(part, ToolUse):
            return Call(place, f"{'ctc' if part.custom else 'fc'}_{tail}_{place}", part)
        if isinstance(part, Media) and part.kind == "image" and part.data:
            return Verbatim(place, drawn(f"ig_{tail}_{place}", part))
        if isinstance(part, Foreign) and part.dialect == DIALECT and part.kind != "content":
            return Verbatim(place, part.raw)
        return None

    def _text_opened(self, index: int, part: Text | Refusal) -> list[bytes]:
        out: list[bytes] = []
        words = self._words
        if words is None:
            place = len(self._entries)
            words = Words(place, f"msg_{self._id.removeprefix('resp_')}_{place}")
            self._words = words
            self._entries.append(words)
            out.append(self._item_event("added", words))
        piece = words.begin(refusal=isinstance(part, Refusal))
        self._open[index] = piece
        out.append(self._part_event("added", piece, piece.empty()))
        out.append(self.write(Grew(index, part.text)))
        for citation in part.citations if isinstance(part, Text) else ():
            out += self._noted(Cited(index, citation))
        return out

    def _item_event(self, step: str, entry: Entry) -> bytes:
        item = Raw(entry.written() if step == "done" else entry.unsaid())
        return self._event(f"response.output_item.{step}", output_index=entry.place, item=item)

    def _part_event(self, step: str, piece: Piece, part: dict[str, Any]) -> bytes:
        return self._event(f"response.content_part.{step}", **piece.where, part=part)

    def _noted(self, event: Signed | Cited) -> list[bytes]:
        said = self._open.get(event.index)
        if isinstance(event, Signed):
            if isinstance(said, Thought):
                said.sign(event.signature, event.family)
            return []
        if not isinstance(said, Piece) or said.refusal:
            return []
        annotation = Raw(said.cite(event.citation))
        return [
            self._event(
                "response.output_text.annotation.added",
                **said.where,
                annotation_index=len(said.annotations) - 1,
                annotation=annotation,
            )
        ]

    def _closed(self, index: int, status: str) -> list[bytes]:
        said = self._open.pop(index, None)
        if said is None:
            return []
        out = [self._event(name, **members) for name, members in said.ended()]
        if isinstance(said, Piece):
            out.append(self._part_event("done", said, said.whole()))
            said.words.open -= 1
            if said.words is not self._words and not said.words.open:
                out.append(self._item_event("done", said.words))
            elif status != "completed":
                said.words.status = status
            return out
        if isinstance(said, Entry):
            said.status = status
            out.append(self._item_event("done", said))
        return out

    def _end_words(self) -> list[bytes]:
        """The message is over; its item is done once nothing of it is open."""
        words, self._words = self._words, None
        return [] if words is None or words.open else [self._item_event("done", words)]

    def _stopped(self, reason: Reason) -> list[bytes]:
        self._reason = reason
        status = "incomplete" if reason in INCOMPLETE else "completed"
        out: list[bytes] = []
        for index in list(self._open):
            out += self._closed(index, status)
        return out + self._end_words()

    def _ended(self) -> list[bytes]:
        if self._reason == "error":
            return self._fail("The model's answer ended with an error.")
        refused = any(isinstance(entry, Words) and entry.refused for entry in self._entries)
        if self._reason == "refusal" and not refused:
            self._reason = "filter"  # it was stopped, not declined in words
        status = "incomplete" if self._reason in INCOMPLETE else "completed"
        self.final = self._object(
            status, output=self._output(), reason=self._reason, usage=self._usage
        )
        return [self._event(f"response.{status}", response=Raw(self.final))]

    def _failed(self, event: Broke) -> list[bytes]:
        """A failure ends the response; what was said of it stays said."""
        return self._stopped("length") + self._fail(event.fault.message)

    def _fail(self, why: str) -> list[bytes]:
        error = {"code": "server_error", "message": why}
        self.final = self._object("failed", output=self._output(), usage=self._usage, error=error)
        return [self._event("response.failed", response=Raw(self.final))]

    def _output(self) -> list[Raw]:
        return [Raw(entry.written()) for entry in self._entries]


def _model_of(body: JsonBody) -> str:
    name = body.value("model")
    return name if isinstance(name, str) else ""
