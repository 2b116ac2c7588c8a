"""A session between a client of OpenAI's realtime protocol and the Live API.

The provider takes its setup once, before anything else. So it is sent with the client's first
event that is no `session.update`; until then a session can be changed as often as one likes.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Raw, Struct

from gateway.sdk import (
    INVALID_REQUEST,
    UPSTREAM_TIMEOUT,
    Call,
    Fault,
    Frames,
    Usage,
    invalid,
)
from providers_plugins.google.answer import UNREADABLE
from providers_plugins.google.live_events import Events
from providers_plugins.google.live_hearing import Hearing
from providers_plugins.google.live_items import (
    SOUND,
    Calls,
    read_item,
    sized,
    sound_in,
    told,
    turn_of,
)
from providers_plugins.google.live_setup import RATE, Session, changed, opened, setup
from providers_plugins.google.live_speaking import Speaking
from providers_plugins.google.live_wire import Meter

_MOST_WAITING = 16 << 20
_MOST_TURNS = 16 << 20
_FITTING = frozenset({"instructions", "metadata", "input", "conversation", "output_modalities"})
_SHOWN = re.compile(r"[^A-Za-z0-9_.]")


class ClientEvent(Struct):
    """An event of the client's; types are looked at where they are used."""

    type: Any = None
    event_id: Any = None
    audio: Any = None
    video_frame: Any = None
    session: Raw = Raw()
    item: Raw = Raw()
    previous_item_id: Any = None
    response: Raw = Raw()
    response_id: Any = None
    item_id: Any = None
    content_index: Any = None
    audio_end_ms: Any = None


class _Wish(Struct):
    turns: list[dict[str, Any]] = []
    lost: tuple[str, ...] = ()
    metadata: Any = None


_decode_event = msgspec.json.Decoder(ClientEvent).decode


class LiveDialogue:
    """Both sides of one session. The client's is here, the provider's in `Speaking`."""

    def __init__(self, call: Call, model: str, *, ids: bool) -> None:
        self._upstream = call.upstream
        self._model = model
        self._session, self._lost = opened(call)
        self._session["id"] = f"sess_{_SHOWN.sub('', call.id)}"
        self._events = Events(call.id)
        self._meter = Meter(RATE)
        self._hearing = Hearing(self._events, self._meter.heard)
        self._hearing.manual = self._manual
        self._calls = Calls(ids=ids)
        self._speaking = Speaking(self._events, self._hearing, self._meter, self._calls)
        self._up: list[bytes] = []
        self._down: list[bytes] = []
        self._setup = b""  # what was sent of it
        self._waiting: list[bytes] | None = []  # until the provider has confirmed
        self._waiting_size = 0
        self._turns: list[dict[str, Any]] = []
        self._turns_size = 0
        self._active = False  # an activity that the client began, and has not ended
        self._fault: Fault | None = None

    @property
    def fault(self) -> Fault | None:
        """Why the session can't go on."""
        return self._fault

    def opening(self) -> Frames:
        """The session as it will be."""
        return Frames(to_client=(self._shown("session.created", self._lost),))

    def from_client(self, message: bytes) -> Frames:
        """One event of the client's; what is wrong with it is told in an error event."""
        if self._fault is not None:
            return Frames()
        caused_by = None
        try:
            try:
                event = _decode_event(message)
            except UNREADABLE:
                raise invalid("A message must be an event: a JSON object.") from None
            caused_by = event.event_id
            self._heed(event)
        except Fault as fault:
            self._down.append(self._events.error(fault, caused_by))
        except RecursionError:
            too_deep = invalid("The event is nested too deeply.")
            self._down.append(self._events.error(too_deep, caused_by))
        return self._frames()

    def from_provider(self, message: bytes) -> Frames:
        """One message of the provider's; what can't be read ends the session."""
        if self._fault is not None:
            return Frames()
        try:
            confirmed = self._speaking.take(message, self._about())
        except Fault as fault:
            self._fault = fault
            return Frames()
        if confirmed and self._setup and self._waiting is not None:
            self._up += self._waiting
            self._waiting = None
        self._down += self._speaking.told()
        return self._frames()

    def take_usage(self) -> tuple[Usage, ...]:
        """What was counted since this was last asked."""
        return self._meter.take()

    def _frames(self) -> Frames:
        frames = Frames(tuple(self._up), tuple(self._down))
        self._up, self._down = [], []
        return frames

    def _about(self) -> dict[str, Any]:
        """What every response tells of the session."""
        return {
            "conversation_id": f"conv_{self._session['id'].removeprefix('sess_')}",
            "output_modalities": self._session["output_modalities"],
            "max_output_tokens": self._session["max_output_tokens"],
            "audio": {"output": self._session["audio"]["output"]},
        }

    @property
    def _manual(self) -> bool:
        return self._session["audio"]["input"].get("turn_detection") is None

    def _shown(self, kind: str, lost: tuple[str, ...]) -> bytes:
        """The session, and what of it is not done, under a name that no client minds."""
        more = {"adapted": lost} if lost else {}
        return self._events.event(kind, session=self._session, **more)

    def _send(self, message: dict[str, Any]) -> None:
        raw = msgspec.json.encode(message)
        if not self._setup:
            self._setup = setup(self._session, self._model)
            self._up.append(self._setup)
        if self._waiting is None:
            self._up.append(raw)
            return
        self._waiting.append(raw)
        self._waiting_size += len(raw)
        if self._waiting_size > _MOST_WAITING:
            self._waiting = []
            self._fault = Fault(
                UPSTREAM_TIMEOUT,
                "The provider has not confirmed the session. Open a new one.",
                cause="no_setup",
            )

    def _heed(self, event: ClientEvent) -> None:
        match event.type:
            case "session.update":
                self._update(event)
            case "input_audio_buffer.append":
                self._append(event)
            case "input_audio_buffer.append_video_frame":
                self._append_frame(event)
            case "input_audio_buffer.commit":
                self._commit()
            case "input_audio_buffer.clear":
                self._down.append(self._hearing.clear())
            case "conversation.item.create":
                self._item(event)
            case "conversation.item.truncate":
                self._truncate(event)
            case "response.create":
                self._create(event)
            case "response.cancel":
                self._speaking.cancel()
                self._down += self._speaking.told()
            case "conversation.item.delete" | "conversation.item.retrieve":
                raise _unable("Items of this provider's conversations can't be had back.")
            case "output_audio_buffer.clear":
                raise _unable("Sound is played by the client; there is no buffer here to clear.")
            case _:
                raise invalid(f"This event is not known here: {_named(event.type)}.", "type")

    def _update(self, event: ClientEvent) -> None:
        raw = bytes(event.session)
        session, lost = changed(self._session, raw or b"null", self._upstream)
        if self._setup and setup(session, self._model) != self._setup:
            names = [name for name, value in session.items() if value != self._session.get(name)]
            raise Fault(
                INVALID_REQUEST,
                f"This provider fixes a session when it is first used: {', '.join(names)} can't "
                "be changed any more. Open a new session.",
                param=f"session.{names[0]}",
                cause="session_fixed",
            )
        self._session = session
        self._hearing.manual = self._manual
        self._down.append(self._shown("session.updated", lost))

    def _append(self, event: ClientEvent) -> None:
        if not isinstance(event.audio, str):
            raise invalid("'audio' must be sound in base64.", "audio")
        size = sized(event.audio, "audio")
        self._before_sound()
        self._hearing.appended()
        self._meter.heard.passed(size, RATE)
        sound = {"mimeType": SOUND, "data": event.audio}
        self._send({"realtimeInput": {"audio": sound}})

    def _append_frame(self, event: ClientEvent) -> None:
        """No event of OpenAI's; other hosts of its protocol have it."""
        if not isinstance(event.video_frame, str):
            raise invalid("'video_frame' must be a JPEG in base64.", "video_frame")
        sized(event.video_frame, "video_frame")
        picture = {"mimeType": "image/jpeg", "data": event.video_frame}
        self._send({"realtimeInput": {"video": picture}})

    def _before_sound(self) -> None:
        """What was written before goes first, unless the model would be interrupted by it."""
        if self._turns and not self._speaking.answering:
            self._send_turns(complete=False)
        if self._manual and not self._active:
            self._active = True
            self._send({"realtimeInput": {"activityStart": {}}})

    def _commit(self) -> None:
        self._down += self._hearing.commit()
        if not self._manual:
            self._speaking.prompted = True
            self._send({"realtimeInput": {"audioStreamEnd": True}})

    def _item(self, event: ClientEvent) -> None:
        item = read_item(bytes(event.item))
        lost: tuple[str, ...] = ()
        if item.get("type") == "function_call_output":
            self._calls.answer(item)
        else:
            turn, lost = turn_of(item)
            self._keep(turn, len(event.item))
        if event.previous_item_id not in (None, self._events.last_item):
            lost = (*lost, "previous_item_id")
        self._tell_item(item, lost)
        self._send_answers()

    def _keep(self, turn: dict[str, Any], size: int) -> None:
        """A turn waits for the response that is asked for, so that it does not cause one."""
        self._meter.heard.passed(sound_in(turn), RATE)
        self._turns.append(turn)
        self._turns_size += size
        if self._turns_size > _MOST_TURNS:
            self._send_turns(complete=False)

    def _tell_item(self, item: dict[str, Any], lost: tuple[str, ...]) -> None:
        shown = told(item) | {
            "id": item.get("id") or self._events.named("item"),
            "object": "realtime.item",
            "status": "completed",
        }
        self._down.append(self._events.added(shown, **({"adapted": lost} if lost else {})))
        self._down.append(self._events.event("conversation.item.done", item=shown))

    def _send_turns(self, *, complete: bool) -> None:
        content: dict[str, Any] = {"turns": self._turns} if self._turns else {}
        self._turns, self._turns_size = [], 0
        self._send({"clientContent": {**content, "turnComplete": complete}})

    def _send_answers(self, *, now: bool = False) -> None:
        answers = self._calls.ready(now=now)
        if answers is not None:
            self._send(answers)
            self._speaking.prompted = True

    def _create(self, event: ClientEvent) -> None:
        wish = self._wish(bytes(event.response))
        prompted = self._speaking.prompted and not self._turns and not wish.turns
        if self._speaking.answering and not prompted:
            raise Fault(
                INVALID_REQUEST,
                "A response is being given. Wait for its response.done, or cancel it.",
                cause="conversation_already_has_active_response",
            )
        for turn in wish.turns:
            self._keep(turn, 0)
        self._send_answers(now=True)
        self._prompt()
        self._speaking.ask(wish.metadata, wish.lost)

    def _prompt(self) -> None:
        """Whatever makes the model answer now."""
        if self._manual and self._active:
            if self._turns:
                self._send_turns(complete=False)
            self._active = False
            self._send({"realtimeInput": {"activityEnd": {}}})
        elif self._turns or not self._speaking.prompted:
            self._send_turns(complete=True)
        self._speaking.prompted = False

    def _wish(self, raw: bytes) -> _Wish:
        """What a response.create asks for, for this response alone."""
        if not raw or raw == b"null":
            return _Wish()
        try:
            given = msgspec.json.decode(raw, type=dict[str, Any])
        except UNREADABLE:
            raise invalid("'response' must be an object.", "response") from None
        given = {name: value for name, value in given.items() if value is not None}
        for name in given.keys() - _FITTING:
            if given[name] != self._session.get(name):
                raise invalid(
                    "This can be said for the whole session alone, before it is first used.",
                    f"response.{_named(name)}",
                )
        if given.get("conversation", "auto") != "auto":
            raise invalid("A response belongs to the conversation.", "response.conversation")
        modalities = self._session["output_modalities"]
        if given.get("output_modalities", modalities) != modalities:
            raise invalid("As the session's.", "response.output_modalities")
        return _Wish(*self._extra_turns(given), metadata=given.get("metadata"))

    def _extra_turns(self, given: Session) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
        items = given.get("input", [])
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise invalid("'input' must be a list of items.", "response.input")
        turns = [turn_of(item)[0] for item in items]
        instructions = given.get("instructions", "")
        if not isinstance(instructions, str):
            raise invalid("'instructions' must be a string.", "response.instructions")
        lost = [f"response.{name}" for name in ("instructions", "input") if given.get(name)]
        if instructions:
            turns.append({"role": "user", "parts": [{"text": instructions}]})
        return turns, tuple(lost)

    def _truncate(self, event: ClientEvent) -> None:
        """The provider keeps what it had sent when it was interrupted; there is no more to do."""
        if not isinstance(event.item_id, str) or not self._speaking.said(event.item_id):
            raise invalid("No message of the model's has this id.", "item_id")
        index, end = event.content_index, event.audio_end_ms
        if not isinstance(index, int) or not isinstance(end, int) or index < 0 or end < 0:
            raise invalid("'content_index' and 'audio_end_ms' must be numbers.", "audio_end_ms")
        self._down.append(
            self._events.event(
                "conversation.item.truncated",
                item_id=event.item_id,
                content_index=index,
                audio_end_ms=end,
                adapted=("audio_end_ms",),
            )
        )


def _unable(why: str) -> Fault:
    return Fault(INVALID_REQUEST, why, param="type", cause="unsupported_event")


def _named(word: Any) -> str:
    """A client's word, fit to be said back."""
    return _SHOWN.sub("_", word)[:80] if isinstance(word, str) else "one without a type"
