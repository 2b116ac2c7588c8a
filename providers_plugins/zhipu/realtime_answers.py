"""The host's events under the names they have today, with what it leaves out."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import structs

from gateway.sdk import Fault, Usage, clean, realtime
from providers_plugins.sound import Sound, size_of
from providers_plugins.zhipu.realtime_session import RATE, Session

Event = dict[str, Any]
_ODD = re.compile(r"[^A-Za-z0-9]")
_NAME = 24
_MOST_CALLS = 256
_RENAMED = {
    "response.audio.": "response.output_audio.",
    "response.audio_transcript.": "response.output_audio_transcript.",
    "response.text.": "response.output_text.",
}
_PARTS = {"audio": "output_audio", "text": "output_text"}
_INPUT_TRANSCRIPT = "conversation.item.input_audio_transcription."
_OF_CONTENT = ("response.output_audio", "response.output_text", "response.content_part.")


class Answers:
    """Writes the host's events anew; remembers which answer and item they belong to."""

    def __init__(self, name: str, session: Session, lost: tuple[str, ...]) -> None:
        self._name = _ODD.sub("", name)[-_NAME:] or "0"
        self._number = 0
        self._session = session
        self._lost = lost
        self._id: Any = None  # the host's name for the session
        self._response = ""
        self._item = ""
        self._metadata: Any = None
        self._wished: tuple[str, ...] = ()
        self._calls: list[Event] = []
        self._heard, self._spoken = Sound(RATE), Sound(RATE)
        self._used: list[Usage] = []

    def updated(self, session: Session, lost: tuple[str, ...]) -> None:
        """What the session is to be from now on."""
        self._session, self._lost = session, lost

    def heard(self, size: int) -> None:
        """So many bytes of sound went in."""
        self._heard.passed(size, RATE)

    def asked(self, metadata: Any, lost: tuple[str, ...]) -> None:
        """What the client says of the next response."""
        self._metadata, self._wished = metadata, lost

    def made_up(self, call_id: Any) -> bool:
        """Whether this name of a call is ours, and not the host's."""
        return isinstance(call_id, str) and call_id.startswith(f"call_{self._name}_")

    def take_usage(self) -> tuple[Usage, ...]:
        """What was counted since this was last asked."""
        used, self._used = self._used, []
        return tuple(used)

    def error(self, fault: Fault, caused_by: Any = None) -> bytes:
        """An error that the session outlives; `caused_by` is the client's name for its event."""
        told = {
            "type": "invalid_request_error",
            "code": fault.cause,
            "message": fault.message,
            "param": fault.param,
            "event_id": caused_by if isinstance(caused_by, str) else None,
        }
        return self._written({"type": "error", "error": told})

    def of(self, event: Event) -> list[bytes]:
        """What one of the host's events is to the client."""
        kind = _kind(event)
        event = event | {"type": kind}
        match kind:
            case "heartbeat":
                return []
            case "session.created" | "session.updated":
                return [self._of_session(event)]
            case "conversation.item.created":
                return self._item_created(event)
            case "response.created":
                return [self._created(event)]
            case "response.done":
                return [self._done(event)]
            case "response.output_item.added" | "response.output_item.done":
                return self._output_item(event)
            case "response.function_call_arguments.done":
                return self._called(event)
            case "error":
                return [self._error(event)]
        return [self._written(self._filled(kind, event))]

    def _filled(self, kind: str, event: Event) -> Event:
        """The event with what clients look for and the host does not say."""
        if kind == "response.output_audio.delta" and isinstance(event.get("delta"), str):
            self._spoken.passed(size_of(event["delta"]), RATE)
        if kind.startswith(_OF_CONTENT):
            self._item = _string(event.get("item_id")) or self._item or self._named("item")
            return {
                "response_id": self._response, "output_index": 0, "content_index": 0,
                **event, "item_id": self._item,
            }  # fmt: skip
        if kind.startswith(_INPUT_TRANSCRIPT):
            more: Event = {"content_index": 0}
            if kind.endswith("completed"):
                seconds = self._heard.milliseconds / 1000
                more["usage"] = {"type": "duration", "seconds": seconds}
            return more | event
        if kind == "input_audio_buffer.speech_started":
            return {"audio_start_ms": self._heard.milliseconds, **event}
        if kind == "input_audio_buffer.speech_stopped":
            return {"audio_end_ms": self._heard.milliseconds, **event}
        return event

    def _of_session(self, event: Event) -> bytes:
        """The session as the client knows it; the host's own is in other words."""
        theirs = event.get("session")
        if isinstance(theirs, dict) and theirs.get("id"):
            self._id = theirs["id"]
        session = {**self._session, "id": self._id or f"sess_{self._name}"}
        more = {"adapted": self._lost} if self._lost else {}
        return self._written(event | {"session": session} | more)

    def _item_created(self, event: Event) -> list[bytes]:
        item = _item(event.get("item"))
        event = event | {"item": item}
        told = [self._written(event | {"type": "conversation.item.added"})]
        if item.get("status") != "in_progress":
            told.append(self._item_done(item))
        return told

    def _item_done(self, item: Event) -> bytes:
        return self._written({"type": "conversation.item.done", "item": item})

    def _created(self, event: Event) -> bytes:
        self._item, self._calls = "", []
        response = self._about(event)
        response["status"] = "in_progress"
        wished, self._wished = self._wished, ()
        more = {"adapted": wished} if wished else {}
        return self._written(event | {"type": "response.created", "response": response} | more)

    def _done(self, event: Event) -> bytes:
        response = self._about(event)
        counted = response.get("usage") or event.pop("usage", None)
        response |= {"usage": counted if isinstance(counted, dict) else None}
        response.setdefault("status", "completed")
        told = response["output"] if isinstance(response["output"], list) else []
        output = [_item(item) for item in told if isinstance(item, dict)]
        if not any(item.get("type") == "function_call" for item in output):
            output += self._calls
        response["output"] = output
        self._count(counted)
        self._response, self._calls, self._metadata = "", [], None
        return self._written(event | {"response": response})

    def _about(self, event: Event) -> Event:
        given = event.get("response")
        response: Event = dict(given) if isinstance(given, dict) else {}
        self._response = (
            _string(response.get("id"))
            or _string(event.get("response_id"))
            or self._response
            or self._named("resp")
        )
        response.pop("modalities", None)
        return {
            "object": "realtime.response",
            "status_details": None,
            "output": [],
            "output_modalities": self._session["output_modalities"],
            "metadata": self._metadata,
            **response,
            "id": self._response,
        }

    def _count(self, counted: Any) -> None:
        """The host's count; it may be nothing but zeros, and then the sound's length is all."""
        usage = Usage()
        if isinstance(counted, dict):
            usage = realtime.response_usage(msgspec.json.encode(counted))
        heard, spoken = self._heard.tell(), self._spoken.tell()
        if usage.input or usage.output or usage.problem or heard or spoken:
            self._used.append(structs.replace(usage, audio_input_ms=heard, audio_output_ms=spoken))

    def _output_item(self, event: Event) -> list[bytes]:
        item = _item(event.get("item"))
        self._item = _string(item.get("id")) or self._item
        about = {"response_id": self._response, "output_index": 0, **event, "item": item}
        told = [self._written(about)]
        if event["type"].endswith("done"):
            told.append(self._item_done(item))
        return told

    def _called(self, event: Event) -> list[bytes]:
        """A call; where the host names no item for it, one is made."""
        arguments = event.get("arguments")
        if not isinstance(arguments, str):
            arguments = msgspec.json.encode({} if arguments is None else arguments).decode()
        call: Event = {
            "call_id": _string(event.get("call_id")) or self._named("call"),
            "name": _string(event.get("name")),
            "arguments": arguments,
        }
        known = bool(_string(event.get("item_id")))
        item_id = event["item_id"] if known else self._named("item")
        about = {"response_id": self._response, "output_index": len(self._calls), **event}
        done = self._written(about | call | {"item_id": item_id})
        item: Event = {"id": item_id, "object": "realtime.item", "type": "function_call", **call}
        if len(self._calls) < _MOST_CALLS:
            self._calls.append(item | {"status": "completed"})
        if known:
            return [done]
        place = {"response_id": about["response_id"], "output_index": about["output_index"]}
        begun = item | {"status": "in_progress", "arguments": ""}
        ended = item | {"status": "completed"}
        return [
            self._written({"type": "response.output_item.added", **place, "item": begun}),
            self._written({"type": "conversation.item.added", "item": begun}),
            done,
            self._written({"type": "response.output_item.done", **place, "item": ended}),
            self._item_done(ended),
        ]

    def _error(self, event: Event) -> bytes:
        given = event.get("error")
        error: Event = dict(given) if isinstance(given, dict) else {}
        message = error.get("message")
        error["message"] = clean(message) if isinstance(message, str) else "The provider failed."
        return self._written(event | {"error": {"type": "server_error", "param": None} | error})

    def _named(self, kind: str) -> str:
        self._number += 1
        return f"{kind}_{self._name}_{self._number}"

    def _written(self, event: Event) -> bytes:
        if not _string(event.get("event_id")):
            event = event | {"event_id": self._named("event")}
        return msgspec.json.encode(event)


def _kind(event: Event) -> str:
    kind = _string(event.get("type"))
    for old, new in _RENAMED.items():
        if kind.startswith(old):
            return new + kind[len(old) :]
    if kind == "session.update":  # as the host's own examples call it
        return "session.updated"
    response = event.get("response")
    begins = isinstance(response, dict) and response.get("status") == "in_progress"
    return "response.created" if kind == "response.done" and begins else kind


def _item(given: Any) -> Event:
    """An item with its contents under today's names."""
    item: Event = dict(given) if isinstance(given, dict) else {}
    content = item.get("content")
    if isinstance(content, list) and item.get("role") == "assistant":
        item["content"] = [_part(part) for part in content]
    return item


def _part(part: Any) -> Any:
    kind = part.get("type") if isinstance(part, dict) else None
    return part | {"type": _PARTS[kind]} if isinstance(kind, str) and kind in _PARTS else part


def _string(given: Any) -> str:
    return given if isinstance(given, str) else ""
