"""The items of a response while they are written: what each has said, and how its end looks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw

from gateway.core.talk.model import Citation, Media, Thinking, ToolUse
from gateway.core.talk.proof import sealed
from gateway.core.talk.responses.parts import FAMILY
from gateway.core.talk.responses.wire import DIALECT, is_object

_encode = msgspec.json.encode
Named: TypeAlias = Iterator[tuple[str, dict[str, Any]]]


class Growing:
    """Something that grows by fragments, each an event of one name."""

    begun = True

    def __init__(self, name: str, where: dict[str, Any], tail: bytes = b"") -> None:
        self.name = name
        self.where = where
        self.said: list[str] = []
        # What stands around a fragment is the same each time, so it is written once.
        named = {"type": f"{name}.delta", **where}
        before = _encode(named)[:-1]
        self._before = b"event: " + name.encode() + b".delta\ndata: " + before + b',"delta":'
        self._after = tail + b',"sequence_number":%d}\n\n'

    def grow(self, text: str, sequence: int) -> bytes:
        """The event for one fragment."""
        self.said.append(text)
        return self._before + _encode(text) + self._after % sequence

    @property
    def text(self) -> str:
        """All that was said."""
        if len(self.said) > 1:
            self.said = ["".join(self.said)]
        return self.said[0] if self.said else ""


class Entry:
    """One item of the output. `begun` is false while its inside has yet to be announced."""

    begun = True

    def __init__(self, place: int, name: str) -> None:
        self.place = place
        self.id = name
        self.status = "in_progress"

    def item(self) -> dict[str, Any]:
        """The item as it stands."""
        raise NotImplementedError

    def unsaid(self) -> bytes:
        """The item as it is announced."""
        return _encode(self.item())

    def written(self) -> bytes:
        """The item at its end."""
        if self.status == "in_progress":
            self.status = "completed"
        return _encode(self.item())

    def began(self) -> Named:
        """Events that announce what is inside the item."""
        yield from ()

    def ended(self) -> Named:
        """Events that say that what is inside is complete."""
        yield from ()

    def grow(self, text: str, sequence: int) -> bytes:
        """Nothing inside this item grows."""
        return b""


class Verbatim(Entry):
    """An item kept or made whole."""

    def __init__(self, place: int, raw: bytes) -> None:
        super().__init__(place, "")
        self._raw = raw

    def unsaid(self) -> bytes:
        return self._raw

    def written(self) -> bytes:
        return self._raw


class Thought(Entry):
    """What a model thought, as a summary of one section; none where all of it is sealed."""

    begun = False

    def __init__(self, place: int, name: str, part: Thinking) -> None:
        super().__init__(place, name)
        where = {"item_id": name, "output_index": place, "summary_index": 0}
        self._summary = Growing("response.reasoning_summary_text", where)
        self._sealed = sealed(part, FAMILY)

    def sign(self, signature: str, family: str) -> None:
        """What proves the thought, to be sent back with it."""
        self._sealed = sealed(Thinking(signature=signature, family=family), FAMILY)

    def item(self) -> dict[str, Any]:
        text = self._summary.text
        sections = [{"type": "summary_text", "text": text}] if text else []
        said: dict[str, Any] = {"id": self.id, "type": "reasoning", "summary": sections}
        if self._sealed:
            said["encrypted_content"] = self._sealed
        return said

    def grow(self, text: str, sequence: int) -> bytes:
        return self._summary.grow(text, sequence)

    def began(self) -> Named:
        self.begun = True
        part = {"type": "summary_text", "text": ""}
        yield "response.reasoning_summary_part.added", {**self._summary.where, "part": part}

    def ended(self) -> Named:
        if not self.begun:
            return
        text, where = self._summary.text, self._summary.where
        yield "response.reasoning_summary_text.done", {**where, "text": text}
        part = {"type": "summary_text", "text": text}
        yield "response.reasoning_summary_part.done", {**where, "part": part}


class Call(Entry):
    """A call of a tool."""

    def __init__(self, place: int, name: str, part: ToolUse) -> None:
        super().__init__(place, name)
        self._call_id = part.id or f"call_{name}"
        self._tool = part.name
        self._custom = part.custom
        self._signed: dict[str, Any] = {}
        if part.signature:
            self.sign(part.signature, part.family)
        kind = "custom_tool_call_input" if part.custom else "function_call_arguments"
        self._said = Growing(f"response.{kind}", {"item_id": name, "output_index": place})

    def item(self) -> dict[str, Any]:
        member = "input" if self._custom else "arguments"
        return {
            **self._signed,
            "id": self.id,
            "type": "custom_tool_call" if self._custom else "function_call",
            "status": self.status,
            member: self._said.text,
            "call_id": self._call_id,
            "name": self._tool,
        }

    def sign(self, signature: str, family: str) -> None:
        """What proves the call, for the family that gave it."""
        self._signed = {"signature": signature, "signature_family": family}

    def grow(self, text: str, sequence: int) -> bytes:
        return self._said.grow(text, sequence)

    def ended(self) -> Named:
        if self._custom:
            yield f"{self._said.name}.done", {**self._said.where, "input": self._said.text}
            return
        said = {**self._said.where, "name": self._tool, "arguments": self._said.text}
        yield f"{self._said.name}.done", said


class Words(Entry):
    """A message: pieces of text, and of refusal."""

    def __init__(self, place: int, name: str) -> None:
        super().__init__(place, name)
        self.pieces: list[Piece] = []
        self.open = 0

    @property
    def refused(self) -> bool:
        """True when a piece of it declines."""
        return any(piece.refusal for piece in self.pieces)

    def begin(self, *, refusal: bool) -> Piece:
        """The next piece."""
        piece = Piece(self, len(self.pieces), refusal)
        self.pieces.append(piece)
        self.open += 1
        return piece

    def item(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "message",
            "status": self.status,
            "content": [piece.whole() for piece in self.pieces],
            "role": "assistant",
        }


class Piece(Growing):
    """One piece of a message."""

    def __init__(self, words: Words, place: int, refusal: bool) -> None:
        where = {"item_id": words.id, "output_index": words.place, "content_index": place}
        name, tail = ("refusal", b"") if refusal else ("output_text", b',"logprobs":[]')
        super().__init__(f"response.{name}", where, tail)
        self.words = words
        self.refusal = refusal
        self.annotations: list[Raw] = []

    def cite(self, citation: Citation) -> bytes:
        """Note a source; what it looks like."""
        if citation.dialect == DIALECT and is_object(citation.raw):
            raw = citation.raw
        else:
            raw = _encode(_annotation(citation, len(self.text)))
        self.annotations.append(Raw(raw))
        return raw

    def empty(self) -> dict[str, Any]:
        """The piece before anything is said."""
        if self.refusal:
            return {"type": "refusal", "refusal": ""}
        return {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}

    def whole(self) -> dict[str, Any]:
        """The piece as far as it is said."""
        if self.refusal:
            return {"type": "refusal", "refusal": self.text}
        said = self.empty()
        said["annotations"] = self.annotations
        said["text"] = self.text
        return said

    def ended(self) -> Named:
        """That the piece is complete."""
        if self.refusal:
            yield f"{self.name}.done", {**self.where, "refusal": self.text}
        else:
            yield f"{self.name}.done", {**self.where, "text": self.text, "logprobs": []}


Said: TypeAlias = Entry | Piece


def drawn(name: str, media: Media) -> bytes:
    """A picture that a model made, as the item in which clients look for it."""
    return _encode(
        {
            "id": name,
            "type": "image_generation_call",
            "status": "completed",
            "result": media.data,
        }
    )


def _annotation(citation: Citation, length: int) -> dict[str, Any]:
    """A source as an annotation; one without an address is at least a name."""
    if not citation.url:
        name = citation.title or citation.quote
        return {"type": "file_citation", "file_id": "", "filename": name, "index": length}
    return {
        "type": "url_citation",
        "url": citation.url,
        "title": citation.title,
        "start_index": citation.start if citation.start is not None else 0,
        "end_index": citation.end if citation.end is not None else length,
    }
