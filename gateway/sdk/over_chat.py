"""A wire for every dialect over an adapter's chat operation: hosts that speak chat alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec import structs

from gateway.core.body import JsonBody
from gateway.core.meter import Translator
from gateway.core.talk.chat import Reader as ChatReader
from gateway.core.talk.chat import write_request
from gateway.core.talk.chat.answer import read_answer
from gateway.core.talk.events import Broke, Ended, Event, Reader, Used
from gateway.core.talk.free_text import as_functions
from gateway.core.talk.model import Answer, Losses, Talk
from gateway.domain import Credential, UpstreamRequest
from gateway.sdk.adapter import PASSTHROUGH, Call, Operation, Reply, Wire


def over_chat(operation: Operation, *, cache_marks: bool = False, free_text: bool = False) -> Wire:
    """The wire that a chat operation makes.

    `cache_marks`: the host takes `cache_control`. `free_text`: its tools may take free text.
    """

    def build(call: Call, credential: Credential, talk: Talk, losses: Losses) -> UpstreamRequest:
        if not free_text:
            as_functions(talk, losses)
        written = write_request(talk, losses, cache_marks=cache_marks)
        return operation.build(_chatting(call, JsonBody(written)), credential)

    def read(call: Call, headers: Mapping[str, str], body: bytes) -> Answer:
        if operation.parse is PASSTHROUGH:
            return read_answer(body, operation.usage, operation.fault_in)
        reply = operation.parse(_chatting(call, _WITH_USAGE), 200, headers, body)
        if not isinstance(reply, Reply):
            raise TypeError("a conversation is answered at once")
        answer = read_answer(reply.body)
        answer.usage = reply.usage or answer.usage
        return answer

    def reader(call: Call) -> Reader:
        if operation.stream is PASSTHROUGH:
            return ChatReader(operation.usage, operation.fault_in)
        return _Behind(operation.stream(_chatting(call, _WITH_USAGE)))

    return Wire(build=build, read=read, reader=reader, fault=operation.fault)


# The gateway wants to know the usage, whatever the client asked to be shown.
_WITH_USAGE: Final = JsonBody(b'{"stream_options":{"include_usage":true}}')


def _chatting(call: Call, body: JsonBody) -> Call:
    return structs.replace(call, operation="chat", body=body)


class _Behind:
    """Reads what an adapter's own translator makes of its host's stream."""

    def __init__(self, translator: Translator) -> None:
        self._translator = translator
        self._reader = ChatReader()
        self._broke = False

    def feed(self, data: bytes) -> Iterator[Event]:
        """What these bytes of the host's complete."""
        made = self._translator.feed(data)
        yield from self._told(self._reader.feed(made))

    def finish(self) -> Iterator[Event]:
        """What the end of the host's bytes completes."""
        made = self._translator.finish()
        yield from self._told(self._reader.feed(made))
        yield from self._told(self._reader.finish())

    def _told(self, events: Iterable[Event]) -> Iterator[Event]:
        """The translator's own count is the one that counts, and so is the fault it found."""
        fault = self._translator.fault
        for event in events:
            if self._broke or (fault is not None and isinstance(event, Broke | Ended)):
                break
            if isinstance(event, Used | Ended) and self._translator.usage is not None:
                yield Used(self._translator.usage)
                if isinstance(event, Used):
                    continue
            self._broke = isinstance(event, Broke)
            yield event
        if fault is not None and not self._broke:
            self._broke = True
            yield Broke(fault)
