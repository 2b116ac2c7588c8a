"""Sessions with GLM: OpenAI's events as they were in the beta, with additions of its own."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

import msgspec

from gateway.sdk import (
    INVALID_REQUEST,
    UPSTREAM_ERROR,
    Call,
    Credential,
    Dialogue,
    Fault,
    Frames,
    Operation,
    UpstreamRequest,
    Usage,
    invalid,
    realtime,
    voices,
)
from providers_plugins.zhipu.chat import fault
from providers_plugins.zhipu.realtime_answers import Answers
from providers_plugins.zhipu.realtime_session import RATE, UNREADABLE, changed, opened, update

_ODD = re.compile(r"[^A-Za-z0-9_.]")


class GlmDialogue:
    """Both sides of a session; both speak nearly the same, and most events only change names."""

    def __init__(self, call: Call, credential: Credential) -> None:
        del credential
        self._upstream = call.upstream
        self._session, lost = opened(call)
        self._answers = Answers(call.id, self._session, lost)
        self._fault: Fault | None = None

    @property
    def fault(self) -> Fault | None:
        """Why the session can't go on."""
        return self._fault

    def opening(self) -> Frames:
        """What the host would do by itself is not what OpenAI's do: it is told at once."""
        return Frames(to_provider=(update(self._session, self._upstream),))

    def from_client(self, message: bytes) -> Frames:
        """One event of the client's; what is wrong with it is told in an error event."""
        if self._fault is not None:
            return Frames()
        caused_by = None
        try:
            event = _read(message)
            caused_by = event.get("event_id")
            return Frames(to_provider=self._translated(event, message))
        except Fault as wrong:
            return Frames(to_client=(self._answers.error(wrong, caused_by),))
        except RecursionError:
            too_deep = invalid("The event is nested too deeply.")
            return Frames(to_client=(self._answers.error(too_deep, caused_by),))

    def from_provider(self, message: bytes) -> Frames:
        """One event of the host's, as OpenAI's are called today."""
        if self._fault is not None:
            return Frames()
        try:
            event = msgspec.json.decode(message, type=dict[str, Any])
            return Frames(to_client=tuple(self._answers.of(event)))
        except UNREADABLE:
            self._fault = Fault(
                UPSTREAM_ERROR,
                "The provider sent a message that can't be read.",
                cause="unreadable_answer",
            )
            return Frames()

    def take_usage(self) -> tuple[Usage, ...]:
        """What was counted since this was last asked."""
        return self._answers.take_usage()

    def _translated(self, event: dict[str, Any], message: bytes) -> tuple[bytes, ...]:
        match event.get("type"):
            case "session.update":
                return (self._update(message),)
            case "input_audio_buffer.append":
                return (self._append(event),)
            case "conversation.item.create":
                return (_encode(event | {"item": self._item(event.get("item"))}),)
            case "response.create":
                return self._create(event)
            case "output_audio_buffer.clear":
                raise Fault(
                    INVALID_REQUEST,
                    "Sound is played by the client; there is no buffer here to clear.",
                    param="type",
                    cause="unsupported_event",
                )
            case str(kind) if kind:
                return (message,)
            case _:
                raise invalid("An event needs a 'type'.", "type")

    def _update(self, message: bytes) -> bytes:
        raw = msgspec.json.decode(message, type=dict[str, msgspec.Raw]).get("session")
        self._session, lost = changed(self._session, bytes(raw or b"null"))
        self._answers.updated(self._session, lost)
        return update(self._session, self._upstream)

    def _append(self, event: dict[str, Any]) -> bytes:
        sound = _sound(event.get("audio"), "audio")
        self._answers.heard(len(sound))
        return _encode(event | {"audio": wav(sound)})

    def _item(self, item: Any) -> dict[str, Any]:
        """An item with its contents under the host's names."""
        if not isinstance(item, dict):
            raise invalid("'item' must be an object.", "item")
        if self._answers.made_up(item.get("call_id")):
            return {name: value for name, value in item.items() if name != "call_id"}
        content = item.get("content")
        if not isinstance(content, list):
            return item
        parts = [self._part(part, f"item.content[{at}]") for at, part in enumerate(content)]
        return item | {"content": parts}

    def _part(self, part: Any, where: str) -> Any:
        if not isinstance(part, dict):
            raise invalid("Each part must be an object.", where)
        kind = part.get("type")
        if kind == "input_audio":
            sound = _sound(part.get("audio"), f"{where}.audio")
            self._answers.heard(len(sound))
            return part | {"audio": wav(sound)}
        if kind == "input_image":
            raise invalid(
                "This model sees through input_audio_buffer.append_video_frame alone.",
                f"{where}.type",
            )
        if kind == "output_audio":
            return {"type": "text", "text": part.get("transcript")}
        return part | {"type": "text"} if kind == "output_text" else part

    def _create(self, event: dict[str, Any]) -> tuple[bytes, ...]:
        """The host answers as the session says; words for this answer alone become an item."""
        wish = event.get("response")
        if wish is None:
            return (_encode(event),)
        if not isinstance(wish, dict):
            raise invalid("'response' must be an object.", "response")
        for name, said in wish.items():
            known = name in ("instructions", "metadata", "conversation")
            if not known and said is not None and said != self._session.get(name):
                raise invalid(
                    "This can be said for the whole session alone: use session.update.",
                    f"response.{_ODD.sub('_', name)[:80]}",
                )
        if wish.get("conversation", "auto") not in ("auto", None):
            raise invalid("A response belongs to the conversation.", "response.conversation")
        told = wish.get("instructions")
        if not isinstance(told, str | None):
            raise invalid("'instructions' must be a string.", "response.instructions")
        self._answers.asked(wish.get("metadata"), ("response.instructions",) if told else ())
        bare = _encode({name: value for name, value in event.items() if name != "response"})
        return (_words(told), bare) if told else (bare,)


def wav(sound: bytes) -> str:
    """Samples as a file of their own, which is how the host wants each bit of sound."""
    return base64.b64encode(voices.wav_header(len(sound), RATE) + sound).decode()


def _read(message: bytes) -> dict[str, Any]:
    try:
        event: dict[str, Any] = msgspec.json.decode(message, type=dict[str, Any])
    except UNREADABLE:
        raise invalid("A message must be an event: a JSON object.") from None
    return event


def _sound(given: Any, where: str) -> bytes:
    if not isinstance(given, str):
        raise invalid("Sound comes as base64.", where)
    try:
        return base64.b64decode(given.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError, ValueError):
        raise invalid("This is not base64.", where) from None


def _words(text: str) -> bytes:
    content = [{"type": "input_text", "text": text}]
    item = {"type": "message", "role": "system", "content": content}
    return _encode({"type": "conversation.item.create", "item": item})


_encode = msgspec.json.encode


def _build(call: Call, credential: Credential) -> UpstreamRequest:
    _, lost = opened(call)
    login = (("Authorization", f"Bearer {credential.api_key}"),) if credential.api_key else ()
    url = f"{realtime.websocket_url(call.base_url)}/realtime"
    return UpstreamRequest("GET", url, login, translated=True, adapted=lost)


def _session(call: Call, credential: Credential) -> Dialogue:
    return GlmDialogue(call, credential)


REALTIME = {"realtime": Operation(build=_build, session=_session, fault=fault)}
