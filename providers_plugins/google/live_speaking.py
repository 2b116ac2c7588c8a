"""The provider's side of a session: what the model says, as OpenAI's events."""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Any

from gateway.sdk import INVALID_REQUEST, UPSTREAM_ERROR, Fault
from providers_plugins.google.answer import UNREADABLE, FunctionCall, WirePart, decode_part
from providers_plugins.google.faults import fault_within
from providers_plugins.google.live_events import Answer, Events
from providers_plugins.google.live_hearing import Hearing
from providers_plugins.google.live_items import Calls
from providers_plugins.google.live_setup import RATE
from providers_plugins.google.live_wire import (
    Frame,
    GoAway,
    Meter,
    ServerContent,
    ToolCall,
    decode_frame,
    is_there,
    live_usage,
    rate_of,
)
from providers_plugins.sound import size_of

_MOST_SAID = 64
_TIME = re.compile(r"\d{1,6}(\.\d{1,9})?s\Z")
_REFUSED = frozenset({
    "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "RESPONSE_REJECTED",
    "PROHIBITED_INPUT_CONTENT",
})  # fmt: skip


class Speaking:
    """Opens a response at the first word of an answer, and closes it when the turn is complete."""

    def __init__(self, events: Events, hearing: Hearing, meter: Meter, calls: Calls) -> None:
        self._events = events
        self._hearing = hearing
        self._meter = meter
        self._calls = calls
        self._told: list[bytes] = []
        self._about: dict[str, Any] = {}
        self._answer: Answer | None = None
        self._asked = False  # a response was asked for, and has not begun
        self._metadata: Any = None
        self._lost: tuple[str, ...] = ()
        self._muted = False  # the client cancelled what is still being said
        self._over = False  # the turn's end has been told already; the provider's is to come
        self._calling = False  # the last response was a call: the next one goes on from it
        self._said: OrderedDict[str, None] = OrderedDict()
        self.prompted = False  # the provider was sent what makes the model answer by itself

    @property
    def answering(self) -> bool:
        """Whether a response is open."""
        return self._answer is not None

    def said(self, item_id: str) -> bool:
        """Whether this is a message of the model's."""
        return item_id in self._said or (
            self._answer is not None and self._answer.item_id == item_id
        )

    def told(self) -> list[bytes]:
        """What is for the client, since this was last asked."""
        told, self._told = self._told, []
        return told

    def ask(self, metadata: Any, lost: tuple[str, ...]) -> None:
        """The client asks for a response, and says this about it."""
        if self._answer is None:
            self._asked = True
            self._metadata, self._lost = metadata, lost

    def cancel(self) -> None:
        """The provider can't be stopped: what it goes on to say is not passed on."""
        if self._answer is None and not self._asked:
            raise Fault(
                INVALID_REQUEST,
                "There is no response to cancel.",
                cause="response_cancel_not_active",
            )
        self._open()
        self._told += self._hearing.answered()
        self._finish("cancelled", "client_cancelled")
        self._muted = True

    def take(self, message: bytes, about: dict[str, Any]) -> bool:
        """Read a message; True when it confirms the session."""
        self._about = about
        try:
            frame = decode_frame(message)
            self._read(frame)
        except UNREADABLE:
            raise Fault(
                UPSTREAM_ERROR,
                "The provider sent a message that can't be read.",
                cause="unreadable_answer",
            ) from None
        if is_there(frame.error):
            raise fault_within(message) or Fault(
                UPSTREAM_ERROR, "The provider reported an error.", cause="error_in_answer"
            )
        return is_there(frame.setup_complete)

    def _read(self, frame: Frame) -> None:
        usage = live_usage(bytes(frame.usage_metadata)) if frame.usage_metadata else None
        if usage is not None:
            self._meter.counted(usage)
        if frame.server_content is not None:
            self._content(frame.server_content)
        if frame.tool_call is not None:
            self._call(frame.tool_call)
        if frame.tool_call_cancellation is not None:
            for name in frame.tool_call_cancellation.ids or ():
                self._withdraw(name)
        if frame.go_away is not None:
            self._announce_end(frame.go_away)

    def _content(self, content: ServerContent) -> None:
        heard = content.input_transcription
        if heard is not None and heard.text:
            self._told += self._hearing.words(heard.text)
        if content.interrupted is True:
            self._interrupted()
        if content.model_turn is not None:
            for raw in content.model_turn.parts or ():
                self._part(decode_part(raw))
        spoken = content.output_transcription
        if spoken is not None and spoken.text and not self._muted:
            self._told += self._open().transcript(spoken.text)
        if content.turn_complete is True:
            self._turn_completed(content.turn_complete_reason)

    def _part(self, part: WirePart) -> None:
        blob = part.inline_data
        if blob is not None and blob.mime_type.startswith("audio/") and blob.data:
            self._meter.spoken.passed(size_of(blob.data), rate_of(blob.mime_type, RATE))
            if not self._muted:
                self._told += self._open().sound(blob.data)
        elif part.text and part.thought is not True and not self._muted:
            self._told += self._open().text(part.text)

    def _open(self) -> Answer:
        if self._answer is None:
            self._told += self._hearing.begins(asked=self._asked or self._calling)
            about = {**self._about, "metadata": self._metadata}
            self._answer = Answer(self._events, about)
            self._told.append(self._answer.created(self._lost))
            self._asked = self._over = self._calling = False
            self._metadata, self._lost = None, ()
        return self._answer

    def _finish(self, status: str, reason: str | None = None) -> None:
        answer = self._answer
        if answer is None:
            return
        self._answer = None
        self.prompted = False
        self._told += answer.finished(status, reason, self._meter.turn())
        if answer.item_id:
            self._said[answer.item_id] = None
            if len(self._said) > _MOST_SAID:
                self._said.popitem(last=False)

    def _interrupted(self) -> None:
        """The user has begun to speak: what was being said is over, and playing it should be."""
        if self._muted:
            self._muted, self._over = False, True
            return
        self._told += self._hearing.interrupts()
        if self._answer is not None:
            by_client = self._hearing.manual
            self._finish("cancelled", "client_cancelled" if by_client else "turn_detected")
            self._over = True

    def _turn_completed(self, reason: Any) -> None:
        if self._muted or (self._over and self._answer is None):
            self._muted = self._over = False
            return
        if self._answer is None and not self._asked:
            return
        self._open()
        self._told += self._hearing.answered()
        if isinstance(reason, str) and reason in _REFUSED:
            self._finish("incomplete", "content_filter")
        elif reason == "MALFORMED_FUNCTION_CALL":
            self._finish("failed", "malformed_function_call")
        else:
            self._finish("completed")

    def _call(self, wanted: ToolCall) -> None:
        """Calls end the response: the client answers them, and the model then goes on."""
        calls = [call for call in wanted.function_calls or () if call.name]
        if not calls:
            return
        if self._muted:
            self._muted, self._over = False, True
            return
        answer = self._open()
        for call in calls:
            self._tell_call(answer, call)
        self._told += self._hearing.answered()
        self._finish("completed")
        self._over = self._calling = True

    def _tell_call(self, answer: Answer, call: FunctionCall) -> None:
        call_id = call.id or self._events.named("call")
        given = bytes(call.args).decode("utf-8", "replace")
        arguments = "{}" if given in ("", "null") else given
        item_id, told = answer.call(call_id, call.name or "", arguments)
        self._told += told
        self._calls.wait(call_id, call.name or "", call.id or "", item_id)

    def _withdraw(self, theirs: str) -> None:
        """Nobody waits for an answer to this call any more."""
        item_id = self._calls.cancel(theirs)
        if item_id is not None:
            self._told.append(self._events.event("conversation.item.deleted", item_id=item_id))

    def _announce_end(self, leaving: GoAway) -> None:
        left = leaving.time_left
        soon = f"in {left}" if isinstance(left, str) and _TIME.match(left) else "soon"
        said = {
            "type": "server_error",
            "code": "session_ending",
            "message": f"The provider ends this session {soon}. Open a new one.",
            "param": None,
            "event_id": None,
        }
        self._told.append(self._events.event("error", error=said))
