"""What the user says, as items of the conversation: the provider tells of its words alone."""

from __future__ import annotations

from typing import Any

from gateway.sdk import INVALID_REQUEST, UPSTREAM_ERROR, Fault
from providers_plugins.google.live_events import Events
from providers_plugins.sound import Sound

_MOST_WORDS = 1 << 20  # characters
_EACH = 32  # for what each piece takes beside its text


class Hearing:
    """The user's turn: an item from its first sign until the model's answer to it is complete."""

    def __init__(self, events: Events, heard: Sound) -> None:
        self._events = events
        self._heard = heard
        self._item = ""
        self._announced = False
        self._words: list[str] = []
        self._length = 0
        self._since = 0  # where the turn began, in milliseconds
        self.manual = False  # the client says when a turn ends
        self.pending = False  # there is sound that belongs to no turn yet

    def appended(self) -> None:
        """Sound came in."""
        if not self.pending and not self._item:
            self._since = self._heard.milliseconds
        self.pending = True

    def interrupts(self) -> list[bytes]:
        """The user speaks while the model does: that is a turn of its own."""
        told = self.answered()
        if self.manual:
            return told
        self._item = self._events.named("item")
        self._since = self._heard.milliseconds
        told.append(
            self._events.event(
                "input_audio_buffer.speech_started",
                audio_start_ms=self._since,
                item_id=self._item,
            )
        )
        return told

    def begins(self, *, asked: bool) -> list[bytes]:
        """The model begins to answer: what it has heard until now is an item."""
        if self._item or (self.pending and not asked and not self.manual):
            return self._committed()
        return []

    def _committed(self) -> list[bytes]:
        if self._announced:
            return []
        if not self._item:
            self._item = self._events.named("item")
        self._announced = True
        self.pending = False
        item: dict[str, Any] = {
            "id": self._item,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_audio", "transcript": None}],
        }
        before = self._events.last_item
        told = [
            self._events.event(
                "input_audio_buffer.committed", previous_item_id=before, item_id=self._item
            ),
            self._events.added(item),
            self._events.event("conversation.item.done", item=item),
        ]
        return [*told, self._delta("".join(self._words))] if self._words else told

    def commit(self) -> list[bytes]:
        """The client says that its turn has ended."""
        if not self.pending:
            raise Fault(
                INVALID_REQUEST,
                "There is no sound to commit: send input_audio_buffer.append first.",
                cause="input_audio_buffer_commit_empty",
            )
        told = self.answered() if self._announced else []
        return told + self._committed()

    def clear(self) -> bytes:
        """Forget what was appended; what has gone to the provider can't be called back."""
        if self.pending:
            raise Fault(
                INVALID_REQUEST,
                "The sound was sent on as it came, and can't be taken back.",
                cause="input_audio_buffer_sent",
            )
        return self._events.event("input_audio_buffer.cleared")

    def words(self, text: str) -> list[bytes]:
        """What was said, bit by bit."""
        self._length += _EACH + len(text)
        if self._length > _MOST_WORDS:
            raise Fault(
                UPSTREAM_ERROR, "The provider's transcript has no end.", cause="answer_too_long"
            )
        if not self._announced and self.manual:
            self._words.append(text)  # told once the client has said that its turn has ended
            return []
        told = self._committed()
        self._words.append(text)
        return [*told, self._delta(text)]

    def answered(self) -> list[bytes]:
        """The end of the turn: what it was in words, if they were told."""
        item, words = self._item, self._words
        if self.manual and not self._announced:
            return []
        self._item, self._announced, self._words, self._length = "", False, [], 0
        if not words:
            return []
        seconds = (self._heard.milliseconds - self._since) / 1000
        return [
            self._events.event(
                "conversation.item.input_audio_transcription.completed",
                item_id=item,
                content_index=0,
                transcript="".join(words),
                usage={"type": "duration", "seconds": seconds},
            )
        ]

    def _delta(self, text: str) -> bytes:
        return self._events.event(
            "conversation.item.input_audio_transcription.delta",
            item_id=self._item,
            content_index=0,
            delta=text,
        )
