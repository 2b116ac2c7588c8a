"""Answers of this wire, whole or streamed, as events."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import msgspec

from gateway.sdk import UPSTREAM_ERROR, Fault, Usage, clean
from gateway.sdk.talk import (
    Began,
    Broke,
    Citation,
    Cited,
    Closed,
    Ended,
    Event,
    Foreign,
    Grew,
    Media,
    Opened,
    Part,
    Signed,
    Stopped,
    Text,
    Thinking,
    ToolUse,
    Used,
    sse,
)
from providers_plugins.google.answer import (
    UNREADABLE,
    Candidate,
    FunctionCall,
    Piece,
    WirePart,
    created_at,
    decode_part,
    decode_piece,
    is_failure,
    reason_of,
    usage_of,
)
from providers_plugins.google.faults import fault_within
from providers_plugins.google.home import FAMILY
from providers_plugins.google.partial import Arguments
from providers_plugins.google.sources import citations

# A picture is one event, and far longer than what the parser of event streams reads at once.
MAX_EVENT = 48 << 20
_MAX_TEXT = 1 << 18  # of what is kept to find a source's place in it
_ENDS = (b"\n\n", b"\n\r\n", b"\r\r", b"\n\r", b"\r\n\r\n")
_PLAIN = frozenset({"thought", "thoughtSignature"})
_UNREADABLE = "unreadable_answer"
_UNSAID = "FINISH_REASON_UNSPECIFIED"


class Assembler:
    """Takes pieces in their order and tells what they add."""

    def __init__(self, now: float, size: str = "") -> None:
        self._now = now
        self._size = size  # of pictures, should there be any
        self._pictures = 0
        self._begun = False
        self._id = ""
        self._count = 0  # parts so far
        self._open: Part | None = None
        self._signature = ""  # of the open text: told once it is complete
        self._text = bytearray()
        self._pending: Arguments | None = None
        self._arguments = ""
        self._calls = 0
        self._sources: set[tuple[str, str, int | None, bytes]] = set()
        self._cited: tuple[bytes, bytes] = (b"", b"")
        self._late: list[Citation] = []
        self._usage: bytes = b""
        self._finish = ""
        self._message = ""
        self._blocked = False

    @property
    def finished(self) -> bool:
        """Whether the provider has said why it stops."""
        return bool(self._finish) or self._blocked

    @property
    def answered(self) -> bool:
        """Whether there is anything at all that is an answer."""
        return self.finished or self._count > 0

    def assume_end(self) -> None:
        """A whole answer is complete, whether it says why it stops or not."""
        self._finish = self._finish or "STOP"

    def take(self, piece: Piece) -> Iterator[Event]:
        """What one piece adds."""
        usage = usage_of(bytes(piece.usage_metadata))
        if usage is not None:
            self._usage = usage.raw
        if not self._begun:
            yield self._began(piece, usage)
        if piece.prompt_feedback is not None and piece.prompt_feedback.block_reason:
            self._blocked = True
        candidate = piece.candidate
        if candidate is None:
            return
        if candidate.content is not None:
            for raw in candidate.content.parts or ():
                yield from self._part(bytes(raw))
        yield from self._cite(candidate)
        if isinstance(candidate.finish_reason, str) and candidate.finish_reason != _UNSAID:
            self._finish = candidate.finish_reason or self._finish
            if isinstance(candidate.finish_message, str):
                self._message = clean(candidate.finish_message)

    def end(self) -> Iterator[Event]:
        """The end of the bytes is the end of the answer only if its reason has been told."""
        if not self.finished:
            return
        yield from self._close()
        if self._late:
            yield from self._begin(Text())
            for citation in self._late:
                yield Cited(self._count - 1, citation)
            yield from self._close()
        if not self._count and is_failure(self._finish):
            yield Broke(self._nothing())
            return
        yield Stopped("filter" if self._blocked else reason_of(self._finish, self._calls > 0))
        usage = usage_of(self._usage)
        if usage is not None:
            size = self._size if self._pictures else ""
            yield Used(msgspec.structs.replace(usage, images=self._pictures, size=size))
        yield Ended()

    def _began(self, piece: Piece, usage: Usage | None) -> Began:
        self._begun = True
        self._id = piece.response_id if isinstance(piece.response_id, str) else ""
        model = piece.model_version if isinstance(piece.model_version, str) else ""
        if usage is not None:
            # What it says of the output is no lower bound: later counts may be smaller.
            usage = msgspec.structs.replace(
                usage, output=0, reasoning=0, audio_output=0, image_output=0
            )
        return Began(self._id, model, created_at(piece.create_time, self._now), usage)

    def _part(self, raw: bytes) -> Iterator[Event]:
        part = decode_part(raw)
        if part.function_call is not None:
            yield from self._call(part.function_call, part.thought_signature or "")
        elif part.inline_data is not None or part.file_data is not None:
            if not part.thought:  # else a draft of the picture, no part of the answer
                yield from self._media(part)
        elif part.text is not None:
            yield from self._words(part.text, part.thought is True, part.thought_signature or "")
        else:
            yield from self._foreign(raw, part.thought_signature or "")

    def _words(self, text: str, thought: bool, signature: str) -> Iterator[Event]:
        kind = Thinking if thought else Text
        if text and (not isinstance(self._open, kind) or self._signature):
            yield from self._begin(Thinking(text, family=FAMILY) if thought else Text(text))
        elif text:
            yield Grew(self._count - 1, text)
        if text and not thought and len(self._text) < _MAX_TEXT:
            self._text += text.encode()[: _MAX_TEXT - len(self._text)]
        if not signature:
            return
        if thought and isinstance(self._open, Thinking):
            yield Signed(self._count - 1, signature, FAMILY)
        else:
            if self._signature:
                yield from self._close()
            self._signature = signature

    def _media(self, part: WirePart) -> Iterator[Event]:
        blob = part.inline_data or part.file_data
        assert blob is not None
        top = blob.mime_type.partition("/")[0]
        kind = top if top in ("image", "audio", "video") else "document"
        self._pictures += kind == "image"
        yield from self._begin(
            Media(kind, mime=blob.mime_type, data=blob.data, url=blob.file_uri)  # type: ignore[arg-type]
        )
        self._signature = part.thought_signature or ""
        yield from self._close()

    def _foreign(self, raw: bytes, signature: str) -> Iterator[Event]:
        members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        kind = next((name for name in members if name not in _PLAIN), "")
        if kind:
            yield from self._begin(Foreign(FAMILY, kind, raw))
            yield from self._close()
        elif signature:
            yield from self._words("", False, signature)

    def _call(self, call: FunctionCall, signature: str) -> Iterator[Event]:
        if call.name:
            yield from self._begin_call(call, signature)
        elif not isinstance(self._open, ToolUse):
            return  # the end of a call that never began
        for bit in call.partial_args or ():
            self._pending = self._pending or Arguments()
            self._pending.add(bit)
        if bytes(call.args) not in (b"", b"null"):
            self._arguments = bytes(call.args).decode(errors="replace")
        if not call.will_continue:
            yield from self._close()

    def _begin_call(self, call: FunctionCall, signature: str) -> Iterator[Event]:
        name = call.name or ""
        told = call.id or _made_id(self._id, self._calls, name)
        self._calls += 1
        yield from self._begin(
            ToolUse(told, name, signature=signature, family=FAMILY if signature else "")
        )

    def _begin(self, part: Part) -> Iterator[Event]:
        yield from self._close()
        self._open = part
        yield Opened(self._count, part)
        self._count += 1

    def _close(self) -> Iterator[Event]:
        """Complete the open part; a signature of words stands behind them as a part of its own."""
        if isinstance(self._open, ToolUse):
            whole = self._pending.text() if self._pending else self._arguments
            yield Grew(self._count - 1, whole or "{}")
            self._pending, self._arguments = None, ""
        if self._open is not None:
            yield Closed(self._count - 1)
        self._open = None
        self._text.clear()
        if self._signature:
            signature, self._signature = self._signature, ""
            yield Opened(self._count, Thinking(signature=signature, family=FAMILY))
            yield Closed(self._count)
            self._count += 1

    def _cite(self, candidate: Candidate) -> Iterator[Event]:
        grounding, recited = bytes(candidate.grounding_metadata), bytes(candidate.citation_metadata)
        if (not grounding and not recited) or (grounding, recited) == self._cited:
            return
        self._cited = (grounding, recited)
        for citation in citations(grounding, recited, bytes(self._text)):
            mark = (citation.url, citation.quote, citation.start, citation.raw)
            if mark in self._sources or len(self._sources) >= 1000:
                continue
            self._sources.add(mark)
            if isinstance(self._open, Text):
                yield Cited(self._count - 1, citation)
            else:
                self._late.append(citation)

    def _nothing(self) -> Fault:
        said = f": {self._message}" if self._message else ""
        return Fault(
            UPSTREAM_ERROR,
            f"The provider's model gave no answer ({clean(self._finish)}){said}",
            cause="empty_answer",
        )


class GenerateReader:
    """Reads a stream of pieces; there is no end mark but a finish reason before the last byte."""

    def __init__(self, now: float, size: str = "", longest: int = MAX_EVENT) -> None:
        self._splitter = sse.Splitter()
        self._longest = longest
        self._long = bytearray()
        self._assembler = Assembler(now, size)
        self._over = False

    def feed(self, data: bytes) -> Iterable[Event]:
        """What these bytes complete."""
        found: list[Event] = []
        for event in self._splitter.feed(data):
            whole = self._gathered(event, self._splitter.oversize)
            if whole and not self._over:
                self._read(whole, found)
        return found

    def finish(self) -> Iterable[Event]:
        """The end of the bytes; one that cuts an event in two is not the end of the answer."""
        found: list[Event] = []
        rest = bytes(self._long) + self._splitter.rest()
        self._long.clear()
        if self._over:
            return found
        if rest.strip() and not self._read(rest, found):
            cut = isinstance(found[-1], Broke) and found[-1].fault.cause == _UNREADABLE
            return [] if cut else found
        found += self._assembler.end()
        self._over = True
        return found

    def _gathered(self, piece: bytes, oversize: bool) -> bytes:
        """An event over the parser's limit comes in pieces; the last one ends in a blank line."""
        if not oversize:
            return piece
        self._long += piece
        if len(self._long) <= self._longest and not piece.endswith(_ENDS):
            return b""
        whole = bytes(self._long)
        self._long.clear()
        return whole

    def _read(self, event: bytes, found: list[Event]) -> bool:
        """Read one event; False if nothing that follows can mean anything."""
        payload = sse.data_of(event)
        if payload is None:
            # Failures may come without a frame.
            payload = event.strip()
            if not payload.startswith((b"{", b"[")):
                return True
        if not payload.strip() or payload == b"[DONE]":
            return True
        try:
            piece = piece_of(payload)
            found.extend(self._assembler.take(piece))
        except Fault as fault:
            found.append(Broke(fault))
            self._over = True
        except (*UNREADABLE, ValueError):
            found.append(Broke(unreadable()))
            self._over = True
        return not self._over


def piece_of(payload: bytes) -> Piece:
    """One piece; an error in its stead is raised as a fault."""
    if b'"error"' in payload or payload.startswith(b"["):
        fault = fault_within(payload)
        if fault is not None:
            raise fault
    return decode_piece(payload)


def unreadable() -> Fault:
    """A 502 for what is no answer of this wire."""
    return Fault(
        UPSTREAM_ERROR,
        "The provider sent an answer that cannot be read.",
        cause=_UNREADABLE,
    )


def _made_id(answer: str, index: int, name: str) -> str:
    """A call's id where the provider gives none: the same for the same answer, whenever read."""
    seed = f"{answer}\n{index}\n{name}".encode()
    return f"call_{hashlib.sha256(seed).hexdigest()[:24]}"
