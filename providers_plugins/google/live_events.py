"""Events of OpenAI's realtime protocol, written from what the provider says."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Struct, field

from gateway.sdk import UPSTREAM_ERROR, Fault, Usage

_ODD = re.compile(r"[^A-Za-z0-9]")
_NAME = 24
_MOST_KEPT = 4 << 20  # of one answer, in characters
_EACH = 32  # for what each piece takes beside its text


class Events:
    """Numbers the events and the things they tell of; an id is the call's name and a number."""

    def __init__(self, name: str) -> None:
        self._name = _ODD.sub("", name)[-_NAME:] or "0"
        self._events = 0
        self._things = 0
        self.last_item: str | None = None

    def named(self, kind: str) -> str:
        """A new id."""
        self._things += 1
        return f"{kind}_{self._name}_{self._things}"

    def event(self, kind: str, **members: Any) -> bytes:
        """An event with an id of its own."""
        self._events += 1
        head = {"type": kind, "event_id": f"event_{self._name}_{self._events}"}
        return msgspec.json.encode(head | members)

    def error(self, fault: Fault, caused_by: Any = None) -> bytes:
        """An error that the session outlives; `caused_by` is the client's name for its event."""
        told: dict[str, Any] = {
            "type": "invalid_request_error",
            "code": fault.cause,
            "message": fault.message,
            "param": fault.param,
            "event_id": caused_by if isinstance(caused_by, str) else None,
        }
        return self.event("error", error=told)

    def added(self, item: dict[str, Any], **more: Any) -> bytes:
        """An item that stands in the conversation from now on, after the one before."""
        before, self.last_item = self.last_item, item["id"]
        return self.event("conversation.item.added", previous_item_id=before, item=item, **more)


class _Content(Struct):
    """A part of a message: sound with its words, or text."""

    sound: bool
    words: list[str] = field(default_factory=list)

    @property
    def part(self) -> dict[str, Any]:
        said = "".join(self.words)
        if self.sound:
            return {"type": "audio", "transcript": said}
        return {"type": "text", "text": said}

    @property
    def kept(self) -> dict[str, Any]:
        """The same as it stands in an item."""
        return {**self.part, "type": "output_audio" if self.sound else "output_text"}


class Answer:
    """One response, from its creation until it is done."""

    def __init__(self, events: Events, about: dict[str, Any]) -> None:
        self.id = events.named("resp")
        self.item_id = ""  # of the message
        self._events = events
        self._about = about
        self._output: list[dict[str, Any]] = []
        self._contents: list[_Content] = []
        self._open = False  # a message is
        self._length = 0

    def created(self, adapted: tuple[str, ...] = ()) -> bytes:
        """The first event of it."""
        more = {"adapted": adapted} if adapted else {}
        response = self._response("in_progress", None, None)
        return self._events.event("response.created", response=response, **more)

    def sound(self, data: str) -> list[bytes]:
        """Sound, in base64."""
        told = self._turn_to(sound=True)
        return [*told, self._of_content("response.output_audio.delta", delta=data)]

    def transcript(self, text: str) -> list[bytes]:
        """Words of the sound."""
        told = self._turn_to(sound=True)
        self._say(text)
        return [*told, self._of_content("response.output_audio_transcript.delta", delta=text)]

    def text(self, text: str) -> list[bytes]:
        """Words in writing."""
        told = self._turn_to(sound=False)
        self._say(text)
        return [*told, self._of_content("response.output_text.delta", delta=text)]

    def call(self, call_id: str, name: str, arguments: str) -> tuple[str, list[bytes]]:
        """A function to be called, and its item's id; the arguments come in one piece."""
        told = self._close("completed")
        item_id = self._events.named("item")
        item = {
            "id": item_id,
            "object": "realtime.item",
            "type": "function_call",
            "status": "in_progress",
            "call_id": call_id,
            "name": name,
            "arguments": "",
        }
        at = {
            "response_id": self.id,
            "item_id": item_id,
            "output_index": len(self._output),
            "call_id": call_id,
        }
        told += self._added(item)
        arguing = "response.function_call_arguments"
        told.append(self._events.event(f"{arguing}.delta", **at, delta=arguments))
        told.append(self._events.event(f"{arguing}.done", **at, name=name, arguments=arguments))
        done = item | {"status": "completed", "arguments": arguments}
        return item_id, told + self._done(done)

    def finished(
        self, status: str, reason: str | None = None, usage: Usage | None = None
    ) -> list[bytes]:
        """The end of it, whatever it is."""
        told = self._close("completed" if status == "completed" else "incomplete")
        response = self._response(status, reason, usage)
        return [*told, self._events.event("response.done", response=response)]

    def _response(self, status: str, reason: str | None, usage: Usage | None) -> dict[str, Any]:
        details: dict[str, Any] | None = None
        if status == "failed":
            details = {"type": status, "error": {"type": "server_error", "code": reason}}
        elif reason:
            details = {"type": status, "reason": reason}
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": self._output,
            **self._about,
            "usage": None if usage is None else shown(usage),
        }

    def _turn_to(self, *, sound: bool) -> list[bytes]:
        """See that a message is open, and in it a part of this kind."""
        told: list[bytes] = []
        if not self._open:
            self.item_id = self._events.named("item")
            self._open = True
            self._contents = []
            told += self._added(self._message("in_progress"))
        if self._contents and self._contents[-1].sound == sound:
            return told
        told += self._close_content()
        self._grow(_EACH)
        self._contents.append(_Content(sound))
        part = self._contents[-1].part
        return [*told, self._of_content("response.content_part.added", part=part)]

    def _say(self, text: str) -> None:
        self._grow(_EACH + len(text))
        self._contents[-1].words.append(text)

    def _grow(self, size: int) -> None:
        self._length += size
        if self._length > _MOST_KEPT:
            raise Fault(
                UPSTREAM_ERROR, "The provider's answer has no end.", cause="answer_too_long"
            )

    def _close(self, status: str) -> list[bytes]:
        """The end of the message, if one is open."""
        if not self._open:
            return []
        self._open = False
        return self._close_content() + self._done(self._message(status))

    def _close_content(self) -> list[bytes]:
        if not self._contents:
            return []
        content = self._contents[-1]
        said = "".join(content.words)
        if content.sound:
            ends = [
                self._of_content("response.output_audio.done"),
                self._of_content("response.output_audio_transcript.done", transcript=said),
            ]
        else:
            ends = [self._of_content("response.output_text.done", text=said)]
        return [*ends, self._of_content("response.content_part.done", part=content.part)]

    def _message(self, status: str) -> dict[str, Any]:
        return {
            "id": self.item_id,
            "object": "realtime.item",
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [content.kept for content in self._contents],
        }

    def _of_content(self, kind: str, **members: Any) -> bytes:
        return self._events.event(
            kind,
            response_id=self.id,
            item_id=self.item_id,
            output_index=len(self._output),
            content_index=len(self._contents) - 1,
            **members,
        )

    def _added(self, item: dict[str, Any]) -> list[bytes]:
        return [self._of_item("response.output_item.added", item), self._events.added(item)]

    def _done(self, item: dict[str, Any]) -> list[bytes]:
        told = [
            self._of_item("response.output_item.done", item),
            self._events.event("conversation.item.done", item=item),
        ]
        self._output.append(item)
        return told

    def _of_item(self, kind: str, item: dict[str, Any]) -> bytes:
        at = len(self._output)
        return self._events.event(kind, response_id=self.id, output_index=at, item=item)


def shown(usage: Usage) -> dict[str, Any]:
    """What an answer took, as OpenAI's protocol tells it."""
    written = usage.input - usage.audio_input - usage.image_input
    cached = usage.cached - usage.cached_audio
    return {
        "total_tokens": usage.input + usage.output,
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "input_token_details": {
            "text_tokens": max(0, written),
            "audio_tokens": usage.audio_input,
            "image_tokens": usage.image_input,
            "cached_tokens": usage.cached,
            "cached_tokens_details": {
                "text_tokens": max(0, cached),
                "audio_tokens": usage.cached_audio,
                "image_tokens": 0,
            },
        },
        "output_token_details": {
            "text_tokens": max(0, usage.output - usage.audio_output),
            "audio_tokens": usage.audio_output,
        },
    }
